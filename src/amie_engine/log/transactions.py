"""Transactions, on the log's own connections and on a site's.

On SQLite the driver's older mode begins no transaction before a SELECT or a change of the schema, and its
newer mode begins none that waits for another writer: the log begins every transaction itself.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amie_engine.errors import DatabaseUnavailable

__all__ = [
    "empty_write_ahead_log",
    "postgresql_transaction",
    "sqlite_transaction",
    "sqlite_transaction_on_loan",
    "use_write_ahead_log",
]

logger = logging.getLogger("amie_engine.log")

_FULL = 2
_LEGACY_TRANSACTION_CONTROL = -1
"""``sqlite3.LEGACY_TRANSACTION_CONTROL``, of Python 3.12 and later."""

_PATIENCE = 2000
"""Milliseconds for which emptying the write-ahead log waits for readers."""

_LOCK_TIMEOUT = (
    "SELECT set_config('lock_timeout', '30s', true) WHERE current_setting('lock_timeout') IN ('0', '')"
)
"""How long a writer waits for the one before it, in this transaction alone: as long as the connection, its
role or its database says; 30 seconds where none of them does."""


@contextmanager
def sqlite_transaction(driver: Any, *, writing: bool) -> Iterator[None]:
    """Begin a transaction on a connection of the log's own; roll back what the block did not commit.

    Args:
        driver: The driver's connection; nobody else uses it.
        writing: Whether to wait for other writers first, and to be the only one from then on.
    """
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
    try:
        yield
    finally:
        if driver.in_transaction:
            driver.rollback()


@contextmanager
def sqlite_transaction_on_loan(driver: Any, *, writing: bool) -> Iterator[None]:
    """The same on a site's connection: its transaction mode and durability are put back afterwards.

    Raises:
        DatabaseUnavailable: The site has a transaction under way on it.
    """
    autocommit = getattr(driver, "autocommit", _LEGACY_TRANSACTION_CONTROL)
    if autocommit is False:  # Python's newer mode: there is always a transaction, and this one is still empty
        driver.autocommit = _LEGACY_TRANSACTION_CONTROL
        driver.rollback()
    elif driver.in_transaction:
        raise DatabaseUnavailable(
            "The connection for the log has a transaction of the site's own under way.",
            hint="Commit it first, or give an engine whose pool has more than one connection.",
        )
    elif autocommit is True:
        driver.autocommit = _LEGACY_TRANSACTION_CONTROL
    isolation_level = driver.isolation_level
    driver.isolation_level = None
    durability = _FULL
    try:
        if writing:
            durability = driver.execute("PRAGMA synchronous").fetchone()[0]
        if durability < _FULL:
            driver.execute(f"PRAGMA synchronous={_FULL}")
        with sqlite_transaction(driver, writing=writing):
            yield
    finally:
        if durability < _FULL:
            driver.execute(f"PRAGMA synchronous={durability}")
        driver.isolation_level = isolation_level
        if autocommit != _LEGACY_TRANSACTION_CONTROL:
            driver.autocommit = autocommit


@contextmanager
def postgresql_transaction(driver: Any, dialect: Any, *, writing: bool) -> Iterator[None]:
    """Begin a transaction on a connection; roll back what the block did not commit.

    A reader sees one state in all its statements. A writer sees what is committed, and has the log to itself
    once it holds the counter row. Whatever isolation the site's connections have, these have; a connection is
    handed back as it was.

    Args:
        driver: The driver's connection; nobody else uses it.
        dialect: SQLAlchemy's dialect of it.
        writing: Whether it is a writer's.
    """
    before = {
        name: getattr(driver, name) for name in ("isolation_level", "autocommit") if hasattr(driver, name)
    }
    dialect.set_isolation_level(driver, "READ COMMITTED" if writing else "REPEATABLE READ")
    try:
        if writing:
            driver.cursor().execute(_LOCK_TIMEOUT)
        yield
    finally:
        if not driver.closed:
            driver.rollback()
            _put_back(driver, dialect, before)


def _put_back(driver: Any, dialect: Any, before: dict[str, Any]) -> None:
    """Set isolation and autocommit to what they were: a site may have set them past SQLAlchemy, too."""
    if "isolation_level" not in before:  # a driver that keeps it at the server
        dialect.reset_isolation_level(driver)
    for name, value in before.items():
        if getattr(driver, name) != value:
            setattr(driver, name, value)


def use_write_ahead_log(driver: Any) -> None:
    """Have a SQLite file keep a write-ahead log, so that readers and a writer don't wait for each other.

    The file remembers it. Where somebody else uses the file just now, or it may not be written, it stays as
    it is: nothing but speed depends on it.
    """
    patience = driver.execute("PRAGMA busy_timeout").fetchone()[0]
    driver.execute("PRAGMA busy_timeout=0")
    try:
        driver.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        logger.info("The SQLite file keeps its journal mode: %s.", error)
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience}")


def empty_write_ahead_log(driver: Any) -> bool:
    """Write what is in SQLite's write-ahead log into the file, and leave none of it; tell whether that is so.

    It is not where somebody else goes on reading or writing. A file without such a log has nothing in it.
    """
    has_transaction = getattr(driver, "autocommit", _LEGACY_TRANSACTION_CONTROL) is False
    if has_transaction:  # Python's newer mode: there is always one, and this one is still empty
        driver.autocommit = True
    patience = driver.execute("PRAGMA busy_timeout").fetchone()[0]
    driver.execute(f"PRAGMA busy_timeout={_PATIENCE}")
    try:
        return bool(driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    except sqlite3.OperationalError as error:
        logger.info("The write-ahead log could not be emptied: %s.", error)
        return False
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience}")
        if has_transaction:
            driver.autocommit = False
