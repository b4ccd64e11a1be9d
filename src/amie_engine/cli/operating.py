"""The commands that run a site."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Annotated, Any

import typer
from rich.console import Console

from amie_engine.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    HubName,
    ServiceUrl,
    SiteName,
    open_client,
    open_engine,
    print_json,
)
from amie_engine.cli.settings import Settings, load_settings
from amie_engine.engine.views import as_json as json_values
from amie_engine.errors import SettingsError
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate as migrate_database
from amie_engine.log.migrate import revisions
from amie_engine.site import Round, Runner, Site, load_site

__all__ = ["migrate", "poll", "run"]


def migrate(
    revision: Annotated[
        str, typer.Option("--to", help="head, base (remove every table of ours), or a revision.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Really go down: what the older schema has no room for is deleted.")
    ] = False,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Create the tables of the log in a database, or bring them up to date.

    Example: amie-engine migrate --database postgresql://amie@db/amie
    """
    settings = load_settings({"database": database}, file=config)
    known = revisions()
    if revision not in ("head", "base", *known):
        raise SettingsError(f"There is no revision {revision!r}.", hint=f"There are: {', '.join(known)}.")
    if revision not in ("head", known[-1]) and not yes:
        raise SettingsError(
            f"Going down to {revision} deletes data.", hint="Back up the database, then add --yes."
        )
    opened = Database(settings.database)
    try:
        before, after = migrate_database(opened, revision)
    finally:
        opened.close()
    if as_json:
        print_json({"database": opened.url, "before": before, "after": after})
    elif before == after:
        Console().print(f"{opened.url} is at {after or 'no revision'} already.")
    else:
        Console().print(f"{opened.url}: from {before or 'nothing'} to {after or 'nothing'}.")


def poll(
    database: DatabaseUrl = None,
    site: SiteName = None,
    hub: HubName = None,
    url: ServiceUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what the service lists, once, and take it into the log. No handler is called, nothing is sent.

    The API key comes from AMIE_ENGINE_API_KEY or from the settings' api_key or api_key_file.
    """
    settings = load_settings({"database": database, "site": site, "hub": hub, "url": url}, file=config)
    _log_to_stderr(settings)
    with open_engine(settings) as engine, open_client(settings) as client:
        counts = Runner(engine, client, Site(engine.site)).poll_once()
    if as_json:
        print_json({str(kind): count for kind, count in counts.items()})
        return
    told = [f"{count} {str(kind).replace('_', ' ')}" for kind, count in counts.items() if count]
    Console().print(f"Listed: {', '.join(told) or 'nothing'}.")


def run(
    handlers: Annotated[
        str | None,
        typer.Option(
            "--site",
            metavar="MODULE:OBJECT",
            help="The site's handlers, such as campus.site:site.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One round, then exit.")] = False,
    interval: Annotated[
        float | None, typer.Option(help="Seconds between two rounds.", show_default="30")
    ] = None,
    database: DatabaseUrl = None,
    hub: HubName = None,
    url: ServiceUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a site: poll, receive, call the handlers, send the replies; until SIGTERM or Ctrl-C.

    The round that is under way is finished first. The API key comes from AMIE_ENGINE_API_KEY or from the
    settings' api_key or api_key_file.

    Example: amie-engine run --site campus.site:site --url http://127.0.0.1:8000/v0.10/
    """
    options = {"database": database, "hub": hub, "url": url, "handlers": handlers, "interval": interval}
    settings = load_settings(options, file=config)
    _log_to_stderr(settings)
    site = load_site(settings.require("handlers", "--site"))
    if settings.site not in (None, site.name):
        raise SettingsError(f"The settings name the site {settings.site}, the handlers {site.name}.")
    settings = load_settings({**options, "site": site.name}, file=config)
    with open_engine(settings) as engine, open_client(settings) as client:
        runner = Runner(engine, client, site, interval=settings.interval)
        if once:
            result = runner.run_once()
            _report(result, as_json)
            raise typer.Exit(1 if result.errors else 0)
        runner.run(threading.Event(), on_round=lambda done: _report(done, as_json=True) if as_json else None)


def _report(result: Round, as_json: bool) -> None:
    """What one round did; as JSON a line each, for those that did something."""
    done: dict[str, Any] = {
        "received": {str(kind): count for kind, count in result.received.items() if count},
        "worked": {str(kind): count for kind, count in result.worked.items() if count},
        "sent": result.sent,
        "errors": [error.code for error in result.errors],
    }
    if as_json:
        if any(done.values()):
            sys.stdout.write(json.dumps(json_values(done)) + "\n")
            sys.stdout.flush()
        return
    received = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done["received"].items())
    worked = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done["worked"].items())
    Console().print(
        f"Received: {received or 'nothing'}. Worked: {worked or 'nothing'}. Arrived: {result.sent}."
    )


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # These two speak of every connection and revision; what matters of it is in our own lines.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
