"""The service's transactions, and the document that is sent for a packet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amie_engine.errors import PacketInvalidData
from amie_engine.packet import (
    InformTransactionComplete,
    NotifyProjectCreate,
    NotifyUserModify,
    Packet,
    RequestAccountCreate,
)
from amie_engine.packet.outgoing import outgoing_document
from amie_engine.transaction import Transaction

PACKET = {
    "DATA_TYPE": "Packet",
    "type": "request_account_create",
    "header": {"packet_rec_id": 174709745, "trans_rec_id": 87139097, "packet_id": 1},
    "body": {"GrantNumber": "IRI120015", "ResourceList": ["delta.ncsa.example"]},
}
BAD = {"type": "request_coffee", "header": {}, "body": {"UserEmail": "ada@example.edu"}}
DOCUMENT = {
    "DATA_TYPE": "Transaction",
    "transaction_id": "244206",
    "originating_site_name": "TGCDB",
    "local_site_name": "TGCDB",
    "remote_site_name": "NCSA",
    "state": "in-progress",
    "DATA": [PACKET],
}


def test_a_transaction_has_the_documented_attributes() -> None:
    transaction = Transaction.from_dict(DOCUMENT)
    assert transaction.id == "244206"
    assert transaction.state == "in-progress"
    assert transaction.originating_site == "TGCDB"
    assert transaction.local_site == "TGCDB"
    assert transaction.remote_site == "NCSA"
    assert isinstance(transaction.packets[0], RequestAccountCreate)
    assert transaction.unreadable == []


def test_a_transaction_may_be_made_with_the_documented_arguments() -> None:
    packet = RequestAccountCreate(trans_rec_id=5)
    transaction = Transaction("12", "completed", "NCSA", "TGCDB", "NCSA", [packet])
    assert transaction.packets == [packet]
    assert transaction.trans_rec_id == 5
    assert Transaction("12", "completed", "NCSA", "TGCDB", "NCSA").packets == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (DOCUMENT, 87139097),
        (DOCUMENT | {"trans_rec_id": "42"}, 42),
        (DOCUMENT | {"DATA": [BAD, PACKET | {"header": {}}, PACKET]}, 87139097),
        (DOCUMENT | {"DATA": []}, None),
    ],
)
def test_the_record_id_is_its_own_or_that_of_its_packets(
    document: dict[str, Any], expected: int | None
) -> None:
    assert Transaction.from_dict(document).trans_rec_id == expected


def test_the_record_id_can_be_set() -> None:
    transaction = Transaction.from_dict(DOCUMENT)
    transaction.trans_rec_id = "7"
    assert transaction.trans_rec_id == 7
    with pytest.raises(PacketInvalidData):
        transaction.trans_rec_id = "seven"


@pytest.mark.parametrize(
    "document",
    [
        DOCUMENT,
        DOCUMENT | {"DATA": []},
        DOCUMENT | {"trans_rec_id": 42},
        DOCUMENT | {"DATA": [PACKET, BAD, "text"]},
        DOCUMENT | {"transaction_id": 244206},
    ],
)
def test_a_transaction_gives_back_its_document(document: dict[str, Any]) -> None:
    transaction = Transaction.from_dict(document)
    assert transaction.as_dict() == document
    again = Transaction.from_json(transaction.json(indent=1).encode())
    assert again.as_dict() == document
    assert json.loads(again.json()) == document


def test_one_bad_packet_hides_no_other() -> None:
    transaction = Transaction.from_dict(DOCUMENT | {"DATA": [BAD, PACKET, None, PACKET]})
    assert len(transaction.packets) == 2
    assert [entry.document for entry in transaction.unreadable] == [BAD, None]
    assert "example.edu" not in repr(transaction) + repr(transaction.unreadable)


@pytest.mark.parametrize("document", [{}, {"DATA": None}, {"transaction_ID": 3, "state": None}])
def test_absent_keys_are_tolerated(document: dict[str, Any]) -> None:
    transaction = Transaction.from_dict(document)
    assert transaction.id == document.get("transaction_ID")
    assert transaction.packets == []
    assert transaction.trans_rec_id is None
    assert transaction.state is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '{"DATA": {}}', '{"trans_rec_id": "x"}', b"\xff"]
)
def test_what_is_no_transaction_is_refused(text: str | bytes) -> None:
    with pytest.raises(PacketInvalidData):
        Transaction.from_json(text)


# What is sent


def sent_body(packet: Packet) -> dict[str, Any]:
    body: dict[str, Any] = outgoing_document(packet)["body"]
    return body


def test_what_is_sent_has_no_white_space_at_its_ends_and_no_empty_optional_value() -> None:
    packet = NotifyProjectCreate(
        ProjectID=" proj1\n",
        PiFirstName="Ada  Maria",
        PiTitle="",
        PiDepartment=" \t",
        PiRequestedLoginList=[" ada ", "", "  "],
        Sfos=[{"Number": " 0 ", "Name": ""}, {"Number": ""}],
        RoleList=[""],
        AcademicDegree=[{"Degree": " "}],
        Remark={"by": " site ", "empty": " "},
        Units=5,
        Flag=False,
    )
    assert sent_body(packet) == {
        "ProjectID": "proj1",
        "PiFirstName": "Ada  Maria",
        "PiRequestedLoginList": ["ada"],
        "Sfos": [{"Number": "0"}],
        "Remark": {"by": "site"},
        "Units": 5,
        "Flag": False,
    }


def test_an_empty_list_that_the_caller_gave_is_what_the_caller_says() -> None:
    assert sent_body(NotifyUserModify(DnList=[], Extra={})) == {"DnList": [], "Extra": {}}


@pytest.mark.parametrize(("given", "sent"), [("  ", ""), ("", ""), ([""], []), ({"a": ""}, {})])
def test_a_required_field_that_is_empty_stays_for_validation_to_name(given: Any, sent: Any) -> None:
    packet = InformTransactionComplete(StatusCode="Success", DetailCode=1, Message=given)
    assert sent_body(packet) == {"StatusCode": "Success", "DetailCode": 1, "Message": sent}


def test_the_header_keeps_its_keys_and_the_sites_own_json() -> None:
    note = {"text": " as it is ", "empty": ""}
    packet = RequestAccountCreate(
        packet_rec_id=4, remote_site_name=" NCSA ", client_json=note, client_state=""
    )
    header = outgoing_document(packet)["header"]
    assert header == packet.as_dict()["header"] | {"remote_site_name": "NCSA"}
    assert header["client_json"] == note
    assert header["client_state"] == ""


def test_the_packet_itself_stays_as_it_is() -> None:
    packet = NotifyProjectCreate(ProjectID=" proj1 ", PiTitle="", PiRequestedLoginList=[" ada ", ""])
    before = packet.as_dict()
    document = outgoing_document(packet)
    document["body"]["PiRequestedLoginList"].append("eve")
    assert packet.as_dict() == before


def test_a_value_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = ["x"]
    for _ in range(100_000):
        deep = [deep]
    packet = NotifyProjectCreate()
    packet.additional_data["Deep"] = deep
    with pytest.raises(PacketInvalidData):
        outgoing_document(packet)
