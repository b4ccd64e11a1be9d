"""The loop: poll, receive, work, send; and again, until it is asked to stop."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, Outcome, OutcomeKind
from amie_engine.errors import (
    AMIEEngineError,
    AMIERequestError,
    InternalError,
    LogError,
    SettingsError,
)
from amie_engine.packet.packetlist import PacketList
from amie_engine.site.handlers import Site
from amie_engine.site.sender import Sender
from amie_engine.site.stopping import stopping_on_signals
from amie_engine.site.telling import told
from amie_engine.site.worker import Worked, Worker

__all__ = ["Round", "Runner"]

logger = logging.getLogger("amie_engine.site")

_FIRST_LOOK = timedelta(minutes=1)
_LAST_LOOK = timedelta(hours=1)
_LOOKS_A_ROUND = 50
"""How many histories one round fetches, so that a long absence costs the service few calls at a time."""

_BATCH = 100
"""How many packets are taken in in one commit: each commit waits for the disk."""

_LOUD = {
    OutcomeKind.CONFLICT: "Packet %s of transaction %s came again with other content; both are kept.",
    OutcomeKind.QUARANTINED: "Packet %s of transaction %s is in quarantine.",
}


@dataclass(slots=True)
class Round:
    """What one round of the loop did.

    Attributes:
        received: How many packets came to what end: what was listed, and what histories brought that is new.
        worked: How many items of work came to what end.
        sent: How much of the outbox has arrived.
        errors: What went wrong; the rest went on.
    """

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

    Raises:
        SettingsError: Engine, client and handlers are not all of one site.
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
        if not engine.site == client.site_name == site.name:
            raise SettingsError(
                f"The engine is for site {engine.site}, the client for {client.site_name}, the handlers for"
                f" {site.name}.",
                hint="Give all three the site's AMIE name.",
            )
        self.engine = engine
        self.client = client
        self.site = site
        self.interval = interval
        self._worker = Worker(engine, site, jitter=jitter)
        self._sender = Sender(engine, client, jitter=jitter)
        self._noted: set[str] = set()
        self._looks: dict[str, tuple[datetime, timedelta]] = {}

    def poll_once(self) -> dict[OutcomeKind, int]:
        """Take in all that the service lists, and the histories of transactions that have gone on unseen;
        return how many packets came to what end. Of histories, what the log has already does not count.

        Raises:
            AMIERequestError: The service could not be asked for its list, or for a transaction's history.
            LogError: The database can't be used.
        """
        result = Round()
        self._poll(result)
        _raise_first(result)
        return result.received

    def work_once(self) -> dict[Worked, int]:
        """Call the handlers for all that may be worked on now.

        Raises:
            LogError: The database can't be used.
        """
        return self._worker.work_once()

    def send_once(self) -> int:
        """Send what is in the outbox; return how much of it has arrived.

        Raises:
            AMIERequestError: What became of something is not known. It stays in the outbox, and a later call
                looks for it at the service.
            LogError: The database can't be used.
        """
        result = Round()
        self._send(result)
        _raise_first(result)
        return result.sent

    def run_once(self, stop: threading.Event | None = None) -> Round:
        """One round: poll, work, send. What fails is in the round's ``errors``; the rest goes on.

        Args:
            stop: Once it is set, no further handler is called; what was decided is still sent.
        """
        result = Round()
        steps: dict[str, Callable[[Round], None]] = {
            "polling": self._poll,
            "working": lambda result: self._work(result, stop),
            "sending": self._send,
        }
        for doing, step in steps.items():
            try:
                step(result)
            except AMIEEngineError as error:
                self._note(result, error)
            except Exception as error:  # noqa: BLE001 # not even a defect of ours stops the loop
                self._note(result, InternalError.caused_by(error, doing))
        return result

    def run(
        self, stop: threading.Event | None = None, *, on_round: Callable[[Round], object] | None = None
    ) -> None:
        """Run rounds until ``stop`` is set; in the main thread also until SIGTERM or SIGINT.

        A handler that is at work then is finished first, and what was decided is sent.

        Args:
            stop: Set it to end the loop.
            on_round: Called after each round with what it did.
        """
        stop = stop or threading.Event()
        with stopping_on_signals(stop):
            while not stop.is_set():
                result = self.run_once(stop)
                if on_round is not None:
                    on_round(result)
                if not result.moved or result.errors:
                    stop.wait(self.interval)
        logger.info("Stopped.")

    def _poll(self, result: Round) -> None:
        listing = self.client.list_packets()
        histories: dict[str, None] = {}
        for outcome in self._receive((*listing, *(entry.document for entry in listing.unreadable)), result):
            result.received[outcome.kind] += 1
            self._tell(outcome)
            gap = outcome.history_needed or outcome.kind is OutcomeKind.HELD
            if gap and outcome.trans_rec_id is not None:
                histories[outcome.trans_rec_id] = None
        for trans_rec_id in (*histories, *self._moved_unseen(listing)):
            self._adopt(trans_rec_id, result)
        self._acknowledge(listing)

    def _receive(self, sources: Sequence[Any], result: Round) -> Iterator[Outcome]:
        """Take in what is listed, a batch a commit."""
        for start in range(0, len(sources), _BATCH):
            batch = sources[start : start + _BATCH]
            try:
                yield from self.engine.receive_all(batch)
            except LogError:
                raise
            except Exception:  # noqa: BLE001 # a defect with one packet must not hide the others
                yield from self._receive_each(batch, result)

    def _receive_each(self, sources: Sequence[Any], result: Round) -> Iterator[Outcome]:
        for source in sources:
            try:
                outcome = self.engine.receive(source)
            except LogError:
                raise
            except Exception as error:  # noqa: BLE001 # the others go on
                self._note(result, InternalError.caused_by(error, "receiving a packet"))
                continue
            yield outcome

    def _moved_unseen(self, listing: PacketList) -> list[str]:
        """The open transactions of which the service lists nothing any more.

        It lists a packet until it is answered: so it has gone on without us. An answer of its was lost on
        the way, or it, or another tool of the site, has set the transaction failed. Its history tells. One
        that has no news is asked for again later and later.
        """
        documents = (entry.document for entry in listing.unreadable)
        listed = {str(packet.trans_rec_id) for packet in listing} | {
            _trans_rec_id(each) for each in documents
        }
        now = self.engine.now()
        open_ids = [transaction.trans_rec_id for transaction in self.engine.transactions(open_only=True)]
        unseen = [name for name in open_ids if name is not None and name not in listed]
        self._looks = {name: self._looks[name] for name in unseen if name in self._looks}
        due = [name for name in unseen if name not in self._looks or self._looks[name][0] <= now]
        for name in due[:_LOOKS_A_ROUND]:
            pause = min(self._looks[name][1] * 2, _LAST_LOOK) if name in self._looks else _FIRST_LOOK
            self._looks[name] = (now + pause, pause)
        return due[:_LOOKS_A_ROUND]

    def _work(self, result: Round, stop: threading.Event | None) -> None:
        result.worked = self._worker.work_once(stop)

    def _send(self, result: Round) -> None:
        sent = self._sender.send_once()
        result.sent = sent.arrived
        result.errors += sent.errors

    def _adopt(self, trans_rec_id: str, result: Round) -> None:
        """Fetch the history of a transaction of which a packet came whose predecessors the log has not: it
        began before the log did, or another tool of the site has replied in it."""
        try:
            outcomes = self.engine.adopt(self.client.get_transaction(trans_rec_id))
        except AMIERequestError as error:
            logger.warning("The history of transaction %s can't be fetched.", trans_rec_id)
            self._note(result, error)
            return
        logger.info("Fetched the history of transaction %s: %d packets.", trans_rec_id, len(outcomes))
        for outcome in outcomes:
            if outcome.kind is not OutcomeKind.ALREADY_THERE:
                result.received[outcome.kind] += 1
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
            logger.error(message, outcome.packet_rec_id or "without id", outcome.trans_rec_id or "unknown")
        elif outcome.kind is OutcomeKind.ACCEPTED:
            logger.info(
                "Received %s as packet %s of transaction %s.",
                outcome.packet_type,
                outcome.packet_rec_id,
                outcome.trans_rec_id,
            )

    def _note(self, result: Round, error: AMIEEngineError) -> None:
        result.errors.append(error)
        logger.warning("%s: %s", error.code, told(error))


def _trans_rec_id(document: Any) -> str:
    header = document.get("header") if isinstance(document, dict) else None
    return str(header.get("trans_rec_id")) if isinstance(header, dict) else ""


def _raise_first(result: Round) -> None:
    if result.errors:
        raise result.errors[0]
