"""The site of the hostile load test: handlers that fail, wait and refuse at times, and a small back end that
knows each thing that it did by its idempotency key."""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amie_engine import Packet, Site, Work
from amie_engine.site import Deferral, Retries

BACK_END = "HOSTILE_LOAD_BACK_END"
"""The environment variable that names the back end's file."""

SITE = "CAMPUS"

_TABLES = """
CREATE TABLE IF NOT EXISTS effects (
    key TEXT PRIMARY KEY, trans_rec_id TEXT NOT NULL, step TEXT NOT NULL, result TEXT NOT NULL,
    presented INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS persons (global_id TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""

_FAIL_AT_FIRST, _WAIT_AT_FIRST, _REFUSE = 5, 5, 1
"""Of a hundred requests."""

_WAIT = timedelta(seconds=1)
_ANSWER_TAKES = 0.03


class BackEnd:
    """What the site's own code writes to: a file of its own, flushed at each commit.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def do(self, trans_rec_id: str, step: str, result: str, *, key: str) -> str:
        """Do something once for a key, however often it is presented; return what came of it."""
        with closing(self._connect()) as connection:
            [[kept]] = connection.execute(
                "INSERT INTO effects VALUES (?, ?, ?, ?, 1)"
                " ON CONFLICT (key) DO UPDATE SET presented = presented + 1 RETURNING result",
                (key, trans_rec_id, step, result),
            ).fetchall()
        time.sleep(_ANSWER_TAKES)  # a moment in which a daemon is killed that has done it, and does not know
        return str(kept)

    def person(self, global_id: str) -> str:
        """Return the site's id of a person; a new one has it from now on."""
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT INTO persons SELECT ?, 1001 + count(*) FROM persons WHERE true"
                " ON CONFLICT DO NOTHING",
                (global_id,),
            )
            [[number]] = connection.execute("SELECT number FROM persons WHERE global_id = ?", (global_id,))
        return f"u{number}"

    def effects(self) -> list[tuple[str, str, str, int]]:
        """Return every effect: its key, its transaction, its step, and how often it was presented."""
        with closing(self._connect()) as connection:
            return connection.execute("SELECT key, trans_rec_id, step, presented FROM effects").fetchall()


def site() -> Site:
    """The site, on the back end that the environment names."""
    back_end = BackEnd(Path(os.environ[BACK_END]))
    made = Site(SITE, retries=Retries(first=timedelta(seconds=1), longest=timedelta(seconds=5)))

    def once(work: Work, step: str, result: str) -> Any:
        name, key = work.trans_rec_id or "", work.step_key(step)
        return work.step(step, back_end.do, name, step, result, key=key)

    def hindrance(work: Work) -> Packet | Deferral | None:
        """What keeps a handler from its work: for some requests, and for those at the first call alone."""
        point = zlib.crc32(work.key.encode()) % 100
        if point < _FAIL_AT_FIRST and work.attempt == 1:
            raise RuntimeError("The back end is busy.")
        if point in range(50, 50 + _WAIT_AT_FIRST):
            until = datetime.fromisoformat(work.step("wait", lambda: (datetime.now(UTC) + _WAIT).isoformat()))
            if datetime.now(UTC) < until:
                return work.defer(until=until, reason="not yet")
        if point in range(80, 80 + _REFUSE):
            return work.fail("The site declines this request.")
        return None

    @made.handles("request_project_create")
    def create_project(request: Any, work: Work) -> Packet | Deferral:
        if (hindered := hindrance(work)) is not None:
            return hindered
        person = back_end.person(request.PiGlobalID)
        reply: Any = work.reply
        reply.ProjectID = once(work, "create project", f"p-{request.GrantNumber}")
        reply.PiRemoteSiteLogin = once(work, "create login", f"login-{person}")
        reply.PiPersonID = person
        return work.reply

    @made.handles("request_account_create")
    def create_account(request: Any, work: Work) -> Packet | Deferral:
        if (hindered := hindrance(work)) is not None:
            return hindered
        person = back_end.person(request.UserGlobalID)
        reply: Any = work.reply
        reply.ProjectID = request.ProjectID or f"p-{request.GrantNumber}"
        reply.UserRemoteSiteLogin = once(work, "create account", f"login-{person}")
        reply.UserPersonID = person
        return work.reply

    @made.handles(
        "request_project_inactivate",
        "request_project_reactivate",
        "request_account_inactivate",
        "request_account_reactivate",
        "request_user_modify",
        "request_person_merge",
    )
    def change(request: Any, work: Work) -> Packet | Deferral:
        if (hindered := hindrance(work)) is not None:
            return hindered
        once(work, "change", request.packet_type)
        return work.reply

    return made
