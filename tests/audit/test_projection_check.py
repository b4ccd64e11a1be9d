"""The projections against the events: every difference is found, named and put right."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine.audit import check_projections, rebuild, verify
from amie_engine.engine import Engine, shadow
from amie_engine.errors import LogDamaged
from amie_engine.log.database import Database
from amie_engine.log.schema import PROJECTIONS
from amie_engine.testing import Clock
from tests.audit.tampering import drop_triggers
from tests.log.busy_site import answer, project_request, while_written_to, whole_project
from tests.log.rebuilding import projection_rows

COLUMNS = [(table.name, column.name) for table in PROJECTIONS for column in table.columns]
KEYS = {(table.name, column.name) for table in PROJECTIONS for column in table.primary_key}
TABLES = [table.name for table in PROJECTIONS]

Bare = Callable[[], sqlite3.Connection]


def test_of_a_log_that_nobody_touched_nothing_differs(busy: Engine) -> None:
    before = projection_rows(busy.database)
    result = check_projections(busy.database)
    assert (result.differing, result.differences) == ({}, ())
    assert result.position == busy.log.whole.head().position
    assert result.rows == {name: len(rows) for name, rows in before.items()}
    assert projection_rows(busy.database) == before


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_changed_column_is_found_and_put_right(busy: Engine, bare: Bare, table: str, column: str) -> None:
    good = projection_rows(busy.database)
    [rowid] = bare().execute(f"SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT 1").fetchone()
    change = (
        f"UPDATE {table} SET {column} = CASE typeof({column}) WHEN 'integer' THEN {column} + 1 ELSE 'x' END"
    )
    assert bare().execute(f"{change} WHERE rowid = ?", (rowid,)).rowcount == 1
    result = check_projections(busy.database)
    assert set(result.differing) == {table}
    is_key = (table, column) in KEYS
    assert result.differing[table] == (2 if is_key else 1)
    if not is_key:
        [difference] = result.differences
        assert difference.columns == (column,)
        assert difference.position is not None
    assert rebuild(busy.database).changed == result.differing
    assert projection_rows(busy.database) == good
    assert rebuild(busy.database).changed == {}


@pytest.mark.parametrize("table", TABLES)
def test_missing_rows_are_found_and_put_right(busy: Engine, bare: Bare, table: str) -> None:
    good = projection_rows(busy.database)
    count = bare().execute(f"DELETE FROM {table}").rowcount
    result = check_projections(busy.database)
    assert result.differing == {table: count}
    assert all(d.found is None and d.is_behind and d.position for d in result.differences)
    assert rebuild(busy.database).changed == {table: count}
    assert projection_rows(busy.database) == good


def test_a_row_that_no_event_made_is_found_and_removed(busy: Engine, bare: Bare) -> None:
    bare().execute("INSERT INTO amie_directory_persons VALUES ('access', 'NCSA', 'forged', NULL, NULL)")
    [difference] = check_projections(busy.database).differences
    assert (difference.expected, difference.position, difference.is_behind) == (None, None, False)
    assert rebuild(busy.database).changed == {"amie_directory_persons": 1}
    assert check_projections(busy.database).differing == {}


def test_a_projection_that_stood_still_is_told_where_it_did(engine: Engine, bare: Bare, clock: Clock) -> None:
    engine.receive(project_request(1))
    kept = projection_rows(engine.database)
    answer(engine, 50_001, ProjectID="p", PiPersonID="u", PiRemoteSiteLogin="robin")
    [columns] = [table.columns.keys() for table in PROJECTIONS if table.name == "amie_transactions"]
    bare().execute("DELETE FROM amie_transactions")
    marks = ", ".join("?" * len(columns))
    bare().execute(f"INSERT INTO amie_transactions VALUES ({marks})", kept["amie_transactions"][0])
    [difference] = check_projections(engine.database).differences
    assert (difference.table, difference.position, difference.is_behind) == ("amie_transactions", 2, True)


def test_the_first_difference_is_that_of_the_earliest_event(busy: Engine, bare: Bare) -> None:
    bare().execute("UPDATE amie_transactions SET held = held + 1")
    bare().execute("UPDATE amie_directory_accounts SET login = 'x'")
    result = check_projections(busy.database)
    positions = [difference.position or 0 for difference in result.differences]
    assert len(positions) > 5
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM amie_events WHERE position > 100", "ends with event 100, and its counter says"),
        ("DELETE FROM amie_events WHERE position = 70", "The event at position 70 is missing"),
        ("DELETE FROM amie_events WHERE position = 1", "The event at position 1 is missing"),
        ("UPDATE amie_log_head SET position = 100", "The log's counter says that event 100 is the newest"),
        ("UPDATE amie_log_head SET hash = 'x'", "The counter's hash is not that of the newest event"),
        ("DELETE FROM amie_log_head", "The counter row of the log is missing"),
    ],
)
@pytest.mark.parametrize("page", [1, 1000])
def test_where_events_are_missing_nothing_is_compared_and_nothing_rebuilt(
    busy: Engine, bare: Bare, monkeypatch: pytest.MonkeyPatch, sql: str, told: str, page: int
) -> None:
    monkeypatch.setattr(shadow, "_PAGE", page)
    drop_triggers(bare())
    bare().execute(sql)
    before = projection_rows(busy.database)
    for called in (check_projections, rebuild):
        with pytest.raises(LogDamaged, match=told) as caught:
            called(busy.database)
        assert "amie-engine verify" in caught.value.hint
    assert projection_rows(busy.database) == before


def test_events_that_go_while_projections_are_rebuilt_are_noticed_before_anything_is_changed(
    busy: Engine, bare: Bare
) -> None:
    drop_triggers(bare())
    bare().execute("UPDATE amie_transactions SET held = held + 1")
    before = projection_rows(busy.database)

    def cut(done: int, total: int) -> None:
        bare().execute("DELETE FROM amie_events WHERE position = ?", (total,))

    with pytest.raises(LogDamaged, match="The log ends with event"):
        rebuild(busy.database, cut)
    assert projection_rows(busy.database) == before


def test_readers_and_writers_go_on_while_projections_are_rebuilt(
    busy: Engine, bare: Bare, file: Path
) -> None:
    bare().execute("UPDATE amie_transactions SET state = 'failed'")
    bare().execute("DELETE FROM amie_directory_projects")
    with while_written_to(f"sqlite:///{file}"):
        rebuilt = rebuild(busy.database)
    assert rebuilt.changed["amie_directory_projects"] > 1
    assert check_projections(busy.database).differing == {}


def test_nothing_temporary_stays_behind(busy: Engine, bare: Bare) -> None:
    tables = bare().execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    check_projections(busy.database)
    rebuild(busy.database)
    assert bare().execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == tables
    with busy.database.read() as cursor:
        cursor._cursor.execute("SELECT count(*) FROM sqlite_temp_master")
        assert cursor._cursor.fetchone() == (0,)


def test_a_log_in_memory_is_checked_and_rebuilt_too(clock: Clock) -> None:
    with Engine("sqlite://", site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        with engine.database.write() as cursor:
            cursor._cursor.execute("DELETE FROM amie_work")
        assert check_projections(engine.database).differing == {"amie_work": 2}
        assert rebuild(engine.database).changed == {"amie_work": 2}
        assert check_projections(engine.database).differing == {}
        whole_project(engine, clock, 2)
        assert check_projections(engine.database).differing == {}


def test_progress_is_told(busy: Engine) -> None:
    told: list[tuple[int, int]] = []
    check_projections(busy.database, lambda done, total: told.append((done, total)))
    newest = busy.log.whole.head().position
    assert told[-1] == (newest, newest)


def test_a_file_that_may_not_be_written_can_be_checked(busy: Engine, file: Path) -> None:
    busy.close()
    database = Database(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert check_projections(database).differing == {}
    database.close()


@pytest.mark.parametrize("table", [table.name for table in PROJECTIONS])
def test_a_text_that_is_none_is_found_and_put_right(busy: Engine, bare: Bare, table: str) -> None:
    """A damaged file, or a hand: no reader could read such a row."""
    good = projection_rows(busy.database)
    columns = next(each for each in PROJECTIONS if each.name == table).columns
    text = next(c.name for c in columns if not c.primary_key and c.name not in ("hub", "site"))
    bare().execute(
        f"UPDATE {table} SET {text} = CAST(x'fffe' AS TEXT) WHERE rowid = (SELECT min(rowid) FROM {table})"
    )
    result = check_projections(busy.database)
    assert result.differing == {table: 1}
    verdict = verify(busy.database)
    assert (verdict.events_whole, verdict.projections_agree) == (True, False)
    assert rebuild(busy.database).changed == {table: 1}
    assert projection_rows(busy.database) == good
