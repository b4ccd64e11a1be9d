"""Replay: the states as they are, and as they were, from the events alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amie_engine.audit import ReplayedTransaction, position_at, replay, replay_one, replaying
from amie_engine.engine import Engine
from amie_engine.engine.evolve import evolve
from amie_engine.engine.state import TransactionState
from amie_engine.errors import EventUnreadable, LogDamaged
from amie_engine.log.events import UPCASTERS, EventType
from amie_engine.testing import Clock
from tests.log.busy_site import project_request, whole_project

Told = tuple[str | None, str | None, str, int, int]


def told(transaction: ReplayedTransaction) -> Told:
    return (
        transaction.trans_rec_id,
        transaction.type,
        transaction.state,
        transaction.version,
        transaction.position,
    )


def states_at_every_position(engine: Engine) -> list[dict[str, Told]]:
    """The engine's own fold of every beginning of the log, the empty one first."""
    states: dict[str, TransactionState] = {}
    others: set[str] = set()
    positions: dict[str, int] = {}
    found: list[dict[str, Told]] = [{}]
    for event in engine.log.whole.events():
        if event.version == 1 and event.type in ("packet_quarantined", "documents_erased"):
            others.add(event.stream)
        if event.stream not in others:
            state = states.get(event.stream, TransactionState(event.stream))
            states[event.stream] = evolve(state, event)
            positions[event.stream] = event.position
        found.append(
            {
                stream: (state.trans_rec_id, state.type, str(state.state), state.version, positions[stream])
                for stream, state in states.items()
            }
        )
    return found


@pytest.mark.parametrize("live", [40_000, 3])
@pytest.mark.parametrize("page", [2000, 7])
def test_replayed_to_any_position_every_transaction_is_as_it_was(
    busy: Engine, monkeypatch: pytest.MonkeyPatch, page: int, live: int
) -> None:
    monkeypatch.setattr(replaying, "_PAGE", page)
    monkeypatch.setattr(replaying, "_LIVE", live)
    wanted = states_at_every_position(busy)
    assert len(wanted) > 120
    for position, states in enumerate(wanted):
        with replay(busy.database, until=position) as replayed:
            assert replayed.position == position
            found = list(replayed.transactions())
        assert {transaction.stream: told(transaction) for transaction in found} == states
        assert [told(t)[4] for t in found if t.version == 1] == sorted(
            told(t)[4] for t in found if t.version == 1
        )


def test_one_transaction_can_be_replayed_in_full(busy: Engine) -> None:
    with busy.view() as view:
        now = view.require(50_001)
    assert replay_one(busy.database, "50001") == [now]
    assert replay_one(busy.database, now.stream) == [now]
    [then] = replay_one(busy.database, "50001", until=now.opened_position)
    assert (then.state, then.version) == ("requested", 1)
    assert replay_one(busy.database, "50001", until=now.opened_position - 1) == []
    assert replay_one(busy.database, "no such") == []


def test_the_counts_are_those_of_the_states(busy: Engine) -> None:
    with replay(busy.database) as replayed:
        counts = {(row[2], row[3]): row[4] for row in replayed.counts()}
        states = [(t.type, t.state) for t in replayed.transactions()]
    assert counts == {key: states.count(key) for key in states}


def test_what_was_recorded_by_a_time_is_found_also_where_the_clock_went_back(
    engine: Engine, clock: Clock
) -> None:
    began = clock()
    positions = {}
    for number in range(1, 12):
        engine.receive(project_request(number))
        positions[clock()] = number
        clock.forward(hours=1 if number % 4 else -2)
    assert position_at(engine.database, began - timedelta(microseconds=1)) == 0
    assert position_at(engine.database, datetime(2100, 1, 1, tzinfo=UTC)) == 11
    recorded = [datetime.fromisoformat(event.recorded_at) for event in engine.log.whole.events()]
    assert recorded == sorted(recorded)
    for moment in recorded:
        assert position_at(engine.database, moment) == sum(time <= moment for time in recorded)
        assert position_at(engine.database, moment + timedelta(seconds=1)) == sum(
            time <= moment + timedelta(seconds=1) for time in recorded
        )


def test_an_empty_log_has_no_transactions(engine: Engine) -> None:
    with replay(engine.database) as replayed:
        assert (list(replayed.transactions()), replayed.counts()) == ([], [])
        assert (replayed.position, replayed.recorded_at) == (0, None)
    assert position_at(engine.database, datetime(2100, 1, 1, tzinfo=UTC)) == 0


def test_the_newest_events_are_those_at_its_beginning(engine: Engine, clock: Clock) -> None:
    """A replay that others append to meanwhile ends where the log ended when it began."""
    whole_project(engine, clock, 1)
    newest = engine.log.whole.head().position
    seen = []

    def append(done: int, total: int) -> None:
        seen.append((done, total))
        whole_project(engine, clock, 2)

    with replay(engine.database, progress=append) as replayed:
        assert replayed.position == newest
    assert seen == [(newest, newest)]


def without_triggers(connect: Callable[[], sqlite3.Connection], sql: str, *values: Any) -> None:
    connection = connect()
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(sql, values).rowcount > 0


