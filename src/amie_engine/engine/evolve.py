"""How each event changes the state of its transaction.

``evolve`` is pure: the same state and event always give the same next state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from amie_engine.engine.incoming import INFORM, inform_move
from amie_engine.engine.state import (
    NEAR,
    NEEDLESS,
    PASSED,
    SET_FAILED,
    START,
    UNKNOWN_AT_SERVICE,
    HeldPacket,
    OutboxEntry,
    PacketEntry,
    Question,
    TransactionState,
    WorkItem,
)
from amie_engine.log.events import Event, EventType
from amie_engine.protocol import FINAL_STATES, Move, Party, State, moves_from, opened_by, step

__all__ = ["evolve", "fold"]

Changes = dict[str, Any]
"""The attributes of a state that an event changes."""


def fold(stream: str, events: Iterable[Event]) -> TransactionState:
    """Return the state of a transaction after its events, in order."""
    return reduce(evolve, events, TransactionState(stream))


def evolve(state: TransactionState, event: Event) -> TransactionState:
    """Return the state after one more event.

    Raises:
        EventUnreadable: The event is of a type or a schema version that this release does not know.
    """
    event.check_readable()
    changes: Changes = {
        "hub": event.hub,
        "site": event.site,
        "trans_rec_id": state.trans_rec_id or event.trans_rec_id,
        "version": event.version,
        "opened_at": state.opened_at or event.recorded_at,
        "opened_position": state.opened_position or event.position,
        "updated_at": event.recorded_at,
    }
    changes |= _CHANGES[EventType(event.type)](state, event, event.facts)
    return replace(state, **changes)


# Packets that become part of the transaction


def _accepted(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    """A packet becomes part of the transaction: it moves the state, unless it only acknowledges."""
    assert event.packet_type is not None  # noqa: S101 # the decision made it so
    sender = Party(event.sender or Party.HUB)
    move = inform_move(event.status) if event.packet_type == INFORM else event.packet_type
    kind = state.type or (None if facts.get("acknowledges") else opened_by(event.packet_type, sender))
    before = _state_of_replaced(state, facts.get("replaces")) or state.state
    after = None if kind is None or facts.get("acknowledges") else step(kind, before, sender, move)
    entry = PacketEntry(
        packet_rec_id=event.packet_rec_id,
        packet_type=event.packet_type,
        sender=sender,
        packet_id=facts.get("packet_id"),
        status=event.status,
        state_before=before,
        moved=after is not None,
        version=event.version,
        recorded_at=event.recorded_at,
        timestamp=facts.get("timestamp"),
        expected=_expected(facts),
        fields=facts.get("fields", {}),
        answers=facts.get("answers"),
    )
    changes: Changes = {
        "type": kind,
        "transaction_id": state.transaction_id or facts.get("transaction_id"),
        "packets": (*state.packets, entry),
        "held": _without_held(state, event),
        "anomalies": _with(_known_again(state.anomalies), facts.get("anomalies", ())),
    }
    if after is not None:
        changes |= {"state": after, "failed_by": sender if after is State.FAILED else None}
    return changes


def _state_of_replaced(state: TransactionState, replaced: str | None) -> State | None:
    """Where the transaction stood before a packet that a new copy takes the place of."""
    packet = state.packet(replaced) if replaced else None
    return packet.state_before if packet else None


def _received(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    changes = _accepted(state, event, facts)
    after = changes.get("state")
    if (after or state.state) in FINAL_STATES:
        return changes | {"work": _all_done(state.work)}
    if after is not None and moves_from(changes["type"], after, Party.SITE):
        item = WorkItem(event.packet_rec_id or "", event.packet_type or "", "ready", event.recorded_at)
        return changes | {"work": (*state.work, item)}
    return changes


def _own_packet(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    """The site's packet has arrived: by our outbox, or sent by another tool of the site."""
    if facts.get("attached"):  # it is part of the transaction already; now its record id is known as well
        packets = tuple(
            replace(packet, packet_rec_id=event.packet_rec_id)
            if packet.answers == facts["answers"] and packet.sender is Party.SITE
            else packet
            for packet in state.packets
        )
        outbox = _with_entry(state, facts["answers"], packet_rec_id=event.packet_rec_id)
        return {"packets": packets, "outbox": outbox, "held": _without_held(state, event)}
    if facts.get("call") == SET_FAILED:
        changes: Changes = {} if state.is_final else {"state": State.FAILED, "failed_by": Party.SITE}
    else:
        changes = _accepted(state, event, facts)
    if event.type == EventType.PACKET_CONFIRMED:
        changes["outbox"] = _with_entry(
            state, facts["answers"], status="confirmed", packet_rec_id=event.packet_rec_id, error_code=None
        )
    kind, after = changes.get("type", state.type), changes.get("state", state.state)
    if after in FINAL_STATES or kind is None or not moves_from(kind, after, Party.SITE):
        changes["work"] = _all_done(state.work)
    return changes


