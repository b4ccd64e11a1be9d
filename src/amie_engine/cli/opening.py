"""What commands open with their settings: the log's engine, and a client of the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from amie_engine.cli.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from amie_engine.client import DEFAULT_URL, AMIEClient
from amie_engine.engine import Engine
from amie_engine.errors import DatabaseSchemaMissing, DatabaseUnavailable, SettingsError
from amie_engine.log.database import Database
from amie_engine.log.files import file_of
from amie_engine.log.migrate import check_schema
from amie_engine.log.statements import Cursor, Statement

__all__ = ["find_transaction", "open_client", "open_engine", "open_log", "open_whole_log", "settings_of_log"]

_NEXT_SITES = tuple(
    Statement(
        f"SELECT hub, site FROM {table} WHERE (hub, site) > (:hub, :site) ORDER BY hub, site LIMIT 1"  # noqa: S608 # ours
    )
    for table in ("amie_transactions", "amie_quarantine", "amie_daemons")
)
"""The next of each table, by its index: there are few of them in a log, and many rows of each."""

_MAKES_IT = "Give its URL with --database, such as sqlite:///amie.db; `amie-engine run` makes it."

_SHORTEST_STREAM = 6

_NOBODY = "-"
"""A site's name for looking into a log that has none."""

_TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next piece of an answer: a supervisor that asks the daemon to
stop waits longer than that before it kills."""


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open the engine that the settings name; an absent SQLite file is made.

    Raises:
        SettingsError: They name no site.
        LogError: The database can't be used.
    """
    with Engine(
        settings.database,
        site=settings.require("site", "--site"),
        hub=settings.hub,
        acknowledge_inform=settings.acknowledge_inform,
        deadline_warning=timedelta(days=settings.deadline_warning),
    ) as engine:
        yield engine


@contextmanager
def open_log(
    *, database: str | None, site: str | None, hub: str | None, config: Path | None
) -> Iterator[Engine]:
    """Open a log to look into. Hub and site need not be named where they are the only ones in it.

    Args:
        database: Its URL, if the command line names it.
        site: The site, likewise.
        hub: The hub, likewise.
        config: The file with the settings, likewise.

    Raises:
        SettingsError: The log has several sites or hubs that the settings could mean, or not the one named.
        LogError: There is no such log, or the database can't be used. Nothing was made in it.
    """
    settings = load_settings({"database": database, "site": site, "hub": hub}, file=config)
    with open_whole_log(settings):
        pass
    its_hub, its_site = _choose(settings, hub, site)
    warning = timedelta(days=settings.deadline_warning)
    with Engine(settings.database, site=its_site, hub=its_hub, deadline_warning=warning) as engine:
        yield engine


@contextmanager
def open_whole_log(settings: Settings, *, hint: str | None = None) -> Iterator[Database]:
    """Open the database of a log to read all that is in it, whatever the site and hub. Nothing is made in it.

    Args:
        settings: The settings.
        hint: What to do where there is no log, if not to make one.

    Raises:
        LogError: There is no such log, or the database can't be used.
    """
    _require_file(settings.database, hint or _MAKES_IT)
    database = Database(settings.database)
    try:
        check_schema(database, make=False)
    except DatabaseSchemaMissing as error:
        error.hint = hint or error.hint
        raise
    try:
        yield database
    finally:
        database.close()


def settings_of_log(settings: Settings, *, hub: str | None, site: str | None) -> Settings:
    """Return settings with the hub and the site of the log, where there is one, for what asks its service.

    The service whose URL is taken where none is set is that of the settings' hub: no other log's key is sent
    there.

    Args:
        settings: The settings.
        hub: The hub that the command line names.
        site: The site, likewise.

    Raises:
        SettingsError: The log has several sites or hubs that could be meant, not the one named, or one for
            which no URL is set.
        LogError: The database is no log of this release.
    """
    try:
        with open_whole_log(settings):
            pass
    except (DatabaseUnavailable, DatabaseSchemaMissing):
        return settings  # there is none yet, or what opens it tells what is the matter
    its_hub, its_site = _choose(settings, hub, site)
    if its_hub != settings.hub and settings.url is None:
        raise SettingsError(
            f"The log is one of the hub {its_hub}, and no URL is set for it.",
            hint=f"Give --url, or set {ENVIRONMENT_PREFIX}URL and {ENVIRONMENT_PREFIX}HUB={its_hub}.",
        )
    return replace(settings, hub=its_hub, site=settings.site if its_site == _NOBODY else its_site)


def find_transaction(engine: Engine, name: str) -> str:
    """Return the name of a transaction for the engine: the beginning of an id in the log will do, as the list
    of transactions shows it.

    Args:
        engine: The engine.
        name: What the command line names: a record id, or an id in the log, in parentheses perhaps.
    """
    beginning = name.strip("()")
    there = engine.transactions()
    if len(beginning) < _SHORTEST_STREAM or any(other.trans_rec_id == name for other in there):
        return name
    found = [other.stream for other in there if other.stream.startswith(beginning)]
    return found[0] if len(found) == 1 else name


def open_client(settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> AMIEClient:
    """Return a client for the service that the settings name.

    Args:
        settings: The settings.
        sleep: Waits for so many seconds before a call is tried again.

    Raises:
        SettingsError: They name no site or no key, or have a URL that is none.
    """
    site = settings.require("site", "--site")
    url = settings.url or DEFAULT_URL
    return AMIEClient(site, settings.key(), url, timeout=_TIMEOUT, sleep=sleep)


def _require_file(url: str, hint: str) -> None:
    """Looking into a log must not make one: an SQLite file has to be there."""
    database = Database(url)
    try:
        path = file_of(database.engine.url)
        if path is not None and not path.is_file():
            raise DatabaseUnavailable(f"There is no log at {path}.", hint=hint)
    finally:
        database.close()


def _choose(settings: Settings, hub: str | None, site: str | None) -> tuple[str, str]:
    """The hub and the site in the log that are meant: those that the command line names, else those that the
    settings name if they are there, else the only ones."""
    with (
        Engine(settings.database, site=settings.site or _NOBODY, hub=settings.hub) as engine,
        engine.log.read() as reader,
    ):
        there = sorted({pair for statement in _NEXT_SITES for pair in _sites_by(statement, reader.cursor)})
    found = [pair for pair in there if hub in (None, pair[0]) and site in (None, pair[1])]
    found = [pair for pair in found if pair[1] == settings.site] or found
    found = [pair for pair in found if pair[0] == settings.hub] or found
    if len(found) == 1:
        return found[0]
    if not there:
        return settings.hub, settings.site or _NOBODY
    names = ", ".join(f"--hub {name[0]} --site {name[1]}" for name in there)
    if found:
        raise SettingsError("The log has several sites or hubs.", hint=f"Name one: {names}.")
    raise SettingsError("The log has nothing of that site and hub.", hint=f"It has: {names}.")


def _sites_by(statement: Statement, cursor: Cursor) -> Iterator[tuple[str, str]]:
    row = ("", "")
    while row := cursor.one(statement, {"hub": row[0], "site": row[1]}):
        yield str(row[0]), str(row[1])
