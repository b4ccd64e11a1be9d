"""The events that put on record what became of a packet that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amie_engine.engine.incoming import Incoming
from amie_engine.engine.state import SET_FAILED, OutboxEntry, TransactionState
from amie_engine.log.canonical import salted_digest
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import Party

__all__ = [
    "adopted_event",
    "attached_event",
    "confirmed_event",
    "noted_event",
    "received_event",
    "superseded_event",
]


def received_event(
    packet: Incoming,
    salt: str,
    *,
    replaces: str | None = None,
    acknowledges: bool = False,
    anomalies: tuple[str, ...] = (),
) -> NewEvent:
    """Return the event by which a packet of the hub's becomes part of its transaction.

    Args:
        packet: The packet.
        salt: A fresh random salt for the digest of its content.
        replaces: The record id of the failed copy whose place it takes.
        acknowledges: It comes after the end and moves nothing.
        anomalies: What is odd about its coming, besides what is odd about the packet.
    """
    facts = _told(packet) | {
        "anomalies": [*packet.anomalies, *anomalies],
        "content": salted_digest(salt, packet.identity),
        "header": dict(packet.header),
    }
    if replaces is not None:
        facts["replaces"] = replaces
    if acknowledges:
        facts["acknowledges"] = True
    return _event(EventType.PACKET_RECEIVED, packet, Party.HUB, facts, salt)


def adopted_event(packet: Incoming, answers: str | None, *, acknowledges: bool) -> NewEvent:
    """Return the event by which a packet that another tool of the site sent becomes part of a transaction."""
    facts = _told(packet) | {"answers": answers}
    if acknowledges:
        facts["acknowledges"] = True
    return _event(EventType.PACKET_ADOPTED, packet, Party.SITE, facts, None, actor="listing")


def attached_event(packet: Incoming, answers: str) -> NewEvent:
    """Return the event by which a listing tells the record id of a packet of ours that had arrived."""
    facts = _told(packet) | {"answers": answers, "attached": True}
    return _event(EventType.PACKET_CONFIRMED, packet, Party.SITE, facts, None, actor="listing")


def confirmed_event(
    state: TransactionState,
    entry: OutboxEntry,
    *,
    actor: str,
    packet: Incoming | None = None,
    packet_rec_id: str | None = None,
    trans_rec_id: str | None = None,
    document: Any = None,
    code: str | None = None,
) -> NewEvent:
    """Return the event that tells that something of the outbox has arrived.

    Args:
        state: The transaction.
        entry: What has arrived.
        actor: What tells so: ``service``, ``listing``, or the packet that proves it.
        packet: The packet as a listing has it.
        packet_rec_id: Its record id, as the service's answer has it.
        trans_rec_id: The transaction's, likewise.
        document: The service's answer.
        code: The code of the error that settled it, where it was one.
    """
    facts: dict[str, Any] = {} if packet is None else _told(packet)
    facts |= {
        "answers": entry.answers,
        "fields": entry.fields,
        "expected": [list(reply) for reply in entry.expected],
    }
    if entry.packet_type is None:
        facts["call"] = SET_FAILED
    elif state.is_final:
        facts["acknowledges"] = True
    if code is not None:
        facts["code"] = code
    return NewEvent(
        EventType.PACKET_CONFIRMED,
        trans_rec_id=state.trans_rec_id or (trans_rec_id if packet is None else packet.trans_rec_id),
        packet_rec_id=packet_rec_id if packet is None else packet.packet_rec_id,
        packet_type=entry.packet_type,
        sender=Party.SITE,
        status=entry.inform_status,
        actor=actor,
        facts=facts,
        document=document if packet is None else packet.document,
        text=None if packet is None else packet.text,
    )


def superseded_event(state: TransactionState, entry: OutboxEntry, code: str) -> NewEvent:
    """Return the event that takes something out of the outbox that needs sending no more.

    Args:
        state: The transaction.
        entry: What is not to be sent.
        code: ``superseded``: another tool of the site has answered. ``transaction-ended``: nothing can be
            said any more.
    """
    return NewEvent(
        EventType.PACKET_REJECTED,
        trans_rec_id=state.trans_rec_id,
        packet_type=entry.packet_type,
        sender=Party.SITE,
        status=entry.inform_status,
        facts={"answers": entry.answers, "code": code},
    )


def noted_event(
    event_type: EventType,
    packet: Incoming,
    salt: str,
    *,
    anomalies: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
) -> NewEvent:
    """Return the event about a packet that does not become part of its transaction, or not yet."""
    facts = {"content": salted_digest(salt, packet.identity), "anomalies": list(anomalies), **(more or {})}
    return _event(event_type, packet, packet.sender or Party.HUB, facts, salt)


def _told(packet: Incoming) -> dict[str, Any]:
    return {
        "packet_id": packet.packet_id,
        "transaction_id": packet.transaction_id,
        "timestamp": packet.timestamp,
        "expected": [list(reply) for reply in packet.expected],
        "fields": packet.fields,
    }


def _event(
    event_type: EventType,
    packet: Incoming,
    sender: Party | None,
    facts: Mapping[str, Any],
    salt: str | None,
    actor: str = "service",
) -> NewEvent:
    return NewEvent(
        event_type,
        trans_rec_id=packet.trans_rec_id,
        packet_rec_id=packet.packet_rec_id,
        packet_type=packet.packet_type,
        sender=sender,
        status=packet.status,
        actor=actor,
        facts=facts,
        document=packet.document,
        text=packet.text,
        salt=salt,
    )
