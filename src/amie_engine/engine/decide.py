"""What is to happen when a packet comes in: a pure function of the transaction's state and the packet.

It knows neither client nor database: it returns events, and nothing has happened until they are appended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amie_engine.engine.decision import (
    Decision,
    OutcomeKind,
    earlier_copy,
    hold,
    note_duplicate,
    refuse,
    sent_is_in,
    unplaced,
)
from amie_engine.engine.incoming import INFORM, Incoming
from amie_engine.engine.own import decide_own
from amie_engine.engine.packet_events import confirmed_event, received_event
from amie_engine.engine.state import OutboxEntry, PacketEntry, TransactionState
from amie_engine.protocol import (
    FINAL_STATES,
    TRANSACTION_TYPES,
    Move,
    Party,
    State,
    legal_later,
    opened_by,
    step,
)

__all__ = ["decide_receive"]


def decide_receive(
    state: TransactionState,
    packet: Incoming,
    salt: str,
    sent: Mapping[str, Mapping[str, Any]],
    *,
    complete: bool = False,
) -> Decision:
    """Return what is to happen with a packet that came in.

    Args:
        state: The state of its transaction; a fresh one where the log knows none.
        packet: The packet.
        salt: A fresh random salt for the digest of its content.
        sent: The bodies of what the outbox has sent and no listing has shown, by what they answer.
        complete: The transaction's whole history is being fed in, oldest packet first.
    """
    if packet.sender is None:
        packet = replace(packet, sender=_sender_of_inform(state, packet, sent))
    if state.packet(packet.packet_rec_id) is not None:
        return Decision(OutcomeKind.ALREADY_THERE)
    if packet.sender is Party.SITE:
        return decide_own(state, packet, salt, sent, complete=complete)
    return _decide_hubs(state, packet, salt, complete)


def _decide_hubs(state: TransactionState, packet: Incoming, salt: str, complete: bool) -> Decision:
    earlier = earlier_copy(state, packet)
    if earlier is not None and not _was_failed_by_us(state, earlier):
        return note_duplicate(state, packet, salt, earlier)
    kind = state.type or opened_by(packet.packet_type, Party.HUB)
    if kind is None:
        late = state.is_final  # it was failed before its beginning was known
        return _decide_late(state, packet, salt) if late else unplaced(state, packet, salt, complete=complete)
    before = state.state if earlier is None else earlier.state_before
    if step(kind, before, Party.HUB, packet.move) is not None:
        replaces = None if earlier is None else earlier.packet_rec_id
        return Decision(OutcomeKind.ACCEPTED, (received_event(packet, salt, replaces=replaces),))
    if state.is_final:
        return _decide_late(state, packet, salt)
    proof = _proved_by(state, packet)
    if proof is not None:
        entry, acknowledges = proof
        proved = confirmed_event(state, entry, actor=f"packet {packet.packet_rec_id}")
        return Decision(
            OutcomeKind.ACCEPTED, (proved, received_event(packet, salt, acknowledges=acknowledges))
        )
    if legal_later(kind, state.state, Party.HUB, packet.move):
        return hold(state, packet, salt)
    return refuse(f"A {packet.packet_type} is never allowed in a {kind} transaction that is {state.state}.")


def _decide_late(state: TransactionState, packet: Incoming, salt: str) -> Decision:
    """The transaction has ended: an inform only acknowledges, anything else comes too late, unless the hub's
    own failure has overtaken it on its way."""
    if _was_overtaken(state, packet):
        return Decision(OutcomeKind.ACCEPTED, (received_event(packet, salt, acknowledges=True),))
    if packet.packet_type != INFORM:
        return refuse(f"A {packet.packet_type} came after its transaction had {state.state}.")
    contradicts = (packet.status == "success") != (state.state is State.COMPLETED)
    anomalies = ("inform-contradicts-end",) if contradicts else ()
    event = received_event(packet, salt, acknowledges=True, anomalies=anomalies)
    return Decision(OutcomeKind.ACCEPTED, (event,))


def _was_overtaken(state: TransactionState, packet: Incoming) -> bool:
    """Whether the hub sent a packet before the inform by which it failed the transaction, as its numbers
    tell: an old listing may show it after that."""
    last = state.last_moving
    if last is None or state.type is None or state.state is not State.FAILED or packet.packet_type == INFORM:
        return False
    if last.packet_rec_id is None or last.sender is not Party.HUB or last.packet_type != INFORM:
        return False
    is_a_move = any(
        row.move == packet.packet_type and row.sender is Party.HUB and row.state is not State.START
        for row in TRANSACTION_TYPES[state.type].rows
    )
    return is_a_move and int(packet.packet_rec_id) < int(last.packet_rec_id)


def _proved_by(state: TransactionState, packet: Incoming) -> tuple[OutboxEntry, bool] | None:
    """What the outbox was sending, and must have arrived, since this packet answers it; and whether it is an
    inform that answers our own, so that it only acknowledges the end."""
    for entry in state.outbox:
        if entry.status != "attempting" or entry.packet_type is None or state.type is None:
            continue
        between = state.after(Party.SITE, entry.move)
        if between is None:
            continue
        if step(state.type, between, Party.HUB, packet.move) is not None:
            return entry, False
        if packet.packet_type == entry.packet_type == INFORM and between in FINAL_STATES:
            return entry, True
    return None


def _sender_of_inform(
    state: TransactionState, packet: Incoming, sent: Mapping[str, Mapping[str, Any]]
) -> Party:
    """Who sent an inform whose header does not tell: us, if it is what we sent; of success, the party that
    has the last word in such a transaction; else the one whose turn it is."""
    body = packet.document["body"]
    ours = (entry for entry in state.outbox if entry.packet_type == INFORM and entry.may_be_listed)
    if any(entry.answers in sent and sent_is_in(sent[entry.answers], body) for entry in ours):
        return Party.SITE
    if state.type is not None and packet.status == "success" and not state.is_final:
        rows = TRANSACTION_TYPES[state.type].rows
        return next(row.sender for row in rows if row.move == Move.INFORM_SUCCESS)
    return Party.SITE if state.site_moves() else Party.HUB


def _was_failed_by_us(state: TransactionState, entry: PacketEntry) -> bool:
    """A resent packet takes the place of the copy that we failed ("Implementing AMIE", resent packets)."""
    newest = [other for other in state.packets if other.sender is Party.HUB and other.moved]
    return (
        state.state is State.FAILED
        and state.failed_by is Party.SITE
        and bool(newest)
        and newest[-1].packet_rec_id == entry.packet_rec_id
    )
