"""The work that the site's own code has to do: one item for each packet that waits for the site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from amie_engine.engine.drafts import draft_for, request_of
from amie_engine.engine.leases import Lease, holder_is_gone, lasts_until, lost
from amie_engine.engine.open_transactions import LeasedTransaction, read_leased, read_open, read_open_around
from amie_engine.engine.ordering import (
    RUNNING_FIRST,
    Blocker,
    OpenTransaction,
    OrderRule,
    Until,
    blockers,
    looks_at_starts,
)
from amie_engine.engine.record_id import waits_for_first_answer
from amie_engine.engine.start_order import starts_on_their_way
from amie_engine.engine.state import TransactionState, WorkItem
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.engine.work_record import (
    WorkRecord,
    decide_answer,
    decide_let_pass,
    decide_retry,
    question_of,
)
from amie_engine.engine.work_row import WorkRow
from amie_engine.log.events import NewEvent
from amie_engine.log.statements import Cursor, Statement
from amie_engine.packet.base import Packet

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["AskedQuestion", "Assignment", "WorkQueue"]

_OPEN = (
    "SELECT w.stream, w.packet_rec_id, w.packet_type, t.trans_rec_id, w.status, w.attempts, w.not_before,"
    " w.reason, w.may_pass, w.opened_at, t.deadline"
    " FROM amie_work w JOIN amie_transactions t ON t.stream = w.stream"
    " WHERE w.hub = :hub AND w.site = :site AND w.status <> 'done'{of_one}"
    " ORDER BY length(w.packet_rec_id), w.packet_rec_id"
)
_OPEN_IN_ALL = Statement(_OPEN.format(of_one=""))
_OPEN_IN_ONE = Statement(_OPEN.format(of_one=" AND w.stream = :stream"))


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item of work, ready for a handler.

    Attributes:
        lease: The worker's right to be the only one at work on it.
        request: The packet that waits for the site.
        reply: The draft of its reply.
        first: The packet that began the transaction; a data packet does not name the resource, this does.
        key: Stable for this packet, whatever crashes: an idempotency key for the site's back end.
        item: What was done and asked before, and how many calls of the handler have failed.
        anomalies: What is odd about the transaction.
    """

    lease: Lease
    request: Packet
    reply: Packet
    first: Packet
    key: str
    item: WorkItem
    anomalies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """What a handler has asked a person. The text may hold personal data."""

    name: str
    text: str = field(repr=False)
    choices: tuple[str, ...]


