"""The demo: a service, an example site and the engine between them, on this machine, from nothing."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from amie_engine._resources import folder
from amie_engine.cli.options import AsJson, print_json
from amie_engine.cli.tables import state_text, transactions_table, type_name
from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, TransactionSummary
from amie_engine.errors import SettingsError
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Sandbox
from amie_engine.site import Runner, Site

if TYPE_CHECKING:
    from amie_engine.sandbox import SandboxServer

__all__ = ["demo", "sandbox"]

SITE = "CAMPUS"
_ROUNDS_WITHOUT_NEWS = 5
_SECONDS = 60


def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 8000,
    site: Annotated[str, typer.Option(help="The site's AMIE name.")] = "NCSA",
    api_key: Annotated[
        str | None, typer.Option(help="The site's API key.", show_default="a made-up one, which is printed")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same people and projects.")] = 0,
    lingering: Annotated[
        bool, typer.Option("--lingering-informs", help="Informs stay listed until they are acknowledged.")
    ] = False,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Start this scenario at once; may be repeated.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an AMIE service on this machine, with made-up people and the official test scenarios.

    Its Swagger page is at /docs. Start a scenario with POST test/SITE/scenarios?type=request_user_modify, or
    with --scenario.

    Example: amie-engine sandbox --port 8000 --site NCSA --api-key secret --scenario request_user_modify
    """
    made = Sandbox(site, api_key, seed=seed, lingering_informs=lingering)
    for name in scenario or []:
        made.start_scenario(name)

    def started(url: str) -> None:
        documentation = f"{url.partition('/v0')[0]}/docs"
        told = {
            "url": url,
            "site": site,
            "api_key": made.api_key,
            "documentation": documentation,
        }
        if as_json:
            print_json(told)
            sys.stdout.flush()
            return
        console = Console(highlight=False)
        console.print(f"An AMIE service for site [bold]{site}[/bold] at [bold]{url}[/bold]")
        console.print(f"  API key   {made.api_key}")
        console.print(f"  calls     {documentation}")
        console.print(f"  scenarios {', '.join(OFFICIAL_SCENARIOS)}")
        console.print("Press Ctrl-C to stop it.")

    _serve()(made, port, on_start=started)


