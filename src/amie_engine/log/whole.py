"""Reading the whole log, of every site and hub in it, by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from amie_engine.errors import LogDamaged, LogError
from amie_engine.log.canonical import digest
from amie_engine.log.database import Database
from amie_engine.log.events import Event
from amie_engine.log.statements import Cursor, Statement

__all__ = [
    "EVENT_COLUMNS",
    "STORED_COLUMNS",
    "Head",
    "WholeLog",
    "check_gapless",
    "is_log_id",
    "read_events",
    "read_head",
    "read_rows",
    "read_stream",
]

EVENT_COLUMNS = (
    "position",
    "stream",
    "version",
    "type",
    "schema_version",
    "recorded_at",
    "hub",
    "site",
    "trans_rec_id",
    "packet_rec_id",
    "packet_type",
    "sender",
    "status",
    "actor",
    "facts",
)
"""The columns that an `Event` has: all that a fold needs."""

STORED_COLUMNS = (*EVENT_COLUMNS, "facts_digest", "document", "document_salt", "document_digest", "hash")
"""All columns of an event, in the table's order."""

T = TypeVar("T")


def _page(columns: tuple[str, ...]) -> Statement:
    return Statement(
        f"SELECT {', '.join(columns)} FROM amie_events"  # noqa: S608 # no value is in it
        " WHERE position > :after AND position <= :until ORDER BY position LIMIT :count"
    )


_STREAM = Statement(
    f"SELECT {', '.join(EVENT_COLUMNS)} FROM amie_events WHERE stream = :stream ORDER BY version"  # noqa: S608 # no value is in it
)
_EVENTS = _page(EVENT_COLUMNS)
_ROWS = _page(STORED_COLUMNS)
_HEAD = Statement("SELECT position, hash, recorded_at FROM amie_log_head WHERE id = 1")
_HEAD_LOCKED = Statement("SELECT position, hash, recorded_at FROM amie_log_head WHERE id = 1 FOR UPDATE")

_NAME = re.compile("[0-9a-f]{32}")
_LOG_ID = Statement("SELECT log_id FROM amie_log_head WHERE id = 1")

_NO_END = 2**62


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event: its position, hash and time; 0 and empty texts before there is one."""

    position: int
    hash: str
    recorded_at: str


def read_head(cursor: Cursor, *, locked: bool = False) -> Head:
    """Return what the counter row says.

    Args:
        cursor: In any transaction; in a writing one, where the row is to be locked.
        locked: Whether to keep other writers waiting from now on. On SQLite a writer does so anyway.

    Raises:
        LogError: The counter row is missing.
    """
    row = cursor.one(_HEAD_LOCKED if locked and cursor.is_postgresql else _HEAD)
    if row is None:
        raise _no_counter()
    return Head(*row)


def _no_counter() -> LogError:
    return LogError("The log's counter row is missing.", hint="Restore the database from its newest backup.")


def is_log_id(text: str) -> bool:
    """Tell whether a text is a log's random name: 32 hex digits and behind them, so that a change shows, the
    first 16 of their SHA-256."""
    name, check = text[:32], text[32:]
    return _NAME.fullmatch(name) is not None and digest(name)[:16] == check


def read_stream(cursor: Cursor, stream: str) -> list[Event]:
    """Return the events of a stream, oldest first."""
    return [Event(*row) for row in cursor.all(_STREAM, {"stream": stream})]


def read_events(cursor: Cursor, after: int, count: int, until: int | None = None) -> list[Event]:
    """Return up to ``count`` events behind a position, and up to another, in order.

    Raises:
        LogDamaged: An event before one of them is missing.
    """
    rows = cursor.all(_EVENTS, _range(after, count, until))
    check_gapless(rows, after)
    return [Event(*row) for row in rows]


def check_gapless(rows: Sequence[tuple[Any, ...]], after: int) -> None:
    """Check that the positions of events, their first column, follow a position and one another.

    They are in order and each is there once: so their number tells, and nothing is gone through.

    Raises:
        LogDamaged: One is missing.
    """
    if not rows or rows[-1][0] - after == len(rows):
        return
    for expected, row in enumerate(rows, after + 1):
        if row[0] != expected:
            raise LogDamaged(f"The event at position {expected} is missing: {row[0]} follows {expected - 1}.")


def read_rows(cursor: Cursor, after: int, count: int, until: int | None = None) -> list[tuple[Any, ...]]:
    """Return the same events with all their columns (`STORED_COLUMNS`), as they stand in the table."""
    return cursor.all(_ROWS, _range(after, count, until))


def _range(after: int, count: int, until: int | None) -> dict[str, int]:
    return {"after": after, "until": _NO_END if until is None else until, "count": count}


class WholeLog:
    """Every event of a log, in order; read in pages of short transactions, so that no writer has to wait."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def head(self) -> Head:
        """Return the newest event's position, hash and time.

        Raises:
            LogError: The counter row is missing.
        """
        with self.database.read() as cursor:
            return read_head(cursor)

    def log_id(self) -> str:
        """Return the log's random name: a secret, which never leaves the database.

        Raises:
            LogError: The counter row is missing.
        """
        with self.database.read() as cursor:
            row = cursor.one(_LOG_ID)
        if row is None:
            raise _no_counter()
        return str(row[0])

    def events(self, after: int = 0, until: int | None = None, *, page: int = 1000) -> Iterator[Event]:
        """Yield every event behind a position, and up to another."""
        return self._paged(read_events, after, until, page, lambda event: event.position)

    def rows(
        self, after: int = 0, until: int | None = None, *, page: int = 1000
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the same events with all their columns (`STORED_COLUMNS`), as they stand in the table."""
        return self._paged(read_rows, after, until, page, lambda row: int(row[0]))

    def _paged(
        self,
        read: Callable[[Cursor, int, int, int | None], list[T]],
        after: int,
        until: int | None,
        count: int,
        position_of: Callable[[T], int],
    ) -> Iterator[T]:
        while True:
            with self.database.read() as cursor:
                found = read(cursor, after, count, until)
            yield from found
            if len(found) < count:
                return
            after = position_of(found[-1])
