"""What holds a start back, the first packet of a transaction that the site begins: the transactions that have
to end before it is sent. Rules as data, and what they make of the outbox.

A start has no record id at the service yet. So it has no place in the order of those that have one
(`ORDER_RULES`): what counts is which of the two was in the log first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from amie_engine.engine.known_names import KnownNames, Names
from amie_engine.engine.ordering import KnownTransaction, Shared
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

_STARTS = Statement(
    "SELECT t.stream, t.trans_rec_id, t.type, t.opened_position, t.names, o.status"
    " FROM amie_outbox o JOIN amie_transactions t ON t.stream = o.stream"
    " WHERE o.hub = :hub AND o.site = :site AND o.status IN ('pending', 'attempting')"
    " AND o.answers = :start AND t.trans_rec_id IS NULL ORDER BY t.opened_position"
)
_OTHERS = ListStatement(
    "SELECT stream, trans_rec_id, type, opened_position, names FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
    " AND type IN ({each}) ORDER BY opened_position"
)


@dataclass(frozen=True, slots=True)
class _Start(KnownTransaction):
    is_pending: bool


def starts_that_wait(view: View) -> dict[str, str]:
    """Return which transactions that the site begins wait to be sent, by stream, and for which: by its record
    id at the service, or its stream."""
    return _awaited(view, _starts(view))


def starts_on_their_way(view: View) -> list[KnownTransaction]:
    """Return the transactions that the site begins which are being sent, or are sent next.

    One that waits itself is none of them: it holds up nobody, so that no two wait for each other for ever.
    """
    starts = _starts(view)
    awaited = _awaited(view, starts)
    return [start for start in starts if start.stream not in awaited]


def _awaited(view: View, starts: Iterable[_Start]) -> dict[str, str]:
    pending = [start for start in starts if start.is_pending]
    if not pending:
        return {}
    first: dict[tuple[StartRule, str], KnownTransaction] = {}
    for other in _others(view, frozenset().union(*(start.shared(Shared.PROJECT) for start in pending))):
        for rule in START_RULES:
            if other.type in rule.others:
                for name in other.shared(rule.shared):
                    first.setdefault((rule, name), other)
    found = ((start, _first_before(start, first)) for start in pending)
    return {start.stream: other.trans_rec_id or other.stream for start, other in found if other is not None}


def _first_before(
    start: _Start, first: Mapping[tuple[StartRule, str], KnownTransaction]
) -> KnownTransaction | None:
    for rule in START_RULES:
        if not rule.starts or start.type in rule.starts:
            others = [first[rule, name] for name in start.shared(rule.shared) if (rule, name) in first]
            before = [other for other in others if rule.even_later or other.opened < start.opened]
            if before:
                return min(before, key=lambda each: each.opened)
    return None


def _starts(view: View) -> list[_Start]:
    rows = view.cursor.all(_STARTS, _key(view) | {"start": START})
    names = _with_all_ids(view, [row[4] for row in rows])
    return [
        _Start(stream, trans_rec_id, kind, opened, each, is_pending=status == "pending")
        for (stream, trans_rec_id, kind, opened, _, status), each in zip(rows, names, strict=True)
    ]


def _others(view: View, wanted: frozenset[str]) -> list[KnownTransaction]:
    """The open transactions that starts may wait for; of the projects that they create, those wanted."""
    rows = _OTHERS.all(view.cursor, _key(view), _AWAITED)
    names = _with_all_ids(view, [row[4] for row in rows])
    return [
        KnownTransaction(
            stream,
            trans_rec_id,
            kind,
            opened,
            {
                **each,
                Kind.PROJECT: _created(view, stream, kind, each.get(Kind.PROJECT, frozenset()) & wanted),
            },
        )
        for (stream, trans_rec_id, kind, opened, _), each in zip(rows, names, strict=True)
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
