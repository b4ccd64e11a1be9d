"""Which transactions concern the subject of an audit: found in the events, without an index of their own.

The database looks for the names as text in the facts, which gives a few events too many; whether one names
the subject is then told by the fields that are meant for it. Packets that are held, or came again, have no
such facts: their documents are looked into. Nothing of a document is handed out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amie_engine.audit.subject import Names, Person, Subject
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import Event, EventType, read_document
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog
from amie_engine.log.whole import EVENT_COLUMNS, read_stream
from amie_engine.packet.naming import NAMING_FIELDS, Kind, Naming, named

__all__ = [
    "MOST_PATTERNS",
    "WINDOW",
    "Found",
    "body_of",
    "escaped",
    "events_of",
    "find_projects",
    "find_streams",
    "find_streams_in",
    "packet_given",
]

WINDOW = 10_000
"""How many events one statement looks through: no read is long, and the memory that one takes is bounded."""

_FEW = 2000
"""Up to so many streams are read one by one, more by reading the whole log."""

MOST_PATTERNS = 100
"""With more, no statement looks for each of them."""

_LONGEST_NAME = 1000
"""Facts are no longer."""

_ONLY_IN_DOCUMENT = (
    EventType.PACKET_HELD,
    EventType.PACKET_DUPLICATED,
    EventType.PACKET_CONFLICTED,
    EventType.STAGED_REFUSED,
)
"""Events whose facts do not say what their packets name."""

_TYPES = ", ".join(f"'{event_type}'" for event_type in _ONLY_IN_DOCUMENT)


@dataclass(frozen=True, slots=True)
class Found:
    """The streams of the transactions that concern each thing that is asked for."""

    named: dict[str, set[str]]
    doubtful: set[str]
    """Those that have a login of the person's, which may be somebody else's there."""

    @property
    def all(self) -> set[str]:
        """Those that concern all of it."""
        return set.intersection(*self.named.values())

    def with_person(self, streams: set[str]) -> set[str]:
        """Return those that concern all of it, where some more concern the person."""
        return set.intersection(*(self.named | {"person": self.named["person"] | streams}).values())

    @property
    def nearest(self) -> set[str]:
        """Those that concern the one thing that makes what all of it is about: a person before a project,
        that before a grant, a resource last."""
        return next(
            self.named[name] for name in ("person", "project", "grant", "resource") if name in self.named
        )


def find_streams(log: EventLog, subject: Subject, *, until: int, strict: bool = False) -> Found:
    """Return the streams of the transactions that concern what is asked for.

    Args:
        log: The log to look into.
        subject: What is asked for.
        until: The newest event to look at.
        strict: Whether a login counts only where nobody else's id stands beside it, even if the directory
            does not know whose it is.
    """
    found = _nothing(subject)
    search = _Search(subject.all_names)
    for after in range(0, until, WINDOW):
        with log.database.read() as cursor:
            _add(found, subject, search.naming(cursor, log, after, min(after + WINDOW, until)))
    with log.database.read() as cursor:
        return _settled(cursor, subject, found, strict=strict)


def find_streams_in(cursor: Cursor, log: EventLog, subject: Subject, *, after: int, until: int) -> Found:
    """Return the same, strictly, of the events behind a position, in a transaction that the caller holds."""
    found = _nothing(subject)
    _add(found, subject, _Search(subject.all_names).naming(cursor, log, after, until))
    return _settled(cursor, subject, found, strict=True)


def find_projects(log: EventLog, projects: Iterable[str], *, until: int) -> set[str]:
    """Return the streams of the transactions that name any of some projects."""
    found: set[str] = set()
    wanted = frozenset(projects)
    if not wanted:
        return found
    search = _Search({Kind.PROJECT: wanted})
    for after in range(0, until, WINDOW):
        with log.database.read() as cursor:
            for stream, fields in search.naming(cursor, log, after, min(after + WINDOW, until)):
                if any(n.kind is Kind.PROJECT and n.name in wanted for n in named(fields)):
                    found.add(stream)
    return found


def events_of(log: EventLog, streams: set[str], *, until: int) -> Iterator[Event]:
    """Yield the events of some streams, up to a position, in the order of their positions."""
    if len(streams) > _FEW:
        yield from (event for event in log.whole.events(until=until) if event.stream in streams)
        return
    events: list[Event] = []
    with log.read() as reader:
        for stream in streams:
            events += [event for event in reader.stream(stream) if event.position <= until]
    yield from sorted(events, key=lambda event: event.position)


def packet_in(document: Any) -> Mapping[str, Any]:
    """Return the wire document of the packet in a document: that itself, or what a staged call was given."""
    if isinstance(document, dict) and "arguments" in document:
        return packet_given(document["arguments"])
    return document if isinstance(document, dict) else {}


def packet_given(arguments: Any) -> Mapping[str, Any]:
    """Return the wire document of the packet that a staged call was given; an empty one for none."""
    if not isinstance(arguments, dict):
        return {}
    packet = arguments.get("packet")
    if packet is None:
        try:
            packet = json.loads(base64.b64decode(arguments.get("base64", "")))
        except (ValueError, TypeError, RecursionError):
            return {}
    return packet if isinstance(packet, dict) else {}


def body_of(document: Any) -> Mapping[str, Any]:
    """Return the body of the packet in a document."""
    body = packet_in(document).get("body")
    return body if isinstance(body, dict) else {}


class _Search:
    """Looks for names in the events of a log."""

    def __init__(self, names: Names) -> None:
        patterns = sorted({text for group in names.values() for name in group for text in _patterns(name)})
        if len(patterns) > MOST_PATTERNS:  # then every packet that has such a field is looked into
            patterns = [
                f'%"{escaped(field)}":%' for field, (kind, _) in NAMING_FIELDS.items() if kind in names
            ]
        self._values = {f"name_{number}": pattern for number, pattern in enumerate(patterns)}
        self._statement = Statement(
            f"SELECT {', '.join(EVENT_COLUMNS)}, CASE WHEN type IN ({_TYPES}) THEN document END"  # noqa: S608 # the values are bound
            " FROM amie_events"
            " WHERE position > :after AND position <= :until AND hub = :hub AND site = :site"
            f" AND ({self._any('facts')} OR (type IN ({_TYPES}) AND ({self._any('document')}))"
            f" OR type = '{EventType.STAGED_REFUSED}')"  # a call's packet may be there as base64
            " ORDER BY position"
        )

    def _any(self, column: str) -> str:
        return " OR ".join(f"{column} LIKE :{name} ESCAPE '!'" for name in self._values) or "1 = 0"

    def naming(
        self, cursor: Cursor, log: EventLog, after: int, until: int
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the stream and the fields of each packet in a range of positions that may have a name."""
        values = self._values | {"after": after, "until": until, "hub": log.hub, "site": log.site}
        for *columns, document in cursor.all(self._statement, values):
            event = Event(*columns)
            if event.type in _ONLY_IN_DOCUMENT:
                yield (
                    event.stream,
                    body_of(None if document is None else read_document(event.position, document)),
                )
            else:
                yield event.stream, event.facts.get("fields", {})


