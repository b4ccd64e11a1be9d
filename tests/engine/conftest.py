"""What the engine's tests share: an engine on a fresh log, with a clock and ids that the test controls."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import StaticPool

from amie_engine import Engine
from amie_engine.testing import Clock
from tests.engine.playing import Ids, ticking_clock


@pytest.fixture
def clock() -> Clock:
    return ticking_clock()


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite file with the schema and nothing in it: to copy it is faster than to migrate one a test."""
    file: Path = tmp_path_factory.mktemp("empty") / "amie.db"
    Engine(f"sqlite:///{file}", site="NCSA").close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=DELETE")
    content = connection.serialize()
    connection.close()
    return content


@pytest.fixture
def new_log(empty_log: bytes) -> Iterator[Callable[[], sqlalchemy.Engine]]:
    """Makes databases in memory with the schema and nothing in them: no test here is about the disk."""
    made: list[sqlalchemy.Engine] = []

    def make() -> sqlalchemy.Engine:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.deserialize(empty_log)
        database = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, creator=lambda: connection)
        made.append(database)
        return database

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def engine(new_log: Callable[[], sqlalchemy.Engine], clock: Clock) -> Engine:
    return Engine(new_log(), site="NCSA", clock=clock, new_id=Ids())
