"""What is put on record about an item of work: by the worker that holds its lease, and by the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from amie_engine.engine.leases import Lease, check_lease, end_lease, has_ended, renew_lease
from amie_engine.engine.state import START, Question, TransactionState, WorkItem
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.engine.views import Handle
from amie_engine.errors import AnswerInvalid, LeaseLost, WorkNotFound, WorkOver
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import format_time
from amie_engine.packet.base import Packet
from amie_engine.protocol import Party

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = [
    "ABANDONED",
    "NO_HANDLER",
    "WorkRecord",
    "decide_answer",
    "decide_let_pass",
    "decide_retry",
    "question_of",
    "waits_for_a_handler",
]

ABANDONED = "abandoned"
"""What stands for an error's class where whoever was at work is gone."""

NO_HANDLER = "no handler for "
"""How the reason begins for which work waits that the site has no handler for."""


class WorkRecord:
    """Puts on record what becomes of work, each call in one commit, in which the lease is still held.

    Where a transaction has moved on meanwhile, so that its work is done, nothing is recorded.

    Every method raises `LeaseLost` if somebody else has taken the work over.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def result(self, lease: Lease, name: str) -> tuple[Any] | None:
        """Return the result of a step that is done, in a tuple; None where it is to be done now.

        Raises:
            LeaseLost: Somebody else has taken the work over: it is theirs to do.
            WorkOver: It is nobody's any more.
        """
        with self._engine.log.read() as reader:
            view = View(reader)
            check_lease(view, lease)
            state = view.state(lease.stream)
            item = _open_item(state, lease)
            version = item.step(name)
            return (
                None if version is None else ((reader.document(state.stream, version) or {}).get("result"),)
            )

    def step(self, lease: Lease, name: str, result: Any, *, milliseconds: int, actor: str) -> Any:
        """Record the result of a step that is done, and return the result that is on record.

        It is recorded even if the lease is lost, or the work is over: what is done is done. The first one
        stays.

        Raises:
            LeaseLost: It is on record, and somebody else has taken the work over.
            WorkOver: It is on record, and the work is over.
        """

        def record(unit: UnitOfWork) -> tuple[Any, LeaseLost | None]:
            state = unit.state(lease.stream)
            item = state.item(lease.packet_rec_id)
            assert item is not None  # noqa: S101 # there was one when the lease was taken, and it stays
            kept, version = result, item.step(name)
            if version is not None:
                kept = (unit.reader.document(state.stream, version) or {}).get("result")
            else:
                facts = {"step": name, "milliseconds": milliseconds}
                event = _event(EventType.WORK_STEP_DONE, state, item, facts, {"result": result}, actor=actor)
                unit.append(state, [event])
            return kept, self._renewed(unit, lease) or (_over(lease) if item.is_over else None)

        recorded, error = in_unit(self._engine.log, record)
        if error is not None:
            raise error
        return recorded

    def alive(self, lease: Lease) -> None:
        """Make a lease last from now on.

        Raises:
            LeaseLost: Somebody else has taken the work over.
            WorkOver: It is nobody's any more.
        """
        with self._engine.log.read() as reader:
            view = View(reader)
            check_lease(view, lease)
            _open_item(view.state(lease.stream), lease)
        self._engine.leases.renew(lease)

    def asked(self, lease: Lease, name: str, question: str, choices: Sequence[str], *, actor: str) -> bool:
        """Record that the handler asks a person; the lease ends, and the work waits for the answer. Tell
        whether there was anything to ask."""
        facts = {"question": name, "choices": list(choices)}
        return self._end(lease, EventType.WORK_ASKED, facts, {"text": question}, actor=actor)

    def deferred(self, lease: Lease, *, until: datetime | None, reason: str, actor: str) -> bool:
        """Record that the handler wants to be called again, not before a time; the lease ends.

        Returns:
            Whether that is news: what waits from round to round for the same reason, and until no time, is
            recorded once.
        """
        facts = {"reason": storable(reason), "not_before": None if until is None else format_time(until)}
        waits = ("waiting", facts["not_before"], facts["reason"])

        def is_news(item: WorkItem) -> bool:
            return until is not None or (item.status, item.not_before, item.reason) != waits

        return self._end(lease, EventType.WORK_DEFERRED, facts, actor=actor, is_news=is_news)

    def failed(
        self, lease: Lease, error: str, attempt: int, *, retry_at: datetime | None, details: str, actor: str
    ) -> None:
        """Record that the handler raised; the lease ends.

        Args:
            lease: The lease.
            error: The class of what it raised.
            attempt: Which call of the handler it was.
            retry_at: When it is called again; None: a person has to look first.
            details: The traceback, for the operator; kept with the documents, since it may quote the packet.
            actor: Whose handler.
        """
        facts = _failure(error, attempt, retry_at)
        self._end(lease, EventType.WORK_FAILED, facts, {"details": details}, actor=actor)

    def abandoned(self, lease: Lease, *, is_last: Callable[[int], bool]) -> bool:
        """Record that whoever was at work before is gone, and did not say what became of it.

        Args:
            lease: The lease that was taken over; it ends if the work is parked.
            is_last: Tells of an attempt whether no other follows.

        Returns:
            Whether it is parked: a person has to look first.
        """

        def note(unit: UnitOfWork) -> bool:
            check_lease(unit, lease)
            state = unit.state(lease.stream)
            item = state.item(lease.packet_rec_id)
            if item is None or item.is_over:
                return False
            attempt = item.attempts + 1
            parked = is_last(attempt)
            facts = _failure(ABANDONED, attempt, None if parked else lease.taken_at)
            event = _event(EventType.WORK_FAILED, state, item, facts, actor=str(lease.taken_over_from))
            unit.append(state, [event])
            if parked:
                end_lease(unit, lease)
            return parked

        parked = in_unit(self._engine.log, note)
        if parked:
            has_ended(lease)
        return parked

    def replied(self, lease: Lease, packet: Packet, *, work: Mapping[str, Any], actor: str) -> Handle:
        """Check a reply and put it into the outbox, as `Engine.reply`; the lease ends.

        Raises:
            EngineError: The reply can't be sent; nothing was recorded.
            WorkOver: The work is nobody's any more.
        """

        def reply(unit: UnitOfWork) -> Handle:
            end_lease(unit, lease)
            state = unit.state(lease.stream)
            _open_item(state, lease)
            return self._engine.commands.reply_in(unit, state, packet, actor=actor, work=work)

        handle = in_unit(self._engine.log, reply)
        has_ended(lease)
        return handle

    def _renewed(self, unit: UnitOfWork, lease: Lease) -> LeaseLost | None:
        """A finished step is a sign of life."""
        try:
            renew_lease(unit.cursor, lease, self._engine.now())
        except LeaseLost as error:
            return error
        return None

    def _end(
        self,
        lease: Lease,
        event_type: EventType,
        facts: Mapping[str, Any],
        document: Any = None,
        *,
        actor: str,
        is_news: Callable[[WorkItem], bool] = lambda _: True,
    ) -> bool:
        """End a lease, and record what the work came to; tell whether there was something to be recorded."""

        def note(unit: UnitOfWork) -> bool:
            end_lease(unit, lease)
            state = unit.state(lease.stream)
            item = state.item(lease.packet_rec_id)
            if item is None or item.is_over or not is_news(item):
                return False
            unit.append(state, [_event(event_type, state, item, facts, document, actor=actor)])
            return True

        recorded = in_unit(self._engine.log, note)
        has_ended(lease)
        return recorded


def _open_item(state: TransactionState, lease: Lease) -> WorkItem:
    """Return the item of work of a lease.

    Raises:
        WorkOver: It is done.
    """
    item = state.item(lease.packet_rec_id)
    if item is None or item.is_over:
        raise _over(lease)
    return item


def _over(lease: Lease) -> WorkOver:
    return WorkOver(
        f"The work on packet {lease.packet_rec_id} is over: it was answered, or its transaction has ended,"
        " while its handler was at work."
    )


def question_of(state: TransactionState, name: str | None) -> tuple[WorkItem, Question]:
    """Return what is asked in a transaction, and the work that waits for the answer.

    Raises:
        WorkNotFound: Nothing is asked in it, or not under that name.
    """
    for item in state.work:
        question = item.open_question if item.status == "asking" else None
        if question is not None and name in (None, question.name):
            return item, question
    told = "Nothing" if name is None else f"No question {name[:60]!r}"
    raise WorkNotFound(
        f"{told} waits for an answer in transaction {state.trans_rec_id or state.stream}.",
        hint="`amie-engine work` shows what is asked.",
    )


def decide_answer(state: TransactionState, answer: str, *, question: str | None, actor: str) -> NewEvent:
    """Return the event by which a person answers what a handler has asked.

    Raises:
        WorkNotFound: Nothing is asked in the transaction, or not under that name.
        AnswerInvalid: It is none of the choices, or empty.
    """
    item, open_question = question_of(state, question)
    answer = storable(answer).strip()
    if not answer or (open_question.choices and answer not in open_question.choices):
        choices = ", ".join(open_question.choices)
        raise AnswerInvalid(
            f"That is no answer to the question {open_question.name!r} in transaction"
            f" {state.trans_rec_id or state.stream}.",
            hint=f"It is one of: {choices}." if choices else "Say something.",
        )
    facts: dict[str, Any] = {"question": open_question.name}
    if open_question.choices:
        return _event(EventType.WORK_ANSWERED, state, item, facts | {"answer": answer}, actor=actor)
    return _event(EventType.WORK_ANSWERED, state, item, facts, {"answer": answer}, actor=actor)


def waits_for_a_handler(status: str, reason: str | None) -> bool:
    """Whether work in a state waits for a handler, since the site has none for it."""
    return status == "waiting" and (reason or "").startswith(NO_HANDLER)


def decide_retry(state: TransactionState, *, actor: str, reason: str) -> NewEvent:
    """Return the event by which a person has work tried again at once.

    Raises:
        WorkNotFound: No work of the transaction waits to be tried again, or the site has no handler for it.
    """
    item = next((item for item in state.work if item.status in ("parked", "retrying", "waiting")), None)
    if item is None:
        raise WorkNotFound(
            f"No work waits to be tried again in transaction {state.trans_rec_id or state.stream}.",
            hint="`amie-engine work` shows what waits, and for what.",
        )
    if waits_for_a_handler(item.status, item.reason):
        raise WorkNotFound(
            f"The site has no handler for the {item.packet_type} of transaction"
            f" {state.trans_rec_id or state.stream}: there is none that could be called again.",
            hint="Add one and restart the daemon: it is called then.",
        )
    return _event(EventType.WORK_RESUMED, state, item, {"reason": storable(reason)}, actor=actor)


def decide_let_pass(state: TransactionState, *, actor: str, reason: str) -> NewEvent:
    """Return the event by which a person lets work begin, whatever comes before it, or lets a transaction
    that the site begins be sent, whatever it waits for.

    Raises:
        WorkNotFound: Nothing of the transaction is open, or it may pass already.
    """
    start = state.outgoing(START)
    if start is not None and start.status == "pending" and not start.may_pass:
        return NewEvent(
            EventType.START_LET_PASS,
            packet_type=start.packet_type,
            sender=Party.SITE,
            actor=actor,
            facts={"reason": storable(reason)},
        )
    item = next((item for item in state.work if item.status != "done" and not item.may_pass), None)
    if item is None:
        raise WorkNotFound(
            f"No work waits for others in transaction {state.trans_rec_id or state.stream}.",
            hint="`amie-engine work` shows what waits, and for what.",
        )
    return _event(EventType.WORK_LET_PASS, state, item, {"reason": storable(reason)}, actor=actor)


def _failure(error: str, attempt: int, retry_at: datetime | None) -> dict[str, Any]:
    not_before = None if retry_at is None else format_time(retry_at)
    return {"error": error, "attempt": attempt, "not_before": not_before}


def _event(
    event_type: EventType,
    state: TransactionState,
    item: WorkItem,
    facts: Mapping[str, Any],
    document: Any = None,
    *,
    actor: str,
) -> NewEvent:
    return NewEvent(
        event_type,
        trans_rec_id=state.trans_rec_id,
        packet_rec_id=item.packet_rec_id,
        packet_type=item.packet_type,
        sender=Party.SITE,
        actor=actor,
        facts=facts,
        document=document,
    )
