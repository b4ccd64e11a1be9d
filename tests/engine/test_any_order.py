"""Whatever order the service lists a transaction's packets in, it comes to the same end, and every projection
says what the events say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.projections import project, project_quarantine
from amie_engine.engine.state import TransactionState
from amie_engine.log.database import Database
from amie_engine.log.schema import PROJECTIONS
from amie_engine.log.statements import Statement
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party
from tests.engine.courses import course, documents, rows_of
from tests.engine.playing import Document, filled

in_the_same_way = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HUBS = [name for name, transaction in TRANSACTION_TYPES.items() if transaction.originator is Party.HUB]


def with_repetitions(packets: list[Document]) -> st.SearchStrategy[list[Document]]:
    """The packets in any order, each once or more."""
    repeated = st.lists(st.sampled_from(packets), max_size=3)
    return repeated.flatmap(lambda more: st.permutations([*packets, *more]))


@pytest.mark.parametrize("transaction_type", TRANSACTION_TYPES)
@in_the_same_way
@given(data=st.data())
def test_a_listed_transaction_is_adopted_whatever_the_order(
    engine: Engine, transaction_type: str, data: st.DataObject
) -> None:
    trans = next_transaction(engine)
    packets = documents(course(transaction_type), trans=trans, first=trans * 100)
    for packet in data.draw(with_repetitions(packets)):
        engine.receive(packet)
    state = fold_of(engine, trans)
    assert (state.type, state.state) == (transaction_type, "completed")
    assert (len(state.packets), state.held) == (len(packets), ())
    assert engine.quarantine() == []
    assert engine.work.open() == []


@pytest.mark.parametrize("transaction_type", HUBS)
def test_nothing_but_ids_in_the_headers_is_needed_for_that(engine: Engine, transaction_type: str) -> None:
    """Neither who began it, nor who sent a packet, nor its number."""
    rows = course(transaction_type)
    for trans, order in enumerate(permutations(range(len(rows))), 1):
        packets = documents(rows, trans=trans, first=trans * 100)
        for number in order:
            header = packets[number]["header"]
            kept = {name: header[name] for name in ("packet_rec_id", "trans_rec_id")}
            engine.receive({**packets[number], "header": kept})
        state = fold_of(engine, trans)
        assert (state.type, state.state, state.held) == (transaction_type, "completed", ())
    assert engine.quarantine() == []


@pytest.mark.parametrize("transaction_type", TRANSACTION_TYPES)
@in_the_same_way
@given(data=st.data())
def test_one_that_failed_is_failed_whatever_the_order(
    engine: Engine, transaction_type: str, data: st.DataObject
) -> None:
    trans = next_transaction(engine)
    rows = course(transaction_type, ends=Move.INFORM_FAILURE)
    for packet in data.draw(with_repetitions(documents(rows, trans=trans, first=trans * 100))):
        engine.receive(packet)
    state = fold_of(engine, trans)
    assert (state.state, state.held) == ("failed", ())
    assert engine.work.open() == []
    assert engine.outbox.open() == []


@pytest.mark.parametrize("transaction_type", HUBS)
@in_the_same_way
@given(data=st.data())
def test_the_hub_s_packets_come_in_any_order_and_the_site_replies_when_it_can(
    engine: Engine, new_log: Callable[[], sqlalchemy.Engine], transaction_type: str, data: st.DataObject
) -> None:
    trans = next_transaction(engine)
    rows = course(transaction_type)
    listed = documents(rows, trans=trans, first=trans * 100)
    packets = [packet for packet, row in zip(listed, rows, strict=True) if row.sender is Party.HUB]
    for packet in packets:
        packet["body"].pop("RecordID", None)
    for packet in data.draw(with_repetitions(packets)):
        engine.receive(packet)
        if data.draw(st.booleans()):
            reply_where_due(engine)
    reply_where_due(engine)
    reply_where_due(engine)
    assert fold_of(engine, trans).state == "completed"
    assert engine.quarantine() == []
    assert made_again(engine, Database(new_log())) == tables(engine.database)


def reply_where_due(engine: Engine) -> None:
    for transaction in engine.transactions(open_only=True):
        due = engine.expected_reply(transaction.stream)
        if due.turn == "site" and due.packet is not None and not due.sending:
            lacking: dict[str, Any] = dict.fromkeys(due.missing, "x")
            engine.reply(transaction.stream, filled(engine, transaction.stream, **lacking))
    for outgoing in engine.outbox.open():
        engine.outbox.attempt(outgoing)
        engine.outbox.confirm(outgoing)


def next_transaction(engine: Engine) -> int:
    """The record id for one more transaction in a log."""
    return len(engine.transactions()) + 1


def fold_of(engine: Engine, trans: int) -> TransactionState:
    [row] = rows_of(engine, "SELECT stream FROM amie_transactions WHERE trans_rec_id = :id", id=str(trans))
    with engine.log.read() as reader:
        return fold(row[0], reader.stream(row[0]))


def made_again(engine: Engine, into: Database) -> dict[str, list[Any]]:
    """The projections as they become when they are made again from the facts of all events."""
    states: dict[str, TransactionState] = {}
    quarantined: set[str] = set()
    with into.write() as cursor:
        for event in engine.log.whole.events():
            if event.version == 1 and event.type == "packet_quarantined":
                quarantined.add(event.stream)
            if event.stream in quarantined:
                project_quarantine(cursor, event)
                continue
            before = states.get(event.stream, TransactionState(event.stream))
            states[event.stream] = evolve(before, event)
            project(cursor, before, states[event.stream], event)
    return tables(into)


def tables(database: Database) -> dict[str, list[Any]]:
    """The rows of every projection, but for the digests with a random salt."""
    found = {}
    with database.read() as cursor:
        for table in PROJECTIONS:
            columns = ", ".join(column.name for column in table.columns if column.name != "content")
            found[table.name] = sorted(cursor.all(Statement(f"SELECT {columns} FROM {table.name}")), key=repr)
    return found
