"""The projections hold what the events' facts say, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from amie_engine.engine import Engine
from amie_engine.engine.unit import UnitOfWork, in_unit
from amie_engine.log.database import Database
from amie_engine.log.events import EventType
from amie_engine.log.schema import PROJECTIONS
from amie_engine.log.store import EventLog
from amie_engine.testing import Clock
from tests.log.rebuilding import projection_rows, rebuild


@pytest.fixture
def second(tmp_path: Path, empty_log: Path) -> Database:
    """A second database with the same schema and nothing in it."""
    return Database(f"sqlite:///{shutil.copy(empty_log, tmp_path / 'rebuilt.db')}")


def test_the_log_under_test_has_every_event_and_a_row_in_every_projection(busy: Engine) -> None:
    assert {event.type for event in busy.log.whole.events()} == set(EventType)
    rows = projection_rows(busy.database)
    assert set(rows) == {table.name for table in PROJECTIONS}
    assert all(rows.values())


def test_rebuilt_from_facts_alone_every_projection_is_the_same(busy: Engine, second: Database) -> None:
    assert rebuild(busy.log, second) == projection_rows(busy.database)
    second.close()


def test_an_append_that_fails_leaves_the_projections_as_they_were(busy: Engine) -> None:
    before = projection_rows(busy.database)

    def empty_them_all(unit: UnitOfWork) -> None:
        for table in PROJECTIONS:
            unit.cursor._cursor.execute(f"DELETE FROM {table.name}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_unit(busy.log, empty_them_all)
    assert projection_rows(busy.database) == before


def test_another_site_in_the_same_database_has_projections_of_its_own(busy: Engine, clock: Clock) -> None:
    ours = busy.transactions()
    with Engine(str(busy.database.engine.url), site="PSC", clock=clock) as other:
        assert other.transactions() == []
        assert isinstance(other.log, EventLog)
    assert busy.transactions() == ours
