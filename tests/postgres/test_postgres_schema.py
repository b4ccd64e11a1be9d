"""The schema on PostgreSQL: migrations in one transaction, and triggers that refuse every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseForeign, DatabaseSchemaMissing, DatabaseUnavailable, LogError
from amie_engine.log.database import Database
from amie_engine.log.migrate import current_revision, head_revision, migrate
from amie_engine.log.schema import VERSION_TABLE, metadata
from tests.log.busy_site import Clock, play
from tests.log.chain_check import COLUMNS

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


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE amie_events SET {name} = {name}" for name in COLUMNS),
        "UPDATE amie_events SET document = NULL",
        "UPDATE amie_events SET document_salt = NULL",
        "UPDATE amie_events SET document = NULL, document_salt = NULL, actor = 'x'",
        "UPDATE amie_events SET document = NULL, document_salt = NULL, document_digest = NULL",
        "DELETE FROM amie_events",
        "DELETE FROM amie_events WHERE position = 2",
        "TRUNCATE amie_events",
        "TRUNCATE amie_log_head, amie_events CASCADE",
        EVENT.format(position=1) + " ON CONFLICT (position) DO UPDATE SET facts = 'x'",
        "MERGE INTO amie_events e USING (SELECT 1 AS p) s ON e.position = s.p WHEN MATCHED THEN DELETE",
    ],
)  # fmt: skip
def test_an_event_is_never_changed_or_deleted(log_of_two: str, statement: str) -> None:
    with psycopg.connect(log_of_two, autocommit=True) as connection:
        before = connection.execute("SELECT * FROM amie_events ORDER BY position").fetchall()
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            connection.execute(statement.encode())
        assert connection.execute("SELECT * FROM amie_events ORDER BY position").fetchall() == before


def test_the_one_update_that_passes_erases_a_document_with_its_salt(log_of_two: str) -> None:
    erase = b"UPDATE amie_events SET document = NULL, document_salt = NULL WHERE position = 2"
    with psycopg.connect(log_of_two, autocommit=True) as connection:
        before = connection.execute("SELECT * FROM amie_events WHERE position = 2").fetchone()
        assert before is not None
        with connection.transaction(force_rollback=True):
            connection.execute(erase)
            after = connection.execute("SELECT * FROM amie_events WHERE position = 2").fetchone()
            assert after == (*before[:16], None, None, *before[18:])
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                connection.execute(erase)


@pytest.fixture(scope="module")
def log_of_two(new_schema: Callable[[], str]) -> str:
    """The URL of a log with two events, which no test can change."""
    url = new_schema()
    with closing(Database(url)) as database:
        migrate(database)
    with psycopg.connect(url) as connection:
        for position in (1, 2):
            connection.execute(EVENT.format(position=position).encode())
    return url


@pytest.fixture
def role(migrated: str) -> Iterator[Callable[..., str]]:
    """A function that makes a role with some privileges on the log, and gives the URL to connect as it."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        row = connection.execute("SELECT current_schema()").fetchone()
        assert row is not None
        connection.execute("CREATE ROLE amie_daemon LOGIN")

        def grant(*privileges: str) -> str:
            connection.execute(f"GRANT USAGE ON SCHEMA {row[0]} TO amie_daemon".encode())
            for privilege in privileges:
                connection.execute(
                    f"GRANT {privilege} TO amie_daemon".replace("SCHEMA *", f"SCHEMA {row[0]}").encode()
                )
            return migrated.replace("postgres:@", "amie_daemon:@")

        yield grant
        connection.execute("DROP OWNED BY amie_daemon")
        connection.execute("DROP ROLE amie_daemon")


def test_a_role_that_may_not_write_is_told_so(role: Callable[..., str]) -> None:
    with Engine(role("SELECT ON ALL TABLES IN SCHEMA *"), site="NCSA") as engine:
        assert engine.transactions() == []
        with pytest.raises(DatabaseUnavailable, match="permission denied"):
            engine.receive(b"no packet")


def test_the_privileges_that_the_page_names_are_enough_for_the_daemon(role: Callable[..., str]) -> None:
    url = role("SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA *", "DELETE ON amie_directory_accounts")
    clock = Clock()
    with Engine(url, site="NCSA", clock=clock) as engine:
        play(engine, clock)
        assert engine.transactions()[0].state == "completed"
