"""The schema on PostgreSQL: migrations in one transaction, and triggers that refuse every change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseForeign, DatabaseSchemaMissing, LogError
from amie_engine.log.database import Database
from amie_engine.log.migrate import current_revision, head_revision, migrate
from amie_engine.log.schema import VERSION_TABLE, metadata

EVENT = """
    INSERT INTO amie_events VALUES ({position}, 's', {position}, 'packet_held', 1, 'now', 'access', 'NCSA',
    NULL, NULL, NULL, NULL, NULL, 'test', '{{}}', 'd', 'document', 'salt', 'dd', 'h')
"""


def names(url: str) -> set[str]:
    """The tables, indexes and functions in the schema of a URL."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        ).fetchall()
    return {row[0] for row in rows}


def test_an_empty_schema_waits_for_the_operator(url: str) -> None:
    with pytest.raises(DatabaseSchemaMissing, match="migrate"):
        Engine(url, site="NCSA")
    assert names(url) == set()


def test_up_down_and_up_again(url: str) -> None:
    with closing(Database(url)) as database:
        assert migrate(database) == (None, head_revision())
        made = names(url)
        assert {*metadata.tables, VERSION_TABLE, "amie_events_append_only"} <= made
        with psycopg.connect(url) as connection:
            connection.execute(EVENT.format(position=1).encode())
        assert migrate(database, "base") == (head_revision(), None)
        assert names(url) == set()
        assert migrate(database) == (None, head_revision())
        assert migrate(database) == (head_revision(), head_revision())
        assert names(url) == made


def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(migrated: str) -> None:
    with closing(Database(migrated)) as database, database.connection(writing=False) as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_a_migration_that_fails_half_way_leaves_nothing(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE FUNCTION amie_events_append_only() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    before = names(url)
    with closing(Database(url)) as database, pytest.raises(LogError, match="amie_events_append_only"):
        migrate(database)
    assert names(url) == before


def test_two_that_migrate_at_once_take_turns(url: str) -> None:
    def run() -> tuple[str | None, str | None]:
        with closing(Database(url)) as database:
            return migrate(database)

    with ThreadPoolExecutor(2) as pool:
        results = {work.result() for work in [pool.submit(run), pool.submit(run)]}
    assert results == {(None, head_revision()), (head_revision(), head_revision())}


def test_tables_of_our_names_that_we_did_not_make_are_refused(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE amie_work (x int)")
    with closing(Database(url)) as database:
        with pytest.raises(DatabaseForeign, match="amie_work"):
            migrate(database)
        assert current_revision(database) is None
    with pytest.raises(DatabaseForeign, match="amie_work"):
        Engine(url, site="NCSA")


def test_no_operator_of_anybodys_own_passes_the_trigger(migrated: str) -> None:
    """Whoever may update the table must not have its trigger compare with an operator of theirs."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(EVENT.format(position=1).encode())
        [(schema,)] = connection.execute("SELECT current_schema()").fetchall()
        role, own = f"writer_{schema}", f"own_{schema}"
        for statement in (
            f"CREATE ROLE {role}",
            f"CREATE SCHEMA {own} AUTHORIZATION {role}",
            f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            f"GRANT SELECT, UPDATE ON {schema}.amie_events TO {role}",
            f"SET ROLE {role}",
            *(
                f"CREATE FUNCTION {own}.same({kind}, {kind}) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
                f"CREATE OPERATOR {own}.= (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = {own}.same)"
                for kind in ("text", "integer", "bigint")
            ),
            f"SET search_path = {own}, pg_catalog",
        ):
            connection.execute(statement.encode())
        change = f"UPDATE {schema}.amie_events SET actor = 'm', document = NULL, document_salt = NULL"
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            connection.execute(change.encode())
        for statement in ("RESET ROLE", f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
            connection.execute(statement.encode())
