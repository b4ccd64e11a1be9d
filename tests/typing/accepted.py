"""What a type checker must accept of the packets' fields, and what it must refuse.

Nothing here runs: mypy reads it. Each line that it must refuse says so in a ``type: ignore`` with the code of
the error; strict mode reports an ignore that nothing needs, so a field that is no longer checked fails here.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, assert_type

from amie_engine.packet import (
    DataProjectCreate,
    InformTransactionComplete,
    NotifyAccountCreate,
    NotifyPersonDuplicate,
    NotifyPersonIDs,
    NotifyProjectCreate,
    NotifyUserModify,
    Packet,
    PacketList,
    RequestAccountCreate,
    RequestPersonMerge,
    RequestProjectCreate,
    RequestUserModify,
)
from amie_engine.packet.fields import AmountField, DateField, ListField, ObjectsField, TextField


def fields_read_as_their_types(
    project: RequestProjectCreate,
    account: RequestAccountCreate,
    created: NotifyAccountCreate,
    ids: NotifyPersonIDs,
) -> None:
    assert_type(project.GrantNumber, str | None)
    assert_type(project.StartDate, date | str | None)
    assert_type(project.ServiceUnitsAllocated, str | int | Decimal | None)
    assert_type(project.ResourceList, list[str] | None)
    assert_type(project.Sfos, list[dict[str, Any]] | None)
    assert_type(account.UserDnList, list[str] | None)
    assert_type(created.AccountActivityTime, str | None)
    assert_type(ids.PersonIDList, list[str] | None)
    assert_type(ids.ResourceLogin, list[dict[str, Any]] | None)


def header_reads_as_its_types(packet: Packet) -> None:
    assert_type(packet.packet_type, str)
    assert_type(packet.packet_rec_id, int | None)
    assert_type(packet.trans_rec_id, int | None)
    assert_type(packet.packet_id, int | None)
    assert_type(packet.transaction_id, int | None)
    assert_type(packet.in_reply_to_id, int | None)
    assert_type(packet.type_id, int | None)
    assert_type(packet.packet_timestamp, datetime | None)
    assert_type(packet.local_site_name, str | None)
    assert_type(packet.client_state, str | None)
    assert_type(packet.sender_name, str | None)
    assert_type(packet.expected_reply, list[dict[str, Any]])


def classes_have_declarations() -> None:
    assert_type(RequestProjectCreate.GrantNumber, TextField)
    assert_type(RequestProjectCreate.StartDate, DateField)
    assert_type(RequestProjectCreate.ServiceUnitsAllocated, AmountField)
    assert_type(RequestProjectCreate.ResourceList, ListField)
    assert_type(RequestProjectCreate.Sfos, ObjectsField)


def fields_take_their_types(
    project: NotifyProjectCreate, account: NotifyAccountCreate, moment: datetime, day: date
) -> None:
    project.ProjectID = "afm"
    project.ProjectID = None
    project.StartDate = day
    project.StartDate = moment
    project.StartDate = "2026-01-15"
    project.ServiceUnitsAllocated = 250000
    project.ServiceUnitsAllocated = Decimal("1234.5")
    project.ServiceUnitsAllocated = "1234.5"
    project.ResourceList = ["hc.example"]
    project.Sfos = [{"Number": "122"}]
    account.AccountActivityTime = moment
    account.AccountActivityTime = "2026-01-15T12:00:00Z"
    account.in_reply_to_id = 7016
    account.additional_data["SomeTag"] = {"RecordID": "rac.1"}
    del account.UserPersonID


def methods_give_packets(document: dict[str, Any], request: RequestAccountCreate) -> None:
    assert_type(Packet.from_dict(document), Packet)
    assert_type(Packet.from_json("{}"), Packet)
    assert_type(request.reply_packet(), Packet)
    assert_type(request.reply_with_failure(), Packet)
    assert_type(request.missing_attributes(), list[str])
    assert_type(request.validate_data(), bool)
    assert_type(request.as_dict(), dict[str, Any])
    assert_type([packet for packet in PacketList()], list[Packet])  # noqa: C416 # the loop is what is shown


def values_of_other_types_are_refused(
    project: NotifyProjectCreate, account: NotifyAccountCreate, inform: InformTransactionComplete
) -> None:
    project.ProjectID = 7  # type: ignore[assignment]
    project.ResourceList = "hc.example"  # type: ignore[assignment]
    project.StartDate = 20260115  # type: ignore[assignment]
    project.ServiceUnitsAllocated = 0.5  # type: ignore[assignment]
    project.Sfos = [122]  # type: ignore[list-item]
    account.AccountActivityTime = 1768478400  # type: ignore[assignment]
    inform.StatusCode = True  # type: ignore[assignment]


def unknown_names_are_refused_when_they_are_assigned(
    request: RequestUserModify, notice: NotifyUserModify, merge: RequestPersonMerge
) -> None:
    request.FristName = "Robin"  # type: ignore[attr-defined]
    notice.CitizenshipList = ["US"]  # type: ignore[attr-defined]
    merge.KeepPersonId = "21619"  # type: ignore[attr-defined]
    merge.packet_record_id = 1  # type: ignore[attr-defined]


def unknown_names_are_refused_when_they_are_read(
    packet: Packet, data: DataProjectCreate, duplicate: NotifyPersonDuplicate
) -> list[Any]:
    return [
        packet.ProjectID,  # type: ignore[attr-defined]
        data.ResourceList,  # type: ignore[attr-defined]
        duplicate.PersonID,  # type: ignore[attr-defined]
    ]


def what_may_be_none_is_refused_where_it_may_not(project: RequestProjectCreate) -> str:
    project.ResourceList.append("hc.example")  # type: ignore[union-attr]
    return project.GrantNumber  # type: ignore[return-value]
