"""Deadlines as events: near, passed, each once for each packet that is waited on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.audit import check_projections
from amie_engine.errors import ReplyNotDue
from amie_engine.log.events import EventType
from amie_engine.log.statements import Cursor, Statement
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.reading import append_later
from tests.engine.playing import Ids, answer_project, dpc, filled, inform, rpc, send, state_of
from tests.engine.test_laws import ACTIONS, HUB_PACKETS, play

NewLog = Callable[[], sqlalchemy.Engine]

MADE = datetime(2026, 1, 15, 12, tzinfo=UTC)
"""When the samples' packets were made; the first answer is due 21 days later."""

DEADLINE = MADE + timedelta(days=21)


def told(engine: Engine, trans: int | str = 1) -> list[tuple[str, str | None, Any]]:
    """The deadlines on record in a transaction: what was noted, of which packet, and whose turn it is."""
    return [
        (entry.event, entry.packet_rec_id, entry.facts["turn"])
        for entry in engine.history(trans).entries
        if entry.event.startswith("deadline_")
    ]


@pytest.fixture
def asked(engine: Engine) -> Engine:
    """An engine with a request for a project."""
    engine.receive(rpc())
    assert engine.expected_reply(1).deadline == DEADLINE
    return engine


class TestNearAndPassed:
    def test_it_is_near_and_then_has_passed_and_each_is_told_once(self, asked: Engine, clock: Clock) -> None:
        clock.now = DEADLINE - timedelta(days=3, seconds=1)
        assert asked.note_deadlines() == []
        clock.now = DEADLINE - timedelta(days=3)
        [near] = asked.note_deadlines()
        assert (near.trans_rec_id, near.turn, near.deadline, near.passed) == ("1", "site", DEADLINE, False)
        assert asked.note_deadlines() == []
        clock.now = DEADLINE
        [passed] = asked.note_deadlines()
        assert (passed.stream, passed.passed) == (near.stream, True)
        clock.forward(days=100)
        assert asked.note_deadlines() == []
        assert told(asked) == [("deadline_near", "10", "site"), ("deadline_passed", "10", "site")]
        [_, first, second] = asked.history(1).entries
        assert first.facts == {
            "deadline": DEADLINE.isoformat(),
            "turn": "site",
            "due": ["notify_project_create"],
        }
        assert (first.who, first.actor, first.packet_type) == ("engine", "engine", "request_project_create")
        until = DEADLINE.isoformat()
        assert first.sentence == f"The site's deadline for notify_project_create is near: {until}."
        assert "has passed" in second.sentence

    def test_it_fails_nothing_and_a_person_still_confirms_it(self, asked: Engine, clock: Clock) -> None:
        clock.now = DEADLINE - timedelta(days=1)
        asked.note_deadlines()
        with pytest.raises(ReplyNotDue):
            asked.confirm_deadline(1, actor="operator")
        clock.now = DEADLINE
        asked.note_deadlines()
        assert (state_of(asked), len(asked.work.ready())) == ("requested", 1)
        asked.confirm_deadline(1, actor="operator")
        assert state_of(asked) == "failed"
        assert asked.note_deadlines() == []

    def test_where_nobody_looked_in_time_it_has_only_passed(self, asked: Engine, clock: Clock) -> None:
        clock.now = DEADLINE + timedelta(days=50)
        [noted] = asked.note_deadlines()
        assert noted.passed
        assert [event for event, _, _ in told(asked)] == ["deadline_passed"]

    def test_what_was_answered_in_time_has_no_deadline_any_more(self, asked: Engine, clock: Clock) -> None:
        clock.now = DEADLINE - timedelta(days=4)
        answer_project(asked)
        clock.now = DEADLINE + timedelta(hours=1)
        assert all(noted.turn == "hub" for noted in asked.note_deadlines())
        assert ("deadline_passed", "10", "site") not in told(asked)

    def test_near_and_then_answered_it_never_passes(self, asked: Engine, clock: Clock) -> None:
        clock.now = DEADLINE - timedelta(days=1)
        asked.note_deadlines()
        answer_project(asked)
        asked.receive(dpc())
        asked.reply(1, filled(asked, 1))
        send(asked)
        clock.forward(days=100)
        assert asked.note_deadlines() == []
        assert told(asked) == [("deadline_near", "10", "site")]

    def test_the_next_packet_that_is_waited_on_has_a_deadline_of_its_own(
        self, asked: Engine, clock: Clock
    ) -> None:
        clock.now = DEADLINE + timedelta(days=1)
        asked.note_deadlines()
        answer_project(asked)
        clock.forward(days=20)
        assert [noted.passed for noted in asked.note_deadlines()] == [False]
        asked.receive(dpc(packet_timestamp=(clock.now - timedelta(days=1)).isoformat()))
        assert asked.note_deadlines() == []
        clock.forward(days=30)
        asked.note_deadlines()
        assert told(asked) == [
            ("deadline_passed", "10", "site"),
            ("deadline_near", None, "hub"),
            ("deadline_passed", "12", "site"),
        ]

    def test_a_reply_that_has_still_to_arrive_is_still_waited_for(self, asked: Engine, clock: Clock) -> None:
        asked.reply(1, filled(asked, 1, PiPersonID="u42", PiRemoteSiteLogin="rex", ProjectID="p1"))
        clock.now = DEADLINE
        assert [noted.turn for noted in asked.note_deadlines()] == ["site"]

    def test_a_deadline_that_no_calendar_has_is_none(self, engine: Engine, clock: Clock) -> None:
        listed = [{"type": "notify_project_create", "timeout": 10**12}]
        engine.receive(rpc(expected_reply_list=listed))
        clock.forward(days=3000)
        assert engine.note_deadlines() == []


