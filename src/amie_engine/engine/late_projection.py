"""Projecting very many events at once: a transaction's own rows are written once for many of its events."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from amie_engine.engine.directory import directory_changes
from amie_engine.engine.folding import Folded, apply
from amie_engine.engine.projections import state_changes
from amie_engine.engine.state import TransactionState
from amie_engine.log.statements import Cursor, Statement

__all__ = ["LateProjection"]

_MOST: Final = 2000
"""How many transactions may wait for their rows: most have ended by then."""


class LateProjection:
    """Writes projections that nobody reads until all events are in.

    Args:
        cursor: In the transaction that brings the events, into projections that have none of their rows.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._waiting: dict[str, TransactionState] = {}

    def take(self, folded: Folded) -> None:
        """Take the next event in. The directory is of several transactions: it is written at once."""
        event, after = folded.event, folded.after
        if after is None:
            apply(self._cursor, folded)
            return
        for statement, values in directory_changes(after, event):
            self._cursor.run(statement, values)
        # They are written in the order of their last changes: when a held packet moves to another stream, the
        # one that it was in has no wire id any more, and the other takes it.
        self._waiting.pop(event.stream, None)
        self._waiting[event.stream] = after
        if len(self._waiting) == _MOST:
            self.write()

    def write(self) -> None:
        """Write the rows that wait."""
        rows: defaultdict[Statement, list[dict[str, Any]]] = defaultdict(list)
        for stream, state in self._waiting.items():
            for statement, values in state_changes(TransactionState(stream), state):
                rows[statement].append(values)
        for statement, many in rows.items():
            self._cursor.run_many(statement, many)
        self._waiting.clear()
