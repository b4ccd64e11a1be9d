"""What the service has refused of the site's: shown with what is wrong, mended by a person, decided anew.

A packet that was refused is not sent again by itself. A person changes some of its fields, or leaves it as
it is where the service was at fault; it is checked like any other, and takes its own place in the outbox. So
there is still one reply to a request.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from amie_engine.engine.failures import decide_failure
from amie_engine.engine.replies import decide_reply, decide_start, faults_of
from amie_engine.engine.state import SET_FAILED, START, OutboxEntry, TransactionState
from amie_engine.engine.unit import View, storable
from amie_engine.errors import ChangeInvalid, NothingRefused, ReplyInvalid, TransactionClosed
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Statement
from amie_engine.packet.base import Packet
from amie_engine.packet.fields import Field

__all__ = ["Refusal", "decide_resend", "find_field", "refusals", "refusals_in"]

_REFUSED = Statement(
    "SELECT DISTINCT t.opened_position, o.stream FROM amie_outbox o"
    " JOIN amie_transactions t ON t.stream = o.stream"
    " WHERE o.hub = :hub AND o.site = :site AND o.status = 'rejected'"
    " AND o.error_code NOT IN ('superseded', 'transaction-ended')"
    " AND t.state NOT IN ('completed', 'failed') ORDER BY t.opened_position"
)

_ADDITIONAL = "additional_data"
"""What stands on record for items that AMIE does not name: their names may say anything."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something of the site's that the service refused, and that nothing has taken the place of.

    Attributes:
        answers: The record id of the packet that it answers; ``start``, where it begins a transaction;
            ``failed``, where it is the call that sets the transaction failed.
        packet_type: None for that call.
        code: The stable code of the service's error.
        message: The service's own words, which may quote the packet; None once they were erased.
        packet: What was sent; None for a call, and once it was erased.
        missing: What the packet lacks by our own check.
        problems: What AMIE forbids in it, by our own check.
    """

    stream: str
    trans_rec_id: str | None
    answers: str
    packet_type: str | None
    refused_at: datetime
    code: str
    message: str | None = field(repr=False)
    packet: Packet | None = field(repr=False)
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def is_erased(self) -> bool:
        """Whether the packet was erased, so that it can't be sent again."""
        return self.packet_type is not None and self.packet is None


def refusals(view: View) -> list[Refusal]:
    """Return what waits to be mended in all open transactions, the oldest transaction first."""
    rows = view.cursor.all(_REFUSED, {"hub": view.reader.hub, "site": view.reader.site})
    return [refusal for row in rows for refusal in refusals_in(view, view.state(row[1]))]


def refusals_in(view: View, state: TransactionState) -> list[Refusal]:
    """Return what waits to be mended in a transaction, what was decided last first."""
    refused_in = {
        event.facts["answers"]: event
        for event in view.reader.stream(state.stream)
        if event.type == EventType.PACKET_REJECTED
    }
    found = []
    for entry in _refused(state):
        event = refused_in[entry.answers]
        told = view.reader.document(state.stream, event.version)
        packet = _packet_of(view, state, entry)
        missing, problems = ((), ()) if packet is None else faults_of(state, packet, entry.answers)
        found.append(
            Refusal(
                stream=state.stream,
                trans_rec_id=state.trans_rec_id,
                answers=entry.answers,
                packet_type=entry.packet_type,
                refused_at=datetime.fromisoformat(event.recorded_at),
                code=entry.error_code or "",
                message=(told or {}).get("message"),
                packet=packet,
                missing=missing,
                problems=problems if packet is None else (*problems, *_odd(packet)),
            )
        )
    return found


def decide_resend(
    view: View, state: TransactionState, changes: Mapping[str, Any], *, actor: str, reason: str
) -> NewEvent:
    """Return the event that puts what the service refused into the outbox again.

    With changes it is the packet that was refused; without, what was refused last.

    Raises:
        TransactionClosed: The transaction has ended.
        NothingRefused: Nothing in it waits to be mended; somebody was faster, perhaps.
        ChangeInvalid: A change names no field of the packet, gives it a value that it can't have, or all of
            them change nothing.
        ReplyAlreadyDecided: The transaction is being set failed.
        ReplyIncomplete, ReplyInvalid: Items are missing, AMIE forbids something, or the packet was erased.
    """
    entry = _to_resend(state, packet_only=bool(changes))
    resent: dict[str, Any] = {"resends": entry.decided_version, "changed": [], "reason": storable(reason)}
    if entry.packet_type is None:
        told = view.reader.document(state.stream, entry.decided_version)
        event = decide_failure(state, (told or {}).get("reason") or reason, actor=actor)
        return replace(event, facts={**event.facts, **resent})
    packet = _packet_of(view, state, entry)
    if packet is None:
        raise ReplyInvalid(
            f"The {entry.packet_type} of {_name(state)} was erased: it can't be sent again.",
            hint="Decide it anew, with the handler (`amie-engine retry`) or with `Engine.reply`."
            if entry.answers != START
            else "Give it up with `amie-engine fail TRANS --reason ...`, and begin another.",
        )
    before = dict(packet._body)
    _change(packet, changes)
    if changes and packet._body == before:
        raise ChangeInvalid(
            f"The {entry.packet_type} of {_name(state)} has these values already.",
            hint="Change another field, or have it sent as it is.",
        )
    if entry.answers == START:
        event = decide_start(state.stream, packet, actor=actor)
    else:
        event = decide_reply(state, packet, actor=actor)
    resent["changed"] = _changed(packet, before, event.document["body"])
    return replace(event, facts={**event.facts, **resent})


