"""What the engine hands out: outcomes, what is due, rows of the projections. Plain values, no behaviour that
touches the log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from amie_engine.engine.decision import OutcomeKind
from amie_engine.engine.source import Unusable
from amie_engine.packet.base import Packet
from amie_engine.protocol.rules import missing_to_reply

__all__ = ["Due", "Handle", "Outcome", "QuarantinedItem", "TransactionSummary", "as_json"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a packet that was received.

    Attributes:
        kind: accepted, already_there, confirmed, held, conflict, duplicate or quarantined; staged, where it
            was received in a transaction of the site's own.
        state: The transaction's state afterwards; None for what is in quarantine, there already or staged.
        code: For quarantine: the stable code of the reason; docs/errors.md has a paragraph on it.
        reason: For quarantine: the reason in a sentence.
        hint: For quarantine: what to do.
        quarantine_id: For quarantine: what `amie-engine quarantine` knows it by.
        history_needed: The packet is held, since the log lacks one that came before it: hand `Engine.adopt`
            what ``client.get_transaction`` gives.
        anomalies: What is odd about the packet, on record for the site's handler.
    """

    kind: OutcomeKind
    trans_rec_id: str | None = None
    packet_rec_id: str | None = None
    packet_type: str | None = None
    state: str | None = None
    code: str | None = None
    reason: str | None = None
    hint: str | None = None
    quarantine_id: str | None = None
    history_needed: bool = False
    anomalies: tuple[str, ...] = ()

    @classmethod
    def quarantined(cls, item: Unusable, quarantine_id: str) -> Outcome:
        """The outcome for what is in quarantine under an id."""
        return cls(
            OutcomeKind.QUARANTINED,
            item.trans_rec_id,
            item.packet_rec_id,
            item.packet_type,
            code=item.code,
            reason=item.reason,
            hint=item.hint,
            quarantine_id=quarantine_id,
        )


@dataclass(frozen=True, slots=True)
class Due:
    """What is due in a transaction.

    Attributes:
        turn: ``site``, ``hub``, or None once the transaction has ended.
        packet_types: The types of packet that are due from that party.
        deadline: Until when, as the packet that waits says; None where it says nothing.
        sending: Whether the site's reply has been decided and has still to arrive.
        waits_for: The transaction that has to end before that is sent, by its record id at the service or its
            stream.
        request: The packet that waits for its reply.
        packet: A draft of the reply, filled with all that the log knows; None if it is not the site's turn.
        anomalies: What is odd about the transaction.
    """

    trans_rec_id: str | None
    transaction_type: str | None
    state: str
    turn: str | None
    packet_types: tuple[str, ...] = ()
    deadline: datetime | None = None
    sending: bool = False
    request: Packet | None = None
    packet: Packet | None = None
    anomalies: tuple[str, ...] = ()
    waits_for: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """What the draft still lacks: exactly what only the site can say."""
        return () if self.packet is None else missing_to_reply(self.packet)


@dataclass(frozen=True, slots=True)
class Handle:
    """A packet of the site's that has been decided and is in the outbox.

    ``stream`` is the transaction's id in the log; ``trans_rec_id`` is None until the service has given one.
    Of what was staged for a transaction that is not in the log yet, both are its record id; ``answers``, the
    packet that is answered, is empty where only the commit will tell.
    """

    stream: str
    trans_rec_id: str | None
    answers: str
    packet_type: str | None


@dataclass(frozen=True, slots=True)
class TransactionSummary:
    """One row of the list of transactions."""

    stream: str
    trans_rec_id: str | None
    type: str | None
    originator: str | None
    state: str
    turn: str | None
    due: tuple[str, ...]
    deadline: datetime | None
    opened_at: datetime
    updated_at: datetime
    grant_number: str | None
    project_id: str | None
    resource: str | None
    held: int
    anomalies: tuple[str, ...]
    sending: bool = False
    problem: str | None = None
    """Why a person is needed: a handler that fails, a packet that the service rejected."""
    waits_for: str | None = None
    """The transaction that has to end before the site's packet is sent, by its record id at the service or
    its stream."""


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """Something in quarantine: why it is there, and, where asked for, its bytes as they came.

    ``erased`` tells that they were erased: then it can't be released any more.
    """

    quarantine_id: str
    code: str
    reason: str
    hint: str
    status: str
    quarantined_at: datetime
    size: int
    trans_rec_id: str | None = None
    packet_rec_id: str | None = None
    packet_type: str | None = None
    content: bytes | None = field(default=None, repr=False)
    erased: bool = False

    def with_content(self, content: bytes | None) -> QuarantinedItem:
        """The same, with its bytes."""
        return replace(self, content=content)


def as_json(value: Any) -> Any:
    """Return a view as JSON values, for ``--json``: times as ISO 8601 text, spans as seconds, packets as
    documents."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Packet):
        return value.as_dict()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
