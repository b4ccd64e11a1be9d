"""The options that commands share."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from amie_engine.cli.output import one_line
from amie_engine.cli.settings import DEFAULT_HUB

__all__ = [
    "Actor",
    "AsJson",
    "ConfigFile",
    "DatabaseUrl",
    "HubName",
    "HubOfLog",
    "Reason",
    "ServiceUrl",
    "SiteOfLog",
    "Transaction",
    "read_position",
    "who",
]

_SITE = "The site's AMIE name."
_HUB = "The name of the central service in the log."
_ONLY_ONE = "the only one in the log"
_DIGITS = 18
"""No log has positions of more: a database's integers have 19."""

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The TOML file with the settings.", show_default="amie-engine.toml"
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="The log's database.", show_default="sqlite:///amie.db"),
]
SiteOfLog = Annotated[str | None, typer.Option("--site", metavar="NAME", help=_SITE, show_default=_ONLY_ONE)]
HubName = Annotated[
    str | None,
    typer.Option("--hub", metavar="NAME", help=_HUB, show_default=f"{_ONLY_ONE}, or {DEFAULT_HUB}"),
]
HubOfLog = Annotated[str | None, typer.Option("--hub", metavar="NAME", help=_HUB, show_default=_ONLY_ONE)]
ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The AMIE service's base URL.",
        show_default=f"the production service's, for the hub {DEFAULT_HUB}",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]
Transaction = Annotated[
    str,
    typer.Argument(metavar="TRANS", help="The transaction's record id at the service, or its id in the log."),
]
Actor = Annotated[
    str | None,
    typer.Option(metavar="WHO", help="Who does it, for the record.", show_default="the user's name"),
]
Reason = Annotated[str, typer.Option(metavar="WHY", help="Why, for the record; no personal data.")]


def who(actor: str | None) -> str:
    """Who does it: the user, where nobody is named. In a container the user may have no name."""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def read_position(given: str | int) -> int:
    """Read a position of the log, as commands print it.

    Raises:
        typer.BadParameter: It is none.
    """
    text = str(given)  # a default is a number already
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise typer.BadParameter(f"{one_line(text)[:40]} is no position. Give digits alone, such as 2324.")
    return int(text)
