"""Documents that are no packets: each raises an error that says why, and never another one."""

from __future__ import annotations

import json
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine.errors import PacketError, PacketInvalidData, PacketInvalidType
from amie_engine.packet import Packet, RequestAccountCreate
from amie_engine.testing.strategies import documents, json_values
from tests.unit.samples import property_test, sample

HEADER: dict[str, Any] = {"packet_rec_id": 1}


HEADER_ATTRIBUTES = {
    "packet_rec_id": "packet_rec_id",
    "packet_id": "packet_id",
    "trans_rec_id": "trans_rec_id",
    "transaction_id": "transaction_id",
    "in_reply_to": "in_reply_to_id",
    "expected_reply_list": "expected_reply",
    "outgoing_flag": "sender_name",
    "local_site_name": "local_site_name",
    "packet_timestamp": "packet_timestamp",
    "client_state": "client_state",
    "client_json": "client_json",
}
"""What is read of each header key."""


def document(**parts: Any) -> Any:
    """A small document with other parts."""
    return {"type": "request_person_merge", "header": HEADER, "body": {}} | parts


def document_without(part: str) -> Any:
    """A small document that lacks a part."""
    return {name: value for name, value in document().items() if name != part}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "is an object, and this is none"),
        ([], "is an object, and this is none"),
        ([document()], "is an object, and this is none"),
        ("request_person_merge", "is an object, and this is none"),
        (7, "is an object, and this is none"),
        ({}, "names no type"),
        (document_without("type"), "names no type"),
        (document(type=None), "names no type"),
        (document(type=["request_person_merge"]), "names no type"),
        (document(type={}), "names no type"),
        (document_without("header"), "The header of this request_person_merge is missing"),
        (document(header=None), "The header of this request_person_merge is missing"),
        (document(header=[HEADER]), "The header of this request_person_merge is no object"),
        (document(header="header"), "The header of this request_person_merge is no object"),
        (document_without("body"), "The body of this request_person_merge is missing"),
        (document(body=None), "The body of this request_person_merge is missing"),
        (document(body=[]), "The body of this request_person_merge is no object"),
        (document(header={"packet_rec_id": [1]}), "packet_rec_id is no id"),
        (document(header={"packet_rec_id": 1.0}), "packet_rec_id is no id"),
        (document(header={"packet_rec_id": -1}), "packet_rec_id is no id"),
        (document(header={"trans_rec_id": True}), "trans_rec_id is no id"),
        (document(header={"trans_rec_id": 10**38}), "trans_rec_id is no id"),
        (document(header={"transaction_id": "1" * 39}), "transaction_id is no id"),
        (document(header={"packet_id": "one"}), "packet_id is no id"),
        (document(header={"in_reply_to": "x"}), "in_reply_to is no id"),
        (document(header={"in_reply_to": {"header": {"packet_rec_id": "x"}}}), "in_reply_to is no id"),
    ],
)
def test_structure_that_is_no_packet(given: Any, said: str) -> None:
    with pytest.raises(PacketInvalidData, match=said) as raised:
        Packet.from_dict(given)
    assert raised.value.code == "packet-invalid-data"
    assert raised.value.retryable is False
    with pytest.raises(PacketInvalidData, match=said):
        Packet.from_json(json.dumps(given))


