"""What becomes of a packet that comes in: every outcome of receiving, in one unit of work each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from amie_engine.engine.acknowledging import acknowledge_newest
from amie_engine.engine.decide import decide_receive
from amie_engine.engine.decision import Decision, OutcomeKind, decide_conflict, sent_is_in
from amie_engine.engine.following import follow
from amie_engine.engine.incoming import Incoming, read_incoming
from amie_engine.engine.quarantine import keep, leaves_for_quarantine, not_allowed, release
from amie_engine.engine.record_id import reuses_record_id
from amie_engine.engine.source import Unusable
from amie_engine.engine.state import START, HeldPacket, TransactionState
from amie_engine.engine.unit import UnitOfWork, View
from amie_engine.engine.views import Outcome
from amie_engine.log.canonical import new_salt, salted_digest
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import AcceptedPacket
from amie_engine.protocol import Party

__all__ = ["Receiver"]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives packets for one site.

    Args:
        site: The site's AMIE name.
        new_id: Gives ids for streams.
        now: Gives the time, with zone.
        acknowledges: Whether every inform of the hub's is answered at once.
    """

    site: str
    new_id: Callable[[], str]
    now: Callable[[], datetime]
    acknowledges: bool

    def already_there(self, view: View, packet: Incoming | Unusable) -> Outcome | None:
        """Return the outcome for what the log has, to the letter; None for anything else.

        It takes one look-up and writes nothing: every poll may list what was listed before.
        """
        if isinstance(packet, Unusable):
            item = view.quarantined(packet)
            return None if item is None else Outcome.quarantined(packet, item.quarantine_id)
        known = view.reader.accepted(packet.packet_rec_id)
        if known is None or not _is_same(packet, known):
            return None
        return Outcome(
            OutcomeKind.ALREADY_THERE, packet.trans_rec_id, packet.packet_rec_id, packet.packet_type
        )

    def receive(
        self,
        unit: UnitOfWork,
        packet: Incoming | Unusable,
        *,
        fetched: bool = False,
        complete: bool = False,
        actor: str = "engine",
    ) -> Outcome:
        """Decide about what came, append what was decided, and return the outcome.

        Args:
            unit: Where to append.
            packet: What came.
            fetched: It is of a transaction's whole history: what follows from it is left for the end of that.
            complete: That history has every packet, this one in its place.
            actor: Who had it received, where it was in quarantine.
        """
        if isinstance(packet, Unusable):
            return keep(unit, packet, self.new_id)
        state, decision, waiting = self._decide(unit, packet, complete)
        if decision.outcome is OutcomeKind.QUARANTINED:
            return self._quarantine(unit, state, packet, decision)[1]
        if decision.events:
            state = unit.append(state, decision.events)
            if decision.outcome in (OutcomeKind.ACCEPTED, OutcomeKind.CONFIRMED):
                state = self.settle(unit, state, fetched=fetched)
        if waiting:
            for held in waiting:
                self.receive(unit, held, fetched=fetched)
            state = unit.state(state.stream)
        outcome = Outcome(
            decision.outcome,
            packet.trans_rec_id,
            packet.packet_rec_id,
            packet.packet_type,
            None if decision.outcome is OutcomeKind.ALREADY_THERE else str(state.state),
            history_needed=decision.outcome is OutcomeKind.HELD and not fetched,
            anomalies=_anomalies_in(decision.events),
        )
        release(unit, packet, outcome, actor=actor)
        return outcome

    def receive_all(self, unit: UnitOfWork, packets: Iterable[Incoming | Unusable]) -> list[Outcome]:
        """Receive packets in their order; return what became of each."""
        return [self.receive(unit, packet) for packet in packets]

    def settle(self, unit: UnitOfWork, state: TransactionState, *, fetched: bool = False) -> TransactionState:
        """Do what a change of a transaction's state makes possible: what follows from it is said, and packets
        that were held are tried again."""
        while True:
            if not fetched:
                state = acknowledge_newest(unit, state) if self.acknowledges else state
                state = follow(unit, state, self.now())
            released = self._release_one(unit, state)
            if released is None:
                return state
            state = released

    def move_held(self, unit: UnitOfWork, trans_rec_id: str) -> list[Incoming] | None:
        """Take the packets out of the stream that held them for a transaction that the site began, and whose
        wire id is known only now; the caller receives them again.

        Returns:
            The packets; None where the stream is a transaction of its own.
        """
        stream = unit.find(trans_rec_id)
        if stream is None:
            return []
        state = unit.state(stream)
        if state.type is not None:
            return None
        packets = []
        for held in state.held:
            packet = self._held_packet(unit, state, held)
            if packet is not None:
                packets.append(packet)
        moved = [_moved(state, held) for held in state.held]
        if moved:
            unit.append(state, moved)
        return packets

    def _decide(
        self, unit: UnitOfWork, packet: Incoming, complete: bool
    ) -> tuple[TransactionState, Decision, list[Incoming]]:
        """What is to happen, in which transaction (a conflict belongs to that of the first copy), and what
        waited for it in a stream of its own."""
        salt = new_salt()
        known = unit.reader.accepted(packet.packet_rec_id)
        if known is not None:
            state = unit.state(known.stream)
            if _is_same(packet, known):
                return state, Decision(OutcomeKind.ALREADY_THERE), []
            return state, self._conflict(unit, state, packet, salt), []
        state, waiting = self._place(unit, packet)
        held = next((h for h in state.held if h.packet_rec_id == packet.packet_rec_id), None)
        if held is not None:
            held_salt = unit.reader.salt(state.stream, held.version)
            if held_salt and held.content != salted_digest(held_salt, packet.identity):
                return state, self._conflict(unit, state, packet, salt), []
        if reuses_record_id(unit, state, packet):
            packet = replace(packet, anomalies=(*packet.anomalies, "record-id-reused"))
        sent = unit.sent_by(state)
        decision = decide_receive(state, packet, salt, sent, complete=complete)
        if state.type is None and decision.outcome is OutcomeKind.HELD:
            known_item = unit.quarantined(packet)
            if (
                known_item is not None and not known_item.released
            ):  # its history was complete, and is not here
                decision = decide_receive(state, packet, salt, sent, complete=True)
        return state, decision, waiting

    def _quarantine(
        self, unit: UnitOfWork, state: TransactionState, packet: Incoming, decision: Decision
    ) -> tuple[TransactionState, Outcome]:
        """Put a packet into quarantine; if it was held, it leaves its transaction."""
        outcome = keep(unit, not_allowed(packet, decision.reason), self.new_id)
        if state.is_held(packet.packet_rec_id):
            state = unit.append(state, [leaves_for_quarantine(state, packet, outcome)])
        return state, outcome

    def _conflict(self, unit: UnitOfWork, state: TransactionState, packet: Incoming, salt: str) -> Decision:
        noted = unit.reader.noted(state.stream, packet.packet_rec_id, EventType.PACKET_CONFLICTED)
        if any(facts["content"] == salted_digest(old, packet.identity) for facts, old in noted if old):
            return Decision(OutcomeKind.CONFLICT)
        return decide_conflict(packet, salt)

    def _place(self, unit: UnitOfWork, packet: Incoming) -> tuple[TransactionState, list[Incoming]]:
        """The transaction of a packet, and the packets that were held for it before it was known as ours."""
        stream = unit.find(packet.trans_rec_id)
        state = None if stream is None else unit.state(stream)
        if packet.sender is Party.SITE and (state is None or state.type is None):
            started = self._started(unit, packet)
            if started is not None:
                return unit.state(started), self.move_held(unit, packet.trans_rec_id) or []
        if state is None:
            state = TransactionState(self.new_id(), hub=unit.reader.hub, site=unit.reader.site)
        return state, []

    def _started(self, unit: UnitOfWork, packet: Incoming) -> str | None:
        """The transaction that we began with this packet, and whose wire id we learn from this listing of it.

        Where several fit, since the service adds to what it was sent, the one that says the most of it.
        """
        if packet.originator is Party.HUB:
            return None
        fitting: list[tuple[bool, int, str]] = []
        for stream in unit.started_without_wire_id(packet.packet_type):
            state = unit.state(stream)
            start = state.outgoing(START)
            sent: Mapping[str, Any] = unit.sent_by(state).get(START, {})
            if start is not None and sent and sent_is_in(sent, packet.document["body"]):
                fitting.append((start.status == "attempting", len(sent), stream))
        return max(fitting, key=lambda entry: entry[:2])[2] if fitting else None

    def _release_one(self, unit: UnitOfWork, state: TransactionState) -> TransactionState | None:
        """Try the packets that are held, oldest first; return the state after the first that was decided."""
        for held in state.held:
            packet = self._held_packet(unit, state, held)
            if packet is None:
                continue
            if unit.reader.accepted(held.packet_rec_id) is not None:
                events = decide_conflict(packet, new_salt(), gives_way=True).events
                return unit.append(state, events)
            waiting = replace(state, held=tuple(other for other in state.held if other != held))
            decision = decide_receive(waiting, packet, new_salt(), unit.sent_by(state))
            if decision.outcome is OutcomeKind.QUARANTINED:
                return self._quarantine(unit, state, packet, decision)[0]
            if decision.outcome is not OutcomeKind.HELD and decision.events:
                return unit.append(state, decision.events)
        return None

    def _held_packet(self, unit: UnitOfWork, state: TransactionState, held: HeldPacket) -> Incoming | None:
        """A packet that is held; None once it was erased."""
        document = unit.reader.document(state.stream, held.version)
        packet = None if document is None else read_incoming(document, self.site)
        return packet if isinstance(packet, Incoming) else None


def _is_same(packet: Incoming, known: AcceptedPacket) -> bool:
    """Whether a packet is, to the letter, the one that the log has under its record id.

    Of our own packets the service fills in more than we sent, and of an erased one only its type is left.
    """
    if packet.packet_type != known.packet_type:
        return False
    header = known.facts.get("header", {})
    if any(packet.header[key] != header[key] for key in packet.header.keys() & header.keys()):
        return False
    content = known.facts.get("content")
    if content is None or known.salt is None:
        return True
    return bool(content == salted_digest(known.salt, packet.identity))


def _anomalies_in(events: tuple[NewEvent, ...]) -> tuple[str, ...]:
    return tuple(anomaly for event in events for anomaly in event.facts.get("anomalies", ()))


def _moved(state: TransactionState, held: HeldPacket) -> NewEvent:
    return NewEvent(
        EventType.PACKET_RELEASED,
        trans_rec_id=state.trans_rec_id,
        packet_rec_id=held.packet_rec_id,
        packet_type=held.packet_type,
        sender=Party.SITE,
        facts={"outcome": "moved"},
    )
