"""An account that a site tells the hub of goes out once its project's own transaction is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable

from amie_engine.engine.state import START
from amie_engine.engine.unit import View
from amie_engine.log.statements import Statement
from amie_engine.packet.naming import Kind, named

__all__ = ["projects_awaited"]

_PENDING = Statement(
    "SELECT t.stream, t.names FROM amie_outbox o JOIN amie_transactions t ON t.stream = o.stream"
    " WHERE o.hub = :hub AND o.site = :site AND o.status = 'pending' AND o.answers = :start"
    " AND o.packet_type = 'notify_account_create' ORDER BY t.opened_position"
)
_CREATING = Statement(
    "SELECT stream, trans_rec_id, type, names FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
    " AND type IN ('notify_project_create', 'request_project_create') ORDER BY opened_position"
)


def projects_awaited(view: View) -> dict[str, str]:
    """Return which transactions that the site begins with a notify_account_create wait to be sent, by stream,
    and for which: one that creates their project, by its record id at the service, or its stream.

    A project that the hub's request itself names is there already: it waits for no request that changes it.

    Source: "Implementing AMIE", notify_account_create.
    """
    key = {"hub": view.reader.hub, "site": view.reader.site}
    pending = [(row[0], _projects(row[1])) for row in view.cursor.all(_PENDING, key | {"start": START})]
    wanted = frozenset().union(*(projects for _, projects in pending))
    if not wanted:
        return {}
    creating: dict[str, str] = {}
    for stream, trans_rec_id, kind, names in view.cursor.all(_CREATING, key):
        for project in _projects(names) & wanted:
            if kind == "notify_project_create" or not _is_named_by_the_request(view, stream, project):
                creating.setdefault(project, trans_rec_id or stream)
    return {
        stream: creating[project]
        for stream, projects in pending
        for project in sorted(projects & creating.keys())[:1]
    }


def _projects(names: str) -> frozenset[str]:
    return frozenset(json.loads(names).get(Kind.PROJECT, ()))


def _is_named_by_the_request(view: View, stream: str, project: str) -> bool:
    """Whether the hub's request names the project."""
    request = view.state(stream).request
    names: Iterable[str] = (
        () if request is None else (each.name for each in named(request.fields) if each.kind is Kind.PROJECT)
    )
    return project in names
