"""How an audit and an erasure look on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from amie_engine.audit import Audit, AuditEntry, Erasure, RecordedErasure
from amie_engine.audit.causes import Cause, Mention
from amie_engine.audit.rows import AccountRow, DirectoryRow, PersonRow, ProjectRow
from amie_engine.audit.subject import Person
from amie_engine.cli.output import one_line, shown
from amie_engine.cli.tables import WHO_STYLES, state_text
from amie_engine.log.erasing import Leftovers

__all__ = ["print_audit", "print_erasure", "print_erasures"]

_MANY = 8
"""So many transactions are named; the others are counted."""

_FULL_PAGE = 10_000
"""Characters after which lines are printed."""

_MADE = {
    "login": "with this login",
    "grant_number": "of this grant",
    "pi_person_id": "with this PI",
    "global_id": "with this global id",
    "merged_into": "merged",
    "person_id": "this person's",
}
_LEFT = {
    Leftovers.NONE: (
        "SQLite has overwritten the space that it took, and its write-ahead log is empty.",
        "green",
    ),
    Leftovers.WRITE_AHEAD_LOG: (
        "SQLite's write-ahead log still has it, since somebody else is using the database: call this again.",
        "yellow",
    ),
    Leftovers.FREE_PAGES: (
        "The site's connections don't overwrite what is deleted: run VACUUM on the SQLite file now.",
        "yellow",
    ),
    Leftovers.OLD_ROWS: (
        "PostgreSQL keeps old rows until they are vacuumed: now run VACUUM amie_events, amie_staged as the"
        " tables' owner.",
        "yellow",
    ),
}


def print_audit(console: Console, audit: Audit) -> None:
    """Print an audit: who or what it is about, what the directory says and why, and what happened."""
    if audit.is_empty:
        person = None if audit.person is None else audit.person.name
        named = (audit.grant, person, audit.project, audit.resource)
        names = ", ".join(one_line(name) for name in named if name is not None)
        console.print(f"Nothing in the log concerns {names}.", markup=False)
        return
    _print_head(console, audit)
    if audit.differences:
        console.print(
            "\n[bold red]The projection differs from the events: run amie-engine replay --check[/bold red]"
        )
        for difference in audit.differences:
            console.print(Padding(Text(one_line(difference)), (0, 0, 0, 2)))
    page = _Page(console)
    rows: list[DirectoryRow] = [*audit.accounts, *audit.projects, *audit.persons]
    for row in rows:
        _add_row(page, row)
    page.add("")
    _add_entries(page, audit)
    page.print()


def _print_head(console: Console, audit: Audit) -> None:
    for name, value in (("Grant", audit.grant), ("Project", audit.project), ("Resource", audit.resource)):
        if value is not None:
            console.print(f"[bold]{name} {shown(value)}[/bold]", soft_wrap=True)
    if audit.person is not None:
        _print_person(console, audit.person)
    if audit.projects:
        active = sum(row.active for row in audit.projects)
        accounts = sum(row.accounts for row in audit.projects)
        active_accounts = sum(row.active_accounts for row in audit.projects)
        whose = "PI of " if audit.person is not None and audit.project is audit.grant is None else ""
        console.print(
            f"{whose}{_count(len(audit.projects), 'project')} ({active} active),"
            f" {_count(accounts, 'account')} in {'it' if len(audit.projects) == 1 else 'them'}"
            f" ({active_accounts} active)"
        )


def _print_person(console: Console, person: Person) -> None:
    if person.known_by is None:
        console.print(f"[bold]Person {shown(person.name)}[/bold]", soft_wrap=True)
        console.print("The directory does not know this name; what follows are the packets that do.")
        return
    local_ids = [person.name] if person.name in person.local_ids else []
    local_ids += [local_id for local_id in person.local_ids if local_id not in local_ids]
    console.print(f"[bold]Person {shown(', '.join(local_ids))}[/bold]", soft_wrap=True)
    if person.several:
        console.print(
            f"[yellow]The login {shown(person.name)} is that of several persons, who are told of together."
            "[/yellow]"
        )
    for gone, kept in person.merged:
        console.print(f"{shown(gone)} was merged into {shown(kept)}: they count as one person.")
    if not person.several and len(person.local_ids) > len(person.merged) + 1:
        console.print("Local ids of the same global id count as one person.")
    for noun, names in (("global id", person.global_ids), ("login", person.logins)):
        if names:
            console.print(f"{noun}{'' if len(names) == 1 else 's'}: {shown(', '.join(names))}")


def _add_row(page: _Page, row: DirectoryRow) -> None:
    page.add("")
    if isinstance(row, PersonRow):
        global_id = f", global id {row.global_id}" if row.global_id else ""
        merged = f": merged into {row.merged_into}" if row.merged_into else ""
        page.add(f"Local id {row.person_id}{global_id}{merged}", "bold")
    elif isinstance(row, ProjectRow):
        grant = f" of grant {row.grant_number}" if row.grant_number else ""
        pi = f", PI {row.pi_person_id}" if row.pi_person_id else ""
        counts = f"{_count(row.accounts, 'account')} ({row.active_accounts} active)"
        page.add(f"Project {row.project_id} on {row.resource}{grant}{pi}, {counts}: {_state(row)}", "bold")
    else:
        login = f", login {row.login}" if row.login else ""
        name = f"Account of {row.person_id} in {row.project_id} on {row.resource}{login}"
        page.add(f"{name}: {_state(row)}", "bold")
    for cause in row.causes:
        page.add(_because(row, cause), indent=2)
        for line in _details(cause):
            page.add(line, "dim", indent=6)


def _state(row: ProjectRow | AccountRow) -> str:
    return "active" if row.active else "inactive"


def _because(row: DirectoryRow, cause: Cause) -> str:
    packet = cause.packet
    from_hub = " from the hub" if packet.sender == "hub" else ""
    transaction = f"transaction {cause.trans_rec_id or cause.stream[:8]}"
    adopted = "; another tool of the site sent it" if cause.is_adopted else ""
    return (
        f"{_since(row, cause)} {_moment(packet.time)} by {_packet(packet)}{from_hub}, {transaction},"
        f" event {packet.position}{adopted}"
    )


def _details(cause: Cause) -> Iterator[str]:
    if cause.request is not None:
        sender = f"the {cause.request.sender}"
        yield f"asked for by {_packet(cause.request)}, from {sender} on {_moment(cause.request.time)}"
    decision = cause.decision
    if decision is not None:
        by = f"{one_line(decision.actor)} on {_moment(decision.time)}"
        if cause.packet.sender == "site":
            yield f"decided by {by}"
        else:
            status = f" ({decision.status})" if decision.status else ""
            yield f"answered with {decision.packet_type}{status}, decided by {by}"


def _since(row: DirectoryRow, cause: Cause) -> str:
    """What has been so since the cause."""
    words = [] if isinstance(row, PersonRow) or "active" not in cause.made else [_state(row)]
    if row.kind in cause.made:
        words = words or ["known" if isinstance(row, PersonRow) else "there"]
    else:
        words = [*words, *(_MADE[name] for name in cause.made if name in _MADE)]
    return f"{' and '.join(words)} since"


def _packet(packet: Mention) -> str:
    status = f" ({packet.status})" if packet.status else ""
    number = f", packet {packet.packet_rec_id}" if packet.packet_rec_id else ""
    return f"{packet.packet_type}{status}{number}"


def _add_entries(page: _Page, audit: Audit) -> None:
    transactions = _count(audit.transactions, "transaction")
    if not audit.entries:
        page.add(f"{transactions}, no event{_between(audit)}.")
    else:
        page.add(
            f"What happened: {_count(len(audit.entries), 'event')}{_between(audit)}, in {transactions}",
            "bold",
        )
        _add_table(page, audit.entries)
    if audit.quarantined:
        names = ", ".join(name[:12] for name in audit.quarantined)
        page.add(f"In quarantine, of these transactions: {names}. See: amie-engine quarantine")


def _between(audit: Audit) -> str:
    since = f" since {_moment(audit.since)}" if audit.since is not None else ""
    return since + (f" until {_moment(audit.until)}" if audit.until is not None else "")


def _add_table(page: _Page, entries: Sequence[AuditEntry]) -> None:
    widest = max(len("transaction"), *(len(_transaction(entry)) for entry in entries))
    who = max(len("who"), *(len(entry.who) for entry in entries))
    longest = max(len("what happened"), *(len(one_line(entry.sentence)) for entry in entries))
    widths = (10, widest, who, min(longest, max(20, page.width - widest - who - 27)), 9)
    heads = ("time (UTC)", "transaction", "who", "what happened", "state")
    page.add_cells(heads, widths, ("bold",) * 5)
    day = None
    for entry in entries:
        moment = entry.time.astimezone(UTC)
        if moment.date() != day:
            day = moment.date()
            page.add(f"{day:%Y-%m-%d}", "dim")
        cells = (f"{moment:%H:%M:%S}", _transaction(entry), entry.who, one_line(entry.sentence), entry.state)
        styles = ("", "", WHO_STYLES.get(entry.who, ""), "", str(state_text(entry.state).style))
        page.add_cells(cells, widths, styles)


class _Page:
    """Lines for a terminal, wrapped here: about a resource with thousands of projects there are many."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = Text()
        self.width = console.width

    def add(self, line: str, style: str = "", *, indent: int = 0) -> None:
        """Add a line; where it is too long, it goes on with the same indentation."""
        margin = " " * indent
        for part in self._wrapped(line, self.width - indent):
            self._text.append(f"{margin}{part}\n", style)
        self._print_full()

    def add_cells(self, cells: Sequence[str], widths: Sequence[int], styles: Sequence[str]) -> None:
        """Add a row of a table, whose cells go on below where they are too long."""
        columns = [self._wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for parts in zip_longest(*columns, fillvalue=""):
            for part, width, style in zip(parts, widths, styles, strict=True):
                self._text.append(f"{part:{width}}", style)
                self._text.append("  ")
            self._text.rstrip()
            self._text.append("\n")
        self._print_full()

    def print(self) -> None:
        """Print what has been added and not been printed yet."""
        if self._text:
            self._text.right_crop(1)  # the last line's end
            self._console.print(self._text, soft_wrap=True)
        self._text = Text()

    def _print_full(self) -> None:
        if len(self._text) > _FULL_PAGE:
            self.print()

    @staticmethod
    def _wrapped(line: str, width: int) -> list[str]:
        return textwrap.wrap(one_line(line), max(width, 20), break_on_hyphens=False) or [""]


def _transaction(entry: AuditEntry) -> str:
    if not entry.state:
        return ""
    return entry.trans_rec_id or f"({entry.stream[:8]})"


def print_erasure(console: Console, erasure: Erasure) -> None:
    """Print what was erased, or would be."""
    _print_person(console, erasure.person)
    documents = _count(len(erasure.positions), "document")
    items = f", {len(erasure.quarantined)} of them in quarantine" if erasure.quarantined else ""
    if not erasure.positions:
        console.print("There is nothing left to erase.")
    elif erasure.is_done:
        console.print(f"[bold]Erased {documents}{items}.[/bold]")
    else:
        console.print(f"To erase: [bold]{documents}{items}[/bold].")
    if erasure.transactions:
        names = ", ".join(erasure.transactions[:_MANY])
        more = len(erasure.transactions) - _MANY
        console.print(
            f"Transactions that concern the person: {names}{f' and {more} more' if more > 0 else ''}."
        )
    if erasure.possible:
        console.print(
            "[yellow]These transactions have an e-mail address or a DN of the person's; look whether they"
            " concern the person, and erase them with --transaction ID:[/yellow]"
        )
        for name in erasure.possible:
            console.print(f"  {name}", soft_wrap=True)
    for name in erasure.quarantined:
        console.print(f"In quarantine: {name}", soft_wrap=True)
    if erasure.unread:
        console.print(
            "[yellow]These in quarantine can't be read; look whether they concern the person, and erase them"
            " with --quarantine ID:[/yellow]"
        )
        for name in erasure.unread:
            console.print(f"  {name}", soft_wrap=True)
    if erasure.leftovers is not None and (erasure.positions or erasure.leftovers is not Leftovers.NONE):
        sentence, style = _LEFT[erasure.leftovers]
        console.print(sentence, style=style)
        console.print("Backups, exports and replicas keep what they have: see docs/personal-data.md.")


def print_erasures(console: Console, erasures: Sequence[RecordedErasure]) -> None:
    """Print the erasures that are on record, and what each took from quarantine."""
    for erasure in erasures:
        told = (
            f"person {erasure.person}: {_count(erasure.documents, 'document')},"
            f" by {erasure.actor}: {erasure.reason}"
        )
        console.print(f"{_moment(erasure.time)}  {one_line(told)}", soft_wrap=True, markup=False)
        for name in erasure.quarantined:
            console.print(f"  in quarantine: {name}", soft_wrap=True, markup=False)
    if not erasures:
        console.print("No erasures.")


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
