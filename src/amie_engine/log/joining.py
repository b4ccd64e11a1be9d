"""Writing a row in a transaction of the site's own: which connections can be joined, and how.

Nothing here may spoil the caller's transaction. On PostgreSQL a statement that fails would abort it, so that
ours run under a savepoint; and nothing is read that a serializable transaction would have to answer for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, RootTransaction, TwoPhaseTransaction, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from amie_engine.errors import ConnectionNotJoinable
from amie_engine.log.failures import explained, lost
from amie_engine.log.place import place_of
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog, format_time

__all__ = ["Joined", "staged"]

# One statement that begins as a writer: on SQLite, a read before it could not be turned into a write any more
# once somebody else has written. It writes nothing into the log of somebody else.
# An attached SQLite database has no part in it: a commit to two files may reach one of them alone.
_STAGE = {
    dialect: Statement(
        f"INSERT INTO {schema}amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"  # noqa: S608 # no value is in it
        f" SELECT :hub, :site, :call, :trans_rec_id, :arguments, :staged_at FROM {schema}amie_log_head"
        " WHERE log_id = :log_id RETURNING id"
    )
    for dialect, schema in (("sqlite", "main."), ("postgresql", ""))
}
_UNSTAGE = Statement("DELETE FROM amie_staged WHERE id = :id")

# The connection's own begin_nested() fails on one that is set for long queries.
_SAVEPOINT = Statement("SAVEPOINT amie_joins")
_KEEP = Statement("RELEASE SAVEPOINT amie_joins")
_UNDO = Statement("ROLLBACK TO SAVEPOINT amie_joins")
_END = Statement("ROLLBACK")

_PLAINLY = {"stream_results": False, "yield_per": None}
"""What a connection may be set to for the caller's long queries, and no INSERT can be run with."""

_FAILED_TRANSACTION = "25P02"
_NO_SUCH_TABLE = "42P01"


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was staged in a transaction which has not ended yet."""

    hub: str
    site: str
    call: str
    trans_rec_id: str | None


_EARLIER: WeakKeyDictionary[RootTransaction, list[_Call]] = WeakKeyDictionary()
"""What was staged in each transaction that is under way. Asking the table would make two serializable
transactions of the site's depend on each other, of which one would fail."""


class Joined:
    """A call that is staged in the caller's transaction.

    Attributes:
        id: Its row's.
        cursor: Reads what the caller's transaction sees.
    """

    def __init__(self, connection: Connection, row_id: int, call: _Call) -> None:
        self.id = row_id
        self.cursor: Cursor = _CallersCursor(connection)
        self._connection = connection
        self._call = call

    @property
    def sees_newest(self) -> bool:
        """Whether the caller's transaction sees what others have committed since it began."""
        if self._connection.dialect.name == "sqlite":  # it has written: nobody else can
            return True
        return self._connection.get_isolation_level() in ("READ COMMITTED", "READ UNCOMMITTED")

    def follows(self, trans_rec_id: str) -> bool:
        """Whether a call about a transaction was staged before it, in the caller's transaction."""
        return any(earlier.trans_rec_id == trans_rec_id for earlier in self._earlier())

    def follows_any(self, call: str) -> bool:
        """Whether such a call was staged before it, about whatever."""
        return any(earlier.call == call for earlier in self._earlier())

    def _earlier(self) -> list[_Call]:
        here = self._call.hub, self._call.site
        return [earlier for earlier in _earlier(self._connection) if (earlier.hub, earlier.site) == here]


@contextmanager
def staged(
    log: EventLog, connection: Connection, call: str, trans_rec_id: str | None, arguments: str
) -> Iterator[Joined]:
    """Write what is to be done after the commit into the caller's transaction; undo that if the block raises.

    Args:
        log: The log that it is for.
        connection: The caller's; its transaction begins now if it has none yet.
        call: What is to be done.
        trans_rec_id: In which transaction, where it names one.
        arguments: What with, as canonical JSON.

    Raises:
        ConnectionNotJoinable: What is written there would not commit and roll back with the caller's own
            rows, or not in the database that the log is in. Nothing was written.
        ConcurrencyConflict: The caller's SQLite transaction has read what somebody else has changed since.
        DatabaseUnavailable: The database is locked for too long, or can't be written.
    """
    _check_joinable(log, connection)
    with _told(log), _begun(connection), _shielded(connection):
        this = _Call(log.hub, log.site, call, trans_rec_id)
        joined = Joined(connection, _stage(log, connection, this, arguments), this)
        try:
            yield joined
        except BaseException:
            if connection.dialect.name == "sqlite" and _has_begun(connection):  # no savepoint does it
                joined.cursor.run(_UNSTAGE, {"id": joined.id})
            raise
    _earlier(connection).append(this)


def _stage(log: EventLog, connection: Connection, this: _Call, arguments: str) -> int:
    values = {
        "hub": this.hub,
        "site": this.site,
        "call": this.call,
        "trans_rec_id": this.trans_rec_id,
        "arguments": arguments,
        "staged_at": format_time(log.clock()),
        "log_id": log.log_id,
    }
    cursor = _CallersCursor(connection)
    if place_of(cursor) != log.place:  # a copy of the log's database has the log's name, too
        raise _elsewhere()
    row = cursor.one(_STAGE[connection.dialect.name], values)
    if row is None:
        raise _elsewhere()
    return int(row[0])