class WorkQueue:
    """The open work of an engine, oldest packet first.

    Args:
        engine: The engine.
        rules: In which order transactions are worked on.
    """

    def __init__(self, engine: Engine, rules: Iterable[OrderRule]) -> None:
        self._engine = engine
        self.rules = tuple(rules)
        self.record = WorkRecord(engine)
        self._taken: dict[str, WorkRow] = {}

    def open(self) -> list[WorkRow]:
        """Return every item that is not done, also those that wait."""
        with self._engine.view() as view:
            return self.open_in(view)

    def open_in(self, view: View) -> list[WorkRow]:
        """Return every item that is not done in one state of the log."""
        log = self._engine.log
        rows = view.cursor.all(_OPEN_IN_ALL, {"hub": log.hub, "site": log.site})
        return self._as_they_stand(view, rows, read_open)

    def ready(self) -> list[WorkRow]:
        """Return the items that may be worked on now, by one worker or by several at once."""
        now = self._engine.now()
        return [row for row in self.open() if row.may_begin(now)]

    def ready_in(self, trans_rec_id: int | str) -> list[WorkRow]:
        """Return what `ready` lists of one transaction, without reading all the others; nothing where the log
        does not know it.

        Args:
            trans_rec_id: The transaction's record id at the service.
        """
        log, now = self._engine.log, self._engine.now()
        with self._engine.view() as view:
            stream = view.find(storable(str(trans_rec_id)))
            if stream is None:
                return []
            rows = view.cursor.all(_OPEN_IN_ONE, {"hub": log.hub, "site": log.site, "stream": stream})
            found = self._as_they_stand(view, rows, partial(read_open_around, stream=stream))
        return [row for row in found if row.may_begin(now)]

    def take_first(self, rows: Sequence[WorkRow], *, lasts: timedelta) -> Lease | None:
        """Take the lease of the first of some items that is free; None where other workers were faster with
        each, or they are done.

        Args:
            rows: The items.
            lasts: How long the lease lasts, unless it is renewed.
        """
        items = {(row.stream, row.packet_rec_id): row for row in rows}
        lease = self._engine.leases.take_first(tuple(items), lasts=lasts)
        if lease is not None:
            row = items[lease.stream, lease.packet_rec_id]
            self._taken[lease.token] = replace(row, status="running", lease=lease)
            self.at_work()  # forgets those that have ended
        return lease

    def at_work(self) -> list[WorkRow]:
        """Return the items that this engine has taken and that handlers are at work on, in this process, each
        with its lease as it stands: also where that ran out, and another has taken the work over."""
        found = []
        for token, row in tuple(self._taken.items()):
            until = lasts_until(token)
            if until is None:
                self._taken.pop(token, None)
            elif row.lease is not None:
                found.append(replace(row, lease=replace(row.lease, expires_at=until)))
        return found

    def begin(self, lease: Lease) -> Assignment | None:
        """Return what a handler needs for an item; None where it has to wait, or is done.

        Since the items were listed, somebody may have begun with what a rule keeps apart from this one. That
        is looked for here, once the lease is there: of two who begin in the same moment, the second at least
        sees the other.

        Raises:
            LeaseLost: The lease is over by now.
        """
        with self._engine.log.read() as reader:
            view = View(reader)
            leased = read_leased(view, self._engine.now())
            if not any(each.token == lease.token for each in leased):
                raise lost(lease)
            if any(_is_of_another_packet(each, lease) for each in leased):
                return None
            state = view.state(lease.stream)
            item = state.item(lease.packet_rec_id)
            if item is None or not (item.may_pass or self._may_begin_beside(leased, lease)):
                return None
            return self._assignment(view, state, lease)

    def assignment(self, lease: Lease) -> Assignment | None:
        """Return what `begin` has returned, as it stands now: None where the item is done by now, or has to
        wait.

        It waits where the answer to an earlier request with the same RecordID has to come first, and where a
        packet of the hub's is held that follows the site's answer, while something of the transaction is in
        quarantine: that may be the answer, sent by another tool of the site.
        """
        with self._engine.log.read() as reader:
            view = View(reader)
            return self._assignment(view, view.state(lease.stream), lease)

    def _assignment(self, view: View, state: TransactionState, lease: Lease) -> Assignment | None:
        item = state.item(lease.packet_rec_id)
        drafted = draft_for(view, state, self._engine.now())
        if item is None or item.is_over or drafted is None or state.request is None:
            return None
        if state.answered_elsewhere and view.has_quarantined(state.trans_rec_id):
            return None
        if not item.may_pass and waits_for_first_answer(view, state) is not None:
            return None
        request, reply = drafted
        key = f"{state.hub}/{state.site}/{lease.packet_rec_id}"
        began = state.request.packet_rec_id
        first = request if lease.packet_rec_id == began else request_of(view, state, state.request)
        return Assignment(lease, request, reply, first, key, item, state.anomalies)

    def _may_begin_beside(self, leased: Sequence[LeasedTransaction], lease: Lease) -> bool:
        """Whether nobody is at work on what a rule keeps apart from the transaction of a lease."""
        there = [each.transaction for each in leased if not each.has_ended]
        ended = [each.transaction for each in leased if each.has_ended]
        running = {each.stream for each in there}
        return lease.stream not in blockers(there, self.rules, running, ended=ended)

    def asked(self, trans_rec_id: int | str, *, question: str | None = None) -> AskedQuestion:
        """Return what the handler of a transaction has asked with ``work.ask``, and nobody has answered.

        Args:
            trans_rec_id: The transaction's record id at the service.
            question: The question's name; None for the one that is asked.

        Raises:
            TransactionNotFound: The log has no such transaction.
            WorkNotFound: Nothing of that name is asked in it.
        """
        with self._engine.view() as view:
            state = view.require(trans_rec_id)
            _, found = question_of(state, question)
            document = view.reader.document(state.stream, found.asked_version)
        return AskedQuestion(found.name, (document or {}).get("text", ""), found.choices)

    def answer(
        self, trans_rec_id: int | str, answer: str, *, question: str | None = None, actor: str
    ) -> None:
        """Answer what the handler of a transaction has asked with ``work.ask``; it is called again.

        Args:
            trans_rec_id: The transaction's record id at the service.
            answer: The answer: one of the choices, where it has some.
            question: The question's name; None for the one that is asked.
            actor: Who answers, for the record; no personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
            WorkNotFound: Nothing of that name is asked in it.
            AnswerInvalid: It is none of the choices, or empty.
        """
        self._decide(trans_rec_id, partial(decide_answer, answer=answer, question=question, actor=actor))

    def retry(self, trans_rec_id: int | str, *, actor: str, reason: str = "") -> None:
        """Have the handler of a transaction called again at once: what was parked goes on.

        Args:
            trans_rec_id: The transaction's record id at the service.
            actor: Who has it called, for the record; no personal data.
            reason: Why, for the record; no personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
            WorkNotFound: Nothing in it waits to be tried again, or the site has no handler for it.
        """
        self._decide(trans_rec_id, partial(decide_retry, actor=actor, reason=reason))

    def let_pass(self, trans_rec_id: int | str, *, actor: str, reason: str = "") -> None:
        """Let the work on a transaction begin, whatever comes before it (`ORDER_RULES`); or one that the site
        begins be sent, whatever it waits for (`START_RULES`).

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            actor: Who lets it pass, for the record; no personal data.
            reason: Why, for the record; no personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
            WorkNotFound: Nothing in it waits for others.
        """
        self._decide(trans_rec_id, partial(decide_let_pass, actor=actor, reason=reason))

    def _decide(self, trans_rec_id: int | str, decide: Callable[[TransactionState], NewEvent]) -> None:
        def carry_out(unit: UnitOfWork) -> None:
            state = unit.require(trans_rec_id)
            unit.append(state, [decide(state)])

        in_unit(self._engine.log, carry_out)

    def document(self, lease: Lease, version: int) -> Any:
        """Return the document of one of the events about an item: a step's result, a question, an answer."""
        with self._engine.log.read() as reader:
            return reader.document(lease.stream, version)

    def _as_they_stand(
        self,
        view: View,
        rows: Sequence[Sequence[Any]],
        read: Callable[[Cursor, str, str], list[OpenTransaction]],
    ) -> list[WorkRow]:
        if not rows:
            return []
        log, now = self._engine.log, self._engine.now()
        leases = self._engine.leases.all(view.cursor)
        there = read(view.cursor, log.hub, log.site)
        starts = starts_on_their_way(view) if looks_at_starts(there, self.rules) else ()
        running = {lease.stream for lease in leases.values() if not lease.is_over(now)}
        ended: list[OpenTransaction] = []
        if running - {each.stream for each in there}:
            ended = [each.transaction for each in read_leased(view, now) if each.has_ended]
        waiting = blockers(there, self.rules, running, starts, ended)
        return [self._as_it_stands(WorkRow.of(row), leases, running, waiting, now) for row in rows]

    def _as_it_stands(
        self,
        row: WorkRow,
        leases: Mapping[tuple[str, str], Lease],
        running: Collection[str],
        waiting: Mapping[str, Blocker],
        now: datetime,
    ) -> WorkRow:
        if row.waits_for_a_person:
            return row
        lease = leases.get((row.stream, row.packet_rec_id))
        if lease is not None and not lease.is_over(now):
            return replace(row, status="running", lease=lease)
        blocker = None if row.may_pass else waiting.get(row.stream)
        if row.stream in running:  # with another packet of it
            blocker = Blocker(RUNNING_FIRST, Until.IDLE, row.stream, row.trans_rec_id)
        if lease is not None and not holder_is_gone(lease.holder, lease.token):
            return replace(row, status="hanging", overrun=lease, blocked_by=blocker)
        return row if blocker is None else replace(row, status="blocked", blocked_by=blocker)


def _is_of_another_packet(leased: LeasedTransaction, lease: Lease) -> bool:
    """Whether a lease is that of another packet in the transaction of a lease."""
    return leased.transaction.stream == lease.stream and leased.packet_rec_id != lease.packet_rec_id
