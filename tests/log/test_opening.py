"""What opening an engine does to a database, and says about one that it can't use."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from amie_engine.engine import Engine
from amie_engine.errors import (
    DatabaseForeign,
    DatabaseReplaced,
    DatabaseSchemaMissing,
    DatabaseUnavailable,
    LogError,
)
from amie_engine.log.database import Database
from amie_engine.log.migrate import check_schema, current_revision, head_revision, migrate
from amie_engine.log.schema import VERSION_TABLE, metadata
from tests.log.busy_site import project_request

Connect = Callable[[], sqlite3.Connection]


def open_engine(file: Path | str) -> Engine:
    """Open an engine on a file; it waits for nobody long."""
    return Engine(f"sqlite:///{file}?timeout=0.05", site="NCSA")


def tables(file: Path) -> set[str]:
    """The tables in a SQLite file."""
    with closing(sqlite3.connect(file)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def left_alone(tmp_path: Path) -> Callable[[], bool]:
    """A function that tells whether the folder's files are, to the byte, what they were when first asked."""
    before: list[dict[str, bytes]] = []

    def contents() -> bool:
        found = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        before.append(found)
        return found == before[0]

    return contents


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch()], ids=["absent", "empty"])
def test_an_absent_or_empty_file_gets_the_schema(tmp_path: Path, make: Callable[[Path], None]) -> None:
    file = tmp_path / "new.db"
    make(file)
    with open_engine(file) as engine:
        assert engine.transactions() == []
        assert current_revision(engine.database) == head_revision()
    assert tables(file) == {*metadata.tables, VERSION_TABLE}
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("url", ["{}", "file:{}?uri=true", "file:{}?mode=rwc&uri=true"])
def test_a_new_file_is_for_its_owner_alone_and_so_are_those_beside_it(tmp_path: Path, url: str) -> None:
    before = os.umask(0)
    try:
        with Engine(f"sqlite:///{url.format(tmp_path / 'new.db')}", site="NCSA") as engine:
            engine.receive(project_request(1))
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    file.touch()
    file.chmod(0o640)
    with open_engine(file) as engine:
        engine.receive(project_request(1))
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    (tmp_path / "link.db").symlink_to(tmp_path / "other.db")
    with open_engine(tmp_path / "link.db"):
        assert (tmp_path / "other.db").stat().st_mode & 0o777 == 0o600


def test_what_only_reads_makes_no_file(tmp_path: Path) -> None:
    for mode in ("ro", "rw"):
        with pytest.raises(DatabaseUnavailable):
            Engine(f"sqlite:///file:{tmp_path / 'no.db'}?mode={mode}&uri=true", site="NCSA").close()
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_opened_again_with_all_that_is_in_it(tmp_path: Path) -> None:
    with open_engine(tmp_path / "a.db") as engine:
        engine.receive(project_request(1))
    with open_engine(tmp_path / "a.db") as engine:
        assert [transaction.trans_rec_id for transaction in engine.transactions()] == ["50001"]


def test_a_file_with_other_tables_is_refused_and_left_alone(
    tmp_path: Path, left_alone: Callable[[], bool]
) -> None:
    file = tmp_path / "site.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    assert left_alone()
    with pytest.raises(DatabaseSchemaMissing, match="migrate"):
        open_engine(file)
    assert left_alone()


def test_by_migrating_a_file_with_other_tables_becomes_a_log_too(tmp_path: Path) -> None:
    file = tmp_path / "site.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    with closing(Database(f"sqlite:///{file}")) as database:
        assert migrate(database) == (None, head_revision())
        assert migrate(database) == (head_revision(), head_revision())
    with open_engine(file) as engine:
        engine.receive(project_request(1))
    with closing(Database(f"sqlite:///{file}")) as database:
        assert migrate(database, "base") == (head_revision(), None)
    assert tables(file) == {"users"}


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_tables_of_our_names_that_we_did_not_make_are_refused_and_left_alone(
    tmp_path: Path, left_alone: Callable[[], bool], name: str
) -> None:
    file = tmp_path / "foreign.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE {name} (x)")
    assert left_alone()
    with pytest.raises(DatabaseForeign, match=name):
        open_engine(file)
    with closing(Database(f"sqlite:///{file}")) as database, pytest.raises(DatabaseForeign, match=name):
        migrate(database)
    assert left_alone()


def test_a_record_of_several_revisions_is_none_of_ours(file: Path, bare: Connect) -> None:
    bare().execute(f"INSERT INTO {VERSION_TABLE} VALUES ('x')")
    with pytest.raises(DatabaseForeign, match="several revisions"):
        open_engine(file)


