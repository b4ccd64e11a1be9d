"""The parts of a round, each on its own feet: what goes wrong in one is noted, and the next goes on."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from amie_engine._logging import about
from amie_engine.client import AMIEClient
from amie_engine.engine import Engine
from amie_engine.engine.subscription import Subscription
from amie_engine.errors import AMIEEngineError, AMIERequestError, InternalError
from amie_engine.site.client_states import ClientStates
from amie_engine.site.handlers import Site
from amie_engine.site.hands import LOOK_AGAIN, Task
from amie_engine.site.observing import Observer
from amie_engine.site.poller import FULL_LISTING_EVERY, Poller
from amie_engine.site.round import Round
from amie_engine.site.sender import Sender
from amie_engine.site.telling import told
from amie_engine.site.worked import Worked
from amie_engine.site.worker import Worker

__all__ = ["Parts", "attempt"]

logger = logging.getLogger("amie_engine.site")


class Parts:
    """Polls, works, sends, delivers and notes, each once when it is called; a round counts what was done.

    Args:
        engine: The site's engine.
        client: A client for the same site.
        site: The site's handlers and subscribers.
        observer: Is told of what it does.
        full_listing_every: How long after a full listing the next one is due.
        client_state: What to note at the service on each packet that was taken in; None for nothing.
        jitter: Gives a number from 0 to 1 that spreads retries; for tests.
        stopwatch: Gives seconds, to measure polls and handlers by; for tests.
    """

    def __init__(
        self,
        engine: Engine,
        client: AMIEClient,
        site: Site,
        observer: Observer,
        *,
        full_listing_every: timedelta = FULL_LISTING_EVERY,
        client_state: str | None = None,
        jitter: Callable[[], float] = random.random,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.client_states = None if client_state is None else ClientStates(engine, client, client_state)
        self.worker = Worker(engine, site, jitter=jitter, stopwatch=stopwatch, observer=observer)
        self._poller = Poller(
            engine,
            client,
            full_listing_every=full_listing_every,
            client_states=self.client_states,
            observer=observer,
        )
        self._sender = Sender(engine, client, jitter=jitter, observer=observer)
        self._engine = engine
        self._site = site
        self._observer = observer
        self._jitter = jitter
        self._stopwatch = stopwatch

    def poll(self, result: Round) -> None:
        """Take in what is new at the service."""
        began = self._stopwatch()
        try:
            self._poller.poll(result)
            result.polled = True
        except AMIEEngineError as error:
            result.poll_error = error
            if isinstance(error, AMIERequestError):
                result.waits_for(error.retry_after)
            raise
        except Exception as error:
            result.poll_error = InternalError.caused_by(error, "polling")
            raise
        finally:
            self._observer.polled(self._stopwatch() - began, result.poll_error)

    def work(self, result: Round, stop: threading.Event | None, *, again_after: float = 0.0) -> None:
        """Call the handlers for all that may be worked on now."""
        for end, count in self.worker.work_once(stop, again_after=again_after).items():
            result.worked[end] += count

    def send(self, result: Round) -> None:
        """Send what is in the outbox."""
        sent = self._sender.send_once()
        result.sent += sent.arrived
        result.errors += sent.errors

    def note_client_states(self, result: Round) -> None:
        """Note at the service what was taken in: after all else of a round, and where that went well."""
        if self.client_states is not None and not result.errors:
            self.client_states.set_some()

    def deliver_all(self, result: Round, stop: threading.Event | None) -> None:
        """Call every subscriber for all that is new to it."""
        for subscription in self._site.subscriptions:
            self.deliver(subscription, result, stop)

    def deliver(self, subscription: Subscription, result: Round, stop: threading.Event | None) -> None:
        """Call one subscriber for all that is new to it."""

        def deliver(result: Round) -> None:
            delivery = self._engine.subscriptions.deliver_to(
                subscription,
                retries=self._site.retries,
                lease=self._site.lease,
                stop=stop,
                jitter=self._jitter,
            )
            result.delivered += delivery.count
            result.undelivered += delivery.error is not None

        attempt(result, f"delivering to {subscription.name}", deliver)

    def tasks(self, workers: int) -> list[Task]:
        """Return what is done in threads: handlers are called in so many, each subscriber in its own."""
        delivering = [partial(self._deliver_alone, each) for each in self._site.subscriptions]
        return [*[self._work_alone] * workers, *delivering]

    def _work_alone(self, stop: threading.Event) -> Round:
        """Call the handlers for all that may be worked on now, and nothing else.

        Whatever is done in one of the threads has all of them look for more: an item that came to nothing is
        not looked at each time.
        """
        result = Round()
        try:
            attempt(result, "working", lambda result: self.work(result, stop, again_after=LOOK_AGAIN))
        except SystemExit:  # a handler's; it is on record, and ends no daemon from within a thread
            result.worked[Worked.FAILED] += 1
        return result

    def _deliver_alone(self, subscription: Subscription, stop: threading.Event) -> Round:
        """Call one subscriber for all that is new to it, and nothing else."""
        result = Round()
        with suppress(SystemExit):  # likewise
            self.deliver(subscription, result, stop)
        return result

    def note_deadlines(self, result: Round) -> None:
        """Put on record which deadlines are near, and which have passed."""
        for noted in self._engine.note_deadlines():
            logger.warning(
                "The %s's deadline in transaction %s %s: %s.",
                noted.turn,
                noted.trans_rec_id or noted.stream,
                "has passed" if noted.passed else "is near",
                f"{noted.deadline:%Y-%m-%d %H:%M %Z}",
                extra=about(trans_rec_id=noted.trans_rec_id),
            )


def attempt(result: Round, doing: str, step: Callable[[Round], None]) -> None:
    """Take a step of a round; what goes wrong is noted in it, and ends nothing else."""
    try:
        step(result)
    except AMIEEngineError as error:
        _note(result, error)
    except Exception as error:  # noqa: BLE001 # not even a defect of ours stops the loop
        _note(result, InternalError.caused_by(error, doing))


def _note(result: Round, error: AMIEEngineError) -> None:
    result.errors.append(error)
    logger.warning("%s: %s", error.code, told(error), extra=about(code=error.code))
