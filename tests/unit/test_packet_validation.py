"""``missing_attributes`` and ``validate_data``: what a first packet and a reply must have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from amie_engine.errors import PacketInvalidData
from amie_engine.packet import (
    InformTransactionComplete,
    NotifyAccountCreate,
    NotifyPersonDuplicate,
    NotifyProjectCreate,
    NotifyUserModify,
    Packet,
    RequestAccountCreate,
    RequestUserModify,
)
from amie_engine.testing.strategies import documents, packets
from tests.unit.samples import PACKET_TABLE, SAMPLE_NAMES, property_test, sample

WITH_RESOURCE_LIST = sorted(name for name, entry in PACKET_TABLE.items() if "ResourceList" in entry["fields"])

INCOMPLETE_SAMPLES = {
    name: ["RecordID"]
    for name in SAMPLE_NAMES
    if "request_project_create" in name or (name.startswith("edge/rpc_") and "duplicate" not in name)
} | {
    "spec/notify_account_create.originating": ["AcademicDegree"],
    "spec/notify_account_create.reply": ["AccountActivityTime"],
}
"""What the samples leave out that the public client's tables require."""


def made(packet_type: str, **arguments: Any) -> Packet:
    """A packet of a type."""
    return Packet._find_packet_type(packet_type)(**arguments)


def complete(packet_type: str, **arguments: Any) -> Packet:
    """A packet of a type in which every required item has a value."""
    values: dict[str, Any] = dict.fromkeys(PACKET_TABLE[packet_type]["client"]["required"], "x")
    special: dict[str, Any] = {"ResourceList": ["hc.example"], "ActionType": "replace"}
    values |= {name: value for name, value in special.items() if name in values}
    if packet_type == "notify_person_duplicate":
        values = {"GlobalID1": "1", "PersonID2": "2"}
    return made(packet_type, **values, **arguments)


def reason(packet: Packet) -> str:
    """What validate_data says is wrong."""
    with pytest.raises(PacketInvalidData) as raised:
        packet.validate_data(raise_on_invalid=True)
    assert not packet.validate_data()
    assert raised.value.code == "packet-invalid-data"
    return raised.value.message


@pytest.mark.parametrize("packet_type", PACKET_TABLE)
class TestFirstPacket:
    def test_complete(self, packet_type: str) -> None:
        packet = complete(packet_type)
        assert packet.missing_attributes() == []
        assert packet.validate_data(raise_on_invalid=True)

    def test_items_that_were_never_set(self, packet_type: str) -> None:
        required = PACKET_TABLE[packet_type]["client"]["required"]
        packet = made(packet_type)
        assert sorted(packet.missing_attributes()) == required
        assert packet.validate_data() is False
        for name in required:
            assert name in reason(packet)

    def test_one_item_less(self, packet_type: str) -> None:
        for name in PACKET_TABLE[packet_type]["client"]["required"]:
            emptied, deleted = complete(packet_type), complete(packet_type)
            setattr(emptied, name, None)
            delattr(deleted, name)
            never_set = made(
                packet_type,
                **{
                    item: value
                    for item, value in complete(packet_type).as_dict()["body"].items()
                    if item != name
                },
            )
            null_on_the_wire = complete(packet_type).as_dict()
            null_on_the_wire["body"][name] = None
            for packet in (emptied, deleted, never_set, Packet.from_dict(null_on_the_wire)):
                assert packet.missing_attributes() == [name]
                assert f"missing {name}" in reason(packet)

    def test_an_empty_text_is_a_value(self, packet_type: str) -> None:
        packet = complete(packet_type)
        for name, entry in PACKET_TABLE[packet_type]["fields"].items():
            if entry["kind"] in ("text", "date", "amount", "datetime") and name != "ActionType":
                setattr(packet, name, "")
        assert packet.missing_attributes() == []
        assert packet.validate_data()


@pytest.mark.parametrize("packet_type", PACKET_TABLE)
class TestReply:
    def test_missing_attributes_leaves_out_what_the_service_can_infer(self, packet_type: str) -> None:
        client = PACKET_TABLE[packet_type]["client"]
        reply = made(packet_type, in_reply_to=1)
        assert sorted(reply.missing_attributes()) == sorted(
            set(client["required"]) - set(client["not_required_in_reply"])
        )

    def test_items_that_were_never_set_are_assumed_to_be_filled_in(self, packet_type: str) -> None:
        if packet_type in ("request_user_modify", "notify_user_modify", "notify_person_duplicate"):
            assert not made(packet_type, in_reply_to=1).validate_data()
        else:
            assert made(packet_type, in_reply_to=1).validate_data(raise_on_invalid=True)

    def test_an_item_that_was_set_and_then_emptied_counts_as_missing(self, packet_type: str) -> None:
        client = PACKET_TABLE[packet_type]["client"]
        for name in client["required"]:
            emptied = complete(packet_type, in_reply_to=1)
            setattr(emptied, name, None)
            deleted = complete(packet_type, in_reply_to=1)
            delattr(deleted, name)
            null_on_the_wire = complete(packet_type, in_reply_to=1).as_dict()
            null_on_the_wire["body"][name] = None
            for packet in (emptied, deleted, Packet.from_dict(null_on_the_wire)):
                if name in client["not_required_in_reply"]:
                    assert packet.validate_data(raise_on_invalid=True)
                else:
                    assert f"missing {name}" in reason(packet)
                setattr(packet, name, complete(packet_type).as_dict()["body"][name])
                assert packet.validate_data(raise_on_invalid=True)


