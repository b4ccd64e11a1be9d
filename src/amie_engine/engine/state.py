"""The state of one transaction: plain values, and what decisions and projections ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.packet.naming import Kind, named
from amie_engine.protocol import FINAL_STATES, Party, State, moves_from, step

__all__ = [
    "NEAR",
    "NEEDLESS",
    "PASSED",
    "SET_FAILED",
    "START",
    "UNKNOWN_AT_SERVICE",
    "HeldPacket",
    "OutboxEntry",
    "PacketEntry",
    "Question",
    "TransactionState",
    "WorkItem",
    "record_id_of",
]

START = "start"
"""What the first packet of a transaction answers in the outbox."""
SET_FAILED = "failed"
"""What the call that sets a transaction failed answers in the outbox."""
UNKNOWN_AT_SERVICE = "unknown-at-service"
"""The anomaly of a transaction that the service does not know any more."""
NEEDLESS = ("superseded", "transaction-ended")
"""The codes under which something leaves the outbox without anybody having refused it."""

NEAR, PASSED = "near", "passed"
"""What the log may have noted of a deadline."""


@dataclass(frozen=True, slots=True)
class PacketEntry:
    """A packet that is part of the transaction."""

    packet_rec_id: str | None
    packet_type: str
    sender: Party
    packet_id: str | None
    status: str | None
    state_before: State
    moved: bool
    version: int
    recorded_at: str
    timestamp: str | None
    expected: tuple[tuple[str, int], ...]
    fields: Mapping[str, Any]
    answers: str | None
    """Of the site's packet: the record id that it answers, or `START`."""


@dataclass(frozen=True, slots=True)
class HeldPacket:
    """A packet that came too early."""

    packet_rec_id: str
    packet_type: str
    sender: str | None
    version: int
    content: str


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Something that the site sends, and how far it has come."""

    answers: str
    packet_type: str | None
    """None for the call that sets the transaction failed."""
    status: str
    """``pending``, ``attempting``, ``confirmed`` or ``rejected``."""
    decided_version: int
    decided_at: str
    move: str
    inform_status: str | None
    expected: tuple[tuple[str, int], ...]
    fields: Mapping[str, Any]
    attempts: int = 0
    attempted_at: str | None = None
    clock: str | None = None
    """When that was by the clock, where the log's time was ahead of it."""
    error_code: str | None = None
    packet_rec_id: str | None = None
    may_pass: bool = False
    """A person lets it be sent, whatever it waits for."""

    @property
    def is_open(self) -> bool:
        """Whether it has still to arrive."""
        return self.status in ("pending", "attempting")

    @property
    def sent_since(self) -> datetime:
        """Since when it may be at the service, as our clock tells it; when it was decided, where it was never
        sent."""
        return datetime.fromisoformat(self.clock or self.attempted_at or self.decided_at)

    @property
    def was_refused(self) -> bool:
        """Whether the service refused it, and nothing has made it needless."""
        return self.status == "rejected" and self.error_code not in NEEDLESS

    @property
    def may_be_listed(self) -> bool:
        """Whether it was sent, and no listing has shown it yet."""
        return self.attempts > 0 and self.packet_rec_id is None and self.packet_type is not None


@dataclass(frozen=True, slots=True)
class Question:
    """What a handler has asked a person."""

    name: str
    choices: tuple[str, ...]
    """What may be answered; empty where anything may."""
    asked_version: int
    """The version of the event whose document has the question's text."""
    answered_version: int | None = None
    answer: str | None = None
    """The choice that was made; an answer in words of one's own is in the document of its event."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """What the site's own code has to do for one packet."""

    packet_rec_id: str
    packet_type: str
    status: str
    """``ready``, ``waiting`` (until a time, as the handler asked for), ``asking`` (a person), ``retrying``,
    ``parked`` (until a person has it tried again) or ``done``."""
    opened_at: str
    attempts: int = 0
    """How many calls of the handler have failed since a person last had it tried again."""
    not_before: str | None = None
    reason: str | None = None
    steps: tuple[tuple[str, int], ...] = ()
    """The steps that are done: the name of each, and the version of the event that has its result."""
    questions: tuple[Question, ...] = ()
    may_pass: bool = False
    """A person lets it begin, whatever comes before it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do for who is at work on it: it is done, or waits for a person since its
        answer was refused."""
        return self.status in ("done", "parked")

    def step(self, name: str) -> int | None:
        """The version of the event that has the result of a step; None where it is not done."""
        return next((version for done, version in self.steps if done == name), None)

    def question(self, name: str) -> Question | None:
        """What was asked under a name."""
        return next((question for question in self.questions if question.name == name), None)

    @property
    def open_question(self) -> Question | None:
        """What was asked last and is not answered."""
        return next((q for q in reversed(self.questions) if q.answered_version is None), None)