def _check_joinable(log: EventLog, connection: Any) -> None:
    if not isinstance(connection, Connection):
        kind = type(connection)
        raise ConnectionNotJoinable(
            f"A {kind.__module__}.{kind.__qualname__} is no SQLAlchemy Connection.",
            hint="Give that of `engine.begin()` or `session.connection()`; with an AsyncConnection, call"
            " inside its run_sync().",
        )
    if connection.closed:
        raise ConnectionNotJoinable("The connection to join is closed.", hint="Give an open one.")
    if connection.dialect.name != log.database.engine.dialect.name:
        raise _elsewhere()
    if log.database.is_in_memory:
        raise ConnectionNotJoinable(
            "A SQLite database in memory has one connection: nobody can join another on it.",
            hint="Keep the log in a file or on PostgreSQL.",
        )
    transaction = connection.get_transaction()
    if isinstance(transaction, TwoPhaseTransaction) and transaction._is_prepared:
        raise _ended()


@contextmanager
def _told(log: EventLog) -> Iterator[None]:
    """What the database or SQLAlchemy refuses is told by our own errors."""
    try:
        yield
    except InvalidRequestError as error:
        raise _ended() from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == _FAILED_TRANSACTION:
            raise _ended() from error
        if state == _NO_SUCH_TABLE or "no such table" in str(error.orig):
            raise _elsewhere() from error
        tell = lost if error.connection_invalidated else explained
        raise tell(error, log.database.url) from error


@contextmanager
def _begun(connection: Connection) -> Iterator[None]:
    """A transaction under way on the caller's connection. One that begins here ends if the block raises."""
    begins = not connection.in_transaction()
    if begins:
        connection.begin()  # as the first statement of the caller's own would
    try:
        if _commits_at_once(connection):
            raise ConnectionNotJoinable(
                "The connection to join commits every statement by itself (autocommit).",
                hint="Give one with a transaction: without isolation_level='AUTOCOMMIT'.",
            )
        if _commits_with_a_savepoint(connection):
            raise ConnectionNotJoinable(
                "The connection to join is inside a savepoint, and its SQLite driver may not have begun a"
                " transaction around it: the savepoint's end would commit, whatever becomes of the rest.",
                hint="Call outside of begin_nested(), or have the driver begin real transactions, as"
                " docs/log.md shows under 'Savepoints on SQLite'.",
            )
        yield
    except BaseException:
        if begins:
            connection.rollback()
        raise


@contextmanager
def _shielded(connection: Connection) -> Iterator[None]:
    """Where the block raises, the caller's transaction is as it was.

    On PostgreSQL a savepoint does it. SQLite needs none, and its driver would begin and end a transaction
    with it; but for a caller that has only read, that driver begins one at the block's first write, which
    would keep all other writers waiting.
    """
    cursor = _CallersCursor(connection)
    if connection.dialect.name == "sqlite":
        had_begun = _has_begun(connection)
        try:
            yield
        except BaseException:
            if not had_begun and _has_begun(connection):
                cursor.run(_END)
            raise
        return
    cursor.run(_SAVEPOINT)
    try:
        yield
    except BaseException:
        if not connection.invalidated:  # with a connection that is lost, all is
            cursor.run(_UNDO)
            cursor.run(_KEEP)
        raise
    cursor.run(_KEEP)


def _has_begun(connection: Connection) -> bool:
    """Whether SQLite has a transaction under way on a connection: its driver begins one when it likes."""
    return bool(getattr(connection.connection.driver_connection, "in_transaction", False))


def _commits_with_a_savepoint(connection: Connection) -> bool:
    """Whether the end of the caller's savepoint may commit.

    On SQLite, a savepoint that stands in no transaction is one, and its release commits. Nobody can ask
    SQLite afterwards whether there was a BEGIN before; it is known of the driver's newest mode, which always
    has a transaction, and of an engine that begins its transactions itself.
    """
    if connection.dialect.name != "sqlite" or not connection.in_nested_transaction():
        return False
    driver: Any = connection.connection.dbapi_connection
    if getattr(driver, "autocommit", None) is False:
        return False
    begins_itself = driver.isolation_level is None and not connection._is_autocommit_isolation()
    return not (begins_itself and connection.dispatch.begin)


def _commits_at_once(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        return bool(getattr(driver, "autocommit", False))
    if _has_begun(connection):  # by a listener, or by hand
        return False
    return driver.isolation_level is None or getattr(driver, "autocommit", None) is True


def _earlier(connection: Connection) -> list[_Call]:
    transaction = connection.get_transaction()
    return [] if transaction is None else _EARLIER.setdefault(transaction, [])


class _CallersCursor(Cursor):
    """Runs statements on the caller's connection, whatever its driver, within the caller's transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_postgresql(self) -> bool:
        return self._connection.dialect.name == "postgresql"

    def run(self, statement: Statement, values: Any = None) -> int:
        return self._execute(statement, values).rowcount

    def one(self, statement: Statement, values: Any = None) -> Any:
        return self._execute(statement, values).first()

    def all(self, statement: Statement, values: Any = None) -> list[Any]:
        return list(self._execute(statement, values).all())

    def close(self) -> None:
        pass  # it is the caller's

    def _execute(self, statement: Statement, values: Any) -> CursorResult[Any]:
        return self._connection.execute(text(statement.sql), values, execution_options=_PLAINLY)


def _ended() -> ConnectionNotJoinable:
    return ConnectionNotJoinable(
        "The transaction on the connection to join has failed, or has ended.",
        hint="Roll it back, and begin another.",
    )


def _elsewhere() -> ConnectionNotJoinable:
    return ConnectionNotJoinable(
        "The connection to join is to another database, or sees other tables than the log's.",
        hint="Give one to the database (and on PostgreSQL with the search_path) that the engine was opened"
        " with; a copy of it is another.",
    )
