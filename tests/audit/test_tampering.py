"""Thousands of tamperings with a log in SQLite: every one is found, and its position is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.audit.tampering import INTEGERS, TEXTS, OpenLog, Way, open_file, tamper
from tests.audit.ways import BY_SEAL_ALONE, ON_BOTH, where
from tests.log.chain_check import COLUMNS

BYTES, TYPES, WAYS, SEALED = 60, 20, 40, 50
"""How often to go each way."""


def test_a_log_that_nobody_touched_is_whole(open_log: OpenLog) -> None:
    verdict = open_log.verify()
    assert (verdict.count, verdict.kinds, verdict.problems) == (0, {}, ())
    assert verdict.events == verdict.position == open_log.end > 130
    assert len(open_log.erasures) > 1
    assert open_log.verify(seal=open_log.seal(open_log.end), since=open_log.seal(1)).whole


def test_there_are_thousands() -> None:
    ways = BYTES * len(TEXTS) + TYPES * (len(COLUMNS) - 1) + WAYS * len(ON_BOTH) + SEALED * len(BY_SEAL_ALONE)
    assert ways >= 3000


@pytest.mark.parametrize("way", ON_BOTH, ids=lambda way: way.__name__)
def test_every_way_to_tamper_is_found(open_log: OpenLog, way: Way) -> None:
    tamper(open_log, way, WAYS)


@pytest.mark.parametrize("way", BY_SEAL_ALONE, ids=lambda way: way.__name__)
def test_who_can_make_the_hashes_anew_is_found_by_the_seal(open_log: OpenLog, way: Way) -> None:
    verdicts = tamper(open_log, way, SEALED, seal_from=True)
    seals = {"log-shorter-than-seal", "sealed-event-differs", "seal-of-another-log"}
    assert {code for verdict in verdicts for code in verdict.kinds} <= seals


# What SQLite lets be stored


def store(log: OpenLog, column: str, make: Any) -> int | None:
    """Put another value into a column of any event: an SQL expression and its parameter."""
    row = log.events[log.place() - 1]
    expression, value = make(log, row[column])
    log.run(f"UPDATE amie_events SET {column} = {expression} WHERE position = ?", value, row["position"])
    return where(log, row)


def other_byte(log: OpenLog, value: str | None) -> tuple[str, Any]:
    """Any byte in the place of one; the text is then often none."""
    stored = bytearray((value or " ").encode())
    stored[log.random.randrange(len(stored))] ^= log.random.randint(1, 255)
    return "CAST(? AS TEXT)", bytes(stored)


def other_type(log: OpenLog, value: Any) -> tuple[str, Any]:
    """The same value as another type, or as little else as can be."""
    if value is None:
        return "?", log.random.choice(["", "None", 0, b"", b"null"])
    if isinstance(value, int):
        return "?", log.random.choice([f"{value}x", value + 0.5, str(value).encode(), f"{value}\0", b"", ""])
    changed = [
        f"{value}\0",
        f"{value} ",
        f" {value}",
        f"\ufeff{value}",
        value.encode(),
        b"",
        value.swapcase() + "\n",
    ]
    return "?", log.random.choice(changed)


@pytest.mark.parametrize("column", TEXTS)
def test_any_other_byte_is_found(open_log: OpenLog, column: str) -> None:
    tamper(open_log, lambda log: store(log, column, other_byte), BYTES)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "position"])
def test_any_other_type_is_found(open_log: OpenLog, column: str) -> None:
    tamper(open_log, lambda log: store(log, column, other_type), TYPES)


@pytest.mark.parametrize("column", ["position", "hash", "recorded_at", "log_id"])
def test_any_other_type_in_the_counter_row_is_found(open_log: OpenLog, column: str) -> None:
    def way(log: OpenLog) -> None:
        [(value,)] = log.run(f"SELECT {column} FROM amie_log_head")
        log.run(f"UPDATE amie_log_head SET {column} = ?", other_type(log, value)[1])

    tamper(open_log, way, TYPES)


@pytest.mark.parametrize("column", ["hash", "recorded_at", "log_id"])
def test_text_that_is_none_in_the_counter_row_is_found(open_log: OpenLog, column: str) -> None:
    def way(log: OpenLog) -> None:
        log.run(f"UPDATE amie_log_head SET {column} = CAST(? AS TEXT)", b"\xff\xfe")

    tamper(open_log, way, 1)


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_another_counter_row_is_found(open_log: OpenLog, number: int) -> None:
    columns = "position, hash, recorded_at, log_id"

    def added(log: OpenLog) -> None:
        log.run(f"INSERT INTO amie_log_head SELECT {number}, {columns} FROM amie_log_head")

    def renumbered(log: OpenLog) -> None:
        log.run(f"UPDATE amie_log_head SET id = {number}")

    open_log.run("PRAGMA ignore_check_constraints = ON")
    for way in (added, renumbered):
        [verdict] = tamper(open_log, way, 1)
        assert verdict.kinds == {"counter-doubled": 1}
    open_log.run("PRAGMA ignore_check_constraints = OFF")


# In a table of somebody else's making


@pytest.fixture(scope="module")
def untyped(erased_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenLog]:
    """The same log in a table whose columns have no types, in which SQLite keeps whatever comes."""
    file = Path(shutil.copy(erased_file, tmp_path_factory.mktemp("untyped") / "amie.db"))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(
            f"""
            CREATE TABLE other ({", ".join(COLUMNS)});
            INSERT INTO other SELECT {", ".join(COLUMNS)} FROM amie_events;
            DROP TABLE amie_events;
            ALTER TABLE other RENAME TO amie_events;
            CREATE INDEX other_index ON amie_events (stream, version);
            """
        )
    with open_file(file) as log:
        yield log


def test_without_types_the_same_log_is_whole(untyped: OpenLog) -> None:
    assert untyped.verify().whole


@pytest.mark.parametrize("column", INTEGERS)
def test_an_integer_as_text_or_with_a_fraction_of_zero_is_found(untyped: OpenLog, column: str) -> None:
    for form in (str, float, lambda value: f"{value}.0", lambda value: f" {value}"):

        def way(log: OpenLog, form: Any = form) -> int | None:
            return store(log, column, lambda log, value: ("?", form(value)))

        tamper(untyped, way, 5)


def test_digits_as_an_integer_are_found(untyped: OpenLog) -> None:
    def way(log: OpenLog) -> int:
        position = log.place_of(lambda row: row["trans_rec_id"] is not None)
        log.set(position, trans_rec_id=int(log.events[position - 1]["trans_rec_id"]))
        return position

    tamper(untyped, way, 5)


@pytest.mark.parametrize("position", [None, "x", b"x", 0.5, -1, -1e999, 1e999, 7, 7.0])
def test_an_event_at_no_position_or_a_second_one_at_the_same_is_found(
    untyped: OpenLog, position: Any
) -> None:
    def way(log: OpenLog) -> None:
        log.insert(dict(log.events[0], position=position, stream="forged"))

    tamper(untyped, way, 1)
