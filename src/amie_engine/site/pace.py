"""When the service is polled next: soon while there is news, later and later while there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from amie_engine._logging import about
from amie_engine.errors import ServiceAuthenticationError
from amie_engine.site.round import Round

__all__ = ["Pace", "Plan"]

logger = logging.getLogger("amie_engine.site")

_SLOWER = 1.5
_SPREAD = 0.1
_LONGEST_AFTER_REFUSAL = 3600.0
_MOST_DOUBLINGS = 30
_LONGEST_RETRY_AFTER = 1800.0
"""Seconds that a ``Retry-After`` is followed for at most: an absurd one must not stop a site for days."""


@dataclass(slots=True)
class Pace:
    """The pauses between polls.

    Attributes:
        shortest: Seconds after a poll that had news.
        longest: Seconds after many polls without.
    """

    shortest: float
    longest: float
    _pause: float = 0.0
    _refusals: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether the service refused the site's key when it was asked last."""
        return self._refusals > 0

    def after(self, *, has_news: bool, key_is_refused: bool, jitter: float) -> float:
        """Return how many seconds to wait after a poll.

        Each poll without news makes the pause half as long again, up to the longest. While the service
        refuses the site's key, it doubles, up to an hour: calls with a wrong key help nobody.

        Args:
            has_news: Whether the service had something new, or was told something.
            key_is_refused: Whether it refused the key.
            jitter: From 0 to 1: sites that started together don't poll together.
        """
        if key_is_refused:
            self._refusals += 1
            doubled = self.shortest * 2.0 ** min(self._refusals, _MOST_DOUBLINGS)
            self._pause = min(doubled, max(_LONGEST_AFTER_REFUSAL, self.longest))
        elif has_news or self._pause == 0.0 or self._refusals:
            self._refusals = 0
            self._pause = self.shortest
        else:
            self._pause = min(self._pause * _SLOWER, max(self.longest, self.shortest))
        return self._pause * (1 - _SPREAD + 2 * _SPREAD * jitter)


class Plan:
    """When the service is polled next, by a clock.

    Args:
        pace: The pauses.
        now: Gives the time.
        jitter: Gives a number from 0 to 1 that spreads the polls.
    """

    def __init__(self, pace: Pace, now: Callable[[], datetime], jitter: Callable[[], float]) -> None:
        self._pace = pace
        self._now = now
        self._jitter = jitter
        self._longest_pause = timedelta()
        self._not_before: datetime | None = None
        self.poll_at: datetime | None = None
        """When the service is polled next; None for at once."""

    @property
    def key_is_refused(self) -> bool:
        """Whether the service refused the site's key when it was asked last."""
        return self._pace.is_refused

    @property
    def is_due(self) -> bool:
        """Whether it is time; also where the clock has gone back: else nothing would be polled until it gets
        there."""
        now = self._now()
        return self.poll_at is None or now >= self.poll_at or self.poll_at - now > self._longest_pause

    @property
    def seconds(self) -> float:
        """How many are left until then."""
        return 0.0 if self.poll_at is None else max((self.poll_at - self._now()).total_seconds(), 0.0)

    def after(self, result: Round) -> None:
        """Plan the next poll after a round that polled, or brought other news.

        The service's ``Retry-After`` to a poll counts until the next one, also where something is sent
        meanwhile.
        """
        pause = self._pace.after(
            has_news=result.moved, key_is_refused=result.key_is_refused, jitter=self._jitter()
        )
        if result.key_is_refused:
            logger.error(
                "The service refuses the site's key: nothing is polled or sent for %d seconds. Put it right,"
                " and restart the daemon, which reads it once.",
                pause,
                extra=about(code=ServiceAuthenticationError.code, seconds=round(pause, 3)),
            )
        at_once = result.moved and not result.errors
        now = self._now()
        self.poll_at = now + timedelta(seconds=0 if at_once else pause)
        if result.polled or result.poll_error is not None:
            self._not_before = _moment_after(now, result.retry_after)
        if self._not_before is not None:
            self.poll_at = max(self.poll_at, self._not_before)
        self._longest_pause = self.poll_at - now


def _moment_after(now: datetime, retry_after: float | None) -> datetime | None:
    if retry_after is None:
        return None
    return now + timedelta(seconds=min(retry_after, _LONGEST_RETRY_AFTER))