def test_a_text_file_is_refused_and_left_alone(tmp_path: Path, left_alone: Callable[[], bool]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Nothing but some notes, and far longer than the header of a database.\n" * 100)
    assert left_alone()
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        open_engine(file)
    assert left_alone()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        open_engine(tmp_path)
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        open_engine(tmp_path / "no" / "such" / "folder.db")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused(file: Path, bare: Connect) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(LogError, match="malformed"), open_engine(file) as engine:
        engine.receive(project_request(1))


def test_a_file_that_may_only_be_read_is_shown_but_not_written(file: Path) -> None:
    before = file.read_bytes()
    with Engine(f"sqlite:///file:{file}?mode=ro&uri=true", site="NCSA") as engine:
        assert engine.transactions() == []
        with pytest.raises(DatabaseUnavailable, match="readonly"):
            engine.receive(project_request(1))
    assert file.read_bytes() == before


def test_an_empty_file_that_may_only_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        Engine(f"sqlite:///file:{file}?mode=ro&uri=true", site="NCSA")
    assert file.read_bytes() == b""


@pytest.mark.parametrize("swap", [True, False])
def test_while_another_file_is_in_its_place_nothing_is_read_or_written(
    file: Path, tmp_path: Path, swap: bool
) -> None:
    """Whoever restores a backup while a daemon is at work would lose what that goes on to write."""
    aside = tmp_path / "aside.db"
    with Engine(f"sqlite:///{file}", site="NCSA") as engine:
        assert engine.receive(project_request(1)).kind == "accepted"
        file.rename(aside)
        if swap:
            shutil.copy(aside, file)
        for call in (lambda: engine.receive(project_request(2)), engine.transactions, engine.outbox.open):
            with pytest.raises(DatabaseReplaced):
                call()
        assert file.exists() == swap
        aside.rename(file)
        assert len(engine.transactions()) == 1


def test_once_it_was_closed_another_file_may_be_put_in_its_place(file: Path, tmp_path: Path) -> None:
    """That is how a backup is restored."""
    database = Database(f"sqlite:///{file}")
    check_schema(database)
    database.close()
    shutil.copy(file, tmp_path / "backup.db")
    file.unlink()
    (tmp_path / "backup.db").rename(file)
    check_schema(database)
    database.close()


def test_which_file_a_site_s_own_engine_opens_its_url_does_not_tell(file: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside.db"
    beside.touch()
    engine = create_engine(f"sqlite:///{beside}", creator=lambda: sqlite3.connect(file))
    with Engine(engine, site="NCSA") as ours:
        beside.unlink()
        assert ours.transactions() == []
    engine.dispose()


def test_a_process_that_goes_to_another_folder_has_the_same_log(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    with Engine(f"sqlite:///{file.name}", site="NCSA") as engine:
        monkeypatch.chdir("/")
        assert engine.transactions() == []


def test_a_new_file_that_somebody_else_locks_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            open_engine(file)
        holder.execute("ROLLBACK")
    assert tables(file) == set()
    open_engine(file).close()


def test_a_log_that_somebody_else_writes_for_too_long_is_read_but_takes_nothing(
    file: Path, bare: Connect
) -> None:
    holder = bare()
    holder.execute("BEGIN EXCLUSIVE")
    with open_engine(file) as engine:
        with pytest.raises(DatabaseUnavailable, match=r"locked\. Another process") as caught:
            engine.receive(project_request(1))
        assert caught.value.retryable
        assert engine.transactions() == []
        holder.execute("ROLLBACK")
        engine.receive(project_request(1))
        assert len(engine.transactions()) == 1


def test_a_reader_that_keeps_the_journal_mode_from_changing_keeps_nobody_from_opening(
    file: Path, bare: Connect
) -> None:
    reader = bare()
    reader.execute("PRAGMA journal_mode=DELETE")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM amie_log_head").fetchall()
    with open_engine(file) as engine:
        assert engine.transactions() == []
    reader.execute("ROLLBACK")
    assert bare().execute("PRAGMA journal_mode").fetchone() == ("delete",)
    open_engine(file).close()
    assert bare().execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_checking_a_good_schema_changes_nothing(file: Path, left_alone: Callable[[], bool]) -> None:
    assert left_alone()
    with closing(Database(f"sqlite:///{file}")) as database:
        check_schema(database)
    assert left_alone()
