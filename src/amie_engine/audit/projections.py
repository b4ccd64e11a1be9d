"""Whether the projections say what the events say; and making them anew where they don't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Table

from amie_engine.audit.counter import refuse_other_end
from amie_engine.engine.folding import Folder, apply
from amie_engine.engine.shadow import Progress, Shadow, shadow_of
from amie_engine.log.database import Database
from amie_engine.log.events import ACCEPTED, Event
from amie_engine.log.schema import PROJECTIONS
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.whole import WholeLog, read_head, read_stream

__all__ = ["Difference", "ProjectionCheck", "Rebuilt", "check_projections", "rebuild"]

_LOOKED_AT = 10
"""How many differing rows of a table are looked at closely; all are counted."""


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a projection that does not say what the events say.

    Attributes:
        table: The projection.
        key: The row's key.
        expected: The row as the events make it; None where they make none.
        found: The row as it is; None where there is none.
        position: The first event that the row does not show, where it is behind; else the event that made it
            as it should be. None where no event made any such row.
        is_behind: Whether the row is as it once was, and later events are not in it. Otherwise no event made
            it so.
    """

    table: str
    key: Row
    expected: Row | None
    found: Row | None
    position: int | None = None
    is_behind: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that differ; none where the row is missing, or is one too many."""
        if self.expected is None or self.found is None:
            return ()
        return tuple(name for name, value in self.expected.items() if self.found[name] != value)


@dataclass(frozen=True, slots=True)
class ProjectionCheck:
    """What a comparison of the projections with the events has found.

    Attributes:
        position: The newest event that was compared.
        rows: How many rows each projection should have.
        differing: How many rows of each projection differ; those that do alone.
        differences: Some of them, that of the earliest event first.
    """

    position: int
    rows: dict[str, int]
    differing: dict[str, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What making the projections anew has changed.

    Attributes:
        position: The newest event that is in them.
        rows: How many rows each projection has now.
        changed: How many rows of each were wrong, missing or too many; those that had such alone.
    """

    position: int
    rows: dict[str, int]
    changed: dict[str, int]


def check_projections(database: Database, progress: Progress = lambda done, total: None) -> ProjectionCheck:
    """Compare every row of the projections with what the events make of it. Nothing is written.

    Writers go on meanwhile: the comparison is of one state of the database.

    Args:
        database: The log's database. It must allow temporary tables.
        progress: Called with how far it has come.

    Raises:
        EventUnreadable: This release does not know an event.
        LogDamaged: An event is missing, or the counter row does not say what the newest event says.
        LogError: The database can't be used.
    """
    with _made_anew(database, progress) as shadow:
        with shadow.session.read() as cursor:
            _finish(cursor, shadow)
            rows = {table.name: _count(cursor, f"temp_of.{table.name}", shadow) for table in PROJECTIONS}
            differing = {table.name: _how_many(cursor, shadow, table) for table in PROJECTIONS}
            found = [difference for table in PROJECTIONS for difference in _some(cursor, shadow, table)]
        position = shadow.position
    differing = {name: count for name, count in differing.items() if count}
    placed = _placed(database, found, position) if found else []
    placed.sort(key=lambda difference: difference.position or position + 1)
    return ProjectionCheck(position, rows, differing, tuple(placed))


def rebuild(database: Database, progress: Progress = lambda done, total: None) -> Rebuilt:
    """Make all projections anew from the events' columns and facts, and put in place what was wrong.

    They are made in temporary tables while readers and writers go on; then, in one transaction which keeps
    writers waiting for a moment, the rows that differ are exchanged. Readers see either the old or the new.

    Args:
        database: The log's database. On PostgreSQL the role needs DELETE on the projections.
        progress: Called with how far it has come.

    Raises:
        EventUnreadable: This release does not know an event.
        LogDamaged: An event is missing, or the counter row does not say what the newest event says: then the
            projections may tell what the events no longer do. Nothing was changed.
        LogError: The database can't be used; nothing was changed.
    """
    with _made_anew(database, progress) as shadow:
        with shadow.session.write() as cursor:
            read_head(cursor, locked=True)
            _finish(cursor, shadow)
            changed = {table.name: _exchange(cursor, shadow, table) for table in PROJECTIONS}
            rows = {table.name: _count(cursor, f"temp_of.{table.name}", shadow) for table in PROJECTIONS}
        return Rebuilt(shadow.position, rows, {name: count for name, count in changed.items() if count})


@contextmanager
def _made_anew(database: Database, progress: Progress) -> Iterator[Shadow]:
    """The projections as the events make them, but for what comes in the meantime."""
    with shadow_of(database) as shadow:
        with shadow.session.read() as cursor:
            refuse_other_end(cursor)  # before all the work
        shadow.catch_up(progress)
        yield shadow


def _finish(cursor: Cursor, shadow: Shadow) -> None:
    """Take in what has come in the meantime: what follows is about the log as it is now, and no more."""
    shadow.finish(cursor)
    refuse_other_end(cursor)


def _exchange(cursor: Cursor, shadow: Shadow, table: Table) -> int:
    """Replace the rows of a table that are not as they should be; return how many those are."""
    wrong = _how_many(cursor, shadow, table)
    if wrong:
        names = ", ".join(table.columns.keys())
        cursor.run(
            _statement(shadow, f"DELETE FROM there.{table.name} AS l WHERE NOT EXISTS ({_same(table)})")  # noqa: S608 # our own names
        )
        cursor.run(
            _statement(
                shadow,
                f"INSERT INTO there.{table.name} ({names}) SELECT {names} FROM temp_of.{table.name} s"  # noqa: S608 # our own names
                f" WHERE NOT EXISTS (SELECT 1 FROM there.{table.name} l WHERE {_equal(table.primary_key)})",
            )
        )
    return wrong


