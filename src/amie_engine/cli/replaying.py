"""The commands that fold the log again: what it says of every transaction, and of the projections."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from amie_engine.audit import (
    Difference,
    ProjectionCheck,
    Replay,
    check_projections,
    position_at,
    replay_one,
)
from amie_engine.audit import rebuild as rebuild_projections
from amie_engine.audit import replay as replay_log
from amie_engine.cli.moments import LAST_OF_DAY, read_moment
from amie_engine.cli.opening import open_whole_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl
from amie_engine.cli.output import one_line, output_console, print_json, print_json_line, shown
from amie_engine.cli.progress import progress_bar
from amie_engine.cli.settings import load_settings
from amie_engine.cli.tables import state_text, type_name
from amie_engine.engine.due import turn_of
from amie_engine.engine.state import TransactionState
from amie_engine.errors import SettingsError, TransactionNotFound
from amie_engine.log.database import Database
from amie_engine.log.whole import WholeLog

__all__ = ["rebuild", "replay"]


def replay(
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|POSITION",
            help="The state as it was then: a position, or a date or time (UTC where it names no zone).",
            show_default="the newest event",
        ),
    ] = None,
    transaction: Annotated[
        str | None,
        typer.Option(metavar="TRANS", help="Only this one, in full.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="A line for every transaction.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the projections with the events, row by row.")
    ] = False,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Fold the whole log again, and tell the state of every transaction, now or as it was.

    Only the events count: no projection and no document is read. Without --all, the transactions are counted
    by type and state.

    --check makes every projection anew from the events, in temporary tables, and compares: it names the first
    event that a projection does not show, and the exit status is 1. Nothing is changed.

    Where events are missing, up to the position that is asked for, that is told and nothing else.

    Examples:

        amie-engine replay --until 2026-03-31
        amie-engine replay --transaction 87100001 --until 1200
        amie-engine replay --check
    """
    if check and (until is not None or transaction is not None or every):
        raise SettingsError("--check is of the whole log as it is now.", hint="Give it alone.")
    settings = load_settings({"database": database}, file=config)
    with open_whole_log(settings) as opened:
        if check:
            _check(opened, as_json=as_json)
            return
        last = None if until is None else _position(opened, until)
        if transaction is not None:
            _replay_one(opened, transaction, last, as_json=as_json)
            return
        with (
            progress_bar("Replaying") as progress,
            replay_log(opened, until=last, progress=progress) as replayed,
        ):
            if every:
                _print_every(replayed, as_json=as_json)
            else:
                _print_counts(replayed, as_json=as_json)


