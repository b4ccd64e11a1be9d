"""Moving a log between SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect

from amie_engine.audit import check_projections, export, import_log, importing
from amie_engine.engine import Engine
from amie_engine.errors import DatabaseForeign, ExportUnreadable, LogNotEmpty, StagedCallsWaiting
from amie_engine.log.database import Database
from amie_engine.testing import Clock
from tests.audit.moving_world import everything, everything_at, exported
from tests.log.busy_site import play, whole_project
from tests.log.chain_check import COLUMNS, broken_at


@contextmanager
def at(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a SQLite log with a bit of everything in it."""
    url = f"sqlite:///{tmp_path / 'amie.db'}"
    clock = Clock()
    with Engine(url, site="NCSA", clock=clock) as engine:
        play(engine, clock)
    return url


def tables_at(url: str) -> list[str]:
    with at(url) as database, database.connection(writing=False) as connection:
        return inspect(connection).get_table_names()


@pytest.mark.parametrize("made_before", [False, True])
def test_a_site_moves_from_sqlite_to_postgresql_and_back(
    sqlite: str, new_schema: Callable[[], str], migrated: str, tmp_path: Path, made_before: bool
) -> None:
    postgresql = migrated if made_before else new_schema()
    before = everything_at(sqlite)
    with at(sqlite) as source, at(postgresql) as target:
        imported = import_log(target, source)
        assert (imported.count, imported.made_tables) == (before[1].position, not made_before)
        assert everything(target) == before
        assert check_projections(target).differing == {}
    back = f"sqlite:///{tmp_path / 'back.db'}"
    with at(postgresql) as source, at(back) as target:
        import_log(target, source)
        assert everything(target) == before
        assert check_projections(target).differing == {}
    assert broken_at([dict(zip(COLUMNS, row, strict=True)) for row in everything_at(back)[0]]) == []


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_an_export_of_one_is_that_of_the_other(sqlite: str, url: str, tmp_path: Path, name: str) -> None:
    with at(sqlite) as source, at(url) as target:
        export(source, tmp_path / name)
        import_log(target, tmp_path / name)
        assert everything(target) == everything(source)
        assert exported(source, tmp_path / "a.jsonl") == exported(target, tmp_path / "b.jsonl")


def test_a_log_that_has_moved_goes_on(sqlite: str, url: str) -> None:
    with at(sqlite) as source, at(url) as target:
        import_log(target, source)
    clock = Clock()
    clock.forward(days=2000)
    with Engine(url, site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 300)
        assert engine.expected_reply(50_300).state == "completed"
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in engine.log.whole.rows()]
    assert broken_at(rows) == []


def test_whatever_memory_has_forgotten_is_read_again(
    sqlite: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH", 7)
    monkeypatch.setattr(importing, "_STREAMS", 7)
    with at(sqlite) as source, at(url) as target:
        import_log(target, source)
        assert everything(target) == everything(source)


def test_an_import_that_fails_leaves_not_even_tables(sqlite: str, url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with at(sqlite) as source, at(url) as target:
        export(source, file)
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:-1]))
        with pytest.raises(ExportUnreadable, match="cut off"):
            import_log(target, file)
        twice = lines[40].replace(b'"version":', b'"version":1')
        file.write_bytes(b"".join([*lines[:40], twice, *lines[41:]]))
        with pytest.raises(ExportUnreadable, match="position 40 "):
            import_log(target, file)
    assert tables_at(url) == []


def test_a_log_with_events_is_left_as_it_is(sqlite: str, url: str) -> None:
    with at(sqlite) as source, at(url) as target:
        import_log(target, source)
        before = everything(target)
        with pytest.raises(LogNotEmpty):
            import_log(target, source)
        assert everything(target) == before


def test_tables_of_somebody_else_are_left_alone(sqlite: str, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE amie_events (position integer)")
    with at(sqlite) as source, at(url) as target, pytest.raises(DatabaseForeign):
        import_log(target, source)
    assert tables_at(url) == ["amie_events"]


def test_what_is_staged_would_stay_behind(sqlite: str, migrated: str, tmp_path: Path) -> None:
    with at(sqlite) as source, at(migrated) as target:
        import_log(target, source)
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO amie_staged (hub, site, call, arguments, staged_at) VALUES ('h', 's', '', '{}', '')"
        )
    back = f"sqlite:///{tmp_path / 'back.db'}"
    with at(migrated) as source, at(back) as target, pytest.raises(StagedCallsWaiting):
        import_log(target, source)
