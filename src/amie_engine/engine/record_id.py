"""The RecordID rule: a project request that was processed before is answered with the first one's answer.

The hub names a request by its RecordID. One that arrives again, in a new transaction, must not be processed
again. It is the same request only for the same grant and resource: for others the RecordID was used twice,
which is an anomaly, and the site's handler decides.

Source: "Implementing AMIE", request_project_create.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amie_engine.engine.incoming import Incoming
from amie_engine.engine.state import OutboxEntry, PacketEntry, TransactionState, record_id_of
from amie_engine.engine.unit import View
from amie_engine.protocol import State

__all__ = [
    "FirstAnswer",
    "first_answer",
    "reuses_record_id",
    "same_record",
    "waits_for_first_answer",
]

_REQUEST = "request_project_create"
_REPLY = "notify_project_create"


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The answer that a repeated request gets: the transaction that it is from, and its body."""

    transaction: TransactionState
    body: Mapping[str, Any]


def first_answer(view: View, state: TransactionState) -> FirstAnswer | None:
    """Return the answer that was given to the same request in another transaction, or None.

    A transaction that has failed answers for none: its request was not carried out.
    """
    for first in _others(view, state):
        entry = _answer_in(first)
        if entry is None:
            continue
        version = entry.decided_version if isinstance(entry, OutboxEntry) else entry.version
        document = view.reader.document(first.stream, version)
        return FirstAnswer(first, document["body"] if document and "body" in document else entry.fields)
    return None


def waits_for_first_answer(view: View, state: TransactionState) -> str | None:
    """Return the earlier transaction with the same request that has still to be answered, or None.

    Until then the repeated request must not be processed. Which is earlier the service's numbers tell, as for
    the rules of order: else the two could wait for each other.
    """
    for first in _others(view, state):
        if _number(first) < _number(state) and _answer_in(first) is None:
            return first.trans_rec_id
    return None


def _number(state: TransactionState) -> int:
    request = state.request
    return int(request.packet_rec_id or 0) if request is not None else 0


def same_record(view: View, state: TransactionState) -> list[TransactionState]:
    """Return the other transactions with the same request, oldest first."""
    request = state.request
    if request is None or state.type != _REQUEST:
        return []
    others = _with_record_id(view, request.fields, but=state.stream)
    return [o for o in others if o.request is not None and _is_same(o.request.fields, request.fields)]


def reuses_record_id(view: View, state: TransactionState, packet: Incoming) -> bool:
    """Whether a request's RecordID was used before, in another transaction, for another grant or resource."""
    return packet.packet_type == _REQUEST and any(
        other.request is not None and not _is_same(other.request.fields, packet.fields)
        for other in _with_record_id(view, packet.fields, but=state.stream)
    )


def _others(view: View, state: TransactionState) -> list[TransactionState]:
    """The others that count while this request waits for its answer."""
    if state.state is not State.REQUESTED:
        return []
    return [other for other in same_record(view, state) if other.state is not State.FAILED]


def _with_record_id(view: View, fields: Mapping[str, Any], *, but: str) -> list[TransactionState]:
    record_id = record_id_of(fields)
    return [] if record_id is None else view.with_record_id(record_id, but=but)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(_plain(one.get(name)) == _plain(other.get(name)) for name in ("GrantNumber", "ResourceList"))


def _plain(value: Any) -> Any:
    """A value to compare by: numbers as text, without the white space around it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None else str(value).strip()


def _answer_in(state: TransactionState) -> OutboxEntry | PacketEntry | None:
    for entry in state.outbox:
        if entry.packet_type == _REPLY and entry.status != "rejected":
            return entry
    return next((packet for packet in state.packets if packet.packet_type == _REPLY), None)
