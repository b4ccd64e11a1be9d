"""The erasures that are on record, and which of them took documents of given events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from amie_engine.log.database import Statement
from amie_engine.log.events import Event
from amie_engine.log.store import LogReader
from amie_engine.log.whole import EVENT_COLUMNS

__all__ = ["Erasures", "erasures_of"]

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
_NO_END = 2**62


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
