"""The commands that run a site."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Annotated, Any

import typer

from amie_engine import __version__
from amie_engine.cli.logs import log_to_stderr
from amie_engine.cli.opening import open_client, open_engine, settings_of_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, HubName, ServiceUrl, SiteOfLog
from amie_engine.cli.output import output_console, print_json, print_json_line
from amie_engine.cli.settings import load_settings
from amie_engine.engine import Engine
from amie_engine.errors import DependencyMissing, ServiceUnreachable, SettingsError
from amie_engine.log.database import Database
from amie_engine.log.migrate import current_revision, revisions
from amie_engine.log.migrate import migrate as migrate_database
from amie_engine.site import Round, Runner, Site, load_site
from amie_engine.site.observing import Observer
from amie_engine.site.stopping import stopping_on_signals
from amie_engine.site.supervising import Supervised
from amie_engine.site.worked import Worked

__all__ = ["migrate", "poll", "run"]

logger = logging.getLogger("amie_engine.cli")


def migrate(
    revision: Annotated[
        str,
        typer.Option(
            "--to", metavar="REVISION", help="head, base (remove every table of ours), or a revision."
        ),
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Really go down: what the older schema has no room for is deleted.")
    ] = False,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Create the tables of the log in a database, or bring them up to date.

    A new SQLite file needs no migration: it gets its tables when it is first opened. Any other database does,
    and so does every database after an update of amie-engine that says so. Back it up before.

    Example:

        amie-engine migrate --database postgresql://amie@db.example.edu/amie
    """
    settings = load_settings({"database": database}, file=config)
    known = revisions()
    if revision not in ("head", "base", *known):
        raise SettingsError(f"There is no revision {revision!r}.", hint=f"There are: {', '.join(known)}.")
    opened = Database(settings.database)
    try:
        if not yes and _goes_down(current_revision(opened), revision, known):
            raise SettingsError(
                f"Going down to {revision} deletes data.", hint="Back up the database, then add --yes."
            )
        before, after = migrate_database(opened, revision)
    finally:
        opened.close()
    if as_json:
        print_json({"database": opened.url, "before": before, "after": after})
        return
    console = output_console(soft_wrap=True)
    if before == after:
        console.print(f"{opened.url} is at {after or 'no revision'} already.", markup=False)
    else:
        console.print(f"{opened.url}: from {before or 'nothing'} to {after or 'nothing'}.", markup=False)


def _goes_down(current: str | None, target: str, known: list[str]) -> bool:
    steps = ["base", *known]
    wanted = len(steps) - 1 if target == "head" else steps.index(target)
    return current in steps and steps.index(current) > wanted


