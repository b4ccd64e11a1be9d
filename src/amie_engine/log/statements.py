"""SQL statements as short texts, and the cursor that runs them: the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Dialect, text

__all__ = ["Cursor", "ListStatement", "Statement"]

_ON_SQLITE = {"each": "SELECT value FROM json_each(:texts)", "find": "instr"}
_ON_POSTGRESQL = {
    "each": "SELECT value FROM jsonb_array_elements_text(CAST(:texts AS jsonb))",
    "find": "strpos",
}


class Statement:
    """An SQL statement with named parameters (``:name``), compiled once a dialect and then run as text."""

    __slots__ = ("_compiled", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}

    def for_dialect(self, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
        """Return the text in a dialect's own parameter style, and the parameters' names in order."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            make_dialect: Any = type(dialect)
            positional = make_dialect(paramstyle="qmark" if dialect.name == "sqlite" else "format")
            result = text(self.sql).compile(dialect=positional)
            names = tuple(getattr(result, "positiontup", None) or ())
            compiled = self._compiled[dialect.name] = (str(result), names)
        return compiled


class Cursor:
    """A driver's cursor inside one transaction, which runs `Statement` objects.

    The driver's own cursor is several times faster for short statements than the connection's ``execute``.
    """

    __slots__ = ("_cursor", "_dialect")

    def __init__(self, driver: Any, dialect: Dialect) -> None:
        self._dialect = dialect
        self._cursor = driver.cursor()

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self._dialect.name == "postgresql"

    def run(self, statement: Statement, values: Any = None) -> int:
        """Run a statement with a mapping of values; return the number of rows that it changed."""
        sql, names = statement.for_dialect(self._dialect)
        self._cursor.execute(sql, [values[name] for name in names])
        return int(self._cursor.rowcount)

    def run_many(self, statement: Statement, many: Iterable[Any]) -> None:
        """Run a statement once for each of many mappings of values."""
        sql, names = statement.for_dialect(self._dialect)
        self._cursor.executemany(sql, [[values[name] for name in names] for values in many])

    def insert(self, statement: Statement, values: Any) -> bool:
        """Run an ``INSERT ... ON CONFLICT DO NOTHING``; return False where there is a row in its way.

        On SQLite a trigger may see that row first; it undoes the statement and no more.
        """
        try:
            return self.run(statement, values) == 1
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                raise
            return False

    def one(self, statement: Statement, values: Any = None) -> Any:
        """Run a query and return its first row as a tuple, or None."""
        self.run(statement, values)
        return self._cursor.fetchone()

    def all(self, statement: Statement, values: Any = None) -> list[Any]:
        """Run a query and return its rows as tuples."""
        self.run(statement, values)
        return list(self._cursor.fetchall())

    def close(self) -> None:
        """Give the cursor back."""
        self._cursor.close()


class ListStatement:
    """A query about a list of texts, however long: each database takes the list apart by itself.

    Args:
        sql: The query. ``{each}`` stands in it for a query of the texts, in the column ``value``; ``{find}``
            for the function that finds one text in another.
    """

    def __init__(self, sql: str) -> None:
        self._on_sqlite = Statement(sql.format_map(_ON_SQLITE))
        self._on_postgresql = Statement(sql.format_map(_ON_POSTGRESQL))

    def all(self, cursor: Cursor, values: Mapping[str, Any], texts: Iterable[str]) -> list[Any]:
        """Run it and return its rows as tuples; where there are no texts, mostly none."""
        listed = json.dumps(sorted(texts))
        statement = self._on_postgresql if cursor.is_postgresql else self._on_sqlite
        return cursor.all(statement, {**values, "texts": listed})
