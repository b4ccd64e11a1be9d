"""The commands, and how their errors look."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from amie_engine.cli import demo, inspecting, operating
from amie_engine.cli.settings import ENVIRONMENT_PREFIX
from amie_engine.errors import AMIEEngineError, SettingsError

__all__ = ["app", "main"]

app = typer.Typer(
    name="amie-engine",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Receive AMIE packets, keep every one in an append-only log, have the site's own code do the work,"
        " and send the replies.\n\n"
        "New here? [bold]amie-engine demo[/bold] plays all four official test scenarios against a service on"
        " this machine, with an example site. Then look into its log with [bold]transactions[/bold] and"
        " [bold]show[/bold].\n\n"
        "Settings come from amie-engine.toml, then from AMIE_ENGINE_* variables, then from options; the later"
        " wins."
    ),
)


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from amie_engine import __version__

        typer.echo(f"amie-engine {__version__}")
        raise typer.Exit


for name, command, panel in (
    ("demo", demo.demo, "Try it"),
    ("sandbox", demo.sandbox, "Try it"),
    ("migrate", operating.migrate, "Run it"),
    ("run", operating.run, "Run it"),
    ("poll", operating.poll, "Run it"),
    ("transactions", inspecting.transactions, "Look into the log"),
    ("show", inspecting.show, "Look into the log"),
    ("quarantine", inspecting.quarantine, "Look into the log"),
):
    app.command(name, rich_help_panel=panel)(command)


def main() -> None:
    """Run the command. An error is told in a line or two on standard error, without a traceback.

    Exit status: 0 for success, 1 for an error, 2 for a mistake in the call or the settings.
    """
    try:
        app()
    except AMIEEngineError as error:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]error[/bold red] {escape(error.message)}", soft_wrap=True)
        if error.hint:
            console.print(f"  {escape(error.hint)}", soft_wrap=True)
        console.print(f"  [dim]{error.code}, see docs/errors.md[/dim]")
        if os.environ.get(f"{ENVIRONMENT_PREFIX}TRACEBACK"):
            console.print_exception()
        sys.exit(2 if isinstance(error, SettingsError) else 1)
