"""One open item of work, as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.engine.leases import Lease
from amie_engine.engine.ordering import Blocker
from amie_engine.engine.work_record import waits_for_a_handler

__all__ = ["WorkRow"]

_WAITS_FOR_A_PERSON = ("asking", "parked")


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One open item of work.

    Attributes:
        status: ``ready``, ``waiting`` until a time, ``asking`` a person, ``retrying``, or ``parked`` until a
            person has it tried again; also ``running``, while a worker has it, ``hanging``, while one has it
            for longer than its lease, and ``blocked``, while another transaction comes before it, or what may
            not go on beside it runs.
        attempts: How many calls of its handler have failed.
        not_before: When its handler is called next, where it waits or is tried again.
        reason: Why it waits, or what was wrong.
        may_pass: Whether a person lets it begin, whatever comes before it.
        deadline: Until when the hub expects the answer.
        blocked_by: What comes before it, or runs, where it is blocked, or hangs and may not be taken over.
        lease: Who is at work on it, where it is running.
        overrun: The lease on it that ran out, where nobody has ended it and nobody has taken the work over:
            whoever has it hangs, or is on a host that is gone.
    """

    stream: str
    packet_rec_id: str
    packet_type: str
    trans_rec_id: str
    status: str
    attempts: int
    not_before: datetime | None
    reason: str | None
    may_pass: bool
    opened_at: datetime
    deadline: datetime | None
    blocked_by: Blocker | None = None
    lease: Lease | None = None
    overrun: Lease | None = None

    @property
    def has_no_handler(self) -> bool:
        """Whether it waits for a handler, since the site has none for it."""
        return waits_for_a_handler(self.status, self.reason)

    @property
    def waits_for_a_person(self) -> bool:
        """Whether nothing goes on with it until a person does something."""
        return self.status in _WAITS_FOR_A_PERSON

    def may_begin(self, now: datetime) -> bool:
        """Whether the item may be worked on now."""
        if self.status in (*_WAITS_FOR_A_PERSON, "running") or self.blocked_by is not None:
            return False
        return self.not_before is None or self.not_before <= now

    @classmethod
    def of(cls, row: Sequence[Any]) -> WorkRow:
        """That of a row of the projections."""
        stream, packet_rec_id, packet_type, trans_rec_id, status, attempts, not_before, *rest = row
        reason, may_pass, opened_at, deadline = rest
        return cls(
            stream,
            packet_rec_id,
            packet_type,
            trans_rec_id,
            status,
            attempts,
            None if not_before is None else datetime.fromisoformat(not_before),
            reason,
            may_pass == 1,
            datetime.fromisoformat(opened_at),
            None if deadline is None else datetime.fromisoformat(deadline),
        )
