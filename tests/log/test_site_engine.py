"""A site gives its own SQLAlchemy engine: the log works on it, and the site notices nothing."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import NullPool, SingletonThreadPool, StaticPool, create_engine, event, text

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseUnavailable
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.testing import Clock
from tests.log.busy_site import project_request, whole_project
from tests.log.rebuilding import projection_rows


def with_begin_listeners(url: str) -> sqlalchemy.Engine:
    """The way that SQLAlchemy's documentation gives for real transactions on SQLite."""
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


KINDS: dict[str, Callable[[str], sqlalchemy.Engine]] = {
    "plain": create_engine,
    "begin listeners": with_begin_listeners,
    "autocommit": lambda url: create_engine(url, isolation_level="AUTOCOMMIT"),
    "no pool": lambda url: create_engine(url, poolclass=NullPool),
    "one connection": lambda url: create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1),
    "one connection a thread": lambda url: create_engine(url, poolclass=SingletonThreadPool),
    "rows by name": lambda url: create_engine(url, connect_args={"factory": NamingConnection}),
    "options": lambda url: create_engine(url).execution_options(isolation_level="AUTOCOMMIT"),
}
if sys.version_info >= (3, 12):  # the driver has a newer mode of transactions
    KINDS["driver without autocommit"] = lambda url: create_engine(url, connect_args={"autocommit": False})
    KINDS["driver with autocommit"] = lambda url: create_engine(url, connect_args={"autocommit": True})


class NamingConnection(sqlite3.Connection):
    """A connection whose rows have names."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row_factory = sqlite3.Row


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file of the site's, with a table of its own."""
    url = f"sqlite:///{tmp_path / 'site.db'}?timeout=0.2"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    engine.dispose()
    return url


@pytest.fixture(params=KINDS)
def site_engine(request: pytest.FixtureRequest, url: str) -> Iterator[sqlalchemy.Engine]:
    """A site's engine, of every kind that a site may have."""
    engine = KINDS[request.param](url)
    migrate(Database(engine))
    yield engine
    engine.dispose()


def names(engine: sqlalchemy.Engine) -> list[str]:
    """The site's own data."""
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(text("SELECT name FROM users ORDER BY name"))]


def settings_of(engine: sqlalchemy.Engine) -> dict[str, Any]:
    """What a connection of the site's is set to."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        pragmas = ("synchronous", "journal_mode", "busy_timeout", "foreign_keys", "locking_mode")
        return {
            "isolation_level": driver.isolation_level,
            "autocommit": getattr(driver, "autocommit", None),
            "level": connection.get_isolation_level(),
        } | {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas}


def test_the_log_works_beside_the_sites_own_tables(site_engine: sqlalchemy.Engine, clock: Clock) -> None:
    with Engine(site_engine, site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        engine.receive(b"no packet")
        with Engine(str(site_engine.url), site="NCSA", clock=clock) as same:
            assert projection_rows(same.database) == projection_rows(engine.database)
    with site_engine.begin() as connection:
        connection.execute(text("INSERT INTO users VALUES ('robin')"))
    assert names(site_engine) == ["robin"]


def test_the_sites_connections_are_as_before(site_engine: sqlalchemy.Engine, clock: Clock) -> None:
    @event.listens_for(site_engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        autocommit = getattr(driver, "autocommit", None)
        if autocommit is False:  # else these would have no effect
            driver.autocommit = True
        for setting in ("synchronous=OFF", "busy_timeout=77", "foreign_keys=ON"):
            driver.execute(f"PRAGMA {setting}")
        if autocommit is False:
            driver.autocommit = False

    site_engine.dispose()
    before = settings_of(site_engine)
    engine = Engine(site_engine, site="NCSA", clock=clock)
    whole_project(engine, clock, 1)
    assert settings_of(site_engine) == before
    with pytest.raises(ZeroDivisionError), engine.log.write():
        raise ZeroDivisionError
    with pytest.raises(DatabaseUnavailable), engine.log.read() as reader:
        reader.cursor._cursor.execute("SELECT * FROM no_such_table")
    assert settings_of(site_engine) == before
    engine.close()
    assert names(site_engine) == []


@pytest.mark.parametrize(("sites", "logs"), [(0, 2), (1, 2), (2, 2), (3, 3)])
def test_the_logs_own_writes_are_durable_whatever_the_site_has_set(
    url: str, clock: Clock, sites: int, logs: int
) -> None:
    site_engine = create_engine(url, pool_size=1, max_overflow=0)

    @event.listens_for(site_engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.execute(f"PRAGMA synchronous={sites}")

    migrate(Database(site_engine))
    engine = Engine(site_engine, site="NCSA", clock=clock)
    with engine.log.write() as writer:
        writer.cursor._cursor.execute("PRAGMA synchronous")
        assert writer.cursor._cursor.fetchone() == (logs,)
    with site_engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == sites
    site_engine.dispose()


def test_a_transaction_of_the_sites_on_another_connection_is_not_disturbed(url: str, clock: Clock) -> None:
    site_engine = create_engine(url)
    migrate(Database(site_engine))
    engine = Engine(site_engine, site="NCSA", clock=clock)
    with site_engine.begin() as reading:
        assert reading.execute(text("SELECT count(*) FROM users")).scalar() == 0
        assert engine.transactions() == []
    with site_engine.begin() as writing:
        writing.execute(text("INSERT INTO users VALUES ('robin')"))
        assert engine.transactions() == []
        with pytest.raises(DatabaseUnavailable, match="locked"):
            engine.receive(project_request(1))
        writing.execute(text("INSERT INTO users VALUES ('sam')"))
    assert names(site_engine) == ["robin", "sam"]
    engine.receive(project_request(1))
    with site_engine.connect() as undecided:
        undecided.execute(text("INSERT INTO users VALUES ('kim')"))
        assert len(engine.transactions()) == 1
        undecided.rollback()
    assert names(site_engine) == ["robin", "sam"]
    site_engine.dispose()


def test_a_transaction_of_the_sites_on_the_only_connection_is_neither_committed_nor_undone(
    clock: Clock,
) -> None:
    site_engine = create_engine("sqlite://", poolclass=SingletonThreadPool)
    migrate(Database(site_engine))
    engine = Engine(site_engine, site="NCSA", clock=clock)
    with site_engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    with site_engine.connect() as connection:
        connection.execute(text("INSERT INTO users VALUES ('robin')"))
        with pytest.raises(DatabaseUnavailable, match="transaction of the site's own"):
            engine.receive(project_request(1))
        assert connection.execute(text("SELECT name FROM users")).scalar() == "robin"
        connection.rollback()
    assert names(site_engine) == []
    engine.receive(project_request(1))
    site_engine.dispose()


def test_a_site_that_disposes_of_its_engine_is_followed_to_its_new_pool(url: str, clock: Clock) -> None:
    site_engine = create_engine(url)
    migrate(Database(site_engine))
    engine = Engine(site_engine, site="NCSA", clock=clock)
    engine.receive(project_request(1))
    site_engine.dispose()
    assert len(engine.transactions()) == 1
    assert engine.database.engine.pool is site_engine.pool
    assert site_engine.pool.checkedin() == 1  # type: ignore[attr-defined] # of a QueuePool
    site_engine.dispose()


def test_closing_the_engine_leaves_the_sites_open(url: str, clock: Clock) -> None:
    site_engine = create_engine(url, poolclass=StaticPool)
    migrate(Database(site_engine))
    Engine(site_engine, site="NCSA", clock=clock).close()
    assert names(site_engine) == []
    site_engine.dispose()
