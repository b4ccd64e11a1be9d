"""What the site says: replies, and first packets of its own transactions. Checked, then decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amie_engine.engine.due import Turn, turn_of
from amie_engine.engine.incoming import INFORM, fact_fields
from amie_engine.engine.source import text_problem
from amie_engine.engine.state import SET_FAILED, START, PacketEntry, TransactionState
from amie_engine.errors import (
    ReplyAlreadyDecided,
    ReplyIncomplete,
    ReplyInvalid,
    ReplyNotDue,
    StartNotAllowed,
    TransactionClosed,
)
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import EventType, NewEvent
from amie_engine.packet.base import Packet
from amie_engine.packet.outgoing import outgoing_document
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party, move_of, opened_by
from amie_engine.protocol.rules import missing_to_reply, missing_to_start, problems

__all__ = ["check_reply", "decide_reply", "decide_start", "decided_event", "faults_of"]

_TO_FAIL = "To fail a transaction in which it is the hub's turn, use `Engine.fail`."


def decide_reply(
    state: TransactionState, packet: Packet, *, actor: str, work: Mapping[str, Any] | None = None
) -> NewEvent:
    """Return the event that puts a reply into the outbox.

    Raises:
        TransactionClosed, ReplyNotDue, ReplyAlreadyDecided: The state forbids it.
        ReplyIncomplete: Items are missing; they are named.
        ReplyInvalid: AMIE forbids something in it; it is named.
    """
    _require_packet(packet)
    turn = turn_of(state)
    name = f"transaction {state.trans_rec_id or state.stream}"
    if state.is_final:
        raise TransactionClosed(f"The {name} has {state.state}: a {packet.packet_type} can't be sent in it.")
    answered = _answered(state, packet, turn, name)
    answers = answered.packet_rec_id or ""
    document, outgoing = _outgoing(packet, answers, name)
    _check_type(state, outgoing, turn, name)
    _check(outgoing, *faults_of(state, outgoing, answers), name)
    return decided_event(state, outgoing, document, answers, actor, work)


def faults_of(
    state: TransactionState, packet: Packet, answers: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a packet lacks to be sent in a transaction, and what AMIE forbids in it.

    Args:
        state: The transaction.
        packet: The packet.
        answers: What it answers: a packet's record id, or `START`.
    """
    answered = state.packet(answers)
    if answers == START or answered is None:
        return missing_to_start(packet), problems(packet)
    return missing_to_reply(packet), problems(packet, _asked(state, answered))


def check_reply(packet: Packet, *, name: str) -> None:
    """Check a reply as far as it can be without its transaction.

    Raises:
        ReplyIncomplete, ReplyInvalid: Items are missing or forbidden; they are named.
    """
    _require_packet(packet)
    outgoing = _outgoing(packet, None, name)[1]
    _check(outgoing, missing_to_reply(outgoing), problems(outgoing), name)


def decide_start(stream: str, packet: Packet, *, actor: str) -> NewEvent:
    """Return the event that puts the first packet of a transaction of the site's own into the outbox.

    Raises:
        StartNotAllowed: A site can't begin a transaction with that type, or the packet is of a transaction
            that there is.
        ReplyIncomplete, ReplyInvalid: Items are missing or forbidden; they are named.
    """
    _require_packet(packet)
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
    if packet.trans_rec_id is not None or packet.packet_rec_id is not None:
        raise StartNotAllowed(
            f"This {packet.packet_type} has a record id of the service's: its transaction has begun already.",
            hint="Make a new packet of its fields; the service gives it ids of its own.",
        )
    name = "a transaction that the site begins"
    document, outgoing = _outgoing(packet, None, name)
    _check(outgoing, *faults_of(TransactionState(stream), outgoing, START), name)
    return decided_event(TransactionState(stream), outgoing, document, START, actor, None)


def _require_packet(packet: Any) -> None:
    if not isinstance(packet, Packet):
        raise ReplyInvalid(
            f"What is to be sent is a {type(packet).__name__}, and no packet.",
            hint="Give the draft of `expected_reply`, or one made with reply_packet().",
        )


def _answered(state: TransactionState, packet: Packet, turn: Turn, name: str) -> PacketEntry:
    """The packet of the hub's that a reply answers: the one that it names, else the one that waits."""
    failing = state.outgoing(SET_FAILED)
    if failing is not None and failing.is_open:
        raise ReplyAlreadyDecided(f"The {name} is being set failed.", hint="")
    entry = turn.answers
    if packet.in_reply_to_id is not None:
        entry = state.packet(str(packet.in_reply_to_id))
        if entry is None or entry.sender is not Party.HUB:
            raise ReplyNotDue(f"The {name} has no packet {packet.in_reply_to_id} of the hub's.")
    if entry is None or entry.sender is not Party.HUB or entry.packet_rec_id is None:
        raise ReplyNotDue(f"No packet of the hub's waits for a reply in {name}.", hint=_TO_FAIL)
    if entry is not state.last_moving:
        raise ReplyNotDue(
            f"Packet {entry.packet_rec_id} of {name} waits for no reply any more.", hint=_TO_FAIL
        )
    existing = state.outgoing(entry.packet_rec_id)
    if existing is not None and existing.status != "rejected":
        raise ReplyAlreadyDecided(f"Packet {entry.packet_rec_id} of {name} has been answered already.")
    return entry


def _check_type(state: TransactionState, packet: Packet, turn: Turn, name: str) -> None:
    """Refuse a packet that the machine does not allow now. A failure inform may answer anything.

    What the header of the request lists only narrows what is offered: the machine decides.
    """
    move = move_of(packet.packet_type, _status(packet))
    if state.after(Party.SITE, move) is None:
        due = " or ".join(turn.packet_types)
        raise ReplyNotDue(f"In {name} a {due} is due, not a {packet.packet_type}.")


def _outgoing(packet: Packet, answers: str | None, name: str) -> tuple[dict[str, Any], Packet]:
    """The document that will be sent, and the packet that it holds."""
    try:
        document = outgoing_document(packet)
        text = canonical_json(document)
        problem = text_problem(document, text)
    except (ValueError, TypeError, RecursionError):
        problem = "It has a value that is no JSON."
    if problem is not None:
        raise ReplyInvalid(f"The {packet.packet_type} for {name} can't be sent: {problem}")
    if answers is not None:
        document["header"]["in_reply_to"] = int(answers)
    if packet.packet_type == INFORM:  # it is the only packet that expects no reply
        document["header"]["expected_reply_list"] = []
    return document, Packet.from_dict(document)


def _check(packet: Packet, missing: tuple[str, ...], found: tuple[str, ...], name: str) -> None:
    if missing:
        raise ReplyIncomplete(
            f"The {packet.packet_type} for {name} lacks {', '.join(missing)}.", missing=missing
        )
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
    """Return the event that puts a packet, checked or made here, into the outbox.

    Args:
        state: The transaction.
        packet: The packet.
        document: What will be sent for it.
        answers: What it answers: a packet's record id, or `START`.
        actor: Who decided it.
        work: What the record should tell of the work behind it.
    """
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
