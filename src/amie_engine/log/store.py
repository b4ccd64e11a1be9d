"""Reading the log, and appending to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from amie_engine.errors import ConcurrencyConflict, LogError, SettingsError
from amie_engine.log.canonical import canonical_json, digest, new_salt, salted_digest
from amie_engine.log.chain import event_hash
from amie_engine.log.database import Database
from amie_engine.log.events import Event, NewEvent, current_schema, read_document, read_facts
from amie_engine.log.place import Place, place_of
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.whole import EVENT_COLUMNS, Head, WholeLog, read_head, read_stream

__all__ = [
    "CLOCKS_DIFFER_BY",
    "AcceptedPacket",
    "EventLog",
    "LogReader",
    "LogWriter",
    "format_time",
    "in_utc",
]

logger = logging.getLogger("amie_engine.log")

CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""How far two hosts' clocks may be apart without a word."""

_HEADER = EVENT_COLUMNS[:-1]
"""The columns that an event's hash covers as they are; the facts by their digest."""

_ACCEPTED = Statement(
    "SELECT stream, packet_type, document_salt, position, type, schema_version, facts FROM amie_events"
    " WHERE hub = :hub AND site = :site AND packet_rec_id = :packet_rec_id"
    " AND type IN ('packet_received', 'packet_confirmed', 'packet_adopted') AND packet_rec_id IS NOT NULL"
)
_DOCUMENT = Statement(
    "SELECT position, document FROM amie_events WHERE stream = :stream AND version = :version"
)
_SALT = Statement("SELECT document_salt FROM amie_events WHERE stream = :stream AND version = :version")
_NOTED = Statement(
    "SELECT document_salt, position, type, schema_version, facts FROM amie_events"
    " WHERE stream = :stream AND packet_rec_id = :packet_rec_id AND type = :type"
)
_SAVEPOINT = Statement("SAVEPOINT amie_part")
_KEEP = Statement("RELEASE SAVEPOINT amie_part")
_UNDO = Statement("ROLLBACK TO SAVEPOINT amie_part")
_HASH = Statement("SELECT hash FROM amie_events WHERE position = :position")
_SET_HEAD = Statement(
    "UPDATE amie_log_head SET position = :position, hash = :hash, recorded_at = :recorded_at WHERE id = 1"
)
_INSERT = Statement(
    "INSERT INTO amie_events (position, stream, version, type, schema_version, recorded_at, hub, site,"
    " trans_rec_id, packet_rec_id, packet_type, sender, status, actor, facts, facts_digest, document,"
    " document_salt, document_digest, hash)"
    " VALUES (:position, :stream, :version, :type, :schema_version, :recorded_at, :hub, :site,"
    " :trans_rec_id, :packet_rec_id, :packet_type, :sender, :status, :actor, :facts, :facts_digest,"
    " :document, :document_salt, :document_digest, :hash) ON CONFLICT DO NOTHING"
)


