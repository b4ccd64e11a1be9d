"""Taking documents out of the log for good: the one UPDATE that the triggers let pass, and what is left."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from amie_engine.log.database import Database
from amie_engine.log.statements import Cursor, Statement

__all__ = ["Leftovers", "erase_documents", "leftovers_of"]

_ERASE = Statement(
    "UPDATE amie_events SET document = NULL, document_salt = NULL"
    " WHERE position = :position AND document IS NOT NULL"
)
_OVERWRITES = Statement("PRAGMA secure_delete")
_OVERWRITE = Statement("PRAGMA secure_delete=ON")
_AS_BEFORE = {0: Statement("PRAGMA secure_delete=OFF"), 2: Statement("PRAGMA secure_delete=FAST")}
_ON = 1


class Leftovers(StrEnum):
    """What the database itself may still have of documents that were erased."""

    NONE = "none"
    """Nothing: the file's free space was overwritten, and the write-ahead log is empty."""
    WRITE_AHEAD_LOG = "write-ahead-log"
    """SQLite could not empty its write-ahead log: somebody else was using the database."""
    FREE_PAGES = "free-pages"
    """The connections of the site's own SQLite engine don't overwrite what is deleted: old copies of pages
    may be in the file's free space until it is vacuumed."""
    OLD_ROWS = "old-rows"
    """PostgreSQL keeps old versions of rows until the table is vacuumed."""


def erase_documents(cursor: Cursor, positions: Iterable[int]) -> None:
    """Erase the documents of some events, and their salts. SQLite overwrites the space that they took.

    Args:
        cursor: In the writing transaction that also tells of it in an event.
        positions: The events.
    """
    before = _ON if cursor.is_postgresql else cursor.one(_OVERWRITES)[0]
    if before != _ON:
        cursor.one(_OVERWRITE)
    try:
        for position in positions:
            cursor.run(_ERASE, {"position": position})
    finally:
        if before != _ON:
            cursor.one(_AS_BEFORE[before])


def leftovers_of(database: Database) -> Leftovers:
    """Return what a database may still have of erased documents, after SQLite's write-ahead log was emptied.

    Raises:
        LogError: The database can't be used.
    """
    if not database.is_sqlite:
        return Leftovers.OLD_ROWS
    if not database.empty_write_ahead_log():
        return Leftovers.WRITE_AHEAD_LOG
    with database.read() as cursor:
        return Leftovers.NONE if cursor.one(_OVERWRITES)[0] == _ON else Leftovers.FREE_PAGES
