"""Where an import takes its events from: a file, standard input, or the database of another log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from amie_engine.audit.export_format import End, Header
from amie_engine.audit.parquet import MAGIC, ParquetReader
from amie_engine.errors import ConcurrencyConflict, ExportUnreadable, StagedCallsWaiting
from amie_engine.log.database import Database
from amie_engine.log.migrate import check_schema
from amie_engine.log.statements import Statement
from amie_engine.log.whole import STORED_COLUMNS, WholeLog

__all__ = ["LinesReader", "LogReader", "Source", "is_export", "open_source"]

_STAGED = Statement("SELECT count(*) FROM amie_staged")

_NO_EXPORTS = {
    b"SQLite format 3\x00": ("a SQLite database", "Give its URL as the source: sqlite:///FILE."),
    b"\x1f\x8b": ("packed", "Unpack it on its way: gzip -dc FILE | amie-engine import -"),
}
"""What is given for an export, by how it begins: what it is, and what to give instead."""


class Source(Protocol):
    """Events to import, with what an export says of them."""

    @property
    def header(self) -> Header:
        """What is to come."""

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the events, with all their columns."""

    def end(self) -> End | None:
        """Return what should have come, once all has; None where that is not known, since it was cut off."""

    def close(self) -> None:
        """Close what was opened for it."""


def open_source(source: Path | BinaryIO | Database) -> tuple[str, Source]:
    """Return what to call a source, and the source.

    Args:
        source: A file, in either form; something open for reading bytes, as JSON Lines; or a log's database.

    Raises:
        ExportUnreadable: It is no export, or damaged from its beginning.
        DependencyMissing: It is a Parquet file, and pyarrow is not installed.
        LogError: The database has no log of this release, or calls that are staged wait in it.
    """
    if isinstance(source, Database):
        return f"The log in {source.url}", LogReader(source)
    if not isinstance(source, Path):
        return "The input", LinesReader(source, "The input")
    name = f"The file {source}"
    try:
        stream = source.open("rb")
        is_parquet = stream.read(len(MAGIC)) == MAGIC
        stream.seek(0)
    except OSError as error:
        raise ExportUnreadable(f"{name} can't be read: {error.strerror}.", hint="Check its name.") from error
    if is_parquet:
        stream.close()
        return name, ParquetReader(source, name)
    try:
        return name, LinesReader(stream, name, owned=True)
    except BaseException:
        stream.close()
        raise


def is_export(file: Path) -> bool:
    """Tell whether a file is an export of a log, or the beginning of one.

    Raises:
        DependencyMissing: It is a Parquet file, and pyarrow is not installed.
    """
    try:
        _, opened = open_source(file)
    except ExportUnreadable:
        return False
    opened.close()
    return True


class LinesReader:
    """Reads an export of JSON Lines.

    Args:
        stream: Gives its lines.
        name: What to call it.
        owned: Whether to close the stream in the end.

    Raises:
        ExportUnreadable: It does not begin as an export does.
    """

    def __init__(self, stream: BinaryIO, name: str, *, owned: bool = False) -> None:
        self._stream = stream
        self._name = name
        self._owned = owned
        self._number = 0
        self._end: End | None = None
        first = next(self._lines(), b"")
        for beginning, (what, hint) in _NO_EXPORTS.items():
            if first.startswith(beginning):
                raise ExportUnreadable(f"{name} is {what}, and no export.", hint=hint)
        self.header = Header.read(_parsed(first), name)

    def end(self) -> End | None:
        """Return the last line; None where there is none, since the export was cut off."""
        return self._end

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the events."""
        for line in self._lines():
            if self._end is not None:
                raise self._damaged("goes on after its end")
            value = _parsed(line)
            try:
                if len(value) == len(STORED_COLUMNS):
                    yield tuple([value[name] for name in STORED_COLUMNS])
                    continue
            except (KeyError, TypeError):
                pass
            self._end = End.read(value)
            if self._end is None:
                raise self._damaged("is no event" if line.endswith(b"\n") else "was cut off")

    def close(self) -> None:
        """Close the file."""
        if self._owned:
            self._stream.close()

    def _lines(self) -> Iterator[bytes]:
        while True:
            try:
                line = self._stream.readline()
            except OSError as error:
                raise ExportUnreadable(f"{self._name} can't be read: {error.strerror}.") from error
            if not line:
                return
            self._number += 1
            yield line

    def _damaged(self, how: str) -> ExportUnreadable:
        return ExportUnreadable(f"{self._name} is no whole export: line {self._number:,} {how}.")


class LogReader:
    """Reads a log in its database.

    Raises:
        LogError: The database has no log of this release, or calls that are staged wait in it.
    """

    def __init__(self, database: Database) -> None:
        check_schema(database, make=False)
        self._database = database
        self._log = WholeLog(database)
        self._refuse_staged()
        self._head = self._log.head()
        self.header = Header(1, self._head.position, redacted=False)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the events."""
        return self._log.rows(until=self._head.position)

    def end(self) -> End:
        """Return what the counter says.

        Raises:
            ConcurrencyConflict: Somebody has appended meanwhile.
            StagedCallsWaiting: Somebody has staged something meanwhile.
        """
        if self._log.head() != self._head:
            raise ConcurrencyConflict(
                f"The log in {self._database.url} has grown while it was imported; nothing was imported.",
                hint="Stop whatever writes into it (`amie-engine run`), and import it again.",
            )
        self._refuse_staged()
        position = self._head.position
        return End(position, position or None, self._head.hash or None)

    def close(self) -> None:
        """The database is the caller's."""

    def _refuse_staged(self) -> None:
        with self._database.read() as cursor:
            staged = cursor.one(_STAGED)[0]
        if staged:
            raise StagedCallsWaiting(
                f"In {self._database.url} wait {staged} staged calls, of which no event tells yet."
                if staged > 1
                else f"In {self._database.url} waits a staged call, of which no event tells yet."
            )


def _parsed(line: bytes) -> Any:
    """The JSON value of a line; None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
