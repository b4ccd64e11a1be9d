"""The open transactions as the rules of order see them: all of a site's, or some of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amie_engine.engine.known_names import KnownNames, Names, read_names_around
from amie_engine.engine.ordering import OpenTransaction
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Cursor, ListStatement, Statement

__all__ = ["read_open", "read_open_among", "read_open_around"]

_OPEN = Statement(
    "SELECT stream, trans_rec_id, type, opened_position, first_packet, turn, names FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
    " AND type IS NOT NULL AND first_packet IS NOT NULL"
)
_AMONG = ListStatement(f"{_OPEN.sql} AND stream IN ({{each}})")  # {each} is for the list
# The names are canonical JSON: a name is in there if its JSON text is.
_NAMING = ListStatement(
    f"{_OPEN.sql}"  # noqa: S608 # {each} and {find} are for the list
    " AND EXISTS (SELECT 1 FROM ({each}) AS wanted WHERE {find}(names, wanted.value) > 0)"
)


def read_open(cursor: Cursor, hub: str, site: str) -> list[OpenTransaction]:
    """Return all open transactions of a site."""
    key = {"hub": hub, "site": site}
    return _open_transactions(cursor, key, cursor.all(_OPEN, key))


def read_open_among(cursor: Cursor, hub: str, site: str, streams: Iterable[str]) -> list[OpenTransaction]:
    """Return those of some transactions that are open."""
    key = {"hub": hub, "site": site}
    return _open_transactions(cursor, key, _AMONG.all(cursor, key, streams))


def read_open_around(cursor: Cursor, hub: str, site: str, stream: str) -> list[OpenTransaction]:
    """Return an open transaction with all that can hold it up, and maybe others.

    No rule holds up a transaction for what shares no name with it, or a resource alone.
    """
    key = {"hub": hub, "site": site}
    names = {
        name
        for each in read_open_among(cursor, hub, site, [stream])
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
