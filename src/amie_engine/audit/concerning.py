"""Everything that concerns a grant, a person, a project or a resource, across all transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from amie_engine.audit.causes import Cause, explain
from amie_engine.audit.erasures import Erasures
from amie_engine.audit.finding import events_of, find_projects, find_streams
from amie_engine.audit.history import DirectoryHistory, Made, directory_history
from amie_engine.audit.rows import AccountRow, DirectoryRow, PersonRow, ProjectRow, read_rows
from amie_engine.audit.subject import Person, find_subject
from amie_engine.audit.timeline import StoryEntry, erasure_entry, story_entry
from amie_engine.engine.folding import Folder
from amie_engine.engine.state import TransactionState
from amie_engine.log.events import Event
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import format_time
from amie_engine.log.whole import read_head
from amie_engine.packet.naming import Kind, named

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Audit", "AuditEntry", "audit"]

_MERGES = Statement(
    "SELECT stream FROM amie_transactions WHERE hub = :hub AND site = :site AND type = 'request_person_merge'"
)
_QUARANTINED = Statement(
    "SELECT stream FROM amie_quarantine WHERE hub = :hub AND site = :site AND trans_rec_id = :trans_rec_id"
    " AND status = 'quarantined' ORDER BY quarantined_at, stream"
)

_KEYS = ("project_id", "resource", "person_id")
"""The columns that tell one row from another; only a merge of persons changes any."""

_Rows = list[tuple[DirectoryRow, int]]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event of one of the transactions, or the erasing of documents of theirs.

    Attributes:
        trans_rec_id: The transaction's record id at the service; None before it has one, and of an erasing.
        stream: The transaction's id in the log.
        who: ``hub``, ``site`` or ``engine``.
        sentence: What happened, without personal data.
        state: The transaction's state afterwards; empty for an erasing.
    """

    position: int
    time: datetime
    trans_rec_id: str | None
    stream: str
    event: str
    who: str
    actor: str
    sentence: str
    state: str
    packet_type: str | None
    packet_rec_id: str | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What the log tells of a subject.

    Attributes:
        person: The person with all of their names, where one is asked for.
        position: The newest event that is in it.
        persons: What the directory says of the person, a local id each.
        projects: What it says of projects; of a person alone, those that they are the PI of.
        accounts: What it says of accounts, where a person or a project is asked for.
        differences: Where the directory does not say what the events say, in sentences; there should be none.
        transactions: How many transactions concern the subject, whatever the times asked for.
        entries: Their events between the times asked for, oldest first.
        quarantined: The ids of what is in quarantine of these transactions.
    """

    grant: str | None
    person: Person | None
    project: str | None
    resource: str | None
    since: datetime | None
    until: datetime | None
    position: int
    persons: tuple[PersonRow, ...]
    projects: tuple[ProjectRow, ...]
    accounts: tuple[AccountRow, ...]
    differences: tuple[str, ...]
    transactions: int
    entries: tuple[AuditEntry, ...]
    quarantined: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the log concerns the subject."""
        is_of_person_alone = self.grant is self.project is self.resource is None
        known = is_of_person_alone and self.persons
        return not (self.transactions or self.projects or self.accounts or known)