def test_a_new_account_with_just_its_ids_passes_as_a_reply() -> None:
    reply = RequestAccountCreate(packet_rec_id=7016).reply_packet()
    assert isinstance(reply, NotifyAccountCreate)
    reply.ProjectID, reply.UserPersonID, reply.UserRemoteSiteLogin = "afm", "u42", "rexample"
    assert reply.validate_data(raise_on_invalid=True)
    assert reply.missing_attributes() == ["AccountActivityTime", "ResourceList"]


def test_the_documented_minimal_new_project_passes_as_a_reply() -> None:
    reply = NotifyProjectCreate(in_reply_to=1, PiPersonID="1", ProjectID="p", PiRemoteSiteLogin="rexample")
    assert reply.missing_attributes() == []
    assert reply.validate_data()
    reply.in_reply_to_id = None
    assert not reply.validate_data()


class TestResourceList:
    @pytest.mark.parametrize("packet_type", WITH_RESOURCE_LIST)
    @pytest.mark.parametrize("resources", [[], ["a", "b"], "a", {"a": 1}, 1])
    def test_it_is_a_list_of_exactly_one(self, packet_type: str, resources: Any) -> None:
        for answered in (None, 1):
            packet = complete(packet_type, in_reply_to=answered)
            packet.additional_data["ResourceList"] = resources
            assert "ResourceList must be a list of exactly one resource" in reason(packet)
            packet.additional_data["ResourceList"] = ["a"]
            assert packet.validate_data(raise_on_invalid=True)

    def test_the_types_that_have_none_take_it_as_an_additional_item(self) -> None:
        packet = complete("data_project_create", ResourceList=["a", "b"])
        assert packet.validate_data()


class TestActionType:
    @pytest.mark.parametrize("action", ["add", "delete", "replace"])
    @pytest.mark.parametrize("packet_class", [RequestUserModify, NotifyUserModify])
    def test_its_values(self, packet_class: Any, action: str) -> None:
        assert packet_class(PersonID="1", ActionType=action).validate_data(raise_on_invalid=True)

    @pytest.mark.parametrize("action", ["", "Replace", "remove", " add", 1, ["add"], None])
    @pytest.mark.parametrize("packet_class", [RequestUserModify, NotifyUserModify])
    def test_anything_else(self, packet_class: Any, action: Any) -> None:
        for answered in (None, 1):
            packet = packet_class(PersonID="1", ActionType=action, in_reply_to=answered)
            assert "ActionType must be add, delete or replace" in reason(packet)

    def test_in_its_other_spelling(self) -> None:
        packet = Packet.from_dict(sample("edge/rum_lowercase_actiontype_key"))
        assert packet.missing_attributes() == []
        assert packet.validate_data(raise_on_invalid=True)


class TestPersonDuplicate:
    @pytest.mark.parametrize(
        "first", [{"GlobalID1": "1"}, {"PersonID1": "a"}, {"GlobalID1": "1", "PersonID1": "a"}]
    )
    @pytest.mark.parametrize("second", [{"GlobalID2": "2"}, {"PersonID2": "b"}])
    def test_each_person_has_an_id(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        assert NotifyPersonDuplicate(**first, **second).validate_data(raise_on_invalid=True)
        assert reason(NotifyPersonDuplicate(**first)).endswith("GlobalID2 or PersonID2.")
        assert reason(NotifyPersonDuplicate(**second)).endswith("GlobalID1 or PersonID1.")


class TestErrors:
    def test_it_names_the_packet_and_what_is_missing_and_shows_no_value(self) -> None:
        packet = RequestAccountCreate(
            packet_rec_id=7016, trans_rec_id=5016, UserFirstName="Robin", UserEmail="robin@example.edu"
        )
        said = reason(packet)
        assert said == (
            "<RequestAccountCreate packet_rec_id=7016 trans_rec_id=5016> is not valid: missing GrantNumber,"
            " ResourceList, UserLastName, UserOrgCode, UserOrganization."
        )

    def test_all_that_is_wrong_is_named_at_once(self) -> None:
        said = reason(RequestUserModify(ActionType="remove"))
        assert "missing PersonID; ActionType must be" in said

    def test_validating_changes_nothing(self) -> None:
        packet = InformTransactionComplete(StatusCode="Success")
        before = packet.as_dict()
        packet.missing_attributes()
        packet.validate_data()
        assert packet.as_dict() == before


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_every_sample(name: str) -> None:
    packet = Packet.from_dict(sample(name))
    if name.endswith(".reply"):
        packet.in_reply_to_id = 1
    missing = INCOMPLETE_SAMPLES.get(name, [])
    assert packet.missing_attributes() == missing
    assert packet.validate_data() is (missing == [] or packet.in_reply_to_id is not None)
    for item in missing:
        packet.additional_data[item] = ["x"]
    assert packet.validate_data(raise_on_invalid=True)


@property_test
@given(packets())
def test_what_amie_describes_is_valid(packet: Packet) -> None:
    assert packet.validate_data(raise_on_invalid=True)


@property_test
@given(documents())
def test_no_document_makes_validation_raise_another_error(document: dict[str, Any]) -> None:
    packet = Packet.from_dict(document)
    valid = packet.validate_data()
    assert valid is True or reason(packet)
    if packet.in_reply_to_id is None and packet.missing_attributes():
        assert not valid
