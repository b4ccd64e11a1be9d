"""Answering the hub's informs, where the service goes on listing them until somebody does.

Source: "Implementing AMIE", inform_transaction_complete; what sites report of the service.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from amie_engine.engine.incoming import INFORM
from amie_engine.engine.replies import decided_event
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.log.events import NewEvent
from amie_engine.log.store import EventLog
from amie_engine.packet.base import Packet
from amie_engine.protocol import Party

__all__ = ["acknowledge_lingering", "acknowledge_newest"]

_LINGERS_AFTER = timedelta(minutes=5)
"""An inform that is still in a full listing so long after we settled it lingers there."""


def acknowledge_newest(unit: UnitOfWork, state: TransactionState) -> TransactionState:
    """Acknowledge the packet that was just accepted, if it is an inform to acknowledge."""
    newest = state.packets[-1] if state.packets else None
    if newest is None or newest.version != state.version:
        return state
    event = _acknowledgement(state, newest)
    return state if event is None else unit.append(state, [event])


def acknowledge_lingering(log: EventLog, packets: Iterable[Packet], now: datetime) -> int:
    """Acknowledge each inform of a full listing that was settled minutes ago; return how many there were."""
    informs = [packet for packet in packets if packet.packet_type == INFORM]
    return sum(1 for packet in informs if _acknowledge_one(log, str(packet.packet_rec_id), now))


def _acknowledge_one(log: EventLog, packet_rec_id: str, now: datetime) -> bool:
    with log.read() as reader:
        known = reader.accepted(packet_rec_id)
        if known is None or _lingering(View(reader).state(known.stream), packet_rec_id, now) is None:
            return False

    def acknowledge(unit: UnitOfWork) -> bool:
        state = unit.state(known.stream)
        event = _lingering(state, packet_rec_id, now)
        if event is not None:
            unit.append(state, [event])
        return event is not None

    return in_unit(log, acknowledge)


def _lingering(state: TransactionState, packet_rec_id: str, now: datetime) -> NewEvent | None:
    entry = state.packet(packet_rec_id)
    if entry is None or datetime.fromisoformat(entry.recorded_at) + _LINGERS_AFTER > now:
        return None
    return _acknowledgement(state, entry)


def _acknowledgement(state: TransactionState, inform: PacketEntry) -> NewEvent | None:
    """Return the event that answers an inform of the hub's with a success inform, or None.

    Never a second time, and never where the inform answers one of ours: no loop can start.
    """
    if inform.packet_type != INFORM or inform.sender is not Party.HUB or inform.packet_rec_id is None:
        return None
    answers_ours = any(
        packet.packet_type == INFORM and packet.sender is Party.SITE and packet.version < inform.version
        for packet in state.packets
    )
    if answers_ours or state.outgoing(inform.packet_rec_id) is not None:
        return None
    packet = Packet._find_packet_type(INFORM)(
        in_reply_to=inform.packet_rec_id, StatusCode="Success", DetailCode="1", Message="OK"
    )
    return decided_event(state, packet, packet.as_dict(), inform.packet_rec_id, "acknowledge_inform", None)
