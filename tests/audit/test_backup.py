"""Backups of SQLite: consistent and good, while others write."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from amie_engine.audit import back_up, backup, check_projections
from amie_engine.engine import Engine
from amie_engine.errors import BackupFailed, BackupUnsupported, FileNotWritten
from amie_engine.log.database import Database
from amie_engine.testing import Clock
from tests.audit.moving_world import everything, everything_at
from tests.log.busy_site import project_request, whole_project
from tests.log.chain_check import broken_at, read_rows

Bare = Callable[[], sqlite3.Connection]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the copy is to be."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "copy.db"


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "_PAGES", 2)


def alone(copy: Path) -> bool:
    """Whether a copy is all that there is in its folder."""
    return [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_copy_has_all_that_the_database_has(busy: Engine, copy: Path) -> None:
    done = back_up(busy.database, copy)
    head = busy.log.whole.head()
    assert (done.position, done.hash, done.bytes) == (head.position, head.hash, copy.stat().st_size)
    assert alone(copy)
    assert everything_at(f"sqlite:///{copy}") == everything(busy.database)
    database = Database(f"sqlite:///{copy}")
    assert check_projections(database).differing == {}
    database.close()


def test_its_pseudonyms_stay_the_same(busy: Engine, copy: Path) -> None:
    back_up(busy.database, copy)
    with Engine(f"sqlite:///{copy}", site="NCSA") as engine:
        assert engine.log.log_id == busy.log.log_id


def test_only_its_owner_may_read_it(busy: Engine, copy: Path) -> None:
    back_up(busy.database, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_log_without_events_is_copied_too(engine: Engine, copy: Path) -> None:
    assert back_up(engine.database, copy).position == 0


class Writer(threading.Thread):
    """Receives packets until it is told to stop."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self.stop = threading.Event()
        self.written = 0
        self.errors: list[Exception] = []
        self._changed = threading.Condition()

    def wait_for_more(self) -> None:
        """Wait until it has written something more."""
        with self._changed:
            before = self.written
            assert self._changed.wait_for(lambda: self.written > before or self.errors, 60)

    def run(self) -> None:
        clock = Clock()
        clock.forward(days=2000)
        try:
            with Engine(f"sqlite:///{self._file}", site="NCSA", clock=clock) as engine:
                while not self.stop.is_set() and self.written < 5000:
                    engine.receive(project_request(1000 + self.written))
                    with self._changed:
                        self.written += 1
                        self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 # the test tells it
            with self._changed:
                self.errors.append(error)
                self._changed.notify_all()


@pytest.fixture
def writer(busy: Engine, file: Path) -> Iterator[Writer]:
    """Somebody who is receiving packets."""
    writer = Writer(file)
    writer.start()
    writer.wait_for_more()
    yield writer
    writer.stop.set()
    writer.join()


