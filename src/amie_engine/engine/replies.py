"""What the site says: replies, first packets of its own transactions, failures. Checked, then decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from amie_engine.engine.drafts import draft_reply
from amie_engine.engine.due import turn_of
from amie_engine.engine.incoming import INFORM, fact_fields
from amie_engine.engine.state import SET_FAILED, START, OutboxEntry, PacketEntry, TransactionState
from amie_engine.engine.unit import UnitOfWork, View
from amie_engine.errors import (
    ReplyAlreadyDecided,
    ReplyIncomplete,
    ReplyInvalid,
    ReplyNotDue,
    StartNotAllowed,
    TransactionClosed,
)
from amie_engine.log.events import EventType, NewEvent
from amie_engine.packet.base import Packet
from amie_engine.packet.outgoing import outgoing_document
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party, State, move_of, opened_by
from amie_engine.protocol.rules import missing_to_reply, missing_to_start, problems

__all__ = [
    "decide_deadline",
    "decide_failure",
    "decide_reply",
    "decide_start",
    "decided_event",
    "draft_for",
    "repeat_first_answer",
    "request_of",
    "waits_for_first_answer",
]


def request_of(view: View, state: TransactionState, entry: PacketEntry) -> Packet:
    """Return a packet of the transaction as it came, or, once it was erased, what its facts still tell."""
    document = view.reader.document(state.stream, entry.version)
    if document is not None and "header" in document:
        return Packet.from_dict(document)
    return Packet._find_packet_type(entry.packet_type)(
        packet_rec_id=entry.packet_rec_id,
        trans_rec_id=state.trans_rec_id,
        packet_id=entry.packet_id,
        **entry.fields,
    )


def draft_for(view: View, state: TransactionState, now: datetime) -> tuple[Packet, Packet] | None:
    """Return the packet that waits for the site and a draft of its reply; None where none waits."""
    turn = turn_of(state)
    if turn.party is not Party.SITE or turn.answers is None:
        return None
    request = request_of(view, state, turn.answers)
    draft = draft_reply(request, turn.packet_types[0], view.directory, now)
    _fill_from_first_request(draft, state)
    repeat = _first_answer(view, state)
    if repeat is not None:
        _repeat(draft, repeat[1])
    return request, draft


def decide_reply(
    state: TransactionState, packet: Packet, *, actor: str, work: Mapping[str, Any] | None = None
) -> NewEvent:
    """Return the event that puts a reply into the outbox.

    Raises:
        TransactionClosed, ReplyNotDue, ReplyAlreadyDecided: The state forbids it.
        ReplyIncomplete: Items are missing; they are named.
        ReplyInvalid: AMIE forbids something in it; it is named.
    """
    turn = turn_of(state)
    name = f"transaction {state.trans_rec_id or state.stream}"
    if state.is_final:
        raise TransactionClosed(f"The {name} has {state.state}: a {packet.packet_type} can't be sent in it.")
    answered = _answered(state, packet, turn.answers, name)
    answers = answered.packet_rec_id or ""
    existing = state.outgoing(answers)
    if existing is not None and existing.status != "rejected":
        raise ReplyAlreadyDecided(f"Packet {answers} of {name} has been answered already.")
    document, outgoing = _outgoing(packet, answers)
    move = move_of(outgoing.packet_type, _status(outgoing))
    if move != Move.INFORM_FAILURE:
        if turn.party is not Party.SITE:
            raise ReplyNotDue(f"It is the hub's turn in {name}: a {outgoing.packet_type} is not due.")
        allowed = {
            *turn.packet_types,
            *(INFORM if m == Move.INFORM_SUCCESS else m for m in state.site_moves()),
        }
        if outgoing.packet_type not in allowed or state.after(Party.SITE, move) is None:
            due = " or ".join(turn.packet_types)
            raise ReplyNotDue(f"In {name} a {due} is due, not a {outgoing.packet_type}.")
    _check(outgoing, missing_to_reply(outgoing), problems(outgoing, _asked(state, answered)), name)
    return decided_event(state, outgoing, document, answers, actor, work)


def decide_start(stream: str, packet: Packet, *, actor: str) -> NewEvent:
    """Return the event that puts the first packet of a transaction of the site's own into the outbox.

    Raises:
        StartNotAllowed: A site can't begin a transaction with that type.
        ReplyIncomplete, ReplyInvalid: Items are missing or forbidden; they are named.
    """
    if opened_by(packet.packet_type, Party.SITE) is None:
        types = ", ".join(t.name for t in TRANSACTION_TYPES.values() if t.originator is Party.SITE)
        raise StartNotAllowed(
            f"A site begins no transaction with a {packet.packet_type}.", hint=f"It may with: {types}."
        )
    if packet.in_reply_to_id is not None:
        raise StartNotAllowed(
            f"This {packet.packet_type} is a reply to packet {packet.in_reply_to_id}.",
            hint="Send it with `Engine.reply`.",
        )
    document, outgoing = _outgoing(packet, None)
    _check(outgoing, missing_to_start(outgoing), problems(outgoing), "a transaction that the site begins")
    return decided_event(TransactionState(stream), outgoing, document, START, actor, None)


def decide_failure(state: TransactionState, reason: str, *, actor: str) -> NewEvent:
    """Return the event that asks the service to set a transaction failed (``state/failed``).

    Raises:
        TransactionClosed: It has ended already.
        ReplyAlreadyDecided: It is being set failed already.
        ReplyNotDue: The service does not know the transaction yet.
    """
    name = f"transaction {state.trans_rec_id or state.stream}"
    if state.is_final:
        raise TransactionClosed(f"The {name} has {state.state} already.")
    existing = state.outgoing(SET_FAILED)
    if existing is not None and existing.status != "rejected":
        raise ReplyAlreadyDecided(f"The {name} is being set failed already.", hint="")
    if state.trans_rec_id is None:
        raise ReplyNotDue(f"The service does not know the {name} yet.", hint="Wait until it was sent.")
    return NewEvent(
        EventType.FAILURE_DECIDED,
        trans_rec_id=state.trans_rec_id,
        sender=Party.SITE,
        actor=actor,
        facts={"answers": SET_FAILED},
        document={"reason": reason},
    )


def decide_deadline(state: TransactionState, now: datetime, *, actor: str) -> NewEvent:
    """Return the event by which an operator takes a transaction whose deadline has passed for failed.

    Raises:
        TransactionClosed: It has ended already.
        ReplyNotDue: Its deadline has not passed, or it has none.

    Source: "The AMIE Model", timeouts; no public text says what happens then, so that a person decides.
    """
    name = f"transaction {state.trans_rec_id or state.stream}"
    if state.is_final:
        raise TransactionClosed(f"The {name} has {state.state} already.")
    deadline = turn_of(state).deadline
    if deadline is None or deadline > now:
        when = (
            "has no deadline"
            if deadline is None
            else f"has a deadline that has not passed: {deadline:%F %T %Z}"
        )
        raise ReplyNotDue(f"The {name} {when}.", hint="To fail it before that, use `Engine.fail`.")
    return NewEvent(
        EventType.TRANSACTION_FAILED,
        trans_rec_id=state.trans_rec_id,
        sender=Party.SITE,
        actor=actor,
        facts={"move": Move.DEADLINE_CONFIRMED, "deadline": deadline.isoformat()},
    )


def repeat_first_answer(unit: UnitOfWork, state: TransactionState, now: datetime) -> TransactionState:
    """Answer a project request whose RecordID was processed before with the first one's answer.

    Source: "Implementing AMIE", the RecordID of a request_project_create.
    """
    repeat = _first_answer(unit, state)
    turn = turn_of(state)
    if repeat is None or turn.answers is None or turn.sending or turn.answers.packet_rec_id is None:
        return state
    if state.outgoing(turn.answers.packet_rec_id) is not None:
        return state
    drafted = draft_for(unit, state, now)
    if drafted is None:
        return state
    first, _ = repeat
    actor = f"RecordID rule: the first answer was in transaction {first.trans_rec_id}"
    try:
        event = decide_reply(state, drafted[1], actor=actor)
    except (ReplyIncomplete, ReplyInvalid):
        return state  # the site's handler sees the draft, and says what is missing
    return unit.append(state, [event])


def waits_for_first_answer(view: View, state: TransactionState) -> str | None:
    """Return the transaction with the same RecordID that has still to be answered, or None.

    Until then a repeated request must not be processed.
    """
    for first in _same_record(view, state):
        if _answer_in(first) is None and first.state is not State.FAILED:
            return first.trans_rec_id
    return None


def _first_answer(view: View, state: TransactionState) -> tuple[TransactionState, Mapping[str, Any]] | None:
    """The transaction that first answered the same RecordID, and the body of that answer."""
    for first in _same_record(view, state):
        entry = _answer_in(first)
        if entry is None:
            continue
        version = entry.decided_version if isinstance(entry, OutboxEntry) else entry.version
        document = view.reader.document(first.stream, version)
        return first, document["body"] if document else entry.fields
    return None


def _same_record(view: View, state: TransactionState) -> list[TransactionState]:
    request = state.request
    if request is None or state.type != "request_project_create" or state.state is not State.REQUESTED:
        return []
    record_id = request.fields.get("RecordID")
    if not isinstance(record_id, str) or not record_id.strip():
        return []
    return view.with_record_id(record_id, state.opened_position)


def _answer_in(state: TransactionState) -> OutboxEntry | PacketEntry | None:
    for entry in state.outbox:
        if entry.packet_type == "notify_project_create" and entry.status != "rejected":
            return entry
    return next((p for p in state.packets if p.packet_type == "notify_project_create"), None)


def _repeat(draft: Packet, answer: Mapping[str, Any]) -> None:
    for name in draft._fields:
        if answer.get(name) is not None and name not in ("GrantNumber", "ResourceList"):
            setattr(draft, name, answer[name])


def _fill_from_first_request(draft: Packet, state: TransactionState) -> None:
    """What the packet that is answered does not name, its transaction's first request may: a reply to a
    data packet, say. Only what a reply must carry is taken."""
    request = state.request
    for name in missing_to_reply(draft):
        value = None if request is None else request.fields.get(name)
        if value not in (None, "", []):
            setattr(draft, name, value)


def _answered(state: TransactionState, packet: Packet, due: PacketEntry | None, name: str) -> PacketEntry:
    """The packet of the hub's that a reply answers: the one that it names, else the one that waits."""
    if packet.in_reply_to_id is not None:
        entry = state.packet(str(packet.in_reply_to_id))
        if entry is None or entry.sender is not Party.HUB:
            raise ReplyNotDue(f"The {name} has no packet {packet.in_reply_to_id} of the hub's.")
        if entry is not state.last_moving:
            raise ReplyNotDue(f"Packet {packet.in_reply_to_id} of {name} waits for no reply any more.")
        return entry
    if due is None or due.sender is not Party.HUB:
        raise ReplyNotDue(f"No packet of the hub's waits for a reply in {name}.")
    return due


