"""The ways in which a transaction fails other than by an inform, and what an end makes needless."""

from __future__ import annotations

from datetime import datetime

from amie_engine.engine.due import turn_of
from amie_engine.engine.incoming import INFORM
from amie_engine.engine.packet_events import confirmed_event, superseded_event
from amie_engine.engine.state import SET_FAILED, START, UNKNOWN_AT_SERVICE, OutboxEntry, TransactionState
from amie_engine.errors import ReplyAlreadyDecided, ReplyNotDue, TransactionClosed
from amie_engine.log.events import EventType, NewEvent
from amie_engine.protocol import Move, Party

__all__ = ["decide_deadline", "decide_failure", "decide_set_failed", "decide_unknown", "left_over"]


def decide_failure(state: TransactionState, reason: str, *, actor: str) -> NewEvent:
    """Return the event that asks the service to set a transaction failed (``state/failed``); or, where the
    site began it and it never reached the service, the one that gives it up.

    Raises:
        TransactionClosed: It has ended already.
        ReplyAlreadyDecided: It is being set failed already.
        ReplyNotDue: Whether the service knows the transaction is not known yet.
    """
    name = f"transaction {state.trans_rec_id or state.stream}"
    _check_open(state, name)
    existing = state.outgoing(SET_FAILED)
    if existing is not None and existing.is_open:
        raise ReplyAlreadyDecided(
            f"The {name} is being set failed already.",
            hint="`amie-engine run` sends it; `amie-engine show TRANS` tells whether it has arrived.",
        )
    if state.trans_rec_id is None:
        start = state.outgoing(START)
        if start is not None and start.status == "attempting":
            raise ReplyNotDue(
                f"Whether the service knows the {name} is not known yet.",
                hint="Wait until its first packet has arrived or was refused.",
            )
        return _failed(state, Move.SET_FAILED, Party.SITE, actor, reason)
    return NewEvent(
        EventType.FAILURE_DECIDED,
        trans_rec_id=state.trans_rec_id,
        sender=Party.SITE,
        actor=actor,
        facts={"answers": SET_FAILED},
        document={"reason": reason},
    )


def decide_deadline(state: TransactionState, now: datetime, *, actor: str) -> NewEvent:
    """Return the event by which an operator takes a transaction whose deadline has passed for failed.

    Raises:
        TransactionClosed: It has ended already.
        ReplyNotDue: Its deadline has not passed, or it has none.

    Source: "The AMIE Model", timeouts; no public text says what happens then, so that a person decides.
    """
    name = f"transaction {state.trans_rec_id or state.stream}"
    _check_open(state, name)
    deadline = turn_of(state).deadline
    if deadline is None or deadline > now:
        when = (
            "has no deadline"
            if deadline is None
            else f"has a deadline that has not passed: {deadline:%F %T %Z}"
        )
        raise ReplyNotDue(
            f"The {name} {when}.",
            hint='To fail it before that: `amie-engine fail TRANS --reason "..."`, or `Engine.fail`.',
        )
    return _failed(state, Move.DEADLINE_CONFIRMED, Party.SITE, actor, deadline=deadline.isoformat())


def decide_set_failed(state: TransactionState) -> NewEvent | None:
    """Return the event for a transaction that the service tells is failed, or None where the log knows.

    If we had asked for it, that has arrived; otherwise the hub did it, or another tool of the site.
    """
    if state.is_final or state.type is None:
        return None
    asked = state.outgoing(SET_FAILED)
    if asked is not None and asked.status == "attempting":
        return confirmed_event(state, asked, actor="listing")
    return _failed(state, Move.SET_FAILED, Party.HUB, "service")


def decide_unknown(state: TransactionState, code: str) -> NewEvent | None:
    """Return the event that notes that the service does not know a transaction any more; None where that is
    on record, or the transaction has ended and nothing is asked of the service any more.

    It ends nothing: the service may have been restored from an old copy, and remember again.
    """
    if state.is_final or state.trans_rec_id is None or UNKNOWN_AT_SERVICE in state.anomalies:
        return None
    return NewEvent(
        EventType.TRANSACTION_UNKNOWN,
        trans_rec_id=state.trans_rec_id,
        sender=Party.HUB,
        actor="service",
        facts={"code": code, "anomalies": [UNKNOWN_AT_SERVICE]},
    )


def left_over(state: TransactionState) -> tuple[NewEvent, ...]:
    """Return the events that take out of the outbox what can't be said any more, since the transaction has
    ended. An acknowledgement of the hub's inform still can."""
    if not state.is_final:
        return ()
    return tuple(
        superseded_event(state, entry, "transaction-ended")
        for entry in state.outbox
        if entry.is_open and not _acknowledges(state, entry)
    )


def _acknowledges(state: TransactionState, entry: OutboxEntry) -> bool:
    answered = state.packet(entry.answers)
    return answered is not None and answered.packet_type == INFORM


def _check_open(state: TransactionState, name: str) -> None:
    if state.is_final:
        raise TransactionClosed(f"The {name} has {state.state} already.")


def _failed(
    state: TransactionState,
    move: Move,
    sender: Party,
    actor: str,
    reason: str | None = None,
    *,
    deadline: str | None = None,
) -> NewEvent:
    facts = {"move": str(move)} | ({} if deadline is None else {"deadline": deadline})
    return NewEvent(
        EventType.TRANSACTION_FAILED,
        trans_rec_id=state.trans_rec_id,
        sender=sender,
        actor=actor,
        facts=facts,
        document=None if reason is None else {"reason": reason},
    )
