"""The erasures that are on record: all of them, and which of them took documents of given events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from amie_engine.log.events import Event
from amie_engine.log.statements import Statement
from amie_engine.log.store import LogReader
from amie_engine.log.whole import EVENT_COLUMNS

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Erasures", "RecordedErasure", "erasures_of", "list_erasures"]

# The partial index on them has their condition, as it stands here.
_ERASURES = Statement(
    f"SELECT {', '.join(EVENT_COLUMNS)} FROM amie_events"  # noqa: S608 # no value is in it
    " WHERE hub = :hub AND site = :site AND type = 'documents_erased' AND position <= :until"
    " ORDER BY position"
)
_WITHOUT_DOCUMENT = Statement(
    "SELECT position FROM amie_events"
    " WHERE stream = :stream AND document IS NULL AND document_digest IS NOT NULL ORDER BY position"
)
_IN_QUARANTINE = Statement(
    "SELECT e.position, e.stream FROM amie_quarantine q JOIN amie_events e ON e.stream = q.stream"
    " WHERE q.hub = :hub AND q.site = :site AND e.version = 1 AND e.document IS NULL"
)
_NO_END = 2**62


@dataclass(frozen=True, slots=True)
class RecordedErasure:
    """An erasure that is on record.

    Attributes:
        position: The event that tells of it; where there are several, the last.
        person: The id or login that was given.
        actor: Who had it done.
        documents: How many documents were erased.
        quarantined: The ids of what was erased in quarantine.
    """

    position: int
    time: datetime
    person: str
    actor: str
    reason: str
    documents: int
    quarantined: tuple[str, ...]


def list_erasures(engine: Engine) -> list[RecordedErasure]:
    """Return the erasures that are on record, oldest first: to do them again in a copy that is older.

    Args:
        engine: The engine whose log it is.
    """
    with engine.log.read() as reader:
        values = {"hub": reader.hub, "site": reader.site}
        events = [Event(*row) for row in reader.cursor.all(_ERASURES, values | {"until": _NO_END})]
        in_quarantine = dict(reader.cursor.all(_IN_QUARANTINE, values))
    found: dict[str, RecordedErasure] = {}
    for event in events:
        positions = event.facts["positions"]
        time = datetime.fromisoformat(event.recorded_at)
        told = RecordedErasure(
            event.position, time, event.facts["person"], event.actor, event.facts["reason"], 0, ()
        )
        earlier = found.get(event.stream, told)
        there = (in_quarantine[position] for position in positions if position in in_quarantine)
        found[event.stream] = replace(
            told,
            documents=earlier.documents + len(positions),
            quarantined=(*earlier.quarantined, *there),
        )
    return list(found.values())


class Erasures:
    """The erasures of a log, and which of the events that were noted had lost their documents by each."""

    def __init__(self, reader: LogReader, *, until: int = _NO_END) -> None:
        values = {"hub": reader.hub, "site": reader.site, "until": until}
        self._events = [Event(*row) for row in reader.cursor.all(_ERASURES, values)]
        self._by_position = {
            position: number
            for number, event in enumerate(self._events)
            for position in event.facts["positions"]
        }
        self._noted: defaultdict[int, list[int]] = defaultdict(list)

    def note(self, position: int) -> None:
        """Note an event, if its document was erased."""
        number = self._by_position.get(position)
        if number is not None:
            self._noted[number].append(position)

    def noted(self) -> Iterator[tuple[Event, list[int]]]:
        """Yield each erasure that took a document of an event that was noted, and the positions of these."""
        for number, positions in sorted(self._noted.items()):
            yield self._events[number], positions


def erasures_of(reader: LogReader, stream: str) -> list[tuple[Event, list[int]]]:
    """Return the erasures that took documents of a stream, oldest first, with the positions of its events.

    Where none of its documents is missing, the erasures are not looked at.
    """
    missing = [row[0] for row in reader.cursor.all(_WITHOUT_DOCUMENT, {"stream": stream})]
    if not missing:
        return []
    erasures = Erasures(reader)
    for position in missing:
        erasures.note(position)
    return list(erasures.noted())
