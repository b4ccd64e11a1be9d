"""The command for what the service has refused: shown with what is wrong, mended, sent again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
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
from amie_engine.cli.output import one_line, output_console, print_json, printable
from amie_engine.engine.mending import Refusal, find_field
from amie_engine.engine.state import START
from amie_engine.engine.views import Handle
from amie_engine.errors import NothingRefused, ServiceNotFound, SettingsError
from amie_engine.packet.base import Packet
from amie_engine.packet.jsonvalue import parse_json

__all__ = ["resend"]

_AS_JSON = {
    "list": """a list in JSON: --set '{name}=["one"]'""",
    "objects": """a list of objects in JSON: --set '{name}=[{{"{item}": "one"}}]'""",
}
"""The kinds of field whose values are given as JSON; all others are text."""


def resend(
    transaction: Transaction,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Give a field another value: text, or JSON for a list. Repeat it for others.",
            show_default=False,
        ),
    ] = None,
    emptied: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="FIELD", help="Leave a field out.", show_default=False),
    ] = None,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="Send it unchanged: the service was at fault.")
    ] = False,
    reason: Reason = "",
    actor: Actor = None,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send again, mended, what the service refused; without options, show it and what is wrong with it.

    It shows the packet in full, with personal data, the service's words, what our own check finds, and the
    command to type. The mended packet is checked like any reply and goes into the outbox, from which
    `amie-engine run` sends it; who changed which fields is on record, the values are not. There is still one
    reply to a request: before it goes out, the service is asked whether an answer has arrived meanwhile.

    Examples:

        amie-engine resend 87100001
        amie-engine resend 87100001 --set ProjectID=p17 --actor "the help desk"
        amie-engine resend 87100001 --as-it-is --reason "they mended their check"
    """
    wants_change = bool(changes or emptied)
    if wants_change and as_it_is:
        raise SettingsError(
            "--as-it-is goes with no --set and no --unset.", hint="Give the one or the other."
        )
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        name = find_transaction(engine, transaction)
        refused = engine.outbox.rejected(name)
        if wants_change or as_it_is:
            packet = next((each.packet for each in refused if each.packet is not None), None)
            given = _read_changes(changes or (), emptied or (), packet)
            handle = engine.resend(name, given, actor=who(actor), reason=reason)
            _tell_resent(handle, transaction, as_json=as_json)
            return
        if not refused:
            raise NothingRefused(f"Nothing that the service refused waits in transaction {transaction}.")
    if as_json:
        print_json(refused)
        return
    console = output_console()
    for number, refusal in enumerate(refused):
        if number:
            console.print()
        _show(console, refusal, transaction, is_newest=number == 0)


def _read_changes(changes: Sequence[str], emptied: Sequence[str], packet: Packet | None) -> dict[str, Any]:
    """What the command line says of fields, each value in the form of its field. Where there is no packet,
    the engine tells why."""
    given: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{one_line(change)[:40]!r} is no change. Give FIELD=VALUE.")
        _add(given, name.strip(), value if packet is None else _read_value(packet, name.strip(), value))
    for name in emptied:
        _add(given, name.strip(), None)
    return given


def _add(given: dict[str, Any], name: str, value: Any) -> None:
    if name in given:
        raise typer.BadParameter(f"{one_line(name)[:40]} is given twice.")
    given[name] = value


def _read_value(packet: Packet, name: str, text: str) -> Any:
    field = find_field(packet, name)
    form = _AS_JSON.get(field.kind)
    if form is None:
        return text
    wrong = f"{name} takes {form.format(name=name, item=next(iter(field.items), ''))}."
    try:
        value = parse_json(text)
    except ValueError:
        raise typer.BadParameter(wrong) from None
    if not isinstance(value, list):
        raise typer.BadParameter(wrong)
    return value


def _tell_resent(handle: Handle, name: str, *, as_json: bool) -> None:
    if as_json:
        print_json(handle)
        return
    what = handle.packet_type or "The call that sets it failed"
    output_console(soft_wrap=True).print(
        f"{what} of transaction {name} is in the outbox again: `amie-engine run` sends it.", markup=False
    )


def _show(console: Console, refusal: Refusal, name: str, *, is_newest: bool) -> None:
    """Print what was refused, the service's words, our own findings, and what to type."""
    place = "which was to begin" if refusal.answers == START else f"in reply to packet {refusal.answers} of"
    what = (
        f"{refusal.packet_type}, {place}" if refusal.packet_type is not None else "The call that sets failed"
    )
    console.print(Text.assemble((f"{what} transaction {name}", "bold")))
    moment = f"{refusal.refused_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    console.print(Text.assemble("Refused on ", moment, ": ", (refusal.code, "red")))
    _print_part(console, "The service says:", [printable(refusal.message or "(its words were erased)")])
    if refusal.packet is not None:
        console.print("\nThe packet:")
        console.print(Padding(_fields_table(refusal.packet), (0, 0, 0, 2), expand=False))
        lacks = [f"It lacks {', '.join(refusal.missing)}."] if refusal.missing else []
        odd = [f"{problem}." for problem in refusal.problems]
        _print_part(console, "Our own check:", [*lacks, *odd] or ["It finds nothing wrong."])
    if refusal.is_erased:
        _print_part(console, "The packet was erased, and can't be sent again.", [])
    console.print()
    for comment, command in _commands(refusal, name, is_newest=is_newest):
        console.print(f"{comment}:")
        console.print(f"  {command}", soft_wrap=True, markup=False, style="bold")


def _print_part(console: Console, head: str, paragraphs: Sequence[str]) -> None:
    console.print(f"\n{head}")
    for paragraph in paragraphs:
        console.print(Padding(Text(paragraph), (0, 0, 0, 2), expand=False))


def _fields_table(packet: Packet) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in packet.as_dict()["body"].items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        table.add_row(Text(one_line(name)), Text(one_line(text)))
    return table


def _commands(refusal: Refusal, name: str, *, is_newest: bool) -> list[tuple[str, str]]:
    """What a person can do about a refusal, and what to type for it."""
    trans = shlex.quote(name)
    found = []
    give_up = f"amie-engine fail {trans} --reason WHY"
    if refusal.code == ServiceNotFound.code:
        found.append(("To end it here, since the service does not know it any more", give_up))
    if refusal.packet is not None:
        changes = "".join(f" --set {field}=VALUE" for field in _to_mend(refusal, refusal.packet))
        found.append(("To mend it and send it again", f"amie-engine resend {trans}{changes}"))
    if is_newest and not refusal.is_erased:
        found.append(
            ("To send it as it is, if the service was at fault", f"amie-engine resend {trans} --as-it-is")
        )
    if refusal.answers == START:
        found.append(("To give it up", give_up))
    elif refusal.packet_type is not None:
        found.append(("To have the handler called again instead", f"amie-engine retry {trans}"))
    else:
        found.append(("To compare with what the service has", "amie-engine reconcile"))
    return found


def _to_mend(refusal: Refusal, packet: Packet) -> list[str]:
    """The fields that are likely to be mended: those that our check or the service names; else any."""
    words = set(re.findall(r"\w+", " ".join((*refusal.problems, refusal.message or ""))))
    named = [field for field in packet._fields if field in refusal.missing or field in words]
    return named or ["FIELD"]
