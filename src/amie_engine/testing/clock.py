"""A clock for tests: no test waits for time to pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]

_START = datetime(2026, 1, 20, 9, 30, tzinfo=UTC)


class Clock:
    """Time that only the test moves; give it to an `Engine` as its ``clock``.

    Attributes:
        now: The time, with zone.

    Args:
        now: Where it starts.
        tick: How much later every look at it is than the one before.
    """

    def __init__(self, now: datetime = _START, *, tick: timedelta = timedelta()) -> None:
        self.now = now
        self._tick = tick

    def __call__(self) -> datetime:
        self.now += self._tick
        return self.now

    def forward(self, **duration: float) -> None:
        """Move it, by what `datetime.timedelta` takes; backwards too."""
        self.now += timedelta(**duration)
