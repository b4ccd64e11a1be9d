"""Appending events: versions, conflicts, time, and that a transaction is written whole or not at all."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from amie_engine.errors import ConcurrencyConflict, EventUnreadable, LogError
from amie_engine.log.database import Database
from amie_engine.log.events import ACCEPTED, Event, EventType, NewEvent
from amie_engine.log.store import EventLog, format_time
from tests.log.busy_site import Clock
from tests.log.chain_check import broken_at, read_rows

Connect = Callable[[], sqlite3.Connection]


def note(number: int = 0) -> NewEvent:
    """An event that conflicts with no other."""
    return NewEvent(EventType.WORK_DEFERRED, facts={"reason": f"wait {number}", "not_before": None})


def accepted(packet_rec_id: str, event_type: EventType = EventType.PACKET_RECEIVED) -> NewEvent:
    """An event that makes a packet part of its transaction."""
    return NewEvent(event_type, packet_rec_id=packet_rec_id, facts={"content": "x"}, document={"a": 1})


def append(log: EventLog, stream: str, version: int, *events: NewEvent) -> list[Event]:
    """Append in a transaction of its own."""
    with log.write() as writer:
        return writer.append(stream, version, events)


def append_to_both(log: EventLog, *streams: tuple[str, int]) -> None:
    """Append an event to each stream, in one transaction."""
    with log.write() as writer:
        for stream, version in streams:
            writer.append(stream, version, [note()])


def append_in_spite_of_all(log: EventLog, *appends: tuple[str, int, list[NewEvent]]) -> None:
    """Append in one transaction, and carry on whatever an append raises."""
    with log.write() as writer:
        for stream, version, events in appends:
            with suppress(ConcurrencyConflict, ValueError, TypeError):
                writer.append(stream, version, events)


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
    assert list(log.events()) == [appended]


def test_a_stream_that_has_moved_on_is_a_conflict_and_nothing_is_written(
    log: EventLog, bare: Connect
) -> None:
    append(log, "s", 0, note(1), note(2))
    before = read_rows(bare())
    for version in (0, 1):
        with pytest.raises(ConcurrencyConflict, match="moved on"):
            append(log, "s", version, note(3))
        with pytest.raises(ConcurrencyConflict):
            append_to_both(log, ("other", 0), ("s", version))
    assert read_rows(bare()) == before
    assert [event.position for event in append(log, "s", 2, note(6))] == [3]
    assert broken_at(read_rows(bare())) == []


@pytest.mark.parametrize("first", ACCEPTED)
@pytest.mark.parametrize("second", ACCEPTED)
def test_a_packet_is_accepted_once(log: EventLog, bare: Connect, first: EventType, second: EventType) -> None:
    append(log, "s", 0, accepted("7", first))
    with pytest.raises(ConcurrencyConflict):
        append(log, "t", 0, note(), accepted("7", second))
    with pytest.raises(ConcurrencyConflict):
        append(log, "s", 1, accepted("7", second))
    assert len(read_rows(bare())) == 1


def test_packets_are_numbered_alike_at_other_hubs_and_sites(
    log: EventLog, database: Database, clock: Clock
) -> None:
    append(log, "s", 0, accepted("7"))
    for hub, site in (("sandbox", "NCSA"), ("access", "PSC")):
        other = EventLog(database, hub=hub, site=site, clock=clock)
        append(other, f"{hub}-{site}", 0, accepted("7"))
        with other.read() as reader:
            known = reader.accepted("7")
        assert known is not None
        assert known.stream == f"{hub}-{site}"
    assert [event.position for event in log.events()] == [1, 2, 3]


def test_a_packet_without_a_record_id_or_not_accepted_may_come_often(log: EventLog) -> None:
    confirmed = NewEvent(EventType.PACKET_CONFIRMED, facts={"answers": "1"})
    held = NewEvent(EventType.PACKET_HELD, packet_rec_id="7", facts={"content": "x"})
    append(log, "s", 0, confirmed, confirmed, held, held, accepted("7"))
    with log.read() as reader:
        assert len(reader.stream("s")) == 5


def test_a_transaction_that_is_rolled_back_leaves_no_gap(log: EventLog, bare: Connect) -> None:
    append(log, "s", 0, note(1))
    with pytest.raises(ConcurrencyConflict):
        append_to_both(log, ("s", 1), ("s", 1))
    append(log, "s", 1, note(4))
    assert [event.position for event in log.events()] == [1, 2]
    assert broken_at(read_rows(bare())) == []


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(note(1), id="conflict"),
        pytest.param(NewEvent(EventType.WORK_DEFERRED, facts={"a": math.nan}), id="facts"),
        pytest.param(NewEvent(EventType.WORK_DEFERRED, document={"a": object()}), id="document"),
    ],
)
def test_whoever_carries_on_after_an_append_that_failed_commits_nothing(
    log: EventLog, bare: Connect, bad: NewEvent
) -> None:
    append(log, "s", 0, note(1))
    with pytest.raises(LogError, match="can't be committed"):
        append_in_spite_of_all(log, ("s", 0 if bad == note(1) else 1, [note(2), bad]), ("t", 0, [note(3)]))
    assert [event.stream for event in log.events()] == ["s"]
    append(log, "s", 1, note(4))
    assert broken_at(read_rows(bare())) == []


def test_recorded_time_never_goes_back(log: EventLog, clock: Clock) -> None:
    [first] = append(log, "s", 0, note(1))
    clock.forward(hours=-3)
    [second] = append(log, "t", 0, note(2))
    clock.forward(hours=4)
    [third] = append(log, "s", 1, note(3))
    assert first.recorded_at == second.recorded_at == "2026-01-20T09:30:00.000000Z"
    assert third.recorded_at == "2026-01-20T10:30:00.000000Z"


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


def test_appends_are_invisible_until_the_commit(log: EventLog) -> None:
    with log.write() as writer:
        writer.append("s", 0, [note(1)])
        assert len(writer.stream("s")) == 1
        assert list(log.events()) == []
    assert len(list(log.events())) == 1


def test_a_reader_sees_one_state_however_long_it_reads(log: EventLog) -> None:
    append(log, "s", 0, note(1))
    with log.read() as reader:
        assert len(reader.page(0, 10)) == 1
        append(log, "s", 1, note(2))
        assert len(reader.page(0, 10)) == 1
    assert len(list(log.events())) == 2


@pytest.mark.parametrize("page", [1, 2, 3, 7, 8, 100])
def test_events_come_in_order_and_once_whatever_the_page(log: EventLog, page: int) -> None:
    append(log, "s", 0, *(note(number) for number in range(7)))
    assert [event.position for event in log.events(page=page)] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.position for event in log.events(5, page=page)] == [6, 7]
    assert list(log.events(7, page=page)) == []


def test_without_its_counter_row_the_log_takes_nothing(log: EventLog, bare: Connect) -> None:
    bare().execute("DELETE FROM amie_log_head")
    with pytest.raises(LogError, match="counter row"):
        append(log, "s", 0, note(1))


def test_an_event_of_a_later_release_is_not_misread(log: EventLog) -> None:
    append(log, "s", 0, note(1))
    [event] = log.events()
    for values in ({"type": "packet_teleported"}, {"schema_version": 2}, {"schema_version": 0}):
        changed = {name: getattr(event, name) for name in Event.__slots__} | values
        with pytest.raises(EventUnreadable, match="position 1"):
            Event(**changed).check_readable()
    event.check_readable()
