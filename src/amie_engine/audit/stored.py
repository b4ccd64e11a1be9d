"""Reading rows as they stand in the tables, whatever somebody has put into them."""

from __future__ import annotations

import sqlite3
from typing import Any

from amie_engine.log.statements import Cursor, Statement

__all__ = ["StoredRows"]


class StoredRows:
    """A query of columns whose values may be anything that the database can hold.

    SQLite keeps whatever bytes are written as text, and its driver can read no row with text that is none.
    Such rows are read again in another way; what is no text is then bytes.

    Args:
        columns: The columns.
        rest: The query from its ``FROM`` on.
        more: Expressions to read besides, which the database computes.
    """

    def __init__(self, columns: tuple[str, ...], rest: str, *, more: tuple[str, ...] = ()) -> None:
        self._quick = _select([*columns, *more], rest)
        kinds = [f"typeof({column})" for column in columns]
        values = [
            f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"
            for column in columns
        ]
        self._careful = _select([*kinds, *values, *more], rest)
        self._width = len(columns)

    def read(self, cursor: Cursor, values: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows."""
        try:
            return cursor.all(self._quick, values)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise  # by SQLite itself; what the driver can't decode has no code
            return [self._decoded(row) for row in cursor.all(self._careful, values)]

    def _decoded(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        kinds, values, more = row[: self._width], row[self._width : 2 * self._width], row[2 * self._width :]
        return *map(_decoded, kinds, values), *more


def _decoded(kind: str, value: Any) -> Any:
    if kind != "text":
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _select(expressions: list[str], rest: str) -> Statement:
    return Statement(f"SELECT {', '.join(expressions)} {rest}")
