"""The fixtures of the log's tests: a fresh log, and a busy one; and one that is open to tampering."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine.engine import Engine
from amie_engine.testing import Clock
from tests.audit.tampering import OpenLog, drop_triggers, erase_some, open_file
from tests.log.conftest import bare, busy, busy_log, clock, database, empty_log, engine, file, log

__all__ = ["bare", "busy", "busy_log", "clock", "database", "empty_log", "engine", "file", "log"]


@pytest.fixture(scope="session")
def erased_file(busy_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A busy log of which documents were erased, and whose triggers were dropped."""
    file = Path(shutil.copy(busy_log, tmp_path_factory.mktemp("erased") / "amie.db"))
    clock = Clock()
    clock.forward(days=1000)
    with Engine(f"sqlite:///{file}", site="NCSA", clock=clock) as engine:
        erase_some(engine, clock)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        drop_triggers(connection)
    return file


@pytest.fixture(scope="session")
def _open_file(erased_file: Path) -> Iterator[OpenLog]:
    with open_file(erased_file) as log:
        yield log


@pytest.fixture
def open_log(_open_file: OpenLog, request: pytest.FixtureRequest) -> OpenLog:
    """That log, open to tampering; the same places for the same test."""
    _open_file.random.seed(request.node.name)
    return _open_file
