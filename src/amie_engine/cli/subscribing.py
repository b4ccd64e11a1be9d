"""The command about the site's subscribers: how far each has followed the log, and what keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from amie_engine.cli.opening import open_log
from amie_engine.cli.options import Actor, AsJson, ConfigFile, DatabaseUrl, HubOfLog, SiteOfLog, who
from amie_engine.cli.output import output_console, print_json, shown, tell
from amie_engine.cli.tables import age, process_text
from amie_engine.engine import Engine
from amie_engine.engine.subscriber_row import Overrun, SubscriberRow
from amie_engine.errors import SettingsError, SubscriberNotFound
from amie_engine.log.whole import read_events

__all__ = ["subscribers"]


def subscribers(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them.", show_default=False)
    ] = None,
    skip: Annotated[
        bool,
        typer.Option(
            "--skip", help="Have NAME skip the event that it fails at, or hangs in: it never gets it again."
        ),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Have the event that NAME fails at tried again at once.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Forget NAME: if it is there again, it is new.")
    ] = False,
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the site's subscribers: how far each has followed the log, and what keeps it.

    Each is given the events in order. So one that fails at an event waits there, and is called again with
    growing pauses, while the others go on: mend what is wrong, or have it skip that event. Who had what
    skipped is kept. One that hangs has been at work on an event for longer than its lease. Restart the
    daemon, and it is called again for that event; or have it skip the event, and restart the daemon then.

    Examples:

        amie-engine subscribers
        amie-engine subscribers "mail the PI" --skip --actor "head of operations"
    """
    options = {"--skip": skip, "--retry": retry, "--remove": remove}
    chosen = [option for option, given in options.items() if given]
    if len(chosen) > 1:
        raise SettingsError(f"{' and '.join(chosen)} can't be had at once.", hint="Give one of them.")
    if chosen and name is None:
        raise SettingsError(f"{chosen[0]} needs the NAME of a subscriber.")
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        if name is None or not chosen:
            _list(engine, _found(engine, name), as_json=as_json)
        elif skip:
            at_work = _at_work(engine, name)
            position = engine.subscriptions.skip(name, actor=who(actor))
            told = f"Skipped: {name} is not given the event at position {position}."
            if at_work is not None:
                told += f" {process_text(at_work)} is at work in it just now: if it hangs, restart it."
            tell(told, as_json=as_json)
        elif retry:
            engine.subscriptions.retry(name)
            tell(f"{name} is called again.", as_json=as_json)
        else:
            engine.subscriptions.remove(name)
            tell(f"Forgotten: {name}.", as_json=as_json)


def _found(engine: Engine, name: str | None) -> list[SubscriberRow]:
    found = [row for row in engine.subscriptions.all() if name in (None, row.name)]
    if name is not None and not found:
        raise SubscriberNotFound(f"The log knows no subscriber {name[:100]!r}.")
    return found


def _at_work(engine: Engine, name: str) -> str | None:
    """The process that delivers to a subscriber just now, or hangs in it."""
    for row in engine.subscriptions.all():
        if row.name == name:
            return row.holder if row.overrun is None else row.overrun.holder
    return None


def _list(engine: Engine, rows: Sequence[SubscriberRow], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    console = output_console()
    if not rows:
        console.print("Nobody has subscribed to the log.")
        return
    now = engine.now()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("subscriber", overflow="fold")
    for column in ("position", "behind"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("since", no_wrap=True)
    table.add_column("trouble", overflow="fold")
    for row in rows:
        style = "bold red" if row.failures or row.overrun is not None else ""
        table.add_row(
            shown(row.name),
            str(row.position),
            str(row.behind),
            age(row.updated_at, now),
            Text(_trouble(engine, row, now), style=style),
        )
    console.print(table)
    for row in rows:
        if row.skipped is not None:
            told = f"{row.name} skipped the event at position {row.skipped}, by {row.skipped_by}."
            console.print(shown(told), soft_wrap=True)


def _trouble(engine: Engine, row: SubscriberRow, now: datetime) -> str:
    if row.overrun is not None:
        return _hangs(engine, row.overrun, now)
    if not row.failures:
        return "" if row.holder is None else f"none: {process_text(row.holder)} delivers"
    times = "once" if row.failures == 1 else f"{row.failures} times"
    again = f"; again {age(row.not_before, now)}" if row.not_before and row.not_before > now else ""
    return f"{row.error} at {_event(engine, row.position + 1)}, {times}{again}"


def _hangs(engine: Engine, overrun: Overrun, now: datetime) -> str:
    """Who hangs, since when, and at which event, as far as that is known."""
    who_hangs = f"{process_text(overrun.holder)}: restart the daemon"
    if overrun.event is None or overrun.called_at is None:
        return f"hangs, its lease over for {age(overrun.expires_at, now)}, in {who_hangs}"
    return f"hangs at {_event(engine, overrun.event)} for {age(overrun.called_at, now)}, in {who_hangs}"


def _event(engine: Engine, position: int) -> str:
    """An event that keeps a subscriber."""
    with engine.log.read() as reader:
        found = read_events(reader.cursor, position - 1, 1)
    of = f" of transaction {found[0].trans_rec_id}" if found and found[0].trans_rec_id else ""
    return f"event {position}{f' ({found[0].type}{of})' if found else ''}"
