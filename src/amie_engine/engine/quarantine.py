"""Quarantine: what can't be used is kept once, as it came, until a person or a fix releases it."""

from __future__ import annotations

import base64
from collections.abc import Callable

from amie_engine.engine.incoming import Incoming
from amie_engine.engine.listing import list_quarantine
from amie_engine.engine.source import Unusable, unusable
from amie_engine.engine.state import TransactionState
from amie_engine.engine.unit import UnitOfWork
from amie_engine.engine.views import Outcome, QuarantinedItem
from amie_engine.errors import QuarantineNotFound
from amie_engine.log.canonical import new_salt, salted_digest
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import LogReader
from amie_engine.protocol import Party

__all__ = ["find_item", "keep", "leaves_for_quarantine", "not_allowed", "release"]


def keep(unit: UnitOfWork, item: Unusable, new_id: Callable[[], str]) -> Outcome:
    """Keep what can't be used, once, however often it comes; return the outcome."""
    known = unit.quarantined(item)
    if known is not None:
        return Outcome.quarantined(item, known.quarantine_id)
    quarantine_id, salt = new_id(), new_salt()
    event = NewEvent(
        EventType.PACKET_QUARANTINED,
        trans_rec_id=item.trans_rec_id,
        packet_rec_id=item.packet_rec_id,
        packet_type=item.packet_type,
        actor="service",
        facts={
            "code": item.code,
            "reason": item.reason,
            "hint": item.hint,
            "content": salted_digest(salt, item.identity),
            "content_size": len(item.identity),
            "size": len(item.raw),
        },
        document={"base64": base64.b64encode(item.raw).decode("ascii")},
        salt=salt,
    )
    unit.append_quarantine(quarantine_id, 0, event)
    return Outcome.quarantined(item, quarantine_id)


def release(unit: UnitOfWork, packet: Incoming, outcome: Outcome, *, actor: str) -> None:
    """Put on record that a packet has left quarantine, if it, or what came under its record id before it was
    mended, was there: it could be used after all."""
    event = NewEvent(
        EventType.PACKET_RELEASED,
        trans_rec_id=packet.trans_rec_id,
        packet_rec_id=packet.packet_rec_id,
        packet_type=packet.packet_type,
        sender=Party.SITE,
        actor=actor,
        facts={"outcome": str(outcome.kind)},
    )
    for quarantine_id in unit.quarantined_as(packet.packet_rec_id):
        unit.append_quarantine(quarantine_id, 1, event)


def not_allowed(packet: Incoming, reason: str) -> Unusable:
    """Return the packet as something that can't be part of its transaction."""
    hint = "Compare the transaction at the service with `amie-engine show`; release it once that is mended."
    return unusable("packet-not-allowed", reason, hint, packet.raw, dict(packet.document))


def leaves_for_quarantine(state: TransactionState, packet: Incoming, outcome: Outcome) -> NewEvent:
    """Return the event by which a packet that was held leaves its transaction for quarantine."""
    return NewEvent(
        EventType.PACKET_QUARANTINED,
        trans_rec_id=state.trans_rec_id,
        packet_rec_id=packet.packet_rec_id,
        packet_type=packet.packet_type,
        facts={"quarantine_id": outcome.quarantine_id, "code": outcome.code, "reason": outcome.reason},
    )


def find_item(reader: LogReader, quarantine_id: str) -> QuarantinedItem:
    """Return the one thing in quarantine whose id is, or begins with, the given one, with its bytes.

    Raises:
        QuarantineNotFound: There is none, or there are several.
    """
    items = [
        item
        for item in list_quarantine(reader, released=True)
        if quarantine_id and item.quarantine_id.startswith(quarantine_id)
    ]
    exact = [item for item in items if item.quarantine_id == quarantine_id]
    found = exact or items
    if len(found) != 1:
        how_many = "Several things" if found else "Nothing"
        raise QuarantineNotFound(
            f"{how_many} in quarantine {'have ids that begin with' if found else 'has the id'}"
            f" {quarantine_id[:60]!r}."
        )
    document = reader.document(found[0].quarantine_id, 1)
    return found[0].with_content(base64.b64decode(document["base64"]) if document else None)
