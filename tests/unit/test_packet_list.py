"""``PacketList``: the good packets of an answer, and apart from them what could not be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine.errors import PacketInvalidData, PacketInvalidType
from amie_engine.packet import Packet, PacketList, RequestAccountCreate, UnreadableDocument
from amie_engine.testing.strategies import documents, json_values
from tests.unit.samples import DATA, SAMPLE_NAMES, property_test, sample

ALL = [sample(name) for name in SAMPLE_NAMES]


class TestReading:
    def test_an_answer_of_the_service(self) -> None:
        answer = {"message": "Packets", "result": ALL}
        listed = PacketList.from_dict(answer)
        assert listed.message == "Packets"
        assert len(listed) == len(ALL)
        assert list(listed) == listed.packets
        assert [packet.as_dict() for packet in listed] == ALL
        assert listed.unreadable == []
        assert listed.as_dict() == answer
        assert json.loads(listed.json()) == answer
        assert PacketList.from_json(json.dumps(answer)).as_dict() == answer
        assert PacketList.from_json(json.dumps(answer).encode()).as_dict() == answer

    def test_the_bare_array(self) -> None:
        listed = PacketList.from_dict(ALL)
        assert [packet.as_dict() for packet in listed] == ALL
        assert listed.message == ""

    def test_an_empty_inbox(self) -> None:
        text = (DATA / "samples" / "api" / "empty_inbox.json").read_text(encoding="utf-8")
        listed = PacketList.from_json(text)
        assert list(listed) == []
        assert len(listed) == 0
        assert listed.message is None
        assert listed.as_dict() == {"message": None, "result": []}

    @pytest.mark.parametrize("name", ["scenario_started", "reset_done"])
    def test_an_answer_that_lists_nothing_is_no_list(self, name: str) -> None:
        text = (DATA / "samples" / "api" / f"{name}.json").read_text(encoding="utf-8")
        with pytest.raises(PacketInvalidData, match="no list of packets"):
            PacketList.from_json(text)

    @pytest.mark.parametrize("answer", [None, {}, "text", 1, {"result": {}}, {"message": "x"}])
    def test_what_is_no_list(self, answer: Any) -> None:
        with pytest.raises(PacketInvalidData, match="no list of packets"):
            PacketList.from_dict(answer)

    @pytest.mark.parametrize("text", ["", "<html>", b"\xff\xfe\x00", "[" * 100_000, "[NaN]"])
    def test_what_is_no_json(self, text: str | bytes) -> None:
        with pytest.raises(PacketInvalidData, match="no JSON text"):
            PacketList.from_json(text)


class TestUnreadable:
    def test_one_bad_document_does_not_hide_the_others(self) -> None:
        unknown = sample("spec/request_person_merge") | {"type": "request_nothing"}
        headless = {"type": "request_person_merge", "body": {"KeepPersonID": "robin-example"}}
        listed = PacketList.from_dict({"message": None, "result": [unknown, ALL[0], None, headless, ALL[1]]})
        assert [packet.as_dict() for packet in listed] == ALL[:2]
        assert len(listed) == 2
        assert [entry.document for entry in listed.unreadable] == [unknown, None, headless]
        reasons = [type(entry.reason) for entry in listed.unreadable]
        assert reasons == [PacketInvalidType, PacketInvalidData, PacketInvalidData]
        assert listed.unreadable[0].document is unknown
        assert listed.as_dict()["result"] == [ALL[0], ALL[1], unknown, None, headless]

    def test_no_repr_shows_personal_data(self) -> None:
        headless = {"type": "request_person_merge", "body": {"KeepPersonID": "robin-example"}}
        listed = PacketList.from_dict([headless, ALL[0]])
        assert repr(listed) == "<PacketList of 1 packets, 1 unreadable>"
        assert repr(listed.unreadable) == "[<UnreadableDocument packet-invalid-data>]"

    @property_test
    @given(st.lists(documents() | json_values(), max_size=4))
    def test_nothing_is_lost_whatever_comes(self, result: list[Any]) -> None:
        listed = PacketList.from_dict({"message": "x", "result": result})
        readable = [packet._original_data for packet in listed]
        unreadable = [entry.document for entry in listed.unreadable]
        assert len(readable) + len(unreadable) == len(result)
        given_back = listed.as_dict()["result"]
        assert given_back == readable + unreadable
        for document in result:
            assert any(document is kept for kept in readable + unreadable)


class TestMaking:
    def test_from_packets(self) -> None:
        packet = RequestAccountCreate(packet_rec_id=1)
        listed = PacketList("made here", [packet])
        assert listed.packets == [packet]
        assert listed.as_dict() == {"message": "made here", "result": [packet.as_dict()]}
        assert list(PacketList()) == []
        assert PacketList().message is None

    def test_it_takes_any_iterable_and_keeps_a_list_of_its_own(self) -> None:
        packets: list[Packet] = [RequestAccountCreate()]
        listed = PacketList(packets=(packet for packet in packets), unreadable=[])
        listed.packets.append(RequestAccountCreate())
        assert len(packets) == 1
        assert len(listed) == 2

    def test_pretty_print(self, capsys: pytest.CaptureFixture[str]) -> None:
        PacketList("x", unreadable=[UnreadableDocument(7, PacketInvalidData("x"))]).pretty_print()
        assert json.loads(capsys.readouterr().out) == {"message": "x", "result": [7]}
