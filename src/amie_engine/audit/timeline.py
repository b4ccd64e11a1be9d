"""One transaction's whole story, told from its events: what came, what was decided, done, sent, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.audit.erasures import erasures_of
from amie_engine.engine.evolve import evolve
from amie_engine.engine.incoming import INFORM
from amie_engine.engine.processes import shown_process
from amie_engine.engine.state import SET_FAILED, START, TransactionState
from amie_engine.engine.unit import View
from amie_engine.engine.work_record import ABANDONED
from amie_engine.log.events import Event, EventType
from amie_engine.protocol import Party

__all__ = ["Story", "StoryEntry", "erasure_entry", "sentence_of", "story_entry", "tell"]


@dataclass(frozen=True, slots=True)
class StoryEntry:
    """One event of the story.

    Attributes:
        time: When it was recorded.
        event: The event's type.
        who: ``hub``, ``site`` or ``engine``.
        sentence: What happened, without personal data.
        state: The transaction's state afterwards.
        facts: The event's facts.
        document: The packet or result in full, with personal data; None where there is none, it was erased,
            or it was not asked for.
    """

    position: int
    version: int
    time: datetime
    event: str
    who: str
    sentence: str
    state: str
    packet_type: str | None
    packet_rec_id: str | None
    actor: str
    facts: dict[str, Any]
    document: Any = None


@dataclass(frozen=True, slots=True)
class Story:
    """A transaction and its entries, in order."""

    stream: str
    hub: str
    site: str
    trans_rec_id: str | None
    type: str | None
    state: str
    entries: tuple[StoryEntry, ...]


def tell(view: View, state: TransactionState, *, documents: bool = False) -> Story:
    """Return the story of a transaction. The erasing of documents of its events is part of it.

    Args:
        view: Where to read.
        state: The transaction's state now.
        documents: Whether the entries carry their documents, which hold personal data.
    """
    entries = []
    then = TransactionState(state.stream)
    for event in view.reader.stream(state.stream):
        then = evolve(then, event)
        document = view.reader.document(state.stream, event.version) if documents else None
        entries.append(story_entry(event, then, document))
    for erasure, positions in erasures_of(view.reader, state.stream):
        before = next(entry for entry in reversed(entries) if entry.position < erasure.position)
        entries.append(erasure_entry(erasure, positions, before.state))
    entries.sort(key=lambda entry: entry.position)
    return Story(
        state.stream, state.hub, state.site, state.trans_rec_id, state.type, str(state.state), tuple(entries)
    )


def erasure_entry(erasure: Event, positions: list[int], state: str) -> StoryEntry:
    """Return the entry for the erasing of documents of some events, among these events.

    Args:
        erasure: The event that tells of it.
        positions: The events that lost their documents, as far as they are told of here.
        state: The transaction's state then.
    """
    facts = {**erasure.facts, "positions": positions}
    return _told(erasure, facts, _erased(erasure, facts), state, None)


def story_entry(event: Event, then: TransactionState, document: Any = None) -> StoryEntry:
    """Return the entry for an event of a transaction.

    Args:
        event: The event.
        then: The transaction's state after it.
        document: Its document, where the entry is to carry it.
    """
    return _told(event, event.facts, sentence_of(event), str(then.state), document)


def sentence_of(event: Event) -> str:
    """Return what an event tells, in a sentence without personal data.

    Raises:
        EventUnreadable: This release does not know the event, or it is damaged.
    """
    facts = event.facts
    sentence = _SENTENCES[EventType(event.type)](event, facts)
    anomalies = facts.get("anomalies")
    return f"{sentence} Odd: {', '.join(anomalies)}." if anomalies else sentence


def _told(event: Event, facts: dict[str, Any], sentence: str, state: str, document: Any) -> StoryEntry:
    return StoryEntry(
        position=event.position,
        version=event.version,
        time=datetime.fromisoformat(event.recorded_at),
        event=event.type,
        who=event.sender or "engine",
        sentence=sentence,
        state=state,
        packet_type=event.packet_type,
        packet_rec_id=event.packet_rec_id,
        actor=event.actor,
        facts=facts,
        document=document,
    )


def _packet(event: Event) -> str:
    name = event.packet_type or "packet"
    status = f" ({event.status})" if event.status else ""
    number = f" as packet {event.packet_rec_id}" if event.packet_rec_id else ""
    return f"{name}{status}{number}"


def _outgoing(event: Event, facts: Mapping[str, Any]) -> str:
    """What the outbox sends: a packet, or the call that sets the transaction failed."""
    return "the call that sets it failed" if facts["answers"] == SET_FAILED else _packet(event)


def _received(event: Event, facts: Mapping[str, Any]) -> str:
    if facts.get("acknowledges"):
        acknowledges = event.packet_type == INFORM
        effect = (
            "it acknowledges what had ended" if acknowledges else "it came after the end, and moves nothing"
        )
        return f"Received {_packet(event)}: {effect}."
    if facts.get("replaces"):
        return f"Received {_packet(event)}, in place of packet {facts['replaces']}, which had failed."
    return f"Received {_packet(event)}."


def _duplicated(event: Event, facts: Mapping[str, Any]) -> str:
    return f"Noted {_packet(event)}: a copy of packet {facts['copy_of']} under a new record id."


def _conflicted(event: Event, facts: Mapping[str, Any]) -> str:
    if facts.get("gives_way"):
        return f"Conflict: {_packet(event)} was held, and another packet has taken its record id."
    return f"Conflict: {_packet(event)} came again with other content."


def _released(event: Event, facts: Mapping[str, Any]) -> str:
    if facts.get("outcome") == "moved":
        return f"Moved {_packet(event)} to the transaction that it is of: one that the site had begun."
    return f"Released {_packet(event)} from quarantine: {facts['outcome']}."


def _decided(event: Event, facts: Mapping[str, Any]) -> str:
    answers = facts["answers"]
    target = "to begin the transaction" if answers == START else f"in reply to packet {answers}"
    if "resends" in facts:
        return f"Decided {_packet(event)} {target} once more, {_mended(event, facts)}"
    work = facts.get("work")
    done = f" Work: {_work(work)}." if work else ""
    return f"Decided {_packet(event)} {target}, by {event.actor}.{done}"


def _failure_decided(event: Event, facts: Mapping[str, Any]) -> str:
    if "resends" in facts:
        return f"Decided to set the transaction failed once more, {_mended(event, facts)}"
    return f"Decided to set the transaction failed, by {event.actor}."


def _mended(event: Event, facts: Mapping[str, Any]) -> str:
    """How what the service had refused is sent again."""
    changed = f"with {', '.join(facts['changed'])} changed" if facts["changed"] else "as it was"
    reason = f": {facts['reason']}" if facts["reason"] else ""
    return f"{changed}, by {event.actor}{reason}."


def _work(work: Mapping[str, Any]) -> str:
    attempt = f", at attempt {work['attempt']}" if work.get("attempt", 1) > 1 else ""
    took = "" if work.get("milliseconds") is None else f" took {work['milliseconds']} ms"
    return f"handler {work.get('handler')}{took}{attempt}"


def _confirmed(event: Event, facts: Mapping[str, Any]) -> str:
    if facts.get("call") == SET_FAILED and "code" in facts:
        return f"The service does not know the transaction ({facts['code']}), which counts as failed."
    if facts.get("call") == SET_FAILED:
        return "The service has set the transaction failed."
    if facts.get("attached"):
        return f"The service lists {_packet(event)}: now its record id is known."
    how = {"service": "The service accepted", "listing": "The service lists"}.get(event.actor)
    return f"{how or f'Proved by {event.actor}:'} {_packet(event)}."


_NOT_SENT = {
    "superseded": "another tool of the site had answered",
    "transaction-ended": "the transaction had ended",
    "erased": "it was erased",
}


def _rejected(event: Event, facts: Mapping[str, Any]) -> str:
    code = facts.get("code")
    what = _outgoing(event, facts)
    if code in _NOT_SENT:
        return f"Took {what} out of the outbox: {_NOT_SENT[code]}."
    return f"The service refused {what}: {code}."


def _failed(event: Event, facts: Mapping[str, Any]) -> str:
    if facts.get("deadline"):
        return f"Failed, since its deadline ({facts['deadline']}) had passed; confirmed by {event.actor}."
    if event.sender == Party.SITE:
        return f"Given up before the service knew of it, by {event.actor}."
    return "The service tells that the transaction is set failed."


def _deferred(event: Event, facts: Mapping[str, Any]) -> str:
    until = f" until {facts['not_before']}" if facts.get("not_before") else ""
    return f"The handler waits{until}: {facts['reason']}."


def _work_failed(event: Event, facts: Mapping[str, Any]) -> str:
    again = facts["not_before"]
    goes_on = "a person has to look" if again is None else f"it is called again at {again}"
    if facts["error"] == ABANDONED:
        return (
            f"{shown_process(event.actor)} was at work, at attempt {facts['attempt']}, and did not end it:"
            f" the process is gone, or its lease was over; {goes_on}."
        )
    return f"The handler raised {facts['error']} at attempt {facts['attempt']}; {goes_on}."


def _asked(event: Event, facts: Mapping[str, Any]) -> str:
    choices = f" ({' or '.join(facts['choices'])})" if facts["choices"] else ""
    return f"The handler asks a person for {facts['question']!r}{choices}."


def _answered(event: Event, facts: Mapping[str, Any]) -> str:
    answer = f": {facts['answer']}" if "answer" in facts else ""
    return f"{event.actor} answered {facts['question']!r}{answer}."


def _by_a_person(what: str) -> Callable[[Event, Mapping[str, Any]], str]:
    def sentence(event: Event, facts: Mapping[str, Any]) -> str:
        reason = f": {facts['reason']}" if facts["reason"] else ""
        return f"{event.actor} {what}{reason}."

    return sentence


def _deadline(event: Event, facts: Mapping[str, Any]) -> str:
    what = "is near" if event.type == EventType.DEADLINE_NEAR else "has passed"
    return f"The {facts['turn']}'s deadline for {' or '.join(facts['due'])} {what}: {facts['deadline']}."


def _staged_refused(event: Event, facts: Mapping[str, Any]) -> str:
    what = f"the {event.packet_type}" if event.packet_type else "what"
    return (
        f"Could not carry out {facts['call']} of {what} that {event.actor} had staged: {facts['code']}."
        if event.packet_type
        else f"Could not carry out what {event.actor} had staged ({facts['call']}): {facts['code']}."
    )


def _erased(event: Event, facts: Mapping[str, Any]) -> str:
    count = len(facts["positions"])
    documents = f"the documents of {count} of these events" if count > 1 else "the document of one event"
    return f"Erased {documents}, by {event.actor}: {facts['reason']}"


_SENTENCES: dict[EventType, Callable[[Event, Mapping[str, Any]], str]] = {
    EventType.PACKET_RECEIVED: _received,
    EventType.PACKET_HELD: lambda event, _: f"Held {_packet(event)}: it came too early.",
    EventType.PACKET_DUPLICATED: _duplicated,
    EventType.PACKET_CONFLICTED: _conflicted,
    EventType.PACKET_QUARANTINED: lambda event, facts: (
        f"Put {_packet(event)} into quarantine: {facts['reason']}"
    ),
    EventType.PACKET_RELEASED: _released,
    EventType.PACKET_DECIDED: _decided,
    EventType.PACKET_ATTEMPTED: lambda event, facts: f"Sending {_outgoing(event, facts)}.",
    EventType.PACKET_CONFIRMED: _confirmed,
    EventType.PACKET_REJECTED: _rejected,
    EventType.PACKET_ADOPTED: lambda event, _: f"Adopted {_packet(event)}, sent by another tool of the site.",
    EventType.FAILURE_DECIDED: _failure_decided,
    EventType.TRANSACTION_FAILED: _failed,
    EventType.TRANSACTION_UNKNOWN: lambda _, facts: (
        f"The service does not know the transaction any more: {facts['code']}."
    ),
    EventType.WORK_DEFERRED: _deferred,
    EventType.WORK_STEP_DONE: lambda _, facts: (
        f"The handler has done the step {facts['step']!r}, in {facts['milliseconds']} ms."
    ),
    EventType.WORK_ASKED: _asked,
    EventType.WORK_ANSWERED: _answered,
    EventType.WORK_FAILED: _work_failed,
    EventType.WORK_RESUMED: _by_a_person("had the handler called again"),
    EventType.WORK_LET_PASS: _by_a_person("let the work begin, whatever comes before it"),
    EventType.START_LET_PASS: _by_a_person("let the first packet be sent, whatever it waited for"),
    EventType.DEADLINE_NEAR: _deadline,
    EventType.DEADLINE_PASSED: _deadline,
    EventType.STAGED_REFUSED: _staged_refused,
    EventType.DOCUMENTS_ERASED: _erased,
}
