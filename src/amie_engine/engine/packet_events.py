"""The events that tell of a packet: their facts from the packet, its document beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amie_engine.engine.incoming import Incoming
from amie_engine.engine.state import OutboxEntry, TransactionState
from amie_engine.log.canonical import salted_digest
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import Party

__all__ = ["confirmed_event", "noted_event", "own_event", "received_event"]


def confirmed_event(
    state: TransactionState,
    entry: OutboxEntry,
    packet_rec_id: str | None,
    trans_rec_id: str | None,
    *,
    actor: str,
    document: Any = None,
) -> NewEvent:
    """The event that tells that something of the outbox has arrived."""
    facts: dict[str, Any] = {
        "answers": entry.answers,
        "fields": entry.fields,
        "expected": [list(reply) for reply in entry.expected],
    }
    if entry.packet_type is None:
        facts["call"] = "failed"
    elif state.is_final:
        facts["acknowledges"] = True
    return NewEvent(
        EventType.PACKET_CONFIRMED,
        trans_rec_id=state.trans_rec_id or trans_rec_id,
        packet_rec_id=packet_rec_id,
        packet_type=entry.packet_type,
        sender=Party.SITE,
        status=entry.inform_status,
        actor=actor,
        facts=facts,
        document=document,
    )


def received_event(
    packet: Incoming,
    salt: str,
    *,
    replaces: str | None = None,
    acknowledges: bool = False,
    anomalies: tuple[str, ...] = (),
) -> NewEvent:
    """The event that tells that a packet of the hub's was accepted."""
    facts: dict[str, Any] = {
        "packet_id": packet.packet_id,
        "transaction_id": packet.transaction_id,
        "timestamp": packet.timestamp,
        "expected": [list(reply) for reply in packet.expected],
        "fields": packet.fields,
        "anomalies": [*packet.anomalies, *anomalies],
        "content": salted_digest(salt, packet.identity),
    }
    if replaces is not None:
        facts["replaces"] = replaces
    if acknowledges:
        facts["acknowledges"] = True
    return _event(EventType.PACKET_RECEIVED, packet, Party.HUB, facts, salt)


def own_event(event_type: EventType, packet: Incoming, facts: dict[str, Any]) -> NewEvent:
    """The event that tells that a packet of the site\'s was found in a listing."""
    facts |= {
        "packet_id": packet.packet_id,
        "transaction_id": packet.transaction_id,
        "timestamp": packet.timestamp,
        "expected": [list(reply) for reply in packet.expected],
        "fields": packet.fields,
    }
    return _event(event_type, packet, Party.SITE, facts, None, actor="listing")


def noted_event(
    event_type: EventType, packet: Incoming, salt: str, anomalies: tuple[str, ...] = ()
) -> NewEvent:
    """The event that keeps a packet without making it part of its transaction."""
    facts = {"content": salted_digest(salt, packet.identity), "anomalies": list(anomalies)}
    return _event(event_type, packet, packet.sender, facts, salt)


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
        salt=salt,
    )