@pytest.mark.parametrize(
    "change", ["type = 'no_such_event'", "schema_version = 2", "schema_version = 0", "type = 'PACKET_HELD'"]
)
def test_an_event_that_nobody_knows_is_refused(
    busy: Engine, bare: Callable[[], sqlite3.Connection], change: str
) -> None:
    without_triggers(bare, f"UPDATE amie_events SET {change} WHERE position = 20")
    with pytest.raises(EventUnreadable, match="position 20 "):
        replay(busy.database)
    with replay(busy.database, until=19) as replayed:
        assert replayed.position == 19


def test_an_event_of_an_older_schema_is_read_as_one_of_this(
    busy: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upcaster that turns an odd mark of old into today's."""
    with replay(busy.database) as replayed:
        before = [told(transaction) for transaction in replayed.transactions()]
    seen = []

    def upcast(facts: dict[str, Any]) -> dict[str, Any]:
        seen.append(facts)
        return facts | {"attached": True}

    monkeypatch.setitem(UPCASTERS, EventType.PACKET_RECEIVED, (upcast,))
    with replay(busy.database) as replayed:
        after = [told(transaction) for transaction in replayed.transactions()]
    assert len(seen) > 10
    assert after != before
    assert [told[3:] for told in after] == [told[3:] for told in before]


def test_an_event_that_is_missing_is_told_of(busy: Engine, bare: Callable[[], sqlite3.Connection]) -> None:
    with busy.view() as view:
        second = view.reader.stream(view.require(50_001).stream)[1].position
    without_triggers(bare, "DELETE FROM amie_events WHERE position = ?", second)
    with pytest.raises(LogDamaged, match=f"The event at position {second} is missing"):
        replay(busy.database)
    with pytest.raises(LogDamaged, match="is number 3 of its stream, after number 1"):
        replay_one(busy.database, "50001")
    with replay(busy.database, until=second - 1) as replayed:
        assert replayed.position == second - 1


@pytest.mark.parametrize("page", [1, 2, 500])
def test_a_whole_stream_that_is_missing_is_told_of(
    busy: Engine, bare: Callable[[], sqlite3.Connection], monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """No stream has a version too few then: only the positions tell."""
    monkeypatch.setattr(replaying, "_PAGE", page)
    [(position,)] = bare().execute(
        "SELECT max(position) FROM amie_events GROUP BY stream HAVING count(*) = 1 ORDER BY 1 LIMIT 1"
    )
    without_triggers(bare, "DELETE FROM amie_events WHERE position = ?", position)
    with pytest.raises(LogDamaged, match=f"The event at position {position} is missing"):
        replay(busy.database)


def test_a_stream_without_an_event_is_told_of_though_its_positions_were_mended(
    busy: Engine, bare: Callable[[], sqlite3.Connection]
) -> None:
    with busy.view() as view:
        second = view.reader.stream(view.require(50_001).stream)[1].position
    without_triggers(bare, "DELETE FROM amie_events WHERE position = ?", second)
    bare().execute("UPDATE amie_events SET position = -position WHERE position > ?", (second,))
    bare().execute("UPDATE amie_events SET position = -position - 1 WHERE position < 0")
    bare().execute("UPDATE amie_log_head SET position = position - 1")
    with pytest.raises(LogDamaged, match="is number 3 of its stream, after number 1"):
        replay(busy.database)


def test_a_tail_that_is_missing_is_told_of(busy: Engine, bare: Callable[[], sqlite3.Connection]) -> None:
    newest = busy.log.whole.head().position
    without_triggers(bare, "DELETE FROM amie_events WHERE position > ?", newest - 3)
    told = f"events {newest - 2} to {newest} are missing"
    with pytest.raises(LogDamaged, match=told):
        replay(busy.database)
    with pytest.raises(LogDamaged, match=told):
        replay_one(busy.database, "50001")
    with pytest.raises(LogDamaged, match=f"The event at position {newest - 2} is missing"):
        replay(busy.database, until=newest)
    with pytest.raises(LogDamaged, match="is missing"):
        position_at(busy.database, datetime(2100, 1, 1, tzinfo=UTC))
    with replay(busy.database, until=newest - 3) as replayed:
        assert replayed.position == newest - 3
    assert replay_one(busy.database, "50001", until=newest - 3)[0].trans_rec_id == "50001"


def test_a_counter_that_is_not_the_newest_events_is_told_of(
    busy: Engine, bare: Callable[[], sqlite3.Connection]
) -> None:
    bare().execute("UPDATE amie_log_head SET hash = 'x'")
    with pytest.raises(LogDamaged, match="The counter's hash is not that of the newest event"):
        replay(busy.database)


@pytest.mark.parametrize(
    "value", [{"acknowledges": True}, {"attached": True}, {"call": "failed"}, {"replaces": "70001"}]
)
def test_what_a_field_says_moves_nothing(engine: Engine, value: Any) -> None:
    """The engine's own marks, as they may stand in a packet that comes in."""
    outcome = engine.receive(project_request(1, PfosNumber=value, StartDate=value, **value))
    assert {"odd-item:PfosNumber", "odd-item:StartDate"} <= set(outcome.anomalies)
    with replay(engine.database) as replayed:
        assert [transaction.state for transaction in replayed.transactions()] == ["requested"]
