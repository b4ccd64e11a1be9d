"""Verifying what is no log, can't be read, or may only be read: a clear error, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from amie_engine.audit import verify
from amie_engine.errors import (
    DatabaseForeign,
    DatabaseSchemaMissing,
    DatabaseSchemaNewer,
    DatabaseUnavailable,
    LogError,
)
from amie_engine.log.database import Database
from amie_engine.log.schema import VERSION_TABLE

Bare = Callable[[], sqlite3.Connection]
SOMEBODY = 65534
"""The number of the user nobody."""


def refused(url: str, error: type[LogError]) -> str:
    """What the error says with which a database is refused."""
    with closing(Database(url)) as database, pytest.raises(error) as caught:
        verify(database)
    return str(caught.value)


def all_events(file: Path) -> list[tuple[object, ...]]:
    """Every event in a file, read without any of our code, and the counter row."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        rows = connection.execute("SELECT * FROM amie_events NOT INDEXED ORDER BY position").fetchall()
        counter = "SELECT id, position, hash, recorded_at FROM amie_log_head"
        return [*rows, *connection.execute(counter).fetchall()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("sql", "error", "told"),
    [
        ("CREATE TABLE users (name TEXT)", DatabaseSchemaMissing, "amie-engine migrate"),
        ("CREATE TABLE amie_events (x)", DatabaseForeign, "amie_events"),
        ("SELECT 1", DatabaseSchemaMissing, "no amie-engine tables"),
    ],
)
def test_the_database_of_another_application_is_refused(
    tmp_path: Path, sql: str, error: type[LogError], told: str
) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
    before = contents(tmp_path)
    assert told in refused(f"sqlite:///{file}", error)
    assert contents(tmp_path) == before


def test_an_empty_file_gets_no_tables(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    refused(f"sqlite:///{file}", DatabaseSchemaMissing)
    assert contents(tmp_path) == {"empty.db": b""}


def test_a_newer_schema_is_refused(file: Path, bare: Bare, tmp_path: Path) -> None:
    bare().execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    bare().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    assert "later one" in refused(f"sqlite:///{file}", DatabaseSchemaNewer)
    assert file.read_bytes() == before


@pytest.mark.parametrize("table", ["amie_events", "amie_log_head"])
def test_a_log_that_lacks_a_table_is_refused(file: Path, bare: Bare, table: str) -> None:
    bare().execute(f"DROP TABLE {table}")
    assert f"no such table: {table}" in refused(f"sqlite:///{file}", LogError)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Nothing but some notes, and far longer than the header of a database.\n" * 100)
    before = contents(tmp_path)
    told = refused(f"sqlite:///{file}", DatabaseUnavailable)
    assert "not a database" in told
    assert "restore its newest backup" in told
    assert contents(tmp_path) == before


def test_a_database_that_somebody_holds_for_too_long_is_told(busy_log: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(busy_log, tmp_path / "amie.db"))
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        told = refused(f"sqlite:///{file}?timeout=0.02", DatabaseUnavailable)
        assert "locked. Another process holds it" in told
        holder.execute("ROLLBACK")
    with closing(Database(f"sqlite:///{file}")) as database:
        assert verify(database).whole


def test_garbage_in_the_file_is_told_and_nothing_worse(busy_log: Path, tmp_path: Path) -> None:
    """Bytes of the file changed by chance: an error of the database's, problems, or no harm to the events."""
    good = busy_log.read_bytes()
    events = all_events(busy_log)
    random = Random(7)
    file = tmp_path / "amie.db"
    told: list[str] = []
    for _ in range(150):
        content = bytearray(good)
        length = random.choice([1, 8, 200, 5000])
        at = random.randrange(100, len(good) - length)
        content[at : at + length] = random.randbytes(length)
        file.write_bytes(content)
        with closing(Database(f"sqlite:///file:{file}?mode=ro&immutable=1&uri=true")) as database:
            try:
                whole = verify(database).whole
                told.append("whole" if whole else "not whole")
                assert not whole or all_events(file) == events
            except LogError as error:
                told.append(str(error))
        assert file.read_bytes() == content
    assert told.count("not whole") > 30
    errors = [text for text in told if text not in ("whole", "not whole")]
    assert len(errors) > 10
    assert not any("Robin" in text for text in errors)


def test_a_damaged_page_is_told_with_what_to_do(busy_log: Path, tmp_path: Path) -> None:
    content = bytearray(busy_log.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    file = tmp_path / "amie.db"
    file.write_bytes(content)
    told = refused(f"sqlite:///{file}", DatabaseUnavailable)
    assert "malformed. It is damaged" in told
    assert file.read_bytes() == content


# Files that may only be read


@pytest.fixture
def read_only(busy_log: Path) -> Iterator[Path]:
    """A folder with a log that is written ahead, and a copy of it that is not; neither may be written."""
    folder = Path(tempfile.mkdtemp(prefix="amie-"))  # where anybody may go, unlike pytest's own folders
    shutil.copy(busy_log, folder / "amie.db")
    with closing(sqlite3.connect(folder / "amie.db", isolation_level=None)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute(f"VACUUM INTO '{folder / 'copy.db'}'")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def somebody() -> Iterator[None]:
    """A block as a user to whom permissions apply: they don't to root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_copy_in_a_folder_that_may_only_be_read_is_verified(read_only: Path) -> None:
    before = contents(read_only)
    for url in (
        f"sqlite:///{read_only / 'copy.db'}",
        f"sqlite:///file:{read_only / 'copy.db'}?mode=ro&uri=true",
        f"sqlite:///file:{read_only / 'amie.db'}?immutable=1&uri=true",
    ):
        with somebody(), closing(Database(url)) as database:
            assert verify(database).whole
    assert contents(read_only) == before


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite:///file:{}?mode=ro&uri=true"])
def test_a_write_ahead_log_in_such_a_folder_needs_the_word_that_nobody_writes(
    read_only: Path, form: str
) -> None:
    with somebody():
        told = refused(form.format(read_only / "amie.db"), DatabaseUnavailable)
    assert "give sqlite:///file:PATH?immutable=1&uri=true" in told


def test_a_log_that_its_daemon_has_open_is_verified_by_who_may_only_read(read_only: Path) -> None:
    read_only.chmod(0o755)
    (read_only / "amie.db").chmod(0o644)
    with closing(sqlite3.connect(read_only / "amie.db", isolation_level=None)) as daemon:
        daemon.execute("BEGIN IMMEDIATE")
        daemon.execute("UPDATE amie_work SET reason = reason")
        daemon.execute("COMMIT")
        assert (read_only / "amie.db-wal").exists()
        url = f"sqlite:///file:{read_only / 'amie.db'}?mode=ro&uri=true"
        with somebody(), closing(Database(url)) as database:
            assert verify(database).whole
