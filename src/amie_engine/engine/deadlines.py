"""Deadlines as events: that one is near, and that it has passed, once for each packet that is waited on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from amie_engine.engine.due import turn_of
from amie_engine.engine.state import PASSED, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.errors import EventUnreadable
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Statement
from amie_engine.log.store import format_time

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["NotedDeadline", "decide_note", "note_deadlines"]

_BATCH = 100
"""How many are noted in one commit: each waits for the disk, and keeps other writers waiting."""

_NOT_NOTED = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site"
    " AND state NOT IN ('completed', 'failed') AND deadline <= :soon"
    " AND (deadline_noted IS NULL OR (deadline_noted = 'near' AND deadline <= :now))"
    " ORDER BY opened_position"
)


@dataclass(frozen=True, slots=True)
class NotedDeadline:
    """A deadline that was put on record.

    Attributes:
        stream: The transaction's id in the log.
        trans_rec_id: Its record id at the service, where it has one.
        turn: Whose deadline it is: ``site`` or ``hub``.
        deadline: The deadline.
        passed: Whether it has passed; else it is near.
    """

    stream: str
    trans_rec_id: str | None
    turn: str
    deadline: datetime
    passed: bool


def note_deadlines(engine: Engine) -> list[NotedDeadline]:
    """Put on record which deadlines are near by now, and which have passed. See `Engine.note_deadlines`."""
    now = engine.now()
    farthest = datetime.max.replace(tzinfo=UTC) - now
    soon = now + min(engine.deadline_warning, farthest)
    values = {"hub": engine.hub, "site": engine.site, "now": format_time(now), "soon": format_time(soon)}
    with engine.view() as view:
        streams = [row[0] for row in view.cursor.all(_NOT_NOTED, values)]
        streams = [stream for stream in streams if _decided(view, stream, now, engine.deadline_warning)]
    noted: list[NotedDeadline] = []
    for start in range(0, len(streams), _BATCH):
        batch = streams[start : start + _BATCH]

        def note(unit: UnitOfWork, batch: list[str] = batch) -> list[NotedDeadline]:
            found = [_decided(unit, stream, now, engine.deadline_warning) for stream in batch]
            return [_noted(unit.append(state, [event])) for state, event in filter(None, found)]

        noted += in_unit(engine.log, note)
    return noted


def decide_note(state: TransactionState, now: datetime, warning: timedelta) -> NewEvent | None:
    """Return the event that tells of a transaction's deadline, or None where there is nothing new to tell.

    One that has passed before anybody told that it was near is only told to have passed.

    Args:
        state: The transaction.
        now: The time.
        warning: How long before it passes a deadline is near.
    """
    turn = turn_of(state)
    if turn.deadline is None or turn.answers is None or turn.noted == PASSED:
        return None
    has_passed = turn.deadline <= now
    if not has_passed and (turn.noted is not None or turn.deadline - now > warning):
        return None
    return NewEvent(
        EventType.DEADLINE_PASSED if has_passed else EventType.DEADLINE_NEAR,
        trans_rec_id=state.trans_rec_id,
        packet_rec_id=turn.answers.packet_rec_id,
        packet_type=turn.answers.packet_type,
        facts={
            "deadline": turn.deadline.isoformat(),
            "turn": str(turn.party),
            "due": list(turn.packet_types),
        },
    )


def _decided(
    view: View, stream: str, now: datetime, warning: timedelta
) -> tuple[TransactionState, NewEvent] | None:
    """What is to be noted in a transaction. One that this release can't read holds up no other."""
    try:
        state = view.state(stream)
        event = decide_note(state, now, warning)
    except EventUnreadable:
        return None
    return None if event is None else (state, event)


def _noted(state: TransactionState) -> NotedDeadline:
    turn = turn_of(state)
    assert turn.deadline is not None  # noqa: S101 # it has just been noted
    return NotedDeadline(
        state.stream, state.trans_rec_id, str(turn.party), turn.deadline, turn.noted == PASSED
    )