def _how_many(cursor: Cursor, shadow: Shadow, table: Table) -> int:
    return _count(cursor, _wrong(table), shadow) + _count(cursor, _missing(table), shadow)


def _count(cursor: Cursor, what: str, shadow: Shadow) -> int:
    return int(cursor.one(_statement(shadow, f"SELECT COUNT(*) FROM {what}"))[0])  # noqa: S608 # our own names


def _wrong(table: Table) -> str:
    """The rows that are not as they should be, or should not be there; also one beside the right one of its
    key, where somebody has taken the key away."""
    return f"there.{table.name} l WHERE NOT EXISTS ({_same(table)})"


def _missing(table: Table) -> str:
    """The rows that should be there, and of whose key there is none."""
    return f"temp_of.{table.name} s WHERE NOT EXISTS ({_with_key(table, 'there', 'l')})"


def _some(cursor: Cursor, shadow: Shadow, table: Table) -> Iterator[Difference]:
    """Some rows that differ, in the order of their keys."""
    keys = [column.name for column in table.primary_key]
    names, order = ", ".join(table.columns.keys()), ", ".join(keys)

    def looked_at(which: str) -> list[Row]:
        sql = f"SELECT {names} FROM {which} ORDER BY {order} LIMIT {_LOOKED_AT}"  # noqa: S608 # our own names
        return _rows(cursor, _statement(shadow, sql), table)

    for found in looked_at(_wrong(table)):
        key = {name: found[name] for name in keys}
        yield Difference(table.name, key, _row(cursor, shadow, table, "temp_of", key), found)
    for expected in looked_at(_missing(table)):
        yield Difference(table.name, {name: expected[name] for name in keys}, expected, None)


def _placed(database: Database, differences: list[Difference], until: int) -> list[Difference]:
    """The differences with the event from which on each is one: the log is folded once more, and each row is
    looked at whenever it may have changed."""
    tables = {table.name: table for table in PROJECTIONS}
    was_so = {index for index, difference in enumerate(differences) if difference.found is None}
    behind: dict[int, int] = {}
    made: dict[int, int] = {}
    with shadow_of(database) as shadow, shadow.session.read() as cursor:
        folder = Folder(partial(read_stream, cursor))
        rows: dict[int, Row | None] = dict.fromkeys(range(len(differences)))
        for event in _events(database, cursor, differences, until):
            apply(cursor, folder.fold(event))
            for index, difference in enumerate(differences):
                if not _may_change(difference, event):
                    continue
                row = _row(cursor, shadow, tables[difference.table], "temp_of", difference.key)
                if row == rows[index]:
                    continue
                rows[index], made[index] = row, event.position
                if row == difference.found:
                    was_so.add(index)
                    behind.pop(index, None)
                elif index in was_so:
                    behind.setdefault(index, event.position)
    return [
        replace(difference, position=behind.get(index, made.get(index)), is_behind=index in behind)
        for index, difference in enumerate(differences)
    ]


def _events(database: Database, cursor: Cursor, differences: list[Difference], until: int) -> Iterable[Event]:
    """The events that may have made the rows: those of their streams; for the directory, all."""
    streams = {difference.key.get("stream") for difference in differences}
    if None in streams:
        return WholeLog(database).events(until=until)
    found = [event for stream in streams for event in read_stream(cursor, str(stream))]
    return sorted((event for event in found if event.position <= until), key=lambda event: event.position)


def _may_change(difference: Difference, event: Event) -> bool:
    stream = difference.key.get("stream")
    return event.type in ACCEPTED if stream is None else event.stream == stream


def _row(cursor: Cursor, shadow: Shadow, table: Table, where: str, key: Row) -> Row | None:
    conditions = " AND ".join(f"{name} = :{name}" for name in key)
    sql = f"SELECT {', '.join(table.columns.keys())} FROM {where}.{table.name} WHERE {conditions}"  # noqa: S608 # our own names
    found = _rows(cursor, _statement(shadow, sql), table, key)
    return found[0] if found else None


def _rows(cursor: Cursor, statement: Statement, table: Table, values: Row | None = None) -> list[Row]:
    return [dict(zip(table.columns.keys(), row, strict=True)) for row in cursor.all(statement, values)]


def _same(table: Table) -> str:
    """A query for the row as it should be that is the same in every column."""
    return f"SELECT 1 FROM temp_of.{table.name} s WHERE {_equal(table.columns)}"  # noqa: S608 # our own names


def _with_key(table: Table, where: str, alias: str) -> str:
    """A query for the row of the other table that has the same key."""
    return f"SELECT 1 FROM {where}.{table.name} {alias} WHERE {_equal(table.primary_key)}"  # noqa: S608 # our own names


def _equal(columns: Iterable[Any]) -> str:
    """Whether two rows agree in some columns. A key's are never null, and its index is used."""
    return " AND ".join(
        f"l.{column.name} {'=' if column.primary_key else 'IS_SAME'} s.{column.name}" for column in columns
    )


def _statement(shadow: Shadow, sql: str) -> Statement:
    """A statement on the real tables (``there.``) and the temporary ones (``temp_of.``)."""
    postgresql = not shadow.session.database.is_sqlite
    return Statement(
        sql.replace("there.", f"{shadow.there}.")
        .replace("temp_of.", "pg_temp." if postgresql else "temp.")
        .replace("IS_SAME", "IS NOT DISTINCT FROM" if postgresql else "IS")
    )