@pytest.mark.parametrize(
    ("warning", "before", "noted"),
    [
        (timedelta(), timedelta(microseconds=1), []),
        (timedelta(), timedelta(), [True]),
        (timedelta(days=30), timedelta(days=20), [False]),
        (timedelta.max, timedelta(days=20), [False]),
    ],
)
def test_a_site_says_what_is_near(
    new_log: NewLog, clock: Clock, warning: timedelta, before: timedelta, noted: list[bool]
) -> None:
    engine = Engine(new_log(), site="NCSA", clock=clock, deadline_warning=warning)
    engine.receive(rpc())
    clock.now = DEADLINE - before - timedelta(milliseconds=1)
    assert [each.passed for each in engine.note_deadlines()] == noted


class TestManyAtOnce:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "amie.db"

    @pytest.fixture
    def filled_log(self, file: Path) -> str:
        """The URL of a log with 250 requests that wait."""
        url = f"sqlite:///{file}"
        with Engine(url, site="NCSA", clock=Clock(MADE)) as engine:
            packets = [rpc(number, number, body={"RecordID": f"r{number}"}) for number in range(1, 251)]
            engine.receive_all(packets)
        return url

    def test_two_processes_tell_each_once(self, filled_log: str) -> None:
        together = Barrier(2)

        def note(_: int) -> int:
            with Engine(filled_log, site="NCSA", clock=Clock(DEADLINE)) as engine:
                together.wait()
                return len(engine.note_deadlines())

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(note, range(2))) == 250
        with Engine(filled_log, site="NCSA") as engine:
            noted = [event for event in engine.log.whole.events() if event.type == EventType.DEADLINE_PASSED]
            assert len({event.stream for event in noted}) == len(noted) == 250
            assert check_projections(engine.database).differing == {}

    def test_where_there_is_nothing_new_nothing_is_locked_and_one_table_is_looked_at(
        self, filled_log: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        statements: list[str] = []
        run = Cursor.run

        def noted(self: Cursor, statement: Statement, values: Any = None) -> int:
            statements.append(statement.sql)
            return run(self, statement, values)

        with Engine(filled_log, site="NCSA", clock=Clock(DEADLINE)) as engine:
            engine.note_deadlines()
            monkeypatch.setattr(Cursor, "run", noted)
            assert engine.note_deadlines() == []
            assert [sql.split()[0] for sql in statements] == ["SELECT", "SELECT"]  # what is staged, and this
            [sql] = [sql for sql in statements if "amie_transactions" in sql]
            values = {"hub": "access", "site": "NCSA", "soon": "3000", "now": "3000"}
            with engine.database.read() as cursor:
                plan = str(cursor.all(Statement(f"EXPLAIN QUERY PLAN {sql}"), values))
            assert "USING INDEX amie_transactions_open" in plan

    def test_a_transaction_that_this_release_can_not_read_holds_up_no_other(
        self, filled_log: str, sql: Sql
    ) -> None:
        append_later(sql, type="packet_teleported")
        with Engine(filled_log, site="NCSA", clock=Clock(DEADLINE)) as engine:
            assert len(engine.note_deadlines()) == 249
            assert engine.note_deadlines() == []

    def test_only_those_of_the_engine_s_own_hub_and_site(self, filled_log: str) -> None:
        with Engine(filled_log, site="NCSA", hub="other", clock=Clock(DEADLINE)) as engine:
            assert engine.note_deadlines() == []


HUB = [rpc(1, 10), dpc(1, 12), inform(1, 13), *HUB_PACKETS]
STEPS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(HUB), st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5))),
        st.integers(0, 12),
        st.integers(0, 2),
    ),
    max_size=20,
)


def _played(new_log: NewLog, steps: list[Any], *, notes: bool) -> tuple[Any, ...]:
    """What a site and its hub come to, with days between; the deadlines are noted now and then, or never."""
    clock = Clock(MADE)
    engine = Engine(new_log(), site="NCSA", clock=clock, new_id=Ids())
    for step, days, looks in steps:
        play(engine, step)
        clock.forward(days=days)
        for _ in range(looks if notes else 0):
            engine.note_deadlines()
    events = list(engine.log.whole.events())
    for stream in {event.stream for event in events}:
        noted = [(e.packet_rec_id, e.type) for e in events if e.stream == stream and "deadline_" in e.type]
        waited_on = [packet for packet, _ in noted]
        assert len(set(noted)) == len(noted)
        assert waited_on == sorted(waited_on, key=waited_on.index)  # no packet's come apart
        assert all(
            noted[at - 1][1] == "deadline_near" for at, (p, _) in enumerate(noted) if p in waited_on[:at]
        )
    assert check_projections(engine.database).differing == {}
    return (
        [
            (listed.stream, listed.state, listed.turn, listed.due, listed.deadline, listed.sending)
            for listed in engine.transactions()
        ],
        [(row.stream, row.packet_rec_id, row.status) for row in engine.work.open()],
        [(entry.stream, entry.answers, entry.status) for entry in engine.outbox.open()],
        [event.type for event in events if "deadline_" not in event.type],
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
def test_whenever_deadlines_are_noted_nothing_else_changes(new_log: NewLog, steps: list[Any]) -> None:
    assert _played(new_log, steps, notes=True) == _played(new_log, steps, notes=False)
