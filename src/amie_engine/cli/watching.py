"""The commands that tell how things stand: for an operator, and for a supervisor."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from amie_engine.cli.opening import open_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, HubOfLog, SiteOfLog
from amie_engine.cli.output import output_console, print_json
from amie_engine.cli.status_screen import print_status
from amie_engine.cli.tables import age, process_text
from amie_engine.engine import Engine
from amie_engine.engine.daemons import SEEN_WITHIN, Daemon
from amie_engine.errors import SettingsError

__all__ = ["NEEDS_A_PERSON", "health", "status"]

NEEDS_A_PERSON = 3
"""The exit status of `status` where somebody has to do something."""


def status(
    everything: Annotated[bool, typer.Option("--all", help="All that needs a person, however much.")] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how things stand on one screen: the daemon, the service, what is open, and what needs a person.

    For each thing that needs a person it says what to type. Exit status: 0 where nothing does, 3 where
    something does, so that a script can tell; 1 and 2 as for every command.

    Example:

        amie-engine status
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        found = engine.status()
        warning = engine.deadline_warning
    if as_json:
        print_json(found)
    else:
        given = _as_given(database=database, site=site, hub=hub, config=config)
        print_status(output_console(), found, warning, given, everything=everything)
    if found.needs:
        raise typer.Exit(NEEDS_A_PERSON)


def health(
    anywhere: Annotated[
        bool, typer.Option("--any", help="A daemon on any host that shares the log will do.")
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How old its last sign of life may be.",
            show_default=f"{SEEN_WITHIN.total_seconds():.0f}",
        ),
    ] = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a daemon is at work on this host: for a container's or a supervisor's probe.

    A daemon gives a sign of life with each poll, and every six minutes at least. One that backs off, since
    the service is down or refuses the key, is at work all the same: see status. It needs no API key, and
    asks nobody but the log's database. Exit status: 0 where a daemon is at work, 1 where none is.

    Example:

        amie-engine health
    """
    if limit is not None and not 0 < limit < 86_400:
        raise SettingsError("--limit must be more than 0 seconds and less than a day.")
    within = SEEN_WITHIN if limit is None else timedelta(seconds=limit)
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        now = engine.now()
        with engine.database.read() as cursor:
            daemons = engine.daemons.all(cursor)
        healthy, why = _judge(engine, daemons, now, within, anywhere=anywhere)
    if as_json:
        print_json({"healthy": healthy, "why": why, "daemons": daemons})
    else:
        output_console(soft_wrap=True).print(why, markup=False)
    if not healthy:
        raise typer.Exit(1)


def _judge(
    engine: Engine, daemons: Sequence[Daemon], now: datetime, within: timedelta, *, anywhere: bool
) -> tuple[bool, str]:
    """Whether a daemon is at work, and how that is known."""
    here = [daemon for daemon in daemons if anywhere or daemon.host == socket.gethostname()]
    where = "" if anywhere else " on this host"
    if not here:
        others = "; there are some elsewhere, see --any" if daemons else ""
        return False, f"No daemon of {engine.site} at {engine.hub} has been seen{where}{others}."
    alive = [daemon for daemon in here if daemon.is_alive(now, within)]
    newest = max(alive or here, key=lambda daemon: daemon.seen_at)
    seen = f"it gave a sign of life {age(newest.seen_at, now)} ago"
    if alive:
        return True, f"The daemon on {process_text(newest.process)} is at work: {seen}."
    if newest.stopped_at is not None:
        return (
            False,
            f"The daemon on {process_text(newest.process)} has stopped, {age(newest.stopped_at, now)} ago.",
        )
    if newest.is_gone:
        return (
            False,
            f"The daemon on {process_text(newest.process)} is gone, and did not stop in good order; {seen}.",
        )
    return False, f"The daemon on {process_text(newest.process)} is silent: {seen}."


def _as_given(*, database: str | None, site: str | None, hub: str | None, config: Path | None) -> str:
    """The options of this call, which the commands need that the screen tells of."""
    given = {"--database": database, "--site": site, "--hub": hub, "--config": config}
    return " ".join(f"{option} {shlex.quote(str(value))}" for option, value in given.items() if value)
