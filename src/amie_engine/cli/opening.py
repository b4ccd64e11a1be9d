"""What commands open with their settings: the log's engine, and a client of the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from amie_engine.cli.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from amie_engine.cli.whose import to_look_into, to_talk_about
from amie_engine.client import DEFAULT_URL, AMIEClient
from amie_engine.engine import Engine
from amie_engine.engine.service import DEFAULT_HUB
from amie_engine.errors import DatabaseSchemaMissing, DatabaseUnavailable, SettingsError
from amie_engine.log.database import Database
from amie_engine.log.files import file_of
from amie_engine.log.migrate import check_schema

__all__ = ["find_transaction", "open_client", "open_engine", "open_log", "open_whole_log", "settings_of_log"]

_MAKES_IT = "Give its URL with --database, such as sqlite:///amie.db; `amie-engine run` makes it."

_SHORTEST_STREAM = 6

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
        hub=settings.hub or DEFAULT_HUB,
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
    with open_whole_log(settings) as opened, opened.read() as cursor:
        its_hub, its_site = to_look_into(cursor, settings, hub=hub, site=site)
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
    absent = _absent_file(settings.database)
    if absent is not None:
        raise DatabaseUnavailable(f"There is no log at {absent}.", hint=hint or _MAKES_IT)
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


def settings_of_log(settings: Settings) -> Settings:
    """Return settings with the hub and the site of the log, where there is one, to talk to the service.

    Args:
        settings: The settings.

    Raises:
        SettingsError: The log has several sites or hubs that could be meant.
        LogError: The database can't be used, or is no log of this release.
    """
    new = replace(settings, hub=settings.hub or DEFAULT_HUB)
    if _absent_file(settings.database) is not None:
        return new
    try:
        with open_whole_log(settings) as database, database.read() as cursor:
            return to_talk_about(cursor, settings)
    except DatabaseSchemaMissing:
        return new


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
        SettingsError: They name no site or no key, have a URL that is none, or none for a hub that is not
            production's: a test service's key must not go to the production service.
    """
    site = settings.require("site", "--site")
    if settings.url is None and settings.hub not in (None, DEFAULT_HUB):
        raise SettingsError(
            f"No URL is set for the hub {settings.hub}.",
            hint=f"Give --url, or set {ENVIRONMENT_PREFIX}URL. Without one, the production service is asked,"
            f" which is the hub {DEFAULT_HUB}.",
        )
    url = settings.url or DEFAULT_URL
    return AMIEClient(site, settings.key(), url, timeout=_TIMEOUT, sleep=sleep)


def _absent_file(url: str) -> Path | None:
    """The SQLite file that a URL names, where it is not there: looking into a log must not make one."""
    database = Database(url)
    try:
        path = file_of(database.engine.url)
    finally:
        database.close()
    return path if path is not None and not path.is_file() else None
