"""How often and when a handler that raised is called again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from amie_engine.engine.unit import storable
from amie_engine.errors import HandlerInvalid

__all__ = ["Retries"]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and when a handler that raised is called again.

    Attributes:
        attempts: How many calls may fail; then the work is parked until a person has it tried again. The 30
            without a policy of the site's own take about a day.
        first: The pause after the first failure; it doubles with each.
        longest: The longest pause.
        failure: What a failure inform tells the hub when all attempts have failed. None: nobody is told
            anything, and the work waits for a person.

    Raises:
        HandlerInvalid: There is no attempt, no pause, a pause that is no timedelta, or a failure without
            words.
    """

    attempts: int = 30
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)
    failure: str | None = None

    def __post_init__(self) -> None:
        pauses: tuple[object, ...] = (self.first, self.longest)
        if not all(isinstance(pause, timedelta) for pause in pauses):
            raise HandlerInvalid(
                "A retry policy has a pause that is no timedelta.",
                hint="Give timedelta(seconds=30), say, from the datetime module.",
            )
        if self.attempts < 1 or not timedelta() < self.first <= self.longest:
            raise HandlerInvalid(
                "A retry policy has at least one attempt, and a first pause no longer than the longest."
            )
        if self.failure is not None and not self.failure.strip():
            raise HandlerInvalid("A retry policy has a failure without words.", hint="Say why, for the hub.")
        if self.failure is not None and storable(self.failure) != self.failure:
            raise HandlerInvalid(
                "A retry policy has a failure whose text has a NUL or half a character in it."
            )

    def pause_after(self, attempt: int, jitter: float) -> timedelta:
        """Return how long to wait after a failed attempt.

        Args:
            attempt: Which one it was, from 1.
            jitter: From 0 to 1; what failed together is not tried again together.
        """
        pauses = min(2.0 ** min(attempt - 1, 30), self.longest / self.first)
        return self.first * pauses * (0.5 + jitter / 2)

    def is_last(self, attempt: int) -> bool:
        """Whether no attempt follows."""
        return attempt >= self.attempts
