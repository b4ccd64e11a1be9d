"""What the tests of a site's loop play with: a clock, a small site, a service that can be made to fail."""

from __future__ import annotations

import http.client
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy

from amie_engine import AMIEClient, Engine, Packet, Runner, Site, Work
from amie_engine.client import RetryPolicy
from amie_engine.log.events import NewEvent
from amie_engine.sandbox import Sandbox
from amie_engine.testing import Clock

KEY = "key-for-tests"
NAME = "NCSA"
PERSONAL = "Robin Example"


def fresh_database() -> sqlalchemy.Engine:
    """A database in memory with the log's tables in it: copied, which is much faster than a migration."""
    made = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.StaticPool, connect_args={"check_same_thread": False}
    )
    driver: Any = made.raw_connection().driver_connection
    _template().backup(driver)
    return made


@cache
def _template() -> sqlite3.Connection:
    made = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    Engine(made, site=NAME).close()
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    driver: Any = made.raw_connection().driver_connection
    driver.backup(copy)
    made.dispose()
    return copy


def tiny_site(name: str = NAME) -> Site:
    """A site that answers every request of the hub's, from dictionaries."""
    site = Site(name)
    people: dict[Any, str] = {}

    @site.handles("request_project_create")
    def create_project(request: Any, work: Work) -> Packet:
        reply: Any = work.reply
        reply.ProjectID = f"p-{request.GrantNumber}"
        reply.PiPersonID = people.setdefault(request.PiGlobalID, f"u{1001 + len(people)}")
        reply.PiRemoteSiteLogin = f"login-{reply.PiPersonID}"
        return work.reply

    @site.handles("request_account_create")
    def create_account(request: Any, work: Work) -> Packet:
        reply: Any = work.reply
        reply.ProjectID = f"p-{request.GrantNumber}"
        reply.UserPersonID = people.setdefault(request.UserGlobalID, f"u{1001 + len(people)}")
        reply.UserRemoteSiteLogin = f"login-{reply.UserPersonID}"
        return work.reply

    @site.handles(
        "request_project_inactivate",
        "request_project_reactivate",
        "request_account_inactivate",
        "request_account_reactivate",
        "request_user_modify",
        "request_person_merge",
    )
    def agree(request: Any, work: Work) -> Packet:
        return work.reply

    return site


def handling(packet_type: str, handler: Callable[[Any, Work], Any]) -> Site:
    """A site with one handler of its own, and the small site's for the rest."""
    site, others = Site(NAME), tiny_site()
    site.handles(packet_type)(handler)
    for other, known in others._handlers.items():
        if other != packet_type:
            site.handles(other)(known)
    return site


def client_for(url: str, key: str = KEY) -> AMIEClient:
    """A client that tries repeatable calls twice and does not wait between."""
    return AMIEClient(
        NAME, key, url, timeout=(5.0, 20.0), retry=RetryPolicy(attempts=2), sleep=lambda seconds: None
    )


class World:
    """A sandbox, and a site of ours that talks to it."""

    def __init__(self, sandbox: Sandbox, url: str, clock: Clock) -> None:
        self.sandbox = sandbox
        self.url = url
        self.clock = clock
        self._in_memory = fresh_database()
        self.database: str | sqlalchemy.Engine = self._in_memory
        self.client = client_for(url)
        self.engine = self._engine()

    def _engine(self) -> Engine:
        return Engine(self.database, site=NAME, hub="sandbox", clock=self.clock)

    def runner(self, site: Site | None = None, *, interval: float = 0.01) -> Runner:
        return Runner(
            self.engine,
            self.client,
            site or tiny_site(),
            interval=interval,
            full_listing_every=timedelta(),
            jitter=lambda: 1.0,
        )

    def restart(self) -> None:
        """What a new process does: everything anew, but for the database."""
        self.engine.close()
        self.engine = self._engine()

    def close(self) -> None:
        self.client.close()
        self.engine.close()
        self._in_memory.dispose()

    def run_to_the_end(self, runner: Runner | None = None, *, minutes: float = 0, rounds: int = 60) -> None:
        """Run rounds, with so many minutes between, until the service has nothing open any more."""
        runner = runner or self.runner()
        for _ in range(rounds):
            runner.run_once()
            self.clock.forward(minutes=minutes)
            if self.sandbox.idle:
                runner.run_once()  # takes in the hub's last word
                return
        raise AssertionError(f"not at its end: {self.sandbox.transactions()}")

    def states(self) -> dict[str | None, str]:
        return {one.trans_rec_id: one.state for one in self.engine.transactions()}

    def replies(self, packet_type: str) -> list[dict[str, Any]]:
        """The site's packets of a type at the service."""
        found = []
        for transaction in self.sandbox.transactions():
            for packet in self.sandbox.transaction(transaction.trans_rec_id)["DATA"]:
                if packet["type"] == packet_type:
                    found.append(packet)
        return found

    def assert_all_completed(self) -> None:
        theirs = {str(one.trans_rec_id): one.state for one in self.sandbox.transactions()}
        assert self.states() == theirs
        assert set(theirs.values()) == {"completed"}


