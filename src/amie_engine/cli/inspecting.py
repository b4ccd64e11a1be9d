"""The commands that look into the log."""

from __future__ import annotations

import base64
import shlex
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from amie_engine.audit import Redaction
from amie_engine.cli.opening import find_transaction, open_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, HubOfLog, SiteOfLog, Transaction
from amie_engine.cli.output import one_line, output_console, print_json
from amie_engine.cli.tables import print_quarantine, print_story, print_transactions
from amie_engine.cli.work_words import work_sentence
from amie_engine.engine import Due, Engine, QuarantinedItem
from amie_engine.engine.state import OutboxEntry
from amie_engine.engine.views import as_json as json_values
from amie_engine.errors import QuarantineNotFound, SettingsError
from amie_engine.log.events import EventType
from amie_engine.site.attempts import longest_pause

__all__ = ["quarantine", "show", "transactions"]

_TELLS_MORE = (EventType.WORK_FAILED, EventType.PACKET_REJECTED, EventType.FAILURE_DECIDED)


def transactions(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the transactions: type, grant, state, whose turn it is, age and deadline.

    Types stand as AMIE abbreviates them (RPC for request_project_create, say), and in full in a wide
    terminal, where the output is no terminal, and with --json. Notes below the list tell of a handler that
    fails, a reply that the service rejected, packets that wait for others, and whatever is odd, also of what
    has ended. `amie-engine status` has what needs a person. A transaction that the site began, and that the
    service has given no id yet, stands in parentheses with the beginning of its id in the log.

    Example:

        amie-engine transactions --open
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        found = engine.transactions(open_only=only_open)
        if as_json:
            print_json(found)
            return
        console = output_console()
        if not found:
            console.print("No transactions." if not only_open else "No open transactions.")
        else:
            print_transactions(console, found, engine.now(), engine.deadline_warning)
        apart = len(engine.quarantine())
        if apart:
            console.print(f"In quarantine: {apart}. See why with: amie-engine quarantine", soft_wrap=True)


def show(
    transaction: Transaction,
    documents: Annotated[
        bool, typer.Option("--documents", help="Print the packets in full, with personal data.")
    ] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="With --documents: print pseudonyms for what is personal.")
    ] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of one transaction: packets, decisions, work, replies, in order.

    At the end it says what is being sent; else whose turn it is, what is due and what the draft of the reply
    still lacks, and how the work of the site's handler stands, with what to type. With --documents, a handler
    that failed has its traceback there too.

    With --documents --redact, names, addresses and free text are pseudonyms, the same for the same value
    everywhere in this log. A story without documents holds nothing of the kind.

    Examples:

        amie-engine show 87100001
        amie-engine show 87100001 --documents --redact
    """
    if redact and not documents:
        raise SettingsError(
            "--redact is of the packets in full.",
            hint="Add --documents; without it, a story holds nothing that is personal.",
        )
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        name = find_transaction(engine, transaction)
        story = engine.history(name, documents=documents)
        if redact:
            story = Redaction(engine.log.log_id).story(story)
        if as_json:
            print_json(story)
            return
        console = output_console()
        print_story(console, story)
        due = engine.expected_reply(name)
        with engine.view() as view:
            sending = [entry for entry in view.require(name).outbox if entry.is_open]
        work = [row for row in engine.work.open() if row.stream == story.stream]
        now = engine.now()
    if sending:
        for entry in sending:
            console.print(_on_its_way(entry, due.waits_for, shlex.quote(name)))
    elif due.turn is not None:
        console.print(_whose_turn(due))
    if not documents and any(entry.event in _TELLS_MORE for entry in story.entries):
        more = f"`amie-engine show {shlex.quote(name)} --documents` has failures and reasons in full."
        console.print(more, markup=False)
    for row in () if sending else work:
        console.print(work_sentence(row, now, shlex.quote(name)), soft_wrap=True, markup=False)


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
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what came and can't be used: why, and what to do. Nothing in it is lost.

    The beginning of an ID is enough. Its bytes may hold personal data.

    Examples:

        amie-engine quarantine
        amie-engine quarantine 3f2a91 > packet.json
        amie-engine quarantine 3f2a91 --release
    """
    if item is None and release:
        raise SettingsError("--release needs the ID of what to release.")
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        if item is None:
            found = engine.quarantine(released=released)
            if as_json:
                print_json(found)
            else:
                print_quarantine(output_console(), found, engine.now())
        elif release:
            _release(engine, item, as_json=as_json)
        else:
            _print_bytes(engine.quarantined(item), as_json=as_json)


def _on_its_way(entry: OutboxEntry, waits_for: str | None, name: str) -> str:
    """What of the site's is in the outbox, and has not arrived as far as is known."""
    what = "The call that sets it failed" if entry.packet_type is None else f"The site's {entry.packet_type}"
    if waits_for is not None:
        at_once = f"at once with `amie-engine let-pass {name}`"
        return f"{what} is sent once transaction {waits_for} has ended; {at_once}."
    sets_failed = entry.packet_type is None or entry.inform_status == "failure"
    told = "It is being set failed. " if sets_failed else ""
    if entry.attempted_at is None or entry.status != "attempting":
        return f"{told}{what} is not sent yet: it waits in the outbox for `amie-engine run`."
    return f"{told}{what} {_not_known(datetime.fromisoformat(entry.attempted_at), entry.attempts)}"


def _whose_turn(due: Due) -> str:
    types = " or ".join(due.packet_types)
    if due.turn != "site" or due.packet is None:
        return f"It is the {due.turn}'s turn: {types} is due."
    lacking = f"; the draft lacks {', '.join(due.missing)}" if due.missing else ""
    return f"It is the site's turn: {types} is due{lacking}."


def _not_known(attempted_at: datetime, attempts: int) -> str:
    times = "once" if attempts == 1 else f"{attempts} times"
    last = f"{attempted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    look = attempted_at.astimezone(UTC) + longest_pause(attempts - 1)
    return (
        f"was sent {times}, last at {last}, and whether it has arrived is not known yet: the log of"
        f" `amie-engine run` says why. It looks for it at the service by {look:%H:%M} UTC, later where that"
        " fails, and sends it again if it isn't there."
    )


def _print_bytes(item: QuarantinedItem, *, as_json: bool) -> None:
    if item.content is None:
        raise QuarantineNotFound(f"The bytes of {item.quarantine_id} were erased from quarantine.", hint="")
    content = item.content
    if as_json:
        print_json({**json_values(item), "content_base64": base64.b64encode(content).decode("ascii")})
        return
    sys.stdout.buffer.write(content)
    if sys.stdout.isatty() and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")


def _release(engine: Engine, item: str, *, as_json: bool) -> None:
    outcome = engine.release(item)
    stays = outcome.kind == "quarantined"
    if as_json:
        print_json(outcome)
    elif stays:
        output_console(soft_wrap=True).print(
            f"It stays in quarantine: {one_line(outcome.reason or '')}", markup=False
        )
    else:
        output_console().print(f"Released: it is now {str(outcome.kind).replace('_', ' ')}.")
    if stays:
        raise typer.Exit(1)
