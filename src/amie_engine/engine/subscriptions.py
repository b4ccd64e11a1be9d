"""Delivering: a site's own functions are called for the events of its log, in their order."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from amie_engine.engine.checkpoints import Checkpoints, SubscriberRow, Tenure
from amie_engine.engine.leases import LEASE_TIME, no_longer_at_work
from amie_engine.engine.recorded import recorded
from amie_engine.engine.retrying import Retries
from amie_engine.engine.subscription import Subscriber, Subscription
from amie_engine.engine.unit import View
from amie_engine.errors import LeaseLost, LogDamaged, LogError
from amie_engine.log.events import Event
from amie_engine.log.whole import read_events

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Delivery", "Subscriptions"]

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


class Subscriptions:
    """The subscribers of an engine's site: functions that are given each event of its log, in order, at least
    once. How far each has come is kept under its name.

    Args:
        engine: The engine.
        stopwatch: Gives seconds; for tests.
    """

    def __init__(self, engine: Engine, *, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._checkpoints = Checkpoints(engine.log, engine.now)
        self._stopwatch = stopwatch

    def begin(self, subscription: Subscription) -> None:
        """Have a new subscriber begin, at once; nothing is delivered yet.

        Raises:
            LogError: The database can't be used.
        """
        self._checkpoints.begin(subscription.name, since=subscription.since)

    def deliver(
        self,
        name: str,
        function: Subscriber,
        *,
        types: str | Iterable[str] | None = None,
        since: str = "now",
        limit: int | None = None,
    ) -> Delivery:
        """Call a function for every event that is new to it, in order; for a loop of the site's own.

        Nothing is locked while it runs, so that it may call this engine. What it raises is logged by its
        class and kept with the subscriber, and the event is tried again by a later call, not before a pause.
        While another thread or process delivers to the subscriber, nothing is done.

        Args:
            name: The subscriber's name, under which the log knows how far it has come: give it the same
                always, and each function one of its own.
            function: Called with a `RecordedEvent`.
            types: The types of event that it is given; all without.
            since: Where it begins when it is new: ``now`` or ``beginning``.
            limit: How many events to deliver at most.

        Raises:
            HandlerInvalid: Name, function, types or since are none that can be used.
            LogError: The database can't be used. What was delivered last may be delivered again.
        """
        return self.deliver_to(Subscription.of(name, function, types, since), limit=limit)

    def deliver_to(
        self,
        subscription: Subscription,
        *,
        limit: int | None = None,
        retries: Retries | None = None,
        lease: timedelta = LEASE_TIME,
        stop: threading.Event | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> Delivery:
        """Deliver what is new to a subscriber, as `deliver`.

        Args:
            subscription: The subscriber.
            limit: How many events to deliver at most.
            retries: How long to wait after each failure. There is no last one.
            lease: How long its function may take for one event before it is taken for dead.
            stop: Once it is set, no further event is delivered.
            jitter: Gives a number from 0 to 1 that spreads the retries.
        """
        if not self._has_news(subscription):
            return Delivery()
        tenure = self._checkpoints.take(subscription.name, lasts=lease)
        if tenure is None:
            return Delivery()
        policy = retries or Retries()
        delivering = _Delivering(
            self._engine,
            self._checkpoints,
            subscription,
            tenure,
            lambda failures: policy.pause_after(failures, jitter()),
            self._stopwatch,
        )
        return delivering.run(limit, stop)

    def all(self) -> list[SubscriberRow]:
        """Return how far every subscriber has come, and what keeps it; by name."""
        with self._engine.view() as view:
            return self.in_view(view)

    def in_view(self, view: View) -> list[SubscriberRow]:
        """Return the same in one state of the log."""
        return self._checkpoints.all(view.cursor)

    def skip(self, name: str, *, actor: str) -> int:
        """Have a subscriber skip the event that keeps it, which is then never delivered to it.

        Args:
            name: The subscriber's name.
            actor: Who has it skipped, to be kept with the subscriber; no personal data.

        Returns:
            The position of that event.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it.
        """
        position = self._checkpoints.skip(name, actor=actor)
        logger.warning("The subscriber %s skips the event at position %d, by %s.", name, position, actor)
        return position

    def retry(self, name: str) -> None:
        """Have the event that keeps a subscriber tried again at once.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it.
        """
        self._checkpoints.retry(name)

    def remove(self, name: str) -> None:
        """Forget a subscriber: one of that name that comes later is new.

        Raises:
            SubscriberNotFound: There is none of that name.
        """
        self._checkpoints.remove(name)

    def _has_news(self, subscription: Subscription) -> bool:
        """Whether there is something to deliver: so that a subscriber without costs a look and no more."""
        with self._engine.view() as view:
            row = self._checkpoints.one(view.cursor, subscription.name)
        if row is None:
            self.begin(subscription)
            return subscription.since == "beginning"
        return row.may_be_delivered_to(self._engine.now())


class _Delivering:
    """One delivery to a subscriber, under its tenure."""

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
        try:
            self._subscription.function(recorded(event, self._log))
        except KeyboardInterrupt:
            raise  # somebody wants to end it all; the function has done nothing wrong
        except SystemExit as error:
            self._failed(event, error)
            raise
        except BaseException as error:  # noqa: BLE001 # a cancelled task, say: whatever it is, the others go on
            self._failed(event, error)
            return type(error).__name__
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
