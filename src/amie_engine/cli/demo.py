"""The demo: every official test scenario from end to end, before the user's eyes, from nothing."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from amie_engine.cli.options import AsJson
from amie_engine.cli.output import output_console, print_json
from amie_engine.cli.stage import SITE, Comparison, Stage, agree, compare, play, stage
from amie_engine.cli.tables import state_text, transactions_table, type_name
from amie_engine.engine import Engine, TransactionSummary
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Fault, Faults, Sandbox

__all__ = ["demo"]


def demo(
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this scenario.", show_default="all four official ones"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The log's database.", show_default="a fresh SQLite file"),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="NUMBER", help="Same seed, same people and projects, and same draw of faults."),
    ] = 0,
    faults: Annotated[
        bool, typer.Option("--faults", help="Have calls fail, get lost, come twice; waiting takes no time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Play the official test scenarios from end to end on this machine.

    In a few seconds it starts an AMIE service on a free port, a fresh log and the example site, and has every
    transaction done. Then it compares what both sides say of each, and exits with 1 unless all have completed
    and both agree. The log stays, to look into.

    With --faults, a third of all calls go wrong: connections are closed before or after the service has
    acted, answers are cut off or come from a proxy, calls arrive twice, old packets are listed again, the key
    is refused for a while, informs linger, the hub fails a transaction now and then, and the service is
    restarted, even without what it had. Both sides must agree all the same on every transaction that it still
    knows; those that it has forgotten are ended here. Which call a fault strikes depends on the order in
    which calls come, which is not the same each time.

    Examples:

        amie-engine demo --scenario request_user_modify
        amie-engine demo --faults --seed 7
    """
    scenarios = [scenario] if scenario is not None else list(OFFICIAL_SCENARIOS)
    for name in scenarios:
        Sandbox(SITE).start_scenario(name)  # an unknown one is refused before anything is made
    chosen = Faults(seed=seed) if faults else None
    with stage(database, seed, faults=chosen) as made:
        began = time.monotonic()
        show = _Show(output_console(quiet=as_json), made.engine)
        for name in scenarios:
            with show.scenario(name):
                play(made, name, show.update)
        agreed = report(made, time.monotonic() - began, as_json=as_json, faults=chosen)
    if not agreed:
        raise typer.Exit(1)


def report(stage: Stage, seconds: float, *, as_json: bool, faults: Faults | None = None) -> bool:
    """Tell what the demo came to; return whether every transaction has ended, and both sides say so."""
    compared = compare(stage)
    agreed = stage.hub.idle and agree(compared, may_fail=faults is not None)
    if as_json:
        result: dict[str, Any] = {
            "agrees": agreed,
            "database": stage.engine.database.url,
            "seconds": round(seconds, 2),
            "transactions": compared,
            "quarantine": len(stage.engine.quarantine()),
        }
        if faults is not None:
            result["faults"] = _counts(stage, faults)
        print_json(result)
    else:
        _tell(stage, compared, seconds, agreed, may_fail=faults is not None)
        if faults is not None:
            _tell_faults(_counts(stage, faults))
    return agreed


