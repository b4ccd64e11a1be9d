"""Replay, the check of the projections and their rebuilding, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from amie_engine.audit import check_projections, rebuild, replay
from amie_engine.engine import Engine
from amie_engine.log.schema import PROJECTIONS
from amie_engine.testing import Clock
from tests.log.busy_site import play, while_written_to
from tests.log.rebuilding import projection_rows


@pytest.fixture
def busy(migrated: str) -> Iterator[Engine]:
    """An engine whose log has a bit of everything in it."""
    clock = Clock()
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        play(engine, clock)
        yield engine


def _change(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(sql.encode()).rowcount > 0


def test_the_states_are_those_of_the_projection(busy: Engine) -> None:
    with replay(busy.database) as replayed:
        states = [(t.stream, t.type, t.state) for t in replayed.transactions()]
    assert states == [(t.stream, t.type, t.state) for t in busy.transactions()]


@pytest.mark.parametrize("table", [table.name for table in PROJECTIONS])
def test_whatever_differs_is_found_and_put_right(busy: Engine, migrated: str, table: str) -> None:
    good = projection_rows(busy.database)
    assert check_projections(busy.database).differing == {}
    columns = next(t for t in PROJECTIONS if t.name == table).columns
    text = next((c.name for c in columns if c.nullable), None)
    _change(migrated, f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})")
    if text is not None:
        _change(migrated, f"UPDATE {table} SET {text} = NULL WHERE {text} IS NOT NULL")
    result = check_projections(busy.database)
    assert set(result.differing) == {table}
    assert all(difference.position for difference in result.differences)
    assert rebuild(busy.database).changed == result.differing
    assert projection_rows(busy.database) == good


def test_readers_and_writers_go_on_while_they_are_rebuilt(busy: Engine, migrated: str) -> None:
    _change(migrated, "UPDATE amie_transactions SET state = 'failed'")
    with while_written_to(migrated):
        rebuilt = rebuild(busy.database)
    assert rebuilt.changed["amie_transactions"] > 10
    assert check_projections(busy.database).differing == {}


def test_another_schema_s_tables_are_not_touched(busy: Engine, new_schema: Any) -> None:
    """A database in which the tables stand in a schema of any name."""
    schemas = (
        "SELECT count(*) FROM pg_tables WHERE tablename = 'amie_transactions'"
        " AND schemaname NOT LIKE 'pg_temp%'"  # another session's, which may go at any time
    )
    with psycopg.connect(str(new_schema()), autocommit=True) as connection:
        before = connection.execute(schemas.encode()).fetchone()
        rebuild(busy.database)
        assert connection.execute(schemas.encode()).fetchone() == before


def test_a_row_beside_the_right_one_is_found_and_taken_away(busy: Engine, migrated: str) -> None:
    """Somebody has taken the keys away, and put in another row for the same transaction."""
    good = projection_rows(busy.database)
    for key in ("pkey", "wire_id"):
        with psycopg.connect(migrated, autocommit=True) as connection:
            connection.execute(
                f"ALTER TABLE amie_transactions DROP CONSTRAINT amie_transactions_{key}".encode()
            )
    names = [column.name for column in PROJECTIONS[0].columns]
    forged = ", ".join("'failed'" if name == "state" else name for name in names)
    _change(
        migrated,
        f"INSERT INTO amie_transactions ({', '.join(names)})"
        f" SELECT {forged} FROM amie_transactions WHERE state = 'completed' LIMIT 1",
    )
    result = check_projections(busy.database)
    assert result.differing == {"amie_transactions": 1}
    [difference] = result.differences
    assert (difference.found or {})["state"] == "failed"
    assert (difference.expected or {})["state"] == "completed"
    assert rebuild(busy.database).changed == {"amie_transactions": 1}
    assert projection_rows(busy.database) == good
