"""One unit of work on the log: load states, append events, project them, commit once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from amie_engine.engine.directory import Directory
from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.incoming import Incoming
from amie_engine.engine.projections import project, project_quarantine
from amie_engine.engine.source import Unusable
from amie_engine.engine.state import TransactionState
from amie_engine.errors import (
    CommitInDoubt,
    ConcurrencyConflict,
    ConnectionLost,
    LogError,
    TransactionNotFound,
)
from amie_engine.log.canonical import salted_digest
from amie_engine.log.events import Event, NewEvent
from amie_engine.log.statements import Statement
from amie_engine.log.store import EventLog, LogReader, LogWriter

__all__ = ["KnownItem", "UnitOfWork", "View", "in_unit", "storable"]

T = TypeVar("T")

_ATTEMPTS = 10
_LOSSES = 2

_BY_WIRE_ID = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND trans_rec_id = :trans_rec_id"
)
_BY_RECORD_ID = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND record_id = :record_id"
    " AND type = 'request_project_create' AND stream <> :but ORDER BY opened_position"
)
_BY_STREAM = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND stream = :stream"
)
_ELSEWHERE = Statement(
    "SELECT hub, site FROM amie_transactions WHERE trans_rec_id = :name OR stream = :name ORDER BY hub, site"
)
_STARTED = Statement(
    "SELECT t.stream FROM amie_transactions t JOIN amie_outbox o ON o.stream = t.stream"
    " WHERE t.hub = :hub AND t.site = :site AND t.trans_rec_id IS NULL"
    " AND o.answers = 'start' AND o.packet_type = :packet_type AND o.attempts > 0"
    " ORDER BY t.opened_position"
)
_QUARANTINED = Statement(
    "SELECT q.stream, q.status, q.content, e.document_salt, q.trans_rec_id, q.packet_rec_id, q.packet_type"
    " FROM amie_quarantine q"
    " JOIN amie_events e ON e.stream = q.stream AND e.version = 1"
    " WHERE q.hub = :hub AND q.site = :site AND q.content_size = :content_size ORDER BY q.stream"
)
_UNUSED_PACKET = Statement(
    "SELECT stream FROM amie_quarantine WHERE hub = :hub AND site = :site"
    " AND packet_rec_id = :packet_rec_id AND status = 'quarantined' ORDER BY stream"
)
_UNUSED = Statement(
    "SELECT 1 FROM amie_quarantine WHERE hub = :hub AND site = :site AND trans_rec_id = :trans_rec_id"
    " AND status = 'quarantined' LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class KnownItem:
    """Something that is, or was, in quarantine."""

    quarantine_id: str
    released: bool


class View:
    """What can be read of the log and its projections inside one transaction."""

    def __init__(self, reader: LogReader) -> None:
        self.reader = reader
        self.cursor = reader.cursor
        self._key = {"hub": reader.hub, "site": reader.site}
        self._same_record: dict[tuple[str, str], list[str]] = {}
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
        name = storable(str(trans_rec_id))
        stream = self.find(name)
        if stream is None:
            row = self.cursor.one(_BY_STREAM, self._key | {"stream": name})
            if row is None:
                raise self._not_found(name)
            stream = row[0]
        return self.state(stream)

    def _not_found(self, name: str) -> TransactionNotFound:
        message = (
            f"The log has no transaction {name[:60]} of site {self.reader.site} at hub {self.reader.hub}."
        )
        others = [f"--hub {hub} --site {site}" for hub, site in self.cursor.all(_ELSEWHERE, {"name": name})]
        if not others:
            return TransactionNotFound(message)
        return TransactionNotFound(
            message,
            hint=f"It has one for {' and for '.join(others)}: name these; in Python, open the engine with"
            " `hub=` and `site=`.",
        )

    def with_record_id(self, record_id: str, *, but: str) -> list[TransactionState]:
        """Return the transactions of project requests with a RecordID, oldest first, but for one stream."""
        return [self.state(stream) for stream in self._streams_with(record_id, but)]

    def _streams_with(self, record_id: str, but: str) -> list[str]:
        """They are asked for several times, and what is read in one transaction stays as it is."""
        found = self._same_record.get((record_id, but))
        if found is None:
            rows = self.cursor.all(_BY_RECORD_ID, self._key | {"record_id": record_id, "but": but})
            found = self._same_record[record_id, but] = [row[0] for row in rows]
        return found

    def sent_by(self, state: TransactionState) -> dict[str, Mapping[str, Any]]:
        """Return the bodies of what the outbox of a transaction has sent and no listing has shown, by what
        they answer; an erased one as an empty body."""
        sent = {}
        for entry in state.outbox:
            if entry.may_be_listed:
                document = self.reader.document(state.stream, entry.decided_version)
                sent[entry.answers] = document["body"] if document else {}
        return sent

    def started_without_wire_id(self, packet_type: str) -> list[str]:
        """Return the streams of transactions that the site began with a packet of this type, which was sent
        and whose wire id is not known yet; oldest first."""
        return [row[0] for row in self.cursor.all(_STARTED, self._key | {"packet_type": packet_type})]

    def quarantined(self, item: Incoming | Unusable) -> KnownItem | None:
        """Return what is known of something that was put into quarantine.

        The digests that the log keeps are salted, each with a salt of its own, so that nobody can test a
        guess once the salt is erased; only what is of one size can be the same. Of what was erased, its size,
        its type and its record ids are left to go by: else the next poll would bring it all back.
        """
        values = self._key | {"content_size": len(item.identity)}
        place = (item.trans_rec_id, item.packet_rec_id, item.packet_type)
        for stream, status, content, salt, *its_place in self.cursor.all(_QUARANTINED, values):
            was_erased = salt is None
            if place == tuple(its_place) if was_erased else content == salted_digest(salt, item.identity):
                return KnownItem(stream, status == "released")
        return None

    def quarantined_as(self, packet_rec_id: str) -> list[str]:
        """Return the quarantine ids of what is in quarantine under a packet's record id."""
        rows = self.cursor.all(_UNUSED_PACKET, self._key | {"packet_rec_id": packet_rec_id})
        return [row[0] for row in rows]

    def has_quarantined(self, trans_rec_id: str | None) -> bool:
        """Tell whether something of a transaction is in quarantine."""
        return self.cursor.one(_UNUSED, self._key | {"trans_rec_id": trans_rec_id}) is not None


