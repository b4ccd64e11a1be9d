"""What becomes of a packet that comes in: every outcome of receiving, in one unit of work each."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

from amie_engine.engine.decide import Decision, OutcomeKind, decide_conflict, decide_receive, sent_is_in
from amie_engine.engine.incoming import Incoming, Unusable, read_incoming
from amie_engine.engine.state import START, TransactionState
from amie_engine.engine.unit import UnitOfWork, View
from amie_engine.engine.views import Outcome
from amie_engine.log.canonical import canonical_json, salted_digest
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import Party

__all__ = ["Receiver", "settle"]

AfterAccept = Callable[[UnitOfWork, TransactionState], TransactionState]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives packets for one site.

    Args:
        site: The site's AMIE name.
        new_id: Gives ids for streams.
        after_accept: Called in the same unit after a packet was accepted, with the state then.
    """

    site: str
    new_id: Callable[[], str]
    after_accept: AfterAccept

    def already_there(self, view: View, packet: Incoming) -> Outcome | None:
        """Return the outcome for a packet that the log has, to the letter; None for anything else.

        It takes one look-up and writes nothing: every poll may list what was listed before.
        """
        known = view.reader.accepted(packet.packet_rec_id)
        if known is None or not _same(packet, known):
            return None
        return Outcome(
            OutcomeKind.ALREADY_THERE, packet.trans_rec_id, packet.packet_rec_id, packet.packet_type
        )

    def receive(self, unit: UnitOfWork, packet: Incoming, *, fetched: bool = False) -> Outcome:
        """Decide about a packet, append what was decided, and return the outcome."""
        state, decision = self._decide(unit, packet, fetched or self._history_was_fetched(unit, packet))
        if decision.outcome is OutcomeKind.QUARANTINED:
            outcome = self.quarantine(unit, _not_allowed(packet, decision.reason))
            if any(held.packet_rec_id == packet.packet_rec_id for held in state.held):
                unit.append(state, [_left_for_quarantine(packet, outcome)])
            return outcome
        if decision.events:
            state = unit.append(state, decision.events)
            if decision.outcome in (OutcomeKind.ACCEPTED, OutcomeKind.CONFIRMED):
                state = settle(unit, state, self)
        return Outcome(
            decision.outcome,
            packet.trans_rec_id,
            packet.packet_rec_id,
            packet.packet_type,
            str(state.state),
            history_needed=decision.history_needed or (bool(state.held) and state.type is None),
            anomalies=packet.anomalies,
        )

    def _history_was_fetched(self, unit: UnitOfWork, packet: Incoming) -> bool:
        """Whether a packet is in quarantine since its transaction's history has no place for it: then it is
        not asked for again at every poll."""
        return unit.quarantined(_not_allowed(packet, "").sha256) is not None

    def quarantine(self, unit: UnitOfWork, item: Unusable) -> Outcome:
        """Keep what can't be used: its bytes once, however often it comes."""
        quarantine_id = unit.quarantined(item.sha256)
        if quarantine_id is None:
            quarantine_id = self.new_id()
            unit.append_quarantine(quarantine_id, 0, _quarantined(item))
        return Outcome.quarantined(item, quarantine_id)

    def _decide(self, unit: UnitOfWork, packet: Incoming, fetched: bool) -> tuple[TransactionState, Decision]:
        """What is to happen, and in which transaction: a conflict belongs to that of the first copy."""
        salt = token_hex(16)
        known = unit.reader.accepted(packet.packet_rec_id)
        if known is not None:
            state = unit.state(known.stream)
            if _same(packet, known):
                return state, Decision(OutcomeKind.ALREADY_THERE)
            return state, self._conflict(unit, state, packet, salt)
        state = self._state_for(unit, packet)
        held = next((h for h in state.held if h.packet_rec_id == packet.packet_rec_id), None)
        if held is not None:
            held_salt = unit.reader.salt(state.stream, held.version)
            if held_salt and held.content != salted_digest(held_salt, packet.identity):
                return state, self._conflict(unit, state, packet, salt)
        return state, decide_receive(state, packet, salt, _sent(unit, state), fetched=fetched)

    def _conflict(self, unit: UnitOfWork, state: TransactionState, packet: Incoming, salt: str) -> Decision:
        noted = unit.reader.noted(state.stream, packet.packet_rec_id, EventType.PACKET_CONFLICTED)
        if any(facts["content"] == salted_digest(old, packet.identity) for facts, old in noted if old):
            return Decision(OutcomeKind.CONFLICT)
        return decide_conflict(state, packet, salt)

    def _state_for(self, unit: UnitOfWork, packet: Incoming) -> TransactionState:
        stream = unit.find(packet.trans_rec_id)
        if stream is None and packet.sender is Party.SITE:
            stream = self._started(unit, packet)
        if stream is not None:
            return unit.state(stream)
        return TransactionState(self.new_id(), hub=unit.reader.hub, site=unit.reader.site)

    def _started(self, unit: UnitOfWork, packet: Incoming) -> str | None:
        """A transaction that we began and whose wire id we learn from this listing of its first packet."""
        for stream in unit.started_without_wire_id(packet.packet_type):
            sent = _sent(unit, unit.state(stream)).get(START)
            if sent is not None and sent_is_in(sent, packet.document["body"]):
                return stream
        return None


