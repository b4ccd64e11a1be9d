"""How the log reaches its database: transactions, statements and errors, on SQLite and PostgreSQL.

A site may give its own SQLAlchemy engine. Nothing is changed on it: what the log needs is set on a connection
while the log uses it, and set back afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from amie_engine.log.connecting import engine_beside, engine_for_url, shown_url
from amie_engine.log.failures import explained, unreachable
from amie_engine.log.transactions import (
    postgresql_transaction,
    sqlite_transaction,
    sqlite_transaction_on_loan,
    use_write_ahead_log,
)

__all__ = ["Cursor", "Database", "Statement"]


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

    __slots__ = ("_cursor", "_dialect")

    def __init__(self, driver: Any, dialect: Dialect) -> None:
        self._dialect = dialect
        self._cursor = driver.cursor()

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self._dialect.name == "postgresql"

    def run(self, statement: Statement, values: Any = None) -> int:
        """Run a statement with a mapping of values; return the number of rows that it changed."""
        sql, names = statement.for_dialect(self._dialect)
        self._cursor.execute(sql, [values[name] for name in names])
        return int(self._cursor.rowcount)

    def insert(self, statement: Statement, values: Any) -> bool:
        """Run an ``INSERT ... ON CONFLICT DO NOTHING``; return False where there is a row in its way.

        On SQLite a trigger may see that row first; it undoes the statement and no more.
        """
        try:
            return self.run(statement, values) == 1
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                raise
            return False

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

    On SQLite a URL's ``timeout`` says for how many seconds to wait for another process's write (30 without).

    Raises:
        DatabaseUnavailable: The URL is none, names an unknown or uninstalled driver, or a database of a kind
            that the log can't live in.
    """

    def __init__(self, database: str | Engine) -> None:
        self._sites = None if isinstance(database, str) else database
        self._engine = engine_for_url(database) if isinstance(database, str) else engine_beside(database)
        self.url = shown_url(self._engine.url)

    def __repr__(self) -> str:
        return f"<Database {self.url}>"

    @property
    def engine(self) -> Engine:
        """The engine that the log uses. A site that disposes of its own engine gives it a new pool: then that
        one is used."""
        if self._sites is not None and self._engine.pool is not self._sites.pool:
            self._engine = engine_beside(self._sites)
        return self._engine

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self._engine.dialect.name == "sqlite"

    def read(self) -> AbstractContextManager[Cursor]:
        """A transaction that sees one state of the database and writes nothing.

        Raises:
            DatabaseUnavailable: The database can't be reached.
        """
        return self._transaction(writing=False)

    def write(self) -> AbstractContextManager[Cursor]:
        """A transaction that may write; it commits at the end of the block, or rolls back on an exception.

        Raises:
            DatabaseUnavailable: The database can't be reached or written, or is locked for too long.
            ConcurrencyConflict: The database undid the transaction in favour of another.
            LogError: It refused a statement.
        """
        return self._transaction(writing=True)

    @contextmanager
    def connection(self, *, writing: bool) -> Iterator[Connection]:
        """The same transactions on a SQLAlchemy connection: for migrations, and for a look at the schema."""
        with self._checked_out() as pooled, self._begun(pooled.dbapi_connection, writing=writing):
            connection = Connection(self._engine, pooled)  # whoever checked it out hands it back
            yield connection
            if writing:
                connection.commit()

    def keep_write_ahead_log(self) -> None:
        """Have a SQLite file that is the log's own, and no database of the site's engine, use a write-ahead
        log. The file remembers it."""
        if self.is_sqlite and self._sites is None:
            with self._checked_out() as pooled:
                use_write_ahead_log(pooled.dbapi_connection)

    def close(self) -> None:
        """Close the connections, unless the engine is the site's own."""
        if self._sites is None:
            self._engine.dispose()

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[Cursor]:
        with self._checked_out() as pooled:
            driver: Any = pooled.dbapi_connection
            with self._begun(driver, writing=writing):
                cursor = Cursor(driver, self._engine.dialect)
                try:
                    yield cursor
                    if writing:
                        driver.commit()
                finally:
                    cursor.close()

    def _begun(self, driver: Any, *, writing: bool) -> AbstractContextManager[None]:
        if not self.is_sqlite:
            return postgresql_transaction(driver, self._engine.dialect, writing=writing)
        if self._sites is None:
            return sqlite_transaction(driver, writing=writing)
        return sqlite_transaction_on_loan(driver, writing=writing)

    @contextmanager
    def _checked_out(self) -> Iterator[PoolProxiedConnection]:
        """A connection of the pool. What the database refuses is told by our own errors."""
        dialect: Any = self._engine.dialect
        try:
            pooled = self.engine.raw_connection()
        except (SQLAlchemyError, dialect.dbapi.Error, TypeError) as error:  # TypeError: an unknown option
            raise unreachable(error, self.url) from error
        try:
            yield pooled
        except (DBAPIError, dialect.dbapi.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if dialect.is_disconnect(cause, pooled.dbapi_connection, None):
                pooled.invalidate()
            raise explained(error, self.url) from error
        finally:
            pooled.close()
