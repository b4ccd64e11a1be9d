"""What a site can have done to a transaction, each in one unit of work: at once, or after the commit of a
transaction of the site's own in which it was staged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.engine.failures import decide_deadline, decide_failure, decide_unknown
from amie_engine.engine.following import answer_repeats
from amie_engine.engine.mending import decide_resend
from amie_engine.engine.receiving import Receiver
from amie_engine.engine.replies import decide_reply, decide_start
from amie_engine.engine.state import SET_FAILED, START, TransactionState
from amie_engine.engine.unit import UnitOfWork
from amie_engine.engine.views import Handle
from amie_engine.log.events import NewEvent
from amie_engine.packet.base import Packet

__all__ = ["Commands"]


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of one site.

    Args:
        receiver: What does what follows from a change.
        now: Gives the time, with zone.
    """

    receiver: Receiver
    now: Callable[[], datetime]

    def reply(
        self,
        unit: UnitOfWork,
        trans_rec_id: int | str,
        packet: Packet,
        *,
        actor: str,
        work: Mapping[str, Any] | None = None,
    ) -> Handle:
        """Put a reply into the outbox."""
        return self.reply_in(unit, unit.require(trans_rec_id), packet, actor=actor, work=work)

    def reply_in(
        self,
        unit: UnitOfWork,
        state: TransactionState,
        packet: Packet,
        *,
        actor: str,
        work: Mapping[str, Any] | None = None,
    ) -> Handle:
        """Put a reply into the outbox, in a transaction whose state is known."""
        event = decide_reply(state, packet, actor=actor, work=work)
        answer_repeats(unit, unit.append(state, [event]), self.now())
        return Handle(state.stream, state.trans_rec_id, event.facts["answers"], event.packet_type)

    def start(self, unit: UnitOfWork, stream: str, packet: Packet, *, actor: str) -> Handle:
        """Put the first packet of a transaction of the site's own into the outbox."""
        event = decide_start(stream, packet, actor=actor)
        unit.append(TransactionState(stream, hub=unit.reader.hub, site=unit.reader.site), [event])
        return Handle(stream, None, START, packet.packet_type)

    def resend(
        self,
        unit: UnitOfWork,
        trans_rec_id: int | str,
        changes: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
    ) -> Handle:
        """Put what the service refused into the outbox again, mended."""
        state = unit.require(trans_rec_id)
        event = decide_resend(unit, state, changes, actor=actor, reason=reason)
        answer_repeats(unit, unit.append(state, [event]), self.now())
        return Handle(state.stream, state.trans_rec_id, event.facts["answers"], event.packet_type)

    def fail(self, unit: UnitOfWork, trans_rec_id: int | str, reason: str, *, actor: str) -> Handle:
        """Have the service set a transaction failed, or give up one that never reached it."""
        state = unit.require(trans_rec_id)
        state = self._append(unit, state, decide_failure(state, reason, actor=actor))
        return Handle(state.stream, state.trans_rec_id, SET_FAILED, None)

    def confirm_deadline(self, unit: UnitOfWork, trans_rec_id: int | str, *, actor: str) -> None:
        """Take a transaction whose deadline has passed for failed."""
        state = unit.require(trans_rec_id)
        self._append(unit, state, decide_deadline(state, self.now(), actor=actor))

    def note_unknown(self, unit: UnitOfWork, trans_rec_id: int | str, code: str) -> bool:
        """Note that the service does not know a transaction any more; tell whether that is new."""
        state = unit.require(trans_rec_id)
        event = decide_unknown(state, code)
        if event is not None:
            unit.append(state, [event])
        return event is not None

    def _append(self, unit: UnitOfWork, state: TransactionState, event: NewEvent) -> TransactionState:
        """Append what was decided, and do what follows from it."""
        return self.receiver.settle(unit, unit.append(state, [event]))
