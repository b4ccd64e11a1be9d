"""Where a connection finds the log's tables.

A copy of the database has the log's own name, and is another place.
"""

from __future__ import annotations

from pathlib import Path

from amie_engine.log.statements import Cursor, Statement

__all__ = ["Place", "place_of"]

Place = tuple[int | str | None, ...]
"""Equal for two connections that write into the same tables."""

_FILE = Statement("PRAGMA database_list")
"""Its first row is the main database; it reads nothing of the file."""

_TABLES = Statement(
    "SELECT (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
    " CAST(pg_catalog.to_regclass('amie_staged') AS oid),"
    " CAST(pg_catalog.to_regclass('amie_log_head') AS oid)"
)
"""Under these names the role's temporary tables come first, and then those of its search_path."""


def place_of(cursor: Cursor) -> Place:
    """Return where a transaction finds the log's tables: a file, whatever its path, or tables at a server."""
    if cursor.is_postgresql:
        return tuple(cursor.one(_TABLES))
    file = cursor.one(_FILE)[2]
    try:
        found = Path(file).stat()
    except OSError:  # it was moved away since
        return (file,)
    return found.st_dev, found.st_ino
