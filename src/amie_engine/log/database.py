"""How the log reaches its database: transactions, pragmas and errors, on SQLite and PostgreSQL.

A site may give its own SQLAlchemy engine. Nothing is changed on it: what SQLite needs is set on a connection
while the log uses it, and set back afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, StaticPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from amie_engine.errors import DatabaseUnavailable, LogError

__all__ = ["Cursor", "Database", "Statement"]

SQLITE_BUSY_TIMEOUT = 30_000
"""Milliseconds to wait for another process's write on SQLite."""


class Statement:
    """An SQL statement with named parameters (``:name``), compiled once a dialect and then run as text."""

    __slots__ = ("_compiled", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}

    def for_dialect(self, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
        """Return the text in a dialect's own parameter style, and the parameters' names in order."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            make_dialect: Any = type(dialect)
            positional = make_dialect(paramstyle="qmark" if dialect.name == "sqlite" else "format")
            result = text(self.sql).compile(dialect=positional)
            names = tuple(getattr(result, "positiontup", None) or ())
            compiled = self._compiled[dialect.name] = (str(result), names)
        return compiled


class Cursor:
    """A driver's cursor inside one transaction, which runs `Statement` objects.

    The driver's own cursor is several times faster for short statements than the connection's ``execute``.
    """

    __slots__ = ("_cursor", "_dialect", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._dialect = connection.dialect
        self._cursor = connection.connection.cursor()

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self._dialect.name == "postgresql"

    def run(self, statement: Statement, values: Any = None) -> int:
        """Run a statement with a mapping of values; return the number of rows that it changed."""
        sql, names = statement.for_dialect(self._dialect)
        self._cursor.execute(sql, [values[name] for name in names])
        return int(self._cursor.rowcount)

    def one(self, statement: Statement, values: Any = None) -> Any:
        """Run a query and return its first row as a tuple, or None."""
        self.run(statement, values)
        return self._cursor.fetchone()

    def all(self, statement: Statement, values: Any = None) -> list[Any]:
        """Run a query and return its rows as tuples."""
        self.run(statement, values)
        return list(self._cursor.fetchall())

    def close(self) -> None:
        """Give the cursor back."""
        self._cursor.close()


class Database:
    """A database that the log lives in: an URL, or the site's own SQLAlchemy engine.

    Raises:
        DatabaseUnavailable: The URL is none, names an unknown or uninstalled driver, or can't be reached.
    """

    def __init__(self, database: str | Engine) -> None:
        self._owned = isinstance(database, str)
        self.engine = _create(database) if isinstance(database, str) else database.execution_options()
        if self.engine.dialect.name not in ("sqlite", "postgresql"):
            raise DatabaseUnavailable(
                f"The log can't live in a {self.engine.dialect.name} database.",
                hint="Use SQLite (sqlite:///amie.db) or PostgreSQL (postgresql+psycopg://...).",
            )

    def __repr__(self) -> str:
        return f"<Database {self.url}>"

    @cached_property
    def url(self) -> str:
        """The database's URL, without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Cursor]:
        """A transaction that sees one state of the database and writes nothing."""
        with self._transaction("BEGIN") as cursor:
            yield cursor

    @contextmanager
    def write(self) -> Iterator[Cursor]:
        """A transaction that may write; it commits at the end of the block, or rolls back on an exception."""
        with self._transaction("BEGIN IMMEDIATE") as cursor:
            yield cursor
            cursor.connection.commit()

    def close(self) -> None:
        """Close the connections, unless the engine is the site's own."""
        if self._owned:
            self.engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Cursor]:
        try:
            with self.engine.connect() as connection:
                if self.is_sqlite:
                    with _sqlite_transaction(connection, begin, durable=not self._owned):
                        yield from _cursor(connection)
                else:
                    yield from _cursor(connection)
        except (DBAPIError, sqlite3.Error) as error:
            raise _explained(error, self.url) from error


def _cursor(connection: Connection) -> Iterator[Cursor]:
    cursor = Cursor(connection)
    try:
        yield cursor
    finally:
        cursor.close()


@contextmanager
def _sqlite_transaction(connection: Connection, begin: str, *, durable: bool) -> Iterator[None]:
    """Begin a transaction on SQLite by hand, since the driver begins none before a SELECT or DDL."""
    driver: Any = connection.connection.dbapi_connection
    before = driver.isolation_level
    driver.isolation_level = None
    try:
        if durable:  # a site's own connection: ours have it since they were opened
            driver.execute("PRAGMA synchronous=FULL")
        connection.begin()
        driver.execute(begin)
        yield
    finally:
        if driver.in_transaction:
            driver.rollback()
        driver.isolation_level = before


def _create(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        in_memory = parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
        options: dict[str, Any] = (
            {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}} if in_memory else {}
        )
        engine = create_engine(parsed, **options)
    except ArgumentError:
        raise DatabaseUnavailable(
            "The database's URL is none.",
            hint="Give one such as sqlite:///amie.db or postgresql+psycopg://user@host/name.",
        ) from None
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseUnavailable(
            f"The driver for this database is not installed ({error}).",
            hint="For PostgreSQL: pip install 'amie-engine[postgres]'.",
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(driver: Any, _record: Any) -> None:
    driver.isolation_level = None
    driver.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT}")
    driver.execute("PRAGMA journal_mode=WAL")
    driver.execute("PRAGMA synchronous=FULL")


def _explained(error: Exception, url: str) -> LogError:
    """The error that tells an operator what is wrong with the database."""
    cause = str(error.orig if isinstance(error, DBAPIError) else error)
    cause = cause.strip().splitlines()[0] if cause.strip() else type(error).__name__
    if isinstance(error, OperationalError | sqlite3.OperationalError | sqlite3.DatabaseError):
        return DatabaseUnavailable(f"The database {url} can't be used: {cause}.")
    return LogError(f"The database {url} refused a statement: {cause}.", hint="Nothing of it was written.")
