"""The hash chain, recomputed from the table's columns by other code than the log's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from amie_engine.engine import Engine
from tests.log.busy_site import Clock, whole_project
from tests.log.chain_check import COLUMNS, Row, broken_at, hash_of, read_rows

Connect = Callable[[], sqlite3.Connection]


@pytest.fixture
def rows(busy: Engine, bare: Connect) -> list[Row]:
    """The events of a busy log."""
    return read_rows(bare())


def other(value: Any) -> Any:
    """Another value of the same kind, which differs in as little as can be."""
    if value is None:
        return "x"
    return value + 1 if isinstance(value, int) else value[:-1] + chr(ord(value[-1]) ^ 1)


def test_the_chain_of_a_busy_log_holds_and_ends_in_the_counter_row(rows: list[Row], bare: Connect) -> None:
    assert broken_at(rows) == []
    last = rows[-1]
    head = bare().execute("SELECT position, hash, recorded_at FROM amie_log_head").fetchall()
    assert head == [(last["position"], last["hash"], last["recorded_at"])]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_byte_in_any_column_shows(rows: list[Row], column: str) -> None:
    for index in (0, len(rows) // 2, len(rows) - 1):
        changed = [dict(row) for row in rows]
        changed[index][column] = other(changed[index][column])
        assert index in broken_at(changed)


def test_a_change_that_covers_its_own_traces_shows_in_the_next_event(rows: list[Row]) -> None:
    rows[2]["actor"] = "somebody else"
    rows[2]["hash"] = hash_of(rows[2], rows[1]["hash"])
    assert broken_at(rows) == [3]


def test_an_event_that_is_missing_or_in_another_place_shows(rows: list[Row]) -> None:
    assert broken_at(rows[:3] + rows[4:])
    assert broken_at([*rows[:2], rows[3], rows[2], *rows[4:]])


def test_erasing_a_document_breaks_nothing(busy: Engine, clock: Clock, bare: Connect) -> None:
    connection = bare()
    connection.execute(
        "UPDATE amie_events SET document = NULL, document_salt = NULL WHERE document IS NOT NULL"
    )
    whole_project(busy, clock, 3)
    rows = read_rows(connection)
    assert [row for row in rows if row["document"] is None]
    assert broken_at(rows) == []


def test_the_salt_is_another_in_every_event(rows: list[Row]) -> None:
    salts = [row["document_salt"] for row in rows if row["document_salt"] is not None]
    assert len(set(salts)) == len(salts) > 3
    assert all(len(salt) == 32 for salt in salts)
