"""What is to happen when a listing shows a packet of the site's own: a pure function, like `decide`."""

from __future__ import annotations

from collections.abc import Mapping
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
from amie_engine.engine.packet_events import adopted_event, attached_event, confirmed_event, superseded_event
from amie_engine.engine.state import START, OutboxEntry, TransactionState
from amie_engine.protocol import Party, legal_later, opened_by, step

__all__ = ["decide_own"]


def decide_own(
    state: TransactionState,
    packet: Incoming,
    salt: str,
    sent: Mapping[str, Mapping[str, Any]],
    *,
    complete: bool,
) -> Decision:
    """Return what is to happen with a packet of ours: it settles the outbox, or another tool of the site sent
    it.

    Args:
        state: The state of its transaction.
        packet: The packet.
        salt: A fresh random salt for the digest of its content.
        sent: The bodies of what the outbox has sent and no listing has shown, by what they answer.
        complete: The transaction's whole history is being fed in, oldest packet first.
    """
    entry = _listed_entry(state, packet, sent)
    if entry is not None and entry.status == "confirmed":
        return Decision(OutcomeKind.CONFIRMED, (attached_event(packet, entry.answers),))
    if entry is not None:
        return Decision(
            OutcomeKind.CONFIRMED, (confirmed_event(state, entry, actor="listing", packet=packet),)
        )
    earlier = earlier_copy(state, packet)
    if earlier is not None:
        return note_duplicate(state, packet, salt, earlier)
    return _decide_other_tools(state, packet, salt, complete)


def _listed_entry(
    state: TransactionState, packet: Incoming, sent: Mapping[str, Mapping[str, Any]]
) -> OutboxEntry | None:
    """The outbox entry that this packet is: one whose arrival was unknown, or that was refused before and is
    to be sent again, and whose body is in it; or one that has arrived and whose record id was unknown."""
    entries = [e for e in state.outbox if e.may_be_listed and e.packet_type == packet.packet_type]
    same = [e for e in entries if sent_is_in(sent.get(e.answers, {}), packet.document["body"])]
    for entry in same:
        if entry.is_open:
            return entry
    for entry in entries:
        if entry.status == "confirmed" and entry.inform_status == packet.status:
            return entry
    for entry in same:  # the service refused it, and has it all the same: a copy had arrived before
        if entry.status == "rejected" and (state.is_final or state.after(Party.SITE, entry.move)):
            return entry
    return None


def _decide_other_tools(state: TransactionState, packet: Incoming, salt: str, complete: bool) -> Decision:
    kind = state.type or _begun_with(state, packet, complete)
    if kind is None and not state.is_final:
        return unplaced(state, packet, salt, complete=complete)
    allowed = kind is not None and step(kind, state.state, Party.SITE, packet.move) is not None
    if kind is not None and not allowed and not state.is_final:
        if legal_later(kind, state.state, Party.SITE, packet.move):
            return hold(state, packet, salt)
        return refuse(f"A {packet.packet_type} of this site has no place in a {kind} that is {state.state}.")
    last = state.last_moving
    answers = START if last is None else last.packet_rec_id if last.sender is Party.HUB else None
    unneeded = tuple(
        superseded_event(state, entry, "superseded")
        for entry in state.outbox
        if (entry.is_open or entry.was_refused) and _says_the_same(state, entry, packet, answers)
    )
    return Decision(
        OutcomeKind.CONFIRMED, (*unneeded, adopted_event(packet, answers, acknowledges=not allowed))
    )


def _says_the_same(
    state: TransactionState, entry: OutboxEntry, packet: Incoming, answers: str | None
) -> bool:
    """Whether an outbox entry would answer what another tool's packet has answered."""
    if state.is_final:
        return entry.packet_type == packet.packet_type == INFORM
    return entry.packet_type is not None and entry.answers == answers


def _begun_with(state: TransactionState, packet: Incoming, complete: bool) -> str | None:
    """The transaction type that a packet of ours begins.

    The same types also answer the hub's requests: it begins a transaction only if the header says that the
    site did, or if it is the first of a whole history.
    """
    begins = packet.originator is Party.SITE or (packet.originator is None and complete and not state.packets)
    return opened_by(packet.packet_type, Party.SITE) if begins else None