class TestTypes:
    def test_an_unknown_type_names_the_nearest(self) -> None:
        with pytest.raises(
            PacketInvalidType, match=r"'request_acount_create'.* mean 'request_account_"
        ) as raised:
            Packet.from_dict(document(type="request_acount_create"))
        assert raised.value.code == "packet-invalid-type"

    def test_a_type_that_is_like_none(self) -> None:
        with pytest.raises(PacketInvalidType, match=r"'coffee'.*docs/packets\.md"):
            Packet.from_dict(document(type="coffee"))

    def test_what_does_not_read_like_a_type_is_not_shown(self) -> None:
        for odd in ("Ω", "robin@example.edu", "Robin Example"):
            with pytest.raises(PacketInvalidType, match=r"does not read like one.*docs/packets\.md") as shown:
                Packet.from_dict(document(type=odd))
            assert odd not in str(shown.value)
        with pytest.raises(PacketInvalidType) as raised:
            Packet.from_dict(document(type="x" * 100_000))
        assert len(str(raised.value)) < 300

    def test_finding_a_class(self) -> None:
        for known in ("request_account_create", RequestAccountCreate(), RequestAccountCreate):
            assert Packet._find_packet_type(known) is RequestAccountCreate

    @pytest.mark.parametrize(
        "given", ["", "Packet", None, int, 7, [], Packet, Packet(), b"request_account_create"]
    )
    def test_what_is_no_type(self, given: Any) -> None:
        with pytest.raises(PacketInvalidType):
            Packet._find_packet_type(given)

    def test_a_class_of_the_site_s_own_is_a_packet_of_its_type(self) -> None:
        class OurRequest(RequestAccountCreate):
            pass

        assert Packet._find_packet_type(OurRequest()) is OurRequest
        assert Packet._find_packet_type("request_account_create") is RequestAccountCreate


class TestText:
    @pytest.mark.parametrize("text", ["", "{", "nope", b"\xff\xfe\x00", "[" * 100_000, "1" * 5000])
    def test_what_is_no_json(self, text: str | bytes) -> None:
        with pytest.raises(PacketInvalidData, match="no JSON text"):
            Packet.from_json(text)

    @pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_json_does_not_have(self, constant: str) -> None:
        text = json.dumps(document(body={"Amount": "HERE"})).replace('"HERE"', constant)
        with pytest.raises(PacketInvalidData, match="no JSON text"):
            Packet.from_json(text)

    @property_test
    @given(st.binary(max_size=40) | st.text(max_size=40))
    def test_any_bytes_and_any_text(self, text: str | bytes) -> None:
        with pytest.raises(PacketError):
            Packet.from_json(text)


class TestOddDocuments:
    @property_test
    @given(json_values())
    def test_any_json_is_no_packet_and_raises_nothing_else(self, value: Any) -> None:
        with pytest.raises((PacketInvalidData, PacketInvalidType)):
            Packet.from_dict(value)

    @property_test
    @given(documents(), st.sampled_from(["type", "header", "body"]), json_values())
    def test_nor_does_a_part_of_any_form(self, given: dict[str, Any], part: str, value: Any) -> None:
        given[part] = value
        try:
            packet = Packet.from_dict(given)
        except (PacketInvalidData, PacketInvalidType):
            return
        assert packet.as_dict() == given

    @property_test
    @given(
        documents(),
        st.sampled_from(list(HEADER_ATTRIBUTES)),
        json_values(),
    )
    def test_nor_does_a_header_value_of_any_form(self, given: dict[str, Any], key: str, value: Any) -> None:
        given["header"][key] = value
        try:
            packet = Packet.from_dict(given)
        except PacketInvalidData:
            return
        getattr(packet, HEADER_ATTRIBUTES[key])
        repr(packet)
        assert packet.as_dict() == given

    def test_depth_that_python_s_stack_has_not(self) -> None:
        deep: Any = []
        for _ in range(200_000):
            deep = [deep]
        given = document(body={"SomeTag": deep})
        packet = Packet.from_dict(given)
        depth, value = 0, packet.as_dict()["body"]["SomeTag"]
        while value:
            depth, value = depth + 1, value[0]
        assert depth == 200_000
        assert packet.additional_data["SomeTag"][0] is not deep[0]
        with pytest.raises(PacketInvalidData, match="nested too deeply"):
            packet.json()

    def test_mappings_that_are_no_dicts(self) -> None:
        given = sample("spec/request_account_create")
        mapping = MappingProxyType(
            OrderedDict(given, header=MappingProxyType(given["header"]), body=OrderedDict(given["body"]))
        )
        packet = Packet.from_dict(mapping)
        assert packet.as_dict() == given
        assert json.loads(packet.json()) == given
