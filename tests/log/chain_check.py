"""The hash chain once more, by checks that share no code with the log: for SQLite's own driver."""

from __future__ import annotations

import sqlite3

from amie_engine.testing.contract.checks import COLUMNS, Row, broken_at, hash_of

__all__ = ["COLUMNS", "Row", "broken_at", "hash_of", "read_rows"]


def read_rows(connection: sqlite3.Connection) -> list[Row]:
    """Return every event as it stands in the table."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