@dataclass(frozen=True, slots=True)
class TransactionState:
    """All that decisions and projections need to know of a transaction."""

    stream: str
    hub: str = ""
    site: str = ""
    trans_rec_id: str | None = None
    transaction_id: str | None = None
    type: str | None = None
    state: State = State.START
    version: int = 0
    opened_at: str = ""
    opened_position: int = 0
    updated_at: str = ""
    packets: tuple[PacketEntry, ...] = ()
    held: tuple[HeldPacket, ...] = ()
    outbox: tuple[OutboxEntry, ...] = ()
    work: tuple[WorkItem, ...] = ()
    noted: frozenset[str] = frozenset()
    """The record ids of the duplicates that are on record."""
    anomalies: tuple[str, ...] = ()
    failed_by: Party | None = None
    deadline_noted: tuple[int, str] | None = None
    """The version of the packet that was waited on when a deadline was noted last, and whether that was
    `NEAR` or `PASSED`."""

    @property
    def is_final(self) -> bool:
        """Whether the transaction has completed or failed."""
        return self.state in FINAL_STATES

    @property
    def request(self) -> PacketEntry | None:
        """The packet that began the transaction; the newest copy, where one took the place of another."""
        return next((p for p in reversed(self.packets) if p.state_before is State.START and p.moved), None)

    @property
    def last_moving(self) -> PacketEntry | None:
        """The newest packet that moved the transaction."""
        return next((packet for packet in reversed(self.packets) if packet.moved), None)

    def packet(self, packet_rec_id: str) -> PacketEntry | None:
        """The packet with a record id."""
        return next((packet for packet in self.packets if packet.packet_rec_id == packet_rec_id), None)

    def outgoing(self, answers: str) -> OutboxEntry | None:
        """The outbox entry that answers a packet."""
        return next((entry for entry in self.outbox if entry.answers == answers), None)

    def item(self, packet_rec_id: str) -> WorkItem | None:
        """The work item of a packet."""
        return next((item for item in self.work if item.packet_rec_id == packet_rec_id), None)

    def is_held(self, packet_rec_id: str) -> bool:
        """Whether a packet waits for its predecessor."""
        return any(held.packet_rec_id == packet_rec_id for held in self.held)

    def site_moves(self) -> tuple[str, ...]:
        """The moves, but for failures, that are the site's to make now."""
        return () if self.type is None else moves_from(self.type, self.state, Party.SITE)

    def hub_moves(self) -> tuple[str, ...]:
        """The moves, but for failures, that are the hub's to make now."""
        return () if self.type is None else moves_from(self.type, self.state, Party.HUB)

    @property
    def answered_elsewhere(self) -> bool:
        """Whether it is the site's turn, and yet the hub goes on: its packet is held, so that the hub has an
        answer of the site's that this log does not know."""
        return bool(self.site_moves()) and any(held.sender == Party.HUB for held in self.held)

    def after(self, sender: Party, move: str) -> State | None:
        """The state after a move, or None where it is not allowed."""
        return None if self.type is None else step(self.type, self.state, sender, move)

    def fact(self, name: str) -> Any:
        """The newest value of a fact in the transaction's packets, or None."""
        for packet in reversed(self.packets):
            if packet.fields.get(name) not in (None, ""):
                return packet.fields[name]
        return None

    def names(self) -> dict[str, list[str]]:
        """Whom and what a transaction's packets name, by kind (`Kind`): those that came, and those that are
        decided. Of resources, those that it is on."""
        found: dict[str, set[str]] = {}
        fields = [*(packet.fields for packet in self.packets), *(entry.fields for entry in self.outbox)]
        for each in fields:
            for naming in named(each):
                if naming.kind is not Kind.LOGIN and naming.kind is not Kind.RESOURCE:
                    found.setdefault(naming.kind, set()).add(naming.name)
        resources = self.fact("ResourceList")
        if isinstance(resources, list):
            found[Kind.RESOURCE] = {str(resource) for resource in resources}
        return {kind: sorted(names) for kind, names in found.items()}

    def has_acknowledged(self) -> bool:
        """Whether the site has sent an inform, or is about to: then no inform of the hub's is answered."""
        sent = (packet.packet_type for packet in self.packets if packet.sender is Party.SITE)
        decided = (entry.packet_type for entry in self.outbox if entry.status != "rejected")
        return any(name == "inform_transaction_complete" for name in (*sent, *decided))


def record_id_of(fields: Mapping[str, Any]) -> str | None:
    """Return the RecordID in a project request's facts, as text; None where there is none."""
    value = fields.get("RecordID")
    return str(value) if isinstance(value, str | int) and str(value).strip() else None
