"""Every projection once more, made from the events' columns and facts alone, in temporary tables.

A temporary table hides the table of the same name: the very statements that write the projections write
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Table
from sqlalchemy.schema import CreateTable

from amie_engine.engine.folding import Folder
from amie_engine.engine.late_projection import LateProjection
from amie_engine.errors import TemporaryTablesRefused
from amie_engine.log.database import Database, Session
from amie_engine.log.events import Event
from amie_engine.log.failures import first_line, not_writable
from amie_engine.log.schema import PROJECTIONS
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.whole import read_events, read_head, read_stream

__all__ = ["Progress", "Shadow", "shadow_of"]

Progress = Callable[[int, int], None]
"""Called with the position that is reached, and the newest one."""

_PAGE = 1000

_SCHEMA = Statement(
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = to_regclass('amie_events')"
)


class Shadow:
    """The projections in temporary tables, up to a position.

    Attributes:
        position: Of the newest event that is in them.
        there: The name before which a real table's stands, where the temporary one hides it.
    """

    def __init__(self, session: Session, there: str) -> None:
        self.session = session
        self.there = there
        self.position = 0
        self._folder = Folder(self._read_stream)
        self._cursor: Cursor | None = None

    def catch_up(self, progress: Progress) -> None:
        """Fold all events that there are now, in short transactions; a few may come meanwhile.

        Raises:
            EventUnreadable: This release does not know an event.
        """
        while True:
            with self.session.prepare() as cursor:
                newest = read_head(cursor).position
                folded = self._fold_page(cursor)
            progress(self.position, newest)
            if folded < _PAGE:
                return

    def finish(self, cursor: Cursor) -> None:
        """Fold the events that have come since, in a transaction that the caller holds."""
        while self._fold_page(cursor) == _PAGE:
            pass

    def _fold_page(self, cursor: Cursor) -> int:
        self._cursor = cursor
        events = read_events(cursor, self.position, _PAGE)
        late = LateProjection(cursor)
        for event in events:
            late.take(self._folder.fold(event))
        late.write()
        if events:
            self.position = events[-1].position
        return len(events)

    def _read_stream(self, stream: str) -> list[Event]:
        assert self._cursor is not None  # noqa: S101 # it is only called while a page is folded
        return read_stream(self._cursor, stream)


@contextmanager
def shadow_of(database: Database) -> Iterator[Shadow]:
    """Make empty temporary tables for the projections of a database; they go at the end.

    Raises:
        TemporaryTablesRefused: The database allows no temporary tables.
        DatabaseUnavailable: It can't be used.
    """
    with database.session() as session, session.reading_anything():
        with session.prepare() as cursor:
            there = cursor.one(_SCHEMA)[0] if cursor.is_postgresql else "main"
            try:
                for table in PROJECTIONS:
                    cursor.run(Statement(_temporary(table, database)))
            except Exception as error:
                if not not_writable(error):
                    raise
                raise TemporaryTablesRefused(
                    f"The database {database.url} allows no temporary tables: {first_line(error)}."
                ) from error
        try:
            yield Shadow(session, there)
        finally:
            if database.is_in_memory:
                with session.prepare() as cursor:
                    for table in PROJECTIONS:
                        cursor.run(Statement(f"DROP TABLE temp.{table.name}"))


def _temporary(table: Table, database: Database) -> str:
    """The statement that makes a table of the same name and keys for this connection alone."""
    made = str(CreateTable(table).compile(dialect=database.engine.dialect))
    return made.strip().replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)