@pytest.mark.usefixtures("in_small_steps")
def test_writers_go_on_and_the_copy_is_a_good_beginning_of_the_log(
    busy: Engine, writer: Writer, copy: Path
) -> None:
    steps = 0

    def wait(pages: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps % 5 == 0:
            writer.wait_for_more()

    done = back_up(busy.database, copy, wait)
    writer.stop.set()
    writer.join()
    assert writer.errors == []
    assert steps > 30
    rows, head, projections = everything_at(f"sqlite:///{copy}")
    newer = everything(busy.database)[0]
    assert rows == newer[: len(rows)]
    assert len(rows) == head.position == done.position < len(newer)
    with closing(sqlite3.connect(copy)) as connection:
        assert broken_at(read_rows(connection)) == []
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    database = Database(f"sqlite:///{copy}")
    assert check_projections(database).differing == {}
    database.close()
    assert all(projections.values())


@pytest.mark.usefixtures("in_small_steps")
def test_without_a_write_ahead_log_it_begins_anew_and_then_makes_writers_wait(
    busy: Engine, bare: Bare, copy: Path
) -> None:
    """A database of the site's own: whoever reads it keeps others from committing."""
    file = Path(str(busy.database.engine.url.database))
    busy.close()
    assert bare().execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    sites = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    clock = Clock()
    clock.forward(days=2000)
    written = 0
    with Engine(sites, site="NCSA", clock=clock) as engine:

        def write(pages: int, total: int) -> None:
            nonlocal written
            if pages < total:
                engine.receive(project_request(1000 + written))
                written += 1

        done = back_up(engine.database, copy, write)
        assert 3 < written < 20
        assert everything_at(f"sqlite:///{copy}") == everything(engine.database)
        assert done.position == engine.log.whole.head().position
    assert file.parent.joinpath("amie.db-wal").exists() is False
    assert alone(copy)


def test_a_log_in_memory(clock: Clock, copy: Path) -> None:
    with Engine("sqlite://", site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        back_up(engine.database, copy)
        assert everything_at(f"sqlite:///{copy}") == everything(engine.database)


def test_progress_is_told(busy: Engine, copy: Path, in_small_steps: None) -> None:
    told: list[tuple[int, int]] = []
    back_up(busy.database, copy, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 50


# What goes wrong


def test_no_file_is_ever_overwritten(busy: Engine, copy: Path) -> None:
    copy.write_text("precious")
    with pytest.raises(FileNotWritten, match="already"):
        back_up(busy.database, copy)
    assert copy.read_text() == "precious"
    assert alone(copy)
    copy.unlink()
    with pytest.raises(FileNotWritten, match="already"):
        back_up(busy.database, copy, lambda done, total: _write(copy))
    assert copy.read_text() == "precious"
    assert alone(copy)


def _write(file: Path) -> None:
    file.write_text("precious")


def test_a_folder_that_is_not_there(busy: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotWritten):
        back_up(busy.database, tmp_path / "no" / "copy.db")


def test_a_copy_whose_counter_does_not_fit_is_removed(busy: Engine, bare: Bare, copy: Path) -> None:
    bare().execute("UPDATE amie_log_head SET position = position + 1")
    with pytest.raises(BackupFailed, match="The log ends with event") as caught:
        back_up(busy.database, copy)
    assert "amie-engine verify" in caught.value.hint
    assert list(copy.parent.iterdir()) == []


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from amie_engine.audit import back_up, import_log
from amie_engine.errors import AMIEEngineError
from amie_engine.log.database import Database

url, target, what, size = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
source = Database(url)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    if what == "backup":
        back_up(source, target)
    else:
        import_log(Database(f"sqlite:///{target}"), source)
except AMIEEngineError as error:
    print(error.code, error.message)
"""


@pytest.mark.parametrize("size", [40_000, 100_000, 150_000])
@pytest.mark.parametrize("what", ["backup", "import"])
def test_where_there_is_no_room_nothing_is_left_and_the_target_is_named(
    busy: Engine, copy: Path, what: str, size: int
) -> None:
    """Files may be no larger here, as on a disk that is full."""
    url = str(busy.database.engine.url)
    busy.close()
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, url, str(copy), what, str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = (
        f"file-not-written The file {copy} " if what == "backup" else "database-unavailable The database"
    )
    assert done.stdout.startswith(expected), done.stdout + done.stderr
    assert str(copy) in done.stdout
    assert list(copy.parent.iterdir()) == []


def test_a_disk_that_is_full_leaves_nothing_either(
    busy: Engine, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def with_few_pages(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3, "connect", with_few_pages)
    with pytest.raises(FileNotWritten, match="there is no room for it") as caught:
        back_up(busy.database, copy)
    assert str(copy) in caught.value.message
    assert list(copy.parent.iterdir()) == []


def test_a_database_that_is_damaged_gives_no_good_copy(busy: Engine, copy: Path) -> None:
    file = Path(str(busy.database.engine.url.database))
    busy.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'amie_events_accepted'"
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(os.urandom(size))
    database = Database(f"sqlite:///{file}")
    with pytest.raises(BackupFailed):
        back_up(database, copy)
    database.close()
    assert list(copy.parent.iterdir()) == []


def test_another_log_is_no_copy(
    busy: Engine, copy: Path, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between source and copy: what the copy holds is compared with the log itself."""
    with Engine(f"sqlite:///{tmp_path / 'other.db'}", site="NCSA", clock=clock) as other:
        whole_project(other, clock, 1)
        copying = backup._copy
        monkeypatch.setattr(backup, "_copy", lambda database, *rest: copying(other.database, *rest))
        with pytest.raises(BackupFailed, match="another log"):
            back_up(busy.database, copy)
    assert list(copy.parent.iterdir()) == []


def test_a_disk_that_is_full(busy: Engine, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 5")
        return connection  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(FileNotWritten, match="no room"):
        back_up(busy.database, copy)
    assert list(copy.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://amie:top-secret@db.example.edu:5433/amie?sslmode=require",
            "pg_dump --format=custom --file=copy.db"
            " '--dbname=postgresql://amie@db.example.edu:5433/amie?sslmode=require'",
        ),
        (
            "postgresql+psycopg:///amie?host=/run&password=top-secret",
            "pg_dump --format=custom --file=copy.db '--dbname=postgresql:///amie?host=%2Frun'",
        ),
    ],
)
def test_postgresql_has_its_own_tools(url: str, told: str) -> None:
    database = Database(url)
    with pytest.raises(BackupUnsupported) as caught:
        back_up(database, Path("copy.db"))
    assert caught.value.hint.endswith(f" Use: {told}")
    assert "top-secret" not in str(caught.value)
