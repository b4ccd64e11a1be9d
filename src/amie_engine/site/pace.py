"""When the service is polled next: soon while there is news, later and later while there is none."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace"]

_SLOWER = 1.5
_SPREAD = 0.1
_LONGEST_AFTER_REFUSAL = 3600.0


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
            self._pause = min(self.shortest * 2.0**self._refusals, max(_LONGEST_AFTER_REFUSAL, self.longest))
        elif has_news or self._pause == 0.0 or self._refusals:
            self._refusals = 0
            self._pause = self.shortest
        else:
            self._pause = min(self._pause * _SLOWER, max(self.longest, self.shortest))
        return self._pause * (1 - _SPREAD + 2 * _SPREAD * jitter)
