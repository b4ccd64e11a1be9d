"""Documents that are gone, and the erasures on record that explain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise

from amie_engine.audit.problems import Problem, problem
from amie_engine.errors import EventUnreadable
from amie_engine.log.events import Event
from amie_engine.log.statements import Cursor, Statement

__all__ = ["MissingDocuments", "Positions", "Read"]

Read = Callable[[], AbstractContextManager[Cursor]]
"""Begins a transaction to read in, such as `Database.read`."""

_HAS_DOCUMENT = Statement(
    "SELECT 1 FROM amie_events WHERE position = :position AND document IS NOT NULL LIMIT 1"
)

_BLOCK = 4096
"""How many positions stand together: a multiple of eight."""

_PAGE = 500


class Positions:
    """A set of positions that takes one bit for each, and iterates in order.

    After years of erasures most documents of a log may be gone: their positions as integers would take a
    hundred megabytes for a million.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, position: int) -> bool:
        block, place = divmod(position, _BLOCK)
        bits = self._blocks.get(block)
        return bits is not None and bool(bits[place >> 3] & 1 << (place & 7))

    def __iter__(self) -> Iterator[int]:
        for block in sorted(self._blocks):
            bits = self._blocks[block]
            for place in range(_BLOCK):
                if bits[place >> 3] & 1 << (place & 7):
                    yield block * _BLOCK + place

    def add(self, position: int) -> None:
        """Put a position in."""
        if position not in self:
            block, place = divmod(position, _BLOCK)
            self._blocks.setdefault(block, bytearray(_BLOCK >> 3))[place >> 3] |= 1 << (place & 7)
            self._size += 1

    def remove(self, position: int) -> bool:
        """Take a position out; return whether it was there."""
        if position not in self:
            return False
        block, place = divmod(position, _BLOCK)
        self._blocks[block][place >> 3] ^= 1 << (place & 7)
        self._size -= 1
        return True


class MissingDocuments:
    """The documents that are gone, until the event of their erasure turns up behind them.

    Args:
        after: Erasures of documents up to this position are not looked at.
    """

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self._unexplained = Positions()
        self._still_there: dict[int, int] = {}

    @property
    def unexplained(self) -> bool:
        """Whether documents are gone and no event so far says that they were erased."""
        return len(self._unexplained) > 0

    def gone(self, position: int) -> None:
        """Note an event whose document is gone."""
        self._unexplained.add(position)

    def erased(self, event: Event) -> Iterator[Problem]:
        """Note an erasure, in the order of positions.

        Yields:
            A problem, if it can't be read.
        """
        positions = _positions(event)
        if positions is None:
            told = f"Event {event.position} records an erasure and does not say of which events before it."
            yield problem(event.position, "erasure-unreadable", told)
            return
        for position in positions:
            if position > self._after and not self._unexplained.remove(position):
                self._still_there[position] = event.position  # or erased before, or there never was one

    def problems(self, read: Read) -> Iterator[Problem]:
        """Yield what is wrong after the last event: documents gone, or there in spite of an erasure."""
        for position in self._unexplained:
            told = f"The document of event {position} is gone, and no event says that it was erased."
            yield problem(position, "document-missing", told)
        listed = sorted(self._still_there)
        for start in range(0, len(listed), _PAGE):
            page = listed[start : start + _PAGE]
            with read() as cursor:
                there = [p for p in page if cursor.one(_HAS_DOCUMENT, {"position": p}) is not None]
            for position in there:
                erasure = self._still_there[position]
                told = (
                    f"The document of event {position} is there, and event {erasure} says that it was erased."
                )
                yield problem(position, "erasure-not-carried-out", told)


def _positions(event: Event) -> list[int] | None:
    """The positions that an erasure names, or None if it does not name earlier ones, ascending."""
    try:
        positions = event.facts["positions"]
    except (EventUnreadable, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(positions, list) or any(type(position) is not int for position in positions):
        return None
    bounded = [0, *positions, event.position]
    return positions if all(before < after for before, after in pairwise(bounded)) else None
