"""Whatever is handed to Engine.receive: it never raises, keeps what came, and writes it down once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine, Packet
from amie_engine.testing.strategies import documents, json_values
from tests.engine.courses import take
from tests.engine.playing import SAMPLES, Document, rpc, sample, state_of

whatever = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

NAMES = sorted(f"{path.parent.name}/{path.stem}" for path in SAMPLES.glob("[!a]*/*.json"))


class Unwilling:
    """An object that answers nothing."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Endless(dict[str, Any]):
    """A mapping that can't be gone through."""

    def items(self) -> Any:
        raise RuntimeError("no")


class Silent(dict[str, Any]):
    """A mapping that can't be asked."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def merge(header: Any = None, body: Any = None) -> Document:
    return {"type": "request_person_merge", "header": header or {}, "body": body or {}}


ODD_OBJECTS = {
    "nothing": None,
    "number": 5,
    "NaN": float("nan"),
    "set": {1, 2},
    "object": object(),
    "unwilling": Unwilling(),
    "unwilling inside": merge({"x": Unwilling()}),
    "unwilling header": merge(Silent(x=1), {"x": {1}}),
    "endless": Endless(merge()),
    "circular": circular(),
    "circular inside": merge({}, {"a": circular()}),
    "mixed keys": {1: "a", "b": 2},
    "huge number": 10**5000,
    "huge number inside": merge({"packet_rec_id": 10**5000}),
    "unhashable type": {**merge(), "type": []},
    "class": Packet,
    "empty packet": Packet(),
    "packet without ids": Packet.from_dict(merge()),
    "generator": (number for number in range(3)),
    "released memory": memoryview(b"x"),
}


@pytest.mark.parametrize("name", ODD_OBJECTS)
def test_any_python_object(engine: Engine, name: str) -> None:
    source = ODD_OBJECTS[name]
    if isinstance(source, memoryview):
        source.release()
    assert take(engine, source).kind == "quarantined"


@whatever
@given(st.binary(max_size=60) | st.text(max_size=60) | json_values().map(json.dumps) | json_values())
def test_any_bytes_text_or_value(engine: Engine, source: Any) -> None:
    assert take(engine, source).kind == "quarantined"


@whatever
@given(data=st.data())
def test_a_sample_with_anything_in_any_place(engine: Engine, data: st.DataObject) -> None:
    document = sample(data.draw(st.sampled_from(NAMES)))
    for _ in range(data.draw(st.integers(1, 4))):
        place, key = data.draw(st.sampled_from(list(places(document))))
        if data.draw(st.booleans()):
            place[key] = data.draw(json_values())
        elif isinstance(place, dict):
            del place[key]
    forms = (document, json.dumps(document), json.dumps(document).encode())
    take(engine, data.draw(st.sampled_from(forms)))


def places(document: Document) -> Iterator[tuple[Any, Any]]:
    """Every place in a document, at any depth: the container, and the key or index in it."""
    pending: list[Any] = [document]
    while pending:
        container = pending.pop()
        for key, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            yield container, key
            if isinstance(item, dict | list):
                pending.append(item)


@settings(whatever, max_examples=25)
@given(st.lists(documents(), min_size=1, max_size=6))
def test_any_mixture_of_odd_packets_leaves_states_that_can_be_asked(
    engine: Engine, mixture: list[Document]
) -> None:
    before = len(engine.transactions())
    for number, document in enumerate(mixture):
        header = document["header"]
        header["trans_rec_id"] = header.get("trans_rec_id") or 1
        header["packet_rec_id"] = header.get("packet_rec_id") or number + 1
        if "local_site_name" in header:
            header["local_site_name"] = "NCSA"
        take(engine, document)
    for transaction in engine.transactions()[before:]:
        engine.expected_reply(transaction.stream)
        assert engine.history(transaction.stream).entries


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [
            MappingProxyType,
            lambda document: MappingProxyType({name: _proxied(value) for name, value in document.items()}),
            lambda document: {**document, "body": {**document["body"], "Sfos": ({"Number": "122"},)}},
            lambda document: bytearray(json.dumps(document).encode()),
            lambda document: memoryview(json.dumps(document).encode()),
        ],
        ids=["mapping", "mappings", "tuple", "bytearray", "memoryview"],
    )
    def test_what_json_has_a_form_for_is_read(self, engine: Engine, form: Any) -> None:
        assert take(engine, form(rpc())).kind == "accepted"

    def test_a_document_that_is_changed_afterwards_does_not_change_the_log(self, engine: Engine) -> None:
        document = rpc()
        engine.receive(document)
        document["body"].clear()
        [entry] = engine.history(1, documents=True).entries
        assert entry.document == rpc()


def _proxied(value: Any) -> Any:
    return MappingProxyType(value) if isinstance(value, dict) else value


class TestText:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"Abstract": "\ud800"}, "half of a character"),
            ({"Abstract": "a\x00b"}, "NUL"),
            ({"Abstract\x00": "a"}, "NUL"),
            ({"Abstract": ["a", {"b": "\x00"}]}, "NUL"),
            ({"Abstract": float("inf")}, "NaN or an infinity"),
            ({"Abstract": nested(120)}, "nested too deeply"),
            ({"Abstract": nested(5000)}, "nested too deeply"),
        ],
        ids=["surrogate", "NUL", "NUL in a key", "NUL inside", "infinity", "deep", "very deep"],
    )
    def test_what_no_database_can_hold_is_kept_apart(self, engine: Engine, body: Document, told: str) -> None:
        outcome = take(engine, rpc(body=body))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-unreadable")
        assert told in (outcome.reason or "")

    def test_a_number_that_is_too_large_for_a_float_is_an_infinity(self, engine: Engine) -> None:
        text = json.dumps(rpc()).replace('"99999"', "1e999")
        assert take(engine, text).reason == "It holds NaN or an infinity, which is no JSON."

    def test_what_looks_like_an_escape_is_text(self, engine: Engine) -> None:
        assert take(engine, rpc(body={"Abstract": "\\ud800 \\u0000"})).kind == "accepted"

    @pytest.mark.parametrize("depth", [50, 90])
    def test_a_reasonable_depth_is_read(self, engine: Engine, depth: int) -> None:
        assert take(engine, rpc(body={"Abstract": nested(depth)})).kind == "accepted"

    @pytest.mark.parametrize("value", ["\x00", float("nan"), "\ud800"], ids=["NUL", "NaN", "surrogate"])
    def test_it_is_in_quarantine_once_though_its_states_change(self, engine: Engine, value: Any) -> None:
        ids = {
            engine.receive(
                rpc(body={"Abstract": value}, packet_state=state, client_json={"n": state})
            ).quarantine_id
            for state in ("in-progress", "completed", None)
        }
        assert len(ids) == len(engine.quarantine()) == 1


def test_one_bad_packet_does_not_disturb_the_others(engine: Engine) -> None:
    assert engine.receive({**rpc(1, 10), "body": []}).kind == "quarantined"
    assert engine.receive(rpc(2, 20)).kind == "accepted"
    assert state_of(engine, 2) == "requested"
    assert engine.receive(rpc(1, 10)).kind == "accepted"
