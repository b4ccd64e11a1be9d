"""The commands that take a log out of its database, and into another: export, import and backup."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from amie_engine.audit import Exported, back_up, import_log
from amie_engine.audit import export as export_events
from amie_engine.audit.exporting import Format, format_of
from amie_engine.cli.opening import open_whole_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, read_position
from amie_engine.cli.output import output_console, print_json
from amie_engine.cli.progress import progress_bar
from amie_engine.cli.settings import load_settings
from amie_engine.errors import SettingsError
from amie_engine.log.database import Database
from amie_engine.log.whole import WholeLog

__all__ = ["backup", "export", "import_events"]

_STANDARD = "-"
_NO_SOURCE = "Nothing was imported: SOURCE has to be the URL of a database that has a log, or an export."
_FORMATS: tuple[Format, ...] = ("jsonl", "parquet")


def export(
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="Where to; - is standard output.")
    ] = _STANDARD,
    name_of_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="jsonl or parquet.",
            show_default="parquet for a FILE of that name, else jsonl",
        ),
    ] = None,
    after: Annotated[
        int,
        typer.Option(
            "--after", metavar="POSITION", parser=read_position, help="Only what is behind this event."
        ),
    ] = 0,
    until: Annotated[
        int | None,
        typer.Option(
            "--until",
            metavar="POSITION",
            parser=read_position,
            help="The last event.",
            show_default="the newest",
        ),
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Put pseudonyms in place of what is personal.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is an earlier export.")] = False,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write all events with all their columns: JSON Lines, or Parquet for tools that query it.

    It is the log of every site and hub, as it is now, and it holds personal data unless you give --redact. Of
    a whole export, unredacted, `amie-engine import` makes the same log again. FILE appears once it is
    complete, and only its owner may read it.

    Parquet needs pyarrow: pip install 'amie-engine[parquet]'.

    Examples:

        amie-engine export | gzip > events.jsonl.gz
        amie-engine export --redact --to events.parquet
        amie-engine export --after 120000 --to june.jsonl
    """
    settings = load_settings({"database": database}, file=config)
    file = None if to == _STANDARD else Path(to)
    form = _format(name_of_format, file)
    if file is None and (form == "parquet" or force or as_json):
        option = "--format parquet" if form == "parquet" else "--force" if force else "--json"
        raise SettingsError(f"{option} is of a FILE.", hint="Give one with --to.")
    if until is not None and until < after:
        raise SettingsError(
            f"--until {until} is before --after {after}.", hint="Give the smaller one as --after."
        )
    with open_whole_log(settings) as opened:
        _check_range(opened, after, until)
        options: dict[str, Any] = {"format": form, "after": after, "until": until, "redact": redact}
        if file is None:
            exported = _export_to_output(opened, options)
        else:
            with progress_bar("Exporting") as progress:
                exported = export_events(opened, file, replace=force, progress=progress, **options)
    if file is not None:
        if as_json:
            print_json({"file": str(file), "format": form, **_told(exported)})
        else:
            _print(f"{_events(exported)}, in {file}.")
    if exported.staged:
        waits = "a staged call waits" if exported.staged == 1 else f"{exported.staged} staged calls wait"
        _warn(f"In the database {waits} to be carried out, of which no event tells yet.")


def import_events(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="An export, - for standard input, or a database's URL.")
    ],
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a log anew, bit for bit, from an export or from the log in another database.

    Only into a database whose log is empty. In one without any tables those of the log are made; beside the
    tables of others only `amie-engine migrate` makes them. Every event is checked while it goes in, and the
    projections are made anew. Either everything is there afterwards, or nothing.

    To move a site from one database to another, stop its daemon, and give the old one's URL as SOURCE.

    Examples:

        amie-engine import sqlite:///amie.db --database postgresql://amie@db.example.edu/amie
        gzip -dc events.jsonl.gz | amie-engine import - --database sqlite:///copy.db
    """
    settings = load_settings({"database": database}, file=config)
    target = Database(settings.database)
    try:
        with progress_bar("Importing") as progress:
            if "://" in source:
                of_source = load_settings({"database": source}, file=config)
                with open_whole_log(of_source, hint=_NO_SOURCE) as origin:
                    imported = import_log(target, origin, progress)
            else:
                taken = sys.stdin.buffer if source == _STANDARD else Path(source)
                imported = import_log(target, taken, progress)
    finally:
        target.close()
    if as_json:
        print_json({"database": target.url, **_told(imported)})
        return
    made = "The tables were made. " if imported.made_tables else ""
    count = "1 event" if imported.count == 1 else f"{imported.count:,} events"
    _print(f"{made}Imported {count} into {target.url}, and made the projections anew.")


def backup(
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="The copy: a new file.")],
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy the log's SQLite database, whole and consistent, while the daemon goes on.

    The copy is checked: as a database, and as a copy of the log up to its newest event. FILE appears once
    it is complete and good; no file is overwritten. It holds personal data, and only its owner may read it.
    For PostgreSQL, the command tells you the one of pg_dump.

    Examples:

        amie-engine backup --to /backup/amie-$(date +%F).db
        amie-engine verify --database sqlite:////backup/amie-2026-01-31.db
    """
    settings = load_settings({"database": database}, file=config)
    named = Database(settings.database)
    if not named.is_sqlite:
        back_up(named, Path(to))  # it tells the command to use instead, whether the server runs or not
    with open_whole_log(settings) as opened, progress_bar("Copying") as progress:
        done = back_up(opened, Path(to), progress)
    if as_json:
        print_json({"file": to, "position": done.position, "hash": done.hash, "bytes": done.bytes})
        return
    held = f"the log up to position {done.position}" if done.position else "a log without events"
    _print(f"{to} holds {held}: {done.bytes / 1e6:,.1f} MB.")


def _format(name: str | None, file: Path | None) -> Format:
    if name is None:
        return "jsonl" if file is None else format_of(file)
    for known in _FORMATS:
        if name == known:
            return known
    raise SettingsError(f"There is no format {name!r}.", hint=f"There are: {', '.join(_FORMATS)}.")


def _check_range(database: Database, after: int, until: int | None) -> None:
    newest = WholeLog(database).head().position
    for option, position in (("--after", after), ("--until", until)):
        if position is not None and position > newest:
            raise SettingsError(
                f"{option}: the log has no position {position}.", hint=f"It ends at {newest}."
            )


def _export_to_output(database: Database, options: dict[str, Any]) -> Exported:
    if sys.stdout.isatty():
        return export_events(database, sys.stdout.buffer, **options)
    with progress_bar("Exporting") as progress:
        return export_events(database, sys.stdout.buffer, progress=progress, **options)


def _told(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def _events(exported: Exported) -> str:
    how = ", redacted" if exported.redacted else ""
    if not exported.count:
        return f"Exported no events{how}"
    if exported.count == 1:
        return f"Exported the event at position {exported.first_position}{how}"
    return (
        f"Exported {exported.count:,} events, from position {exported.first_position} to"
        f" {exported.last_position}{how}"
    )


def _print(text: str) -> None:
    output_console(soft_wrap=True).print(text, markup=False)


def _warn(text: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold yellow]warning[/bold yellow]", text)
