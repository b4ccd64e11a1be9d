"""What holds a start back, the first packet of a transaction that the site begins: the transactions that have
to end before it is sent. Rules as data, and what they make of the outbox.

A start has no record id at the service yet. So it has no place in the order of those that have one
(`ORDER_RULES`): what counts is which of the two was in the log first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amie_engine.engine.known_names import KnownNames, Names
from amie_engine.engine.ordering import KnownTransaction, Shared, StartOnItsWay
from amie_engine.engine.state import START
from amie_engine.engine.unit import View
from amie_engine.log.statements import ListStatement, Statement
from amie_engine.packet.naming import Kind, named
from amie_engine.protocol import TRANSACTION_TYPES

__all__ = ["START_RULES", "StartRule", "starts_on_their_way", "starts_that_wait"]


@dataclass(frozen=True, slots=True)
class StartRule:
    """One rule of what a start waits for, until that has completed or failed.

    Attributes:
        name: What the documentation calls it.
        starts: The transaction types that wait; empty for all.
        others: Those that they wait for.
        shared: What the two must have in common.
        even_later: Whether a start waits also for one that came into the log after it.
    """

    name: str
    starts: frozenset[str]
    others: frozenset[str]
    shared: Shared
    even_later: bool


START_RULES = (
    StartRule(
        "project-before-start",
        frozenset({"notify_account_create"}),
        frozenset({"notify_project_create", "request_project_create"}),
        Shared.PROJECT,
        even_later=True,
    ),
    StartRule(
        "merge-before-start",
        frozenset(),
        frozenset({"request_person_merge"}),
        Shared.PERSON,
        even_later=False,
    ),
)
"""The rules; the first that makes a start wait is the one that counts.

A project that the hub's request itself names is there already: nothing waits for a request that changes it.

