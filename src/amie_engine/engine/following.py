"""What follows by itself from a change of a transaction's state: what the engine says unasked, and what it
no longer says."""

from __future__ import annotations

from datetime import datetime

from amie_engine.engine.drafts import draft_for
from amie_engine.engine.failures import left_over
from amie_engine.engine.record_id import first_answer, same_record
from amie_engine.engine.replies import decide_reply
from amie_engine.engine.state import TransactionState
from amie_engine.engine.unit import UnitOfWork
from amie_engine.errors import EngineError, PacketError
from amie_engine.protocol import State

__all__ = ["answer_repeats", "follow"]


def follow(unit: UnitOfWork, state: TransactionState, now: datetime) -> TransactionState:
    """Take out of the outbox what an end makes needless, and apply the RecordID rule.

    Args:
        unit: Where to append.
        state: The transaction that has changed.
        now: The time.
    """
    unneeded = left_over(state)
    if unneeded:
        state = unit.append(state, unneeded)
    state = _repeat_first_answer(unit, state, now)
    if state.state is State.NOTIFIED:
        answer_repeats(unit, state, now)
    return state


def answer_repeats(unit: UnitOfWork, first: TransactionState, now: datetime) -> None:
    """Answer the requests that repeat one which is answered now, and waited for that.

    Source: "Implementing AMIE", the RecordID of a request_project_create.
    """
    for state in same_record(unit, first):
        _repeat_first_answer(unit, state, now)


def _repeat_first_answer(unit: UnitOfWork, state: TransactionState, now: datetime) -> TransactionState:
    """Answer a project request that was processed before with the first one's answer."""
    waiting = state.last_moving if state.state is State.REQUESTED else None
    if waiting is None or waiting.packet_rec_id is None or state.outgoing(waiting.packet_rec_id) is not None:
        return state
    first = first_answer(unit, state)
    drafted = None if first is None else draft_for(unit, state, now)
    if first is None or drafted is None:
        return state
    actor = f"RecordID rule: the first answer was in transaction {first.transaction.trans_rec_id}"
    try:
        event = decide_reply(state, drafted[1], actor=actor)
    except (EngineError, PacketError):
        return state  # the site's handler sees the draft, and says what is missing
    return unit.append(state, [event])