def rebuild(
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make all projections anew from the events alone, and put right what differs.

    Readers and writers go on meanwhile; writers wait for a moment at the end. The events themselves are never
    changed. On PostgreSQL the role needs DELETE on the projections: use the one that migrates.

    Projections that differ may be all that is left of events that were removed. Compare the log with a seal
    or a backup first (`amie-engine verify --seal`), and keep a copy of the database. Where an event is
    missing, or the counter row does not say what the newest event says, nothing is changed.

    Example:

        amie-engine rebuild
    """
    settings = load_settings({"database": database}, file=config)
    with open_whole_log(settings) as opened, progress_bar("Rebuilding") as progress:
        rebuilt = rebuild_projections(opened, progress)
    if as_json:
        print_json(rebuilt)
        return
    console = output_console(soft_wrap=True)
    for name, count in rebuilt.changed.items():
        console.print(f"{name}: {_number(count, 'row')} put right.")
    console.print(
        f"The projections say what the events up to {rebuilt.position} say:"
        f" {_number(sum(rebuilt.rows.values()), 'row')}, {sum(rebuilt.changed.values())} changed."
    )


def _position(database: Database, text: str) -> int:
    """The position that a user means: a number, or the newest at a time."""
    if text.isascii() and text.isdigit():
        newest = WholeLog(database).head().position
        if int(text) > newest:
            raise SettingsError(f"The log has no position {text}.", hint=f"It ends at {newest}.")
        return int(text)
    return position_at(database, read_moment(text, "--until", LAST_OF_DAY, or_position=True))


def _check(database: Database, *, as_json: bool) -> None:
    with progress_bar("Checking") as progress:
        result = check_projections(database, progress)
    if as_json:
        print_json(result)
    else:
        _print_check(result)
    if result.differing:
        raise typer.Exit(1)


def _print_check(result: ProjectionCheck) -> None:
    console = output_console(soft_wrap=True)
    if not result.differing:
        console.print(
            f"[green]The projections say what the events say[/green], up to position {result.position}:"
            f" {_number(sum(result.rows.values()), 'row')} compared."
        )
        return
    console.print(
        f"[bold red]The projections differ from the events[/bold red], compared up to position"
        f" {result.position}:"
    )
    for name, count in result.differing.items():
        console.print(f"  {name}: {_number(count, 'row')} of {result.rows[name]}")
    console.print("The first of them:")
    for difference in result.differences[:5]:
        console.print(f"  {_sentence(difference)}", markup=False)
    console.print(
        "Their tables were changed by hand; or the newest events were removed, and the counter with them."
        " Compare the log with a seal or a backup first (amie-engine verify --seal FILE), and keep a copy of"
        " the database. Then put them right with: amie-engine rebuild"
    )


def _sentence(difference: Difference) -> str:
    row = f"{difference.table} ({_key(difference)})"
    if difference.expected is None and difference.position is None:
        return f"{row} has a row that no event made."
    if difference.is_behind and difference.found is not None:
        return f"{row} is behind: it does not show the event at position {difference.position}."
    if difference.found is None:
        return f"{row} has no row, and should have had one since position {difference.position}."
    if difference.expected is None:
        return f"{row} has a row that the event at position {difference.position} had removed."
    columns = ", ".join(
        f"{name} is {_value(difference.found[name])}, not {_value(difference.expected[name])}"
        for name in difference.columns
    )
    return f"{row}: {columns}, as the event at position {difference.position} made it."


def _key(difference: Difference) -> str:
    names = {name: value for name, value in difference.key.items() if name not in ("hub", "site")}
    trans_rec_id = (difference.expected or difference.found or {}).get("trans_rec_id")
    if trans_rec_id is not None:
        names = {"transaction": trans_rec_id} | names
    return ", ".join(f"{name} {one_line(str(value))}" for name, value in names.items())


def _value(value: Any) -> str:
    return "null" if value is None else one_line(str(value)) or "empty"


def _replay_one(database: Database, name: str, until: int | None, *, as_json: bool) -> None:
    states = replay_one(database, name, until=until)
    if not states:
        then = "" if until is None else f" up to position {until}"
        raise TransactionNotFound(f"The log has no transaction {name[:60]}{then}.")
    if as_json:
        print_json(states)
        return
    for state in states:
        _print_state(output_console(), state)


def _print_state(console: Console, state: TransactionState) -> None:
    turn = turn_of(state)
    console.print(
        f"[bold]Transaction {state.trans_rec_id or shown(state.stream)}[/bold]"
        f" - {state.type or 'of no known type'} between {shown(state.site)} and {shown(state.hub)}:",
        state_text(str(state.state)),
        soft_wrap=True,
    )
    console.print(f"after {_number(state.version, 'event')}, from {state.opened_at} to {state.updated_at}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "packet", "status"):
        table.add_column(column, overflow="fold")
    for packet in state.packets:
        sent = f"{packet.packet_type} from the {packet.sender}"
        table.add_row(shown(sent), packet.packet_rec_id or "", packet.status or "")
    for held in state.held:
        table.add_row(shown(held.packet_type), held.packet_rec_id, "held: it came too early")
    for entry in state.outbox:
        table.add_row(
            shown(f"outbox: {entry.packet_type or 'set it failed'}"), entry.packet_rec_id or "", entry.status
        )
    for item in state.work:
        table.add_row(shown(f"work: {item.packet_type}"), item.packet_rec_id, item.status)
    console.print(table)
    if turn.party is not None:
        until = f", until {turn.deadline:%Y-%m-%d %H:%M} UTC" if turn.deadline else ""
        console.print(f"It was the {turn.party}'s turn: {' or '.join(turn.packet_types)} was due{until}.")


def _print_counts(replayed: Replay, *, as_json: bool) -> None:
    counts = replayed.counts()
    if as_json:
        names = ("hub", "site", "type", "state", "count")
        print_json(
            {
                "position": replayed.position,
                "recorded_at": replayed.recorded_at,
                "transactions": [dict(zip(names, row, strict=True)) for row in counts],
            }
        )
        return
    console = output_console()
    _print_position(console, replayed)
    if not counts:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len({row[:2] for row in counts}) > 1
    for column in (*(("hub", "site") if several else ()), "type", "state"):
        table.add_column(column)
    table.add_column("transactions", justify="right")
    for hub, site, kind, state, count in counts:
        place = (shown(hub), shown(site)) if several else ()
        table.add_row(*place, kind or "not known yet", state_text(state), f"{count:,}")
    console.print(table)


def _print_every(replayed: Replay, *, as_json: bool) -> None:
    if as_json:
        for transaction in replayed.transactions():
            print_json_line(transaction)
        return
    console = output_console(soft_wrap=True)
    _print_position(console, replayed)
    places = {row[:2] for row in replayed.counts()}
    widths = [max((len(one_line(place[part])) for place in places), default=0) for part in (0, 1)]
    for transaction in replayed.transactions():
        place = ""
        if len(places) > 1:
            hub, site = one_line(transaction.hub), one_line(transaction.site)
            place = escape(f"{hub:{widths[0]}} {site:{widths[1]}} ")
        name = transaction.trans_rec_id or f"({transaction.stream[:8]})"
        console.print(
            f"{place}{shown(name):12} {type_name(transaction.type, wide=False):4}",
            state_text(f"{transaction.state:10}"),
            f"{transaction.updated_at:%Y-%m-%d %H:%M:%S}  event {transaction.position}",
        )


def _print_position(console: Console, replayed: Replay) -> None:
    if replayed.recorded_at is None:
        console.print("No events.")
        return
    moment = f"{replayed.recorded_at:%Y-%m-%d %H:%M:%S} UTC"
    console.print(f"After the event at position {replayed.position}, recorded at {moment}:", soft_wrap=True)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
