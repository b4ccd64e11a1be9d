"""A fresh SQLite file with the log's schema, and a log whose clock the test sets."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amie_engine.engine import Engine
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.log.store import EventLog
from amie_engine.testing import Clock
from tests.log.busy_site import play


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and nothing in it, to be copied: that is faster than to migrate."""
    file = tmp_path_factory.mktemp("log") / "empty.db"
    database = Database(f"sqlite:///{file}")
    migrate(database)
    database.close()
    return file


@pytest.fixture(scope="session")
def busy_log(tmp_path_factory: pytest.TempPathFactory, empty_log: Path) -> Path:
    """A SQLite file with a bit of everything in it, to be copied."""
    file = Path(shutil.copy(empty_log, tmp_path_factory.mktemp("busy") / "busy.db"))
    clock = Clock()
    with numbered_engine(file, clock) as engine:
        play(engine, clock)
    return file


def numbered_engine(file: Path, clock: Clock) -> Engine:
    """An engine of the site NCSA whose streams are numbered, from stream-1."""
    numbers = iter(range(1, 1_000_000))
    return Engine(f"sqlite:///{file}", site="NCSA", clock=clock, new_id=lambda: f"stream-{next(numbers)}")


@pytest.fixture
def file(tmp_path: Path, empty_log: Path) -> Path:
    """A fresh SQLite file with the schema."""
    return Path(shutil.copy(empty_log, tmp_path / "amie.db"))


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    """A database in a fresh SQLite file."""
    database = Database(f"sqlite:///{file}?timeout=10")
    yield database
    database.close()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def log(database: Database, clock: Clock) -> EventLog:
    """The log of the site NCSA in a fresh SQLite file."""
    return EventLog(database, hub="access", site="NCSA", clock=clock)


@pytest.fixture
def engine(file: Path, clock: Clock) -> Iterator[Engine]:
    """An engine of the site NCSA on a fresh SQLite file."""
    with numbered_engine(file, clock) as engine:
        yield engine


@pytest.fixture
def busy(file: Path, busy_log: Path, clock: Clock) -> Iterator[Engine]:
    """An engine of the site NCSA whose log has a bit of everything in it. Its clock is far ahead of it."""
    shutil.copy(busy_log, file)
    clock.forward(days=1000)
    with Engine(f"sqlite:///{file}", site="NCSA", clock=clock) as engine:
        yield engine


@pytest.fixture
def bare(file: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """A function that opens a bare connection to the file, without any of our code, in autocommit mode."""
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(file, isolation_level=None, timeout=1))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
