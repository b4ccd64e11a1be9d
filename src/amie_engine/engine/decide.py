"""What is to happen when a packet comes in: a pure function of the transaction's state and the packet.

It knows neither client nor database: it returns events, and nothing has happened until they are appended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from amie_engine.engine.incoming import INFORM, Incoming
from amie_engine.engine.packet_events import confirmed_event, noted_event, own_event, received_event
from amie_engine.engine.state import OutboxEntry, PacketEntry, TransactionState
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import TRANSACTION_TYPES, Party, State, legal_later, opened_by, step

__all__ = [
    "Decision",
    "OutcomeKind",
    "decide_conflict",
    "decide_receive",
    "sent_is_in",
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


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen: the outcome to report, and the events to append."""

    outcome: OutcomeKind
    events: tuple[NewEvent, ...] = ()
    reason: str = ""
    history_needed: bool = False
    """The transaction began before the log did: its history has to be fetched."""


def decide_receive(
    state: TransactionState,
    packet: Incoming,
    salt: str,
    sent: Mapping[str, Mapping[str, Any]],
    *,
    fetched: bool = False,
) -> Decision:
    """Return what is to happen with a packet that came in.

    Args:
        state: The state of its transaction; a fresh one where the log knows none.
        packet: The packet.
        salt: A fresh random salt for the digest of its content.
        sent: The bodies of what the outbox has not seen arrive, by the record id that they answer.
        fetched: The transaction's whole history is being fed in, so that nothing is missing before it.
    """
    packet = replace(packet, sender=packet.sender or _party_to_inform(state))
    known = state.packet(packet.packet_rec_id)
    if known is not None:
        return Decision(OutcomeKind.ALREADY_THERE)
    if packet.sender is Party.SITE:
        return _decide_own(state, packet, salt, sent)
    earlier = _earlier_copy(state, packet)
    if earlier is not None and not _was_failed_by_us(state, earlier):
        return _note_duplicate(state, packet, salt)
    replaces = earlier.packet_rec_id if earlier is not None else None
    if state.type is None and _opened_by(packet, Party.HUB) is None:
        return _decide_unplaced(state, packet, salt, fetched)
    before = state.state if earlier is None else earlier.state_before
    kind = state.type or packet.packet_type
    if step(kind, before, Party.HUB, packet.move) is not None:
        return Decision(OutcomeKind.ACCEPTED, (received_event(packet, salt, replaces=replaces),))
    if state.is_final:
        return _decide_late(state, packet, salt)
    proof = _proved_by(state, packet)
    if proof is not None:
        confirmed = confirmed_event(state, proof, None, None, actor=f"packet {packet.packet_rec_id}")
        return Decision(OutcomeKind.ACCEPTED, (confirmed, received_event(packet, salt)))
    if legal_later(kind, state.state, Party.HUB, packet.move):
        return _hold(state, packet, salt)
    return Decision(
        OutcomeKind.QUARANTINED,
        reason=f"A {packet.packet_type} is never allowed in a {kind} transaction that is {state.state}.",
    )


def sent_is_in(sent: Mapping[str, Any], listed: Mapping[str, Any]) -> bool:
    """Tell whether a body that the service lists contains the one that we sent; scalars compare as text."""
    return all(name in listed and _as_text(value) == _as_text(listed[name]) for name, value in sent.items())


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value if value is None else str(value)


def _decide_own(
    state: TransactionState, packet: Incoming, salt: str, sent: Mapping[str, Mapping[str, Any]]
) -> Decision:
    """A packet of ours in a listing: it settles the outbox, or another tool of the site sent it."""
    for entry in state.outbox:
        if entry.packet_type != packet.packet_type or entry.packet_rec_id is not None:
            continue
        if entry.status == "confirmed":
            facts = {"answers": entry.answers, "attached": True}
            return Decision(OutcomeKind.CONFIRMED, (own_event(EventType.PACKET_CONFIRMED, packet, facts),))
        if entry.status == "attempting" and sent_is_in(sent.get(entry.answers, {}), packet.document["body"]):
            event = confirmed_event(
                state,
                entry,
                packet.packet_rec_id,
                packet.trans_rec_id,
                actor="listing",
                document=packet.document,
            )
            return Decision(OutcomeKind.CONFIRMED, (event,))
    if _earlier_copy(state, packet) is not None:
        return _note_duplicate(state, packet, salt)
    return _decide_foreign_tool(state, packet, salt)


