"""How things stand, as one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amie_engine._spans import span_text
from amie_engine.cli.output import one_line
from amie_engine.cli.tables import age, process_text
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.needs import Need, NeedKind
from amie_engine.engine.service import Service, ServiceState
from amie_engine.engine.status import OpenCount, Status
from amie_engine.engine.subscriber_row import SubscriberRow

__all__ = ["print_status"]

_SHOWN = 6
"""How much of what needs a person fits on the screen."""

_GOOD, _WARN, _BAD = "green", "yellow", "bold red"
_WORK_STYLES = {"parked": _BAD, "hanging": _BAD, "asking": "bold magenta", "retrying": _WARN}


def print_status(
    console: Console, status: Status, warning: timedelta, given: str, *, everything: bool
) -> None:
    """Print how things stand.

    Args:
        console: Where.
        status: How things stand.
        warning: How long before a deadline passes it counts as near.
        given: The options that every command needs to find this log, as they were given.
        everything: Whether to print all that needs a person.
    """
    title = Text.assemble((status.site, "bold"), " at ", (status.hub, "bold"))
    console.print(Text.assemble(title, ("  ", ""), (one_line(status.database), "dim")), soft_wrap=True)
    console.print()
    table = Table.grid(padding=(0, 3))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, lines in _rows(status, warning):
        for number, line in enumerate(lines):
            table.add_row(label if number == 0 else "", line)
    console.print(table)
    console.print()
    _print_needs(console, status.needs, status.now, given, everything=everything)


def _rows(status: Status, warning: timedelta) -> Iterator[tuple[str, list[Text]]]:
    now = status.now
    yield "service", [_service(status.service, now)]
    yield "daemons", list(_daemons(status.daemons, now)) or [Text("none has been seen")]
    yield "transactions", list(_transactions(status.transactions)) or [Text("none open")]
    work = [
        Text(f"{count} {state}", style=_WORK_STYLES.get(state, ""))
        for state, count in status.work.items()
        if count
    ]
    yield "work", [_joined(work) if work else Text("none open")]
    yield "outbox", [_outbox(status)]
    yield "deadlines", [_deadlines(status, warning)]
    style = _BAD if status.quarantined else ""
    yield "quarantine", [Text(str(status.quarantined) if status.quarantined else "empty", style=style)]
    if status.subscribers:
        yield "subscribers", list(_subscribers(status.subscribers))
    odd = []
    if status.with_anomalies:
        odd.append(Text(f"in {_many(status.with_anomalies, 'transaction')}", style=_WARN))
    if status.held:
        odd.append(Text(f"{_many(status.held, 'packet')} held", style=_WARN))
    if status.log_ahead is not None:
        ahead = f"the log's time is {span_text(status.log_ahead)} ahead of this clock"
        odd.append(Text(f"{ahead}: ages are not told right", style=_WARN))
    if odd:
        yield "odd", [_joined(odd), Text("see amie-engine transactions --open", style="dim")]


def _service(service: Service, now: datetime) -> Text:
    last = "never polled with success"
    if service.succeeded_at is not None:
        last = f"last polled with success {age(service.succeeded_at, now)} ago"
    ahead = service.next_poll_at
    coming = "" if ahead is None or ahead <= now else f", next {age(ahead, now)}"
    match service.state:
        case ServiceState.ANSWERS:
            return Text.assemble(("answers", _GOOD), f"; {last}{coming}")
        case ServiceState.REFUSES_KEY:
            return Text.assemble(("refuses the site's key", _BAD), f"; {last}{coming}")
        case ServiceState.FAILS:
            return Text.assemble((f"fails ({service.error_code})", _BAD), f"; {last}{coming}")
    return Text("never polled")


def _daemons(daemons: Sequence[Daemon], now: datetime) -> Iterator[Text]:
    stopped = [daemon for daemon in daemons if daemon.stopped_at is not None]
    others = [daemon for daemon in daemons if daemon.stopped_at is None]
    for daemon in others or stopped[-1:]:
        name = process_text(daemon.process)
        if daemon.is_alive(now):
            yield Text.assemble(("at work", _GOOD), f" on {name}, started {age(daemon.started_at, now)} ago")
        elif daemon.stopped_at is not None:
            yield Text(f"stopped {age(daemon.stopped_at, now)} ago on {name}")
        else:
            how = "gone" if daemon.is_gone else "silent"
            yield Text.assemble((how, _BAD), f", last seen {age(daemon.seen_at, now)} ago on {name}")


def _transactions(counts: Sequence[OpenCount]) -> Iterator[Text]:
    """A line for each party whose turn it is."""
    turns = dict.fromkeys(count.turn for count in counts)
    for turn in turns:
        of_turn = [count for count in counts if count.turn == turn]
        whose = "their beginning is missing" if turn is None else f"{turn}'s turn"
        states = ", ".join(f"{count.count} {count.state}" for count in of_turn)
        yield Text.assemble(f"{sum(count.count for count in of_turn)} open, {whose}", (f": {states}", "dim"))


def _outbox(status: Status) -> Text:
    parts = []
    if status.pending:
        parts.append(Text(f"{status.pending} pending"))
    if status.attempting:
        parts.append(Text(f"{status.attempting} attempting", style=_WARN))
    if status.outbox_since is not None:
        parts.append(Text(f"the oldest since {age(status.outbox_since, status.now)}"))
    if status.waiting:
        what = "another transaction" if status.waiting == 1 else "other transactions"
        parts.append(Text(f"{status.waiting} waiting for {what}"))
    if status.rejected:
        parts.append(Text(f"{status.rejected} rejected", style=_BAD))
    return _joined(parts) if parts else Text("empty")


def _deadlines(status: Status, warning: timedelta) -> Text:
    parts = []
    if status.overdue:
        parts.append(Text(f"{status.overdue} overdue", style=_BAD))
    if status.near:
        parts.append(Text(f"{status.near} within {age(status.now - warning, status.now)}", style=_WARN))
    if status.next_deadline is not None:
        parts.append(Text(f"the next one {age(status.next_deadline, status.now)}"))
    return _joined(parts) if parts else Text("none ahead")


def _subscribers(rows: Sequence[SubscriberRow]) -> Iterator[Text]:
    behind = max(row.behind for row in rows)
    far = f"the farthest behind by {_many(behind, 'event')}" if behind else "none behind"
    yield Text(f"{len(rows)}, {far}")
    for row in rows:
        if row.overrun is not None:
            yield Text(f"{one_line(row.name)} hangs", style=_BAD)
        elif row.failures:
            yield Text(f"{one_line(row.name)} fails ({row.error})", style=_BAD)


def _print_needs(
    console: Console, needs: Sequence[Need], now: datetime, given: str, *, everything: bool
) -> None:
    if not needs:
        console.print("Nothing needs a person.", style=_GOOD)
        return
    console.print(
        Text(f"{_many(len(needs), 'thing')} need{'s' if len(needs) == 1 else ''} a person:", style="bold")
    )
    shown = needs if everything else needs[:_SHOWN]
    for need in shown:
        console.print(Padding(_told(need, now), (0, 0, 0, 2), expand=False))
        if need.look is not None:
            console.print(f"    {need.look}", soft_wrap=True, markup=False, style="cyan")
        console.print(f"    {need.command}", soft_wrap=True, markup=False, style="cyan")
    if len(shown) < len(needs):
        console.print(f"  and {len(needs) - len(shown)} more: amie-engine status --all", soft_wrap=True)
    if given:
        console.print(f"To each of these, add: {given}", soft_wrap=True, markup=False)


def _told(need: Need, now: datetime) -> Text:
    name = f"{need.transaction}  " if need.transaction else ""
    told: list[str | tuple[str, str]] = [(name, "bold"), one_line(need.what)]
    if need.since is not None:
        told.append((f", since {age(need.since, now)}", "dim"))
    if need.kind is not NeedKind.OVERDUE and need.deadline is not None and need.deadline < now:
        told.append((f", overdue {age(need.deadline, now)}", _BAD))
    return Text.assemble(*told)


def _joined(parts: Sequence[Text]) -> Text:
    return Text(", ").join(parts)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
