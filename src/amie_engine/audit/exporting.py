"""Export: all events with all their columns, as JSON Lines or Parquet.

What it takes of memory does not grow with the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from amie_engine.audit.export_format import End, Header, row_problem
from amie_engine.audit.new_file import new_file
from amie_engine.audit.parquet import ParquetWriter
from amie_engine.audit.redaction import Redaction
from amie_engine.audit.sources import is_export
from amie_engine.engine.shadow import Progress
from amie_engine.errors import ConcurrencyConflict, LogError
from amie_engine.log.database import Database
from amie_engine.log.statements import Statement
from amie_engine.log.whole import STORED_COLUMNS, WholeLog

__all__ = ["Exported", "Format", "export", "format_of"]

Format = Literal["jsonl", "parquet"]

_STEP = 1000
"""How many events are written between two tellings of the progress."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False).encode
_HASH = STORED_COLUMNS.index("hash")

_STAGED = Statement("SELECT count(*) FROM amie_staged")
_ERASED_SINCE = Statement(
    "SELECT 1 FROM amie_events WHERE position > :position AND type = 'documents_erased' LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds.

    Attributes:
        count: How many events.
        first_position: The first one's position, and
        last_position: the last one's, and
        last_hash: its hash; None where there is none.
        redacted: Whether it has pseudonyms in place of what is personal.
        staged: How many calls wait in the database, staged and not carried out: no event tells of them yet.
    """

    count: int
    first_position: int | None
    last_position: int | None
    last_hash: str | None
    redacted: bool
    staged: int


def format_of(file: Path) -> Format:
    """Return the format that a file's name means."""
    return "parquet" if file.suffix.lower() == ".parquet" else "jsonl"


def export(
    database: Database,
    to: Path | BinaryIO,
    *,
    format: Format | None = None,
    after: int = 0,
    until: int | None = None,
    redact: bool = False,
    replace: bool = False,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write the events of a log, as the log is now: what others append meanwhile is not in it.

    Args:
        database: The log's database.
        to: A file, which appears once it is whole; or something open for writing bytes, which is not closed.
        format: ``jsonl`` or ``parquet``; without one, what the file's name means.
        after: Begin behind this position.
        until: End with this position, or with the newest.
        redact: Put pseudonyms in place of what is personal.
        replace: Whether the file may take the place of an earlier export, or of an empty file.
        progress: Called with how many events are written, and how many there are.

    Raises:
        FileNotWritten: The file can't be written, or is there already.
        DependencyMissing: Parquet needs pyarrow.
        ConcurrencyConflict: Documents were erased meanwhile; nothing was written.
        LogError: The database can't be used, or an event is missing.
        ValueError: The range ends before it begins.
    """
    if until is not None and until < after:
        raise ValueError("The range ends before it begins.")
    log = WholeLog(database)
    newest = log.head()
    header = Header(after + 1, newest.position if until is None else min(until, newest.position), redact)
    redaction = Redaction(log.log_id()) if redact else None
    form = format or (format_of(to) if isinstance(to, Path) else "jsonl")
    write = ParquetWriter if form == "parquet" else _LinesWriter
    with _opened(to, replace=replace) as stream, closing(write(stream, header)) as writer:
        end = End(0, None, None)
        total = max(0, header.last_position - after)
        for row in _rows(log, after, header.last_position):
            end = End(end.count + 1, row[0], row[_HASH])
            writer.write(row if redaction is None else redaction.row(row))
            if end.count % _STEP == 0:
                progress(end.count, total)
        with database.read() as cursor:
            staged = int(cursor.one(_STAGED)[0])
            # They are gone from events that were read since; the event that tells so may not be among them.
            if cursor.one(_ERASED_SINCE, {"position": newest.position}) is not None:
                raise ConcurrencyConflict(
                    "Documents were erased from the log while it was exported.", hint="Export it again."
                )
        writer.finish(end)
        progress(end.count, total)
    first = after + 1 if end.count else None
    return Exported(end.count, first, end.last_position, end.last_hash, redact, staged)


@contextmanager
def _opened(to: Path | BinaryIO, *, replace: bool) -> Iterator[BinaryIO]:
    if isinstance(to, Path):
        with (
            new_file(
                to, may_replace=_may_replace if replace else None, hint=_hint(replace=replace)
            ) as temporary,
            temporary.open("wb") as stream,
        ):
            yield stream
    else:
        yield to
        to.flush()


def _may_replace(file: Path) -> bool:
    return file.stat().st_size == 0 or is_export(file)


def _hint(*, replace: bool) -> str:
    if replace:
        return "It is as it was, since it is no export, which alone is replaced: give another name."
    return "It is as it was: give another name, or replace an earlier export with --force."


def _rows(log: WholeLog, after: int, until: int) -> Iterator[tuple[Any, ...]]:
    """The events, each behind the one before it."""
    expected = after + 1
    for row in log.rows(after, until):
        problem = row_problem(row) if row[0] == expected else "it is missing"
        if problem is not None:
            raise _broken(expected, problem)
        yield row
        expected += 1
    if expected <= until:
        raise _broken(expected, "it is missing")


def _broken(position: int, problem: str) -> LogError:
    return LogError(
        f"The event at position {position} can't be exported: {problem}.",
        hint="Find out what else is wrong with `amie-engine verify`.",
    )


class _LinesWriter:
    """JSON Lines: an object a line."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._write(header.as_json())

    def write(self, row: tuple[Any, ...]) -> None:
        self._write(dict(zip(STORED_COLUMNS, row, strict=True)))

    def finish(self, end: End) -> None:
        self._write(end.as_json())

    def close(self) -> None:
        """There is nothing to complete."""

    def _write(self, value: dict[str, Any]) -> None:
        self._stream.write(f"{_encode(value)}\n".encode("ascii"))
