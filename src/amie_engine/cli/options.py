"""The options that commands share, and what they open with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from amie_engine.cli.settings import Settings
from amie_engine.client import DEFAULT_URL, AMIEClient
from amie_engine.engine import Engine
from amie_engine.engine.views import as_json
from amie_engine.errors import DatabaseUnavailable, SettingsError
from amie_engine.log.database import Database, Statement
from amie_engine.log.migrate import current_revision

__all__ = [
    "AsJson",
    "ConfigFile",
    "DatabaseUrl",
    "HubName",
    "ServiceUrl",
    "SiteName",
    "open_client",
    "open_engine",
    "print_json",
]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="The TOML file with the settings.", show_default="amie-engine.toml"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", help="The log's database: a URL.", show_default="sqlite:///amie.db"),
]
SiteName = Annotated[
    str | None,
    typer.Option(
        "--site", help="The site's AMIE name. Not needed where the log has only one.", show_default=False
    ),
]
HubName = Annotated[
    str | None,
    typer.Option("--hub", help="The name of the central service in the log.", show_default="access"),
]
ServiceUrl = Annotated[
    str | None,
    typer.Option("--url", help="The AMIE service's base URL.", show_default="the production service's"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]

_SITES = Statement(
    "SELECT DISTINCT hub, site FROM amie_transactions UNION SELECT hub, site FROM amie_quarantine"
)


@contextmanager
def open_engine(settings: Settings, *, existing: bool = False) -> Iterator[Engine]:
    """Open the engine that the settings name.

    Args:
        settings: The settings.
        existing: The command only looks: an absent SQLite file is an error, and no reason to make one; and
            where the log has only one site and hub, they need not be named.
    """
    hub, site = settings.hub, settings.site
    if existing:
        _require_log(settings.database)
        hub, site = _only_site(settings)
    with Engine(
        settings.database,
        site=site or settings.require("site", "--site"),
        hub=hub,
        acknowledge_inform=settings.acknowledge_inform,
    ) as engine:
        yield engine


def open_client(settings: Settings) -> AMIEClient:
    """Return a client for the service that the settings name."""
    return AMIEClient(settings.require("site", "--site"), settings.key(), settings.url or DEFAULT_URL)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    json.dump(as_json(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _require_log(url: str) -> None:
    database = Database(url)
    try:
        path = database.engine.url.database
        if database.is_sqlite and path and path != ":memory:" and not Path(path).exists():
            raise DatabaseUnavailable(
                f"There is no log at {path}.",
                hint="Give its URL with --database, such as sqlite:///amie.db; `amie-engine demo` makes one.",
            )
        current_revision(database)
    finally:
        database.close()


def _only_site(settings: Settings) -> tuple[str, str | None]:
    """The log's hub and site where it has only one of the site that the settings name, if they name one."""
    with (
        Engine(settings.database, site=settings.site or "-", hub=settings.hub) as engine,
        engine.log.read() as reader,
    ):
        found = [row for row in reader.cursor.all(_SITES) if settings.site in (None, row[1])]
    if len(found) == 1 or (found and all(row[0] == settings.hub for row in found) and settings.site):
        return found[0][0], found[0][1]
    if not found:
        return settings.hub, settings.site or "-"
    chosen = [row for row in found if row[0] == settings.hub]
    if len(chosen) == 1:
        return chosen[0][0], chosen[0][1]
    names = ", ".join(sorted(f"--hub {hub} --site {site}" for hub, site in found))
    raise SettingsError("The log has several sites or hubs.", hint=f"Name one: {names}.")
