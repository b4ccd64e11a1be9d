"""What the engine's tests share: an engine on a fresh file, with a clock and ids that the test controls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_engine import Engine
from tests.engine.playing import START_TIME, Clock, Ids


@pytest.fixture
def clock() -> Clock:
    return Clock(START_TIME)


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and nothing in it: copying it is faster than to migrate one for each test."""
    file = tmp_path_factory.mktemp("empty") / "amie.db"
    Engine(f"sqlite:///{file}", site="NCSA").close()
    return file


@pytest.fixture
def engine(tmp_path: Path, empty_log: Path, clock: Clock) -> Iterator[Engine]:
    file = shutil.copy(empty_log, tmp_path / "amie.db")
    with Engine(f"sqlite:///{file}", site="NCSA", clock=clock, new_id=Ids()) as made:
        yield made
