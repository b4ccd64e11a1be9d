"""Laws that hold whatever comes, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.engine.evolve import fold
from amie_engine.engine.unit import View
from amie_engine.errors import EngineError
from amie_engine.log.statements import Statement
from amie_engine.protocol import State
from tests.engine.playing import Ids, dpc, filled, inform, npc, rac, request, rpc, state_of, ticking_clock
from tests.log.busy_site import assignment_of, leased

NewLog = Callable[[], sqlalchemy.Engine]

_lawful = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HUB_PACKETS = [
    rpc(1, 10),
    rpc(1, 20),
    dpc(1, 12),
    dpc(1, 22),
    npc(1, 11),
    inform(1, 13),
    inform(1, 14, body={"StatusCode": "Failure"}),
    inform(1, 15, outgoing_flag=0),
    rac(2, 30),
    request("data_account_create", 2, 32),
    request("request_project_inactivate", 3, 40),
    inform(3, 42),
    request("request_person_merge", 4, 50),
    request("notify_user_modify.add", 5, 60),
    inform(5, 61),
]

ACTIONS = ["reply", "fail", "attempt", "confirm", "reject", "deadline", "defer"]


def play(engine: Engine, step: Any) -> None:
    """One step: a packet comes in, or the site does something."""
    if isinstance(step, dict):
        engine.receive(step)
        return
    action, number = step
    transactions = engine.transactions()
    outgoing, rows = engine.outbox.open(), engine.work.open()
    try:
        if action in ("reply", "fail", "deadline") and transactions:
            transaction = transactions[number % len(transactions)]
            if action == "reply":
                due = engine.expected_reply(transaction.stream)
                if due.packet is not None:
                    for name in due.missing:
                        setattr(due.packet, name, "x")
                    engine.reply(transaction.stream, due.packet)
            elif action == "fail":
                engine.fail(transaction.stream, "why")
            else:
                engine.confirm_deadline(transaction.stream, actor="operator")
        elif action in ("attempt", "confirm", "reject") and outgoing:
            chosen = outgoing[number % len(outgoing)]
            if action == "attempt":
                engine.outbox.attempt(chosen)
            elif action == "confirm":
                engine.outbox.confirm(chosen)
            else:
                engine.outbox.reject(chosen, code="service-validation", message="no")
        elif action == "defer" and rows:
            row = rows[number % len(rows)]
            engine.work.record.deferred(
                leased(engine, row), until=engine.now() + timedelta(hours=1), reason="later", actor="test"
            )
    except EngineError:
        pass  # what the state forbids is refused, and changes nothing


def _fresh(new_log: NewLog) -> Engine:
    return Engine(new_log(), site="NCSA", clock=ticking_clock(), new_id=Ids())


@_lawful
@given(
    st.lists(
        st.one_of(st.sampled_from(HUB_PACKETS), st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5))),
        max_size=20,
    )
)
def test_any_sequence_leaves_every_transaction_in_a_defined_state(new_log: NewLog, steps: list[Any]) -> None:
    with _fresh(new_log) as engine:
        for step in steps:
            play(engine, step)
        events = list(engine.log.whole.events())
        assert [event.position for event in events] == list(range(1, len(events) + 1))
        for listed in engine.transactions():
            assert listed.state in set(State)
            with engine.log.read() as reader:
                stream = reader.stream(listed.stream)
                state = View(reader).state(listed.stream)
            assert [event.version for event in stream] == list(range(1, len(stream) + 1))
            assert fold(listed.stream, stream) == state
            assert (str(state.state), len(state.held)) == (listed.state, listed.held)
            assert len({entry.answers for entry in state.outbox}) == len(state.outbox)
            assert not state.is_final or all(item.status == "done" for item in state.work)
            engine.history(listed.stream)
        with engine.database.read() as cursor:
            doubled = "SELECT count(*) FROM amie_outbox GROUP BY stream, answers HAVING count(*) > 1"
            assert cursor.all(Statement(doubled)) == []


@_lawful
@given(st.permutations([rpc(1, 10), dpc(1, 12), rpc(1, 10), dpc(1, 12), "reply", "reply"]))
def test_the_order_of_arrival_does_not_change_the_end(new_log: NewLog, steps: list[Any]) -> None:
    """The hub's packets in any order, listed again and again, with the site replying when it can."""
    with _fresh(new_log) as engine:
        for step in [*steps, "reply", "reply"]:
            if isinstance(step, dict):
                engine.receive(step)
                continue
            for row in engine.work.ready():
                if assignment_of(engine, row) is not None:
                    lacking = dict.fromkeys(engine.expected_reply(row.stream).missing, "x")
                    engine.reply(row.stream, filled(engine, row.stream, **lacking))
            for outgoing in engine.outbox.open():
                engine.outbox.attempt(outgoing)
                engine.outbox.confirm(outgoing)
            for document in (rpc(1, 10), dpc(1, 12)):
                engine.receive(document)
        assert state_of(engine) == "completed"
        assert engine.quarantine() == []
