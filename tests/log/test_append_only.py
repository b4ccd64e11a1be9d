"""What the database itself refuses, whoever asks: a bare connection, none of our code."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from amie_engine.engine import Engine
from tests.log.chain_check import COLUMNS, broken_at, read_rows

Connect = Callable[[], sqlite3.Connection]
REFUSED = "amie_events is append-only"


@pytest.fixture
def connection(busy: Engine, bare: Connect) -> sqlite3.Connection:
    """A bare connection to a log with a bit of everything in it."""
    return bare()


@pytest.fixture
def unchanged(connection: sqlite3.Connection) -> Callable[[], bool]:
    """A function that tells whether the events are still what they were."""
    before = read_rows(connection)
    assert len(before) > 100
    return lambda: read_rows(connection) == before


def refused(connection: sqlite3.Connection, sql: str) -> bool:
    """Whether a statement is refused by the triggers."""
    with pytest.raises(sqlite3.IntegrityError, match=REFUSED):
        connection.execute(sql)
    return True


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_is_ever_updated(
    connection: sqlite3.Connection, unchanged: Callable[[], bool], column: str
) -> None:
    new = f"{column} + 1000" if column in ("position", "version", "schema_version") else "'other'"
    for where in ("position = 2", "document IS NULL", "1 = 1"):
        assert refused(connection, f"UPDATE amie_events SET {column} = {new} WHERE {where}")
        assert refused(connection, f"UPDATE OR REPLACE amie_events SET {column} = {new} WHERE {where}")
    assert unchanged()


def test_an_update_that_changes_nothing_is_refused_too(
    connection: sqlite3.Connection, unchanged: Callable[[], bool]
) -> None:
    assert refused(connection, "UPDATE amie_events SET document = document")
    assert unchanged()


@pytest.mark.parametrize("where", ["position = 2", "stream = 'stream-1'", "1 = 1"])
def test_no_event_is_ever_deleted(
    connection: sqlite3.Connection, unchanged: Callable[[], bool], where: str
) -> None:
    assert refused(connection, f"DELETE FROM amie_events WHERE {where}")
    assert unchanged()


OTHER_KEYS = {
    "the position": "position = 2",
    "the stream's version": "position = 1000, stream = 'stream-1', version = 2",
    "the accepted packet": "position = 1000, stream = 'other', packet_rec_id = '70001',"
    " type = 'packet_adopted'",
}


@pytest.mark.parametrize("key", OTHER_KEYS)
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE", "INSERT", "INSERT OR ROLLBACK"])
def test_no_event_takes_the_place_of_another(
    connection: sqlite3.Connection, unchanged: Callable[[], bool], verb: str, key: str
) -> None:
    new = dict.fromkeys(COLUMNS, "'x'") | {"position": "1", "version": "77", "schema_version": "1"}
    new |= {"hub": "'access'", "site": "'NCSA'"}
    for assignment in OTHER_KEYS[key].split(","):
        name, _, value = assignment.strip().partition(" = ")
        new[name] = value
    assert refused(
        connection, f"{verb} INTO amie_events ({', '.join(new)}) VALUES ({', '.join(new.values())})"
    )
    assert unchanged()


def test_an_upsert_changes_no_event(connection: sqlite3.Connection, unchanged: Callable[[], bool]) -> None:
    columns = ", ".join(COLUMNS)
    assert refused(
        connection,
        f"INSERT INTO amie_events ({columns}) SELECT {columns} FROM amie_events WHERE position = 2"
        " ON CONFLICT (position) DO UPDATE SET facts = '{}'",
    )
    assert unchanged()


def test_the_one_update_that_passes_erases_a_document_with_its_salt(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE amie_events SET document = NULL, document_salt = NULL WHERE position = 1")
    rows = read_rows(connection)
    assert (rows[0]["document"], rows[0]["document_salt"]) == (None, None)
    assert rows[0]["document_digest"] is not None
    assert broken_at(rows) == []


@pytest.mark.parametrize(
    "assignment",
    [
        "document = NULL",
        "document_salt = NULL",
        "document = '', document_salt = NULL",
        "document = NULL, document_salt = ''",
        *(
            f"document = NULL, document_salt = NULL, {column} = 1234"
            for column in COLUMNS
            if column not in ("document", "document_salt")
        ),
    ],
)
def test_an_erasing_update_touches_nothing_else(
    connection: sqlite3.Connection, unchanged: Callable[[], bool], assignment: str
) -> None:
    assert refused(connection, f"UPDATE amie_events SET {assignment} WHERE position = 1")
    assert unchanged()


def test_what_is_erased_stays_erased(connection: sqlite3.Connection) -> None:
    erase = "UPDATE amie_events SET document = NULL, document_salt = NULL WHERE position = 1"
    before = read_rows(connection)[0]
    connection.execute(erase)
    assert refused(connection, erase)
    with pytest.raises(sqlite3.IntegrityError, match=REFUSED):
        connection.execute(
            "UPDATE amie_events SET document = ?, document_salt = ? WHERE position = 1",
            (before["document"], before["document_salt"]),
        )


def test_there_is_one_counter_row_and_never_a_second(connection: sqlite3.Connection) -> None:
    for number in (1, 2):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO amie_log_head VALUES (?, 0, '', '')", (number,))
