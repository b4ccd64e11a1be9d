"""What a site and its hub do to a log, through the public engine: made-up packets, and a story of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from amie_engine.engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.work_row import WorkRow
from amie_engine.packet import NotifyUserModify, Packet
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.testing import Clock

__all__ = [
    "SITE",
    "Clock",
    "answer",
    "data_packet",
    "project_reply",
    "project_request",
    "send",
    "site_packet",
    "tell_story",
    "wire_packet",
]

SITE = "EXAMPLE"
_HUB = "HUB"
_INFORM = "inform_transaction_complete"
_RESOURCE = "cluster.example"
_PROJECT = {"PiPersonID": "u1", "PiRemoteSiteLogin": "robin"}


def wire_packet(
    packet_type: str, transaction: int, packet: int, body: Mapping[str, Any], **header: Any
) -> dict[str, Any]:
    """Return a packet as the service lists it, sent by the hub in a transaction of its own.

    Args:
        packet_type: Its type.
        transaction: The record id of its transaction.
        packet: Its own record id.
        body: Its body.
        header: What its header has otherwise.
    """
    return {
        "DATA_TYPE": "Packet",
        "type": packet_type,
        "header": {
            "packet_rec_id": packet,
            "packet_id": 1,
            "trans_rec_id": transaction,
            "transaction_id": transaction,
            "expected_reply_list": [] if packet_type == _INFORM else PACKET_TYPES[packet_type].expected_reply,
            "local_site_name": _HUB,
            "remote_site_name": SITE,
            "originating_site_name": _HUB,
            "outgoing_flag": 1,
            "transaction_state": "in-progress",
            "packet_state": "in-progress",
            "packet_timestamp": "2026-01-15T12:00:00.000Z",
            "client_state": None,
            "client_json": None,
            **header,
        },
        "body": dict(body),
    }


def project_request(number: int, **body: Any) -> dict[str, Any]:
    """A request for a project; its transaction is 1000 and the number, its packet 2000 and the number."""
    person = {"PiFirstName": "Robin", "PiLastName": "Example", "PiEmail": "robin@example.edu"}
    required = {
        "AllocationType": "new",
        "GrantNumber": f"GRANT{number}",
        "RecordID": f"record-{number}",
        "PfosNumber": "120",
        "PiOrganization": "Example University",
        "PiOrgCode": "0000001",
        "ResourceList": [_RESOURCE],
        "ServiceUnitsAllocated": "1000",
        "StartDate": "2026-01-01",
        "EndDate": "2026-12-31",
    }
    return wire_packet("request_project_create", 1000 + number, 2000 + number, required | person | body)


def project_reply(number: int) -> Packet:
    """The reply to the request for the project of that number."""
    request = project_request(number)
    reply: Any = Packet.from_dict(request).reply_packet()
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = f"project-{number}", "u1", "robin"
    for name in ("GrantNumber", "PfosNumber", "ResourceList"):
        setattr(reply, name, request["body"][name])
    return cast(Packet, reply)


def data_packet(number: int) -> dict[str, Any]:
    """What the hub sends once the project of that number was made; its packet is 3000 and the number."""
    body = {"ProjectID": f"project-{number}", "PersonID": "u1", "DnList": ["/C=US/CN=Robin Example"]}
    return wire_packet("data_project_create", 1000 + number, 3000 + number, body)


def site_packet(**body: Any) -> NotifyUserModify:
    """A packet by which a site begins a transaction."""
    return NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/C=US/CN=Robin Example"], **body)


def send(engine: Engine, *, answered: bool = True) -> None:
    """Attempt what is in the outbox; the service accepts it and gives no ids."""
    for outgoing in engine.outbox.open():
        engine.outbox.attempt(outgoing)
        if answered:
            engine.outbox.confirm(outgoing)


def answer(engine: Engine, transaction: int, **body: Any) -> None:
    """Reply with the draft and what the site adds to it."""
    draft = engine.expected_reply(transaction).packet
    assert draft is not None
    for name, value in body.items():
        setattr(draft, name, value)
    engine.reply(transaction, draft)


def tell_story(engine: Engine, clock: Clock) -> None:
    """A bit of everything that can happen to packets, outbox, work, directory and quarantine."""
    for number in (1, 2):
        _whole_project(engine, clock, number)
    for happening in (_odd_packets, _refused_reply, _failures, _accounts, _quarantine, _own_transaction):
        happening(engine, clock)
        clock.forward(minutes=1)


def _whole_project(engine: Engine, clock: Clock, number: int) -> None:
    """From the request to the end: request, notify, data, inform."""
    engine.receive(project_request(number))
    clock.forward(minutes=3)
    answer(engine, 1000 + number, ProjectID=f"project-{number}", **_PROJECT)
    send(engine)
    clock.forward(minutes=3)
    engine.receive(data_packet(number))
    answer(engine, 1000 + number)
    send(engine)


def _odd_packets(engine: Engine, clock: Clock) -> None:
    """A copy under a new record id, other content under the same one, and a packet that comes too early."""
    request = project_request(3)
    engine.receive(request)
    engine.receive(request | {"header": request["header"] | {"packet_rec_id": 2903}})
    engine.receive(project_request(3, PfosNumber="999"))
    engine.receive(data_packet(3))
    clock.forward(minutes=1)


def _leased(engine: Engine, row: WorkRow) -> Lease:
    lease = engine.work.take_first([row], lasts=timedelta(minutes=1))
    assert lease is not None
    return lease


def _refused_reply(engine: Engine, clock: Clock) -> None:
    """The handler waits, then fails; its reply is refused, and the next one arrives without an answer."""
    [row] = [row for row in engine.work.open() if row.trans_rec_id == "1003"]
    lease = _leased(engine, row)
    engine.work.record.step(lease, "create the group", {"gid": 7}, milliseconds=3, actor="handler")
    engine.work.record.asked(lease, "quota", "Which quota?", ["small", "large"], actor="handler")
    engine.work.answer(1003, "small", actor="operator")
    later = clock() + timedelta(hours=1)
    engine.work.record.deferred(_leased(engine, row), until=later, reason="maintenance", actor="handler")
    engine.work.retry(1003, actor="operator")
    engine.work.let_pass(1003, actor="operator")
    engine.work.record.failed(
        _leased(engine, row), "RuntimeError", 1, retry_at=later, details="no", actor="handler"
    )
    answer(engine, 1003, ProjectID="project-3", **_PROJECT)
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="no")
    answer(engine, 1003, ProjectID="project-3", **_PROJECT)
    send(engine, answered=False)
    reply = {"ProjectID": "project-3", "GrantNumber": "GRANT3", **_PROJECT}
    engine.receive(wire_packet("notify_project_create", 1003, 2803, reply, outgoing_flag=0))


def _failures(engine: Engine, clock: Clock) -> None:
    engine.receive(project_request(4))
    engine.note_unknown(1004)
    engine.fail(1004, "the grant is unknown")
    send(engine)
    engine.receive(project_request(5))
    deadline = engine.expected_reply(1005).deadline
    assert deadline is not None
    clock.now = deadline - timedelta(days=1)
    engine.note_deadlines()
    clock.now = deadline + timedelta(days=1)
    engine.note_deadlines()
    engine.confirm_deadline(1005, actor="operator")


def _accounts(engine: Engine, clock: Clock) -> None:
    """An account, the end of its project and its new beginning, and a merge of two persons."""
    user = {"UserFirstName": "Robin", "UserLastName": "Example", "UserGlobalID": "g-2"}
    user |= {"UserOrganization": "Example University", "UserOrgCode": "0000001"}
    project = {"ProjectID": "project-1", "GrantNumber": "GRANT1", "ResourceList": [_RESOURCE]}
    merge = {"KeepGlobalID": "g-1", "KeepPersonID": "u1", "DeleteGlobalID": "g-2", "DeletePersonID": "u2"}
    steps: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("request_account_create", project | user, {"UserPersonID": "u2", "UserRemoteSiteLogin": "robin2"}),
        ("request_project_inactivate", project, {}),
        ("request_project_reactivate", project | {"PersonID": "u1"}, {}),
        ("request_person_merge", merge, {}),
    )
    for number, (packet_type, body, added) in enumerate(steps):
        engine.receive(wire_packet(packet_type, 1100 + number, 2100 + number, body))
        answer(engine, 1100 + number, **added)
        send(engine)
        clock.forward(minutes=1)


def _quarantine(engine: Engine, clock: Clock) -> None:
    """What is no packet; and a history without its beginning, which comes after all."""
    for bad in (b"\xff", "[]", {"type": "no_such_type", "header": {}, "body": {}}):
        engine.receive(bad)
    [outcome] = engine.adopt({"DATA": [data_packet(6)]})
    assert outcome.quarantine_id is not None
    engine.receive(project_request(6))
    answer(engine, 1006, ProjectID="project-6", **_PROJECT)
    send(engine)
    engine.release(outcome.quarantine_id)


def _own_transaction(engine: Engine, clock: Clock) -> None:
    """One that the site begins, and an operator lets pass: its wire id comes with a listing."""
    packet = site_packet()
    begun = engine.start(packet)
    engine.work.let_pass(begun.stream, actor="operator")
    send(engine, answered=False)
    ours = {"originating_site_name": SITE}
    body = packet.as_dict()["body"]
    engine.receive(wire_packet("notify_user_modify", 1200, 2200, body, outgoing_flag=0, **ours))
    done = {"StatusCode": "Success", "DetailCode": "1", "Message": "OK"}
    engine.receive(wire_packet(_INFORM, 1200, 2201, done, **ours))
