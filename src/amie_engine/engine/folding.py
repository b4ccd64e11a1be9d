"""Folding events of many transactions as they come, in a bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.projections import project, project_quarantine
from amie_engine.engine.state import TransactionState
from amie_engine.log.events import OF_NO_TRANSACTION, Event, EventType
from amie_engine.log.statements import Cursor

__all__ = ["Folded", "Folder", "apply"]

_STATES = 5000
"""How many states are kept: most transactions end within some thousand events of their beginning."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What an event made of its transaction; both None for an event of no transaction."""

    event: Event
    before: TransactionState | None
    after: TransactionState | None


class Folder:
    """Folds events in the order of their positions, whatever transactions they are of.

    It keeps the states of the transactions that moved last, and makes any other anew from its events: memory
    does not grow with the log.

    Args:
        read_stream: Gives the events of a stream, oldest first; it may give later ones than were folded.
        states: How many states to keep.
    """

    def __init__(self, read_stream: Callable[[str], Iterable[Event]], *, states: int = _STATES) -> None:
        self._read_stream = read_stream
        self._most = states
        self._states: OrderedDict[str, TransactionState | None] = OrderedDict()

    def fold(self, event: Event) -> Folded:
        """Fold the next event.

        Raises:
            EventUnreadable: This release does not know the event.
        """
        known = event.stream in self._states
        before = self._states.pop(event.stream) if known else self._load(event)
        if before is None:  # only a stream of no transaction has no state
            self._keep(event.stream, None)
            return Folded(event, None, None)
        after = evolve(before, event)
        self._keep(event.stream, after)
        return Folded(event, before, after)

    def _load(self, event: Event) -> TransactionState | None:
        """The state of a stream before an event; None for one of no transaction."""
        earlier = [event]
        if event.version > 1:
            earlier = [other for other in self._read_stream(event.stream) if other.version < event.version]
        if earlier and earlier[0].version == 1 and earlier[0].type in OF_NO_TRANSACTION:
            return None
        return fold(event.stream, earlier if event.version > 1 else ())

    def _keep(self, stream: str, state: TransactionState | None) -> None:
        self._states[stream] = state
        if len(self._states) > self._most:
            self._states.popitem(last=False)


def apply(cursor: Cursor, folded: Folded) -> None:
    """Write what an event changes in the projections.

    Args:
        cursor: In a transaction on the tables that are to have it.
        folded: What the event made of its transaction.
    """
    if folded.after is not None and folded.before is not None:
        project(cursor, folded.before, folded.after, folded.event)
    elif folded.event.type != EventType.DOCUMENTS_ERASED:
        project_quarantine(cursor, folded.event)
