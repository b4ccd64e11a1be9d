"""How commands write: JSON for programs, text that a terminal can show for people."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from amie_engine.cli.settings import ENVIRONMENT_PREFIX
from amie_engine.engine.views import as_json
from amie_engine.errors import AMIEEngineError, InternalError

__all__ = [
    "one_line",
    "output_console",
    "prepare_streams",
    "print_error",
    "print_json",
    "print_json_line",
    "printable",
    "shown",
    "tell",
]

_TRACEBACK = f"{ENVIRONMENT_PREFIX}TRACEBACK"

_UNBROKEN = 100_000
"""Columns for a program that reads a table: more than any row has."""


def prepare_streams() -> None:
    """Let text that the terminal's encoding has no form for come out as escapes, and not end the command; and
    what goes to a stream that is closed go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 # as long as the process lasts
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def output_console(*, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """Return standard output, to print text for people on.

    What is no terminal gets each row of a table in one line, since whoever searches it looks for whole words;
    unless COLUMNS says how wide it is.

    Args:
        soft_wrap: Whether to leave it to the terminal to break lines.
        quiet: Whether to print nothing.
    """
    has_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = None if has_width else _UNBROKEN
    return Console(highlight=False, soft_wrap=soft_wrap, quiet=quiet, width=width)


def print_json(value: Any) -> None:
    """Print a value as JSON, in ASCII: it can be read whatever the encoding is."""
    sys.stdout.write(json.dumps(as_json(value), indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON, at once: another program may be waiting for it."""
    sys.stdout.write(json.dumps(as_json(value)) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Return foreign text without control characters but line ends: it must not move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str) -> str:
    """Return foreign text as one printable line."""
    return " ".join(printable(text).split())


def shown(text: str | None) -> str:
    """Return foreign text for a table: one line, and no mark-up of ours."""
    return escape(one_line(text or ""))


def tell(sentence: str, *, as_json: bool) -> None:
    """Say what was done."""
    if as_json:
        print_json({"done": sentence})
    else:
        output_console(soft_wrap=True).print(sentence, markup=False)


def print_error(error: AMIEEngineError) -> None:
    """Tell an error in a line or two on standard error, without a traceback."""
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error[/bold red] {escape(error.message)}", soft_wrap=True)
    if error.hint:
        console.print(f"  {escape(error.hint)}", soft_wrap=True)
    if isinstance(error, InternalError):
        console.print(f"  {_TRACEBACK}=1 shows the traceback, which may hold personal data.", soft_wrap=True)
    console.print(f"  [dim]{error.code}, see docs/errors.md[/dim]")
    if os.environ.get(_TRACEBACK):
        console.print_exception()
