"""Any sequence of packets and of what a site does leaves every transaction in a state that makes sense."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine, Packet
from amie_engine.audit import ReplayedTransaction, check_projections, replay
from amie_engine.engine.evolve import fold
from amie_engine.engine.incoming import INFORM
from amie_engine.engine.outbox import Outgoing
from amie_engine.engine.state import TransactionState
from amie_engine.errors import EngineError
from amie_engine.log.database import Database
from amie_engine.packet import NotifyUserModify
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party
from amie_engine.testing import Clock
from tests.engine.courses import course, documents, rows_of
from tests.engine.playing import Ids, filled, history_of, inform, ticking_clock
from tests.engine.test_any_order import made_again, tables
from tests.log.busy_site import leased

sequences = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TYPES = ["request_project_create", "request_account_create", "request_person_merge", "notify_project_create"]
HISTORIES = [
    documents(course(name, ends=ends), trans=trans, first=trans * 100)
    for trans, (name, ends) in enumerate(
        [(name, ends) for name in TYPES for ends in (Move.INFORM_SUCCESS, Move.INFORM_FAILURE)], 1
    )
]
SAYINGS = ["reply", "fail inform", "fail", "deadline"]
SENDINGS = ["attempt", "confirm", "reject", "list"]
ACTIONS = [*SAYINGS, *SENDINGS, "defer", "start", "wait", "answer"]

packets = st.sampled_from([packet for history in HISTORIES for packet in history])
changed = st.builds(
    lambda packet, header, body: {
        **packet,
        "header": packet["header"] | header,
        "body": packet["body"] | body,
    },
    packets,
    st.dictionaries(
        st.sampled_from(["packet_rec_id", "packet_id", "outgoing_flag", "originating_site_name"]),
        st.sampled_from([None, 0, 1, 2, 301, "NCSA"]),
        max_size=2,
    ),
    st.dictionaries(
        st.sampled_from(["RecordID", "GrantNumber", "StatusCode", "PersonID", "PiPersonID"]),
        st.sampled_from(["x", "y", None, 1]),
        max_size=2,
    ),
)
steps = st.one_of(
    packets,
    changed,
    st.sampled_from([history_of(*history) for history in HISTORIES]),
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)),
)


class Site:
    """What a site, its tools and its service may do to an engine, sensible or not."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self.listed: list[Outgoing] = []

    def play(self, step: Any) -> None:
        if isinstance(step, tuple):
            with suppress(EngineError):  # what is refused changes nothing
                self._act(*step)
        elif "DATA" in step:
            self.engine.adopt(step)
        else:
            self.engine.receive(step)

    def _act(self, action: str, number: int) -> None:
        transactions = self.engine.transactions()
        self.listed += self.engine.outbox.open()
        if action == "start":
            self.engine.start(NotifyUserModify(ActionType="add", PersonID=f"u{number}", City="x"))
        elif action == "wait":
            self.clock.forward(days=number)
            informs = [packet for history in HISTORIES for packet in history if packet["type"] == INFORM]
            self.engine.note_full_listing([Packet.from_dict(packet) for packet in informs])
        elif action == "answer":
            self.engine.receive(inform(90 + number, 8000 + number, originating_site_name="NCSA"))
        elif action in SENDINGS and self.listed:
            self._send(action, self.listed[number % len(self.listed)], number)
        elif action == "defer":
            for row in self.engine.work.open():
                until = self.clock() + timedelta(hours=number)
                self.engine.work.record.deferred(
                    leased(self.engine, row), until=until, reason="later", actor="test"
                )
        elif transactions:
            self._say(action, transactions[number % len(transactions)].stream)

    def _say(self, action: str, stream: str) -> None:
        due = self.engine.expected_reply(stream)
        if action == "fail":
            self.engine.fail(stream, "why")
        elif action == "deadline":
            self.engine.confirm_deadline(stream, actor="operator")
        elif action == "fail inform" and due.request is not None:
            self.engine.reply(stream, due.request.reply_with_failure())
        elif action == "reply" and due.packet is not None:
            self.engine.reply(stream, filled(self.engine, stream, **dict.fromkeys(due.missing, "x")))

    def _send(self, action: str, outgoing: Outgoing, number: int) -> None:
        if action == "list":
            self._list(outgoing, number)
        elif action == "attempt":
            self.engine.outbox.attempt(outgoing)
        elif action == "confirm":
            header = {"packet_rec_id": 9000 + number, "trans_rec_id": 90 + number}
            self.engine.outbox.confirm(outgoing, {"result": {"header": header}} if number % 2 else None)
        else:
            self.engine.outbox.reject(outgoing, code="service-validation", message="no")

    def _list(self, outgoing: Outgoing, number: int) -> None:
        """The service lists what was sent, or only decided, with what it has filled in."""
        entries = self.engine.history(outgoing.stream, documents=True).entries
        decided = [e for e in entries if e.facts.get("answers") == outgoing.answers and e.document]
        if decided and "body" in decided[0].document:
            header = decided[0].document["header"] | {
                "packet_rec_id": 9000 + number,
                "trans_rec_id": outgoing.trans_rec_id or 90 + number,
                "outgoing_flag": 0,
                "local_site_name": "TGCDB",
                "remote_site_name": "NCSA",
                "originating_site_name": "NCSA" if outgoing.answers == "start" else "TGCDB",
            }
            body = {"Filled": "in", **decided[0].document["body"]}
            self.engine.receive({**decided[0].document, "header": header, "body": body})


