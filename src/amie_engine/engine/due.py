"""Whose turn it is in a transaction, what is due, and until when: pure functions of its state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from amie_engine.engine.incoming import INFORM
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.protocol import Move, Party

__all__ = ["Turn", "turn_of"]


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is.

    ``party`` is None once the transaction has ended. ``answers`` is the packet that waits for its reply,
    ``packet_types`` the types that may answer it, and ``sending`` tells that the site's reply is in the
    outbox already. ``noted`` is what the log has noted of the deadline.
    """

    party: Party | None
    packet_types: tuple[str, ...] = ()
    deadline: datetime | None = None
    answers: PacketEntry | None = None
    sending: bool = False
    anomalies: tuple[str, ...] = ()
    noted: str | None = None


def turn_of(state: TransactionState) -> Turn:
    """Return whose turn it is in a transaction.

    What is due is what the header of the packet lists and the machine allows. If that is nothing, the machine
    decides, and an anomaly tells so.

    Source: "Implementing AMIE", expected replies.
    """
    if state.is_final or state.type is None:
        return Turn(None)
    site, hub = state.site_moves(), state.hub_moves()
    party, moves = (Party.SITE, site) if site else (Party.HUB, hub)
    allowed = tuple(INFORM if move == Move.INFORM_SUCCESS else move for move in moves)
    answered = state.last_moving
    if answered is None:
        return Turn(party, allowed, sending=any(entry.is_open for entry in state.outbox))
    listed = {name: timeout for name, timeout in answered.expected if name in allowed}
    anomalies = [] if listed or party is Party.HUB else ["expected-replies-contradict"]
    if state.answered_elsewhere:
        anomalies.append("answered-elsewhere")
    due = tuple(listed) or allowed
    reply = state.outgoing(answered.packet_rec_id or "")
    version, noted = state.deadline_noted or (0, None)
    return Turn(
        party=party,
        packet_types=due,
        deadline=_deadline(answered, min(listed.values(), default=None)),
        answers=answered,
        sending=reply is not None and reply.is_open,
        anomalies=tuple(anomalies),
        noted=noted if version == answered.version else None,
    )


def _deadline(packet: PacketEntry, timeout: int | None) -> datetime | None:
    """A reply's deadline: its timeout after the packet was made, as its header tells; else after it came."""
    if timeout is None:
        return None
    made = datetime.fromisoformat(packet.timestamp or packet.recorded_at)
    try:
        return made + timedelta(minutes=timeout)
    except OverflowError:
        return None
