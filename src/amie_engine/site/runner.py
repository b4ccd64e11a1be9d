"""The loop: poll, receive, work, send, deliver; and again, until it is asked to stop."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import SettingsError
from amie_engine.site.handlers import Site
from amie_engine.site.hands import LOOK_AGAIN, Hands
from amie_engine.site.hanging import HangingCalls
from amie_engine.site.observing import Observer, Observers
from amie_engine.site.pace import Pace, Plan
from amie_engine.site.parts import Parts, attempt
from amie_engine.site.poller import FULL_LISTING_EVERY
from amie_engine.site.presence import Presence
from amie_engine.site.reconciling import Reconciler, Reconciliation
from amie_engine.site.round import Round
from amie_engine.site.stopping import stopping_on_signals
from amie_engine.site.worked import Worked

__all__ = ["LONGEST_INTERVAL", "Runner"]

logger = logging.getLogger("amie_engine.site")

LONGEST_INTERVAL = 300.0
"""Seconds between two polls of a service that has had no news for long, unless a site says otherwise."""


class Runner:
    """Runs a site: polls the service, receives what it lists, calls the handlers, sends the replies, calls
    subscribers.

    An exception of the site's code, a bad packet or a call that fails never stops the loop or the others. A
    subscriber that is new, and follows the log from now on, begins when the runner is made.

    Args:
        engine: The site's engine.
        client: A client for the same site.
        site: The site's handlers and subscribers.
        interval: Seconds between two polls after one that had news.
        longest_interval: Seconds between two polls after many without news.
        full_listing_every: How long after a listing of all that is in progress the next one is due; in
            between, only what has changed is asked for.
        workers: In how many threads `run` calls handlers. With a log in memory there are none: then handlers
            are called between the polls.
        client_state: What to note at the service on each packet that was taken in, as its ``client_state``,
            so that other tools of the site see it; None for nothing.
        observers: Are told of what it does.
        jitter: Gives a number from 0 to 1 that spreads retries and polls; for tests.
        stopwatch: Gives seconds, to measure polls and handlers by; for tests.

    Raises:
        SettingsError: Engine, client and handlers are not all of one site, there is no worker, or the
            client_state can't be one.
        LogError: The database can't be used.
    """

    def __init__(
        self,
        engine: Engine,
        client: AMIEClient,
        site: Site,
        *,
        interval: float = 30.0,
        longest_interval: float = LONGEST_INTERVAL,
        full_listing_every: timedelta = FULL_LISTING_EVERY,
        workers: int = 1,
        client_state: str | None = None,
        observers: Iterable[Observer] = (),
        jitter: Callable[[], float] = random.random,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not engine.site == client.site_name == site.name:
            raise SettingsError(
                f"The engine is for site {engine.site}, the client for {client.site_name}, the handlers for"
                f" {site.name}.",
                hint="Give all three the site's AMIE name.",
            )
        if workers < 1:
            raise SettingsError("A runner has at least one worker.")
        self.engine = engine
        self.client = client
        self.site = site
        self._workers = workers
        self._observer = Observers((Presence(engine), *observers))
        self._hanging = HangingCalls(engine, workers, self._observer)
        self._stop: threading.Event | None = None
        self._parts = Parts(
            engine,
            client.stoppable(self._is_stopped),
            site,
            self._observer,
            full_listing_every=full_listing_every,
            client_state=client_state,
            jitter=jitter,
            stopwatch=stopwatch,
        )
        self._goes_on = False
        self._plan = Plan(Pace(interval, longest_interval), engine.now, jitter)
        for subscription in site.subscriptions:
            engine.subscriptions.begin(subscription)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A loop that an exception ends has crashed; a Ctrl-C, say, or a single round has not.
        if kind is None or not issubclass(kind, Exception) or not self._goes_on:
            self.leave()

    def poll_once(self) -> dict[OutcomeKind, int]:
        """Take in what is new at the service, and the histories of transactions that have gone on unseen;
        return how many packets came to what end. Of histories, what the log has already does not count.

        Raises:
            AMIERequestError: The service could not be asked for its list, or for a transaction's history.
            LogError: The database can't be used.
        """
        result = Round()
        try:
            self._parts.poll(result)
        finally:
            self._observer.planned(None, key_is_refused=result.key_is_refused)
        _raise_first(result)
        return result.received

    def work_once(self) -> dict[Worked, int]:
        """Call the handlers for all that may be worked on now.

        Raises:
            LogError: The database can't be used.
        """
        return self._parts.worker.work_once()

    def work_on(self, trans_rec_id: int | str) -> Worked:
        """Call the handler for what waits for the site in one transaction, if it may be worked on now.

        It is for a task queue, whose messages may come late, twice, or not at all: what is handed out is
        looked at anew, and whoever takes its lease is the only one at work on it. `engine.work.ready` lists
        what is to be handed out.

        Args:
            trans_rec_id: The transaction's record id at the service.

        Returns:
            What became of it: ``not_yet`` where nothing is to be done now, since it is done, somebody else is
            at it, or it waits for a time, a person, or another transaction.

        Raises:
            TransactionNotFound: The log has no such transaction.
            LogError: The database can't be used.
        """
        for row in self.engine.work.ready_in(trans_rec_id):
            return self._parts.worker.work_on(row)
        with self.engine.view() as view:
            view.require(trans_rec_id)
        return Worked.NOT_YET

    def send_once(self) -> int:
        """Send what is in the outbox; return how much of it has arrived.

        After a refused key, too many calls or no connection there is a pause, in which it sends nothing.

        Raises:
            AMIERequestError: What became of something is not known. It stays in the outbox, and a later call
                looks for it at the service.
            LogError: The database can't be used.
        """
        result = Round()
        self._parts.send(result)
        _raise_first(result)
        return result.sent

    def deliver_once(self) -> int:
        """Call the site's subscribers for all that is new to them; return how many events they have taken.

        Raises:
            LogError: The database can't be used.
        """
        result = Round()
        self._parts.deliver_all(result, None)
        _raise_first(result)
        return result.delivered

    def reconcile(self, *, take_in: bool = False) -> Reconciliation:
        """Compare what the service has of each open transaction with what the log has.

        Args:
            take_in: Whether to take in what the service has and the log has not, and compare again; without
                it nothing is changed.

        Raises:
            AMIERequestError: The service could not be asked.
            LogError: The database can't be used.
        """
        return Reconciler(self.engine, self.client).reconcile(take_in=take_in)

    def run_once(self, stop: threading.Event | None = None) -> Round:
        """One round: poll, work, send, deliver. What fails is in the round's ``errors``; the rest goes on.

        Args:
            stop: Once it is set, no further handler or subscriber is called, and no call that failed is tried
                again; what was decided is still sent.
        """
        self._stop = stop
        result = Round()
        attempt(result, "polling", self._parts.poll)
        attempt(result, "working", lambda result: self._parts.work(result, stop))
        attempt(result, "sending", self._parts.send)
        self._parts.note_client_states(result)
        attempt(result, "noting deadlines", self._parts.note_deadlines)
        self._parts.deliver_all(result, stop)
        self._observer.planned(None, key_is_refused=result.key_is_refused)
        return result

    def tick(self, stop: threading.Event | None = None, *, works: bool = True) -> tuple[Round, float]:
        """Do what is due now: poll when it is time, work, send, deliver; for a loop of the site's own.

        Args:
            stop: Once it is set, no further handler or subscriber is called, and no call that failed is tried
                again; what was decided is still sent.
            works: Whether handlers and subscribers are called; False where other threads or processes do
                that.

        Returns:
            What was done, and after how many seconds the service is to be polled next. Work that waits for a
            time, and what other processes put into the outbox, is looked for by each call.
        """
        self._stop = stop
        self._goes_on = True
        result = Round()
        polls = self._plan.is_due
        if polls:
            attempt(result, "polling", self._parts.poll)
        if works:
            attempt(result, "working", lambda result: self._parts.work(result, stop))
        if not result.key_is_refused and (polls or not self._plan.key_is_refused):
            attempt(result, "sending", self._parts.send)
            self._parts.note_client_states(result)
        attempt(result, "noting deadlines", self._parts.note_deadlines)
        if works:
            self._parts.deliver_all(result, stop)
        if polls or result.has_news or result.key_is_refused:
            self._plan.after(result)
            self._observer.planned(self._plan.poll_at, key_is_refused=result.key_is_refused)
        return result, self._plan.seconds

    def run(
        self, stop: threading.Event | None = None, *, on_round: Callable[[Round], object] | None = None
    ) -> None:
        """Run until ``stop`` is set; in the main thread also until SIGTERM or SIGINT.

        Handlers are called in threads of their own, and each subscriber is in one of its own: a slow one
        holds up neither polling nor sending. One that is at work at the end is finished first, and what was
        decided is sent, also meanwhile. A second signal does not wait for it.

        Args:
            stop: Set it to end the loop.
            on_round: Called with what was done, each time that something was done, or the service was asked.

        Raises:
            KeyboardInterrupt: A second signal came. Handlers and subscribers may still be at work, in threads
                that end with the process.
        """
        stop = stop or threading.Event()
        in_threads = not self.engine.database.is_in_memory
        hands = Hands(self._parts.tasks(self._workers) if in_threads else (), stop)
        self._observer.started()
        try:
            with stopping_on_signals(stop), hands:
                self._loop(stop, hands, on_round, works=not in_threads)
                self._finish(hands, on_round)
            self._send_what_was_decided(hands, on_round)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self._hanging.tell_what_is_cut_off()
            if not isinstance(error, Exception):
                self.leave()
            raise
        self.leave()
        logger.info("Stopped.")

    def leave(self) -> None:
        """Note in the log's database that this process polls no more: else it is taken for one that has
        crashed. `run` does so at its end, and so does a ``with`` block, unless an exception has ended a loop
        in it."""
        self._observer.stopped()

    def _loop(
        self,
        stop: threading.Event,
        hands: Hands,
        on_round: Callable[[Round], object] | None,
        *,
        works: bool,
    ) -> None:
        while not stop.is_set():
            self._hanging.look()
            self._observer.alive()
            polls = self._plan.is_due
            result, seconds = self.tick(stop, works=works)
            hands.add_what_was_done(result)
            if result.has_news:
                hands.look_again()
            if on_round is not None and (polls or result.moved or result.delivered or result.errors):
                on_round(result)
            if not (result.moved and not result.errors):
                hands.wait(min(seconds, LOOK_AGAIN))

    def _finish(self, hands: Hands, on_round: Callable[[Round], object] | None) -> None:
        """Wait for handlers and subscribers that are at work, and send meanwhile what others have decided."""
        self._observer.stopping()
        self._hanging.tell_what_is_waited_for()
        while hands.are_at_work:
            hands.wait(LOOK_AGAIN)
            if hands.are_at_work:
                self._observer.alive()
                self._send_what_was_decided(hands, on_round)

    def _send_what_was_decided(self, hands: Hands, on_round: Callable[[Round], object] | None) -> None:
        result = Round()
        hands.add_what_was_done(result)
        if not self._plan.key_is_refused:
            attempt(result, "sending", self._parts.send)
        if result.key_is_refused:
            self._plan.after(result)  # nothing is sent any more
        if on_round is not None and (result.moved or result.delivered or result.errors):
            on_round(result)

    def _is_stopped(self) -> bool:
        """Whether the client is to wait no longer before another attempt. It asks each second of its waits:
        so the loop is seen to go on meanwhile."""
        self._observer.alive()
        return self._stop is not None and self._stop.is_set()


def _raise_first(result: Round) -> None:
    if result.errors:
        raise result.errors[0]
