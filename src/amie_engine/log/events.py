"""The events of the log: what may happen to a transaction, and how it stands in the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from amie_engine.errors import EventUnreadable

__all__ = [
    "ACCEPTED",
    "OF_NO_TRANSACTION",
    "UPCASTERS",
    "Event",
    "EventType",
    "NewEvent",
    "Upcaster",
    "check_readable",
    "current_schema",
    "read_document",
    "read_facts",
]


class EventType(StrEnum):
    """What an event tells."""

    PACKET_RECEIVED = "packet_received"
    """A packet of the hub was accepted; it moves the state, unless it only acknowledges."""
    PACKET_HELD = "packet_held"
    """A packet came too early, and waits for its predecessor."""
    PACKET_DUPLICATED = "packet_duplicated"
    """A packet came again under a new record id."""
    PACKET_CONFLICTED = "packet_conflicted"
    """A packet came again under the same record id, with other content."""
    PACKET_QUARANTINED = "packet_quarantined"
    """What came can't be part of any transaction of this site."""
    PACKET_RELEASED = "packet_released"
    """Something left quarantine, and was received again."""
    PACKET_DECIDED = "packet_decided"
    """The site's packet was checked and put into the outbox."""
    PACKET_ATTEMPTED = "packet_attempted"
    """The site's packet is about to be sent; from here on, whether it arrived may be unknown."""
    PACKET_CONFIRMED = "packet_confirmed"
    """The site's packet has arrived: the service accepted it, lists it, or answered it."""
    PACKET_REJECTED = "packet_rejected"
    """The service refused the site's packet, or another tool of the site had sent one before."""
    PACKET_ADOPTED = "packet_adopted"
    """A packet that another tool of the site sent was found at the service."""
    FAILURE_DECIDED = "failure_decided"
    """The site asks the service to set the transaction failed."""
    TRANSACTION_FAILED = "transaction_failed"
    """The transaction was set failed at the service, or its deadline confirmed as passed."""
    TRANSACTION_UNKNOWN = "transaction_unknown"
    """The service answered that it does not know the transaction any more."""
    WORK_DEFERRED = "work_deferred"
    """The site's handler asked to be called again later."""
    WORK_STEP_DONE = "work_step_done"
    """A step of the site's handler is done; it is never done again."""
    WORK_ASKED = "work_asked"
    """The site's handler asked a person."""
    WORK_ANSWERED = "work_answered"
    """A person answered what the site's handler had asked."""
    WORK_FAILED = "work_failed"
    """The site's handler raised, or who ran it was gone; it is called again later, or waits for a person."""
    WORK_RESUMED = "work_resumed"
    """A person had the site's handler called again."""
    WORK_LET_PASS = "work_let_pass"  # noqa: S105 # no password
    """A person let work begin that had to wait for other transactions."""
    START_LET_PASS = "start_let_pass"  # noqa: S105 # no password
    """A person let the first packet of a transaction that the site begins be sent, whatever it waited for."""
    DEADLINE_NEAR = "deadline_near"
    """The deadline of what is due in the transaction is near."""
    DEADLINE_PASSED = "deadline_passed"
    """The deadline of what is due in the transaction has passed; that alone fails nothing."""
    STAGED_REFUSED = "staged_refused"
    """What the site staged in a transaction of its own could not be carried out after its commit."""
    DOCUMENTS_ERASED = "documents_erased"
    """Documents of other events, which concerned a person, were erased."""


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the facts of one schema version into those of the next."""

UPCASTERS: dict[EventType, tuple[Upcaster, ...]] = {}
"""How old events are read, for ever: by event type, the first turns version 1 into 2, the next 2 into 3.

An event in the log is never changed: its facts are brought up to date whenever they are read.
"""


def current_schema(event_type: EventType) -> int:
    """Return the schema version that this release writes for an event type. It reads all up to that."""
    return 1 + len(UPCASTERS.get(event_type, ()))


OF_NO_TRANSACTION = (EventType.PACKET_QUARANTINED, EventType.DOCUMENTS_ERASED)
"""The first events of the streams that are no transaction's: of what is in quarantine, and of erasures."""

ACCEPTED = (EventType.PACKET_RECEIVED, EventType.PACKET_CONFIRMED, EventType.PACKET_ADOPTED)
"""The events that make a packet part of its transaction: its record id stands in one of them, once."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has been decided and is not in the log yet.

    ``facts`` is never erased and holds no personal data; ``document`` is the packet or result in full.
    """

    type: EventType
    trans_rec_id: str | None = None
    packet_rec_id: str | None = None
    packet_type: str | None = None
    sender: str | None = None
    status: str | None = None
    actor: str = "engine"
    facts: Mapping[str, Any] = field(default_factory=dict)
    document: Any = None
    text: str | None = None
    """The canonical text of the document, where it is known."""
    salt: str | None = None


_TYPES = frozenset(EventType)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it stands in the log. The columns are described in docs/log.md."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    recorded_at: str
    hub: str
    site: str
    trans_rec_id: str | None
    packet_rec_id: str | None
    packet_type: str | None
    sender: str | None
    status: str | None
    actor: str
    facts_json: str

    @property
    def facts(self) -> dict[str, Any]:
        """The event's facts, in the schema version of this release.

        Raises:
            EventUnreadable: This release does not know the event's type or schema version, or they are
                damaged.
        """
        return read_facts(self.position, self.type, self.schema_version, self.facts_json)

    def check_readable(self) -> None:
        """Raise `EventUnreadable` if this release does not know the event's type or schema version."""
        check_readable(self.position, self.type, self.schema_version)


def check_readable(position: int, event_type: str, schema_version: int) -> None:
    """Raise `EventUnreadable` if this release does not know an event's type or schema version."""
    if event_type not in _TYPES or not 1 <= schema_version <= current_schema(EventType(event_type)):
        raise EventUnreadable(
            f"The event at position {position} is a {event_type!r} of schema version {schema_version}, which"
            " this release does not know."
        )


def read_facts(position: int, event_type: str, schema_version: int, text: str) -> dict[str, Any]:
    """Return an event's facts, in the schema version of this release.

    Args:
        position: The event's.
        event_type: The event's.
        schema_version: That in which the facts were written.
        text: The facts as they stand in the log.

    Raises:
        EventUnreadable: This release does not know the event's type or schema version, or the text is no JSON
            object.
    """
    upcasters = UPCASTERS.get(event_type)  # type: ignore[call-overload] # an EventType is its text
    if upcasters or schema_version != 1 or event_type not in _TYPES:
        check_readable(position, event_type, schema_version)
    facts = _parsed(position, "facts", text)
    if not isinstance(facts, dict):
        raise _damaged(position, "facts")
    brought_up: dict[str, Any] = facts
    for upcast in (upcasters or ())[schema_version - 1 :]:
        brought_up = upcast(brought_up)
    return brought_up


def read_document(position: int, text: str) -> Any:
    """Return an event's document.

    Args:
        position: The event's.
        text: The document as it stands in the log.

    Raises:
        EventUnreadable: The text is no JSON.
    """
    return _parsed(position, "document", text)


def _parsed(position: int, what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(position, what) from error


def _damaged(position: int, what: str) -> EventUnreadable:
    """The error for what the engine did not write. Nothing of it is in the error."""
    return EventUnreadable(
        f"The event at position {position} was damaged: its {what} can't be read.",
        hint="See what else is wrong with `amie-engine verify`, and restore the newest backup that is whole.",
    )
