"""The outbox: what the site has decided to send, and how far it has come.

``pending``, then ``attempting`` (durable before the call), then ``confirmed`` or ``rejected``; ``pending``
again once a person has it sent again. Nothing makes
the service's POST idempotent: what is ``attempting`` may have arrived or not, and the log says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from amie_engine.engine.incoming import Incoming
from amie_engine.engine.mending import Refusal, refusals, refusals_in
from amie_engine.engine.packet_events import confirmed_event, superseded_event
from amie_engine.engine.start_order import starts_that_wait
from amie_engine.engine.state import OutboxEntry, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.errors import (
    AMIEEngineError,
    PacketInvalidData,
    ReplyAlreadyDecided,
    ReplyInvalid,
    TransactionNotFound,
)
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Statement
from amie_engine.log.store import format_time
from amie_engine.packet.base import Packet
from amie_engine.packet.header import read_record_id
from amie_engine.protocol import Party

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Outbox", "Outgoing"]

_OPEN = Statement(
    "SELECT o.stream, o.answers, t.trans_rec_id, o.kind, o.packet_type, o.status, o.attempts, o.attempted_at"
    " FROM amie_outbox o JOIN amie_transactions t ON t.stream = o.stream"
    " WHERE o.hub = :hub AND o.site = :site AND o.status IN ('pending', 'attempting')"
    " ORDER BY o.decided_at, t.opened_position, o.decided_version"
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Something of the outbox that has still to arrive."""

    stream: str
    answers: str
    trans_rec_id: str | None
    kind: str
    """``packet``, or ``set_failed`` for the call that sets the transaction failed."""
    packet_type: str | None
    status: str
    attempts: int
    attempted_at: datetime | None
    waits_for: str | None = None
    """The transaction that has to end before this is sent, by its record id at the service, or its stream."""

    def is_named_in(self, answer: Any) -> bool:
        """Whether an answer of the service names the packet that was sent: by the record id that it was
        given, in its transaction. Any other answer proves nothing: a proxy may have made it."""
        packet_rec_id, trans_rec_id = _ids_in(answer)
        is_new = packet_rec_id not in (None, self.answers)
        return is_new and trans_rec_id is not None and self.trans_rec_id in (None, trans_rec_id)


