"""The hub's side of the examples' tests: a sandbox whose calls can be waited for, and what both sides say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amie_engine import Engine
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Sandbox, SandboxServer
from amie_engine.sandbox.listing import PacketQuery

KEY = "key-for-tests"
NAME = "NCSA"
ENOUGH = 60.0
"""Seconds after which a test that waits has failed; it takes a few."""

ROOT = Path(__file__).parents[2]


class Watched(Sandbox):
    """A sandbox that notes that it was called, and calls back when a packet has come."""

    def __init__(self) -> None:
        super().__init__(NAME, KEY)
        self.called = threading.Event()
        self.on_post: Callable[[dict[str, Any]], object] = lambda document: None

    def list_packets(self, query: PacketQuery | None = None) -> list[dict[str, Any]]:
        self.called.set()
        return super().list_packets(query)

    def post(self, document: Any, in_reply_to: int | None = None, *, is_copy: bool = False) -> dict[str, Any]:
        taken = super().post(document, in_reply_to, is_copy=is_copy)
        self.called.set()
        self.on_post(document)
        return taken

    def start_all(self) -> None:
        """Start every official scenario."""
        for scenario in OFFICIAL_SCENARIOS:
            self.start_scenario(scenario)

    def states(self) -> dict[str | None, str]:
        """What the hub says of each transaction."""
        return {str(one.trans_rec_id): one.state for one in self.transactions()}

    def wait_for_the_end(self, engine: Engine, is_alive: Callable[[], object] = lambda: True) -> None:
        """Wait until the hub has nothing open any more, and the log of whoever plays the site knows it."""
        while not (self.idle and agreed(self, engine)):
            assert is_alive()
            assert self.called.wait(ENOUGH), self.transactions()
            self.called.clear()


@contextmanager
def watched_service() -> Iterator[tuple[Watched, str]]:
    """A sandbox, and where it answers."""
    hub = Watched()
    with SandboxServer(hub) as server:
        yield hub, server.url


def agreed(hub: Sandbox, engine: Engine) -> bool:
    """Whether both sides say of every transaction that it has completed."""
    theirs = {str(one.trans_rec_id): one.state for one in hub.transactions()}
    ours = {one.trans_rec_id: one.state for one in engine.transactions()}
    return bool(theirs) and ours == theirs and set(theirs.values()) == {"completed"}


def assert_played_to_the_end(hub: Sandbox, engine: Engine) -> None:
    """Both sides agree, nothing is left to do, and each request for a project was answered once."""
    assert agreed(hub, engine)
    assert [chain.state for chain in hub.scenarios()] == ["completed"] * len(hub.scenarios())
    assert engine.work.open() == []
    assert engine.outbox.open() == []
    assert engine.quarantine() == []
    for transaction in hub.transactions():
        kinds = [packet["type"] for packet in hub.transaction(transaction.trans_rec_id)["DATA"]]
        assert len(kinds) == len(set(kinds)), kinds


class Program:
    """A program of a site's in a process group of its own, which is killed at the end of a ``with`` block."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115 # closed at the end
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=folder,
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._said.close()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """All that it has written so far."""
        self._said.seek(0)
        return self._said.read()

    def stop(self, number: int) -> int:
        """Send it a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(ENOUGH)
