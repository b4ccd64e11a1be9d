"""Migrations of a log with data in it, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseSchemaNewer, DatabaseSchemaOutdated, LogError
from amie_engine.log.database import Database
from amie_engine.log.migrate import current_revision, head_revision, migrate
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.story import SITE, project_request, tell_story
from tests.log.later_release import release
from tests.log.rebuilding import projection_rows

__all__ = ["release"]  # a fixture

Release = Callable[..., None]


@pytest.fixture
def busy(migrated: str) -> Iterator[Database]:
    """The database of a log in which a bit of everything has happened."""
    clock = Clock()
    with Engine(migrated, site=SITE, clock=clock) as engine:
        tell_story(engine, clock)
    with closing(Database(migrated)) as database:
        yield database


def refuses_to_forget(url: str) -> bool:
    """Whether the triggers are there."""
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("DELETE FROM amie_events")
    return True


def test_the_way_to_a_later_revision_and_back_keeps_all_data(
    busy: Database, migrated: str, sql: Sql, release: Release
) -> None:
    before, projections, here = sql.everything(), projection_rows(busy), head_revision()
    release("later")
    assert migrate(busy) == (here, "9999")
    assert sql.rows("SELECT DISTINCT priority FROM amie_work") == [(7,)]
    assert sql.everything() == before
    with Engine(migrated, site=SITE) as engine:
        engine.receive(project_request(30))
    assert migrate(busy, here) == ("9999", here)
    release("this")
    assert sql.everything()[0][:-1] == before[0]
    kept = projection_rows(busy)
    assert all(set(rows) <= set(kept[table]) for table, rows in projections.items())
    assert len(check_log(sql)) == len(before[0]) + 1
    assert refuses_to_forget(migrated)


def test_down_takes_everything_and_up_again_makes_an_empty_log(
    busy: Database, migrated: str, sql: Sql
) -> None:
    log_id = sql.rows("SELECT log_id FROM amie_log_head")
    assert migrate(busy, "base") == (head_revision(), None)
    assert sql.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()") == []
    assert current_revision(busy) is None
    assert migrate(busy) == (None, head_revision())
    assert sql.rows("SELECT log_id FROM amie_log_head") != log_id
    with Engine(migrated, site=SITE) as engine:
        engine.receive(project_request(1))
    assert len(check_log(sql)) == 1


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        ("raise RuntimeError('half way')", RuntimeError),
        ("op.execute('INSERT INTO no_such_table VALUES (1)')", LogError),
        ("op.execute('DELETE FROM amie_events')", LogError),
        ("op.execute('SELECT pg_terminate_backend(pg_backend_pid())')", LogError),
    ],
)
def test_a_migration_that_fails_half_way_leaves_all_as_it_was(
    busy: Database, migrated: str, sql: Sql, release: Release, failure: str, raised: type[Exception]
) -> None:
    before, projections = sql.everything(), projection_rows(busy)
    release("later", failure)
    with pytest.raises(raised):
        migrate(busy)
    release("this")
    assert current_revision(busy) == head_revision()
    assert (sql.everything(), projection_rows(busy)) == (before, projections)
    assert (
        sql.rows("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'amie_notes'")
        == []
    )
    with Engine(migrated, site=SITE) as engine:
        engine.receive(project_request(30))
    check_log(sql)


def test_a_log_of_another_release_waits_for_the_operator(
    busy: Database, migrated: str, sql: Sql, release: Release
) -> None:
    before = sql.everything()
    release("later")
    with pytest.raises(DatabaseSchemaOutdated, match=r"9999.*migrate"):
        Engine(migrated, site=SITE)
    migrate(busy)
    release("this")
    with pytest.raises(DatabaseSchemaNewer, match="9999"):
        Engine(migrated, site=SITE)
    for target in ("head", "base", head_revision()):
        with pytest.raises(DatabaseSchemaNewer, match="9999"):
            migrate(busy, target)
    assert sql.everything() == before
