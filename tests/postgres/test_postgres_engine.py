"""The engine on PostgreSQL: the same log, to the last hash, as on SQLite; and many writers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from amie_engine.engine import Engine
from amie_engine.log.database import Database
from amie_engine.testing import Clock
from tests.log.busy_site import play, project_request, sample, whole_project
from tests.log.rebuilding import projection_rows


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Clock], Engine]:
    """A function that opens an engine whose ids and salts are numbers, so that two logs can be equal."""

    def open_engine(url: str, clock: Clock) -> Engine:
        salts, streams = count(1), count(1)
        monkeypatch.setattr("amie_engine.log.canonical.token_hex", lambda size: f"{next(salts):0{2 * size}x}")
        return Engine(url, site="NCSA", clock=clock, new_id=lambda: f"stream-{next(streams)}")

    return open_engine


@pytest.fixture
def engine(migrated: str, clock: Clock) -> Iterator[Engine]:
    """An engine on a fresh log."""
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        yield engine


def all_columns(engine: Engine) -> list[tuple[Any, ...]]:
    """Every event with all of its columns, and the counter row."""
    with engine.database.connection(writing=False) as connection:
        events = connection.execute(text("SELECT * FROM amie_events ORDER BY position")).fetchall()
        head = connection.execute(text("SELECT position, hash, recorded_at FROM amie_log_head")).fetchall()
    return [tuple(row) for row in (*events, *head)]


@pytest.mark.parametrize("act", [lambda engine, clock: whole_project(engine, clock, 1), play])
def test_what_is_done_to_both_makes_the_same_log_and_projections(
    migrated: str,
    tmp_path: Path,
    numbered: Callable[[str, Clock], Engine],
    act: Callable[[Engine, Clock], None],
) -> None:
    logs = []
    for url in (migrated, f"sqlite:///{tmp_path / 'amie.db'}"):
        clock = Clock()
        with numbered(url, clock) as engine:
            act(engine, clock)
            summaries = [transaction.state for transaction in engine.transactions()]
            logs.append((all_columns(engine), projection_rows(engine.database), summaries))
    on_postgresql, on_sqlite = logs
    assert on_postgresql == on_sqlite
    assert on_postgresql[2][0] == "completed"


def test_threads_that_receive_packets_of_one_new_transaction_put_them_into_one(
    migrated: str, clock: Clock
) -> None:
    with Engine(migrated, site="NCSA", clock=clock) as engine, ThreadPoolExecutor(2) as pool:
        for number in range(5):
            early = sample("spec/data_project_create", transaction=50_000 + number, packet=80_000 + number)
            list(pool.map(engine.receive, (early, project_request(number))))
        assert [transaction.held for transaction in engine.transactions()] == [1] * 5


def test_the_database_is_named_without_its_password(migrated: str) -> None:
    with Engine(migrated.replace("postgres:@", "postgres:correct-horse@"), site="NCSA") as engine:
        assert "correct-horse" not in repr(engine)
    assert isinstance(engine.database, Database)
