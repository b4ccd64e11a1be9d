"""The open transactions as the rules of order see them: all of a site's, or some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from amie_engine.engine.known_names import KnownNames, Names, read_names_around
from amie_engine.engine.leases import is_free
from amie_engine.engine.ordering import OpenTransaction
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Cursor, ListStatement, Statement

__all__ = ["read_open", "read_open_around", "read_open_at_work"]

_ENDED = ("completed", "failed")
_COLUMNS = "t.stream, t.trans_rec_id, t.type, t.opened_position, t.first_packet, t.turn, t.names"
_IS_OPEN = (
    "t.hub = :hub AND t.site = :site AND t.state NOT IN ('completed', 'failed')"
    " AND t.type IS NOT NULL AND t.first_packet IS NOT NULL"
)
_OPEN = Statement(f"SELECT {_COLUMNS} FROM amie_transactions t WHERE {_IS_OPEN}")  # noqa: S608 # no value is in it
# With no word of the transactions' state, so that no database begins with all that are open: leases are few.
_LEASED = Statement(
    f"SELECT {_COLUMNS}, t.state, l.holder, l.expires_at, l.token"  # noqa: S608 # no value is in it
    " FROM amie_leases l JOIN amie_transactions t ON t.stream = l.stream"
    " WHERE l.hub = :hub AND l.site = :site"
)
_ONE = Statement(f"{_OPEN.sql} AND t.stream = :stream")
# The names are canonical JSON: a name is in there if its JSON text is.
_NAMING = ListStatement(
    f"{_OPEN.sql}"  # noqa: S608 # {each} and {find} are for the list
    " AND EXISTS (SELECT 1 FROM ({each}) AS wanted WHERE {find}(t.names, wanted.value) > 0)"
)


def read_open(cursor: Cursor, hub: str, site: str) -> list[OpenTransaction]:
    """Return all open transactions of a site."""
    key = {"hub": hub, "site": site}
    return _open_transactions(cursor, key, cursor.all(_OPEN, key))


def read_open_at_work(cursor: Cursor, hub: str, site: str, now: datetime) -> list[OpenTransaction]:
    """Return the open transactions that somebody is at work on, under a lease that is in force.

    Where it is one alone, none: it has no company.
    """
    key = {"hub": hub, "site": site}
    at_work = {
        row[0]: row
        for *row, state, holder, expires_at, token in cursor.all(_LEASED, key)
        if state not in _ENDED and None not in (row[2], row[4])
        if not is_free((holder, expires_at, token), now)
    }
    return _open_transactions(cursor, key, list(at_work.values())) if len(at_work) > 1 else []


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
    names: list[Names] = [
        {kind: frozenset(found) for kind, found in json.loads(row[6]).items()} for row in rows
    ]
    known = KnownNames(cursor, key, names)
    return [
        OpenTransaction(
            stream=row[0],
            trans_rec_id=row[1],
            type=row[2],
            opened=row[3],
            names=known.of(named),
            first_packet=int(row[4]),
            is_sites_turn=row[5] == "site",
        )
        for row, named in zip(rows, names, strict=True)
    ]
