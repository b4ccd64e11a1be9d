"""The commands that prove a log: verify and seal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from amie_engine.audit import CheckedSeal, Verdict, make_seal, new_key, read_seal
from amie_engine.audit import verify as verify_log
from amie_engine.audit.new_file import new_file
from amie_engine.audit.problems import OF_PROJECTIONS, OF_SEALS
from amie_engine.cli.opening import open_whole_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl
from amie_engine.cli.output import output_console, print_json
from amie_engine.cli.progress import progress_bar
from amie_engine.cli.settings import load_settings
from amie_engine.engine.views import as_json as json_values
from amie_engine.errors import SettingsError

__all__ = ["seal", "verify"]


def verify(
    seal: Annotated[
        list[Path] | None,
        typer.Option(
            "--seal",
            metavar="FILE",
            help="A seal that the log must still contain; give as many as you have.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            metavar="FILE",
            help="Such a seal too; and only what is behind it is verified.",
            show_default=False,
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            help="The key that the seals must be signed with.",
            show_default=False,
        ),
    ] = None,
    events_only: Annotated[
        bool,
        typer.Option("--events-only", help="Don't compare the projections, which takes longest."),
    ] = False,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify that the log is as the engine wrote it: every hash, digest, position, version and time.

    It goes through all events, of every site and hub, while the daemon goes on. The first problem is told
    with its position and with what it can mean, the others are counted, and the exit status is 1. Where the
    events are whole, the projections are compared with them, as by `amie-engine replay --check`; a database
    that allows no temporary tables, such as a hot standby, can't do that, which is told and is no problem.

    Each seal gets its own answer. Events, projections and seals are told apart, and whatever is wrong with
    any of them, the exit status is 1.

    Whoever may change the tables can rewrite the log with hashes that are right. --seal proves that it was
    not rewritten up to a seal (see `amie-engine seal`), where all events are looked at and whole; without
    --public-key, anybody may have made the seal.

    --since takes time for what is new alone: it trusts what was verified when the seal was made, and does not
    look for what was changed or erased before it. So beside it, --seal proves nothing of what is before.

    Examples:

        amie-engine verify
        amie-engine verify --seal march.seal --public-key audit.key.pub
    """
    if public_key is not None and not seal and since is None:
        raise SettingsError("--public-key is the key of a seal.", hint="Give --seal or --since too.")
    settings = load_settings({"database": database}, file=config)
    seals = [read_seal(file, public_key=public_key) for file in seal or ()]
    begin = None if since is None else read_seal(since, public_key=public_key)
    with open_whole_log(settings) as opened, progress_bar("Verifying") as progress:
        verdict = verify_log(opened, seals=seals, since=begin, projections=not events_only, progress=progress)
    if as_json:
        speed = round(_speed(verdict), 1)
        print_json(
            {
                "whole": verdict.whole,
                "events_whole": verdict.events_whole,
                "projections_agree": verdict.projections_agree,
                "megabytes_per_second": speed,
                **json_values(verdict),
            }
        )
    else:
        _print(output_console(soft_wrap=True), verdict)
    if not verdict.whole:
        raise typer.Exit(1)


