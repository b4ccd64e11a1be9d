"""The schema's revisions: which one a database has, and how it gets another."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from amie_engine._resources import folder
from amie_engine.errors import (
    DatabaseForeign,
    DatabaseSchemaMissing,
    DatabaseSchemaNewer,
    DatabaseSchemaOutdated,
    SettingsError,
)
from amie_engine.log.database import Database
from amie_engine.log.schema import VERSION_TABLE, metadata

__all__ = ["check_schema", "current_revision", "head_revision", "migrate", "migrate_within", "revisions"]


_ALEMBIC = Lock()
"""alembic hands its context to env.py in a global: one thread migrates at a time."""

# Two processes that migrate one PostgreSQL database take turns. The number only has to be ours: "AMIE".
_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(1095584069)")

_WITH_TABLES = text(
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = :name AND c.relkind = 'r' ORDER BY n.nspname LIMIT 3"
)


def _config(migrations: Path, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Return the revisions that this release knows, oldest first."""
    return list(_revisions_in(folder("migrations")))


@cache
def _revisions_in(migrations: Path) -> tuple[str, ...]:
    """They don't change while a process runs, and every opening of a log asks for them."""
    scripts = ScriptDirectory.from_config(_config(migrations))
    return tuple(script.revision for script in reversed(list(scripts.walk_revisions())))


def head_revision() -> str:
    """Return the revision that this release needs."""
    return revisions()[-1]


def current_revision(database: Database) -> str | None:
    """Return the revision that a database has, or None where it has no tables of ours.

    Raises:
        DatabaseForeign: Its record of the revision is none of ours.
    """
    with database.connection(writing=False) as connection:
        return _current(connection, database)


def _current(connection: Connection, database: Database) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    heads = context.get_current_heads()
    if len(heads) > 1:
        raise DatabaseForeign(f"The database {database.url} names several revisions of our schema.")
    return heads[0] if heads else None


def migrate(database: Database, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring a database to a revision, up or down, in one transaction; return the revisions before and after.

    Args:
        revision: ``head``, ``base`` (no tables at all) or one of `revisions`.

    Raises:
        DatabaseForeign: Tables of these names are there, and no record that we made them.
        DatabaseSchemaNewer: A newer release made the schema.
        SettingsError: There is no such revision.
    """
    known = revisions()
    target = known[-1] if revision == "head" else revision
    if target not in ("base", *known):
        raise SettingsError(f"There is no revision {revision!r}.", hint=f"There are: {', '.join(known)}.")
    with _ALEMBIC, database.connection(writing=True) as connection:
        if not database.is_sqlite:
            connection.execute(_TAKE_TURNS)
        before = _current(connection, database)
        if before is None:
            _refuse_foreign(connection, database)
        elif before not in known:
            raise _newer(database, before)
        if target == "base":
            if before is not None:
                command.downgrade(_config(folder("migrations"), connection), "base")
                connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
            return before, None
        down = before is not None and known.index(before) > known.index(target)
        (command.downgrade if down else command.upgrade)(_config(folder("migrations"), connection), target)
    database.keep_write_ahead_log()
    return before, target


def migrate_within(connection: Connection, database: Database) -> bool:
    """Make the tables in a transaction that the caller holds, if the database has none of ours; tell whether
    they were made.

    Args:
        connection: Of the database, as from ``database.connection(writing=True)``.
        database: The database.

    Raises:
        DatabaseSchemaOutdated, DatabaseSchemaNewer, DatabaseForeign: It has tables that are not of this
            release.
    """
    current = _current(connection, database)
    if current is None and not database.is_sqlite:
        connection.execute(_TAKE_TURNS)
        current = _current(connection, database)
    if current is None:
        _refuse_foreign(connection, database)
        with _ALEMBIC:
            command.upgrade(_config(folder("migrations"), connection), "head")
        return True
    if current != head_revision():
        raise _wrong(database, current)
    return False


def check_schema(database: Database, *, make: bool = True) -> None:
    """Make sure that a database has the schema of this release.

    Args:
        database: The database.
        make: Whether an empty or absent SQLite file gets it now; any other database gets it by `migrate`
            alone.

    Raises:
        DatabaseSchemaMissing, DatabaseSchemaOutdated, DatabaseSchemaNewer, DatabaseForeign: It has not.
            Nothing was changed, and the connections are closed: whoever is refused has nothing to close.
    """
    try:
        _check(database, make=make)
    except BaseException:
        database.close()
        raise


def _check(database: Database, *, make: bool) -> None:
    known = revisions()
    with database.connection(writing=False) as connection:
        current = _current(connection, database)
        if current is None:
            _refuse_foreign(connection, database)
        empty = current is None and not inspect(connection).get_table_names()
        elsewhere = [] if current is not None or database.is_sqlite else _schemas(connection)
    if current == known[-1]:
        if make:
            database.keep_write_ahead_log()
    elif current is None:
        if not make or not database.is_sqlite or not empty:
            raise _without_tables(database, elsewhere)
        migrate(database)
    else:
        raise _wrong(database, current)


def _refuse_foreign(connection: Connection, database: Database) -> None:
    there = set(metadata.tables) & set(inspect(connection).get_table_names())
    if there:
        raise DatabaseForeign(
            f"The database {database.url} has tables of our names ({', '.join(sorted(there))}) that no"
            " release of ours made."
        )


def _schemas(connection: Connection) -> list[str]:
    """Some schemas of a PostgreSQL database that have our tables, also such as the role may not use."""
    return [row[0] for row in connection.execute(_WITH_TABLES, {"name": VERSION_TABLE})]


def _without_tables(database: Database, elsewhere: list[str]) -> DatabaseSchemaMissing:
    told = f"The database {database.url} has no amie-engine tables"
    if elsewhere:
        schemas = ", ".join(elsewhere)
        return DatabaseSchemaMissing(
            f"{told} that its role can see; there are some in the schema {schemas}.",
            hint=f"Put it into the role's search_path (ALTER ROLE ... SET search_path = {elsewhere[0]}), and"
            " grant the role USAGE on it, as docs/postgresql.md does; for a new log, `amie-engine migrate`.",
        )
    if database.is_sqlite:
        return DatabaseSchemaMissing(f"{told}.")
    return DatabaseSchemaMissing(
        f"{told}.",
        hint="Create them with `amie-engine migrate`; if there should be some, see that the URL names their"
        " database.",
    )


def _wrong(database: Database, revision: str) -> DatabaseSchemaOutdated | DatabaseSchemaNewer:
    """The error for a schema that is not this release's."""
    known = revisions()
    if revision not in known:
        return _newer(database, revision)
    return DatabaseSchemaOutdated(
        f"The database {database.url} has the schema revision {revision!r}; this release needs {known[-1]!r}."
    )


def _newer(database: Database, revision: str) -> DatabaseSchemaNewer:
    return DatabaseSchemaNewer(f"The database {database.url} has the schema revision {revision!r}.")
