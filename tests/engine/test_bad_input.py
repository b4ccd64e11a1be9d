"""Engine.receive never raises on bad input, nothing of it is lost, and it hides nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, select

from amie_engine import Engine, Packet
from amie_engine.testing import strategies
from tests.engine.playing import Document, dpc, inform, rac, request, rpc

BAD: dict[str, tuple[Any, str]] = {
    "no text": (b"\xff\xfe", "packet-unreadable"),
    "no JSON": ("{", "packet-unreadable"),
    "empty": (b"", "packet-unreadable"),
    "NaN": (json.dumps(rpc(body={"ServiceUnitsAllocated": float("nan")})), "packet-unreadable"),
    "NaN in a document": (rpc(body={"ServiceUnitsAllocated": float("nan")}), "packet-unreadable"),
    "infinity by its size": (json.dumps(rpc()).replace('"99999"', "1e999"), "packet-unreadable"),
    "half a character": (rpc(body={"Abstract": "\ud800"}), "packet-unreadable"),
    "half a character, escaped": (json.dumps(rpc(body={"Abstract": "\ud800"})), "packet-unreadable"),
    "NUL": (rpc(body={"Abstract": "a\x00b"}), "packet-unreadable"),
    "NUL in a key": (rpc(body={"a\x00": "b"}), "packet-unreadable"),
    "nested too deeply": ("[" * 100_000, "packet-unreadable"),
    "a list": ([rpc()], "packet-unreadable"),
    "nothing": (None, "packet-unreadable"),
    "a number": (5, "packet-unreadable"),
    "no type": ({"header": {}, "body": {}}, "packet-unreadable"),
    "an unknown type": ({**rpc(), "type": "request_coffee"}, "packet-type-unknown"),
    "a type that is a list": ({**rpc(), "type": ["request_project_create"]}, "packet-unreadable"),
    "no header": ({k: v for k, v in rpc().items() if k != "header"}, "packet-unreadable"),
    "a header that is a list": ({**rpc(), "header": []}, "packet-unreadable"),
    "a body that is null": ({**rpc(), "body": None}, "packet-unreadable"),
    "a body that is a list": ({**rpc(), "body": [1]}, "packet-unreadable"),
    "an id that is a list": (rpc(packet_rec_id=[1]), "packet-unreadable"),
    "an id that is true": (rpc(packet_rec_id=True), "packet-unreadable"),
    "an id of 39 digits": (rpc(packet_rec_id=10**38), "packet-unreadable"),
    "an id of 5,000 digits": (
        json.dumps(rpc()).replace('"packet_rec_id": 10', f'"packet_rec_id": {"9" * 5000}'),
        "packet-unreadable",
    ),
    "no packet_rec_id": (rpc(packet_rec_id=None), "packet-unreadable"),
    "no trans_rec_id": (rpc(trans_rec_id=None), "packet-unreadable"),
    "another site's": (rpc(remote_site_name="PSC"), "packet-other-site"),
    "a notify from the hub": (
        request("notify_project_create.reply", outgoing_flag=1, originating_site_name="TGCDB"),
        "packet-not-allowed",
    ),
    "a set": ({1, 2}, "packet-unreadable"),
    "an object of Python's": (object(), "packet-unreadable"),
}


@pytest.mark.parametrize(("source", "code"), BAD.values(), ids=BAD)
def test_it_goes_into_quarantine_with_a_code_a_sentence_and_a_hint_once(
    engine: Engine, source: Any, code: str
) -> None:
    outcomes = [engine.receive(source) for _ in range(3)]
    assert [(outcome.kind, outcome.code) for outcome in outcomes] == [("quarantined", code)] * 3
    [item] = engine.quarantine()
    assert (item.code, item.reason, item.hint) == (code, outcomes[0].reason, outcomes[0].hint)
    assert item.reason.endswith(".")
    assert item.hint
    assert engine.transactions() == []
    assert engine.receive(rpc(trans=99, rec=99)).kind == "accepted"


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b'{"a": NaN}', "gr\u00fc\u00dfe".encode()])
def test_its_bytes_are_kept_as_they_came(engine: Engine, raw: bytes) -> None:
    outcome = engine.receive(raw)
    assert outcome.quarantine_id is not None
    assert engine.quarantined(outcome.quarantine_id).content == raw


def test_a_document_that_changes_its_states_between_polls_is_in_quarantine_once(engine: Engine) -> None:
    for state in ("in-progress", "completed"):
        engine.receive(rpc(remote_site_name="PSC", packet_state=state, client_state=state))
        engine.receive({**rpc(packet_state=state), "type": "request_coffee"})
    assert len(engine.quarantine()) == 2


def test_a_type_that_is_never_allowed_in_its_transaction(engine: Engine) -> None:
    engine.receive(rpc(trans=1, rec=10))
    outcome = engine.receive(rac(trans=1, rec=20))
    assert (outcome.kind, outcome.code) == ("quarantined", "packet-not-allowed")
    assert outcome.reason is not None
    assert "request_account_create" in outcome.reason


def test_ids_of_38_digits_and_a_body_of_ten_megabytes_are_packets(engine: Engine) -> None:
    largest = 10**38 - 1
    document = rpc(trans=largest, rec=largest, body={"Abstract": "x" * 10_000_000})
    assert engine.receive(document).kind == "accepted"
    assert engine.receive(document).kind == "already_there"
    assert engine.expected_reply(largest).state == "requested"


def test_it_can_be_released_after_a_fix(engine: Engine) -> None:
    early = engine.receive(dpc(trans=1, rec=12, originating_site_name="TGCDB"))
    assert early.kind == "held"
    engine.adopt({"DATA": [dpc(trans=1, rec=12)], "state": "in-progress"})
    [item] = engine.quarantine()
    assert engine.release(item.quarantine_id).kind == "quarantined"
    assert len(engine.quarantine()) == 1
    engine.receive(rpc(trans=1, rec=10))
    assert engine.release(item.quarantine_id).kind == "held"
    assert engine.quarantine() == []
    assert [found.status for found in engine.quarantine(released=True)] == ["released"]


def _mutations(document: Document) -> st.SearchStrategy[Document]:
    """The document with one value, at any depth, replaced or dropped."""
    paths = list(_paths(document))

    def mutate(path: tuple[Any, ...], value: Any, drop: bool) -> Document:
        changed: Any = json.loads(json.dumps(document))
        place = changed
        for key in path[:-1]:
            place = place[key]
        if drop:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return changed  # type: ignore[no-any-return] # it stays an object: only what is in it changes

    return st.builds(mutate, st.sampled_from(paths), strategies.json_values(), st.booleans())


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


_quiet = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_quiet
@given(st.one_of(strategies.json_values(), st.binary(), st.text(), strategies.documents()))
def test_whatever_comes_it_does_not_raise(engine: Engine, source: Any) -> None:
    first, second = engine.receive(source), engine.receive(source)
    assert second.kind in {first.kind, "already_there"}


@_quiet
@given(st.one_of(_mutations(rpc()), _mutations(dpc()), _mutations(inform()), _mutations(rac())))
def test_whatever_is_changed_in_a_packet_it_does_not_raise(engine: Engine, document: Document) -> None:
    engine.receive(document)
    for transaction in engine.transactions():
        engine.history(transaction.stream, documents=True)
        engine.expected_reply(transaction.stream)


MARK = "Zzyzx"


def test_personal_data_stands_in_documents_and_nowhere_else(engine: Engine) -> None:
    for number, name in enumerate(
        [
            "request_project_create",
            "request_account_create",
            "request_user_modify.replace",
            "data_project_create",
        ]
    ):
        document = request(name, number, 10 + number)
        for field in Packet._types[document["type"]]._fields.values():
            if field.personal:
                document["body"][field.name] = [f"{MARK} 1"] if field.kind == "list" else f"{MARK} 2"
        engine.receive(document)
    engine.receive({**rpc(body={"PiLastName": MARK}), "type": "request_coffee"})
    engine.receive(rpc(trans=9, rec=90, body={"PiLastName": MARK}, remote_site_name="PSC"))
    with engine.database.connection(writing=False) as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        for table in metadata.tables.values():
            columns = [column for column in table.c if column.name != "document"]
            for row in connection.execute(select(*columns)):
                assert MARK not in str(tuple(row)), table.name
