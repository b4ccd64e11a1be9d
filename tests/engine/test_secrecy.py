"""Personal data stands in documents and nowhere else: in no other column, no projection, no message."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from amie_engine import Engine, Packet
from amie_engine.engine.incoming import read_incoming
from amie_engine.errors import AMIEEngineError
from amie_engine.log.schema import events, metadata
from amie_engine.packet.fields import Field
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.protocol import TRANSACTION_TYPES
from tests.engine.courses import course, documents
from tests.engine.playing import Document, attempt, dpc, filled, history_of, inform, npc, rpc, send
from tests.log.busy_site import leased

MARK = "SECRET"


def marked(document: Document) -> Document:
    """The document with a mark in every personal field, also in those that it did not have."""
    fields = PACKET_TYPES[document["type"]]._fields
    return {**document, "body": document["body"] | {n: _mark(f) for n, f in fields.items() if f.personal}}


def _mark(field: Field[Any]) -> Any:
    if field.kind == "objects":
        return [dict.fromkeys(field.items, f"{MARK} {field.name}")]
    return [f"{MARK} {field.name}"] if field.kind == "list" else f"{MARK} {field.name}"


def told(engine: Engine) -> str:
    """Everything in the database but the documents, as text."""
    texts = []
    with engine.database.connection(writing=False) as connection:
        for table in metadata.sorted_tables:
            columns = [c for c in table.c if (table is not events or c.name != "document")]
            texts += [repr(tuple(row)) for row in connection.execute(select(*columns))]
    return "\n".join(texts)


def kept(engine: Engine) -> str:
    with engine.database.connection(writing=False) as connection:
        return "\n".join(str(row[0]) for row in connection.execute(select(events.c.document)))


def safely(call: Any, *arguments: Any, **named: Any) -> Any:
    """The result of a call, or what it raises; neither the message nor the repr tells anything personal."""
    try:
        result = call(*arguments, **named)
    except AMIEEngineError as error:
        result = error
    assert MARK not in f"{result} {result!r}"
    return result


@pytest.mark.parametrize("transaction_type", TRANSACTION_TYPES)
def test_no_packet_of_any_transaction_tells_elsewhere(engine: Engine, transaction_type: str) -> None:
    packets = [marked(document) for document in documents(course(transaction_type))]
    for document in packets:
        safely(engine.receive, document)
        safely(engine.expected_reply, 1)
        safely(engine.history, 1)
        safely(engine.transactions)
        assert MARK not in repr(read_incoming(document, engine.site))
    assert MARK not in told(engine)
    personal = {f.name for d in packets for f in PACKET_TYPES[d["type"]]._fields.values() if f.personal}
    assert all(f"{MARK} {name}" in kept(engine) for name in personal)


def test_nor_do_copies_conflicts_what_waits_and_what_is_in_quarantine(engine: Engine) -> None:
    first = marked(rpc())
    late = marked(dpc(rec=32))
    for document in (
        late,
        first,
        {**first, "body": first["body"] | {"PiCity": f"{MARK} other"}},
        {**first, "header": first["header"] | {"packet_rec_id": 30}},
        {**first, "header": first["header"] | {"remote_site_name": "ELSEWHERE", "packet_rec_id": 31}},
        {**first, "header": f"{MARK}"},
        {**first, "type": "request_project_creation"},
        f'{{"type": "{MARK}',
        f"{MARK}".encode() + b"\xff",
        {"type": "request_project_create", "header": {}, "body": {MARK: float("nan")}},
        [MARK],
    ):
        outcome = safely(engine.receive, document)
        if outcome.quarantine_id:
            safely(engine.quarantined, outcome.quarantine_id)
            safely(engine.release, outcome.quarantine_id)
    safely(engine.adopt, history_of(first, marked(npc()), late))
    assert MARK not in told(engine)
    assert MARK not in repr(engine.quarantine())


def test_nor_do_replies_what_the_service_says_and_what_handlers_raise(engine: Engine) -> None:
    engine.receive(marked(rpc()))
    [row] = engine.work.ready()
    engine.work.record.failed(
        leased(engine, row),
        "RuntimeError",
        1,
        retry_at=engine.now(),
        details=f"{MARK} traceback",
        actor="handler x",
    )
    reply = filled(engine, 1, PiRemoteSiteLogin="rex")
    fields = PACKET_TYPES["notify_project_create"]._fields
    for name, field in fields.items():
        if field.personal:
            setattr(reply, name, _mark(field))
    safely(engine.reply, 1, reply)
    outgoing = attempt(engine)
    assert MARK not in repr(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message=f"{MARK} is no name")
    safely(engine.reply, 1, reply)
    send(engine, npc(body={"PiLastName": f"{MARK}"}))
    safely(engine.fail, 1, f"{MARK} has left")
    send(engine)
    safely(engine.receive, inform(body={"Message": f"{MARK}"}))
    assert MARK not in told(engine)
    assert all(text in kept(engine) for text in ("traceback", "is no name", "has left"))


@pytest.mark.parametrize(
    "values",
    [
        {"PiLastName": f"{MARK}\x00"},
        {"PiDnList": [f"{MARK}", {1}]},
        {"PiHomePhoneExtension": MARK, "PiHomePhoneNumber": ""},
        {"GrantNumber": f"{MARK}"},
        {"ProjectID": ""},
    ],
)
def test_nor_does_a_reply_that_is_refused(engine: Engine, values: Document) -> None:
    engine.receive(rpc())
    reply = filled(engine, 1, PiRemoteSiteLogin="rex", PiFirstName=MARK, **values)
    refusal = safely(engine.reply, 1, reply)
    assert isinstance(refusal, AMIEEngineError)
    assert MARK not in kept(engine)


@pytest.mark.parametrize("packet_type", sorted(t for t in PACKET_TYPES if t.startswith("notify_")))
def test_nor_does_a_start_that_is_refused(engine: Engine, packet_type: str) -> None:
    cls = PACKET_TYPES[packet_type]
    packet: Packet = cls()
    for name, field in cls._fields.items():
        if field.personal:
            setattr(packet, name, _mark(field))
    assert isinstance(safely(engine.start, packet), AMIEEngineError)
    assert MARK not in kept(engine)


def test_a_story_tells_it_only_where_documents_are_asked_for(engine: Engine) -> None:
    engine.receive(marked(rpc()))
    assert MARK not in repr(engine.history(1))
    assert MARK in repr(engine.history(1, documents=True))
