"""Answering the hub's informs, where the service goes on listing them until somebody does.

Source: "Implementing AMIE", inform_transaction_complete; what sites report of the service.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from amie_engine.engine.incoming import INFORM
from amie_engine.engine.replies import decided_event
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.log.events import NewEvent
from amie_engine.log.store import EventLog
from amie_engine.packet.base import Packet
from amie_engine.protocol import Party

__all__ = ["LINGERS_AFTER", "acknowledge_listed", "acknowledge_newest"]

LINGERS_AFTER = timedelta(minutes=5)
"""An inform that is still in a full listing so long after we settled it lingers there."""


def acknowledge_newest(unit: UnitOfWork, state: TransactionState) -> TransactionState:
    """Answer the newest packet with a success inform, if it is an inform of the hub's, not answered yet."""
    event = _acknowledgement(state, state.packets[-1]) if state.packets else None
    return state if event is None else unit.append(state, [event])


def acknowledge_listed(log: EventLog, packet_rec_id: str, *, settled_before: datetime) -> bool:
    """Answer an inform of the hub's that the service still lists; tell whether that was to be done.

    Args:
        log: The log.
        packet_rec_id: The inform's record id.
        settled_before: It lingers only if it was settled before this time.
    """

    def decided(view: View) -> tuple[TransactionState, NewEvent] | None:
        known = view.reader.accepted(packet_rec_id)
        if known is None or known.packet_type != INFORM:
            return None
        state = view.state(known.stream)
        entry = state.packet(packet_rec_id)
        if entry is None or datetime.fromisoformat(entry.recorded_at) > settled_before:
            return None
        event = _acknowledgement(state, entry)
        return None if event is None else (state, event)

    def acknowledge(unit: UnitOfWork) -> bool:
        found = decided(unit)
        if found is not None:
            unit.append(found[0], [found[1]])
        return found is not None

    with log.read() as reader:
        if decided(View(reader)) is None:
            return False
    return in_unit(log, acknowledge)


def _acknowledgement(state: TransactionState, inform: PacketEntry) -> NewEvent | None:
    """Return the event that answers an inform of the hub's with a success inform, or None.

    Once in a transaction, and never where the site has sent an inform, which that of the hub's may answer: no
    loop can start.

    Source: "Implementing AMIE", inform_transaction_complete; the public client's example answers each.
    """
    if inform.packet_type != INFORM or inform.sender is not Party.HUB or inform.packet_rec_id is None:
        return None
    if state.has_acknowledged() or state.outgoing(inform.packet_rec_id) is not None:
        return None
    packet = Packet._find_packet_type(INFORM)(
        in_reply_to=inform.packet_rec_id, StatusCode="Success", DetailCode="1", Message="OK"
    )
    return decided_event(state, packet, packet.as_dict(), inform.packet_rec_id, "acknowledge_inform", None)
