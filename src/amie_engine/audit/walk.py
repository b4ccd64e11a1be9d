"""Going through the events in order: hashes, digests, positions, versions and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from amie_engine.audit.missing import MissingDocuments
from amie_engine.audit.problems import Findings, Problem, problem
from amie_engine.audit.stored import StoredRows
from amie_engine.log.canonical import digest, salted_digest
from amie_engine.log.chain import GENESIS, event_hash, linked_text
from amie_engine.log.events import Event, EventType, current_schema
from amie_engine.log.whole import STORED_COLUMNS

__all__ = ["EVENTS", "Row", "Walk"]

# Versions are right if every event finds, up to its own position, itself and the version before it in its
# stream, and no other of these two. That is one look into an index for each event, and nothing is kept of
# the streams, of which there are ever more. By induction over the versions, each stream then has 1, 2, 3 and
# so on, once each and in the order of positions: its lowest position is version 1, which finds itself only;
# a second event of a version finds the first; one whose predecessor is missing or behind it finds too few.
_KIN = (
    "(SELECT count(*) FROM amie_events AS kin WHERE kin.stream = event.stream"
    " AND kin.version BETWEEN CAST(event.version AS BIGINT) - 1 AND event.version"
    " AND kin.position <= event.position)"
)

EVENTS = StoredRows(
    tuple(f"event.{name}" for name in STORED_COLUMNS),
    "FROM amie_events AS event"
    " WHERE event.position > :after AND event.position <= :until ORDER BY event.position",
    more=(_KIN,),
)
"""The events in a range of positions, each with how many of its stream lead up to it: what `Walk` takes."""

_ERASURE = str(EventType.DOCUMENTS_ERASED)
_INTEGERS = frozenset({"position", "version", "schema_version"})
_MAY_BE_NULL = frozenset(
    [
        *("trans_rec_id", "packet_rec_id", "packet_type", "sender", "status"),
        *("document", "document_salt", "document_digest"),
    ]
)

Row = tuple[Any, ...]
"""An event as `EVENTS` reads it."""


class Walk:
    """One way through the events, which finds those that are not as they were appended.

    Nothing is parsed but the facts of erasures, and what it takes does not grow with the log.

    Args:
        findings: Where problems go.
        missing: Where documents that are gone are noted.
        position: The event to begin behind.
        hash: Its hash.
        recorded_at: Its time.

    Attributes:
        position: The last event that was looked at.
        events: How many were.
        bytes: How many bytes of them were hashed.
    """

    def __init__(
        self,
        findings: Findings,
        missing: MissingDocuments,
        *,
        position: int = 0,
        hash: str = GENESIS,
        recorded_at: str = "",
    ) -> None:
        self.position = position
        self.events = 0
        self.bytes = 0
        self._hash: str | None = hash  # None behind an event that is missing
        self._recorded_at = recorded_at
        self._findings = findings
        self._missing = missing
        self._readable = {str(kind): current_schema(kind) for kind in EventType}
        self._plain = {kind: newest for kind, newest in self._readable.items() if kind != _ERASURE}

    def check(self, rows: Iterable[Row]) -> None:
        """Look at the next events, as `EVENTS` reads them.

        An event mostly is as it should be: that is asked at once here, and what is wrong elsewhere.
        """
        plain, gone = self._plain, self._missing.gone
        last, previous, newest, size = self.position, self._hash, self._recorded_at, 0
        for row in rows:
            (
                position, stream, version, kind, schema_version, recorded_at, hub, site, trans_rec_id,
                packet_rec_id, packet_type, sender, status, actor, facts, facts_digest, document, salt,
                document_digest, own_hash, kin,
            ) = row  # fmt: skip
            try:
                linked = linked_text(
                    previous,  # type: ignore[arg-type] # None is no hash: it raises, and is looked into
                    position, stream, version, kind, schema_version, recorded_at, hub, site,
                    trans_rec_id, packet_rec_id, packet_type, sender, status, actor, facts_digest,
                    document_digest,
                ).encode("ascii")  # fmt: skip
                told = facts.encode("ascii")
                salted = b"" if document is None else (salt + "\n" + document).encode("ascii")
                good = (
                    sha256(linked).hexdigest() == own_hash
                    and sha256(told).hexdigest() == facts_digest
                    and (salt is None if document is None else sha256(salted).hexdigest() == document_digest)
                    and position == last + 1
                    and recorded_at >= newest
                    and kin == (2 if version > 1 else version)
                    and 1 <= schema_version <= plain.get(kind, 0)
                )
            except (TypeError, AttributeError, ValueError):
                good = False
            if good:
                last, previous, newest = position, own_hash, recorded_at
                size += len(linked) + len(told) + len(salted)
                if document is None and document_digest is not None:
                    gone(position)
            else:
                self.position, self._hash, self._recorded_at = last, previous, newest
                self._findings.add(self._examine(row))
                last, previous, newest = self.position, self._hash, self._recorded_at
            self.events += 1
        self.position, self._hash, self._recorded_at = last, previous, newest
        self.bytes += size

    def end(self, position: int) -> None:
        """Say which event should have been the last. A damaged file may give fewer, and no error."""
        first = self.position + 1
        if first <= position:
            missing = f"Event {first} does" if first == position else f"Events {first} to {position} do"
            told = f"{missing} not come when the events are read in order."
            self._findings.add([problem(first, "event-not-read", told)])
            self.position, self._hash = position, None

    def _examine(self, row: Row) -> Iterator[Problem]:
        """What is wrong with an event, if anything is; then go on from it as it stands."""
        stored = dict(zip(STORED_COLUMNS, row, strict=False))
        position = int(stored["position"])
        odd = [name for name, value in stored.items() if not _fits(name, value)]
        if odd:
            told = (
                f"Event {position} has a value of a type that the engine does not write in: {', '.join(odd)}."
            )
            yield problem(position, "column-type-wrong", told)
        yield from self._place(position)
        if not odd:
            yield from self._link(position, row)
        if {"facts", "facts_digest"}.isdisjoint(odd):
            yield from _facts(position, stored)
        if {"document", "document_salt", "document_digest"}.isdisjoint(odd):
            yield from self._document(position, stored)
        if not odd:
            yield from self._order(position, stored, kin=row[-1])
            yield from self._kind(position, row)
        self.position = max(position, self.position)
        self._hash = stored["hash"] if "hash" not in odd else None
        if "recorded_at" not in odd:
            self._recorded_at = stored["recorded_at"]
        self.bytes += sum(len(value) for value in row if isinstance(value, str))

    def _place(self, position: int) -> Iterator[Problem]:
        first, last = self.position + 1, position - 1
        if position < first:
            yield problem(position, "event-extra", f"There is more than one event at position {position}.")
        elif position > first:
            self._hash = None
            missing = f"Event {first} is" if first == last else f"Events {first} to {last} are"
            follows = (
                f"event {position} follows event {first - 1}" if first > 1 else f"{position} is the first"
            )
            yield problem(first, "event-missing", f"{missing} missing: {follows}.")

    def _link(self, position: int, row: Row) -> Iterator[Problem]:
        if self._hash is None or _linked(self._hash, row) == row[19]:
            return
        before = f"event {position - 1} and " if position > 1 else ""
        told = f"The hash of event {position} does not follow from {before}its own columns."
        yield problem(position, "hash-wrong", told)

    def _document(self, position: int, stored: dict[str, Any]) -> Iterator[Problem]:
        document, salt, expected = stored["document"], stored["document_salt"], stored["document_digest"]
        if (document is None) != (salt is None):
            there, lost = ("salt", "document") if document is None else ("document", "salt")
            yield problem(position, "document-half-erased", f"Event {position} has a {there} and no {lost}.")
        elif document is not None:
            if not document.isascii() or not salt.isascii() or salted_digest(salt, document) != expected:
                told = f"The document of event {position} does not have the digest that stands beside it."
                yield problem(position, "document-changed", told)
        elif expected is not None:
            self._missing.gone(position)

    def _order(self, position: int, stored: dict[str, Any], kin: int) -> Iterator[Problem]:
        version = stored["version"]
        if stored["recorded_at"] < self._recorded_at:
            told = f"Event {position} has an earlier time than the event before it."
            yield problem(position, "time-goes-back", told)
        if kin != (2 if version > 1 else version):
            told = (
                f"Event {position} is version {version} of its stream, and those before it are not all there."
            )
            yield problem(position, "version-wrong", told)

    def _kind(self, position: int, row: Row) -> Iterator[Problem]:
        if not 1 <= row[4] <= self._readable.get(row[3], 0):
            told = f"Event {position} has a type or schema version that this release does not know."
            yield problem(position, "event-unreadable", told)
        elif row[3] == _ERASURE:
            yield from self._missing.erased(Event(*row[:15]))


def _linked(previous: str, row: Row) -> str:
    """The hash that an event must have."""
    return event_hash(previous, row[:14], row[15], row[18])


def _facts(position: int, stored: dict[str, Any]) -> Iterator[Problem]:
    facts = stored["facts"]
    if not facts.isascii() or digest(facts) != stored["facts_digest"]:
        told = f"The facts of event {position} do not have the digest that stands beside them."
        yield problem(position, "facts-changed", told)


def _fits(name: str, value: Any) -> bool:
    """Whether a value is of the type that the engine writes into a column."""
    if name in _INTEGERS:
        return type(value) is int
    return type(value) is str or (value is None and name in _MAY_BE_NULL)
