"""How the log reaches its database: connections, transactions and errors, on SQLite and PostgreSQL.

A site may give its own SQLAlchemy engine. Nothing is changed on it: what the log needs is set on a connection
while the log uses it, and set back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, PoolProxiedConnection, QueuePool
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from amie_engine.errors import CommitInDoubt, DatabaseReplaced
from amie_engine.log.connecting import engine_beside, engine_for_url, is_quiet, shown_url
from amie_engine.log.failures import about_values, explained, in_doubt, lost, unreachable
from amie_engine.log.files import FileIdentity, file_of, identity_of, in_memory, remove
from amie_engine.log.statements import Cursor
from amie_engine.log.transactions import (
    empty_write_ahead_log,
    postgresql_transaction,
    sqlite_transaction,
    sqlite_transaction_on_loan,
    use_write_ahead_log,
)

__all__ = ["Database", "Session"]

_TRUSTED = 5.0
"""Seconds for which a PostgreSQL connection that was in use is taken to work."""
_USED = "amie_engine_used"
"""Where a connection keeps when it was handed back, and how many others had been lost by then."""
_MOST_IN_A_POOL = 200
"""How many dead connections of a pool are thrown away before one call fails."""


class Database:
    """A database that the log lives in: an URL, or the site's own SQLAlchemy engine.

    On SQLite a URL's ``timeout`` says for how many seconds to wait for another process's write (30 without).

    Raises:
        DatabaseUnfit: The URL is none, names an unknown or uninstalled driver, or a database of a kind
            that the log can't live in.
    """

    def __init__(self, database: str | Engine) -> None:
        self._sites = None if isinstance(database, str) else database
        self._engine = engine_for_url(database) if isinstance(database, str) else engine_beside(database)
        self.url = shown_url(self._engine.url)
        self._file = file_of(self._engine.url) if self._sites is None else None
        is_relative_uri = (self._engine.url.database or "").startswith("file:")
        if self._file is not None and not self._file.is_absolute():
            # The process may go to another folder; then such a URI leads to another file.
            self._file = None if is_relative_uri else self._file.absolute()
        self._identity: FileIdentity | None = None
        self._losses = 0
        """How many connections were lost: each casts doubt on those that were made before."""

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

    @property
    def is_in_memory(self) -> bool:
        """Whether it is a SQLite database in memory, which one connection alone can reach."""
        return self.is_sqlite and in_memory(self._engine.url)

    @contextmanager
    def made_or_absent(self) -> Iterator[None]:
        """A block that makes the database: where it fails, a SQLite file that was absent is so again.

        Whatever is beside it goes too: a full disk may have kept SQLite from rolling back.
        """
        file = file_of(self._engine.url) if self._sites is None else None
        absent = file is not None and not file.exists()
        try:
            yield
        except BaseException:
            if file is not None and absent:
                self.close()
                remove(file)
                self._identity = None
            raise

    def has_free_connection(self) -> bool:
        """Whether a connection can be had now, without waiting for one that is in use."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool):
            most = pool._max_overflow  # -1: as many as are asked for
            return pool.checkedin() > 0 or most < 0 or pool.overflow() < most
        return isinstance(pool, NullPool)

    def read(self) -> AbstractContextManager[Cursor]:
        """A transaction that sees one state of the database and writes nothing.

        Raises:
            DatabaseUnavailable: The database can't be reached, or the connection was lost.
        """
        return self._transaction(writing=False)

    def write(self) -> AbstractContextManager[Cursor]:
        """A transaction that may write; it commits at the end of the block, or rolls back on an exception.

        Raises:
            DatabaseUnavailable: The database can't be reached or written, or is locked for too long.
            ConnectionLost: The connection broke before the commit: nothing was written.
            CommitInDoubt: It broke at the commit: whether anything was written is not known.
            ConcurrencyConflict: The database undid the transaction in favour of another.
            LogError: It refused a statement.
        """
        return self._transaction(writing=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One connection for several transactions, which may make temporary tables of its own.

        It is not handed back to the pool but closed, and whatever is temporary in it goes. Only that of a
        database in memory is the pool's one, and goes back: there, drop what you make.

        Raises:
            DatabaseUnavailable: The database can't be reached.
        """
        with self._checked_out() as pooled:
            if not self.is_in_memory:
                pooled.detach()
            yield Session(self, pooled.dbapi_connection)

    @contextmanager
    def connection(self, *, writing: bool) -> Iterator[Connection]:
        """The same transactions on a SQLAlchemy connection: for migrations, and for a look at the schema."""
        with self._checked_out() as pooled, self._begun(pooled.dbapi_connection, writing=writing):
            connection = Connection(self._engine, pooled)  # whoever checked it out hands it back
            yield connection
            if writing:
                self._commit(connection, pooled.dbapi_connection)

    def keep_write_ahead_log(self) -> None:
        """Have a SQLite file that is the log's own, and no database of the site's engine, use a write-ahead
        log. The file remembers it."""
        if self.is_sqlite and self._sites is None:
            with self._checked_out() as pooled:
                use_write_ahead_log(pooled.dbapi_connection)

    def empty_write_ahead_log(self) -> bool:
        """Have all that is in SQLite's write-ahead log in the file alone; tell whether that is so now.

        It is not while somebody else uses the database.

        Raises:
            DatabaseUnavailable: The database can't be reached.
        """
        with self._checked_out() as pooled:
            return empty_write_ahead_log(pooled.dbapi_connection)

    def close(self) -> None:
        """Close the connections, unless the engine is the site's own."""
        if self._sites is None:
            self._engine.dispose()
            self._identity = None

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[Cursor]:
        with (
            self._checked_out() as pooled,
            self.transaction_on(pooled.dbapi_connection, writing=writing, commits=writing) as cursor,
        ):
            yield cursor
            if not writing and not self.is_sqlite:
                self._end_reading(pooled.dbapi_connection)

    @contextmanager
    def transaction_on(self, driver: Any, *, writing: bool, commits: bool) -> Iterator[Cursor]:
        """One transaction on a connection that is checked out.

        Args:
            driver: The driver's connection.
            writing: Whether it is a writer's, which waits for other writers.
            commits: Whether it commits at the end of the block.
        """
        with self._begun(driver, writing=writing):
            cursor = Cursor(driver, self._engine.dialect)
            try:
                yield cursor
                if commits:
                    self._commit(driver, driver)
            finally:
                cursor.close()

    def _commit(self, transaction: Any, driver: Any) -> None:
        """Commit; where the connection breaks while it is done, nobody knows whether it was."""
        dialect: Any = self._engine.dialect
        try:
            transaction.commit()
        except (DBAPIError, dialect.dbapi.Error) as error:
            if self._is_lost(error, driver):
                raise in_doubt(error, self.url) from error
            raise

    def _end_reading(self, driver: Any) -> None:
        """Commit a reader's transaction: after a rollback, psycopg has every statement prepared anew.

        Where the connection breaks meanwhile, all was read before.
        """
        dialect: Any = self._engine.dialect
        with suppress(dialect.dbapi.Error):
            driver.commit()

    def is_trouble(self, error: Exception) -> bool:
        """Whether a driver's error is the database's trouble, and none with the values that it was given."""
        dialect: Any = self._engine.dialect
        return isinstance(error, dialect.dbapi.Error) and not about_values(error)

    def _is_lost(self, error: Exception, driver: Any) -> bool:
        """Whether an error tells that the connection is of no use any more."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        return bool(cause and self._engine.dialect.is_disconnect(cause, driver, None))  # type: ignore[arg-type] # the driver's

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
        if self._identity is not None:
            self._check_file()  # before SQLite would make a new one
        pooled = self._connected()
        try:
            self._check_file()
            yield pooled
        except (DBAPIError, dialect.dbapi.Error) as error:
            if self._is_lost(error, pooled.dbapi_connection):
                self._losses += 1
                pooled.invalidate()
                raise lost(error, self.url) from error
            raise explained(error, self.url) from error
        except CommitInDoubt:
            self._losses += 1
            pooled.invalidate()
            raise
        else:
            pooled.info[_USED] = self._losses, monotonic()
        finally:
            pooled.close()

    def _check_file(self) -> None:
        """Make sure that a SQLite file that is open is the one that its path leads to: else what is written
        would be lost, though all seems well.

        Raises:
            DatabaseReplaced: It was removed, or another is in its place.
        """
        if self._file is None:
            return
        found = identity_of(self._file)
        if self._identity is None:
            self._identity = found
        elif found != self._identity:
            what = "is not there any more" if found is None else "is not the one that was opened"
            raise DatabaseReplaced(f"The file {self._file}, which is in use as the log, {what}.")

    def _is_trusted(self, pooled: PoolProxiedConnection) -> bool:
        """Whether a connection surely works without a call that tries it: it was handed back a moment ago, no
        other was lost since, and it has nothing to say.

        A host that is gone, or a firewall that forgets what is idle, ends a connection without a word.
        """
        used = pooled.info.get(_USED)
        driver = pooled.dbapi_connection
        return (
            used is not None
            and used[0] == self._losses
            and monotonic() - used[1] < _TRUSTED
            and is_quiet(driver)
        )

    def _connected(self) -> PoolProxiedConnection:
        """A connection that works. After a restart of the server, those in the pool may all be dead: each is
        tried, but for one that was in use a moment ago."""
        dialect: Any = self._engine.dialect
        for others in reversed(range(_MOST_IN_A_POOL)):
            try:
                pooled = self.engine.raw_connection()
            except (SQLAlchemyError, dialect.dbapi.Error, TypeError, UnicodeDecodeError) as error:
                # A TypeError is for an unknown option, a UnicodeDecodeError for a file with a damaged schema.
                raise unreachable(error, self.url) from error
            if self.is_sqlite or self._is_trusted(pooled):
                break
            try:
                dialect.do_ping(pooled.dbapi_connection)
                break
            except dialect.dbapi.Error as error:
                again = others and self._is_lost(error, pooled.dbapi_connection)
                pooled.invalidate()
                if not again:
                    raise unreachable(error, self.url) from error
        return pooled


class Session:
    """One connection of a database, for several transactions and temporary tables."""

    def __init__(self, database: Database, driver: Any) -> None:
        self.database = database
        self._driver = driver

    def read(self) -> AbstractContextManager[Cursor]:
        """A transaction that sees one state of the database, and keeps nothing that is written."""
        return self.database.transaction_on(self._driver, writing=False, commits=False)

    def prepare(self) -> AbstractContextManager[Cursor]:
        """A transaction that sees one state of the database, and keeps what is written into temporary
        tables; it waits for nobody, and nobody for it."""
        return self.database.transaction_on(self._driver, writing=False, commits=True)

    @contextmanager
    def reading_anything(self) -> Iterator[None]:
        """A block in which a text that is none, in a SQLite file that was damaged or changed by hand, is read
        with its odd bytes spelt out: else nothing beside it could be read."""
        if not self.database.is_sqlite:
            yield
            return
        before = self._driver.text_factory
        self._driver.text_factory = _spelt_out
        try:
            yield
        finally:
            self._driver.text_factory = before

    def write(self) -> AbstractContextManager[Cursor]:
        """A transaction that may write anything, as `Database.write`."""
        return self.database.transaction_on(self._driver, writing=True, commits=True)


def _spelt_out(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