class Outbox:
    """The outbox of an engine; whoever sends asks it what to send, and tells it what became of that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> list[Outgoing]:
        """Return what has still to arrive, oldest first; ``attempting`` may have arrived or not."""
        log = self._engine.log
        with self._engine.view() as view:
            rows = view.cursor.all(_OPEN, {"hub": log.hub, "site": log.site})
            awaited = starts_that_wait(view)
        return [
            Outgoing(
                stream=row[0],
                answers=row[1],
                trans_rec_id=row[2],
                kind=row[3],
                packet_type=row[4],
                status=row[5],
                attempts=row[6],
                attempted_at=None if row[7] is None else datetime.fromisoformat(row[7]),
                waits_for=awaited.get(row[0]) if row[5] == "pending" else None,
            )
            for row in rows
        ]

    def rejected(self, trans_rec_id: int | str | None = None) -> list[Refusal]:
        """Return what the service refused and what waits to be mended: see `Engine.resend`.

        Args:
            trans_rec_id: Only of this transaction, by its record id at the service or its stream: what was
                decided last first. Without it, of all that are open, the oldest first.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        with self._engine.view() as view:
            return refusals(view) if trans_rec_id is None else refusals_in(view, view.require(trans_rec_id))

    def has_arrived(self, outgoing: Outgoing) -> bool:
        """Whether something that was to be sent is confirmed by now."""
        with self._engine.log.read() as reader:
            state = View(reader).state(outgoing.stream)
        entry = state.outgoing(outgoing.answers)
        return entry is not None and entry.status == "confirmed"

    def looked_for(self, outgoing: Outgoing) -> tuple[datetime, Mapping[str, Any]]:
        """Return since when something may be at the service, as our clock tells it, and the packet's body."""
        with self._engine.log.read() as reader:
            state, entry = _entry(View(reader), outgoing)
            document = reader.document(state.stream, entry.decided_version) or {}
        return entry.sent_since, document.get("body", {})

    def attempt(self, outgoing: Outgoing) -> Packet | None:
        """Record that something is about to be sent, and return its packet.

        None where it is no packet but the call that sets the transaction failed. From here on, until it is
        confirmed or rejected, whether it has arrived is unknown.

        Raises:
            ReplyAlreadyDecided: It has moved on since it was listed: it has arrived, was refused, needs
                sending no more, or another process is sending it.
            ReplyInvalid: Its document was erased before it was sent; now it counts as refused.
        """

        def attempt(unit: UnitOfWork) -> Packet | AMIEEngineError | None:
            state, entry = _entry(unit, outgoing)
            name = f"transaction {state.trans_rec_id or state.stream}"
            if (entry.status, entry.attempts) != (outgoing.status, outgoing.attempts) or not entry.is_open:
                return ReplyAlreadyDecided(
                    f"What is to be sent for {name} has moved on: it is {entry.status}, after"
                    f" {entry.attempts} attempts.",
                    hint="List the outbox again.",
                )
            document = unit.reader.document(state.stream, entry.decided_version)
            if entry.packet_type is not None and document is None:
                unit.append(state, [_note(EventType.PACKET_REJECTED, state, entry, {"code": "erased"})])
                return ReplyInvalid(
                    f"The {entry.packet_type} for {name} was erased before it was sent.",
                    hint="Decide it again.",
                )
            # The log's time may be ahead of the clock, and is of no use for looking at the service.
            now = format_time(self._engine.now())
            clock = {"clock": now} if now < unit.log_time else {}
            unit.append(state, [_note(EventType.PACKET_ATTEMPTED, state, entry, clock)])
            return None if entry.packet_type is None else Packet.from_dict(document)

        attempted = in_unit(self._engine.log, attempt)
        if isinstance(attempted, AMIEEngineError):
            raise attempted
        return attempted

    def confirm(
        self, outgoing: Outgoing, answer: Mapping[str, Any] | None = None, *, code: str | None = None
    ) -> None:
        """Record that the service accepted what was sent. A second time changes nothing.

        Args:
            outgoing: What was sent.
            answer: The service's answer: its ``result``, or itself, is the packet with the ids that it gave.
                Without ids, those of a transaction that the site began come with a later listing.
            code: The code of the error by which a call was settled all the same: a transaction that the
                service does not know needs no setting failed any more.
        """

        def confirm(unit: UnitOfWork) -> None:
            state, entry = _entry(unit, outgoing)
            if entry.status == "confirmed":
                return
            packet_rec_id, trans_rec_id = _ids_in(answer)
            waiting: list[Incoming] | None = []
            if state.trans_rec_id is None:
                if trans_rec_id is None:
                    return  # it stays attempting: the listing that shows it brings the ids
                waiting = self._engine.receiver.move_held(unit, trans_rec_id)
            if waiting is None:  # a listing has shown it, so changed that it was not known as ours
                unit.append(state, [superseded_event(state, entry, "superseded")])
                return
            if packet_rec_id is not None and unit.reader.accepted(packet_rec_id) is not None:
                packet_rec_id = None
            event = confirmed_event(
                state,
                entry,
                actor="service",
                packet_rec_id=packet_rec_id,
                trans_rec_id=trans_rec_id,
                document=_storable(answer),
                code=code,
            )
            self._engine.receiver.settle(unit, unit.append(state, [event]))
            for packet in waiting:
                self._engine.receiver.receive(unit, packet)

        in_unit(self._engine.log, confirm)

    def reject(self, outgoing: Outgoing, *, code: str, message: str) -> None:
        """Record that the service refused what was sent. It is not sent again by itself: `Engine.resend`.

        Args:
            code: The stable code of the error.
            message: What the service said; it is kept with the documents, since it may quote the packet.
        """

        def reject(unit: UnitOfWork) -> None:
            state, entry = _entry(unit, outgoing)
            if entry.is_open:
                note = _note(EventType.PACKET_REJECTED, state, entry, {"code": code}, {"message": message})
                unit.append(state, [note])

        in_unit(self._engine.log, reject)


def _entry(unit: View, outgoing: Outgoing) -> tuple[TransactionState, OutboxEntry]:
    state = unit.state(outgoing.stream)
    entry = state.outgoing(outgoing.answers)
    if entry is None:
        raise TransactionNotFound(f"The outbox has nothing that answers {outgoing.answers}.")
    return state, entry


def _note(
    event_type: EventType,
    state: TransactionState,
    entry: OutboxEntry,
    facts: Mapping[str, Any],
    document: Any = None,
) -> NewEvent:
    return NewEvent(
        event_type,
        trans_rec_id=state.trans_rec_id,
        packet_type=entry.packet_type,
        sender=Party.SITE,
        status=entry.inform_status,
        facts={"answers": entry.answers, **facts},
        document=document,
    )


def _storable(answer: Any) -> Any:
    """The service's answer as the log can keep it; None where it is no JSON."""
    try:
        canonical_json(answer)
    except (ValueError, TypeError, RecursionError):
        return None
    return answer or None


def _ids_in(answer: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """The record ids of packet and transaction in the service's answer, where it gives them."""
    result = answer.get("result", answer) if isinstance(answer, Mapping) else None
    header = result.get("header") if isinstance(result, Mapping) else None
    if not isinstance(header, Mapping):
        return None, None
    ids = []
    for key in ("packet_rec_id", "trans_rec_id"):
        try:
            value = read_record_id(header.get(key), key)
        except PacketInvalidData:
            value = None
        ids.append(None if value is None else str(value))
    return ids[0], ids[1]
