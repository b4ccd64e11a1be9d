"""A consistent copy of a log's SQLite database, taken while others go on writing into it."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from amie_engine.audit.counter import refuse_other_end
from amie_engine.audit.new_file import new_file
from amie_engine.engine.shadow import Progress
from amie_engine.errors import BackupFailed, BackupUnsupported, FileNotWritten, LogDamaged
from amie_engine.log.database import Database
from amie_engine.log.files import remove_beside
from amie_engine.log.statements import Cursor
from amie_engine.log.whole import Head

__all__ = ["BackedUp", "back_up"]

_PAGES = 1000
"""How many pages of the database are copied in one step: some megabytes."""

_PAUSE = 0.02
"""Seconds to wait where a writer has the lock that the next step needs."""

_DID_SOMETHING = 0
"""SQLite's code for a step that has copied something, and is not the last one."""

_RESTARTS = 5
"""How often the copy may begin anew, since somebody has written, before it keeps writers waiting instead."""

_SECRET_OPTIONS = ("password", "sslpassword")

_HEAD = "SELECT position, hash FROM amie_log_head WHERE id = 1"

_READING = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ)
"""SQLite's codes for errors that are those of the database that is copied: nothing is written to it."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds: its newest event, with position and hash (0 and empty where it has none)."""

    position: int
    hash: str
    bytes: int


def back_up(database: Database, to: Path, progress: Progress = lambda done, total: None) -> BackedUp:
    """Copy a log's SQLite database, whole and as it is at one moment, and check the copy.

    It is the whole database that is copied, also tables of the site's own. Writers go on meanwhile. The file
    appears once it is complete and good.

    Args:
        database: The log's database.
        to: The copy.
        progress: Called with how many pages are copied, and how many there are.

    Raises:
        BackupUnsupported: The database is PostgreSQL, which has tools of its own.
        BackupFailed: The copy is not what it should be; it was removed.
        FileNotWritten: It can't be written, or there is such a file.
        DatabaseUnavailable: The database can't be used.
    """
    if not database.is_sqlite:
        raise BackupUnsupported(
            f"A backup of {database.url} is made with PostgreSQL's own tools.",
            hint="If there are other schemas in it, add the option --schema with the log's. Use:"
            f" {_pg_dump(database.engine.url, to)}",
        )
    with new_file(to) as temporary:
        try:
            with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
                copy.execute("PRAGMA journal_mode=OFF").fetchone()  # a copy that fails is thrown away
                _copy(database, copy, to, progress)
                end = _check(copy, database, to)
        finally:
            remove_beside(temporary)
        return BackedUp(end.position, end.hash, temporary.stat().st_size)


@contextmanager
def _written(to: Path) -> Iterator[None]:
    """Tell what keeps SQLite from writing a copy as what it is: the trouble of the copy's file.

    Raises:
        FileNotWritten: It can't be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        full = code == sqlite3.SQLITE_FULL
        if not full and (code & 0xFF != sqlite3.SQLITE_IOERR or code in _READING):
            raise
        raise FileNotWritten(
            f"The file {to} can't be written: {'there is no room for it' if full else error}.",
            hint="Make room on its disk, and see that files may be so large there (ulimit -f, a quota).",
        ) from error


def _copy(database: Database, copy: sqlite3.Connection, to: Path, progress: Progress) -> None:
    """Copy the database in steps."""
    with database.connection(writing=False) as connection:
        driver: Any = connection.connection.dbapi_connection
        if driver.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            # Who reads one state keeps nobody from writing: what is copied is that state, whatever comes.
            driver.execute(_HEAD).fetchone()
        with _written(to):
            _Copying(driver, copy, progress).run()


class _Copying:
    """One copy. Without a write-ahead log, whoever holds a state keeps writers from committing: there each
    step takes the lock anew, and where somebody has written in between, the copy begins again."""

    def __init__(self, driver: sqlite3.Connection, copy: sqlite3.Connection, progress: Progress) -> None:
        self._driver = driver
        self._copy = copy
        self._progress = progress
        self._restarts = 0
        self._done = 0

    def run(self) -> None:
        try:
            self._driver.backup(self._copy, pages=_PAGES, progress=self._tell, sleep=_PAUSE)
        except _TooOften:
            self._driver.execute(_HEAD).fetchone()  # from here on, writers wait
            self._driver.backup(self._copy, sleep=_PAUSE)

    def _tell(self, status: int, remaining: int, total: int) -> None:
        done = total - remaining
        if status == _DID_SOMETHING and done <= self._done:
            self._restarts += 1
        self._done = done
        if self._restarts > _RESTARTS:
            raise _TooOften
        self._progress(done, total)


class _TooOften(Exception):
    """Somebody writes so often that the copy never comes to its end."""


def _check(copy: sqlite3.Connection, database: Database, to: Path) -> Head:
    """Check a copy: as a database, and as a copy of the log; return its newest event."""
    try:
        with _written(to):
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, with nothing beside it
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        with closing(Cursor(copy, database.engine.dialect)) as cursor:
            end = None if found != "ok" else refuse_other_end(cursor)
    except LogDamaged as error:
        raise BackupFailed(
            f"The copy of {database.url} is of a damaged log. {error.message}",
            hint=f"It was removed. {error.hint}",
        ) from error
    except sqlite3.Error as error:
        raise BackupFailed(f"The copy of {database.url} can't be read: {error}.") from error
    if end is None:
        raise BackupFailed(f"The copy of {database.url} is damaged: {found}.")
    with database.connection(writing=False) as connection:
        driver: Any = connection.connection.dbapi_connection
        now = driver.execute(_HEAD).fetchone()
        there = driver.execute("SELECT hash FROM amie_events WHERE position = ?", (end.position,)).fetchone()
    if now is None or now[0] < end.position or (there or ("",))[0] != end.hash:
        raise BackupFailed(f"The copy of {database.url} has another log than the database.")
    return end


def _pg_dump(url: URL, to: Path) -> str:
    """The command that backs a PostgreSQL database up. A command line is no place for a password."""
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    name = plain.difference_update_query(_SECRET_OPTIONS).render_as_string()
    return shlex.join(["pg_dump", "--format=custom", f"--file={to}", f"--dbname={name}"])
