"""Import: an exported log, or that of another database, bit for bit into an empty log, in one transaction.

Every event is checked while it goes in: position, version, digests, and its hash over all before it. So what
was imported is what was exported, or nothing is there.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, inspect

from amie_engine.audit.export_format import End, row_problem
from amie_engine.audit.sources import Source, open_source
from amie_engine.engine.folding import Folder
from amie_engine.engine.late_projection import LateProjection
from amie_engine.engine.shadow import Progress
from amie_engine.errors import (
    DatabaseSchemaMissing,
    EventUnreadable,
    ExportPartial,
    ExportRedacted,
    ExportUnreadable,
    LogNotEmpty,
)
from amie_engine.log.canonical import digest, salted_digest
from amie_engine.log.chain import GENESIS, event_hash
from amie_engine.log.database import Database
from amie_engine.log.events import Event
from amie_engine.log.failures import about_values
from amie_engine.log.migrate import migrate_within
from amie_engine.log.schema import VERSION_TABLE, metadata
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import format_time
from amie_engine.log.whole import EVENT_COLUMNS, STORED_COLUMNS, read_head, read_stream

__all__ = ["Imported", "import_log"]

_BATCH = 1000
_STREAMS = 20_000
"""The versions of how many streams are kept in memory: far more than a batch has events."""

_HEADER = len(EVENT_COLUMNS) - 1
_VERSION = STORED_COLUMNS.index("version")
_STREAM = STORED_COLUMNS.index("stream")
_RECORDED_AT = STORED_COLUMNS.index("recorded_at")

_INSERT = Statement(
    f"INSERT INTO amie_events ({', '.join(STORED_COLUMNS)})"  # noqa: S608 # our own names
    f" VALUES ({', '.join(f':{name}' for name in STORED_COLUMNS)})"
)
_NEWEST_OF = Statement("SELECT max(version) FROM amie_events WHERE stream = :stream")
_ANY = Statement("SELECT 1 FROM amie_events LIMIT 1")
_SET_HEAD = Statement(
    "UPDATE amie_log_head SET position = :position, hash = :hash, recorded_at = :recorded_at WHERE id = 1"
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has brought.

    Attributes:
        count: How many events, from position 1 on.
        last_hash: The last one's hash; empty where there is none.
        made_tables: Whether the database had no tables of ours before.
    """

    count: int
    last_hash: str
    made_tables: bool


