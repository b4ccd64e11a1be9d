"""The command that compares the log with what the service has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from amie_engine.cli.logs import log_to_stderr
from amie_engine.cli.opening import open_client, open_engine, open_whole_log, settings_of_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, HubName, ServiceUrl, SiteOfLog
from amie_engine.cli.output import output_console, print_json, shown
from amie_engine.cli.settings import load_settings
from amie_engine.cli.tables import state_text, type_name
from amie_engine.engine.views import as_json as json_values
from amie_engine.errors import ServiceAuthenticationError
from amie_engine.site.reconciling import Reconciler, Reconciliation
from amie_engine.site.standing import Standing, Verdict

__all__ = ["reconcile"]

DIFFERS = 3
"""The exit status where log and service differ: 1 is an error, 2 a mistake in the call."""

NOT_ALL_ASKED = 1
"""The exit status where they agree as far as is known, and the service could not be asked about some."""


def reconcile(
    take_in: Annotated[
        bool, typer.Option("--take-in", help="Take in what the service has and the log has not.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show also the transactions on which both agree.")
    ] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubName = None,
    url: ServiceUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare what the service has of each open transaction with what the log has, and say what to do.

    It looks at every transaction that is open here or listed as in progress there, and changes nothing. With
    --take-in, the packets that the service has and the log has not are taken in, as polling does, and what
    differs after that is shown. Nothing is sent, and no handler is called.

    Exit status: 0 where both agree, 3 where something differs, 1 where nothing does and the service could not
    be asked about some. What has still to be sent, what the service refused, and an inform that it goes on
    listing after the end are no differences.

    Examples:

        amie-engine reconcile
        amie-engine reconcile --take-in
    """
    settings = load_settings({"database": database, "site": site, "hub": hub, "url": url}, file=config)
    log_to_stderr(settings.log_level, settings.log_format)
    settings = settings_of_log(settings)
    with open_whole_log(settings):
        pass  # there is one: else none is made
    with open_client(settings) as client, open_engine(settings) as engine:
        result = Reconciler(engine, client).reconcile(take_in=take_in)
    if as_json:
        standings = [
            json_values(each) | {"differs": each.differs and each.is_told, "told": each.is_told}
            for each in result.standings
        ]
        print_json({"agrees": result.agrees, "taken_in": result.taken_in, "transactions": standings})
    else:
        _print(output_console(), result, everything=everything)
    if _differing(result):
        raise typer.Exit(DIFFERS)
    if not result.agrees:
        raise typer.Exit(NOT_ALL_ASKED)


def _print(console: Console, result: Reconciliation, *, everything: bool) -> None:
    if result.taken_in:
        console.print(f"Taken in: {', '.join(result.taken_in)}.", soft_wrap=True)
    rows = [each for each in result.standings if everything or not _goes_without_saying(each)]
    if rows:
        console.print(_table(rows))
    commands = dict.fromkeys(command for standing in rows for command in standing.commands)
    if commands:
        console.print("\nWhat to do:")
    for command in commands:
        console.print(f"  {command}", soft_wrap=True, markup=False, style="bold")
    if rows:
        console.print()
    for line in _summary(result):
        console.print(line, soft_wrap=True)


def _goes_without_saying(standing: Standing) -> bool:
    """Whether all is well with it, or it is one of many after the one that could not be asked for."""
    return standing.verdict in (Verdict.AGREES, Verdict.NOT_ASKED)


def _differing(result: Reconciliation) -> list[Standing]:
    """Those on which the two are known to disagree."""
    return [each for each in result.differing if each.is_told]


def _summary(result: Reconciliation) -> Iterator[str]:
    count, differing = len(result.standings), len(_differing(result))
    verdicts = Counter(each.verdict for each in result.standings)
    moving, untold = verdicts[Verdict.MOVING], verdicts[Verdict.UNTOLD] + verdicts[Verdict.NOT_ASKED]
    if count == 0:
        yield "Nothing is open, here or there."
    elif differing:
        yield f"Log and service differ on {differing} of {_transactions(count)}."
    elif untold + moving < count:
        to_do = sum(bool(each.commands) for each in result.standings)
        what = f"; on {to_do} there is something to do" if to_do else ""
        yield f"Log and service agree on {_transactions(count - untold - moving)}{what}."
    if moving:
        yield f"{moving} of {_transactions(count)} went on meanwhile. Compare again: amie-engine reconcile"
    if untold:
        refused = any(each.error_code == ServiceAuthenticationError.code for each in result.standings)
        then = "Put the key right, and try again" if refused else "Try again later"
        yield (
            f"The service could not be asked about {untold} of {_transactions(count)}. {then}:"
            " amie-engine reconcile"
        )


def _transactions(count: int) -> str:
    return f"{count} transaction{'' if count == 1 else 's'}"


def _table(standings: list[Standing]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("transaction", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("they say", no_wrap=True)
    table.add_column("we say", no_wrap=True)
    table.add_column("what that means", overflow="fold")
    for standing in standings:
        table.add_row(
            shown(_name(standing)),
            type_name(standing.type, wide=False),
            _theirs(standing.theirs),
            state_text(standing.ours),
            Text(standing.sentence or "Both agree.", style="" if standing.differs else "dim"),
        )
    return table


def _name(standing: Standing) -> str:
    return standing.trans_rec_id or (f"({standing.stream[:8]})" if standing.stream else "none")


def _theirs(state: str) -> Text:
    return state_text("".join(c if c.isprintable() else " " for c in state)[:12])
