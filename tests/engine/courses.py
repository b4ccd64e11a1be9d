"""Whole transactions as the service lists their packets, and ways to look into a log."""

from __future__ import annotations

from typing import Any

from amie_engine import Engine, Outcome
from amie_engine.engine.unit import View
from amie_engine.log.statements import Statement
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party, Row, State
from tests.engine.playing import Document, sample

HUB, SITE = "TGCDB", "NCSA"

_SAMPLES = {
    "request_user_modify": "request_user_modify.replace",
    "notify_user_modify": "notify_user_modify.add",
}


def course(transaction_type: str, *, ends: str = Move.INFORM_SUCCESS) -> list[Row]:
    """The rows by which a transaction of a type runs to its end: success, or a failure inform in place of its
    last packet."""
    rows = TRANSACTION_TYPES[transaction_type].rows
    onward = [row for row in rows if row.move not in set(Move) or row.move == Move.INFORM_SUCCESS]
    if ends == Move.INFORM_SUCCESS:
        return onward
    begun = onward[:-1]
    return [*begun, next(row for row in rows if (row.state, row.move) == (begun[-1].next_state, ends))]


def documents(rows: list[Row], *, trans: int = 1, first: int = 11) -> list[Document]:
    """The packets of a course, as the service lists them: record ids in the order of their sending."""
    originator = HUB if rows[0].sender is Party.HUB else SITE
    counts = {Party.HUB: 0, Party.SITE: 0}
    listed = []
    for number, row in enumerate(rows, first):
        counts[row.sender] += 1
        listed.append(
            sample(
                f"spec/{_sample(row)}",
                trans_rec_id=trans,
                transaction_id=trans,
                packet_rec_id=number,
                packet_id=counts[row.sender],
                originating_site_name=originator,
                outgoing_flag=1 if row.sender is Party.HUB else 0,
            )
        )
    return listed


def _sample(row: Row) -> str:
    if row.move == Move.INFORM_SUCCESS:
        return "inform_transaction_complete.success.in"
    if row.move == Move.INFORM_FAILURE:
        return "inform_transaction_complete.failure.out"
    if row.move in _SAMPLES:
        return _SAMPLES[row.move]
    if row.move.startswith("notify_") and not row.move.startswith("notify_person"):
        return f"{row.move}.{'originating' if row.state is State.START else 'reply'}"
    return str(row.move)


def take(engine: Engine, source: Any) -> Outcome:
    """Receive something twice: the second time changes nothing."""
    first = engine.receive(source)
    written = count_of(engine)
    second = engine.receive(source)
    assert count_of(engine) == written
    if first.kind == "quarantined":
        assert (first.code, first.quarantine_id) == (second.code, second.quarantine_id)
        assert first.reason
        assert first.hint
    return first


def rows_of(engine: Engine, sql: str, **values: Any) -> list[Any]:
    """What a query gives."""
    with engine.database.read() as cursor:
        return cursor.all(Statement(sql), values)


def count_of(engine: Engine) -> int:
    """How many events there are."""
    return int(rows_of(engine, "SELECT count(*) FROM amie_events")[0][0])


def forget_document(engine: Engine, trans: int | str, packet_rec_id: str | None, event: str) -> None:
    """Erase the documents of a transaction's events about one packet, as the erasing of a person does."""
    with engine.log.read() as reader:
        stream = View(reader).require(trans).stream
        versions = [
            found.version
            for found in reader.stream(stream)
            if found.type == event and found.packet_rec_id == packet_rec_id
        ]
    erase = Statement(
        "UPDATE amie_events SET document = NULL, document_salt = NULL"
        " WHERE stream = :stream AND version = :version"
    )
    with engine.database.write() as cursor:
        for version in versions:
            cursor.run(erase, {"stream": stream, "version": version})
