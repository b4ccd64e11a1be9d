"""The packet classes: their tables, and the fields of a body as attributes."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

import amie_engine.packet
from amie_engine.errors import PacketInvalidData
from amie_engine.packet import (
    DataProjectCreate,
    InformTransactionComplete,
    NotifyAccountCreate,
    NotifyPersonIDs,
    NotifyProjectCreate,
    Packet,
    RequestAccountCreate,
    RequestUserModify,
)
from amie_engine.testing.strategies import documents
from tests.unit.samples import PACKET_TABLE, SAMPLE_NAMES, property_test, sample


def read(packet: Packet, name: str) -> Any:
    """Read an attribute that a type checker would refuse."""
    return getattr(packet, name)


def assign(packet: Packet, name: str, value: Any) -> None:
    """Assign what a type checker would refuse."""
    setattr(packet, name, value)


def through_pickle(packet: Packet) -> Packet:
    """Return what is left of a packet that goes through pickle."""
    unpickled: Packet = pickle.loads(pickle.dumps(packet))  # noqa: S301 # the text is our own
    return unpickled


@pytest.mark.parametrize("packet_type", PACKET_TABLE)
class TestTables:
    """Each class against the table of packet types."""

    def test_class_has_its_documented_name_and_module(self, packet_type: str) -> None:
        entry = PACKET_TABLE[packet_type]
        module = importlib.import_module(f"amie_engine.packet.{entry['module']}")
        packet_class = getattr(module, entry["class"])
        assert packet_class is Packet._find_packet_type(packet_type)
        assert packet_class is getattr(amie_engine.packet, entry["class"])
        assert packet_class._packet_type == packet_type
        assert packet_class().packet_type == packet_type

    def test_documented_tables(self, packet_type: str) -> None:
        client = PACKET_TABLE[packet_type]["client"]
        packet_class = Packet._find_packet_type(packet_type)
        assert sorted(packet_class._data_keys_required) == client["required"]
        assert sorted(packet_class._data_keys_not_required_in_reply) == client["not_required_in_reply"]
        assert sorted(packet_class._data_keys_allowed) == client["allowed"]

    def test_expected_reply(self, packet_type: str) -> None:
        expected = PACKET_TABLE[packet_type]["expected_reply"]
        packet_class = Packet._find_packet_type(packet_type)
        assert packet_class.expected_reply == expected
        assert packet_class._expected_reply == expected

    def test_every_field_is_declared_as_the_table_says(self, packet_type: str) -> None:
        declared = {
            name: {
                "kind": field.kind,
                "items": list(field.items),
                "fact": field.fact,
                "personal": field.personal,
                "beyond_client": field.beyond_client,
            }
            for name, field in Packet._find_packet_type(packet_type)._fields.items()
        }
        nothing = {"items": [], "fact": False, "personal": False, "beyond_client": False}
        assert declared == {
            name: nothing | entry for name, entry in PACKET_TABLE[packet_type]["fields"].items()
        }

    def test_what_a_reply_and_a_first_packet_must_carry(self, packet_type: str) -> None:
        fields = Packet._find_packet_type(packet_type)._fields.values()
        entry = PACKET_TABLE[packet_type]
        assert sorted(f.name for f in fields if f.reply_required) == entry.get("reply_required", [])
        assert sorted(f.name for f in fields if f.originating_required) == entry.get(
            "originating_required", []
        )

    def test_every_field_is_an_attribute(self, packet_type: str) -> None:
        packet = Packet._find_packet_type(packet_type)()
        for name in PACKET_TABLE[packet_type]["fields"]:
            assert getattr(packet, name) is None
            setattr(packet, name, ["value"])
            assert getattr(packet, name) == ["value"]
            assert packet.as_dict()["body"] == {name: ["value"]}
            delattr(packet, name)
            assert getattr(packet, name) is None
            assert packet.as_dict()["body"] == {}


def test_the_table_and_the_classes_name_the_same_types() -> None:
    assert set(Packet._types) == set(PACKET_TABLE)


class TestRoundTrip:
    @pytest.mark.parametrize("name", SAMPLE_NAMES)
    def test_a_sample_comes_back_as_it_came(self, name: str) -> None:
        document = sample(name)
        packet = Packet.from_dict(document)
        assert packet.as_dict() == sample(name)
        assert list(packet.as_dict()) == list(sample(name))
        assert json.loads(packet.json()) == sample(name)
        assert Packet.from_json(json.dumps(document)).as_dict() == sample(name)
        assert Packet.from_json(json.dumps(document).encode()).as_dict() == sample(name)
        assert document == sample(name)
        assert packet._original_data is document

    @property_test
    @given(documents())
    def test_any_document_comes_back_as_it_came(self, document: dict[str, Any]) -> None:
        before = copy.deepcopy(document)
        packet = Packet.from_dict(document)
        assert packet.as_dict() == before
        assert json.loads(packet.json()) == before
        read_everything(packet)
        assert packet.as_dict() == before
        assert json.loads(packet.json()) == before
        assert document == before

    @property_test
    @given(documents())
    def test_what_as_dict_gives_shares_nothing_with_the_packet(self, document: dict[str, Any]) -> None:
        before = copy.deepcopy(document)
        packet = Packet.from_dict(document)
        given_away = packet.as_dict()
        empty_everything(given_away)
        assert packet.as_dict() == before

    def test_json_takes_the_arguments_of_json_dumps(self) -> None:
        packet = InformTransactionComplete(Message="é")
        assert '"\\u00e9"' in packet.json()
        assert '"é"' in packet.json(ensure_ascii=False)
        assert packet.json(indent=4, sort_keys=True).startswith('{\n    "DATA_TYPE": "Packet",\n    "body"')

    def test_pretty_print(self, capsys: pytest.CaptureFixture[str]) -> None:
        packet = Packet.from_dict(sample("spec/request_person_merge"))
        packet.pretty_print()
        printed = capsys.readouterr().out
        assert json.loads(printed) == sample("spec/request_person_merge")
        assert "\n    " in printed


def read_everything(packet: Packet) -> None:
    """Read every attribute that a packet has, and ask it every question that changes nothing."""
    for name in dir(packet):
        if not name.startswith("__"):
            getattr(packet, name)
    packet.missing_attributes()
    packet.validate_data()
    repr(packet)


def empty_everything(value: Any) -> None:
    """Empty every list and object in a JSON value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            empty_everything(item)
        value.clear()


