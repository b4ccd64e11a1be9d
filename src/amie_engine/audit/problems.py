"""What verifying may find: each kind of problem has a code, and says what it can mean."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from sys import maxsize

__all__ = ["FIRST", "MEANINGS", "OF_PROJECTIONS", "OF_SEALS", "Findings", "Problem", "problem"]

FIRST = 10
"""How many problems are told one by one; the others are counted."""

MEANINGS = {
    "event-missing": "It was deleted, or another number was given to it.",
    "event-not-read": "The database's file is damaged: restore its newest backup, and verify that.",
    "event-extra": "It was put into the table, and not by the engine.",
    "hash-wrong": "A column of it was changed, or an event before it was changed, removed or put in.",
    "facts-changed": "The facts or their digest were changed, by hand or by a damaged disk.",
    "document-changed": "The document, salt or digest was changed, by hand or by a damaged disk.",
    "document-half-erased": "An erasure takes the document and its salt together: this was none of ours.",
    "document-missing": "It was erased by hand: an erasure by the engine is on record as an event.",
    "erasure-not-carried-out": "It was put back, or the erasure's event was put in by hand.",
    "erasure-unreadable": "The event was put in or changed by hand.",
    "column-type-wrong": "The value was written by hand, or the disk is damaged.",
    "time-goes-back": "The time of one of the two was changed: the engine never lets it go back.",
    "version-wrong": "An event of its stream was removed or put in, or a stream or version was changed.",
    "event-unreadable": "A later release wrote it, or its type or schema version was changed.",
    "log-truncated": "The newest events were removed, or the counter row was changed by hand.",
    "counter-behind": "Events were put in and not by the engine, or the counter row was changed by hand.",
    "counter-wrong": "The counter row or the newest event was changed by hand.",
    "counter-missing": "It was deleted by hand; without it the log takes nothing.",
    "counter-doubled": "A row was put in by hand.",
    "log-id-wrong": "It was changed by hand; pseudonyms are no longer those of before.",
    "seal-of-another-log": "The seal belongs to another log, or this one was made anew from its beginning.",
    "log-shorter-than-seal": "Its end was removed since, or an older copy of it was put in its place.",
    "sealed-event-differs": "The log was rewritten, from that event or one before it on.",
    "projection-differs": "Its table was changed by hand; or the newest events were removed, and the counter"
    " with them. Compare with a seal (--seal) or a backup before you rebuild.",
}
"""By code, what a problem can mean."""

OF_SEALS = frozenset({"seal-of-another-log", "log-shorter-than-seal", "sealed-event-differs"})
"""What is wrong where a seal is not this log's: the events may be whole all the same."""

OF_PROJECTIONS = frozenset({"projection-differs"})
"""What is wrong where the projections are: the events are whole then."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the log that is not as the engine wrote it.

    Attributes:
        position: The event that it concerns; None where it is no event.
        code: The kind of problem; it never changes.
        sentence: What is wrong there. It holds nothing of what the event says.
        meaning: What can have led to it.
    """

    position: int | None
    code: str
    sentence: str
    meaning: str


def problem(position: int | None, code: str, sentence: str) -> Problem:
    """Return a problem of a known kind."""
    return Problem(position, code, sentence, MEANINGS[code])


class Findings:
    """How many problems there are, and the first of them in the order of their positions.

    However many there are, a few are kept. ``kinds`` has their numbers by code.
    """

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._first: list[Problem] = []

    def add(self, problems: Iterable[Problem]) -> None:
        """Count some problems."""
        for one in problems:
            self.kinds[one.code] += 1
            insort(self._first, one, key=_order)
            del self._first[FIRST:]

    @property
    def first(self) -> tuple[Problem, ...]:
        """The first problems; those that concern no event come last."""
        return tuple(self._first)


def _order(one: Problem) -> int:
    return maxsize if one.position is None else one.position