class UnitOfWork(View):
    """A `View` that can append."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(writer)
        self._writer = writer

    @property
    def log_time(self) -> str:
        """When the newest event was recorded: the next one is not recorded before."""
        return self._writer.head.recorded_at

    def append(self, state: TransactionState, events: Sequence[NewEvent]) -> TransactionState:
        """Append events to a transaction, project them, and return the state after them.

        Raises:
            ConcurrencyConflict: Somebody else changed the transaction.
        """
        appended = self._writer.append(state.stream, state.version, [_storable(event) for event in events])
        if any(but != state.stream for _, but in self._same_record):
            self._same_record.clear()  # another transaction than theirs has changed
        for event in appended:
            before, state = state, evolve(state, event)
            project(self.cursor, before, state, event)
        return state

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """A part of the unit that is undone alone if the block raises; the rest of it can go on."""
        try:
            with self._writer.undoable():
                yield
        except BaseException:
            self._same_record.clear()
            raise

    def append_quarantine(self, stream: str, version: int, event: NewEvent) -> Event:
        """Append an event about something in quarantine, and project it."""
        [appended] = self._writer.append(stream, version, [event])
        project_quarantine(self.cursor, appended)
        return appended

    def append_erasure(self, stream: str, events: Sequence[NewEvent]) -> None:
        """Append the events that tell of an erasing; they change no projection."""
        self._writer.append(stream, 0, events)


def _storable(event: NewEvent) -> NewEvent:
    actor = storable(event.actor)
    return event if actor == event.actor else replace(event, actor=actor)


def storable(text: str) -> str:
    """Return a text of the site's own (a reason, say) as every database can hold it: a NUL or half a
    character, as in the name of an odd file, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")


def in_unit(log: EventLog, work: Callable[[UnitOfWork], T]) -> T:
    """Run a function in one appending transaction; again from the start where somebody else was faster.

    Also once again where the connection was lost. Before the commit nothing has been written then; after it,
    the log itself tells whether it has.

    Raises:
        ConcurrencyConflict: Somebody else was faster every time.
        ConnectionLost: It was lost a second time.
        CommitInDoubt: It was lost at the commit, and the log can't be asked any more.
    """
    conflicts = losses = 0
    while True:
        try:
            with log.write() as writer:
                result = work(UnitOfWork(writer))
        except ConcurrencyConflict:
            conflicts += 1
            if conflicts == _ATTEMPTS:
                raise
        except (ConnectionLost, CommitInDoubt) as error:
            if isinstance(error, CommitInDoubt) and _has_committed(log, writer, error):
                return result
            losses += 1
            if losses == _LOSSES:
                raise ConnectionLost(error.message) from error
        else:
            return result


def _has_committed(log: EventLog, writer: LogWriter, doubt: CommitInDoubt) -> bool:
    try:
        return log.has(writer)
    except LogError as error:
        raise doubt from error
