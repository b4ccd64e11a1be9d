"""The commands about one person, grant, project or resource: what concerns it, and erasing what does."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from amie_engine.audit import audit as audit_log
from amie_engine.audit import list_erasures
from amie_engine.cli.audited import print_audit, print_erasure, print_erasures
from amie_engine.cli.moments import FIRST_OF_DAY, LAST_OF_DAY, read_moment
from amie_engine.cli.opening import open_log
from amie_engine.cli.options import AsJson, ConfigFile, DatabaseUrl, HubOfLog, SiteOfLog
from amie_engine.cli.output import output_console, print_json
from amie_engine.engine import Engine
from amie_engine.errors import SettingsError

__all__ = ["audit", "erase"]


def audit(
    grant: Annotated[
        str | None,
        typer.Option(metavar="GRANT", help="A GrantNumber, with its projects.", show_default=False),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A person: a local id, a global id or a login.", show_default=False),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="A ProjectID.", show_default=False)
    ] = None,
    resource: Annotated[
        str | None, typer.Option(metavar="RESOURCE", help="A resource's name.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="List nothing earlier: a date, or a time (UTC where it has no zone).",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="List nothing later; a date is its whole day.", show_default=False),
    ] = None,
    erasures: Annotated[
        bool, typer.Option("--erasures", help="List instead who was erased, when, by whom and why.")
    ] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell everything that concerns a grant, a person, a project or a resource, across all transactions.

    First what the directory says of it now, each line with its cause: the packet that made it so, who asked
    for it, and who decided it. Then the events of all its transactions, in their order. Of several options,
    all must hold. Persons that were merged count as one.

    The directory is compared with the events: where it differs, that is said, and the exit status is 1; so it
    is where nothing in the log concerns what was asked for.

    With --erasures it lists what `amie-engine erase` has erased: to be erased again in a copy of the log that
    is older.

    Examples:

        amie-engine audit --person u1009
        amie-engine audit --project p1005 --resource delta.campus.edu
        amie-engine audit --grant MAT900002 --since 2026-01-01 --until 2026-03-31
        amie-engine audit --erasures --since 2026-01-31
    """
    asked = {"--grant": grant, "--person": person, "--project": project, "--resource": resource}
    for option, name in asked.items():
        if name is not None and not name.strip():
            raise SettingsError(f"{option} is empty.", hint="Give the whole name or id.")
        if name is not None and erasures:
            raise SettingsError("--erasures lists all of them.", hint=f"Give it without {option}.")
    if not erasures and not any(asked.values()):
        raise SettingsError(
            "What is the audit about?",
            hint="Give --grant, --person, --project or --resource; or --erasures.",
        )
    first = read_moment(since, "--since", FIRST_OF_DAY) if since is not None else None
    last = read_moment(until, "--until", LAST_OF_DAY) if until is not None else None
    if first is not None and last is not None and last < first:
        raise SettingsError("--until is before --since.", hint="Give the earlier one as --since.")
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        if erasures:
            _list_erasures(engine, first, last, as_json=as_json)
            return
        found = audit_log(
            engine,
            grant=grant,
            person=person,
            project=project,
            resource=resource,
            since=first,
            until=last,
        )
    if as_json:
        print_json(found)
    else:
        print_audit(output_console(), found)
    if found.is_empty or found.differences:
        raise typer.Exit(1)


def _list_erasures(engine: Engine, first: datetime | None, last: datetime | None, *, as_json: bool) -> None:
    found = [
        erasure
        for erasure in list_erasures(engine)
        if (first is None or first <= erasure.time) and (last is None or erasure.time <= last)
    ]
    if as_json:
        print_json(found)
    else:
        print_erasures(output_console(), found)


def erase(
    person: Annotated[
        str, typer.Option(metavar="ID", help="The person: a local id, a global id or a login.")
    ],
    by: Annotated[
        str,
        typer.Option("--by", metavar="WHO", help="Who has it erased; on record for ever, so no full name."),
    ],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; on record for ever, so nothing personal.")
    ],
    transaction: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Erase this transaction's documents, too. Can be given several times.",
            show_default=False,
        ),
    ] = None,
    quarantine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Erase this in quarantine, too. Can be given several times.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really erase: it can't be undone.")] = False,
    database: DatabaseUrl = None,
    site: SiteOfLog = None,
    hub: HubOfLog = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase the documents that concern a person: packets, replies, answers, tracebacks, in all transactions.

    Ids, logins, amounts and dates stay, and with them every state; so do the hash chain, and one event that
    tells of the erasing. It is refused while something of the person's is under way.

    Transactions that have no id of theirs, but an e-mail address or a DN, are listed: look at them before you
    erase, since the addresses go with the rest, and name those that are theirs with --transaction.

    Things in quarantine are erased where they are of these transactions, or have an id of the person's, or an
    e-mail address or DN that the other documents have of them. What can't be read is listed, for you to look
    at.

    Backups, exports, replicas and the site's own tables keep what they have: see docs/personal-data.md.

    Examples:

        amie-engine erase --person u1009 --by privacy-office --reason "request 17" --dry-run
        amie-engine erase --person u1009 --by privacy-office --reason "request 17" --yes
    """
    with open_log(database=database, site=site, hub=hub, config=config) as engine:
        found = engine.erase(
            person=person,
            actor=by,
            reason=reason,
            transactions=transaction or (),
            quarantine=quarantine or (),
            dry_run=dry_run or not yes,
        )
    if as_json:
        print_json(found)
    else:
        print_erasure(output_console(), found)
        if dry_run and found.positions:
            output_console().print("Nothing was erased: this was a dry run.")
    if not (yes or dry_run) and found.positions:
        raise SettingsError("Nothing was erased.", hint="It can't be undone: add --yes to do it.")
