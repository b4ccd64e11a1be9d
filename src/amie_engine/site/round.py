"""What one round of the loop did."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from amie_engine.engine import OutcomeKind
from amie_engine.errors import AMIEEngineError, ServiceAuthenticationError
from amie_engine.site.worked import Worked

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
        poll_error: Why it did not, where it was asked.
        retry_after: How many seconds the service wants not to be polled, where it has said so.
    """

    received: dict[OutcomeKind, int] = field(default_factory=lambda: dict.fromkeys(OutcomeKind, 0))
    worked: dict[Worked, int] = field(default_factory=lambda: dict.fromkeys(Worked, 0))
    sent: int = 0
    delivered: int = 0
    undelivered: int = 0
    errors: list[AMIEEngineError] = field(default_factory=list)
    polled: bool = False
    poll_error: AMIEEngineError | None = None
    retry_after: float | None = None

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
        self.poll_error = self.poll_error or other.poll_error
        self.waits_for(other.retry_after)

    def waits_for(self, retry_after: float | None) -> None:
        """Note how many seconds the service wants not to be polled; of several, the longest time counts."""
        if retry_after is not None:
            self.retry_after = max(retry_after, self.retry_after or 0.0)

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
        """Whether the service refuses the site's key: by a 401 to any call, or a 403 to the poll itself. What
        it forbids beside that, a packet, say, tells nothing of the key."""
        if isinstance(self.poll_error, ServiceAuthenticationError):
            return True
        return any(_names_the_key(error) for error in self.errors)


def _names_the_key(error: AMIEEngineError) -> bool:
    if not isinstance(error, ServiceAuthenticationError) or error.response is None:
        return False
    return error.response.status_code == HTTPStatus.UNAUTHORIZED
