"""From a URL, or from the site's own SQLAlchemy engine, to the engine that the log uses."""

from __future__ import annotations

from select import select
from typing import Any

from sqlalchemy import URL, Dialect, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from amie_engine.errors import DatabaseUnfit
from amie_engine.log.files import in_memory, make_private

__all__ = ["engine_beside", "engine_for_url", "is_quiet", "shown_url"]

SQLITE_TIMEOUT = 30.0
"""Seconds to wait for another process's write on SQLite, unless the URL has a ``timeout``."""

_HIDDEN = "***"

_DRIVER = "postgresql+psycopg"


def engine_for_url(url: str) -> Engine:
    """Return an engine of the log's own.

    Raises:
        DatabaseUnfit: It is no URL, or one of a driver that is unknown or not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername=_DRIVER)
        _check_backend(parsed.get_backend_name())
        _check_host(parsed)
        engine = create_engine(parsed, hide_parameters=True, **_options(parsed))
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseUnfit(
            f"The driver for this database is not installed ({error}).",
            hint="For PostgreSQL: pip install 'amie-engine[postgres]'.",
        ) from None
    except (ArgumentError, ValueError, TypeError):
        raise DatabaseUnfit("The database's URL can't be read.") from None
    _check_synchronous(engine.dialect)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", lambda *_: make_private(parsed))
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def engine_beside(engine: Engine) -> Engine:
    """Return an engine on the connections of a site's own.

    It shares their pool, and so whatever the site sets on a new connection. It does not share what the site
    listens for on its engine: no transaction of the log's calls the site's code, and none of the site's ours.

    Raises:
        DatabaseUnfit: The log can't live in a database of that kind, or not with that driver.
    """
    _check_backend(engine.dialect.name)
    _check_synchronous(engine.dialect)
    return Engine(engine.pool, engine.dialect, engine.url, hide_parameters=True)


def is_quiet(driver: Any) -> bool:
    """Whether a PostgreSQL connection that is not in use has nothing to say: a server that ends a connection,
    or is ended, says so, or closes it. That costs no call of the server.

    False also where the driver does not tell.
    """
    try:
        waiting, _, _ = select([driver.fileno()], [], [], 0)
    except Exception:  # noqa: BLE001 # each driver has errors of its own for what it does not tell
        return False
    return not waiting


def shown_url(url: URL) -> str:
    """Return a URL for people to read, as they give it: without the driver, where that is the one that is
    taken anyway, and without its password, wherever that stands.

    In the place of the database, PostgreSQL's library takes a whole list of options, or another URL.
    """
    secret = [name for name, value in url.query.items() if _may_have_password(name, value)]
    if url.get_backend_name() == "postgresql" and any(sign in (url.database or "") for sign in ("=", "://")):
        url = url.set(database=_HIDDEN)
    if url.drivername == _DRIVER:
        url = url.set(drivername="postgresql")
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def _may_have_password(name: str, value: str | tuple[str, ...]) -> bool:
    """Whether an option of a URL is a password, or may hold one in a list of options or another URL."""
    values = (value,) if isinstance(value, str) else value
    return any("password" in text.lower() or "://" in text for text in (name, *values))


def _check_backend(name: str) -> None:
    if name not in ("sqlite", "postgresql"):
        raise DatabaseUnfit(
            f"The log can't live in a {name} database.",
            hint="Use SQLite (sqlite:///amie.db) or PostgreSQL (postgresql://...).",
        )


def _check_host(url: URL) -> None:
    """Refuse a password with a bare ``@``, of which the rest would be taken for the host, and so be shown."""
    if "@" in (url.host or ""):
        raise DatabaseUnfit(
            "The database's URL can't be read: there are two @ in it.", hint="In a password, write %40 for @."
        )


def _check_synchronous(dialect: Dialect) -> None:
    if dialect.is_async:
        raise DatabaseUnfit(
            f"The log can't use the asynchronous driver {dialect.driver}.",
            hint="Use sqlite:/// or postgresql:// for the log; another engine may use the other.",
        )


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "postgresql":
        return {}
    arguments: dict[str, Any] = {} if "timeout" in url.query else {"timeout": SQLITE_TIMEOUT}
    # The log ends every transaction before it hands a connection back.
    options: dict[str, Any] = {"connect_args": arguments, "pool_reset_on_return": None}
    if not in_memory(url):
        return options
    # A database in memory is its connection: there is one, for one thread at a time.
    arguments["check_same_thread"] = False
    return options | {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}


def _prepare_sqlite(driver: Any, _record: Any) -> None:
    driver.isolation_level = None  # the log begins its transactions itself
    driver.execute("PRAGMA synchronous=FULL")
    driver.execute("PRAGMA secure_delete=ON")  # what is erased leaves no copies in free pages
