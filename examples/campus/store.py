"""The campus's database: how it is opened, one transaction at a time, and each operation done once.

An operation that was done under an idempotency key is in the database with its result, written in the
operation's own transaction. Results hold ids, amounts and dates, and no person's name and no DN: what is
deleted of a person is nowhere kept then.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    StaticPool,
    create_engine,
    event,
    insert,
    make_url,
    select,
)
from sqlalchemy.dialects.sqlite import insert as insert_or
from sqlalchemy.engine import URL

from .model import Account, Allocation, Award, Project
from .schema import counters, finished_operations, metadata

__all__ = ["Result", "Store", "next_id"]

Result = str | Account | Project | Award
"""What an operation returns, and what is kept of it."""

R = TypeVar("R", bound=Result)

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes to the same file."""

FIRST_NUMBER = 1001


class Store:
    """The database. Threads may share it: one transaction runs at a time.

    Args:
        database: A path, ``:memory:``, or a URL such as ``sqlite:///campus.db``. Tables that it lacks are
            made.

    Raises:
        ValueError: The URL is of another kind of database.
    """

    def __init__(self, database: str | Path) -> None:
        self._lock = threading.Lock()
        self._engine = _open(str(database))
        self.close = weakref.finalize(self, self._engine.dispose)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, which is rolled back if the block raises."""
        with self._lock, self._engine.begin() as connection:
            yield connection

    def once(self, operation: str, key: str | None, carry_out: Callable[[Connection], R]) -> R:
        """Carry out an operation in a transaction, unless it was done under this key: then return what came
        of it."""
        with self.transaction() as connection:
            if key is None:
                return carry_out(connection)
            done = finished_operations.c
            query = select(done.result).where(done.operation == operation, done.key == key)
            document = connection.scalar(query)
            if document is not None:
                first: R = _decoded(document)
                return first
            result = carry_out(connection)
            values = {"operation": operation, "key": key, "result": _encoded(result)}
            connection.execute(insert(finished_operations).values(values))
            return result


def next_id(connection: Connection, prefix: str, taken: ColumnElement[Any]) -> str:
    """Return a new id such as u1001, which was never given out and is not in the column ``taken``."""
    number = connection.scalar(select(counters.c.last).where(counters.c.name == prefix)) or FIRST_NUMBER - 1
    while True:
        number += 1
        candidate = f"{prefix}{number}"
        if connection.scalar(select(taken).where(taken == candidate)) is None:
            break
    row = insert_or(counters).values(name=prefix, last=number)
    connection.execute(row.on_conflict_do_update(set_={"last": number}))
    return candidate


def _open(database: str) -> Engine:
    url = make_url(database) if "://" in database else URL.create("sqlite", database=database)
    if url.get_backend_name() != "sqlite":
        raise ValueError(
            "The campus keeps its tables in SQLite: give a path, or a URL such as sqlite:///campus.db."
        )
    # One connection, which the lock hands from thread to thread. Errors show no parameters, because those are
    # people's names.
    engine = create_engine(
        url,
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _prepare(driver: Any, _record: Any) -> None:
    # The driver would begin a transaction late, and none before a SELECT: _begin does it instead.
    driver.isolation_level = None
    driver.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


_CLASSES: dict[str, Any] = {kind.__name__: kind for kind in (Account, Allocation, Award, Project)}


def _encoded(value: Any) -> Any:
    """A JSON value from which `_decoded` makes an equal one; objects name their class."""
    if type(value).__name__ in _CLASSES:
        content = {field.name: _encoded(getattr(value, field.name)) for field in fields(value)}
        return {"class": type(value).__name__, **content}
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, Decimal):
        return {"class": "Decimal", "value": str(value)}
    if isinstance(value, date):
        return {"class": "date", "value": value.isoformat()}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    if not isinstance(value, dict):
        return value
    content = {name: _decoded(item) for name, item in value.items() if name != "class"}
    match value["class"]:
        case "Decimal":
            return Decimal(content["value"])
        case "date":
            return date.fromisoformat(content["value"])
        case name:
            return _CLASSES[name](**content)