def import_log(
    database: Database,
    source: Path | BinaryIO | Database,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Take a whole log into a database whose own is empty. In a database without any tables, ours are made.

    Everything happens in one transaction: if it raises, the database is as it was.

    Args:
        database: Where the log is to be.
        source: An export, as a file or open for reading; or the database of another log, into which nobody
            may write meanwhile.
        progress: Called with how many events have come, and how many there are.

    Raises:
        LogNotEmpty: The database has events already.
        DatabaseSchemaMissing: It has tables, and none of ours: it may be another application's.
        ExportUnreadable: The source is no export, was cut off, or an event in it is not what was appended.
        ExportRedacted, ExportPartial: It is no whole log.
        StagedCallsWaiting: The source is a database where calls wait to be carried out.
        ConcurrencyConflict: Somebody has written into the source meanwhile.
        EventUnreadable: This release does not know an event.
        DependencyMissing: A Parquet file needs pyarrow.
        LogError: One of the databases can't be used.
    """
    name, opened = open_source(source)
    with closing(opened):
        header = opened.header
        if header.redacted:
            raise ExportRedacted(f"{name} is redacted: what it hides can't be brought back.")
        if header.first_position != 1:
            raise ExportPartial(f"{name} begins with position {header.first_position}.")
        with database.made_or_absent(), database.connection(writing=True) as connection:
            _refuse_others(connection, database)
            made = migrate_within(connection, database)
            driver: Any = connection.connection.dbapi_connection
            with closing(Cursor(driver, connection.dialect)) as cursor:
                last = _Import(cursor, name).run(opened, progress)
    database.keep_write_ahead_log()
    return Imported(last.count, last.last_hash or GENESIS, made)


def _refuse_others(connection: Connection, database: Database) -> None:
    """Only `migrate`, which says so, puts our tables beside those of others."""
    there = set(inspect(connection).get_table_names())
    if there and not there & {VERSION_TABLE, *metadata.tables}:
        raise DatabaseSchemaMissing(
            f"The database {database.url} has tables, and none of amie-engine's.",
            hint="Nothing was changed. If the log is to stand beside them, make its tables with"
            " `amie-engine migrate`, and import then.",
        )


class _Import:
    def __init__(self, cursor: Cursor, name: str) -> None:
        self._cursor = cursor
        self._name = name
        self._folder = Folder(self._events_of)
        self._projection = LateProjection(cursor)
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._batch: list[tuple[Any, ...]] = []
        self._position = 0
        self._hash = GENESIS
        self._recorded_at = ""

    def run(self, source: Source, progress: Progress) -> End:
        head = read_head(self._cursor, locked=True)
        if head.position or self._cursor.one(_ANY) is not None:
            raise LogNotEmpty(f"The log to import into has events already, up to position {head.position}.")
        for row in source.rows():
            self._take(row)
            if len(self._batch) == _BATCH:
                self._insert()
                progress(self._position, source.header.last_position)
        self._insert()
        self._projection.write()
        progress(self._position, source.header.last_position)
        end = self._end(source)
        values = {"position": self._position, "hash": self._hash, "recorded_at": self._recorded_at}
        self._cursor.run(_SET_HEAD, values)
        return end

    def _take(self, row: tuple[Any, ...]) -> None:
        problem = row_problem(row) or self._problem(row)
        if problem is not None:
            raise ExportUnreadable(
                f"{self._name} is damaged: the event at position {self._position + 1} is not as it was"
                f" appended, for {problem}."
            )
        self._position, self._hash, self._recorded_at = row[0], row[-1], row[_RECORDED_AT]
        self._batch.append(row)
        event = Event(*row[: len(EVENT_COLUMNS)])
        event.check_readable()
        try:
            self._projection.take(self._folder.fold(event))
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError, EventUnreadable) as error:
            raise ExportUnreadable(
                f"{self._name} is damaged: no amie-engine wrote the event at position {self._position}."
            ) from error

    def _problem(self, row: tuple[Any, ...]) -> str | None:
        """Why an event is not what the log would have appended behind the one before it, in a phrase."""
        *header, facts, facts_digest, document, salt, document_digest, own_hash = row
        stream, version = row[_STREAM], row[_VERSION]
        if row[0] != self._position + 1:
            return f"its position is {row[0]}"
        if not _is_time(row[_RECORDED_AT]):
            return "its time is none"
        if row[_RECORDED_AT] < self._recorded_at:
            return "its time is before that of the event before it"
        if version != self._newest_version(stream) + 1:
            return "its version does not follow that of the event before it in its stream"
        if not facts.isascii() or digest(facts) != facts_digest:
            return "its facts do not fit their digest"
        if (document is None) != (salt is None):
            return "it has a document without a salt, or a salt without a document"
        if document is not None and not (document.isascii() and salt.isascii()):
            return "its document does not fit its digest"
        if document is not None and salted_digest(salt, document) != document_digest:
            return "its document does not fit its digest"
        if event_hash(self._hash, tuple(header), facts_digest, document_digest) != own_hash:
            return "its hash does not fit"
        self._versions[stream] = version
        if len(self._versions) > _STREAMS:
            self._versions.popitem(last=False)
        return None

    def _newest_version(self, stream: str) -> int:
        known = self._versions.pop(stream, None)
        # What is not in memory any more is in the table: a batch has fewer events than memory has streams.
        return int(self._cursor.one(_NEWEST_OF, {"stream": stream})[0] or 0) if known is None else known

    def _events_of(self, stream: str) -> list[Event]:
        self._insert()
        return read_stream(self._cursor, stream)

    def _insert(self) -> None:
        if not self._batch:
            return
        try:
            rows = (dict(zip(STORED_COLUMNS, row, strict=True)) for row in self._batch)
            self._cursor.run_many(_INSERT, rows)
        except Exception as error:
            if not about_values(error):
                raise
            raise ExportUnreadable(
                f"{self._name} is damaged: an event between the positions {self._batch[0][0]} and"
                f" {self._batch[-1][0]} has a packet that an event before it has."
            ) from error
        self._batch.clear()

    def _end(self, source: Source) -> End:
        """Check what came against what should have come."""
        end = source.end()
        if end is None:
            raise ExportUnreadable(
                f"{self._name} is no whole export: it was cut off after position {self._position}."
            )
        if end != End(self._position, self._position or None, self._hash or None):
            raise ExportUnreadable(f"{self._name} is damaged: it has other events than its end says.")
        if source.header.last_position != self._position:
            raise ExportUnreadable(f"{self._name} is damaged: it has other events than its beginning says.")
        return end


def _is_time(text: str) -> bool:
    """Whether a text is a time as the log keeps it."""
    try:
        return format_time(datetime.fromisoformat(text)) == text
    except (ValueError, OverflowError):
        return False
