"""The work that the site's own code has to do: one item for each packet that waits for the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from amie_engine.engine.drafts import draft_for, request_of
from amie_engine.engine.record_id import waits_for_first_answer
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.log.database import Statement
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import format_time
from amie_engine.packet.base import Packet
from amie_engine.protocol import Party

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Assignment", "WorkQueue", "WorkRow"]

_OPEN = Statement(
    "SELECT w.stream, w.packet_rec_id, w.packet_type, t.trans_rec_id, w.status, w.attempts, w.not_before,"
    " w.reason FROM amie_work w JOIN amie_transactions t ON t.stream = w.stream"
    " WHERE w.hub = :hub AND w.site = :site AND w.status <> 'done'"
    " ORDER BY length(w.packet_rec_id), w.packet_rec_id"
)


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One open item of work."""

    stream: str
    packet_rec_id: str
    packet_type: str
    trans_rec_id: str
    status: str
    attempts: int
    not_before: datetime | None
    reason: str | None

    def may_begin(self, now: datetime) -> bool:
        """Whether the item may be worked on now."""
        return self.not_before is None or self.not_before <= now


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item of work, ready for a handler.

    Attributes:
        request: The packet that waits for the site.
        reply: The draft of its reply.
        first: The packet that began the transaction; a data packet does not name the resource, this does.
        key: Stable for this packet, whatever crashes: an idempotency key for the site's back end.
        anomalies: What is odd about the transaction.
    """

    row: WorkRow
    request: Packet
    reply: Packet
    first: Packet
    key: str
    anomalies: tuple[str, ...]


class WorkQueue:
    """The open work of an engine, oldest packet first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> list[WorkRow]:
        """Return every item that is not done, also those that wait."""
        log = self._engine.log
        with self._engine.view() as view:
            rows = view.cursor.all(_OPEN, {"hub": log.hub, "site": log.site})
        return [
            WorkRow(
                stream=row[0],
                packet_rec_id=row[1],
                packet_type=row[2],
                trans_rec_id=row[3],
                status=row[4],
                attempts=row[5],
                not_before=None if row[6] is None else datetime.fromisoformat(row[6]),
                reason=row[7],
            )
            for row in rows
        ]

    def ready(self) -> list[WorkRow]:
        """Return the items that may be worked on now."""
        now = self._engine.now()
        return [row for row in self.open() if row.may_begin(now)]

    def begin(self, row: WorkRow) -> Assignment | None:
        """Return what a handler needs for an item; None where it has to wait, or is done.

        It waits where the answer to an earlier request with the same RecordID has to come first, and where a
        packet of the hub's is held that follows the site's answer, while something of the transaction is in
        quarantine: that may be the answer, sent by another tool of the site.
        """

        def begin(view: View) -> Assignment | None:
            state = view.state(row.stream)
            item = state.item(row.packet_rec_id)
            drafted = draft_for(view, state, self._engine.now())
            if item is None or item.status == "done" or drafted is None or state.request is None:
                return None
            if state.answered_elsewhere and view.has_quarantined(state.trans_rec_id):
                return None
            if waits_for_first_answer(view, state) is not None:
                return None
            request, reply = drafted
            key = f"{state.hub}/{state.site}/{row.packet_rec_id}"
            first = request_of(view, state, state.request)
            return Assignment(row, request, reply, first, key, state.anomalies)

        with self._engine.log.read() as reader:
            return begin(View(reader))

    def defer(self, row: WorkRow, *, until: datetime | None, reason: str, actor: str) -> None:
        """Record that the handler wants to be called again, not before a time."""
        facts = {"reason": storable(reason), "not_before": None if until is None else format_time(until)}
        self._note(row, EventType.WORK_DEFERRED, facts, actor=actor)

    def failed(
        self, row: WorkRow, error: BaseException, *, retry_at: datetime, details: str, actor: str
    ) -> None:
        """Record that the handler raised; it is called again from a time on.

        Args:
            error: What it raised: its class goes into the facts.
            details: The traceback, for the operator; kept with the documents, since it may quote the packet.
        """
        facts = {
            "error": type(error).__name__,
            "attempt": row.attempts + 1,
            "not_before": format_time(retry_at),
        }
        self._note(row, EventType.WORK_FAILED, facts, {"details": details}, actor=actor)

    def _note(
        self,
        row: WorkRow,
        event_type: EventType,
        facts: Mapping[str, Any],
        document: Any = None,
        *,
        actor: str,
    ) -> None:
        def note(unit: UnitOfWork) -> None:
            state = unit.state(row.stream)
            item = state.item(row.packet_rec_id)
            if item is None or item.status == "done":
                return  # the transaction has moved on while the handler was at work
            event = NewEvent(
                event_type,
                trans_rec_id=state.trans_rec_id,
                packet_rec_id=row.packet_rec_id,
                packet_type=row.packet_type,
                sender=Party.SITE,
                actor=actor,
                facts=facts,
                document=document,
            )
            unit.append(state, [event])

        in_unit(self._engine.log, note)
