"""What a second process does: it appends to the same file, through the log."""

from __future__ import annotations

from amie_engine.engine import Engine
from amie_engine.errors import ConcurrencyConflict
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import EventLog


def note(text: str) -> NewEvent:
    """An event that conflicts with no other."""
    return NewEvent(EventType.WORK_DEFERRED, facts={"reason": text, "not_before": None})


def append_often(log: EventLog, writer: str, count: int) -> None:
    """Append pairs of events to a stream of one's own, in transactions of their own."""
    for number in range(count):
        with log.write() as transaction:
            transaction.append(writer, 2 * number, [note("first"), note("second")])


def append_to_one_stream(log: EventLog, writer: str, count: int) -> None:
    """Append to the stream that all write to, each time to what was there a moment ago."""
    for _ in range(count):
        while True:
            with log.read() as reader:
                version = len(reader.stream("shared"))
            try:
                with log.write() as transaction:
                    transaction.append("shared", version, [note(writer)])
            except ConcurrencyConflict:
                continue
            break


def run_process(url: str, writer: str, count: int) -> None:
    """The main function of a process: it opens a file that may not be there yet, and appends to it."""
    with Engine(url, site="NCSA") as engine:
        append_often(engine.log, writer, count)
        append_to_one_stream(engine.log, writer, count)
