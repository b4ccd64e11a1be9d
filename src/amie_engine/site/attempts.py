"""What a process knows of the attempts to send something, and when the outcome of one is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from amie_engine.engine.outbox import Outgoing

__all__ = ["FIRST_LOOK", "LAST_LOOK", "Attempts", "longest_pause"]

FIRST_LOOK = timedelta(minutes=4)
"""After an attempt of which nothing is known, whoever made it; later for a client that waits long for an
answer. The service may act after the client has given a call up: who looks too early does not find the
packet, and sends a second one."""
_AGAIN = timedelta(seconds=30)
"""After an attempt to set a transaction failed, which may be made twice without harm."""
LAST_LOOK = timedelta(minutes=30)
"""The longest pause between two looks, which double with each attempt, and with each look that fails; or a
client's own time, where that is longer."""
_MOST_DOUBLINGS = 20

_Key = tuple[str, str]
"""A transaction, and what the entry answers in it."""


@dataclass(frozen=True, slots=True)
class _FailedLooks:
    """Looks that failed after so many attempts: how many, and when the last one did."""

    attempts: int
    count: int
    at: datetime


def longest_pause(doublings: int, first: timedelta = FIRST_LOOK) -> timedelta:
    """Return how long a look comes at most after what it waits for.

    Args:
        doublings: How often the pause has doubled: with each attempt but the first, and each failed look.
        first: The first pause.
    """
    doubled: timedelta = first * 2 ** min(doublings, _MOST_DOUBLINGS)
    return min(doubled, max(first, LAST_LOOK))


class Attempts:
    """What became of attempts, as far as this process knows; the log has that there were any.

    Args:
        now: Gives the time, with zone.
        client_waits: How long its client waits for an answer.
        jitter: Gives a number from 0 to 1 that spreads the looks.
    """

    def __init__(
        self, now: Callable[[], datetime], *, client_waits: timedelta, jitter: Callable[[], float]
    ) -> None:
        self._now = now
        self._jitter = jitter
        self._first_look = max(FIRST_LOOK, 3 * client_waits)
        self._undone: dict[_Key, int] = {}
        self._made: dict[_Key, int] = {}
        self._failed_looks: dict[_Key, _FailedLooks] = {}
        self._seen_at: dict[_Key, tuple[int, datetime]] = {}

    def forget_all_but(self, waiting: Iterable[Outgoing]) -> None:
        """Forget what has arrived, was refused, or is sent no more."""
        keys = {_key(outgoing) for outgoing in waiting}
        known: tuple[dict[_Key, Any], ...] = (self._undone, self._made, self._failed_looks, self._seen_at)
        for each in known:
            for key in each.keys() - keys:
                del each[key]

    def is_made(self, outgoing: Outgoing) -> None:
        """Note that an attempt is made: looks that failed before it count no more.

        Args:
            outgoing: The entry as it was before that attempt.
        """
        self._made[_key(outgoing)] = outgoing.attempts + 1
        self._failed_looks.pop(_key(outgoing), None)

    def came_to_nothing(self, outgoing: Outgoing) -> None:
        """Note that the service surely did nothing in the attempt that was just made.

        Of an earlier one whose outcome is unknown that tells nothing: then it is looked for all the same.

        Args:
            outgoing: The entry as it was before that attempt.
        """
        if outgoing.status == "pending" or self.is_undone(outgoing):
            self._undone[_key(outgoing)] = outgoing.attempts + 1

    def is_undone(self, outgoing: Outgoing) -> bool:
        """Whether all attempts, the last one by this process, are known to have come to nothing."""
        return self._undone.get(_key(outgoing)) == outgoing.attempts

    def was_not_sent(self, outgoing: Outgoing) -> bool:
        """The same of an entry as it was before the attempt that was just made."""
        return self._undone.get(_key(outgoing)) == outgoing.attempts + 1

    def look_failed(self, outgoing: Outgoing) -> None:
        """Note that something could not be looked for. What fails after the look, in an attempt, is none.

        Args:
            outgoing: The entry as it was before it was looked for.
        """
        if self._made.get(_key(outgoing)) != outgoing.attempts + 1:
            count = self.failed_looks(outgoing) + 1
            self._failed_looks[_key(outgoing)] = _FailedLooks(outgoing.attempts, count, self._now())

    def failed_looks(self, outgoing: Outgoing) -> int:
        """How many looks failed since the last attempt, one after the other."""
        failed = self._failed_looks.get(_key(outgoing))
        return failed.count if failed is not None and failed.attempts == outgoing.attempts else 0

    def is_due_again(self, outgoing: Outgoing) -> bool:
        """Whether it is time to look for something of which nothing is known, or to set it failed again.

        What is to be sent since a person wants it so is looked for at once, and later only after a look that
        failed.
        """
        failed = self.failed_looks(outgoing)
        is_pending = outgoing.status == "pending"
        if outgoing.attempted_at is None or (is_pending and not failed):
            return True
        first = self._first_look if outgoing.kind == "packet" else _AGAIN
        doublings = failed - 1 + (0 if is_pending else outgoing.attempts)
        pause = longest_pause(doublings, first) * (0.75 + self._jitter() / 4)
        since = (
            self._time_since_look(outgoing) if failed else self._time_since(outgoing, outgoing.attempted_at)
        )
        return bool(since >= pause)

    def _time_since_look(self, outgoing: Outgoing) -> timedelta:
        """Since the last look that failed. Where the clock has gone back behind it, it counts from now."""
        now, failed = self._now(), self._failed_looks[_key(outgoing)]
        if failed.at > now:
            failed = self._failed_looks[_key(outgoing)] = replace(failed, at=now)
        return now - failed.at

    def _time_since(self, outgoing: Outgoing, attempted_at: datetime) -> timedelta:
        """By this process's clock. What was attempted in its future (a clock was ahead, and the log's time
        never goes back), it counts from when it first saw it."""
        now = self._now()
        if attempted_at <= now:
            return now - attempted_at
        attempts, seen_at = self._seen_at.get(_key(outgoing), (0, now))
        if attempts != outgoing.attempts or seen_at > now:
            seen_at = now
        self._seen_at[_key(outgoing)] = outgoing.attempts, seen_at
        return now - seen_at


def _key(outgoing: Outgoing) -> _Key:
    return outgoing.stream, outgoing.answers
