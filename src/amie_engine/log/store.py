"""Reading the log, and appending to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from amie_engine.errors import ConcurrencyConflict, LogError
from amie_engine.log.canonical import canonical_json, digest, salted_digest
from amie_engine.log.chain import event_hash
from amie_engine.log.database import Cursor, Database, Statement
from amie_engine.log.events import CURRENT_SCHEMA, Event, NewEvent

__all__ = ["AcceptedPacket", "EventLog", "LogReader", "LogWriter", "format_time"]

_COLUMNS = (
    "position, stream, version, type, schema_version, recorded_at, hub, site, trans_rec_id, packet_rec_id,"
    " packet_type, sender, status, actor, facts"
)

_STREAM = Statement(f"SELECT {_COLUMNS} FROM amie_events WHERE stream = :stream ORDER BY version")  # noqa: S608 # no value is in it
_PAGE = Statement(
    f"SELECT {_COLUMNS} FROM amie_events WHERE position > :after ORDER BY position LIMIT :count"  # noqa: S608 # no value is in it
)
_ACCEPTED = Statement(
    "SELECT stream, packet_type, facts, document_salt FROM amie_events"
    " WHERE hub = :hub AND site = :site AND packet_rec_id = :packet_rec_id"
    " AND type IN ('packet_received', 'packet_confirmed', 'packet_adopted') AND packet_rec_id IS NOT NULL"
)
_DOCUMENT = Statement("SELECT document FROM amie_events WHERE stream = :stream AND version = :version")
_SALT = Statement("SELECT document_salt FROM amie_events WHERE stream = :stream AND version = :version")
_NOTED = Statement(
    "SELECT facts, document_salt FROM amie_events"
    " WHERE stream = :stream AND packet_rec_id = :packet_rec_id AND type = :type"
)
_HEAD = Statement("SELECT position, hash, recorded_at FROM amie_log_head WHERE id = 1")
_HEAD_LOCKED = Statement("SELECT position, hash, recorded_at FROM amie_log_head WHERE id = 1 FOR UPDATE")
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


def format_time(moment: datetime) -> str:
    """Return a moment as the log keeps it: UTC, microseconds, ``Z``; such texts sort by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


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
        return [Event(*row) for row in self.cursor.all(_STREAM, {"stream": stream})]

    def page(self, after: int, count: int) -> list[Event]:
        """Return up to ``count`` events behind a position, in order."""
        return [Event(*row) for row in self.cursor.all(_PAGE, {"after": after, "count": count})]

    def accepted(self, packet_rec_id: str) -> AcceptedPacket | None:
        """Return what the log knows of the packet with a record id that is part of a transaction."""
        row = self.cursor.one(_ACCEPTED, {"hub": self.hub, "site": self.site, "packet_rec_id": packet_rec_id})
        return None if row is None else AcceptedPacket(row[0], row[1], json.loads(row[2]), row[3])

    def noted(
        self, stream: str, packet_rec_id: str, event_type: str
    ) -> list[tuple[dict[str, Any], str | None]]:
        """Return facts and salt of the events of one type about a packet of a stream."""
        values = {"stream": stream, "packet_rec_id": packet_rec_id, "type": str(event_type)}
        return [(json.loads(facts), salt) for facts, salt in self.cursor.all(_NOTED, values)]

    def salt(self, stream: str, version: int) -> str | None:
        """Return the salt of an event's document, or None where it has none or it was erased."""
        row = self.cursor.one(_SALT, {"stream": stream, "version": version})
        return None if row is None else row[0]

    def document(self, stream: str, version: int) -> Any:
        """Return the document of an event, or None where it has none or it was erased."""
        row = self.cursor.one(_DOCUMENT, {"stream": stream, "version": version})
        return None if row is None or row[0] is None else json.loads(row[0])


class LogWriter(LogReader):
    """One appending transaction. Its events become visible together, or not at all.

    It holds the counter row from its beginning to its commit: what it reads of the log nobody changes
    meanwhile, on either database. Nobody else's work happens in between, so it is never held for long.

    Raises:
        LogError: The counter row is missing.
    """

    def __init__(self, log: EventLog, cursor: Cursor) -> None:
        super().__init__(log, cursor)
        self._clock = log.clock
        row = cursor.one(_HEAD_LOCKED if cursor.is_postgresql else _HEAD)
        if row is None:
            raise LogError(
                "The log's counter row is missing.", hint="Restore the database from its newest backup."
            )
        self._position, self._hash, self._newest = row
        self._appended = False
        self._failed = False

    def append(self, stream: str, version: int, new_events: Sequence[NewEvent]) -> list[Event]:
        """Append events to a stream whose newest version is ``version`` (0 for a new stream).

        If it raises, the whole transaction is lost, whoever catches the exception.

        Raises:
            ConcurrencyConflict: The stream has moved on, or a packet in the events is in the log already.
            ValueError: Facts or a document hold something that JSON has no text for.
        """
        try:
            recorded_at = max(format_time(self._clock()), self._newest)  # recorded time never goes back
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
        if self._appended:
            values = {"position": self._position, "hash": self._hash, "recorded_at": self._newest}
            self.cursor.run(_SET_HEAD, values)

    def _append(self, stream: str, version: int, recorded_at: str, new: NewEvent) -> Event:
        facts = canonical_json(new.facts)
        facts_digest = digest(facts)
        document = salt = document_digest = None
        if new.document is not None:
            document = canonical_json(new.document)
            salt = new.salt or token_hex(16)
            document_digest = salted_digest(salt, document)
        header = (
            self._position + 1,
            stream,
            version,
            str(new.type),
            CURRENT_SCHEMA[new.type],
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
        own_hash = event_hash(self._hash, header, facts_digest, document_digest)
        row = dict(zip(_HEADER, header, strict=True))
        row |= {"facts": facts, "facts_digest": facts_digest, "hash": own_hash}
        row |= {"document": document, "document_salt": salt, "document_digest": document_digest}
        if not self.cursor.insert(_INSERT, row):
            raise ConcurrencyConflict(
                f"Stream {stream} has moved on from version {version - 1}, or the log has packet"
                f" {new.packet_rec_id} already."
            )
        self._position, self._hash, self._newest, self._appended = header[0], own_hash, recorded_at, True
        return Event(*header, facts)


_HEADER = tuple(name.strip() for name in _COLUMNS.split(","))[:-1]


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

    @contextmanager
    def read(self) -> Iterator[LogReader]:
        """One state of the log to read from."""
        with self.database.read() as cursor:
            yield LogReader(self, cursor)

    @contextmanager
    def write(self) -> Iterator[LogWriter]:
        """One appending transaction, committed at the end of the block."""
        with self.database.write() as cursor:
            writer = LogWriter(self, cursor)
            yield writer
            writer.finish()

    def events(self, after: int = 0, *, page: int = 1000) -> Iterable[Event]:
        """Yield every event behind a position, in order, reading in pages of short transactions."""
        while True:
            with self.read() as reader:
                events = reader.page(after, page)
            yield from events
            if len(events) < page:
                return
            after = events[-1].position