def _tell(stage: Stage, compared: list[Comparison], seconds: float, agreed: bool, *, may_fail: bool) -> None:
    console = output_console()
    ours = stage.engine.transactions()
    console.print()
    console.print(transactions_table(ours, stage.engine.now(), stage.engine.deadline_warning, console.width))
    console.print()
    if agreed:
        console.print(f"[green]{_all_of(compared)}[/green] ({seconds:.1f} s).")
    else:
        ended = "ended alike" if may_fail else "completed"
        console.print(f"[red]Not every transaction has {ended} on both sides:[/red]")
        table = Table("transaction", "type", "the service says", "the log says", box=None, pad_edge=False)
        for row in compared:
            if not agree([row], may_fail=may_fail):
                known = (row["type"], row["service"], row["log"])
                table.add_row(row["trans_rec_id"], *(value or "nothing" for value in known))
        console.print(table)
    forgotten = [row for row in compared if row["forgotten"]]
    if forgotten:
        failed = [row["trans_rec_id"] for row in forgotten if row["log"] == "failed"]
        others = (
            " The others have ended here as there before." if agreed and len(failed) < len(forgotten) else ""
        )
        console.print(
            f"The service was restarted without memory, and has forgotten {len(forgotten)} of them; its"
            f" scenarios were begun anew. {len(failed)} of the forgotten have failed here:"
            f" {', '.join(failed) or 'none'}.{others}",
            soft_wrap=True,
        )
    url = stage.engine.database.url
    first = (ours[0].trans_rec_id if ours else None) or "TRANS"
    for line in (
        f"The log is {url}. Look into it with:",
        f"  {_command()} transactions --database {url}",
        f"  {_command()} show {first} --database {url}",
        "Then write a site's first handler: docs/getting-started.md",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _all_of(compared: Sequence[Comparison]) -> str:
    number, failed = len(compared), sum(row["log"] == "failed" for row in compared)
    forgotten = [row for row in compared if row["forgotten"]]
    if failed or forgotten:
        ends = f"{number - failed} of {number} transactions have completed and {failed} failed"
        if not forgotten:
            return f"{ends}, and both sides agree on every one"
        known = number - len(forgotten)
        if known == 0:
            return f"{ends}; the service knows none of them any more"
        return f"{ends}, and both sides agree on all {known} that the service still knows"
    if number == 1:
        return "The one transaction has completed, and both sides agree on it"
    return f"All {number} transactions have completed, and both sides agree on every one"


def _counts(stage: Stage, faults: Faults) -> dict[str, int]:
    """How often each fault has struck, and what the hub itself has done."""
    return {str(fault): faults.counts[fault] for fault in sorted(Fault)} | dict(stage.hub.counts)


def _tell_faults(counts: Mapping[str, int]) -> None:
    frequent = sorted(counts.items(), key=lambda item: -item[1])
    happened = ", ".join(f"{count} {fault.replace('_', ' ')}" for fault, count in frequent)
    output_console().print(f"Faults: {happened}.", soft_wrap=True)


class _Show:
    """Shows each transaction's way through its states: on a terminal as it goes, else at a scenario's end."""

    def __init__(self, console: Console, engine: Engine) -> None:
        self._console = console
        self._engine = engine
        self._paths: dict[str, list[str]] = {}
        self._finished: set[str] = set()
        self._live: Live | None = None
        self._table = Table.grid()

    @contextmanager
    def scenario(self, name: str) -> Iterator[None]:
        """Show the transactions of one scenario while the block runs."""
        self._finished = set(self._paths)
        self._table = Table.grid()
        self._console.print(f"[bold]{name}[/bold]")
        if self._console.is_terminal and not self._console.quiet:
            with Live(console=self._console, auto_refresh=False) as self._live:
                yield
        else:
            yield
            self._console.print(self._table)

    def update(self) -> None:
        """Show how the transactions stand now."""
        self._table = Table.grid(padding=(0, 1))
        for transaction in self._engine.transactions():
            if transaction.stream not in self._finished:
                story = self._engine.history(transaction.stream)
                path = list(dict.fromkeys(entry.state for entry in story.entries))
                self._paths[transaction.stream] = path
                self._table.add_row(*_row(transaction, path))
        if self._live is not None:
            self._live.update(self._table, refresh=True)


def _row(transaction: TransactionSummary, path: list[str]) -> tuple[str | Text, ...]:
    arrows = Text(" > ", style="dim").join(state_text(state) for state in path)
    name = type_name(transaction.type, wide=False)
    return f"  {transaction.trans_rec_id}", name, transaction.grant_number or "", arrows


def _command() -> str:
    """The command as the person who runs the demo can type it again: it may not be on the path."""
    called = Path(sys.argv[0])
    return called.name if shutil.which(called.name) else str(called)
