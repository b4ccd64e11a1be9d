"""What can be decided about a packet that comes in, and the decisions that hold for both parties' packets.

Decisions are values: nothing has happened until their events are appended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from amie_engine.engine.incoming import INFORM, Incoming
from amie_engine.engine.packet_events import noted_event
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import TRANSACTION_TYPES, Party

__all__ = [
    "Decision",
    "OutcomeKind",
    "decide_conflict",
    "earlier_copy",
    "hold",
    "note_duplicate",
    "refuse",
    "sent_is_in",
    "unplaced",
]


class OutcomeKind(StrEnum):
    """What became of a packet that was received."""

    ACCEPTED = "accepted"
    ALREADY_THERE = "already_there"
    CONFIRMED = "confirmed"
    HELD = "held"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    STAGED = "staged"
    """Written into the caller's own transaction; after its commit it comes to one of the other ends."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen: the outcome to report, and the events to append."""

    outcome: OutcomeKind
    events: tuple[NewEvent, ...] = ()
    reason: str = ""


def hold(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    """The packet came too early: it is kept, and tried again when the state changes."""
    if state.is_held(packet.packet_rec_id):
        return Decision(OutcomeKind.HELD)
    return Decision(OutcomeKind.HELD, (noted_event(EventType.PACKET_HELD, packet, salt),))


def refuse(reason: str) -> Decision:
    """The packet can never be part of its transaction."""
    return Decision(OutcomeKind.QUARANTINED, reason=reason)


def unplaced(state: TransactionState, packet: Incoming, salt: str, *, complete: bool) -> Decision:
    """The packet begins no transaction, and nothing that came before it is known: that is still to come,
    unless the history is complete, or no transaction has such a packet at all."""
    somewhere = packet.packet_type == INFORM or any(
        row.move == packet.packet_type and row.sender == packet.sender
        for transaction in TRANSACTION_TYPES.values()
        for row in transaction.rows
    )
    if somewhere and not complete:
        return hold(state, packet, salt)
    sender = packet.sender or "other side"
    return refuse(
        f"A {packet.packet_type} from the {sender} begins no transaction, and nothing came before it."
    )


def earlier_copy(state: TransactionState, packet: Incoming) -> PacketEntry | None:
    """Return the packet that this one is a copy of, under a record id of its own; None if it is none.

    A copy has its sender, type and ``packet_id``. Where one of the two has no ``packet_id``, a packet that
    has no place now, though one of its kind had, is a copy as well.

    Source: "The AMIE Model", packets; "Implementing AMIE", resent packets.
    """
    sender = packet.sender
    has_place = sender is not None and state.after(sender, packet.move) is not None
    for entry in reversed(state.packets):
        if entry.packet_type != packet.packet_type or entry.sender != sender or entry.packet_rec_id is None:
            continue
        unknown = entry.packet_id is None or packet.packet_id is None
        if entry.packet_id == packet.packet_id if not unknown else not has_place:
            return entry
    return None


def note_duplicate(state: TransactionState, packet: Incoming, salt: str, earlier: PacketEntry) -> Decision:
    """A copy under a new record id is noted, once, and never acted on."""
    if packet.packet_rec_id in state.noted:
        return Decision(OutcomeKind.DUPLICATE)
    differs = packet.sender is Party.HUB and dict(earlier.fields) != dict(packet.fields)
    event = noted_event(
        EventType.PACKET_DUPLICATED,
        packet,
        salt,
        anomalies=("duplicate-differs",) if differs else (),
        more={"copy_of": earlier.packet_rec_id},
    )
    return Decision(OutcomeKind.DUPLICATE, (event,))


def decide_conflict(packet: Incoming, salt: str, *, gives_way: bool = False) -> Decision:
    """A packet came under a known record id with other content: it is kept, and never acted on.

    Args:
        packet: The packet.
        salt: A fresh random salt for the digest of its content.
        gives_way: It was held, and meanwhile another packet took its record id.
    """
    more = {"gives_way": True} if gives_way else {}
    event = noted_event(EventType.PACKET_CONFLICTED, packet, salt, anomalies=("packet-conflict",), more=more)
    return Decision(OutcomeKind.CONFLICT, (event,))


def sent_is_in(sent: Mapping[str, Any], listed: Mapping[str, Any]) -> bool:
    """Tell whether a body that the service lists contains the one that we sent; scalars compare as text."""
    return all(name in listed and _as_text(value) == _as_text(listed[name]) for name, value in sent.items())


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value if value is None else str(value)