def in_utc(clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """Return a clock that tells the same in UTC: Python adds by the clock on the wall, which is an hour off
    across a change to or from summer time. A time without a zone is refused where it is kept."""

    def now() -> datetime:
        return _in_utc(clock())

    return now


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise SettingsError(
            "A time without a zone can't be kept.", hint="Give the engine a clock such as datetime.now(UTC)."
        )
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Return a moment as the log keeps it: UTC, microseconds, ``Z``; such texts sort by time.

    Raises:
        SettingsError: It has no zone: whoever gave it would mean another moment on another host.
    """
    return _in_utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class AcceptedPacket:
    """The event that made a packet part of its transaction. ``salt`` is None once its document is erased."""

    stream: str
    packet_type: str | None
    facts: dict[str, Any]
    salt: str | None


class LogReader:
    """What can be read of the log inside one transaction."""

    def __init__(self, log: EventLog, cursor: Cursor) -> None:
        self.cursor = cursor
        self.hub = log.hub
        self.site = log.site

    def stream(self, stream: str) -> list[Event]:
        """Return the events of a stream, oldest first."""
        return read_stream(self.cursor, stream)

    def accepted(self, packet_rec_id: str) -> AcceptedPacket | None:
        """Return what the log knows of the packet with a record id that is part of a transaction."""
        row = self.cursor.one(_ACCEPTED, {"hub": self.hub, "site": self.site, "packet_rec_id": packet_rec_id})
        return None if row is None else AcceptedPacket(row[0], row[1], read_facts(*row[3:]), row[2])

    def noted(
        self, stream: str, packet_rec_id: str, event_type: str
    ) -> list[tuple[dict[str, Any], str | None]]:
        """Return facts and salt of the events of one type about a packet of a stream."""
        values = {"stream": stream, "packet_rec_id": packet_rec_id, "type": str(event_type)}
        return [(read_facts(*row[1:]), row[0]) for row in self.cursor.all(_NOTED, values)]

    def salt(self, stream: str, version: int) -> str | None:
        """Return the salt of an event's document, or None where it has none or it was erased."""
        row = self.cursor.one(_SALT, {"stream": stream, "version": version})
        return None if row is None else row[0]

    def document(self, stream: str, version: int) -> Any:
        """Return the document of an event, or None where it has none or it was erased."""
        row = self.cursor.one(_DOCUMENT, {"stream": stream, "version": version})
        return None if row is None or row[1] is None else read_document(*row)


class LogWriter(LogReader):
    """One appending transaction. Its events become visible together, or not at all.

    It holds the counter row from its beginning to its commit: what it reads of the log nobody changes
    meanwhile, on either database. Nobody else's work happens in between, so it is never held for long.

    ``head`` is the newest event as this transaction has it; ``has_appended`` tells whether that is its own.

    Raises:
        LogError: The counter row is missing.
    """

    def __init__(self, log: EventLog, cursor: Cursor) -> None:
        super().__init__(log, cursor)
        self._log = log
        self.head = read_head(cursor, locked=True)
        self.has_appended = False
        self._failed = False

    def append(self, stream: str, version: int, new_events: Sequence[NewEvent]) -> list[Event]:
        """Append events to a stream whose newest version is ``version`` (0 for a new stream).

        If it raises, the whole transaction is lost, whoever catches the exception.

        Raises:
            ConcurrencyConflict: The stream has moved on, or a packet in the events is in the log already.
            ValueError: Facts or a document hold something that JSON has no text for.
        """
        try:
            recorded_at = self._log.time_to_record(self.head)
            return [
                self._append(stream, version + index, recorded_at, new)
                for index, new in enumerate(new_events, 1)
            ]
        except BaseException:
            self._failed = True
            raise

    def finish(self) -> None:
        """Write the counter back; the last statement before the commit.

        Raises:
            LogError: An append failed, and the transaction was carried on all the same.
        """
        if self._failed:
            raise LogError(
                "An append in this transaction failed, so that it can't be committed.",
                hint="Nothing of it was written.",
            )
        if self.has_appended:
            head = self.head
            values = {"position": head.position, "hash": head.hash, "recorded_at": head.recorded_at}
            self.cursor.run(_SET_HEAD, values)

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """A part of the transaction that is undone alone if the block raises; the rest of it can go on."""
        before = self.head, self.has_appended, self._failed
        self.cursor.run(_SAVEPOINT)
        try:
            yield
        except BaseException:
            self.cursor.run(_UNDO)
            self.head, self.has_appended, self._failed = before
            raise
        self.cursor.run(_KEEP)

    def _append(self, stream: str, version: int, recorded_at: str, new: NewEvent) -> Event:
        facts = canonical_json(new.facts)
        facts_digest = digest(facts)
        document = salt = document_digest = None
        if new.document is not None:
            document = canonical_json(new.document) if new.text is None else new.text
            salt = new.salt or new_salt()
            document_digest = salted_digest(salt, document)
        header = (
            self.head.position + 1,
            stream,
            version,
            str(new.type),
            current_schema(new.type),
            recorded_at,
            self.hub,
            self.site,
            new.trans_rec_id,
            new.packet_rec_id,
            new.packet_type,
            None if new.sender is None else str(new.sender),
            new.status,
            new.actor,
        )
        own_hash = event_hash(self.head.hash, header, facts_digest, document_digest)
        row = dict(zip(_HEADER, header, strict=True))
        row |= {"facts": facts, "facts_digest": facts_digest, "hash": own_hash}
        row |= {"document": document, "document_salt": salt, "document_digest": document_digest}
        if not self.cursor.insert(_INSERT, row):
            raise ConcurrencyConflict(
                f"Stream {stream} has moved on from version {version - 1}, or the log has packet"
                f" {new.packet_rec_id} already."
            )
        self.head, self.has_appended = Head(header[0], own_hash, recorded_at), True
        return Event(*header, facts)


class EventLog:
    """The log of one site at one hub.

    Args:
        database: Where it lives.
        hub: A name for the central service; sandbox, test and production services number alike, so that each
            needs a name of its own in one log.
        site: The site's AMIE name.
        clock: Gives the time, with zone.
    """

    def __init__(self, database: Database, *, hub: str, site: str, clock: Callable[[], datetime]) -> None:
        self.database = database
        self.hub = hub
        self.site = site
        self.clock = clock
        self.whole = WholeLog(database)
        self._clock_is_told_of = False

    @cached_property
    def log_id(self) -> str:
        """The log's random name."""
        return self.whole.log_id()

    @cached_property
    def place(self) -> Place:
        """Where its tables are."""
        with self.database.read() as cursor:
            return place_of(cursor)

    def time_to_record(self, head: Head) -> str:
        """Return the time for the next event. It never goes back: a clock that is behind the newest event
        gives that event's, and one that is far behind is warned of, once until it is right again.

        Args:
            head: The newest event.
        """
        now = self.clock()
        told = format_time(now)
        if told >= head.recorded_at:
            self._clock_is_told_of = False
            return told
        if not self._clock_is_told_of and format_time(now + CLOCKS_DIFFER_BY) < head.recorded_at:
            self._clock_is_told_of = True
            logger.warning(
                "The clock says %s, and the newest event was recorded at %s: the clock has gone back, or was"
                " ahead before. Until it gets there, events are recorded at that time. Set it right.",
                told,
                head.recorded_at,
            )
        return head.recorded_at

    @contextmanager
    def read(self) -> Iterator[LogReader]:
        """One state of the log to read from."""
        with self.database.read() as cursor:
            yield LogReader(self, cursor)

    @contextmanager
    def write(self) -> Iterator[LogWriter]:
        """One appending transaction, committed at the end of the block.

        Raises:
            CommitInDoubt: The connection broke at the commit; `has` tells whether it was done.
        """
        with self.database.write() as cursor:
            writer = LogWriter(self, cursor)
            yield writer
            writer.finish()

    def has(self, writer: LogWriter) -> bool:
        """Tell whether an appending transaction whose commit was in doubt has committed.

        It held the counter row until its end, whatever that was: once the row is ours, it has ended. No other
        event has its hash.

        Raises:
            LogError: The database can't be used.
        """
        if not writer.has_appended:
            return False
        with self.database.write() as cursor:
            read_head(cursor, locked=True)
            row = cursor.one(_HASH, {"position": writer.head.position})
        return row is not None and row[0] == writer.head.hash
