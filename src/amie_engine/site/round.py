"""What one round of the loop did."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from amie_engine.engine import OutcomeKind
from amie_engine.errors import AMIEEngineError, ServiceAuthenticationError
from amie_engine.site.worker import Worked

__all__ = ["Round"]

_NEWS = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.CONFIRMED})


@dataclass(slots=True)
class Round:
    """What one round of the loop did.

    Attributes:
        received: How many packets came to what end: what was listed, and what histories brought that is new.
        worked: How many items of work came to what end.
        sent: How much of the outbox has arrived.
        delivered: How many events the site's subscribers have taken.
        undelivered: How many subscribers have raised.
        errors: What went wrong; the rest went on.
        polled: Whether the service was polled, and answered.
    """

    received: dict[OutcomeKind, int] = field(default_factory=lambda: dict.fromkeys(OutcomeKind, 0))
    worked: dict[Worked, int] = field(default_factory=lambda: dict.fromkeys(Worked, 0))
    sent: int = 0
    delivered: int = 0
    undelivered: int = 0
    errors: list[AMIEEngineError] = field(default_factory=list)
    polled: bool = False

    def add(self, other: Round) -> None:
        """Count in what another one did."""
        for kind, count in other.received.items():
            self.received[kind] += count
        for end, count in other.worked.items():
            self.worked[end] += count
        self.sent += other.sent
        self.delivered += other.delivered
        self.undelivered += other.undelivered
        self.errors += other.errors
        self.polled = self.polled or other.polled

    @property
    def has_news(self) -> bool:
        """Whether the service had something new, or was told something that it may answer at once."""
        return bool(any(self.received[kind] for kind in _NEWS) or self.sent)

    @property
    def moved(self) -> bool:
        """Whether anything changed, so that another round may find more to do at once."""
        return bool(self.has_news or self.worked[Worked.REPLIED])

    @property
    def key_is_refused(self) -> bool:
        """Whether the service refuses the site's key. One that answers polls and forbids a packet
        does not."""
        return any(
            isinstance(error, ServiceAuthenticationError) and (not self.polled or _names_the_key(error))
            for error in self.errors
        )


def _names_the_key(error: ServiceAuthenticationError) -> bool:
    return error.response is not None and error.response.status_code == HTTPStatus.UNAUTHORIZED