def _decide_foreign_tool(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    kind = state.type or _opened_by(packet, Party.SITE)
    if kind is None:
        return _decide_unplaced(state, packet, salt, fetched=False)
    allowed = step(kind, state.state, Party.SITE, packet.move) is not None
    if not allowed and not state.is_final:
        if legal_later(kind, state.state, Party.SITE, packet.move):
            return _hold(state, packet, salt)
        return Decision(
            OutcomeKind.QUARANTINED,
            reason=f"A {packet.packet_type} of this site has no place in a {kind} that is {state.state}.",
        )
    last = state.last_moving
    facts: dict[str, Any] = {"answers": last.packet_rec_id if last else "start"}
    if not allowed:
        facts["acknowledges"] = True
    adopted = own_event(EventType.PACKET_ADOPTED, packet, facts)
    superseded = tuple(
        NewEvent(
            EventType.PACKET_REJECTED,
            trans_rec_id=state.trans_rec_id,
            packet_type=entry.packet_type,
            sender=Party.SITE,
            facts={"answers": entry.answers, "code": "superseded"},
        )
        for entry in state.outbox
        if entry.is_open and allowed
    )
    return Decision(OutcomeKind.CONFIRMED, (*superseded, adopted))


def _opened_by(packet: Incoming, party: Party) -> str | None:
    """The transaction type that a packet begins, unless its header says that the other party began it."""
    if packet.originator not in (None, party):
        return None
    return opened_by(packet.packet_type, party)


def _decide_unplaced(state: TransactionState, packet: Incoming, salt: str, fetched: bool) -> Decision:
    """The first packet that we see of a transaction is not its first."""
    somewhere = packet.packet_type == INFORM or any(
        row.move == packet.packet_type and row.sender == packet.sender
        for transaction in TRANSACTION_TYPES.values()
        for row in transaction.rows
    )
    if not somewhere or fetched:
        return Decision(
            OutcomeKind.QUARANTINED,
            reason=f"A {packet.packet_type} from the {packet.sender or 'other side'} begins no transaction,"
            " and nothing came before it.",
        )
    decision = _hold(state, packet, salt)
    return replace(decision, history_needed=True)


def _decide_late(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    """The transaction has ended: an inform only acknowledges, anything else comes too late."""
    if packet.packet_type == INFORM:
        anomalies: tuple[str, ...] = ()
        if (packet.status == "success") != (state.state is State.COMPLETED):
            anomalies = ("inform-contradicts-end",)
        event = received_event(packet, salt, acknowledges=True, anomalies=anomalies)
        return Decision(OutcomeKind.ACCEPTED, (event,))
    return Decision(
        OutcomeKind.QUARANTINED,
        reason=f"A {packet.packet_type} came after its transaction had {state.state}.",
    )


def _proved_by(state: TransactionState, packet: Incoming) -> OutboxEntry | None:
    """What the outbox was sending, and must have arrived, since this packet answers it."""
    for entry in state.outbox:
        if entry.status == "attempting" and entry.packet_type is not None and state.type is not None:
            between = state.after(Party.SITE, entry.move)
            if between is not None and step(state.type, between, Party.HUB, packet.move) is not None:
                return entry
    return None


def _party_to_inform(state: TransactionState) -> Party:
    """Whose turn it is, for an inform whose header does not tell its sender."""
    return Party.SITE if state.site_moves() and not state.hub_moves() else Party.HUB


def _earlier_copy(state: TransactionState, packet: Incoming) -> PacketEntry | None:
    if packet.packet_id is None:
        return None
    return next(
        (
            entry
            for entry in state.packets
            if entry.packet_id == packet.packet_id
            and entry.packet_type == packet.packet_type
            and entry.sender == packet.sender
            and entry.packet_rec_id is not None
        ),
        None,
    )


def _was_failed_by_us(state: TransactionState, entry: PacketEntry) -> bool:
    """A resent packet takes the place of the copy that we failed ("Implementing AMIE", resent packets)."""
    newest = [other for other in state.packets if other.sender is Party.HUB and other.moved]
    return (
        state.state is State.FAILED
        and state.failed_by is Party.SITE
        and bool(newest)
        and newest[-1].packet_rec_id == entry.packet_rec_id
    )


def _note_duplicate(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    if packet.packet_rec_id in state.noted:
        return Decision(OutcomeKind.DUPLICATE)
    return Decision(OutcomeKind.DUPLICATE, (noted_event(EventType.PACKET_DUPLICATED, packet, salt),))


def decide_conflict(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    """A packet came under a known record id with other content: it is kept, and never acted on."""
    packet = replace(packet, sender=packet.sender or _party_to_inform(state))
    event = noted_event(EventType.PACKET_CONFLICTED, packet, salt, anomalies=("packet-conflict",))
    return Decision(OutcomeKind.CONFLICT, (event,))


def _hold(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    if any(held.packet_rec_id == packet.packet_rec_id for held in state.held):
        return Decision(OutcomeKind.HELD)
    return Decision(OutcomeKind.HELD, (noted_event(EventType.PACKET_HELD, packet, salt),))