class TestAssigning:
    @pytest.mark.parametrize("name", SAMPLE_NAMES)
    def test_after_one_assignment_only_that_field_differs(self, name: str) -> None:
        for field in Packet.from_dict(sample(name))._fields.values():
            if field.also:
                continue  # it has a second name on the wire: below
            packet = Packet.from_dict(sample(name))
            setattr(packet, field.name, "text")
            expected = sample(name)
            expected["body"][field.name] = "text"
            assert packet.as_dict() == expected

    @pytest.mark.parametrize("name", SAMPLE_NAMES)
    def test_after_one_deletion_only_that_field_is_gone(self, name: str) -> None:
        for field in list(Packet.from_dict(sample(name))._fields):
            deleted, emptied = Packet.from_dict(sample(name)), Packet.from_dict(sample(name))
            delattr(deleted, field)
            setattr(emptied, field, None)
            expected = sample(name)
            expected["body"].pop(field, None)
            if field == "ActionType":
                expected["body"].pop("Actiontype", None)
            assert deleted.as_dict() == emptied.as_dict() == expected

    def test_a_list_of_a_parsed_packet_is_its_own(self) -> None:
        document = sample("spec/request_account_create")
        packet = Packet.from_dict(document)
        assert isinstance(packet, RequestAccountCreate)
        assert packet.UserDnList is not None
        packet.UserDnList.append("/C=US/O=Example/CN=Robin Example 2")
        assert packet.UserDnList[-1] == "/C=US/O=Example/CN=Robin Example 2"
        assert packet.as_dict()["body"]["UserDnList"] == packet.UserDnList
        assert document == sample("spec/request_account_create")
        again = Packet.from_dict(document)
        assert again.as_dict() == document

    def test_so_are_the_objects_in_it(self) -> None:
        document = sample("spec/request_account_create")
        packet = Packet.from_dict(document)
        assert isinstance(packet, RequestAccountCreate)
        assert packet.AcademicDegree is not None
        packet.AcademicDegree[0]["Degree"] = "BS"
        assert packet.as_dict()["body"]["AcademicDegree"][0] == {"Degree": "BS", "Field": "Math"}
        assert document == sample("spec/request_account_create")

    def test_actiontype_in_its_other_spelling(self) -> None:
        packet = Packet.from_dict(sample("edge/rum_lowercase_actiontype_key"))
        assert isinstance(packet, RequestUserModify)
        assert packet.ActionType == "delete"
        assert packet.additional_data == {"Actiontype": "delete"}
        packet.ActionType = "replace"
        assert packet.as_dict()["body"] == {
            "ActionType": "replace",
            "DnList": ["/C=US/O=PSC/CN=Robin Example"],
            "PersonID": "21619",
        }
        del packet.ActionType
        assert packet.ActionType is None

    def test_both_names_of_the_lists_in_notify_person_ids(self) -> None:
        packet = NotifyPersonIDs(PersonIDList=["1"], PersonIdList=["2"], ResourceLoginList=[{"Login": "x"}])
        assert (packet.PersonIDList, packet.PersonIdList) == (["1"], ["2"])
        assert packet.ResourceLoginList == [{"Login": "x"}]
        assert sorted(packet.additional_data) == ["PersonIdList", "ResourceLoginList"]

    def test_the_order_of_assigning_does_not_matter_to_what_is_read(self) -> None:
        packet = InformTransactionComplete(StatusCode="Success")
        packet.StatusCode = None
        packet.StatusCode = "Failure"
        assert packet.as_dict()["body"] == {"StatusCode": "Failure"}
        assert packet._required_data == {"StatusCode": "Failure"}
        assert packet._allowed_data == {}

    def test_a_value_that_json_has_no_form_for_is_refused_at_once(self) -> None:
        packet = RequestAccountCreate(GrantNumber="AST040002")
        for value in (object(), float("nan"), Decimal("Infinity"), b"bytes"):
            with pytest.raises(PacketInvalidData, match="GrantNumber was given a value"):
                assign(packet, "GrantNumber", value)
        assert packet.GrantNumber == "AST040002"

    def test_tuples_and_sets_go_out_as_lists(self) -> None:
        packet = NotifyProjectCreate(PiDnList=("b", "a"), RoleList={"pi", "co_pi"}, Sfos=({"Number": "1"},))
        body = json.loads(packet.json())["body"]
        assert body == {"PiDnList": ["b", "a"], "RoleList": ["co_pi", "pi"], "Sfos": [{"Number": "1"}]}


