"""Delivering: a site's own functions are called for the events of its log, in their order."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from amie_engine.engine.checkpoints import Checkpoints
from amie_engine.engine.delivering import CallUnderWay, Delivering, Delivery
from amie_engine.engine.leases import LEASE_TIME
from amie_engine.engine.retrying import Retries
from amie_engine.engine.subscriber_row import SubscriberRow
from amie_engine.engine.subscription import Subscriber, Subscription
from amie_engine.engine.unit import View

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["Delivery", "Subscriptions"]

logger = logging.getLogger("amie_engine.engine")


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
        self._at_work: dict[str, Delivering] = {}
        """What this engine delivers just now, by the tenure's token."""

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
        delivering = self._at_work[tenure.token] = Delivering(
            self._engine,
            self._checkpoints,
            subscription,
            tenure,
            lambda failures: policy.pause_after(failures, jitter()),
            self._stopwatch,
        )
        try:
            return delivering.run(limit, stop)
        finally:
            del self._at_work[tenure.token]

    def at_work(self) -> list[CallUnderWay]:
        """Return the calls of subscribers' functions that this engine has made, and that have not returned:
        also where the lease ran out, and another has taken the subscriber over."""
        calls = (delivering.under_way for delivering in tuple(self._at_work.values()))
        return [call for call in calls if call is not None]

    def hangs(self, call: CallUnderWay) -> None:
        """Save that a call does not return, for everybody to see; where it has returned, nothing is saved.

        Raises:
            LogError: The database can't be used.
        """
        self._checkpoints.hangs(call.name, call.token, call.event.position - 1, call.called_at)

    def all(self) -> list[SubscriberRow]:
        """Return how far every subscriber has come, and what keeps it; by name."""
        with self._engine.view() as view:
            return self.in_view(view)

    def in_view(self, view: View) -> list[SubscriberRow]:
        """Return the same in one state of the log."""
        return self._checkpoints.all(view.cursor)

    def skip(self, name: str, *, actor: str) -> int:
        """Have a subscriber skip the event that it fails at, or hangs in: it is never delivered to it again.

        A thread that hangs in it is not free by that: restart its process.

        Args:
            name: The subscriber's name.
            actor: Who has it skipped, to be kept with the subscriber; no personal data.

        Returns:
            The position of that event.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it, or at which it hangs is not known.
        """
        position = self._checkpoints.skip(name, actor=actor)
        logger.warning("The subscriber %s skips the event at position %d, by %s.", name, position, actor)
        return position

    def retry(self, name: str) -> None:
        """Have the event that a subscriber fails at tried again at once.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: It has not failed, or hangs.
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
