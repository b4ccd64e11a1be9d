"""Why the directory says what it says: the packet that made it so, who asked for it, and who decided it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from amie_engine.audit.history import Made
from amie_engine.engine.evolve import evolve
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.log.events import Event, EventType
from amie_engine.log.store import LogReader
from amie_engine.protocol import Party

__all__ = ["Cause", "Decision", "Mention", "explain"]


@dataclass(frozen=True, slots=True)
class Mention:
    """A packet that an explanation mentions.

    Attributes:
        sender: ``hub`` or ``site``.
        status: Of an inform: ``success`` or ``failure``.
        time: When it was recorded that it had arrived.
        position: The event that says so.
    """

    packet_type: str
    packet_rec_id: str | None
    sender: str
    status: str | None
    time: datetime
    position: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A reply, or the first packet of a transaction of the site's own: what it was, and who decided it."""

    packet_type: str
    status: str | None
    actor: str
    time: datetime
    position: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why values of the directory are what they are.

    Attributes:
        made: What it made so: ``person``, ``project`` or ``account`` where it made the row itself, else the
            columns; an account's ``person_id`` where it came with a merge.
        packet: The packet that made it so.
        proof: How it is known that the packet arrived: ``service``, ``listing``, or another packet.
        is_adopted: Whether another tool of the site sent it.
        request: The packet that began the transaction; None where that is ``packet`` itself.
        decision: What the site decided to say: ``packet`` itself, or its answer to ``packet``; None where it
            has said nothing, or another tool of the site did.
    """

    made: tuple[str, ...]
    stream: str
    trans_rec_id: str | None
    packet: Mention
    proof: str
    is_adopted: bool
    request: Mention | None
    decision: Decision | None


def explain(reader: LogReader, made: Made) -> Cause:
    """Return why a value is what it is, from the transaction of the event that made it; `Cause.made` is left
    for the caller to say."""
    stream, version = made
    events = reader.stream(stream)
    then = now = TransactionState(stream)
    for event in events:
        now = evolve(now, event)
        if event.version == version:
            then = now
    cause = events[version - 1]
    packet = then.packets[-1]
    request = None if then.request is None or then.request == packet else then.request
    return Cause(
        (),
        stream,
        now.trans_rec_id,
        _mention(packet, events),
        cause.actor,
        cause.type == EventType.PACKET_ADOPTED,
        None if request is None else _mention(request, events),
        _decision(now, packet, events),
    )


def _mention(packet: PacketEntry, events: list[Event]) -> Mention:
    return Mention(
        packet.packet_type,
        packet.packet_rec_id,
        str(packet.sender),
        packet.status,
        datetime.fromisoformat(packet.recorded_at),
        events[packet.version - 1].position,
    )


def _decision(state: TransactionState, packet: PacketEntry, events: list[Event]) -> Decision | None:
    """What the site decided to say: the packet itself where it is the site's, else the answer to it."""
    answers = packet.answers if packet.sender is Party.SITE else packet.packet_rec_id
    entry = None if answers is None else state.outgoing(answers)
    if entry is None or entry.packet_type is None or entry.status == "rejected":
        return None
    event = events[entry.decided_version - 1]
    return Decision(
        entry.packet_type,
        entry.inform_status,
        event.actor,
        datetime.fromisoformat(event.recorded_at),
        event.position,
    )