def seal(
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The private key to sign with.", show_default=False),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="A new file for the seal.", show_default="standard output"),
    ] = None,
    make_key: Annotated[
        Path | None,
        typer.Option(
            "--new-key",
            metavar="FILE",
            help="Make a pair of keys, FILE and FILE.pub, and no seal.",
            show_default=False,
        ),
    ] = None,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Seal the log as it is now: a small signed file that proves later whether it was rewritten.

    It has the position and the hash of the newest event, and no personal data. Keep seals where nobody who
    can write to the database can change them, and the private key likewise. Nothing is verified: do that
    before.

    It needs cryptography, which the extra seal of the package installs.

    Examples:

        amie-engine seal --new-key audit.key
        amie-engine seal --key audit.key --to march.seal
    """
    if make_key is not None:
        if key is not None or to is not None:
            raise SettingsError("--new-key makes a key and no seal.", hint="Give it alone.")
        _make_key(make_key, as_json=as_json)
        return
    if key is None:
        raise SettingsError("A seal needs --key.", hint="Make a key with: amie-engine seal --new-key FILE.")
    settings = load_settings({"database": database}, file=config)
    with open_whole_log(settings) as opened:
        made = make_seal(opened, key)
    if to is not None:
        with new_file(to) as part:  # an older seal is never overwritten: it may be needed as evidence
            part.write_text(made.text, encoding="ascii")
            part.chmod(0o644)
    if to is None or as_json:
        typer.echo(made.text, nl=False)
    else:
        told = f"Sealed up to event {made.position}, in {to}."
        output_console(soft_wrap=True).print(told, markup=False)


def _make_key(file: Path, *, as_json: bool) -> None:
    public = new_key(file)
    if as_json:
        print_json({"key": str(file), "public_key": str(public)})
        return
    console = output_console(soft_wrap=True)
    console.print(
        f"The private key is in {file}: who has it can make seals. Keep it to yourself.", markup=False
    )
    console.print(f"The public key is in {public}: give it to whoever verifies.", markup=False)


def _print(console: Console, verdict: Verdict) -> None:
    kinds = Counter(verdict.kinds)
    of_projections = [one for one in verdict.problems if one.code in OF_PROJECTIONS]
    for code in OF_PROJECTIONS | OF_SEALS:
        del kinds[code]
    if verdict.since is not None and not verdict.since.is_contained:
        console.print("[bold red]No event was looked at[/bold red]: the log does not contain where to begin.")
    if kinds:
        _print_problems(console, verdict, kinds)
    elif verdict.since is None or verdict.since.is_contained:
        what = "The log is whole" if verdict.whole else "The events are whole"
        if verdict.since is not None:
            what = "Nothing is wrong with what is new"
        console.print(f"[green]{what}[/green]: {_looked_at(verdict)}.")
    if of_projections:
        console.print("[bold red]The projections differ from the events[/bold red]:")
        for one in of_projections:
            console.print(f"  {one.sentence} ({one.code})", markup=False)
        console.print(f"  {of_projections[0].meaning}", markup=False)
    elif verdict.projections:
        rows = "1 row" if verdict.projections == 1 else f"{verdict.projections:,} rows"
        console.print(f"The projections say what the events say: {rows} compared.")
    elif verdict.not_compared is not None:
        console.print("[yellow]The projections were not compared[/yellow]:", end=" ")
        console.print(verdict.not_compared, markup=False)
    is_proved = verdict.events_whole and verdict.since is None
    for checked in verdict.seals:
        event = f"event {checked.seal.position}"
        proved = f"up to {event} it is what it was then"
        _print_seal(console, checked, proved if is_proved else f"{event} has the hash that was sealed")
    if verdict.since is not None:
        at = verdict.since.seal.position
        _print_seal(console, verdict.since, f"up to event {at} nothing was looked at again")


def _print_problems(console: Console, verdict: Verdict, kinds: Counter[str]) -> None:
    """What is wrong with the events and with the counter row."""
    count = kinds.total()
    number = "1 problem" if count == 1 else f"{count:,} problems"
    looked_at = f"; {_looked_at(verdict)}" if verdict.events or verdict.since is None else ""
    console.print(f"[bold red]The log is not whole[/bold red]: {number}{looked_at}.")
    first, *others = [one for one in verdict.problems if one.code in kinds]
    at = "" if first.position is None else f" at position {first.position}"
    console.print(f"The first{at}: {first.sentence} ({first.code})", markup=False)
    console.print(f"  {first.meaning}", markup=False)
    if others:
        console.print("Then:")
    for other in others:
        console.print(f"  {other.sentence} ({other.code})", markup=False)
    more = count - len(others) - 1
    if more:
        listed = ", ".join(f"{count:,} {code}" for code, count in sorted(kinds.items()))
        console.print(f"  and {more:,} more. In all: {listed}.")


def _print_seal(console: Console, checked: CheckedSeal, told: str) -> None:
    """What came of a seal, whatever is wrong beside it."""
    seal = checked.seal
    made = f"{seal.sealed_at[:10]} {seal.sealed_at[11:16]} UTC"
    key = "It was signed with the key that you gave."
    if not seal.key_known:
        key = "Whose key signed it was not checked: give --public-key."
    if checked.problem is None:
        console.print(f"The log contains the seal of {made}: {told}. {key}", markup=False)
        return
    console.print("[bold red]The log does not contain[/bold red]", end=" ")
    console.print(
        f"the seal of {made}: {checked.problem.sentence} ({checked.problem.code}) {key}", markup=False
    )
    console.print(f"  {checked.problem.meaning}", markup=False)


def _looked_at(verdict: Verdict) -> str:
    if not verdict.events:
        return (
            "it has no events"
            if verdict.since is None
            else f"nothing behind event {verdict.since.seal.position}"
        )
    events = "1 event" if verdict.events == 1 else f"{verdict.events:,} events"
    behind = "" if verdict.since is None else f" behind event {verdict.since.seal.position}"
    megabytes = f"{verdict.bytes / 1e6:,.1f} MB in {verdict.seconds:,.1f} s, {_speed(verdict):,.0f} MB/s"
    return f"{events}{behind} looked at, up to position {verdict.position} ({megabytes})"


def _speed(verdict: Verdict) -> float:
    """Megabytes hashed in a second."""
    return verdict.bytes / max(verdict.seconds, 1e-9) / 1e6