def settle(unit: UnitOfWork, state: TransactionState, receiver: Receiver) -> TransactionState:
    """Do what a change of a transaction's state makes possible: packets that were held are tried again."""
    state = receiver.after_accept(unit, state)
    for held in state.held:
        document = unit.reader.document(state.stream, held.version)
        packet = read_incoming(document, receiver.site) if document is not None else None
        if not isinstance(packet, Incoming):
            continue
        waiting = replace(state, held=tuple(other for other in state.held if other != held))
        decision = decide_receive(waiting, packet, token_hex(16), _sent(unit, state))
        if decision.outcome is OutcomeKind.HELD:
            continue
        if decision.outcome is OutcomeKind.QUARANTINED:
            outcome = receiver.quarantine(unit, _not_allowed(packet, decision.reason))
            events: tuple[NewEvent, ...] = (_left_for_quarantine(packet, outcome),)
        else:
            events = decision.events
        return settle(unit, unit.append(state, events), receiver)
    return state


def _same(packet: Incoming, known: Any) -> bool:
    """Whether a packet is, to the letter, the one that the log has under its record id.

    Of our own packets the service fills in more than we sent, and of an erased one only its type is left.
    """
    if packet.packet_type != known.packet_type:
        return False
    content = known.facts.get("content")
    if content is None or known.salt is None:
        return True
    return bool(content == salted_digest(known.salt, packet.identity))


def _sent(view: View, state: TransactionState) -> dict[str, Mapping[str, Any]]:
    """The bodies of what the outbox of a transaction sent and has not seen in a listing."""
    sent = {}
    for entry in state.outbox:
        if entry.status == "attempting" or (entry.status == "confirmed" and entry.packet_rec_id is None):
            document = view.reader.document(state.stream, entry.decided_version)
            sent[entry.answers] = document["body"] if document else {}
    return sent


def _not_allowed(packet: Incoming, reason: str) -> Unusable:
    hint = "Compare the transaction at the service with `amie-engine show`; release it once that is mended."
    text = canonical_json(packet.document)
    return Unusable(
        "packet-not-allowed",
        reason,
        hint,
        text.encode("ascii"),
        salted_digest("packet", packet.identity),
        packet.trans_rec_id,
        packet.packet_rec_id,
        packet.packet_type,
    )


def _quarantined(item: Unusable) -> NewEvent:
    return NewEvent(
        EventType.PACKET_QUARANTINED,
        trans_rec_id=item.trans_rec_id,
        packet_rec_id=item.packet_rec_id,
        packet_type=item.packet_type,
        actor="service",
        facts={
            "code": item.code,
            "reason": item.reason,
            "hint": item.hint,
            "sha256": item.sha256,
            "size": len(item.raw),
        },
        document={"base64": base64.b64encode(item.raw).decode("ascii")},
    )


def _left_for_quarantine(packet: Incoming, outcome: Outcome) -> NewEvent:
    return NewEvent(
        EventType.PACKET_QUARANTINED,
        trans_rec_id=packet.trans_rec_id,
        packet_rec_id=packet.packet_rec_id,
        packet_type=packet.packet_type,
        facts={"quarantine_id": outcome.quarantine_id, "code": outcome.code, "reason": outcome.reason},
    )
