"""How lists and stories look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from amie_engine._spans import span_text
from amie_engine.audit import Story
from amie_engine.cli.output import one_line, printable, shown
from amie_engine.engine import QuarantinedItem, TransactionSummary
from amie_engine.engine.processes import shown_process
from amie_engine.protocol import TRANSACTION_TYPES, State

__all__ = [
    "WHO_STYLES",
    "age",
    "deadline_text",
    "print_quarantine",
    "print_story",
    "print_transactions",
    "process_text",
    "state_text",
    "transactions_table",
    "type_name",
]

_WIDE = 130
"""Columns from which a terminal has room for everything."""

_STATE_STYLES = {"completed": "green", "failed": "red", "start": "dim"}
WHO_STYLES = {"hub": "cyan", "site": "magenta", "engine": "dim"}


def age(since: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit; or how far ahead it is."""
    return f"in {span_text(since - now)}" if since > now else span_text(now - since)


def process_text(name: str) -> str:
    """Return a process, by its name in the log, as an operator knows it."""
    return one_line(shown_process(name))


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=_STATE_STYLES.get(state, "yellow"))


def type_name(name: str | None, *, wide: bool) -> str:
    """Return a transaction type's name: AMIE's abbreviation, or in full."""
    if name is None:
        return "?"
    return name if wide else TRANSACTION_TYPES[name].abbreviation


def print_transactions(
    console: Console, transactions: Sequence[TransactionSummary], now: datetime, warning: timedelta
) -> None:
    """Print the table of transactions, and below it what is odd about them, or holds one up."""
    console.print(transactions_table(transactions, now, warning, console.width))
    notes = [(transaction, note) for transaction in transactions if (note := _note(transaction))]
    if notes:
        console.print("\nNotes:")
    for transaction, note in notes:
        console.print(f"  {_name(transaction)}  {note}", soft_wrap=True, markup=False)


def transactions_table(
    transactions: Sequence[TransactionSummary], now: datetime, warning: timedelta, width: int
) -> Table:
    """Return the table of transactions: id, type, grant, state, whose turn, age, deadline.

    Args:
        transactions: Its rows.
        now: What ages and deadlines are counted from.
        warning: How long before it passes a deadline is near.
        width: The terminal's columns; a wide one has room for names in full, project and resource.
    """
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("transaction", overflow="fold")
    table.add_column("type", no_wrap=True)
    for column in ("grant", "project", "resource") if wide else ("grant",):
        table.add_column(column, overflow="fold")
    for column in ("state", "turn", "age", "deadline"):
        table.add_column(column, no_wrap=True)
    for transaction in transactions:
        row: list[str | Text] = [
            _name(transaction),
            type_name(transaction.type, wide=wide),
            shown(transaction.grant_number),
        ]
        if wide:
            row += [shown(transaction.project_id), shown(transaction.resource)]
        row += [
            state_text(transaction.state),
            _turn(transaction),
            age(transaction.opened_at, now),
            deadline_text(transaction.deadline, now, warning),
        ]
        table.add_row(*row)
    return table


def _name(transaction: TransactionSummary) -> str:
    """The record id at the service; before there is one, the beginning of the id in the log."""
    return transaction.trans_rec_id or f"({transaction.stream[:8]})"


def _turn(transaction: TransactionSummary) -> str:
    if transaction.turn is None:
        return ""
    return "site (sending)" if transaction.turn == "site" and transaction.sending else transaction.turn


def deadline_text(deadline: datetime | None, now: datetime, warning: timedelta) -> Text:
    """Return how far ahead a deadline is, that it is near, or that it has passed."""
    if deadline is None:
        return Text("")
    if deadline <= now:
        return Text(f"overdue {age(deadline, now)}", style="bold red")
    if deadline - now <= warning:
        return Text(f"near, {age(deadline, now)}", style="yellow")
    return Text(age(deadline, now))


def _note(transaction: TransactionSummary) -> str:
    notes = [transaction.problem] if transaction.problem else []
    if transaction.waits_for:
        notes.append(f"sent once transaction {transaction.waits_for} has ended")
    if transaction.held:
        notes.append(f"{transaction.held} held")
    return one_line("; ".join((*notes, *transaction.anomalies)))


def print_story(console: Console, story: Story) -> None:
    """Print the story of a transaction, an entry a line, and below it its document where it carries one."""
    kind = f"{story.type} " if story.type else ""
    name = story.trans_rec_id or f"({story.stream})"
    console.print(
        Text.assemble(
            (f"Transaction {name}", "bold"),
            f" - {kind}between {story.site} and {story.hub}: ",
            state_text(story.state),
        ),
        soft_wrap=True,
    )
    if any(entry.document is not None for entry in story.entries):
        _print_with_documents(console, story)
    else:
        console.print(_story_table(story))
    if story.state == State.START:
        console.print("Nothing has moved it yet.")


def _story_table(story: Story) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("who", no_wrap=True)
    table.add_column("what happened", overflow="fold")
    table.add_column("state", no_wrap=True)
    day = None
    for entry in story.entries:
        moment = entry.time.astimezone(UTC)
        if moment.date() != day:
            day = moment.date()
            table.add_row(Text(f"{day:%Y-%m-%d}", style="dim"))
        who = Text(entry.who, style=WHO_STYLES.get(entry.who, ""))
        table.add_row(f"{moment:%H:%M:%S.%f}"[:-3], who, shown(entry.sentence), state_text(entry.state))
    return table


def _print_with_documents(console: Console, story: Story) -> None:
    """No table: in a cell, a document would be wrapped, and be no JSON any more."""
    for entry in story.entries:
        who = Text(entry.who, style=WHO_STYLES.get(entry.who, ""))
        moment = f"{entry.time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        line = Text.assemble(moment, "  ", who, "  ", one_line(entry.sentence), "  ", state_text(entry.state))
        console.print(line, soft_wrap=True)
        if entry.document is not None:
            console.print(Text(_document(entry.document), style="dim"), soft_wrap=True)


def _document(document: Any) -> str:
    """A document as JSON; of a handler's failure the traceback, line by line."""
    if isinstance(document, dict) and set(document) == {"details"}:
        return printable(str(document["details"])).rstrip()
    return printable(json.dumps(document, indent=2, ensure_ascii=False))


def print_quarantine(console: Console, items: Iterable[QuarantinedItem], now: datetime) -> None:
    """Print what is in quarantine: for each its code, why, and what to do."""
    empty = True
    for item in items:
        empty = False
        packet = " ".join(
            part
            for part in (
                one_line(item.packet_type or ""),
                f"packet {item.packet_rec_id}" if item.packet_rec_id else None,
                f"of transaction {item.trans_rec_id}" if item.trans_rec_id else None,
            )
            if part
        )
        status = "" if item.status == "quarantined" else f" ({item.status})"
        status += " (erased)" if item.erased else ""
        console.print(
            Text.assemble(
                (item.quarantine_id[:12], "bold"),
                "  ",
                (item.code, "red"),
                f"{status}  {packet or 'no packet'}, {item.size} bytes, {age(item.quarantined_at, now)} ago",
            ),
            soft_wrap=True,
        )
        console.print(f"              {one_line(item.reason)}", soft_wrap=True, markup=False)
        if not item.erased:
            console.print(f"              {one_line(item.hint)}", soft_wrap=True, markup=False, style="dim")
    if empty:
        console.print("Nothing is in quarantine.")
