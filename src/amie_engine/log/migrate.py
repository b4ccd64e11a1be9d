"""The schema's revisions: which one a database has, and how it gets another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from amie_engine._resources import folder
from amie_engine.errors import (
    DatabaseForeign,
    DatabaseSchemaMissing,
    DatabaseSchemaNewer,
    DatabaseSchemaOutdated,
)
from amie_engine.log.database import Database
from amie_engine.log.schema import VERSION_TABLE, metadata

__all__ = ["check_schema", "current_revision", "head_revision", "migrate", "revisions"]


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder("migrations")))
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Return the revisions that this release knows, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def head_revision() -> str:
    """Return the revision that this release needs."""
    return revisions()[-1]


def current_revision(database: Database) -> str | None:
    """Return the revision that a database has, or None where it has no tables of ours."""
    with database.read() as cursor:
        return _current(cursor.connection)


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def migrate(database: Database, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring a database to a revision, up or down, in one transaction; return the revisions before and after.

    Args:
        revision: ``head``, ``base`` (no tables at all) or one of `revisions`.

    Raises:
        DatabaseForeign: Tables of these names are there, and no record that we made them.
        DatabaseSchemaNewer: A newer release made the schema.
    """
    with _migrating(database) as connection:
        before = _current(connection)
        known = revisions()
        if before is None:
            _refuse_foreign(connection)
        elif before not in known:
            raise DatabaseSchemaNewer(f"The database {database.url} has the schema revision {before!r}.")
        target = known[-1] if revision == "head" else revision
        down = target == "base" or (before is not None and known.index(before) > known.index(target))
        (command.downgrade if down else command.upgrade)(_config(connection), target)
        return before, _current(connection)


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    with database.write() as cursor:
        yield cursor.connection


def _refuse_foreign(connection: Connection) -> None:
    ours = set(metadata.tables)
    there = ours & set(inspect(connection).get_table_names())
    if there:
        raise DatabaseForeign(
            f"The database has tables of our names ({', '.join(sorted(there))}) that no release of ours made."
        )


def check_schema(database: Database) -> None:
    """Make sure that a database has the schema of this release.

    An empty or absent SQLite file gets it now; any other database only by `migrate`.

    Raises:
        DatabaseSchemaMissing, DatabaseSchemaOutdated, DatabaseSchemaNewer, DatabaseForeign: It has not.
    """
    current = current_revision(database)
    if current == head_revision():
        return
    if current is None:
        if not database.is_sqlite or _has_tables(database):
            raise DatabaseSchemaMissing(f"The database {database.url} has no amie-engine tables.")
        migrate(database)
        return
    known: list[Any] = revisions()
    if current in known:
        raise DatabaseSchemaOutdated(
            f"The database {database.url} has the schema revision {current!r}; this release needs"
            f" {known[-1]!r}."
        )
    raise DatabaseSchemaNewer(f"The database {database.url} has the schema revision {current!r}.")


def _has_tables(database: Database) -> bool:
    with database.read() as cursor:
        return bool(inspect(cursor.connection).get_table_names())
