"""What taking something in would do, found out without doing it.

The packets are received as always, in an appending transaction that is rolled back at its end: so what is
found is exactly what taking them in would make of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amie_engine.engine.adoption import History
from amie_engine.engine.decision import OutcomeKind
from amie_engine.engine.incoming import read_incoming
from amie_engine.engine.state import TransactionState
from amie_engine.engine.unit import UnitOfWork, in_unit
from amie_engine.engine.views import Outcome
from amie_engine.errors import EventUnreadable
from amie_engine.log.statements import Statement
from amie_engine.transaction import Transaction

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Rehearsal", "Unreadable", "known_packets", "open_states", "rehearse", "states_of"]

_OPEN = Statement(
    "SELECT stream, trans_rec_id, type FROM amie_transactions WHERE hub = :hub AND site = :site"
    " AND state NOT IN ('completed', 'failed')"
    # What was held for a transaction that the site began has moved there.
    " AND (type IS NOT NULL OR held > 0 OR state <> 'start' OR anomalies <> '[]') ORDER BY opened_position"
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a transaction's history would do to the log.

    Attributes:
        outcomes: What would become of each of its packets.
        before: The transaction's state now; None where the log does not have it.
        after: Its state then; None where nothing in the history has a place in a transaction.
    """

    outcomes: tuple[Outcome, ...]
    before: TransactionState | None
    after: TransactionState | None

    @property
    def has_news(self) -> bool:
        """Whether the transaction would have other packets, or stand elsewhere."""
        if self.after is None:
            return False
        if self.before is None:
            return True
        news = (self.after.state, len(self.after.packets), len(self.after.held))
        return news != (self.before.state, len(self.before.packets), len(self.before.held))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An open transaction of which this release can't read an event, or of which one is damaged.

    Attributes:
        stream: Its id in the log.
        trans_rec_id: None where the service has not given it an id.
        type: The transaction's type.
        error: What can't be read.
    """

    stream: str
    trans_rec_id: str | None
    type: str | None
    error: EventUnreadable


class _OnlyRehearsed(Exception):
    """Ends a rehearsal: nothing of it is committed."""


def open_states(engine: Engine) -> tuple[list[TransactionState], list[Unreadable]]:
    """Return the states of the transactions that are open, oldest first, and those that can't be read."""
    states: list[TransactionState] = []
    unreadable: list[Unreadable] = []
    with engine.view() as view:
        for stream, name, kind in view.cursor.all(_OPEN, {"hub": engine.hub, "site": engine.site}):
            try:
                states.append(view.state(stream))
            except EventUnreadable as error:
                unreadable.append(Unreadable(stream, name, kind, error))
    return states, unreadable


def states_of(engine: Engine, trans_rec_ids: Iterable[str]) -> dict[str, TransactionState]:
    """Return the states of transactions, whether open or not, by their record ids at the service; without
    those that can't be read."""
    found: dict[str, TransactionState] = {}
    with engine.view() as view:
        for name in trans_rec_ids:
            stream = view.find(name)
            if stream is not None:
                with suppress(EventUnreadable):
                    found[name] = view.state(stream)
    return found


def known_packets(engine: Engine, documents: Iterable[object]) -> list[bool]:
    """Return of each document whether the log has it as a packet of its transaction, to the letter."""
    incoming = [read_incoming(document, engine.site) for document in documents]
    with engine.view() as view:
        found = [engine.receiver.already_there(view, each) for each in incoming]
    return [known is not None and known.kind is OutcomeKind.ALREADY_THERE for known in found]


def rehearse(engine: Engine, transaction: Transaction, starts: Iterable[TransactionState] = ()) -> Rehearsal:
    """Return what the history of a transaction would do to the log; nothing is written.

    Args:
        engine: The engine.
        transaction: What the service tells of it.
        starts: Transactions that the site began, and of which it may be one.
    """
    rehearsed: list[Rehearsal] = []
    history = History(transaction, engine.site)
    name = "" if transaction.trans_rec_id is None else str(transaction.trans_rec_id)

    def adopt(unit: UnitOfWork) -> None:
        stream = unit.find(name)
        before = {each.stream: each for each in starts}
        if stream is not None:
            before[stream] = unit.state(stream)
        outcomes = tuple(history.adopt(unit, engine.receiver))
        stream = unit.find(name)
        after = None if stream is None else unit.state(stream)
        rehearsed.append(Rehearsal(outcomes, before.get(stream or ""), after))
        raise _OnlyRehearsed

    with suppress(_OnlyRehearsed):
        in_unit(engine.log, adopt)
    return rehearsed[-1]
