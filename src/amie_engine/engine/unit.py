"""One unit of work on the log: load states, append events, project them, commit once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from amie_engine.engine.directory import Directory
from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.projections import project, project_quarantine
from amie_engine.engine.state import TransactionState
from amie_engine.errors import ConcurrencyConflict, TransactionNotFound
from amie_engine.log.database import Statement
from amie_engine.log.events import Event, NewEvent
from amie_engine.log.store import EventLog, LogReader, LogWriter

__all__ = ["UnitOfWork", "View", "in_unit"]

T = TypeVar("T")

_ATTEMPTS = 10

_BY_WIRE_ID = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND trans_rec_id = :trans_rec_id"
)
_BY_RECORD_ID = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND record_id = :record_id"
    " AND type = 'request_project_create' AND opened_position < :before ORDER BY opened_position"
)
_STARTED = Statement(
    "SELECT stream FROM amie_outbox WHERE hub = :hub AND site = :site AND answers = 'start'"
    " AND packet_type = :packet_type AND status IN ('attempting', 'confirmed')"
)
_UNBOUND = Statement("SELECT 1 FROM amie_transactions WHERE stream = :stream AND trans_rec_id IS NULL")
_QUARANTINED = Statement(
    "SELECT stream FROM amie_quarantine WHERE hub = :hub AND site = :site AND sha256 = :sha256"
)


class View:
    """What can be read of the log and its projections inside one transaction."""

    def __init__(self, reader: LogReader) -> None:
        self.reader = reader
        self.cursor = reader.cursor
        self._key = {"hub": reader.hub, "site": reader.site}
        self.directory = Directory(reader.cursor, reader.hub, reader.site)

    def find(self, trans_rec_id: str) -> str | None:
        """Return the stream of the transaction with a wire id."""
        row = self.cursor.one(_BY_WIRE_ID, self._key | {"trans_rec_id": trans_rec_id})
        return None if row is None else row[0]

    def state(self, stream: str) -> TransactionState:
        """Return the state of a transaction."""
        return fold(stream, self.reader.stream(stream))

    def require(self, trans_rec_id: int | str) -> TransactionState:
        """Return the state of the transaction with a wire id, or with a stream of ours.

        Raises:
            TransactionNotFound: There is none.
        """
        name = str(trans_rec_id)
        stream = self.find(name) or name
        state = self.state(stream)
        if state.version == 0:
            raise TransactionNotFound(f"The log of {self.reader.site} has no transaction {name[:60]}.")
        return state

    def with_record_id(self, record_id: str, before: int) -> list[TransactionState]:
        """Return the project requests with a RecordID that came before a position, oldest first."""
        rows = self.cursor.all(_BY_RECORD_ID, self._key | {"record_id": record_id, "before": before})
        return [self.state(row[0]) for row in rows]

    def started_without_wire_id(self, packet_type: str) -> list[str]:
        """Return the streams of transactions that the site began with a packet of this type and whose wire id
        is not known yet."""
        rows = self.cursor.all(_STARTED, self._key | {"packet_type": packet_type})
        return [row[0] for row in rows if self.cursor.one(_UNBOUND, {"stream": row[0]})]

    def quarantined(self, sha256: str) -> str | None:
        """Return the quarantine id of what has these bytes."""
        row = self.cursor.one(_QUARANTINED, self._key | {"sha256": sha256})
        return None if row is None else row[0]


class UnitOfWork(View):
    """A `View` that can append."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(writer)
        self._writer = writer

    def append(self, state: TransactionState, events: Sequence[NewEvent]) -> TransactionState:
        """Append events to a transaction, project them, and return the state after them.

        Raises:
            ConcurrencyConflict: Somebody else changed the transaction.
        """
        appended = self._writer.append(state.stream, state.version, events)
        for event in appended:
            before, state = state, evolve(state, event)
            project(self.cursor, before, state, event)
        return state

    def append_quarantine(self, stream: str, version: int, event: NewEvent) -> Event:
        """Append an event about something in quarantine, and project it."""
        [appended] = self._writer.append(stream, version, [event])
        project_quarantine(self.cursor, appended)
        return appended


def in_unit(log: EventLog, work: Callable[[UnitOfWork], T]) -> T:
    """Run a function in one appending transaction; again from the start where somebody else was faster.

    Raises:
        ConcurrencyConflict: Somebody else was faster every time.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with log.write() as writer:
                return work(UnitOfWork(writer))
        except ConcurrencyConflict:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
