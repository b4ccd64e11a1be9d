"""The loop: poll, receive, work, send; and again, until it is asked to stop."""

from __future__ import annotations

import logging
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, Outcome, OutcomeKind
from amie_engine.errors import AMIEEngineError
from amie_engine.packet.packetlist import PacketList
from amie_engine.site.handlers import Site
from amie_engine.site.sender import Sender
from amie_engine.site.worker import Worked, Worker

__all__ = ["Round", "Runner"]

logger = logging.getLogger("amie_engine.site")

_LOUD = {
    OutcomeKind.CONFLICT: "Packet %s of transaction %s came again with other content; both are kept.",
    OutcomeKind.QUARANTINED: "Packet %s of transaction %s is in quarantine.",
}


@dataclass(slots=True)
class Round:
    """What one round of the loop did."""

    received: dict[OutcomeKind, int] = field(default_factory=lambda: dict.fromkeys(OutcomeKind, 0))
    worked: dict[Worked, int] = field(default_factory=lambda: dict.fromkeys(Worked, 0))
    sent: int = 0
    errors: list[AMIEEngineError] = field(default_factory=list)

    @property
    def moved(self) -> bool:
        """Whether anything changed, so that another round may find more to do at once."""
        news = {OutcomeKind.ACCEPTED, OutcomeKind.CONFIRMED}
        return bool(any(self.received[kind] for kind in news) or self.worked[Worked.REPLIED] or self.sent)


class Runner:
    """Runs a site: polls the service, receives what it lists, calls the handlers, sends the replies.

    A handler's exception, a bad packet or a call that fails never stops the loop or the other packets.

    Args:
        engine: The site's engine.
        client: A client for the same site.
        site: The site's handlers.
        interval: Seconds between two rounds when there is nothing to do.
        jitter: Gives a number from 0 to 1 that spreads retries; for tests.
    """

    def __init__(
        self,
        engine: Engine,
        client: AMIEClient,
        site: Site,
        *,
        interval: float = 30.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.engine = engine
        self.client = client
        self.site = site
        self.interval = interval
        self._worker = Worker(engine, site, jitter=jitter)
        self._sender = Sender(engine, client, jitter=jitter)
        self._noted: set[str] = set()

    def poll_once(self) -> dict[OutcomeKind, int]:
        """Take in all that the service lists; return how many packets came to what end.

        Raises:
            AMIERequestError: The service could not be asked.
        """
        counts = dict.fromkeys(OutcomeKind, 0)
        listing = self.client.list_packets()
        for source in (*listing, *(entry.document for entry in listing.unreadable)):
            outcome = self.engine.receive(source)
            counts[outcome.kind] += 1
            self._tell(outcome)
            if outcome.history_needed and outcome.trans_rec_id is not None:
                self._adopt(outcome.trans_rec_id)
        self._acknowledge(listing)
        return counts

    def work_once(self) -> dict[Worked, int]:
        """Call the handlers for all that may be worked on now."""
        return self._worker.work_once()

    def send_once(self) -> int:
        """Send what is in the outbox; return how much of it has arrived."""
        return self._sender.send_once()

    def run_once(self) -> Round:
        """One round: poll, work, send. What fails is in the round's ``errors``; the rest goes on."""
        result = Round()
        for step in (self._poll_into, self._work_into, self._send_into):
            try:
                step(result)
            except AMIEEngineError as error:
                logger.warning("%s: %s", error.code, error.message)
                result.errors.append(error)
        return result

    def run(
        self, stop: threading.Event | None = None, *, on_round: Callable[[Round], object] | None = None
    ) -> None:
        """Run rounds until ``stop`` is set; in the main thread also until SIGTERM or SIGINT.

        The round that is under way is finished first: a handler is never cut off in the middle.

        Args:
            stop: Set it to end the loop.
            on_round: Called after each round with what it did.
        """
        stop = stop or threading.Event()
        with _stopping(stop):
            while not stop.is_set():
                result = self.run_once()
                if on_round is not None:
                    on_round(result)
                if not result.moved or result.errors:
                    stop.wait(self.interval)
        logger.info("Stopped.")

    def _poll_into(self, result: Round) -> None:
        result.received = self.poll_once()

    def _work_into(self, result: Round) -> None:
        result.worked = self.work_once()

    def _send_into(self, result: Round) -> None:
        result.sent = self.send_once()

    def _adopt(self, trans_rec_id: str) -> None:
        """Fetch the history of a transaction that began before the log did."""
        try:
            outcomes = self.engine.adopt(self.client.get_transaction(trans_rec_id))
        except AMIEEngineError as error:
            logger.warning("Can't fetch the history of transaction %s (%s).", trans_rec_id, error.code)
            return
        logger.info("Adopted transaction %s with its %d packets.", trans_rec_id, len(outcomes))
        for outcome in outcomes:
            self._tell(outcome)

    def _acknowledge(self, listing: PacketList) -> None:
        acknowledged = self.engine.note_full_listing(listing)
        if acknowledged:
            logger.info("Acknowledging %d informs that linger at the service.", acknowledged)

    def _tell(self, outcome: Outcome) -> None:
        """Log what is loud, once, though every poll may list it again."""
        message = _LOUD.get(outcome.kind)
        note = f"{outcome.kind}:{outcome.quarantine_id or outcome.packet_rec_id}"
        if message is not None and note not in self._noted:
            self._noted.add(note)
            logger.error(message, outcome.packet_rec_id, outcome.trans_rec_id)
        elif outcome.kind is OutcomeKind.ACCEPTED:
            logger.info(
                "Received %s as packet %s of transaction %s.",
                outcome.packet_type,
                outcome.packet_rec_id,
                outcome.trans_rec_id,
            )


class _stopping:  # noqa: N801 # a context manager, used like a function
    """SIGTERM and SIGINT set an event while the block runs, in the main thread; elsewhere nothing changes."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._set)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _set(self, number: int, _frame: Any) -> None:
        logger.info("%s: stopping after this round.", signal.Signals(number).name)
        self._stop.set()
