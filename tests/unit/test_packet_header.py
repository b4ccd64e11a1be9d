"""A packet's header: the constructor's arguments, ids, times, states, and what the packet answers."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from amie_engine.errors import PacketInvalidData
from amie_engine.packet import InformTransactionComplete, NotifyAccountCreate, Packet, RequestAccountCreate
from amie_engine.testing.strategies import packets, record_ids
from tests.unit.samples import SAMPLE_NAMES, property_test, sample

ARGUMENTS: dict[str, Any] = {
    "packet_rec_id": 174709745,
    "trans_rec_id": 87139097,
    "packet_id": 1,
    "transaction_id": 244206,
    "client_state": "in-progress",
    "client_json": {"ticket": 17},
    "remote_site_name": "NCSA",
    "local_site_name": "TGCDB",
    "originating_site_name": "TGCDB",
    "outgoing_flag": 1,
    "transaction_state": "in-progress",
    "packet_state": "in-progress",
}
"""The documented arguments that stand in the header under their own names, as they are given."""


class TestConstructor:
    def test_it_takes_the_documented_arguments_in_their_order(self) -> None:
        assert list(inspect.signature(Packet).parameters) == [
            "packet_rec_id",
            "trans_rec_id",
            "packet_id",
            "transaction_id",
            "packet_timestamp",
            "additional_data",
            "in_reply_to",
            "client_state",
            "client_json",
            "remote_site_name",
            "local_site_name",
            "originating_site_name",
            "outgoing_flag",
            "transaction_state",
            "packet_state",
            "type_id",
            "_original_data",
            "kwargs",
        ]

    @pytest.mark.parametrize(("name", "value"), ARGUMENTS.items())
    def test_each_is_an_attribute_and_a_header_key(self, name: str, value: Any) -> None:
        packet = RequestAccountCreate(**{name: value})
        assert getattr(packet, name) == value
        assert packet.as_dict()["header"][name] == value
        assigned = RequestAccountCreate()
        assert getattr(assigned, name) is None
        setattr(assigned, name, value)
        assert assigned.as_dict() == packet.as_dict()

    @pytest.mark.parametrize(
        "name", ["packet_rec_id", "trans_rec_id", "packet_id", "transaction_id", "type_id"]
    )
    def test_ids_are_taken_as_digits_and_kept_as_numbers(self, name: str) -> None:
        arguments: dict[str, Any] = {name: "000174709745"}
        packet = RequestAccountCreate(**arguments)
        assert getattr(packet, name) == 174709745
        document = packet.as_dict()
        assert (document if name == "type_id" else document["header"])[name] == 174709745

    @pytest.mark.parametrize(
        "value", ["", "seven", "1.0", " 1", "-1", -1, 1.0, True, 10**38, "1" * 39, [], "\u0661"]
    )
    @pytest.mark.parametrize("name", ["packet_rec_id", "trans_rec_id", "in_reply_to", "type_id"])
    def test_what_is_no_id_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(PacketInvalidData, match="is no id"):
            RequestAccountCreate(**{name: value})

    @property_test
    @given(record_ids())
    def test_ids_of_up_to_38_digits_lose_nothing(self, record_id: int) -> None:
        packet = RequestAccountCreate(packet_rec_id=record_id, trans_rec_id=str(record_id))
        assert packet.packet_rec_id == packet.trans_rec_id == record_id
        assert json.loads(packet.json())["header"]["trans_rec_id"] == record_id

    def test_fields_are_arguments_and_other_names_go_to_additional_data(self) -> None:
        packet = RequestAccountCreate(GrantNumber="AST040002", SomeTag={"RecordID": "rac.1"})
        assert packet.GrantNumber == "AST040002"
        assert packet.additional_data == {"SomeTag": {"RecordID": "rac.1"}}
        assert packet.as_dict()["body"] == {"GrantNumber": "AST040002", "SomeTag": {"RecordID": "rac.1"}}

    def test_additional_data_is_an_argument_too(self) -> None:
        packet = RequestAccountCreate(additional_data={"SomeTag": "x"}, OtherTag="y")
        assert packet.additional_data == {"SomeTag": "x", "OtherTag": "y"}

    def test_original_data_is_kept(self) -> None:
        original = {"anything": 1}
        assert RequestAccountCreate(_original_data=original)._original_data is original
        assert RequestAccountCreate()._original_data is None

    def test_what_is_made_here_has_the_header_that_the_service_expects(self) -> None:
        assert RequestAccountCreate().as_dict() == {
            "DATA_TYPE": "Packet",
            "type": "request_account_create",
            "header": {
                "packet_rec_id": None,
                "packet_id": None,
                "transaction_id": None,
                "trans_rec_id": None,
                "expected_reply_list": [{"type": "notify_account_create", "timeout": 30240}],
                "local_site_name": None,
                "remote_site_name": None,
                "originating_site_name": None,
                "outgoing_flag": None,
                "transaction_state": None,
                "packet_state": None,
            },
            "body": {},
        }

    def test_an_inform_that_is_made_here_expects_nothing(self) -> None:
        assert InformTransactionComplete().as_dict()["header"]["expected_reply_list"] == []

    def test_a_value_that_is_taken_back_leaves_no_trace(self) -> None:
        packet = RequestAccountCreate(in_reply_to=1, client_state="x", client_json={}, type_id=16)
        packet.in_reply_to_id = packet.client_state = packet.client_json = packet.type_id = None
        assert packet.as_dict() == RequestAccountCreate().as_dict()

    @property_test
    @given(packets())
    def test_what_is_made_here_reads_back_as_itself(self, packet: Packet) -> None:
        made = type(packet)(packet_rec_id=packet.packet_rec_id, **packet.as_dict()["body"])
        assert Packet.from_json(made.json()).as_dict() == made.as_dict()
        assert made.as_dict()["body"] == packet.as_dict()["body"]


class TestTimestamp:
    @pytest.mark.parametrize(
        ("given", "read"),
        [
            ("2026-01-15T12:00:00.000Z", datetime(2026, 1, 15, 12, tzinfo=UTC)),
            ("2026-01-15T06:00:00-06:00", datetime(2026, 1, 15, 12, tzinfo=UTC)),
            (
                datetime(2026, 1, 15, 6, tzinfo=timezone(timedelta(hours=-6))),
                datetime(2026, 1, 15, 12, tzinfo=UTC),
            ),
        ],
    )
    def test_a_datetime_or_text(self, given: datetime | str, read: datetime) -> None:
        packet = RequestAccountCreate(packet_timestamp=given)
        assert packet.packet_timestamp == read
        assert packet.as_dict()["header"]["packet_timestamp"] == "2026-01-15T12:00:00.000Z"

    @pytest.mark.parametrize(
        "given",
        [
            datetime(2026, 1, 15, 12),  # noqa: DTZ001 # that is the mistake
            "2026-01-15T12:00:00",
            "soon",
            "",
            1768478400,
            "0001-01-01T00:00:00+14:00",
        ],
    )
    def test_what_names_no_moment_is_refused(self, given: Any) -> None:
        with pytest.raises(PacketInvalidData, match="packet_timestamp"):
            RequestAccountCreate(packet_timestamp=given)

    @pytest.mark.parametrize("odd", ["soon", "", None, 1768478400, {"at": 1}])
    def test_an_odd_one_that_came_is_kept_and_reads_as_none(self, odd: Any) -> None:
        document = sample("spec/request_account_create")
        document["header"]["packet_timestamp"] = odd
        packet = Packet.from_dict(document)
        assert packet.packet_timestamp is None
        assert packet.as_dict()["header"]["packet_timestamp"] == odd


class TestClientJson:
    def test_text_is_parsed(self) -> None:
        packet = RequestAccountCreate(client_json='{"ticket": [1, 2]}')
        assert packet.client_json == {"ticket": [1, 2]}
        packet.client_json = "[]"
        assert packet.client_json == []

    @pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000])
    def test_text_that_is_no_json_is_refused(self, text: str) -> None:
        with pytest.raises(PacketInvalidData, match="client_json"):
            RequestAccountCreate(client_json=text)

    def test_changing_it_in_place_does_not_change_the_document_it_came_from(self) -> None:
        document = sample("spec/request_account_create")
        document["header"]["client_json"] = {"tickets": [1]}
        packet = Packet.from_dict(document)
        assert packet.client_json is not None
        packet.client_json["tickets"].append(2)
        assert packet.as_dict()["header"]["client_json"] == {"tickets": [1, 2]}
        assert document["header"]["client_json"] == {"tickets": [1]}

    @pytest.mark.parametrize(
        ("came", "read"), [('{"a": 1}', {"a": 1}), ("my note", "my note"), ("", ""), ("[" * 9999, "[" * 9999)]
    )
    def test_text_that_came_reads_as_what_it_holds(self, came: str, read: Any) -> None:
        document = sample("spec/request_account_create")
        document["header"]["client_json"] = came
        packet = Packet.from_dict(document)
        assert packet.client_json == read
        assert packet.as_dict()["header"]["client_json"] == came


class TestInReplyTo:
    @pytest.mark.parametrize(
        "answered",
        [
            7016,
            "7016",
            RequestAccountCreate(packet_rec_id=7016),
            sample("spec/request_account_create"),
            {"header": {"packet_rec_id": "7016"}},
        ],
    )
    def test_its_forms(self, answered: Any) -> None:
        packet = NotifyAccountCreate(in_reply_to=answered)
        assert packet.in_reply_to_id == 7016
        assert packet.as_dict()["header"]["in_reply_to"] == 7016
        assigned = NotifyAccountCreate()
        assigned.in_reply_to_id = answered
        assert assigned.in_reply_to_id == 7016

    @pytest.mark.parametrize("nothing", [None, RequestAccountCreate(), {"header": {}}, {}])
    def test_what_has_no_id_is_answered_by_nothing(self, nothing: Any) -> None:
        packet = NotifyAccountCreate(in_reply_to=nothing)
        assert packet.in_reply_to_id is None
        assert "in_reply_to" not in packet.as_dict()["header"]

    def test_a_document_of_any_form_comes_back_as_it_came(self) -> None:
        document = sample("spec/notify_account_create.reply")
        document["header"]["in_reply_to"] = {"header": {"packet_rec_id": "7016"}}
        packet = Packet.from_dict(document)
        assert packet.in_reply_to_id == 7016
        assert packet.as_dict() == document


class TestSender:
    """Source: "The AMIE Model": local_site_name if outgoing_flag is true, else remote_site_name."""

    @pytest.mark.parametrize("flag", [1, True, "1", "true", "True"])
    def test_outgoing(self, flag: Any) -> None:
        packet = RequestAccountCreate(local_site_name="TGCDB", remote_site_name="NCSA", outgoing_flag=flag)
        assert packet.sender_name == "TGCDB"
        assert packet.outgoing_flag is flag

    @pytest.mark.parametrize("flag", [0, False, "0", "false"])
    def test_incoming(self, flag: Any) -> None:
        packet = RequestAccountCreate(local_site_name="TGCDB", remote_site_name="NCSA", outgoing_flag=flag)
        assert packet.sender_name == "NCSA"

    @pytest.mark.parametrize("flag", [None, ""])
    def test_without_a_flag_the_header_does_not_tell(self, flag: Any) -> None:
        packet = RequestAccountCreate(local_site_name="TGCDB", remote_site_name="NCSA", outgoing_flag=flag)
        assert packet.sender_name is None

    @pytest.mark.parametrize("name", SAMPLE_NAMES)
    def test_every_sample(self, name: str) -> None:
        document = sample(name)
        packet = Packet.from_dict(document)
        if document["type"].startswith(("request_", "data_")):
            assert packet.sender_name == "TGCDB"
        elif document["type"].startswith("notify_"):
            assert packet.sender_name == "NCSA"
        else:
            assert packet.sender_name in ("TGCDB", "NCSA")


class TestAfterOneAssignment:
    @pytest.mark.parametrize("name", ["spec/request_account_create", "edge/missing_header_keys"])
    @pytest.mark.parametrize(("key", "value"), ARGUMENTS.items())
    def test_only_that_header_key_differs(self, name: str, key: str, value: Any) -> None:
        packet = Packet.from_dict(sample(name))
        setattr(packet, key, value)
        expected = sample(name)
        expected["header"][key] = value
        assert packet.as_dict() == expected

    def test_type_id(self) -> None:
        packet = Packet.from_dict(sample("spec/request_account_create") | {"type_id": "16"})
        assert packet.type_id == 16
        assert packet.as_dict()["type_id"] == "16"
        packet.type_id = 17
        assert packet.as_dict() == sample("spec/request_account_create") | {"type_id": 17}

    def test_an_odd_type_id_that_came_is_kept_and_reads_as_none(self) -> None:
        packet = Packet.from_dict(sample("spec/request_account_create") | {"type_id": "sixteen"})
        assert packet.type_id is None
        assert packet.as_dict()["type_id"] == "sixteen"