@sequences
@given(st.lists(steps, max_size=25))
def test_it_leaves_sense(new_log: Callable[[], sqlalchemy.Engine], sequence: list[Any]) -> None:
    clock = ticking_clock()
    engine = Engine(new_log(), site="NCSA", clock=clock, new_id=Ids())
    site = Site(engine, clock)
    for step in sequence:
        site.play(step)
        for stream in [row[0] for row in rows_of(engine, "SELECT stream FROM amie_transactions")]:
            check_state(engine, stream)
    events = list(engine.log.whole.events())
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert made_again(engine, Database(new_log())) == tables(engine.database)
    assert check_projections(engine.database).differing == {}
    with replay(engine.database) as replayed:
        assert all(map(is_as_folded(engine), replayed.transactions()))


def is_as_folded(engine: Engine) -> Callable[[ReplayedTransaction], bool]:
    """Whether the quick fold of a replay has come to what the engine's own comes to."""

    def is_so(replayed: ReplayedTransaction) -> bool:
        with engine.log.read() as reader:
            state = fold(replayed.stream, reader.stream(replayed.stream))
        return (replayed.trans_rec_id, replayed.type, replayed.state, replayed.version) == (
            state.trans_rec_id,
            state.type,
            state.state,
            state.version,
        )

    return is_so


def check_state(engine: Engine, stream: str) -> TransactionState:
    with engine.log.read() as reader:
        events = reader.stream(stream)
    state = fold(stream, events)
    assert fold(stream, events) == state
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    told = "SELECT state, version, held, type FROM amie_transactions WHERE stream = :stream"
    [row] = rows_of(engine, told, stream=stream)
    assert row == (state.state, state.version, len(state.held), state.type)
    answered = [entry.answers for entry in state.outbox]
    assert len(set(answered)) == len(answered)
    ids = [packet.packet_rec_id for packet in state.packets if packet.packet_rec_id is not None]
    assert len(set(ids)) == len(ids)
    if state.is_final:
        assert state.held == ()
        assert all(item.status == "done" for item in state.work)
        assert all(entry.packet_type == INFORM for entry in state.outbox if entry.is_open)
    if state.type is not None and not state.is_final:
        assert bool(state.site_moves()) != bool(state.hub_moves())
        moved = [packet for packet in state.packets if packet.moved]
        rows = TRANSACTION_TYPES[state.type].rows
        assert all(any((r.state, r.sender) == (p.state_before, p.sender) for r in rows) for p in moved)
    assert sum(entry.is_open for entry in state.outbox if entry.packet_type == INFORM) <= 1
    assert all(item.status == "done" for item in state.work) or Party.SITE in _turn(state)
    return state


def _turn(state: TransactionState) -> set[Party]:
    return {Party.SITE} if state.site_moves() else {Party.HUB} if state.hub_moves() else set()
