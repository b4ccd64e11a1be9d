"""What a row of the table amie_subscriptions says of a subscriber, now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amie_engine.engine.leases import holder_is_gone

__all__ = ["HANGING", "ROW_COLUMNS", "SKIPPED", "Overrun", "SubscriberRow", "read_row"]

HANGING = "hanging"
"""Stands for an error where a call has not returned for longer than its lease, as its own process tells."""

SKIPPED = "skipped"
"""Stands in the place of an error where a person had it skip an event while somebody was at work in it: what
that one comes to is no failure at the next event. It is in the table alone."""

ROW_COLUMNS = (
    "SELECT name, position, updated_at, failures, error, not_before, skipped, skipped_by, holder, token,"
    " expires_at FROM amie_subscriptions"
)
"""What `read_row` reads."""


@dataclass(frozen=True, slots=True)
class Overrun:
    """A call of a subscriber's function that has not returned for longer than its lease.

    Attributes:
        holder: The process that has called it, and is not known to be gone.
        expires_at: When the lease was over.
        event: The position of the event; None while that process has not told it, which `Runner.run` does.
        called_at: When it was called; None likewise.
    """

    holder: str
    expires_at: datetime
    event: int | None
    called_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriberRow:
    """How far a subscriber has come, and what keeps it.

    Attributes:
        name: Its name.
        position: The last event that it is done with: it was given it, it did not want it, or a person had
            it skip it.
        behind: How many events the log has behind that, of whatever type.
        updated_at: Since when it is there; where its function hangs, since when it has the next event.
        failures: How often in a row its function has raised for the event behind ``position``, or who called
            it was gone.
        error: The class of what it raised last, ``abandoned``, or ``hanging``.
        not_before: When that event is tried again.
        skipped: The position of the event that a person last had it skip.
        skipped_by: Who that was.
        holder: The process that delivers to it just now.
        overrun: The call that hangs, most likely; None where there is none.
    """

    name: str
    position: int
    behind: int
    updated_at: datetime
    failures: int
    error: str | None
    not_before: datetime | None
    skipped: int | None
    skipped_by: str | None
    holder: str | None
    overrun: Overrun | None

    def may_be_delivered_to(self, now: datetime) -> bool:
        """Whether there is something to deliver that need not wait, and nobody is at it."""
        waits = self.not_before is not None and self.not_before > now
        return self.behind > 0 and not waits and self.holder is None


def read_row(row: Sequence[Any], head: int, now: datetime) -> SubscriberRow:
    """Return what a row says.

    Args:
        row: The row.
        head: The position of the newest event.
        now: The time.
    """
    name, position, updated_at, failures, error, not_before, skipped, skipped_by, holder, token, ends = row
    updated = datetime.fromisoformat(updated_at)
    is_at_it = token is not None and not holder_is_gone(holder, token)
    expires_at = datetime.fromisoformat(ends) if is_at_it else now
    overrun = None
    if is_at_it and expires_at <= now:
        is_told = error == HANGING
        event, called_at = (position + 1, updated) if is_told else (None, None)
        overrun = Overrun(holder, expires_at, event, called_at)
    return SubscriberRow(
        name=name,
        position=position,
        behind=max(head - position, 0),
        updated_at=updated,
        failures=failures,
        error=error if (failures or overrun is not None) and error != SKIPPED else None,
        not_before=None if not_before is None else datetime.fromisoformat(not_before),
        skipped=skipped,
        skipped_by=skipped_by,
        holder=holder if expires_at > now else None,
        overrun=overrun,
    )
