"""The schema's revisions: what they make, that they go up and down, and that none is ever half done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from amie_engine._resources import folder
from amie_engine.engine import Engine
from amie_engine.errors import (
    DatabaseSchemaNewer,
    DatabaseSchemaOutdated,
    LogError,
    SettingsError,
)
from amie_engine.log.database import Database
from amie_engine.log.migrate import current_revision, head_revision, migrate, revisions
from amie_engine.log.schema import VERSION_TABLE, metadata
from tests.log.busy_site import project_request
from tests.log.chain_check import broken_at, read_rows
from tests.log.later_release import release
from tests.log.rebuilding import projection_rows

__all__ = ["release"]  # a fixture

Connect = Callable[[], sqlite3.Connection]


def schema_of(file: Path) -> list[tuple[str, ...]]:
    """Everything that a SQLite file declares."""
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.execute("SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master"))


def columns_of(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of every table: number, name, type, not null, default, primary key."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: connection.execute(f"PRAGMA table_info({table})").fetchall() for table in metadata.tables
        }


def test_the_revisions_are_those_of_the_checkout() -> None:
    checkout = Path(__file__).parents[2] / "migrations"
    assert folder("migrations") == checkout
    assert len(revisions()) == len(list((checkout / "versions").glob("*.py")))


def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(database: Database) -> None:
    with database.connection(writing=False) as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_the_migrations_make_what_the_tables_declare_to_the_letter(file: Path, tmp_path: Path) -> None:
    declared = tmp_path / "declared.db"
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    assert columns_of(file) == columns_of(declared)
    indexes = [row for row in schema_of(file) if row[0] == "index" and VERSION_TABLE not in row[1]]
    assert indexes == [row for row in schema_of(declared) if row[0] == "index"]
    assert {row[1] for row in schema_of(file) if row[0] == "trigger"} == {
        "amie_events_no_update",
        "amie_events_no_delete",
        "amie_events_no_replace",
    }


def test_every_table_and_index_begins_with_our_name(file: Path) -> None:
    assert all(name.startswith(("amie_", "sqlite_autoindex_amie_")) for _, name, *_ in schema_of(file))


def test_down_leaves_no_trace_and_up_again_makes_the_same(busy: Engine, file: Path) -> None:
    before = schema_of(file)
    assert migrate(busy.database, "base") == (head_revision(), None)
    assert schema_of(file) == []
    assert current_revision(busy.database) is None
    assert migrate(busy.database) == (None, head_revision())
    assert schema_of(file) == before
    busy.receive(project_request(1))
    assert [event.position for event in busy.log.whole.events()] == [1]


def test_down_where_there_is_nothing_does_nothing(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with closing(Database(f"sqlite:///{file}")) as database:
        assert migrate(database, "base") == (None, None)
    assert schema_of(file) == []


def test_the_way_to_a_later_revision_and_back_keeps_all_data(
    busy: Engine, file: Path, bare: Connect, release: Callable[..., None]
) -> None:
    events, projections, schema = read_rows(bare()), projection_rows(busy.database), schema_of(file)
    here = head_revision()
    release("later")
    assert migrate(busy.database) == (here, "9999")
    assert bare().execute("SELECT DISTINCT priority FROM amie_work").fetchall() == [(7,)]
    busy.receive(project_request(30))
    assert migrate(busy.database, here) == ("9999", here)
    release("this")
    assert read_rows(bare())[: len(events)] == events
    assert broken_at(read_rows(bare())) == []
    assert {row[:3] for row in schema_of(file)} == {row[:3] for row in schema}
    kept = projection_rows(busy.database)
    assert all(set(rows) <= set(kept[table]) for table, rows in projections.items())
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        bare().execute("DELETE FROM amie_events")


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        ("raise RuntimeError('half way')", RuntimeError),
        ("op.execute('INSERT INTO no_such_table VALUES (1)')", LogError),
        ("op.execute('DELETE FROM amie_events')", LogError),
    ],
)
def test_a_migration_that_fails_half_way_leaves_nothing(
    busy: Engine, file: Path, release: Callable[..., None], failure: str,
    raised: type[Exception],
) -> None:  # fmt: skip
    schema, projections = schema_of(file), projection_rows(busy.database)
    release("later", failure)
    with pytest.raises(raised):
        migrate(busy.database)
    release("this")
    assert schema_of(file) == schema
    assert projection_rows(busy.database) == projections
    assert current_revision(busy.database) == head_revision()
    busy.receive(project_request(31))


def test_a_first_migration_that_fails_half_way_leaves_an_empty_file(
    tmp_path: Path, release: Callable[..., None]
) -> None:
    file = tmp_path / "new.db"
    release("later", "raise RuntimeError('half way')")
    with pytest.raises(RuntimeError):
        Engine(f"sqlite:///{file}", site="NCSA")
    assert schema_of(file) == []
    release("this")
    Engine(f"sqlite:///{file}", site="NCSA").close()


def test_a_log_of_an_older_release_waits_for_the_operator(
    file: Path, bare: Connect, release: Callable[..., None]
) -> None:
    here, before = head_revision(), file.read_bytes()
    release("later")
    with pytest.raises(DatabaseSchemaOutdated, match=f"{here}.*9999.*migrate"):
        Engine(f"sqlite:///{file}", site="NCSA")
    assert file.read_bytes() == before
    with closing(Database(f"sqlite:///{file}")) as database:
        migrate(database)
    Engine(f"sqlite:///{file}", site="NCSA").close()


def test_a_log_of_a_newer_release_is_refused_and_left_alone(
    tmp_path: Path, release: Callable[..., None]
) -> None:
    file = tmp_path / "newer.db"
    release("later")
    Engine(f"sqlite:///{file}", site="NCSA").close()
    release("this")
    before = file.read_bytes()
    with pytest.raises(DatabaseSchemaNewer, match="9999"):
        Engine(f"sqlite:///{file}", site="NCSA")
    with closing(Database(f"sqlite:///{file}")) as database:
        for target in ("head", "base", head_revision()):
            with pytest.raises(DatabaseSchemaNewer, match="9999"):
                migrate(database, target)
    assert file.read_bytes() == before


def test_a_revision_that_is_not_there_is_a_mistake_in_the_call(database: Database) -> None:
    with pytest.raises(SettingsError, match="no revision 'no-such'"):
        migrate(database, "no-such")


@pytest.fixture
def new_files(tmp_path: Path) -> list[Path]:
    """Files for a log that are not there yet."""
    return [tmp_path / f"{number}.db" for number in range(6)]


def test_threads_that_make_logs_of_their_own_do_not_mix_them_up(new_files: list[Path], file: Path) -> None:
    def make(new: Path) -> None:
        Engine(f"sqlite:///{new}", site="NCSA").close()

    with ThreadPoolExecutor(3) as pool:
        for work in [pool.submit(make, new) for new in new_files]:
            work.result()
    assert all(schema_of(new) == schema_of(file) for new in new_files)
