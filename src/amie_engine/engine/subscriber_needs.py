"""What needs a person with the site's subscribers: one that fails again and again, and one that hangs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime

from amie_engine._spans import span_text
from amie_engine.engine.daemons import Daemon, none_has_ended
from amie_engine.engine.needs import FAILURES_TOO_MANY, Need, NeedKind
from amie_engine.engine.subscriber_row import Overrun, SubscriberRow
from amie_engine.engine.work_record import ABANDONED

__all__ = ["needs_of_subscribers"]


def needs_of_subscribers(
    subscribers: Sequence[SubscriberRow], daemons: Sequence[Daemon], now: datetime
) -> Iterator[Need]:
    """Yield each subscriber that is given no further event until somebody does something; each once.

    Args:
        subscribers: All that there are.
        daemons: All that have left a trace.
        now: The time.
    """
    for row in subscribers:
        if row.overrun is not None:
            yield _of_overrun(row, row.overrun, now)
        elif _hangs_elsewhere(row, daemons, now):
            yield _of_taken_over(row)
        elif row.failures >= FAILURES_TOO_MANY:
            yield _of_failing(row)


def _of_overrun(row: SubscriberRow, overrun: Overrun, now: datetime) -> Need:
    if overrun.event is None or overrun.called_at is None:
        which, since = "one event for longer", overrun.expires_at
    else:
        since = overrun.called_at
        which = f"event {overrun.event} for {span_text(now - since)}, longer"
    return _of_hanging(row, f"{which} than its lease", since)


def _of_taken_over(row: SubscriberRow) -> Need:
    which = f"event {row.position + 1} for longer than its lease, and another daemon has called it anew"
    return _of_hanging(row, which, row.updated_at)


def _of_hanging(row: SubscriberRow, which: str, since: datetime) -> Need:
    what = f"The subscriber {row.name!r} has been at work on {which}: restart the daemon"
    return Need(NeedKind.HANGING, what, f"amie-engine subscribers {shlex.quote(row.name)}", since=since)


def _of_failing(row: SubscriberRow) -> Need:
    what = f"The subscriber {row.name!r} failed {row.failures} times ({row.error}): {row.behind} wait"
    command = f"amie-engine subscribers {shlex.quote(row.name)} --retry"
    return Need(NeedKind.SUBSCRIBER, what, command, "amie-engine subscribers", since=row.updated_at)


def _hangs_elsewhere(row: SubscriberRow, daemons: Sequence[Daemon], now: datetime) -> bool:
    """Whether a subscriber was taken over from a process that is still at the event that it is given anew."""
    return row.holder is not None and row.error == ABANDONED and none_has_ended(daemons, row.updated_at, now)