# Packets that do not


def _held(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    held = HeldPacket(
        event.packet_rec_id or "", event.packet_type or "", event.sender, event.version, facts["content"]
    )
    return {"held": (*state.held, held)}


def _duplicated(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {
        "held": _without_held(state, event),
        "noted": state.noted | {str(event.packet_rec_id)},
        "anomalies": _with(state.anomalies, facts.get("anomalies", ())),
    }


def _conflicted(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {
        "held": _without_held(state, event) if facts.get("gives_way") else state.held,
        "anomalies": _with(state.anomalies, facts.get("anomalies", ())),
    }


def _no_longer_held(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {"held": _without_held(state, event)}


def _moved_away(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    """What was held here belongs to a transaction that the site began: this stream has no wire id then."""
    return {"held": _without_held(state, event), "trans_rec_id": None}


# The outbox


def _decided(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    move = Move.SET_FAILED if event.packet_type is None else event.packet_type
    if event.packet_type == INFORM:
        move = inform_move(event.status)
    refused = state.outgoing(facts["answers"]) if "resends" in facts else None
    entry = OutboxEntry(
        answers=facts["answers"],
        packet_type=event.packet_type,
        status="pending",
        decided_version=event.version,
        decided_at=event.recorded_at,
        move=move,
        inform_status=event.status,
        expected=_expected(facts),
        fields=facts.get("fields", {}),
        # What was sent before may be there all the same: whoever sends this looks first.
        attempts=0 if refused is None else refused.attempts,
        attempted_at=None if refused is None else refused.attempted_at,
        clock=None if refused is None else refused.clock,
        may_pass=refused is not None and refused.may_pass,
    )
    others = tuple(other for other in state.outbox if other.answers != entry.answers)
    kind = state.type
    if kind is None and entry.answers == START and event.packet_type is not None:
        kind = opened_by(event.packet_type, Party.SITE)
    work = tuple(
        replace(item, status="done", reason=None)
        if entry.answers in (item.packet_rec_id, SET_FAILED)
        else item
        for item in state.work
    )
    return {"type": kind, "outbox": (*others, entry), "work": work}


def _attempted(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    entry = state.outgoing(facts["answers"])
    attempts = 1 if entry is None else entry.attempts + 1
    changes = {"attempts": attempts, "attempted_at": event.recorded_at, "clock": facts.get("clock")}
    return {"outbox": _with_entry(state, facts["answers"], status="attempting", **changes)}


def _rejected(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    code = facts.get("code")
    changes: Changes = {"outbox": _with_entry(state, facts["answers"], status="rejected", error_code=code)}
    if code not in NEEDLESS and not state.is_final:  # the work behind it waits for a person
        changes["work"] = tuple(
            replace(item, status="parked", reason=f"rejected: {code}")
            if item.packet_rec_id == facts["answers"]
            else item
            for item in state.work
        )
    return changes


def _transaction_failed(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {
        "state": State.FAILED,
        "failed_by": Party(event.sender or Party.SITE),
        "work": _all_done(state.work),
    }


def _transaction_unknown(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {"anomalies": _with(state.anomalies, facts["anomalies"])}


# The work


def _work_deferred(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return _with_item(
        state, event, status="waiting", not_before=facts.get("not_before"), reason=facts["reason"]
    )


def _work_failed(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    not_before = facts.get("not_before")
    return _with_item(
        state,
        event,
        status="parked" if not_before is None else "retrying",
        attempts=facts["attempt"],
        not_before=not_before,
        reason=facts["error"],
    )


def _step_done(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    """Also of work that is done: its handler was at it still."""
    step = (facts["step"], event.version)
    work = tuple(
        replace(item, steps=(*item.steps, step)) if item.packet_rec_id == event.packet_rec_id else item
        for item in state.work
    )
    return {"work": work}


def _asked(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    item = _item_of(state, event)
    question = Question(facts["question"], tuple(facts["choices"]), event.version)
    return _with_item(
        state,
        event,
        status="asking",
        questions=(*item.questions, question),
        not_before=None,
        reason=question.name,
    )


def _answered(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    questions = tuple(
        replace(question, answered_version=event.version, answer=facts.get("answer"))
        if question.name == facts["question"]
        else question
        for question in _item_of(state, event).questions
    )
    return _with_item(state, event, status="ready", questions=questions, reason=None)


def _work_resumed(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return _with_item(state, event, status="ready", attempts=0, not_before=None, reason=None)


def _let_pass(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return _with_item(state, event, may_pass=True)


def _start_let_pass(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {"outbox": _with_entry(state, START, may_pass=True)}


def _item_of(state: TransactionState, event: Event) -> WorkItem:
    item = state.item(event.packet_rec_id or "")
    assert item is not None  # noqa: S101 # the decision made it so
    return item


def _deadline_noted(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    waited_on = state.last_moving
    assert waited_on is not None  # noqa: S101 # the decision made it so
    return {"deadline_noted": (waited_on.version, NEAR if event.type == EventType.DEADLINE_NEAR else PASSED)}


def _staged_refused(state: TransactionState, event: Event, facts: Mapping[str, Any]) -> Changes:
    return {"anomalies": _with(state.anomalies, ("staged-call-refused",))}


def _expected(facts: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((name, timeout) for name, timeout in facts.get("expected", ()))


def _with(anomalies: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    return (*anomalies, *(anomaly for anomaly in more if anomaly not in anomalies))


def _known_again(anomalies: tuple[str, ...]) -> tuple[str, ...]:
    """A packet has come, or arrived: the service knows the transaction."""
    return tuple(anomaly for anomaly in anomalies if anomaly != UNKNOWN_AT_SERVICE)


def _without_held(state: TransactionState, event: Event) -> tuple[HeldPacket, ...]:
    return tuple(held for held in state.held if held.packet_rec_id != event.packet_rec_id)


def _with_entry(state: TransactionState, answers: str, **changes: Any) -> tuple[OutboxEntry, ...]:
    return tuple(replace(e, **changes) if e.answers == answers else e for e in state.outbox)


def _with_item(state: TransactionState, event: Event, **changes: Any) -> Changes:
    """A changed work item; one that is done stays done."""
    work = tuple(
        replace(item, **changes)
        if item.packet_rec_id == event.packet_rec_id and item.status != "done"
        else item
        for item in state.work
    )
    return {"work": work}


def _all_done(work: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    return tuple(
        item if item.status == "done" else replace(item, status="done", reason=None) for item in work
    )


_CHANGES: dict[EventType, Callable[[TransactionState, Event, Mapping[str, Any]], Changes]] = {
    EventType.PACKET_RECEIVED: _received,
    EventType.PACKET_HELD: _held,
    EventType.PACKET_DUPLICATED: _duplicated,
    EventType.PACKET_CONFLICTED: _conflicted,
    EventType.PACKET_QUARANTINED: _no_longer_held,
    EventType.PACKET_RELEASED: _moved_away,
    EventType.PACKET_DECIDED: _decided,
    EventType.PACKET_ATTEMPTED: _attempted,
    EventType.PACKET_CONFIRMED: _own_packet,
    EventType.PACKET_REJECTED: _rejected,
    EventType.PACKET_ADOPTED: _own_packet,
    EventType.FAILURE_DECIDED: _decided,
    EventType.TRANSACTION_FAILED: _transaction_failed,
    EventType.TRANSACTION_UNKNOWN: _transaction_unknown,
    EventType.WORK_DEFERRED: _work_deferred,
    EventType.WORK_STEP_DONE: _step_done,
    EventType.WORK_ASKED: _asked,
    EventType.WORK_ANSWERED: _answered,
    EventType.WORK_FAILED: _work_failed,
    EventType.WORK_RESUMED: _work_resumed,
    EventType.WORK_LET_PASS: _let_pass,
    EventType.START_LET_PASS: _start_let_pass,
    EventType.DEADLINE_NEAR: _deadline_noted,
    EventType.DEADLINE_PASSED: _deadline_noted,
    EventType.STAGED_REFUSED: _staged_refused,
}
