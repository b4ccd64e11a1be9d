"""What a driver's error means to an operator."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from amie_engine.errors import ConcurrencyConflict, DatabaseUnavailable, LogError

__all__ = ["explained", "unreachable"]

_REFUSES_TO_BE_WRITTEN = ("25006", "42501")
"""PostgreSQL's SQLSTATE for a read-only transaction and for a privilege that is lacking."""

_LOCK_NOT_AVAILABLE = "55P03"


def unreachable(error: BaseException, url: str) -> LogError:
    """The error for a connection that can't be had."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(
            f"The database {url} can't be used: all of its connections are in use.",
            hint="Call again later, or give an engine with a larger pool.",
        )
    cause = _cause(error)
    hint = "Another process holds it for too long; call again once that is done." if _locked(cause) else None
    return DatabaseUnavailable(f"The database {url} can't be used: {_first_line(cause)}.", hint=hint)


def explained(error: Exception, url: str) -> LogError:
    """The error for a statement or a commit that the database refused."""
    cause = _cause(error)
    kinds = {kind.__name__ for kind in type(cause).__mro__}  # PEP 249 names them alike in every driver
    state = _sqlstate(cause)
    if state.startswith("40"):
        return ConcurrencyConflict(f"The database {url} undid the transaction: {_first_line(cause)}.")
    broken = type(cause).__name__ == "DatabaseError"  # itself, and none of its kinds: no database at all
    if kinds & {"OperationalError", "InterfaceError"} or broken or state in _REFUSES_TO_BE_WRITTEN:
        return unreachable(cause, url)
    return LogError(
        f"The database {url} refused a statement: {_first_line(cause)}.", hint="Nothing of it was written."
    )


def _cause(error: BaseException) -> BaseException:
    """The driver's own error in SQLAlchemy's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for an error."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds about the circumstances
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or _sqlstate(error) == _LOCK_NOT_AVAILABLE


def _first_line(error: BaseException) -> str:
    """The error's first line: PostgreSQL quotes values in those after it."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