def _patterns(name: str) -> Iterator[str]:
    """The patterns by which a name is found in canonical JSON: as text, and as a number if it may be one."""
    if len(name) > _LONGEST_NAME:
        return
    yield f"%{escaped(canonical_json(name))}%"
    if _is_bare(name):
        yield from (f"%{before}{escaped(name.lower())}%" for before in (":", ",", "["))


def escaped(text: str) -> str:
    """Return a text as a part of a pattern for LIKE, whose escape is an exclamation mark."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _is_bare(name: str) -> bool:
    """Whether a value that is no text in JSON, a number or a truth value, has this name."""
    try:
        value = json.loads(name.lower() if name in ("True", "False") else name)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, int | float) and str(value) == name


def _nothing(subject: Subject) -> Found:
    names = (*subject.things, *(() if subject.person is None else ("person",)))
    return Found({name: set() for name in names}, set())


def _add(found: Found, subject: Subject, packets: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    things = subject.things
    for stream, fields in packets:
        namings = list(named(fields))
        for thing, names in things.items():
            if any(naming.name in names.get(naming.kind, ()) for naming in namings):
                found.named[thing].add(stream)
        if subject.person is not None:
            if any(subject.person.is_identified_by(naming) for naming in namings):
                found.named["person"].add(stream)
            elif any(subject.person.may_have(naming) for naming in namings):
                found.doubtful.add(stream)


def _settled(cursor: Cursor, subject: Subject, found: Found, *, strict: bool) -> Found:
    """With the streams that have no more than a login of the person's, where nobody else has it there."""
    if subject.person is not None:
        asked_for = subject.person.known_by is None and not strict  # the login itself is
        for stream in found.doubtful - found.named["person"]:
            if asked_for or _login_is_theirs(cursor, stream, subject.person):
                found.named["person"].add(stream)
    return found


def _login_is_theirs(cursor: Cursor, stream: str, person: Person) -> bool:
    """Whether a transaction has a login of the person's in a role in which it has no other person's id."""
    namings: list[Naming] = []
    for event in read_stream(cursor, stream):
        namings += named(event.facts.get("fields", {}))
    roles = {naming.role for naming in namings if person.may_have(naming)}
    others = {naming.role for naming in namings if naming.kind in (Kind.LOCAL_ID, Kind.GLOBAL_ID)}
    return bool(roles - others)
