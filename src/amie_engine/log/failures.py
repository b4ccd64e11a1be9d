"""What a driver's error means to an operator."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from amie_engine.errors import (
    CommitInDoubt,
    ConcurrencyConflict,
    ConnectionLost,
    DatabaseUnavailable,
    LogError,
)

__all__ = ["about_values", "explained", "first_line", "in_doubt", "lost", "not_writable", "unreachable"]

_LOCKED = "Another process holds it for too long; call again once that is done."
_FULL = "Make room on the disk of the database, and call again."

# PostgreSQL's SQLSTATE, where more can be said than that the database can't be used.
_HINTS = {
    "25006": "It may only be read: give the URL of the server that can be written.",
    "42501": "Grant its role what the page on PostgreSQL names, docs/postgresql.md.",
    "53100": _FULL,
    "53300": "The server has no connection left: close others, or raise its max_connections.",
    "55P03": _LOCKED,
    "57014": "Call again, if an operator cancelled it (pg_cancel_backend); else the statement_timeout of the"
    " server or the role is too short for the log: raise it.",
}
_DAMAGED = "It is damaged, or no database at all: restore its newest backup, or mend its URL."
_FOLDER_NOT_WRITABLE = (
    "Its folder may not be written, as a write-ahead log needs it: for a file that nobody writes to, give"
    " sqlite:///file:PATH?immutable=1&uri=true."
)

_NOT_WRITABLE = ("25006", "42501")
"""A transaction that may only read, and a privilege that is lacking; psycopg calls neither operational."""

_ABOUT_VALUES = ("22", "23", "54")
"""SQLSTATE's classes of errors that another value would not have: data, integrity, a limit of the program."""


def unreachable(error: BaseException, url: str) -> LogError:
    """The error for a connection that can't be had, or a database that can't be used just now."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(
            f"The database {url} can't be used: all of its connections are in use.",
            hint="Call again later, or give an engine with a larger pool.",
        )
    cause = _cause(error)
    return DatabaseUnavailable(f"The database {url} can't be used: {first_line(cause)}.", hint=_hint(cause))


def lost(error: BaseException, url: str) -> LogError:
    """The error for a connection that broke before the transaction on it was committed."""
    return ConnectionLost(f"The connection to the database {url} was lost: {first_line(_cause(error))}.")


def in_doubt(error: BaseException, url: str) -> LogError:
    """The error for a connection that broke at the commit."""
    return CommitInDoubt(
        f"The connection to the database {url} was lost at a commit, and whether it was done is not known:"
        f" {first_line(_cause(error))}."
    )


def explained(error: Exception, url: str) -> LogError:
    """The error for a statement or a commit that the database refused."""
    cause = _cause(error)
    kinds = {kind.__name__ for kind in type(cause).__mro__}  # PEP 249 names them alike in every driver
    state = _sqlstate(cause)
    if getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return ConcurrencyConflict(
            f"The transaction on {url} has read what another has changed since, and can't write any more.",
            hint="Roll it back and do it again; begin it with BEGIN IMMEDIATE, or write before you read.",
        )
    if state.startswith("40"):
        return ConcurrencyConflict(f"The database {url} undid the transaction: {first_line(cause)}.")
    broken = type(cause).__name__ == "DatabaseError"  # itself, and none of its kinds: no database at all
    if kinds & {"OperationalError", "InterfaceError"} or broken or not_writable(cause):
        return unreachable(cause, url)
    return LogError(
        f"The database {url} refused a statement: {first_line(cause)}.", hint="Nothing of it was written."
    )


def about_values(error: BaseException) -> bool:
    """Whether a database refused the values of a statement, and would refuse them again at any time."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"DataError", "IntegrityError"}) or _sqlstate(error)[:2] in _ABOUT_VALUES


def not_writable(error: BaseException) -> bool:
    """Whether PostgreSQL refused to write: where only reading is allowed, or for want of a privilege."""
    return _sqlstate(error) in _NOT_WRITABLE


def _cause(error: BaseException) -> BaseException:
    """The driver's own error in SQLAlchemy's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for an error."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _hint(error: BaseException) -> str | None:
    """What to do, where it is more than the class of the error says."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds about the circumstances
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _LOCKED
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, UnicodeDecodeError):
        return _DAMAGED
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DIRECTORY:
        return _FOLDER_NOT_WRITABLE
    return _FULL if code == sqlite3.SQLITE_FULL else _HINTS.get(_sqlstate(error))


def first_line(error: BaseException) -> str:
    """The error's first line: PostgreSQL quotes values in those after it, SQLite's driver in it."""
    if isinstance(error, UnicodeDecodeError):  # SQLite's own error quotes the file, which is no text there
        return "malformed database schema"
    lines = str(error).partition(" with text ")[0].strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
