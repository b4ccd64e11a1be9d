"""A directory that some events have made, and which of them made each of its values.

It stands in a database in memory, where triggers note what each event changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Table

from amie_engine.engine.directory import directory_changes
from amie_engine.engine.state import TransactionState
from amie_engine.log.database import Database
from amie_engine.log.events import Event
from amie_engine.log.schema import directory_accounts, directory_persons, directory_projects, metadata
from amie_engine.log.statements import Cursor, Statement

__all__ = ["DirectoryHistory", "Made", "directory_history"]

_TABLES = (directory_projects, directory_persons, directory_accounts)
_CHANGED = Statement("SELECT in_table, row_number, in_column, of_person FROM changed ORDER BY number")
_FORGET = Statement("DELETE FROM changed")
_EVERY, _GONE = "*", "-"

Made = tuple[str, int]
"""The event that made a value: its stream and version."""


class DirectoryHistory:
    """A directory that some events have made, and which of them made each value."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._made: dict[tuple[str, int], dict[str, Made]] = {}
        self._by_person: defaultdict[str, set[str]] = defaultdict(set)

    def apply(self, state: TransactionState, event: Event) -> None:
        """Apply what an event changes, given the state after it."""
        changes = list(directory_changes(state, event))
        for statement, values in changes:
            self.cursor.run(statement, values)
        if not changes:
            return
        for table, row, column, person in self.cursor.all(_CHANGED):
            if person is not None:
                self._by_person[person].add(event.stream)
            made = self._made.setdefault((table, row), {})
            if column == _GONE:
                del self._made[table, row]
            else:
                made.update(dict.fromkeys(_columns(table) if column == _EVERY else (column,), _of(event)))
        self.cursor.run(_FORGET)

    def made(self, table: str, row: int) -> Mapping[str, Made]:
        """Return the events that made the values of a row, by column; a column without a value, too."""
        return self._made[table, row]

    def changed_accounts_of(self, persons: Iterable[str]) -> set[str]:
        """Return the streams of the transactions that have changed an account of some persons, by their local
        ids: also those that name none of them, as the inactivation of their project does."""
        return set().union(*(self._by_person.get(person, ()) for person in persons))


@contextmanager
def directory_history() -> Iterator[DirectoryHistory]:
    """An empty directory in memory, which notes what changes in it."""
    database = Database("sqlite://")
    try:
        with database.connection(writing=True) as connection:
            metadata.create_all(connection, tables=_TABLES)
        with database.write() as cursor:
            cursor.run(
                Statement(
                    "CREATE TABLE changed (number INTEGER PRIMARY KEY AUTOINCREMENT,"
                    " in_table TEXT, row_number INTEGER, in_column TEXT, of_person TEXT)"
                )
            )
            for table in _TABLES:
                for trigger in _triggers(table):
                    cursor.run(Statement(trigger))
            yield DirectoryHistory(cursor)
    finally:
        database.close()


def _triggers(table: Table) -> Iterator[str]:
    name = table.name
    note = "BEGIN INSERT INTO changed (in_table, row_number, in_column, of_person) VALUES"
    new, old = ("NEW.person_id", "OLD.person_id") if table is directory_accounts else ("NULL", "NULL")
    comes, goes = f"('{name}', NEW.rowid, '{_EVERY}', {new})", f"('{name}', OLD.rowid, '{_GONE}', {old})"
    yield f"CREATE TRIGGER {name}_comes AFTER INSERT ON {name} {note} {comes}; END"
    yield f"CREATE TRIGGER {name}_goes AFTER DELETE ON {name} {note} {goes}; END"
    for column in _columns(name):
        yield (
            f"CREATE TRIGGER {name}_{column} AFTER UPDATE ON {name} WHEN OLD.{column} IS NOT NEW.{column}"
            f" {note} ('{name}', NEW.rowid, '{column}', {new}); END"
        )


def _columns(table: str) -> list[str]:
    return [column.name for column in metadata.tables[table].c if column.name not in ("hub", "site")]


def _of(event: Event) -> Made:
    return event.stream, event.version
