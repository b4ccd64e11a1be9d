"""Engines that lose or double something if they crash at the wrong moment. Each of these sites breaks the
engine of the process that it is made in, which is one of its own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from amie_engine.engine import Engine, subscriber_row
from amie_engine.engine.checkpoints import Checkpoints
from amie_engine.engine.delivering import Delivering
from amie_engine.engine.outbox import Outbox, Outgoing
from amie_engine.log.events import Event
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog, LogWriter
from amie_engine.packet import Packet
from amie_engine.site import Site
from amie_engine.site.log_memory import LogMemory
from amie_engine.site.sender import Sender
from amie_engine.testing.crashes import courses
from tests.crashes import sites


def two_commits(folder: Path) -> Site:
    """What is to be sent is written after the event that decides it has been committed."""
    later: list[tuple[Statement, Any]] = []
    run, write = Cursor.run, EventLog.write

    def put_off(self: Cursor, statement: Statement, values: Any = None) -> int:
        if statement.sql.startswith("INSERT INTO amie_outbox"):
            later.append((statement, values))
            return 1
        return run(self, statement, values)

    @contextmanager
    def write_later(self: EventLog) -> Iterator[LogWriter]:
        with write(self) as writer:
            yield writer
        if later:
            with self.database.write() as cursor:
                while later:
                    run(cursor, *later.pop(0))

    Cursor.run = put_off  # type: ignore[method-assign]
    EventLog.write = write_later  # type: ignore[method-assign]
    return sites.declining_at_once(folder)


def forgetting_steps(folder: Path) -> Site:
    """The results of steps are not kept."""

    def forget(self: LogMemory, name: str, result: Any, milliseconds: int) -> Any:
        return result

    LogMemory.remember = forget  # type: ignore[method-assign]
    return courses.declining(folder)


def sending_without_a_word(folder: Path) -> Site:
    """That something is about to be sent is not put on record."""

    def attempt(self: Outbox, outgoing: Outgoing) -> Packet | None:
        engine: Engine = self._engine
        with engine.view() as view:
            entry = view.state(outgoing.stream).outgoing(outgoing.answers)
            assert entry is not None
            return Packet.from_dict(view.reader.document(outgoing.stream, entry.decided_version))

    Outbox.attempt = attempt  # type: ignore[method-assign]
    return courses.steps(folder)


def forgetting_subscribers(folder: Path) -> Site:
    """That a subscriber was given an event is kept before it is."""
    call = Delivering._call

    def save_and_call(self: Delivering, event: Event) -> str | None:
        self._save(event.position)
        return call(self, event)

    Delivering._call = save_and_call  # type: ignore[method-assign]
    return sites.followed(folder)


def forgetting_who_is_new(folder: Path) -> Site:
    """That a subscriber has begun is kept no sooner than it was given something."""
    begin = Checkpoints.begin

    def forget_and_begin(self: Checkpoints, name: str, *, since: str) -> None:
        with self._log.database.write() as cursor:
            cursor.run(Statement("DELETE FROM amie_subscriptions WHERE position = 0"))
        begin(self, name, since=since)

    Checkpoints.begin = forget_and_begin  # type: ignore[method-assign]
    site = sites.declining_at_once(folder)
    site.on_event("new")(lambda event: None)
    return site


def passing_over_the_first(folder: Path) -> Site:
    """What is at the log's beginning is given to nobody."""
    is_wanted = Delivering._is_wanted

    def is_wanted_later(self: Delivering, event: Event) -> bool:
        return event.position > 3 and is_wanted(self, event)

    Delivering._is_wanted = is_wanted_later  # type: ignore[method-assign]
    return sites.followed(folder)


def telling_nobody(folder: Path) -> Site:
    """No event is given to anybody."""
    Delivering._is_wanted = lambda self, event: False  # type: ignore[method-assign]
    return sites.followed(folder)


def never_taking_over(folder: Path) -> Site:
    """A process that was killed while it delivered is taken to be at it still."""
    subscriber_row.holder_is_gone = lambda holder, token: False  # type: ignore[attr-defined] # where it is used
    return sites.followed(folder)


def leaving_what_was_under_way(folder: Path) -> Site:
    """What was about to be sent when the process was killed is never looked for."""
    due_now = Sender._due_now

    def new_alone(self: Sender) -> list[Outgoing]:
        return [outgoing for outgoing in due_now(self) if outgoing.status != "attempting"]

    Sender._due_now = new_alone  # type: ignore[method-assign]
    return sites.declining_at_once(folder)


def losing_what_was_written(folder: Path) -> Site:
    """The disk never had what it said was written: after a crash, the log is as it was at the start."""
    log, on_disk = folder / "amie.db", folder / "on disk"
    if on_disk.exists():
        for file in folder.glob("amie.db*"):
            file.unlink()
        shutil.copyfile(on_disk, log)
    shutil.copyfile(log, on_disk)
    return sites.declining_at_once(folder)


def dating_events_anew(folder: Path) -> Site:
    """Each start writes over when it was that something was recorded."""
    _run(folder, "DROP TRIGGER IF EXISTS amie_events_no_update")
    _run(folder, "UPDATE amie_events SET recorded_at = '2026-01-20T00:00:00.000000+00:00'")
    return sites.declining_at_once(folder)


def knowing_what_no_event_says(folder: Path) -> Site:
    """A person is known whom no event names."""
    person = "(hub, site, person_id) VALUES ('sandbox', 'CAMPUS', 'u0')"
    _run(folder, f"INSERT OR IGNORE INTO amie_directory_persons {person}")
    return sites.declining_at_once(folder)


def _run(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "amie.db", isolation_level=None)) as log:
        log.execute(sql)


def confirming_first(folder: Path) -> Site:
    """That a transaction is failed at the service is put on record before the service is told."""
    send = Sender._send

    def confirm_and_send(self: Sender, outgoing: Outgoing) -> bool:
        if outgoing.kind != "set_failed":
            return send(self, outgoing)
        self._engine.outbox.attempt(outgoing)
        self._engine.outbox.confirm(outgoing)
        self._client.set_transaction_failed(outgoing.trans_rec_id or "")
        return True

    Sender._send = confirm_and_send  # type: ignore[method-assign]
    return courses.waiting(folder)


def never_the_same(folder: Path) -> Site:
    """It does something else each time."""
    site = Site(courses.SITE)
    name = f"step {folder.stat().st_ino} {len(list(folder.iterdir()))} {id(site)}"

    @site.handles("request_project_create")
    def create(request: Packet, work: Any) -> Packet:
        work.step(name, lambda: None)
        return courses.told(work)

    return site


def doing_nothing(folder: Path) -> Site:
    """It has no handlers: what is asked of it stays open."""
    return Site(courses.SITE)