HTML = (200, b"<!doctype html><title>Log in</title>", "text/html")
UNKNOWN_FAULT = (
    500,
    b'{"message": "The packet of Robin Example broke us. key-for-tests"}',
    "application/json",
)
NO_KEY = (401, b'{"message": "unknown key key-for-tests"}', "application/json")
TOO_MANY = (429, b'{"message": "slower"}', "application/json")
BEFORE, AFTER = "close before acting", "close after acting"
VAGUE = "act, and answer that all is well without the packet"

Fault = str | tuple[int, bytes, str]


class FlakyService:
    """An HTTP server before the sandbox: passes calls on, but for those that a test wants to fail.

    ``faults`` holds, by method, what is to happen to the next calls: a status with a body, or a connection
    that is closed before or after the service has acted, or an answer that tells little. ``down`` closes
    every connection at once.
    """

    def __init__(self, upstream: str) -> None:
        self.faults: dict[str, deque[Fault | None]] = {}
        self.down = False
        self.retry_after: int | None = None
        self.calls: list[tuple[str, str]] = []
        self._upstream = urlsplit(upstream)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_any(self) -> None:
                server._answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{self._upstream.path}"

    def fail(self, method: str, *faults: Fault | None) -> None:
        """Let the next calls with a method fail in these ways; None lets one through."""
        self.faults.setdefault(method, deque()).extend(faults)

    @contextmanager
    def serving(self) -> Iterator[FlakyService]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        body = call.rfile.read(int(call.headers.get("Content-Length") or 0))
        self.calls.append((call.command, call.path))
        call.close_connection = True
        waiting = self.faults.get(call.command)
        fault = waiting.popleft() if waiting else None
        if self.down or fault == BEFORE:
            return
        status, content, kind = fault if isinstance(fault, tuple) else self._pass_on(call, body)
        if fault == AFTER:
            return
        if fault == VAGUE:
            content = b'{"message": "Packet accepted", "result": null}'
        call.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content))}.items():
            call.send_header(name, value)
        if status == 429 and self.retry_after is not None:
            call.send_header("Retry-After", str(self.retry_after))
        call.send_header("Connection", "close")
        call.end_headers()
        call.wfile.write(content)

    def _pass_on(self, call: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection(self._upstream.netloc, timeout=20)
        headers = {name: value for name, value in call.headers.items() if name.lower() != "host"}
        connection.request(call.command, call.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.headers.get("Content-Type", "")


def write_as_a_later_release(engine: Engine, trans_rec_id: int | str) -> None:
    """Append an event that this release can't read to a transaction."""
    with engine.view() as view:
        state = view.require(trans_rec_id)
    event = NewEvent("packet_teleported")  # type: ignore[arg-type] # that is what is later about it
    with engine.log.write() as writer:
        writer.append(state.stream, state.version, [event])


def database_in(folder: Path) -> str:
    """A log in a file, for what must outlive a process."""
    return f"sqlite:///{folder / 'amie.db'}"
