"""The commands about the site's work: what waits for what, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from amie_engine.cli.opening import find_transaction, open_log
from amie_engine.cli.options import (
    Actor,
    AsJson,
    ConfigFile,
    DatabaseUrl,
    HubOfLog,
    Reason,
    SiteOfLog,
    Transaction,
    who,
)
from amie_engine.cli.output import one_line, output_console, print_error, print_json, shown, tell
from amie_engine.cli.tables import age, deadline_text
from amie_engine.cli.work_words import to_do, waits_for
from amie_engine.engine.state import UNKNOWN_AT_SERVICE
from amie_engine.engine.work import AskedQuestion
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import EngineError, SettingsError

__all__ = ["answer", "confirm_deadline", "fail", "let_pass", "retry", "work"]

_STYLES = {
    "ready": "green",
    "running": "cyan",
    "hanging": "bold red",
    "asking": "bold magenta",
    "parked": "bold red",
    "retrying": "yellow",
}


def work(
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the site's open work: what is ready, running, waiting, blocked or asking, and for what it waits.

    What is asking or parked goes on only when a person does something: see answer and retry. What is blocked
    starts by itself once the other transaction is where it has to be; let-pass has it start at once. What is
    hanging has a handler that is at work for longer than its lease.

    Example:

        amie-engine work
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        rows = engine.work.open()
        if as_json:
            print_json(rows)
            return
        console = output_console()
        if not rows:
            console.print("There is no open work.")
            return
        console.print(_table(rows, engine.now(), engine.deadline_warning))
        for why, told in to_do(rows).items():
            console.print(f"{why.capitalize()}: {told}", soft_wrap=True)


def answer(
    transaction: Transaction,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="ANSWER", help="The answer. Without one, the question is printed.", show_default=False
        ),
    ] = None,
    question: Annotated[
        str | None, typer.Option(metavar="NAME", help="The question's name.", show_default="the one asked")
    ] = None,
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Answer what the handler of a transaction has asked; without an answer, print the question.

    The question may hold personal data. The answer is on record, with who gave it and when, and the handler
    is called again with it.

    Examples:

        amie-engine answer 87100001
        amie-engine answer 87100001 yes --actor "head of operations"
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        name = find_transaction(engine, transaction)
        asked = engine.work.asked(name, question=question)
        if text is not None:
            engine.work.answer(name, text, question=asked.name, actor=who(actor))
    if text is None:
        _print_question(asked, as_json=as_json)
    else:
        tell(f"Answered: {asked.name} of transaction {transaction}.", as_json=as_json)


def retry(
    transaction: Transaction,
    reason: Reason = "",
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Have the handler of a transaction called again at once: after its failures, a refusal, or a pause.

    The steps that it has done are not done again. Where the site has no handler, none can be called: add one
    and restart the daemon.

    Example:

        amie-engine retry 87100001 --reason "the storage is up again"
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        engine.work.retry(find_transaction(engine, transaction), actor=who(actor), reason=reason)
    tell(f"The handler of transaction {transaction} is called again.", as_json=as_json)


def let_pass(
    transaction: Transaction,
    reason: Reason = "",
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let the work on a transaction begin, or what the site begins be sent, whatever comes before it.

    Example:

        amie-engine let-pass 87100002 --reason "the other one waits for an approval"
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        engine.work.let_pass(find_transaction(engine, transaction), actor=who(actor), reason=reason)
    tell(f"Transaction {transaction} waits for no other any more.", as_json=as_json)


def fail(
    transactions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRANS...",
            help="Their record ids at the service, or their ids in the log.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="WHY", help="Why, for the site's own record.")] = "",
    unknown: Annotated[
        bool, typer.Option("--unknown", help="All that the service does not know any more.")
    ] = False,
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Have the service set transactions failed: the way to fail one after its reply has gone out.

    The daemon sends it; a transaction that the service does not know any more counts as failed once it has
    said so. --unknown names all of which it has said so: after the test service was reset, say. To fail one
    in reply to a request, have the handler return work.fail(...).

    Examples:

        amie-engine fail 87100001 --reason "the grant was withdrawn"
        amie-engine fail --unknown --reason "the test service was reset"
    """
    if not reason.strip():
        raise SettingsError("A transaction is failed for a reason.", hint='Give it with --reason "...".')
    if bool(transactions) == unknown:
        raise SettingsError("Name the transactions to fail, or give --unknown; not both.", hint="")
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        names = [find_transaction(engine, name) for name in transactions or ()]
        if unknown:
            names = [
                one.trans_rec_id or one.stream
                for one in engine.transactions(open_only=True)
                if UNKNOWN_AT_SERVICE in one.anomalies and not one.sending
            ]
        done, errors = [], []
        for name in dict.fromkeys(names):
            try:
                engine.fail(name, reason, actor=who(actor))
                done.append(name)
            except EngineError as error:  # one that has moved on keeps no other from it
                errors.append(error)
    if len(done) == 1:
        tell(f"Transaction {done[0]} is to be set failed: `amie-engine run` sends it.", as_json=as_json)
    elif done:
        tell(f"{len(done)} transactions are to be set failed: `amie-engine run` sends it.", as_json=as_json)
    elif not errors:
        tell("There is none that the service does not know any more.", as_json=as_json)
    for refused in errors[1:]:
        print_error(refused)
    if errors:
        raise errors[0]


def confirm_deadline(
    transaction: Transaction,
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a transaction whose deadline has passed for failed. No deadline fails anything by itself.

    Example:

        amie-engine confirm-deadline 87100001
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        engine.confirm_deadline(find_transaction(engine, transaction), actor=who(actor))
    tell(f"Transaction {transaction} is taken for failed.", as_json=as_json)


def _table(rows: Sequence[WorkRow], now: datetime, warning: timedelta) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("transaction", no_wrap=True)
    table.add_column("packet", overflow="fold")
    table.add_column("work", no_wrap=True)
    table.add_column("for what, or why", overflow="fold")
    table.add_column("age", no_wrap=True)
    table.add_column("deadline", no_wrap=True)
    for row in rows:
        table.add_row(
            row.trans_rec_id,
            shown(row.packet_type),
            Text(row.status, style=_STYLES.get(row.status, "")),
            shown(waits_for(row, now)),
            age(row.opened_at, now),
            deadline_text(row.deadline, now, warning),
        )
    return table


def _print_question(asked: AskedQuestion, *, as_json: bool) -> None:
    if as_json:
        print_json(asked)
        return
    console = output_console(soft_wrap=True)
    console.print(one_line(asked.text), markup=False)
    if asked.choices:
        console.print(f"Answer with one of: {', '.join(asked.choices)}", markup=False)