class TestUnknownNames:
    def test_assigning_one_names_the_nearest_field_and_additional_data(self) -> None:
        packet = RequestAccountCreate()
        with pytest.raises(AttributeError, match=r"Did you mean UserFirstName\?.*additional_data\["):
            assign(packet, "UserFristName", "Robin")
        with pytest.raises(AttributeError, match=r"Did you mean trans_rec_id\?"):
            assign(packet, "trans_recid", 1)
        assert packet.as_dict()["body"] == {}

    def test_so_does_reading_one(self) -> None:
        packet = RequestAccountCreate()
        with pytest.raises(AttributeError, match=r"Did you mean ResourceList\?.*additional_data\["):
            read(packet, "resourcelist")
        with pytest.raises(AttributeError, match=r"has no field 'Zzz'\. What AMIE does not name goes into"):
            read(packet, "Zzz")
        assert not hasattr(packet, "ProjectTitle")

    def test_a_field_of_another_type_is_unknown(self) -> None:
        with pytest.raises(AttributeError, match="DataProjectCreate has no field 'GrantNumber'"):
            assign(DataProjectCreate(), "GrantNumber", "AST040002")


class TestCopies:
    @pytest.mark.parametrize("name", SAMPLE_NAMES)
    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, through_pickle])
    def test_a_copy_is_equal_and_apart(self, name: str, copied: Any) -> None:
        packet = Packet.from_dict(sample(name))
        twin = copied(packet)
        assert type(twin) is type(packet)
        assert twin.as_dict() == packet.as_dict() == sample(name)
        assert twin._original_data == packet._original_data
        for field in twin._fields:
            value = getattr(twin, field)
            if isinstance(value, list):
                value.append("one more")
            else:
                setattr(twin, field, "changed")
        twin.packet_rec_id = 1
        twin.additional_data["More"] = "x"
        assert packet.as_dict() == sample(name)

    def test_a_copy_remembers_what_was_emptied(self) -> None:
        packet = NotifyAccountCreate(in_reply_to=1, ProjectID="p")
        packet.ProjectID = None
        assert not copy.copy(packet).validate_data()
        assert not copy.deepcopy(packet).validate_data()
        assert not through_pickle(packet).validate_data()


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_no_repr_shows_personal_data(name: str) -> None:
    document = sample(name)
    document["header"]["in_reply_to"] = sample(name)
    shown = repr(Packet.from_dict(document))
    header = document["header"]
    rec_id, trans_rec_id = header["packet_rec_id"], header["trans_rec_id"]
    class_name = PACKET_TABLE[document["type"]]["class"]
    assert shown == f"<{class_name} packet_rec_id={rec_id} trans_rec_id={trans_rec_id} in_reply_to={rec_id}>"
