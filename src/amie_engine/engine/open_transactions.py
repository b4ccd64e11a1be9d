"""The open transactions as the rules of order see them: all of a site's, or some of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.engine.known_names import KnownNames, Names, read_names_around
from amie_engine.engine.leases import is_free
from amie_engine.engine.ordering import OpenTransaction
from amie_engine.engine.unit import View
from amie_engine.errors import EventUnreadable
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Cursor, ListStatement, Statement

__all__ = ["LeasedTransaction", "read_leased", "read_open", "read_open_around"]

_ENDED = ("completed", "failed")
_COLUMNS = "t.stream, t.trans_rec_id, t.type, t.opened_position, t.first_packet, t.turn, t.names"
_IS_OPEN = (
    "t.hub = :hub AND t.site = :site AND t.state NOT IN ('completed', 'failed')"
    " AND t.type IS NOT NULL AND t.first_packet IS NOT NULL"
)
_OPEN = Statement(f"SELECT {_COLUMNS} FROM amie_transactions t WHERE {_IS_OPEN}")  # noqa: S608 # no value is in it
# With no word of the transactions' state, so that no database begins with all that are open: leases are few.
_LEASED = Statement(
    f"SELECT {_COLUMNS}, t.state, l.packet_rec_id, l.holder, l.expires_at, l.token"  # noqa: S608 # no value is in it
    " FROM amie_leases l JOIN amie_transactions t ON t.stream = l.stream"
    " WHERE l.hub = :hub AND l.site = :site"
)
_ONE = Statement(f"{_OPEN.sql} AND t.stream = :stream")
# The names are canonical JSON: a name is in there if its JSON text is.
_NAMING = ListStatement(
    f"{_OPEN.sql}"  # noqa: S608 # {each} and {find} are for the list
    " AND EXISTS (SELECT 1 FROM ({each}) AS wanted WHERE {find}(t.names, wanted.value) > 0)"
)


@dataclass(frozen=True, slots=True)
class LeasedTransaction:
    """A transaction that somebody is at work on.

    Attributes:
        transaction: The transaction.
        has_ended: Whether it has completed or failed meanwhile.
        packet_rec_id: The packet that the work is about.
        token: That of the lease.
    """

    transaction: OpenTransaction
    has_ended: bool
    packet_rec_id: str
    token: str


def read_open(cursor: Cursor, hub: str, site: str) -> list[OpenTransaction]:
    """Return all open transactions of a site."""
    key = {"hub": hub, "site": site}
    return _open_transactions(cursor, key, cursor.all(_OPEN, key))


def read_leased(view: View, now: datetime) -> list[LeasedTransaction]:
    """Return what somebody is at work on, under leases that are in force.

    Where it is one transaction alone, what the directory knows of its names besides is left out.
    """
    key = {"hub": view.reader.hub, "site": view.reader.site}
    rows = [row for row in view.cursor.all(_LEASED, key) if not is_free(row[-3:], now)]
    names = [
        _names_of_ended(view, row[0]) if row[7] in _ENDED else _names(json.loads(row[6])) for row in rows
    ]
    has_company = len({row[0] for row in rows}) > 1
    known = _with_names(view.cursor, key, rows, names) if has_company else _as_named(rows, names)
    return [
        LeasedTransaction(transaction, row[7] in _ENDED, row[8], row[-1])
        for row, transaction in zip(rows, known, strict=True)
    ]


def read_open_around(cursor: Cursor, hub: str, site: str, stream: str) -> list[OpenTransaction]:
    """Return an open transaction with all that can hold it up, and maybe others.

    No rule holds up a transaction for what shares no name with it, or a resource alone.
    """
    key = {"hub": hub, "site": site}
    names = {
        name
        for each in _open_transactions(cursor, key, cursor.all(_ONE, key | {"stream": stream}))
        for name in read_names_around(cursor, key, each.names)
    }
    return _open_transactions(cursor, key, _NAMING.all(cursor, key, map(canonical_json, names)))


def _open_transactions(
    cursor: Cursor, key: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> list[OpenTransaction]:
    return _with_names(cursor, key, rows, [_names(json.loads(row[6])) for row in rows])


def _names_of_ended(view: View, stream: str) -> Names:
    """What a transaction that has ended names: that is in no table. Nothing, where its events can't be read:
    that must hold up no other."""
    try:
        return _names(view.state(stream).names())
    except EventUnreadable:
        return {}


def _names(found: Mapping[str, Iterable[str]]) -> Names:
    return {kind: frozenset(names) for kind, names in found.items()}


def _with_names(
    cursor: Cursor, key: Mapping[str, str], rows: Sequence[Sequence[Any]], names: Sequence[Names]
) -> list[OpenTransaction]:
    """The transactions of some rows, with what the directory knows of what they name besides."""
    known = KnownNames(cursor, key, names)
    return _as_named(rows, [known.of(named) for named in names])


def _as_named(rows: Sequence[Sequence[Any]], names: Sequence[Names]) -> list[OpenTransaction]:
    return [
        OpenTransaction(
            stream=row[0],
            trans_rec_id=row[1],
            type=row[2] or "",
            opened=row[3],
            names=named,
            first_packet=int(row[4] or 0),  # what the site has begun may have no number yet
            is_sites_turn=row[5] == "site",
        )
        for row, named in zip(rows, names, strict=True)
    ]