def demo(
    scenario: Annotated[
        str | None, typer.Option(help="Only this scenario.", show_default="all four official ones")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The log's database: a URL.", show_default="a fresh SQLite file")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same people and projects.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Play the official test scenarios from end to end on this machine.

    It starts an AMIE service on a free port, a fresh log and the example site, and has every transaction
    done. At the end it compares what both sides say of each, and exits with 1 unless all have completed and
    both agree.
    """
    scenarios = [scenario] if scenario is not None else list(OFFICIAL_SCENARIOS)
    with _stage(database, seed) as stage:
        began = time.monotonic()
        finished = _play(stage, scenarios, _Show(Console(highlight=False, quiet=as_json)))
        seconds = time.monotonic() - began
        result = _Result(stage, finished)
        if as_json:
            print_json(result.as_dict(seconds))
        else:
            result.tell(Console(highlight=False), seconds)
    if not result.agrees:
        raise typer.Exit(1)


class _Stage:
    """All that the demo plays with."""

    def __init__(self, hub: Sandbox, client: AMIEClient, engine: Engine, runner: Runner, url: str) -> None:
        self.hub = hub
        self.client = client
        self.engine = engine
        self.runner = runner
        self.database = url


@contextmanager
def _stage(database: str | None, seed: int) -> Iterator[_Stage]:
    server_class = _server()
    place = Path(tempfile.mkdtemp(prefix="amie-demo-"))
    url = database or f"sqlite:///{place / 'amie.db'}"
    hub = Sandbox(SITE, seed=seed, hub="SANDBOX")
    with (
        server_class(hub) as server,
        AMIEClient(SITE, hub.api_key, server.url) as client,
        Engine(url, site=SITE, hub="sandbox") as engine,
    ):
        if engine.transactions():
            raise SettingsError(
                "The demo needs a log without sandbox transactions in it.",
                hint="Give another --database, or none: then it makes a fresh one.",
            )
        runner = Runner(engine, client, _example_site(place / "campus.db"))
        yield _Stage(hub, client, engine, runner, url)


def _play(stage: _Stage, scenarios: list[str], show: _Show) -> bool:
    """Play the scenarios one after the other; tell whether all came to their end."""
    give_up = time.monotonic() + _SECONDS
    for name in scenarios:
        with show.scenario(name):
            stage.client.start_scenario(name)
            idle = 0
            while not stage.hub.idle and idle < _ROUNDS_WITHOUT_NEWS and time.monotonic() < give_up:
                done = stage.runner.run_once()
                idle = 0 if done.moved else idle + 1
                show.update(stage.engine)
            stage.runner.run_once()  # takes in the hub's last word
            show.update(stage.engine)
    return stage.hub.idle


class _Show:
    """Shows each transaction's way through its states: on a terminal as it goes, else at a scenario's end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._paths: dict[str, list[str]] = {}
        self._finished: set[str] = set()
        self._live: Live | None = None
        self._table = Table.grid()

    @contextmanager
    def scenario(self, name: str) -> Iterator[None]:
        """Show the transactions of one scenario while the block runs."""
        self._finished = set(self._paths)
        self._console.print(f"[bold]{name}[/bold]")
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as self._live:
                yield
        else:
            yield
            self._console.print(self._table)

    def update(self, engine: Engine) -> None:
        """Show how the transactions stand now."""
        table = Table.grid(padding=(0, 1))
        for transaction in engine.transactions():
            if transaction.stream not in self._finished:
                story = engine.history(transaction.stream)
                path = list(dict.fromkeys(entry.state for entry in story.entries))
                self._paths[transaction.stream] = path
                table.add_row(*_row(transaction, path))
        self._table = table
        if self._live is not None:
            self._live.update(table, refresh=True)


def _row(transaction: TransactionSummary, path: list[str]) -> tuple[str | Text, ...]:
    arrows = Text(" > ", style="dim").join(state_text(state) for state in path)
    name = type_name(transaction.type, wide=False)
    return f"  {transaction.trans_rec_id}", name, transaction.grant_number or "", arrows


class _Result:
    """What the demo came to: each transaction as both sides see it."""

    def __init__(self, stage: _Stage, finished: bool) -> None:
        self._stage = stage
        self._finished = finished
        self.ours = stage.engine.transactions()
        states = {transaction.trans_rec_id: transaction.state for transaction in self.ours}
        self.compared = [
            {
                "trans_rec_id": str(theirs.trans_rec_id),
                "type": theirs.type,
                "service": theirs.state,
                "log": states.pop(str(theirs.trans_rec_id), None),
            }
            for theirs in stage.hub.transactions()
        ]
        self.compared += [
            {"trans_rec_id": name, "type": None, "service": None, "log": state}
            for name, state in states.items()
        ]

    @property
    def agrees(self) -> bool:
        """Whether every transaction has completed, and both sides say so."""
        completed = all(row["service"] == row["log"] == "completed" for row in self.compared)
        return self._finished and bool(self.compared) and completed

    def as_dict(self, seconds: float) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "database": self._stage.database,
            "seconds": round(seconds, 2),
            "transactions": self.compared,
            "quarantine": len(self._stage.engine.quarantine()),
        }

    def tell(self, console: Console, seconds: float) -> None:
        console.print()
        console.print(transactions_table(self.ours, self._stage.engine.now(), console.width))
        console.print()
        if self.agrees:
            console.print(
                f"[green]All {len(self.compared)} transactions have completed, and both sides agree on every"
                f" one[/green] ({seconds:.1f} s)."
            )
        else:
            console.print("[red]Not every transaction has completed on both sides:[/red]")
            table = Table("transaction", "type", "the service says", "the log says", box=None, pad_edge=False)
            for row in self.compared:
                if not row["service"] == row["log"] == "completed":
                    table.add_row(*(str(value or "nothing") for value in row.values()))
            console.print(table)
        command = f"--database {self._stage.database}"
        first = self.ours[0].trans_rec_id if self.ours else "TRANS"
        console.print(f"The log is {self._stage.database}. Look into it with:")
        console.print(f"  amie-engine transactions {command}", soft_wrap=True)
        console.print(f"  amie-engine show {first} {command}", soft_wrap=True)


def _example_site(database: Path) -> Site:
    """The example site that ships with the package, on a database of its own."""
    examples = str(folder("examples"))
    if examples not in sys.path:
        sys.path.insert(0, examples)
    campus = importlib.import_module("campus.backend")
    handlers = importlib.import_module("campus.site")
    site: Site = handlers.build_site(campus.Campus(str(database)), SITE)
    return site


def _server() -> type[SandboxServer]:
    from amie_engine.sandbox.server import SandboxServer

    return SandboxServer


def _serve() -> Callable[..., None]:
    from amie_engine.sandbox.server import serve

    return serve