def audit(
    engine: Engine,
    *,
    grant: str | None = None,
    person: str | None = None,
    project: str | None = None,
    resource: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Audit:
    """Return everything that concerns a grant, a person, a project or a resource; of several, all of them.

    What the directory says now comes with its causes: the packets that made it so. It is compared with what
    the events say; `Audit.differences` tells where it is not the same.

    Args:
        engine: The engine whose log it is.
        grant: A GrantNumber; what concerns its projects concerns it.
        person: A local id, a global id or a login. Persons that were merged count as one.
        project: A ProjectID.
        resource: A resource's name.
        since: Leaves out earlier entries, not causes. Without a zone it is UTC.
        until: Leaves out later ones.

    Raises:
        ValueError: Nothing is asked for.
    """
    if grant is person is project is resource is None:
        raise ValueError("Name a grant, a person, a project or a resource.")
    with engine.view() as view:
        newest = read_head(view.cursor).position
        subject = find_subject(view, grant=grant, person=person, project=project, resource=resource)
        there = read_rows(view.cursor, subject, engine.hub, engine.site)
        merges = {row[0] for row in view.cursor.all(_MERGES, {"hub": engine.hub, "site": engine.site})}
    found = find_streams(engine.log, subject, until=newest)
    listing = _Listing(engine, found.all, newest, _moment(since), _moment(until))
    matter = found.nearest | merges | _of_their_projects(engine, found.nearest, newest)
    with directory_history() as history:
        _fold(engine, matter, newest, history.apply, listing.add)
        if subject.person is not None:
            also = found.with_person(history.changed_accounts_of(subject.person.local_ids))
            _fold(engine, listing.take_in(also), newest, listing.add)
        made = read_rows(history.cursor, subject, engine.hub, engine.site, numbered=True)
        causes = _causes(engine, history, made)
    rows = [replace(row, causes=causes.get((row.kind, row.key), ())) for row, _ in there]
    return Audit(
        subject.grant,
        subject.person,
        subject.project,
        subject.resource,
        listing.since,
        listing.until,
        newest,
        tuple(row for row in rows if isinstance(row, PersonRow)),
        tuple(row for row in rows if isinstance(row, ProjectRow)),
        tuple(row for row in rows if isinstance(row, AccountRow)),
        tuple(_differences(there, made)),
        len(listing.streams),
        tuple(listing.finished()),
        _quarantined(engine, listing.wire_ids),
    )


def _moment(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _of_their_projects(engine: Engine, streams: set[str], newest: int) -> set[str]:
    """The transactions of every project that some name: what is done to it is done to its accounts."""
    projects: set[str] = set()
    for event in events_of(engine.log, streams, until=newest):
        projects |= {n.name for n in named(event.facts.get("fields", {})) if n.kind is Kind.PROJECT}
    return find_projects(engine.log, projects, until=newest)


def _fold(
    engine: Engine, streams: set[str], newest: int, *takers: Callable[[TransactionState, Event], None]
) -> None:
    """Fold the events of some streams in their order, and hand each on with the state after it."""

    def read_stream(stream: str) -> list[Event]:
        with engine.log.read() as reader:
            return reader.stream(stream)

    folder = Folder(read_stream)
    for event in events_of(engine.log, streams, until=newest):
        after = folder.fold(event).after
        if after is not None:
            for take in takers:
                take(after, event)


class _Listing:
    """The entries of the transactions that concern the subject."""

    def __init__(
        self,
        engine: Engine,
        streams: set[str],
        newest: int,
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        self.since, self.until = since, until
        self._between = (
            "" if since is None else format_time(since),
            "~" if until is None else format_time(until),
        )
        self.wire_ids: set[str] = set()
        self.streams = streams
        self._entries: list[AuditEntry] = []
        with engine.log.read() as reader:
            self._erasures = Erasures(reader, until=newest)

    def take_in(self, streams: set[str]) -> set[str]:
        """List other transactions too; return those whose events are still to be added."""
        new = streams - self.streams
        self.streams = self.streams | new
        return new

    def add(self, after: TransactionState, event: Event) -> None:
        """List an event, given the state after it, if it is of one of these transactions."""
        if event.stream not in self.streams:
            return
        self._erasures.note(event.position)
        if after.trans_rec_id is not None:
            self.wire_ids.add(after.trans_rec_id)
        if self._is_between(event):
            self._entries.append(_entry(story_entry(event, after), after.trans_rec_id, event.stream))

    def finished(self) -> list[AuditEntry]:
        """The entries in their order, with the erasures of documents of these transactions."""
        for event, positions in self._erasures.noted():
            if self._is_between(event):
                self._entries.append(_entry(erasure_entry(event, positions, ""), None, event.stream))
        return sorted(self._entries, key=lambda entry: entry.position)

    def _is_between(self, event: Event) -> bool:
        since, until = self._between
        return since <= event.recorded_at <= until


def _entry(told: StoryEntry, trans_rec_id: str | None, stream: str) -> AuditEntry:
    return AuditEntry(
        told.position,
        told.time,
        trans_rec_id,
        stream,
        told.event,
        told.who,
        told.actor,
        told.sentence,
        told.state,
        told.packet_type,
        told.packet_rec_id,
    )


def _causes(
    engine: Engine, history: DirectoryHistory, made: _Rows
) -> dict[tuple[str, tuple[str, ...]], tuple[Cause, ...]]:
    """The causes of each row, by its kind and key, as the events have it."""
    known: dict[Made, Cause] = {}
    found = {}
    with engine.log.read() as reader:
        for row, number in made:
            by_event = _made(history, row, number)
            for event in by_event:
                if event not in known:
                    known[event] = explain(reader, event)
            found[row.kind, row.key] = tuple(
                replace(known[event], made=names) for event, names in by_event.items()
            )
    return found


def _made(history: DirectoryHistory, row: DirectoryRow, number: int) -> dict[Made, tuple[str, ...]]:
    """The events that made a row what it is, each with what it made: first that which made it active or not,
    then that which made the row itself, then the rest."""
    columns = history.made(f"amie_directory_{row.kind}s", number)
    first = columns["person_id" if row.kind == "person" else "project_id"]
    told = {"active": columns.get("active"), row.kind: first}
    told |= {name: event for name, event in columns.items() if name not in _KEYS or event != first}
    by_event: dict[Made, tuple[str, ...]] = {}
    for name, event in told.items():
        if event is not None and getattr(row, name, "") is not None:
            by_event[event] = (*by_event.get(event, ()), name)
    return by_event


def _differences(there: _Rows, made: _Rows) -> Iterator[str]:
    """What the directory does not say as the events do."""
    says = {(row.kind, row.key): row.says for row, _ in there}
    should = {(row.kind, row.key): row.says for row, _ in made}
    for name in sorted(says.keys() | should.keys()):
        if says.get(name) != should.get(name):
            yield (
                f"{name[0]} {' '.join(name[1])}: the directory says {_shown(says.get(name))},"
                f" the events say {_shown(should.get(name))}"
            )


def _shown(values: tuple[Any, ...] | None) -> str:
    return "nothing" if values is None else ", ".join(_word(value) for value in values)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "active" if value else "inactive"
    return "none" if value is None else str(value)


def _quarantined(engine: Engine, wire_ids: set[str]) -> tuple[str, ...]:
    values = {"hub": engine.hub, "site": engine.site}
    with engine.log.read() as reader:
        cursor: Cursor = reader.cursor
        return tuple(
            row[0]
            for name in sorted(wire_ids)
            for row in cursor.all(_QUARANTINED, values | {"trans_rec_id": name})
        )