def find_field(packet: Packet, name: str) -> Field[Any]:
    """Return the field of a packet that a change names.

    Raises:
        ChangeInvalid: It has none of that name.
    """
    found = packet._fields.get(name)
    if found is not None:
        return found
    by_lower = {known.lower(): known for known in packet._fields}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"Did you mean {by_lower[nearest[0]]}?" if nearest else f"It has: {', '.join(packet._fields)}."
    raise ChangeInvalid(f"A {packet.packet_type} has no field {name[:60]!r}.", hint=hint)


def _refused(state: TransactionState) -> list[OutboxEntry]:
    """What of the outbox was refused, and is still to be said: what was decided last first."""
    if state.is_final:
        return []
    waits = None if state.last_moving is None else state.last_moving.packet_rec_id
    still = (SET_FAILED, START if state.last_moving is None else waits)
    found = [entry for entry in state.outbox if entry.was_refused and entry.answers in still]
    return sorted(found, key=lambda entry: entry.decided_version, reverse=True)


def _to_resend(state: TransactionState, *, packet_only: bool) -> OutboxEntry:
    if state.is_final:
        raise TransactionClosed(f"The {_name(state)} has {state.state} already: nothing is sent in it.")
    found = _refused(state)
    for entry in found:
        if entry.packet_type is not None or not packet_only:
            return entry
    if found:
        raise ChangeInvalid(
            f"What the service refused of {_name(state)} is the call that sets it failed: it has no fields.",
            hint="Send it as it is.",
        )
    newest = max(state.outbox, key=lambda entry: entry.decided_version, default=None)
    now = f": its {newest.packet_type or SET_FAILED} is {newest.status}" if newest is not None else ""
    raise NothingRefused(f"Nothing that the service refused waits in {_name(state)}{now}.")


def _packet_of(view: View, state: TransactionState, entry: OutboxEntry) -> Packet | None:
    """The packet that an entry of the outbox sent; None for a call, and once it was erased."""
    if entry.packet_type is None:
        return None
    document = view.reader.document(state.stream, entry.decided_version)
    return None if document is None else Packet.from_dict(document)


def _change(packet: Packet, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None and name in packet._body and name not in packet._fields:
            del packet.additional_data[name]
            continue
        found = find_field(packet, name)
        _check(found, value)
        found.__set__(packet, value)


def _check(found: Field[Any], value: Any) -> None:
    """Refuse a value of another kind than the field's; whether its text has the right form, the checks of any
    packet tell."""
    wanted = None if value is None else _wanted(found, value)
    if wanted is not None:
        raise ChangeInvalid(f"{found.name} takes {wanted}.", hint="Give it in that form.")


def _wanted(found: Field[Any], value: Any) -> str | None:
    """What a field takes, where a value is of another kind; None where it fits."""
    if found.kind == "list":
        fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        wanted = "a list of texts"
    elif found.kind == "objects":
        fits = isinstance(value, list | tuple) and all(
            isinstance(item, Mapping) and item.keys() <= set(found.items) for item in value
        )
        wanted = f"a list of objects with {', '.join(found.items)}"
    else:
        fits = isinstance(value, str | int | float | Decimal | date) and not isinstance(value, bool)
        wanted = "one text or number"
    return None if fits else wanted


def _odd(packet: Packet) -> tuple[str, ...]:
    """What is of another kind than its field: a reply may have it all the same, and the service refuse it."""
    body = packet._body
    named = ((name, _wanted(found, body[name])) for name, found in packet._fields.items() if name in body)
    return tuple(f"{name} takes {wanted}" for name, wanted in named if wanted is not None)


def _changed(packet: Packet, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the items that differ, in the order of the packet's class."""
    missing = object()
    differ = {
        name
        for name in itertools.chain(before, after)
        if before.get(name, missing) != after.get(name, missing)
    }
    named = [name for name in packet._fields if name in differ]
    return [*named, _ADDITIONAL] if differ.difference(packet._fields) else named


def _name(state: TransactionState) -> str:
    return f"transaction {state.trans_rec_id or state.stream}"