def _outgoing(packet: Packet, answers: str | None) -> tuple[dict[str, Any], Packet]:
    """The document that will be sent, and the packet that it holds."""
    document = outgoing_document(packet)
    if answers is not None:
        document["header"]["in_reply_to"] = int(answers)
    return document, Packet.from_dict(document)


def _check(packet: Packet, missing: tuple[str, ...], found: tuple[str, ...], name: str) -> None:
    if missing:
        raise ReplyIncomplete(
            f"The {packet.packet_type} for {name} lacks {', '.join(missing)}.", missing=missing
        )
    found += tuple(packet._wrong_values())
    if found:
        raise ReplyInvalid(f"The {packet.packet_type} for {name} can't be sent: {'; '.join(found)}.")


def _asked(state: TransactionState, answered: PacketEntry) -> dict[str, Any]:
    request = state.request
    return dict(request.fields if request is not None else {}) | dict(answered.fields)


def _status(packet: Packet) -> str | None:
    status = packet._body.get("StatusCode")
    return status if isinstance(status, str) else None


def decided_event(
    state: TransactionState,
    packet: Packet,
    document: Mapping[str, Any],
    answers: str,
    actor: str,
    work: Mapping[str, Any] | None,
) -> NewEvent:
    """The event that puts a packet of the site\'s into the outbox."""
    status = None
    if packet.packet_type == INFORM:
        status = "success" if move_of(INFORM, _status(packet)) == Move.INFORM_SUCCESS else "failure"
    expected = [] if packet.packet_type == INFORM else packet.expected_reply
    facts: dict[str, Any] = {
        "answers": answers,
        "fields": fact_fields(packet),
        "expected": [[reply["type"], reply["timeout"]] for reply in expected],
    }
    if work is not None:
        facts["work"] = dict(work)
    return NewEvent(
        EventType.PACKET_DECIDED,
        trans_rec_id=state.trans_rec_id,
        packet_type=packet.packet_type,
        sender=Party.SITE,
        status=status,
        actor=actor,
        facts=facts,
        document=document,
    )