Source: "Implementing AMIE", notify_account_create.
"""

_AWAITED = frozenset[str]().union(*(rule.others for rule in START_RULES))
for _rule in START_RULES:
    assert (_rule.starts | _rule.others) <= set(TRANSACTION_TYPES)  # noqa: S101 # a misspelt type would wait never

# What was refused and is sent again has its place where that was decided.
_STARTS = Statement(
    "SELECT t.stream, t.trans_rec_id, t.type, COALESCE(e.position, t.opened_position) AS decided, t.names,"
    " o.status = 'pending' AND NOT EXISTS"
    " (SELECT 1 FROM amie_events p WHERE p.stream = o.stream AND p.type = 'start_let_pass')"
    " FROM amie_outbox o JOIN amie_transactions t ON t.stream = o.stream"
    " LEFT JOIN amie_events e ON e.stream = o.stream AND e.version = o.decided_version AND e.version > 1"
    " WHERE o.hub = :hub AND o.site = :site AND o.status IN ('pending', 'attempting')"
    " AND o.answers = :start AND t.trans_rec_id IS NULL ORDER BY decided"
)
_OTHERS = ListStatement(
    "SELECT stream, trans_rec_id, type, opened_position, names, first_packet FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
    " AND type IN ({each}) ORDER BY opened_position"
)


@dataclass(frozen=True, slots=True)
class _Start(KnownTransaction):
    waits: bool
    """Whether it waits where a rule says so: it was not sent yet, and nobody lets it pass."""


@dataclass(frozen=True, slots=True)
class _Other(KnownTransaction):
    first_packet: int | None


def starts_that_wait(view: View) -> dict[str, str]:
    """Return which transactions that the site begins wait to be sent, by stream, and for which: by its record
    id at the service, or its stream."""
    awaited = _awaited(view, _starts(view))
    return {stream: others[0].trans_rec_id or others[0].stream for stream, others in awaited.items()}


def starts_on_their_way(view: View) -> list[StartOnItsWay]:
    """Return the transactions that the site begins which have still to be sent, or to arrive."""
    starts = _starts(view)
    awaited = _awaited(view, starts)
    return [
        StartOnItsWay(
            each.stream,
            each.trans_rec_id,
            each.type,
            each.opened,
            each.names,
            _behind(awaited.get(each.stream)),
        )
        for each in starts
    ]


def _behind(awaited: Sequence[_Other] | None) -> int | None:
    """The highest record id of the first packets that a start waits behind; None where one has none yet."""
    ids = [other.first_packet for other in awaited or ()]
    return None if None in ids else max((each for each in ids if each is not None), default=0)


def _awaited(view: View, starts: Iterable[_Start]) -> dict[str, list[_Other]]:
    """What each of the starts that wait has to wait for, the first in the log first."""
    waiting = [start for start in starts if start.waits]
    if not waiting:
        return {}
    found: defaultdict[tuple[StartRule, str], list[_Other]] = defaultdict(list)
    for other in _others(view, frozenset().union(*(start.shared(Shared.PROJECT) for start in waiting))):
        for rule in START_RULES:
            if other.type in rule.others:
                for name in other.shared(rule.shared):
                    found[rule, name].append(other)
    awaited = {start.stream: _before(start, found) for start in waiting}
    return {stream: others for stream, others in awaited.items() if others}


def _before(start: _Start, found: Mapping[tuple[StartRule, str], Sequence[_Other]]) -> list[_Other]:
    before = {
        other.stream: other
        for rule in START_RULES
        if not rule.starts or start.type in rule.starts
        for name in start.shared(rule.shared)
        for other in found.get((rule, name), ())
        if other.stream != start.stream and (rule.even_later or other.opened < start.opened)
    }
    return sorted(before.values(), key=lambda other: other.opened)


def _starts(view: View) -> list[_Start]:
    rows = view.cursor.all(_STARTS, _key(view) | {"start": START})
    names = _with_all_ids(view, [row[4] for row in rows])
    return [
        _Start(stream, trans_rec_id, kind, opened, each, waits=bool(waits))
        for (stream, trans_rec_id, kind, opened, _, waits), each in zip(rows, names, strict=True)
    ]


def _others(view: View, wanted: frozenset[str]) -> list[_Other]:
    """The open transactions that starts may wait for; of the projects that they create, those wanted."""
    rows = _OTHERS.all(view.cursor, _key(view), _AWAITED)
    names = _with_all_ids(view, [row[4] for row in rows])
    return [
        _Other(
            stream,
            trans_rec_id,
            kind,
            opened,
            {
                **each,
                Kind.PROJECT: _created(view, stream, kind, each.get(Kind.PROJECT, frozenset()) & wanted),
            },
            None if first_packet is None else int(first_packet),
        )
        for (stream, trans_rec_id, kind, opened, _, first_packet), each in zip(rows, names, strict=True)
    ]


def _created(view: View, stream: str, transaction_type: str, projects: frozenset[str]) -> frozenset[str]:
    """Which of some projects a transaction creates: none that the hub's request itself names."""
    if not projects or transaction_type != "request_project_create":
        return projects
    request = view.state(stream).request
    asked = () if request is None else named(request.fields)
    return projects - {each.name for each in asked if each.kind is Kind.PROJECT}


def _with_all_ids(view: View, texts: Iterable[str]) -> list[dict[str, frozenset[str]]]:
    """What transactions name, its persons by all their ids. Of grants and projects, what they say counts."""
    names = [{kind: frozenset(found) for kind, found in json.loads(text).items()} for text in texts]
    persons: list[Names] = [
        {kind: found for kind, found in each.items() if kind in (Kind.LOCAL_ID, Kind.GLOBAL_ID)}
        for each in names
    ]
    known = KnownNames(view.cursor, _key(view), persons)
    return [{**each, **known.of(ids)} for each, ids in zip(names, persons, strict=True)]


def _key(view: View) -> dict[str, str]:
    return {"hub": view.reader.hub, "site": view.reader.site}
