"""Appending events, beside the contract: what is read back, parts that are undone, the counter row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from amie_engine.errors import ConcurrencyConflict, LogError
from amie_engine.log.events import Event, EventType, NewEvent
from amie_engine.log.store import EventLog, LogWriter, format_time
from amie_engine.testing import Clock
from tests.log.chain_check import broken_at, read_rows

Connect = Callable[[], sqlite3.Connection]


def note(number: int = 0) -> NewEvent:
    """An event that conflicts with no other."""
    return NewEvent(EventType.WORK_DEFERRED, facts={"reason": f"wait {number}", "not_before": None})


def append(log: EventLog, stream: str, version: int, *events: NewEvent) -> list[Event]:
    """Append in a transaction of its own."""
    with log.write() as writer:
        return writer.append(stream, version, events)


def test_what_is_appended_is_read_back(log: EventLog) -> None:
    event = NewEvent(
        EventType.PACKET_RECEIVED,
        trans_rec_id="1" * 38,
        packet_rec_id="2" * 38,
        packet_type="request_project_create",
        sender="hub",
        status=None,
        actor="service",
        facts={"b": 1, "a": ["ü", None]},
        document={"body": {"PiLastName": "Example"}},
    )
    [appended] = append(log, "s", 0, event)
    assert appended == Event(
        1, "s", 1, "packet_received", 1, "2026-01-20T09:30:00.000000Z", "access", "NCSA", "1" * 38, "2" * 38,
        "request_project_create", "hub", None, "service", '{"a":["\\u00fc",null],"b":1}',
    )  # fmt: skip
    with log.read() as reader:
        assert reader.stream("s") == [appended]
        assert reader.document("s", 1) == {"body": {"PiLastName": "Example"}}
        known = reader.accepted("2" * 38)
    assert known is not None
    assert (known.stream, known.facts) == ("s", {"a": ["ü", None], "b": 1})
    assert list(log.whole.events()) == [appended]


def test_times_are_utc_and_sort_as_text() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 1, 1, 2, 0, tzinfo=east)
    assert format_time(moment) == "2025-12-31T20:30:00.000000Z"
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) for us in (0, 1, 10**6, 10**7)]
    texts = [format_time(moment) for moment in moments]
    assert sorted(texts) == texts
    assert {len(text) for text in texts} == {27}


def test_an_appending_transaction_without_an_event_writes_nothing(log: EventLog, bare: Connect) -> None:
    append(log, "s", 0, note(1))
    before = bare().execute("SELECT * FROM amie_log_head").fetchall()
    with log.write():
        pass
    append(log, "s", 1)
    assert bare().execute("SELECT * FROM amie_log_head").fetchall() == before


def test_without_its_counter_row_the_log_takes_nothing(log: EventLog, bare: Connect) -> None:
    bare().execute("DELETE FROM amie_log_head")
    with pytest.raises(LogError, match="counter row"):
        append(log, "s", 0, note(1))


def test_there_is_one_counter_row_and_never_a_second(log: EventLog, bare: Connect) -> None:
    for number in (1, 2):
        with pytest.raises(sqlite3.IntegrityError):
            bare().execute("INSERT INTO amie_log_head VALUES (?, 0, '', '', '')", (number,))


def test_a_part_that_is_undone_leaves_nothing_and_the_rest_is_committed(log: EventLog, bare: Connect) -> None:
    def fail_in_between(writer: LogWriter, version: int) -> None:
        with writer.undoable():
            writer.append("lost", 0, [note(1), note(2)])
            writer.append("s", version, [note(3)])

    with log.write() as writer:
        writer.append("s", 0, [note(0)])
        for version in (0, 5):
            with pytest.raises(ConcurrencyConflict):
                fail_in_between(writer, 0)
            writer.append(f"kept {version}", 0, [note(4)])
        with writer.undoable():
            writer.append("s", 1, [note(5)])
    assert [event.stream for event in log.whole.events()] == ["s", "kept 0", "kept 5", "s"]
    assert broken_at(read_rows(bare())) == []
    with log.write() as writer, suppress(ConcurrencyConflict):
        fail_in_between(writer, 0)
    assert len(list(log.whole.events())) == 4


def test_a_clock_that_is_far_behind_is_warned_of_once_until_it_is_right_again(
    log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    for minutes in (0, 60, -4, -2, -1, 60, 60, -30):
        clock.forward(minutes=minutes)
        with log.write() as writer:
            writer.append(f"s{len(told)}", 0, [note()])
        told.append(len(caplog.messages))
    assert told == [0, 0, 0, 1, 1, 1, 1, 2]
    assert "2026-01-20T10:24:00.000000Z" in caplog.messages[0]
    assert "2026-01-20T10:30:00.000000Z" in caplog.messages[0]
