"""The replies that a packet expects, and making one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from amie_engine.errors import PacketInvalidData, PacketInvalidType
from amie_engine.packet import (
    DataAccountCreate,
    InformTransactionComplete,
    NotifyAccountCreate,
    NotifyProjectCreate,
    NotifyProjectInactivate,
    Packet,
    RequestAccountCreate,
    RequestProjectCreate,
)
from amie_engine.testing.strategies import documents
from tests.unit.samples import PACKET_TABLE, property_test, sample


def request_expecting(replies: Any) -> Packet:
    """A request whose header names these replies."""
    document = sample("spec/request_account_create")
    document["header"]["expected_reply_list"] = replies
    return Packet.from_dict(document)


class TestExpectedReply:
    @pytest.mark.parametrize("packet_type", PACKET_TABLE)
    def test_without_a_list_in_the_header_the_class_s_own(self, packet_type: str) -> None:
        packet = Packet.from_dict({"type": packet_type, "header": {}, "body": {}})
        assert packet.expected_reply == PACKET_TABLE[packet_type]["expected_reply"]

    def test_the_header_s_list_is_authoritative(self) -> None:
        packet = request_expecting([{"type": "notify_project_create", "timeout": 60}])
        assert packet.expected_reply == [{"type": "notify_project_create", "timeout": 60}]
        assert request_expecting([]).expected_reply == []

    @pytest.mark.parametrize(
        ("replies", "read"),
        [
            (["notify_account_create"], [{"type": "notify_account_create", "timeout": 30240}]),
            ([{"type": "x"}], [{"type": "x", "timeout": 30240}]),
            ([{"type": "x", "timeout": "60", "more": 1}], [{"type": "x", "timeout": 60}]),
            ([{"type": "x", "timeout": "soon"}], [{"type": "x", "timeout": 30240}]),
            ([{"type": "x", "timeout": -1}], [{"type": "x", "timeout": 30240}]),
        ],
    )
    def test_odd_lists_that_can_be_read(self, replies: Any, read: Any) -> None:
        assert request_expecting(replies).expected_reply == read

    @pytest.mark.parametrize("replies", [None, "notify_account_create", {}, [None], [{"timeout": 1}], [[]]])
    def test_what_is_no_list_of_replies_leaves_the_class_s_own(self, replies: Any) -> None:
        packet = request_expecting(replies)
        assert packet.expected_reply == RequestAccountCreate.expected_reply
        assert packet.as_dict()["header"]["expected_reply_list"] == replies

    def test_assigning(self) -> None:
        packet = RequestAccountCreate()
        packet.expected_reply = [{"type": "notify_account_create", "timeout": 60}]
        assert packet.as_dict()["header"]["expected_reply_list"] == packet.expected_reply
        no_list: Any = "notify_account_create"
        with pytest.raises(PacketInvalidData, match="expected_reply is no list of replies"):
            packet.expected_reply = no_list
        assert RequestAccountCreate().expected_reply == RequestAccountCreate.expected_reply

    def test_what_is_read_is_the_reader_s_own(self) -> None:
        RequestAccountCreate().expected_reply.clear()
        RequestAccountCreate.expected_reply[0]["timeout"] = 0
        assert RequestAccountCreate.expected_reply == [{"type": "notify_account_create", "timeout": 30240}]


class TestReplyPacket:
    @pytest.mark.parametrize("packet_type", PACKET_TABLE)
    def test_of_each_type(self, packet_type: str) -> None:
        packet = Packet._find_packet_type(packet_type)(packet_rec_id=7016)
        reply = packet.reply_packet()
        assert reply.packet_type == PACKET_TABLE[packet_type]["expected_reply"][0]["type"]
        assert reply.in_reply_to_id == 7016
        assert reply.packet_rec_id is None
        assert reply.as_dict()["body"] == {}

    def test_with_a_record_id(self) -> None:
        assert RequestAccountCreate(packet_rec_id=1).reply_packet(packet_rec_id="2").packet_rec_id == 2

    def test_none_is_expected(self) -> None:
        with pytest.raises(PacketInvalidType, match="expects no reply"):
            request_expecting([]).reply_packet()
        with pytest.raises(PacketInvalidType, match="expects no reply"):
            request_expecting([]).reply_packet(packet_type="notify_account_create")
        forced = request_expecting([]).reply_packet(packet_type="notify_account_create", force=True)
        assert isinstance(forced, NotifyAccountCreate)

    def test_several_are_expected(self) -> None:
        packet = request_expecting(["notify_account_create", "inform_transaction_complete"])
        with pytest.raises(PacketInvalidType, match=r"one of several .* notify_account_create, inform_"):
            packet.reply_packet()
        with pytest.raises(PacketInvalidType, match="one of several"):
            packet.reply_packet(force=True)
        assert isinstance(packet.reply_packet(packet_type="notify_account_create"), NotifyAccountCreate)
        inform = packet.reply_packet(packet_type="inform_transaction_complete")
        assert isinstance(inform, InformTransactionComplete)

    def test_one_that_is_listed_twice_is_one(self) -> None:
        packet = request_expecting(["notify_account_create", "notify_account_create"])
        assert isinstance(packet.reply_packet(), NotifyAccountCreate)

    def test_another_than_is_expected(self) -> None:
        packet = RequestAccountCreate(packet_rec_id=7016)
        with pytest.raises(PacketInvalidType, match="does not expect 'notify_project_create'"):
            packet.reply_packet(packet_type="notify_project_create")
        forced = packet.reply_packet(packet_type="notify_project_create", force=True)
        assert isinstance(forced, NotifyProjectCreate)
        assert forced.in_reply_to_id == 7016

    def test_a_type_that_there_is_not(self) -> None:
        with pytest.raises(PacketInvalidType, match="No AMIE packet type is named 'notify_nobody'"):
            RequestAccountCreate().reply_packet(packet_type="notify_nobody", force=True)
        with pytest.raises(PacketInvalidType, match="No AMIE packet type is named 'notify_nobody'"):
            request_expecting(["notify_nobody"]).reply_packet()

    @pytest.mark.parametrize("name", ["success.in", "failure.out"])
    def test_an_inform_falls_back_to_its_class(self, name: str) -> None:
        inform = Packet.from_dict(sample(f"spec/inform_transaction_complete.{name}"))
        assert inform.expected_reply == []
        acknowledgement = inform.reply_packet()
        assert isinstance(acknowledgement, InformTransactionComplete)
        assert acknowledgement.in_reply_to_id == inform.packet_rec_id
        assert acknowledgement.as_dict()["header"]["expected_reply_list"] == []

    def test_a_chain_of_replies(self) -> None:
        request = RequestProjectCreate(packet_rec_id=1)
        data = request.reply_packet(packet_rec_id=2).reply_packet(packet_rec_id=3)
        assert data.packet_type == "data_project_create"
        assert isinstance(data.reply_packet(), InformTransactionComplete)
        assert isinstance(DataAccountCreate().reply_packet(), InformTransactionComplete)
        assert isinstance(NotifyProjectInactivate().reply_packet(), InformTransactionComplete)

    @property_test
    @given(documents())
    def test_no_document_makes_it_raise_another_error(self, document: dict[str, Any]) -> None:
        packet = Packet.from_dict(document)
        try:
            reply = packet.reply_packet()
        except PacketInvalidType:
            return
        assert reply.in_reply_to_id == packet.packet_rec_id


class TestReplyWithFailure:
    def test_it_is_an_inform_that_fails_the_transaction(self) -> None:
        failure = RequestAccountCreate(packet_rec_id=7016).reply_with_failure()
        assert isinstance(failure, InformTransactionComplete)
        assert failure.in_reply_to_id == 7016
        assert failure.as_dict()["body"] == {
            "StatusCode": "Failure",
            "DetailCode": "2",
            "Message": "fail transaction",
        }
        assert failure.validate_data()

    def test_with_a_code_and_a_message_of_ones_own(self) -> None:
        failure = request_expecting([]).reply_with_failure(detail_code="3", message="No such resource")
        assert isinstance(failure, InformTransactionComplete)
        assert (failure.DetailCode, failure.Message) == ("3", "No such resource")
