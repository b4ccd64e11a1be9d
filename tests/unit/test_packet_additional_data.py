"""``additional_data``: a real dict of what the public client's tables don't name, which writes through."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine.errors import PacketInvalidData
from amie_engine.packet import DataProjectCreate, NotifyAccountCreate, Packet, RequestAccountCreate
from amie_engine.testing.strategies import documents, json_values
from tests.unit.samples import property_test, sample


def extended() -> RequestAccountCreate:
    """A request with three additional items."""
    return RequestAccountCreate(GrantNumber="AST040002", One="1", Two=["2"], Three={"3": 3})


class TestReading:
    def test_it_is_a_dict(self) -> None:
        extra = extended().additional_data
        assert isinstance(extra, dict)
        assert extra == {"One": "1", "Two": ["2"], "Three": {"3": 3}}
        assert json.loads(json.dumps(extra)) == extra
        assert {**extra} == dict(extra) == extra | {} == extra.copy()
        assert list(extra) == ["One", "Two", "Three"]
        assert len(extra) == 3
        assert "GrantNumber" not in extra

    def test_an_object_that_came_is_found_in_it(self) -> None:
        packet = Packet.from_dict(sample("edge/dict_valued_tag"))
        assert packet.additional_data == {"SomeTag": {"RecordID": "rac.271873"}}

    def test_a_field_that_only_the_documents_name_is_both(self) -> None:
        packet = DataProjectCreate(GlobalID="70", DnList=[])
        assert packet.GlobalID == "70"
        assert packet.additional_data == {"GlobalID": "70"}

    def test_a_null_that_came_is_in_it(self) -> None:
        document = sample("edge/dict_valued_tag")
        document["body"]["SomeTag"] = None
        packet = Packet.from_dict(document)
        assert packet.additional_data == {"SomeTag": None}
        assert packet.as_dict() == document


class TestWriting:
    def test_an_item(self) -> None:
        packet = extended()
        packet.additional_data["Four"] = 4
        packet.additional_data["One"] = "one"
        del packet.additional_data["Two"]
        packet.additional_data["Three"]["3"] = 33
        assert packet.as_dict()["body"] == {
            "GrantNumber": "AST040002",
            "One": "one",
            "Three": {"3": 33},
            "Four": 4,
        }

    def test_every_way_that_a_dict_has(self) -> None:
        packet = extended()
        extra = packet.additional_data
        assert extra.pop("One") == "1"
        assert extra.pop("One", "gone") == "gone"
        assert extra.popitem() == ("Three", {"3": 3})
        assert extra.setdefault("Two", "kept") == ["2"]
        assert extra.setdefault("Five", "5") == "5"
        extra.update({"Six": 6}, Seven=7)
        extra.update([("Eight", 8)])
        extra |= {"Nine": 9}
        everything = {"Two": ["2"], "Five": "5", "Six": 6, "Seven": 7, "Eight": 8, "Nine": 9}
        assert extra == packet.additional_data == everything
        assert packet.as_dict()["body"] == {"GrantNumber": "AST040002"} | everything
        extra.clear()
        assert extra == packet.additional_data == {}
        assert packet.as_dict()["body"] == {"GrantNumber": "AST040002"}

    def test_what_is_not_there_raises_as_from_a_dict(self) -> None:
        extra = RequestAccountCreate(GrantNumber="AST040002").additional_data
        with pytest.raises(KeyError, match="One"):
            extra.pop("One")
        with pytest.raises(KeyError, match="One"):
            del extra["One"]
        with pytest.raises(KeyError):
            extra.popitem()

    def test_taking_out_a_name_that_is_a_field_leaves_the_field(self) -> None:
        packet = extended()
        assert packet.additional_data.pop("GrantNumber", None) is None
        assert packet.GrantNumber == "AST040002"

    def test_a_name_that_is_a_field_is_written_as_the_field(self) -> None:
        packet = NotifyAccountCreate()
        packet.additional_data["StartDate"] = date(2026, 1, 15)
        assert packet.StartDate == date(2026, 1, 15)
        assert packet.additional_data == {"StartDate": "2026-01-15"}

    @pytest.mark.parametrize(
        ("value", "sent"),
        [
            (date(2026, 1, 15), "2026-01-15"),
            (datetime(2026, 1, 15, 12, tzinfo=UTC), "2026-01-15T12:00:00+00:00"),
            (Decimal("1E+3"), "1000"),
            (("a", "b"), ["a", "b"]),
        ],
    )
    def test_python_values_go_out_in_their_json_form(self, value: Any, sent: Any) -> None:
        packet = RequestAccountCreate(additional_data={"Tag": value})
        assert packet.additional_data["Tag"] == sent
        assert json.loads(packet.json())["body"] == {"Tag": sent}
        with pytest.raises(PacketInvalidData, match="Tag was given a value"):
            packet.additional_data["Tag"] = object()

    def test_a_time_without_a_zone_is_refused(self) -> None:
        """Whoever reads it would take it for another moment."""
        with pytest.raises(PacketInvalidData, match="Tag was given a time without a zone"):
            RequestAccountCreate(additional_data={"Tag": datetime(2026, 1, 15, 12)})  # noqa: DTZ001 # the mistake
        with pytest.raises(PacketInvalidData, match="GrantNumber was given a time without a zone"):
            RequestAccountCreate(GrantNumber=datetime(2026, 1, 15, 12))  # noqa: DTZ001

    def test_assigning_the_whole(self) -> None:
        packet = extended()
        packet.additional_data = {"Ten": 10, "One": "uno"}
        assert packet.as_dict()["body"] == {"GrantNumber": "AST040002", "One": "uno", "Ten": 10}

    @property_test
    @given(documents())
    def test_assigning_what_is_there_changes_nothing(self, document: dict[str, Any]) -> None:
        packet = Packet.from_dict(document)
        packet.additional_data = packet.additional_data
        packet.additional_data |= {}
        assert packet.as_dict() == document
        assert list(packet.as_dict()["body"]) == list(document["body"])

    @property_test
    @given(documents(), st.sampled_from(["SomeTag", "OtherTag", "", "another tag"]), json_values())
    def test_a_new_item_is_all_that_differs(self, document: dict[str, Any], name: str, value: Any) -> None:
        packet = Packet.from_dict(document)
        packet.additional_data[name] = value
        expected = copy.deepcopy(document)
        expected["body"].pop(name, None)
        if value is not None:
            expected["body"][name] = value
        assert packet.as_dict() == expected


def test_a_copy_is_a_plain_dict_that_belongs_to_no_packet() -> None:
    packet = extended()
    extra = packet.additional_data
    for twin in (copy.copy(extra), copy.deepcopy(extra), pickle.loads(pickle.dumps(extra))):  # noqa: S301 # our own
        assert type(twin) is dict
        assert twin == extra
        twin["More"] = 1
    assert packet.additional_data == {"One": "1", "Two": ["2"], "Three": {"3": 3}}
