"""The commands that look into the log."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from amie_engine.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    HubName,
    SiteName,
    open_engine,
    print_json,
)
from amie_engine.cli.settings import load_settings
from amie_engine.cli.tables import print_quarantine, print_story, transactions_table

__all__ = ["quarantine", "show", "transactions"]


def transactions(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    database: DatabaseUrl = None,
    site: SiteName = None,
    hub: HubName = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the transactions: type, grant, state, whose turn it is, age and deadline.

    Example: amie-engine transactions --database sqlite:///amie.db --open
    """
    settings = load_settings({"database": database, "site": site, "hub": hub}, file=config)
    with open_engine(settings, existing=True) as engine:
        found = engine.transactions(open_only=only_open)
        if as_json:
            print_json(found)
            return
        console = Console()
        if not found:
            console.print("No transactions." if not only_open else "No open transactions.")
            return
        console.print(transactions_table(found, engine.now(), console.width))


def show(
    transaction: Annotated[
        str, typer.Argument(metavar="TRANS", help="The transaction's record id at the service.")
    ],
    documents: Annotated[
        bool, typer.Option("--documents", help="Print the packets in full, with personal data.")
    ] = False,
    database: DatabaseUrl = None,
    site: SiteName = None,
    hub: HubName = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of one transaction: packets, decisions, work, replies, in order.

    Example: amie-engine show 87100001 --database sqlite:///amie.db
    """
    settings = load_settings({"database": database, "site": site, "hub": hub}, file=config)
    with open_engine(settings, existing=True) as engine:
        story = engine.history(transaction, documents=documents)
        if as_json:
            print_json(story)
            return
        console = Console()
        print_story(console, story)
        due = engine.expected_reply(transaction)
    if due.turn == "site" and due.packet is not None and not due.sending:
        lacking = f"; the draft lacks {', '.join(due.missing)}" if due.missing else ""
        console.print(f"It is the site's turn: {' or '.join(due.packet_types)} is due{lacking}.")
    elif due.turn is not None:
        waits = "The site's reply is being sent" if due.sending else f"It is the {due.turn}'s turn"
        console.print(f"{waits}: {' or '.join(due.packet_types)} is due.")


def quarantine(
    item: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="One of them: its bytes are printed as they came.", show_default=False
        ),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="Receive ID again, after a fix. What still can't be used stays.")
    ] = False,
    released: Annotated[bool, typer.Option("--all", help="Also what has been released.")] = False,
    database: DatabaseUrl = None,
    site: SiteName = None,
    hub: HubName = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what came and can't be used: why, and what to do. Nothing in it is lost.

    Example: amie-engine quarantine 3f2a91 --release
    """
    settings = load_settings({"database": database, "site": site, "hub": hub}, file=config)
    with open_engine(settings, existing=True) as engine:
        if item is None:
            if release:
                raise typer.BadParameter("--release needs the ID of what to release.")
            found = engine.quarantine(released=released)
            if as_json:
                print_json(found)
            else:
                print_quarantine(Console(), found, engine.now())
            return
        if release:
            outcome = engine.release(item)
            if as_json:
                print_json(outcome)
            else:
                _tell_release(Console(), str(outcome.kind), outcome.reason)
            return
        one = engine.quarantined(item)
    if as_json:
        print_json(one)
        return
    sys.stdout.buffer.write(one.content or b"")
    sys.stdout.buffer.write(b"\n")


def _tell_release(console: Console, kind: str, reason: str | None) -> None:
    if kind == "quarantined":
        console.print(f"It stays in quarantine: {reason}")
        raise typer.Exit(1)
    console.print(f"Released: it is now {kind}.")
