"""The events of the log: what may happen to a transaction, and how it stands in the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from amie_engine.errors import EventUnreadable

__all__ = ["ACCEPTED", "CURRENT_SCHEMA", "Event", "EventType", "NewEvent"]


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
    WORK_DEFERRED = "work_deferred"
    """The site's handler asked to be called again later."""
    WORK_FAILED = "work_failed"
    """The site's handler raised; it is called again later."""


CURRENT_SCHEMA: dict[EventType, int] = dict.fromkeys(EventType, 1)
"""The schema version that this release writes, by event type. It reads all up to that."""

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
    salt: str | None = None


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
        """The event's facts."""
        facts: dict[str, Any] = json.loads(self.facts_json)
        return facts

    def check_readable(self) -> None:
        """Raise `EventUnreadable` if this release does not know the event's type or schema version."""
        known = CURRENT_SCHEMA.get(self.type)  # type: ignore[call-overload] # an EventType is its text
        if known is None or not 1 <= self.schema_version <= known:
            raise EventUnreadable(
                f"The event at position {self.position} is a {self.type!r} of schema version"
                f" {self.schema_version}, which this release does not know."
            )