def poll(
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubName = None,
    url: ServiceUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what the service lists, once, and take it into the log. No handler is called, nothing is sent.

    It shows what waits for the site, before any handler is written, say. The API key comes from
    AMIE_ENGINE_API_KEY, or from the settings' api_key or api_key_file.

    Example:

        amie-engine poll --site NCSA --url http://127.0.0.1:8000/v0.10/
    """
    settings = load_settings({"database": database, "site": site, "hub": hub, "url": url}, file=config)
    log_to_stderr(settings.log_level, settings.log_format)
    settings = settings_of_log(settings)
    with (
        open_client(settings) as client,
        open_engine(settings) as engine,
        Runner(engine, client, Site(engine.site)) as runner,
    ):
        counts = runner.poll_once()
    if as_json:
        print_json({str(kind): count for kind, count in counts.items()})
        return
    told = [f"{count} {str(kind).replace('_', ' ')}" for kind, count in counts.items() if count]
    output_console().print(f"Received: {', '.join(told) or 'nothing'}.")


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
        float | None,
        typer.Option(metavar="SECONDS", help="Seconds between two polls with news.", show_default="30"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="In how many threads handlers are called.", show_default="1"),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Serve metrics for Prometheus there; 0 takes a free port.",
            show_default=False,
        ),
    ] = None,
    database: DatabaseUrl = None,
    hub: HubName = None,
    url: ServiceUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a site: poll, receive, call the handlers, send the replies; until SIGTERM or Ctrl-C.

    Handlers are called in threads of their own, as many as --workers says; several daemons may share a log.
    While the service has no news, it is polled less and less often: longest_interval in the settings is the
    limit. A handler that is at work at the end is finished first, and its reply sent; a second signal does
    not wait for it. What goes wrong is logged to standard error, and the loop goes on. With --json, whatever
    was done is a line of JSON.

    Under systemd, as a unit of Type=notify, it tells when it is ready, how polling goes and, where the unit
    has a watchdog, that it goes on. See status and health for how it does.

    --site names a Site, or a function that returns one. The API key comes from AMIE_ENGINE_API_KEY, or from
    the settings' api_key or api_key_file.

    Example:

        amie-engine run --site campus.site:site --hub sandbox \\
            --url http://127.0.0.1:8000/v0.10/
    """
    options = {
        "database": database,
        "hub": hub,
        "url": url,
        "handlers": handlers,
        "interval": interval,
        "workers": workers,
        "metrics_port": metrics_port,
    }
    settings = load_settings(options, file=config)
    log_to_stderr(settings.log_level, settings.log_format)
    site = load_site(settings.require("handlers", "--site"))
    if settings.site not in (None, site.name):
        raise SettingsError(f"The settings name the site {settings.site}, the handlers {site.name}.")
    settings = settings_of_log(replace(settings, site=site.name))
    stop = threading.Event()
    supervised = Supervised()

    def pause(seconds: float) -> None:
        supervised.alive()
        if stop.wait(seconds):
            raise ServiceUnreachable("The call was not tried again, since the daemon is stopping.", hint="")

    with ExitStack() as opened:
        client = opened.enter_context(open_client(settings, sleep=pause))
        engine = opened.enter_context(open_engine(settings))
        observers: list[Observer] = [supervised]
        if settings.metrics_port is not None and not once:
            observers.append(
                opened.enter_context(_metrics(engine, settings.metrics_port, settings.metrics_host))
            )
        runner = Runner(
            engine,
            client,
            site,
            interval=settings.interval,
            longest_interval=settings.longest_interval,
            workers=settings.workers,
            client_state=settings.client_state,
            observers=observers,
        )
        if once:
            with stopping_on_signals(stop), runner:
                result = runner.run_once(stop)
            _report(result, as_json=as_json)
            went_wrong = result.worked[Worked.FAILED] or result.worked[Worked.PARKED] or result.undelivered
            raise typer.Exit(1 if result.errors or went_wrong else 0)
        logger.info(
            "amie-engine %s runs site %s at %s: service %s, log %s.",
            __version__,
            engine.site,
            engine.hub,
            client.amie_url,
            engine.database.url,
        )
        try:
            runner.run(stop, on_round=_report_line if as_json else None)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a third ends it at once, and not with a traceback
            raise


@contextmanager
def _metrics(engine: Engine, port: int, host: str) -> Iterator[Observer]:
    """Serve metrics while the block runs."""
    try:
        from amie_engine.site.metrics import Metrics
    except DependencyMissing as error:
        raise SettingsError(error.message, hint=error.hint) from error
    metrics = Metrics(engine)
    with metrics.serving(port, host) as taken:
        logger.info("Metrics are at http://%s:%d/metrics.", host, taken)
        yield metrics


def _report_line(result: Round) -> None:
    done = _done(result)
    if any(done.values()):
        print_json_line(done)


def _report(result: Round, *, as_json: bool) -> None:
    """Tell what a single round did."""
    done = _done(result)
    if as_json:
        print_json_line(done)
        return
    received = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done["received"].items())
    worked = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done["worked"].items())
    output_console().print(
        f"Received: {received or 'nothing'}. Worked: {worked or 'nothing'}. Arrived: {result.sent}."
        f"{f' Delivered: {result.delivered}.' if result.delivered else ''}"
    )


def _done(result: Round) -> dict[str, Any]:
    return {
        "received": {str(kind): count for kind, count in result.received.items() if count},
        "worked": {str(kind): count for kind, count in result.worked.items() if count},
        "sent": result.sent,
        "delivered": result.delivered,
        "errors": [error.code for error in result.errors],
    }
