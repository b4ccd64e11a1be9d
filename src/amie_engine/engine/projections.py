"""The projections: tables that derive from the events' facts, written in the same commit as the events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amie_engine.engine.directory import directory_changes
from amie_engine.engine.due import turn_of
from amie_engine.engine.state import TransactionState, record_id_of
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import Event, EventType
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import format_time
from amie_engine.protocol import TRANSACTION_TYPES

__all__ = ["project", "project_quarantine", "state_changes"]

Values = dict[str, Any]


def _upsert(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> Statement:
    """The statement that writes a projection's row, whether it is there or not."""
    names = (*key, *columns)
    return Statement(
        f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608 # the names are this module's
        f" VALUES ({', '.join(f':{name}' for name in names)})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in columns)}"
    )


_PUT_TRANSACTION = _upsert(
    "amie_transactions",
    ("stream",),
    (
        "hub",
        "site",
        "trans_rec_id",
        "transaction_id",
        "type",
        "originator",
        "state",
        "version",
        "turn",
        "due",
        "deadline",
        "deadline_noted",
        "opened_at",
        "opened_position",
        "updated_at",
        "grant_number",
        "project_id",
        "resource",
        "record_id",
        "held",
        "anomalies",
        "first_packet",
        "names",
    ),
)
_PUT_OUTBOX = _upsert(
    "amie_outbox",
    ("stream", "answers"),
    (
        "hub",
        "site",
        "kind",
        "packet_type",
        "status",
        "decided_version",
        "decided_at",
        "attempts",
        "attempted_at",
        "error_code",
    ),
)
_PUT_WORK = _upsert(
    "amie_work",
    ("stream", "packet_rec_id"),
    ("hub", "site", "packet_type", "status", "attempts", "not_before", "reason", "may_pass", "opened_at"),
)
_PUT_QUARANTINE = Statement(
    "INSERT INTO amie_quarantine (stream, hub, site, content, content_size, code, reason, hint, trans_rec_id,"
    " packet_rec_id, packet_type, status, quarantined_at, size)"
    " VALUES (:stream, :hub, :site, :content, :content_size, :code, :reason, :hint, :trans_rec_id,"
    " :packet_rec_id, :packet_type, 'quarantined', :quarantined_at, :size)"
)
_RELEASE = Statement("UPDATE amie_quarantine SET status = 'released' WHERE stream = :stream")


def project(cursor: Cursor, before: TransactionState, after: TransactionState, event: Event) -> None:
    """Write what one event of a transaction changes in the projections.

    Args:
        cursor: In the transaction that appends the event.
        before: The state before the event.
        after: The state after it.
    """
    for statement, values in state_changes(before, after):
        cursor.run(statement, values)
    for statement, values in directory_changes(after, event):
        cursor.run(statement, values)


def state_changes(before: TransactionState, after: TransactionState) -> Iterator[tuple[Statement, Values]]:
    """Yield what brings a transaction's own rows from one state to another, many events later perhaps."""
    yield _PUT_TRANSACTION, _transaction_row(after)
    key = {"stream": after.stream, "hub": after.hub, "site": after.site}
    for entry in after.outbox:
        if entry not in before.outbox:
            values = {
                "answers": entry.answers,
                "kind": "set_failed" if entry.packet_type is None else "packet",
                "packet_type": entry.packet_type,
                "status": entry.status,
                "decided_version": entry.decided_version,
                "decided_at": entry.decided_at,
                "attempts": entry.attempts,
                "attempted_at": entry.attempted_at,
                "error_code": entry.error_code,
            }
            yield _PUT_OUTBOX, key | values
    for item in after.work:
        if item not in before.work:
            values = {
                "packet_rec_id": item.packet_rec_id,
                "packet_type": item.packet_type,
                "status": item.status,
                "attempts": item.attempts,
                "not_before": item.not_before,
                "reason": item.reason,
                "may_pass": 1 if item.may_pass else 0,
                "opened_at": item.opened_at,
            }
            yield _PUT_WORK, key | values


def _transaction_row(state: TransactionState) -> dict[str, Any]:
    turn = turn_of(state)
    resources = state.fact("ResourceList")
    anomalies = [*state.anomalies, *turn.anomalies]
    return {
        "stream": state.stream,
        "hub": state.hub,
        "site": state.site,
        "trans_rec_id": state.trans_rec_id,
        "transaction_id": state.transaction_id,
        "type": state.type,
        "originator": None if state.type is None else str(TRANSACTION_TYPES[state.type].originator),
        "state": str(state.state),
        "version": state.version,
        "turn": None if turn.party is None else str(turn.party),
        "due": ",".join(turn.packet_types),
        "deadline": None if turn.deadline is None else format_time(turn.deadline),
        "deadline_noted": turn.noted,
        "opened_at": state.opened_at,
        "opened_position": state.opened_position,
        "updated_at": state.updated_at,
        "grant_number": _text(state.fact("GrantNumber")),
        "project_id": _text(state.fact("ProjectID")),
        "resource": _text(resources[0] if isinstance(resources, list) and resources else None),
        "record_id": None if state.request is None else record_id_of(state.request.fields),
        "held": len(state.held),
        "anomalies": canonical_json(anomalies),
        "first_packet": None if state.request is None else state.request.packet_rec_id,
        "names": canonical_json({} if state.is_final else state.names()),
    }


def _text(value: Any) -> str | None:
    """A fact for a column; an odd value, an object say, as its JSON."""
    if value is None or isinstance(value, str):
        return value
    return canonical_json(value)


def project_quarantine(cursor: Cursor, event: Event) -> None:
    """Write what an event of a quarantine stream changes."""
    if event.type == EventType.PACKET_RELEASED:
        cursor.run(_RELEASE, {"stream": event.stream})
        return
    facts = event.facts
    cursor.run(
        _PUT_QUARANTINE,
        {
            "stream": event.stream,
            "hub": event.hub,
            "site": event.site,
            "content": facts["content"],
            "content_size": facts["content_size"],
            "code": facts["code"],
            "reason": facts["reason"],
            "hint": facts["hint"],
            "trans_rec_id": event.trans_rec_id,
            "packet_rec_id": event.packet_rec_id,
            "packet_type": event.packet_type,
            "quarantined_at": event.recorded_at,
            "size": facts["size"],
        },
    )
