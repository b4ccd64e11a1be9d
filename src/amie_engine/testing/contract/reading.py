"""Guarantees 7 and 8: what is in the log is read for ever, and all else follows from it."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from sqlalchemy import text

from amie_engine.audit import check_projections, rebuild
from amie_engine.engine import Engine
from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.state import TransactionState
from amie_engine.errors import EventUnreadable
from amie_engine.log.events import UPCASTERS, EventType, current_schema
from amie_engine.log.schema import PROJECTIONS
from amie_engine.testing.contract.checks import COLUMNS, Sql, check_log, hash_of
from amie_engine.testing.contract.fixtures import Fixtures
from amie_engine.testing.contract.story import project_request

__all__ = ["ReadingContract", "append_later"]


def append_later(sql: Sql, **values: Any) -> None:
    """Have a later release append a copy of the first event, with some values of its own."""
    first, last = sql.events()[0], sql.events()[-1]
    row = first | {"position": last["position"] + 1, "version": 2, "packet_rec_id": None} | values
    row["hash"] = hash_of(row, last["hash"])
    names = ", ".join(COLUMNS)
    sql.run(f"INSERT INTO amie_events ({names}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})", **row)
    sql.run(
        "UPDATE amie_log_head SET position = :position, hash = :hash, recorded_at = :recorded_at",
        position=row["position"],
        hash=row["hash"],
        recorded_at=row["recorded_at"],
    )


class ReadingContract(Fixtures):
    """Guarantees 7 and 8."""

    # 7: readable for ever

    def test_07_every_event_is_of_a_type_and_a_schema_version_that_this_release_knows(
        self, busy: Engine
    ) -> None:
        for event in busy.log.whole.events():
            event.check_readable()
            assert isinstance(event.facts, dict)

    @pytest.mark.parametrize(
        "values", [{"type": "packet_teleported"}, {"schema_version": 99}, {"schema_version": 0}]
    )
    def test_07_an_event_that_this_release_does_not_know_is_refused_and_disturbs_no_other(
        self, engine: Engine, sql: Sql, values: dict[str, Any]
    ) -> None:
        engine.receive(project_request(1))
        engine.receive(project_request(2))
        append_later(sql, **values)
        with pytest.raises(EventUnreadable, match="position 3"):
            engine.history(1001)
        assert engine.history(1002).state == "requested"
        engine.receive(project_request(3))
        with pytest.raises(EventUnreadable):
            engine.fail(1001, "no")

    def test_07_an_event_of_an_older_schema_is_read_as_one_of_the_newest_and_stays_as_it_is(
        self, engine: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.receive(project_request(1))
        before = sql.everything()
        kind = EventType.PACKET_RECEIVED
        steps = (*UPCASTERS.get(kind, ()), lambda facts: facts | {"colour": "blue"})
        monkeypatch.setitem(UPCASTERS, kind, (*steps, lambda facts: facts | {"shade": facts["colour"]}))
        [event] = engine.log.whole.events()
        assert event.facts["shade"] == "blue"
        engine.receive(project_request(2))
        assert [row["schema_version"] for row in check_log(sql)] == [
            current_schema(kind) - 2,
            current_schema(kind),
        ]
        assert sql.everything()[0][0] == before[0][0]

    # 8: projections derive from the events

    def test_08_made_anew_from_columns_and_facts_every_projection_is_the_same(self, busy: Engine) -> None:
        check = check_projections(busy.database)
        assert check.differing == {}
        assert all(check.rows[table.name] > 0 for table in PROJECTIONS)

    def test_08_a_projection_that_was_lost_or_changed_is_made_anew(self, busy: Engine, sql: Sql) -> None:
        events = sql.everything()
        for table in (table.name for table in PROJECTIONS):
            before = _rows(sql, table)
            sql.run(f"UPDATE {table} SET site = 'OTHER'")
            assert check_projections(busy.database).differing.keys() == {table}
            sql.run(f"DELETE FROM {table}")
            rebuild(busy.database)
            assert _rows(sql, table) == before
        assert sql.everything() == events
        check_log(sql)

    def test_08_the_same_events_give_the_same_state_however_they_are_read(self, busy: Engine) -> None:
        with busy.log.read() as reader:
            streams = {entry.stream: reader.stream(entry.stream) for entry in busy.transactions()}
        states = {stream: fold(stream, events) for stream, events in streams.items()}
        assert len(states) > 8
        for stream, events in streams.items():
            for cut in range(len(events) + 1):
                assert reduce(evolve, events[cut:], fold(stream, events[:cut])) == states[stream]
        replayed = {stream: TransactionState(stream) for stream in states}
        for event in busy.log.whole.events(page=7):
            if event.stream in replayed:
                replayed[event.stream] = evolve(replayed[event.stream], event)
        assert replayed == states

    def test_08_what_is_written_there_by_hand_does_not_reach_the_state(self, busy: Engine, sql: Sql) -> None:
        state = busy.history(1001).state
        with sql.engine.begin() as connection:
            connection.execute(
                text("UPDATE amie_transactions SET state = 'failed' WHERE trans_rec_id = '1001'")
            )
        assert busy.history(1001).state == state == "completed"


def _rows(sql: Sql, table: str) -> list[tuple[Any, ...]]:
    return sorted(sql.rows(f"SELECT * FROM {table}"), key=repr)
