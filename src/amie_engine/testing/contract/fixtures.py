"""What the contract's tests begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amie_engine.engine import Engine
from amie_engine.log.store import EventLog
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.story import SITE, tell_story

__all__ = ["Fixtures", "OpenEngine"]

OpenEngine = Callable[..., Engine]


class Fixtures:
    """The fixtures; a site gives ``database_url``."""

    @pytest.fixture
    def database_url(self) -> str:
        """The URL of a log that was migrated and is empty, another for each test."""
        pytest.fail("Give a fixture database_url: the URL of a migrated, empty log, another for each test.")

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock that stands still until the test moves it."""
        return Clock()

    @pytest.fixture
    def open_engine(self, database_url: str, clock: Clock) -> Iterator[OpenEngine]:
        """A function that opens an engine on the log; it is closed at the end."""
        opened: list[Engine] = []

        def make(database: Any = None, **options: Any) -> Engine:
            settings: dict[str, Any] = {"site": SITE, "clock": clock} | options
            opened.append(Engine(database_url if database is None else database, **settings))
            return opened[-1]

        yield make
        for engine in opened:
            engine.close()

    @pytest.fixture
    def engine(self, open_engine: OpenEngine) -> Engine:
        """An engine on the log."""
        return open_engine()

    @pytest.fixture
    def log(self, engine: Engine) -> EventLog:
        """The log beneath the engine."""
        return engine.log

    @pytest.fixture
    def busy(self, engine: Engine, clock: Clock) -> Engine:
        """An engine in whose log a bit of everything has happened."""
        tell_story(engine, clock)
        return engine

    @pytest.fixture
    def sql(self, database_url: str) -> Iterator[Sql]:
        """A way into the database without the log's code."""
        sql = Sql(database_url)
        yield sql
        sql.close()
