"""One delivery to a subscriber: its function is called for one event after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from amie_engine._logging import about
from amie_engine._threads import is_ctrl_c
from amie_engine.engine.checkpoints import Checkpoints, Tenure
from amie_engine.engine.leases import no_longer_at_work
from amie_engine.engine.recorded import recorded
from amie_engine.engine.subscription import Subscription
from amie_engine.errors import LeaseLost, LogDamaged, LogError
from amie_engine.log.events import Event
from amie_engine.log.whole import read_events

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["CallUnderWay", "Delivering", "Delivery"]

logger = logging.getLogger("amie_engine.engine")

_PAGE = 500
"""How many events are read at a time."""

_SAVED_AFTER = 0.05
"""Seconds of calls after which the checkpoint is saved: what a crash may have delivered twice. A function
that takes longer is saved after each call; for quick ones, saving costs a small part of the time."""

_MOST_UNSAVED = 100
"""How many calls may be made before it is saved in any case."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of delivering to a subscriber.

    Attributes:
        count: How many events its function has taken.
        error: The class of what it raised for the one after; None where it did not.
    """

    count: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CallUnderWay:
    """A call of a subscriber's function that has not returned yet.

    Attributes:
        name: The subscriber.
        event: The event that it was given.
        called_at: When.
        expires_at: When its lease is over, or was.
        token: What tells its tenure from every other.
    """

    name: str
    event: Event
    called_at: datetime
    expires_at: datetime
    token: str


class Delivering:
    """One delivery to a subscriber, under its tenure.

    Args:
        engine: The engine.
        checkpoints: Where it is kept how far it has come.
        subscription: The subscriber.
        tenure: The right to deliver to it.
        pause: Tells how long to wait after so many failures in a row.
        stopwatch: Gives seconds.
    """

    def __init__(
        self,
        engine: Engine,
        checkpoints: Checkpoints,
        subscription: Subscription,
        tenure: Tenure,
        pause: Callable[[int], timedelta],
        stopwatch: Callable[[], float],
    ) -> None:
        self._log = engine.log
        self._now = engine.now
        self._checkpoints = checkpoints
        self._subscription = subscription
        self._tenure = tenure
        self._pause = pause
        self._stopwatch = stopwatch
        # What ended a process before is among the next calls: so long each is saved, to tell which it was.
        self._careful = _MOST_UNSAVED if tenure.failures else 0
        self._reached = tenure.position
        self._count = 0
        self._unsaved = 0
        self._saved_at = stopwatch()
        self._called: tuple[Event, datetime] | None = None

    @property
    def under_way(self) -> CallUnderWay | None:
        """The call that has not returned yet; any thread may ask."""
        called = self._called
        if called is None:
            return None
        return CallUnderWay(self._tenure.name, *called, self._tenure.expires_at, self._tenure.token)

    def run(self, limit: int | None, stop: threading.Event | None) -> Delivery:
        """Deliver all up to the newest event at the beginning; what the function appends comes next time."""
        error = None
        try:
            error = self._go_through(limit, stop)
            if error is None:
                self._checkpoints.end(self._tenure, self._reached)
        except LeaseLost as lost:
            logger.warning("%s", lost.message)
        except BaseException:
            with suppress(LogError, LeaseLost):
                self._checkpoints.end(self._tenure, self._reached)
            raise
        finally:
            no_longer_at_work(self._tenure.token)
        return Delivery(self._count, error)

    def _go_through(self, limit: int | None, stop: threading.Event | None) -> str | None:
        """Deliver one event after the other; return the class of what the function raised in the end."""
        for event in self._events():
            if (stop is not None and stop.is_set()) or self._count == limit:
                break
            error = self._call(event) if self._is_wanted(event) else None
            if error is not None:
                return error
            self._reached = event.position
            self._save_now_and_then()
        return None

    def _events(self) -> Iterator[Event]:
        """The events to go through, whosever they are. No transaction is open while they are."""
        after, until = self._tenure.position, self._tenure.until
        while after < until:
            with self._log.read() as reader:
                events = read_events(reader.cursor, after, _PAGE, until)
            if not events:
                raise LogDamaged(f"The events behind position {after} are missing, up to {until}.")
            yield from events
            after = events[-1].position

    def _is_wanted(self, event: Event) -> bool:
        ours = event.hub == self._log.hub and event.site == self._log.site
        return ours and self._subscription.wants(event)

    def _call(self, event: Event) -> str | None:
        """Call the function; return the class of what it raised. Whatever it is, it holds up nobody else."""
        if self._careful and event.position - 1 > self._tenure.position:
            self._save(event.position - 1)
        self._called = event, self._now()
        try:
            self._subscription.function(recorded(event, self._log))
        except BaseException as error:  # a cancelled task, say: whatever it is, the others go on
            if is_ctrl_c(error):
                raise
            self._failed(event, error)
            if isinstance(error, SystemExit):
                raise
            return type(error).__name__
        finally:
            self._called = None
        self._count += 1
        self._unsaved += 1
        return None

    def _failed(self, event: Event, error: BaseException) -> None:
        """Keep what the function raised, by its class: its text may be personal."""
        name = type(error).__name__
        not_before = self._checkpoints.fail(self._tenure, event.position - 1, name, self._pause)
        logger.warning(
            "The subscriber %s raised %s for the event at position %d, %s of transaction %s (failure %d);"
            " called again at %s.",
            self._subscription.name,
            name,
            event.position,
            event.type,
            event.trans_rec_id or event.stream,
            self._tenure.failures,
            f"{not_before:%Y-%m-%d %H:%M:%S %Z}",
            extra=about(
                trans_rec_id=event.trans_rec_id,
                packet_rec_id=event.packet_rec_id,
                packet_type=event.packet_type,
                error=name,
                attempt=self._tenure.failures,
            ),
        )

    def _save_now_and_then(self) -> None:
        slow = self._stopwatch() - self._saved_at >= _SAVED_AFTER
        if slow or self._unsaved >= _MOST_UNSAVED or (self._careful and self._unsaved):
            self._careful = max(self._careful - self._unsaved, 0)
            self._save(self._reached)

    def _save(self, position: int) -> None:
        self._checkpoints.save(self._tenure, position)
        self._unsaved = 0
        self._saved_at = self._stopwatch()
