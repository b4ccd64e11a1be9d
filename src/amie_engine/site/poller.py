"""Polling: what is new at the service is taken into the log, at few calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from amie_engine._logging import about
from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, Outcome, OutcomeKind
from amie_engine.engine.state import UNKNOWN_AT_SERVICE
from amie_engine.errors import (
    AMIEEngineError,
    AMIERequestError,
    EventUnreadable,
    InternalError,
    LogError,
    ServiceNotFound,
)
from amie_engine.packet.base import Packet
from amie_engine.packet.packetlist import PacketList
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.site.client_states import ClientStates
from amie_engine.site.observing import Observer
from amie_engine.site.refusals import is_the_services_word, note_unknown
from amie_engine.site.round import Round
from amie_engine.site.telling import UnreadableThings, told

__all__ = ["FULL_LISTING_EVERY", "Poller", "trans_rec_id_in"]

logger = logging.getLogger("amie_engine.site")

FULL_LISTING_EVERY = timedelta(minutes=15)

_OVERLAP = timedelta(minutes=10)
"""How much of what was listed before is asked for again: clocks differ, and a listing takes its time."""

_FIRST_LOOK = timedelta(minutes=1)
_LAST_LOOK = timedelta(hours=1)
_LOOKS_A_ROUND = 50
"""How many histories of what went on unseen one poll fetches, so that a long absence costs the service few
calls at a time; the next polls fetch the others."""

_BATCH = 100
"""How many packets are taken in in one commit: each commit waits for the disk."""

_TAKEN_IN = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.ALREADY_THERE})

_LOUD = {
    OutcomeKind.CONFLICT: "Packet %s of transaction %s came again with other content; both are kept.",
    OutcomeKind.QUARANTINED: "Packet %s of transaction %s is in quarantine.",
}


class Poller:
    """Takes in what the service lists.

    It asks for all that is in progress at first and now and then, and otherwise only for what has changed
    since the poll before. What this release can't read in the log, or what is damaged there, holds up its own
    transaction and no other; the service lists a packet until it is answered, so nothing of it is lost.

    Args:
        engine: Where the packets go.
        client: A client for the same site.
        full_listing_every: How long after a full listing the next one is due.
        client_states: What notes at the service which packets were taken in, where the site wants that.
        observer: Is told of what it does.
    """

    def __init__(
        self,
        engine: Engine,
        client: AMIEClient,
        *,
        full_listing_every: timedelta = FULL_LISTING_EVERY,
        client_states: ClientStates | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._observer = observer or Observer()
        self._client = client
        self._full_listing_every = full_listing_every
        self._client_states = client_states
        self._listed_all_at: datetime | None = None
        self._listed_at: datetime | None = None
        self._noted: set[str] = set()
        self._looks: dict[str, tuple[datetime, timedelta]] = {}
        self._unseen: list[str] = []
        self._unreadable = UnreadableThings()

    def poll(self, result: Round) -> None:
        """Take in what is new.

        Args:
            result: Where to count what came to what end, and what went wrong with some of it.

        Raises:
            AMIERequestError: The service could not be asked.
            LogError: The database can't be used.
        """
        now = self._engine.now()
        is_full = self._is_full_listing_due(now)
        since = None if is_full or self._listed_at is None else self._listed_at - _OVERLAP
        listing = self._client.list_packets(update_time_start=since)
        histories: dict[str, None] = {}
        taken_in: set[str] = set()
        for outcome in self._receive((*listing, *(entry.document for entry in listing.unreadable)), result):
            result.received[outcome.kind] += 1
            self._tell(outcome)
            if outcome.kind in _TAKEN_IN:
                taken_in.add(outcome.packet_rec_id or "")
            gap = outcome.history_needed or outcome.kind is OutcomeKind.HELD
            if gap and outcome.trans_rec_id is not None:
                histories[outcome.trans_rec_id] = None
        if is_full:
            self._unseen = self._moved_unseen(listing)
        for trans_rec_id in (*histories, *self._next_looks()):
            self.adopt(trans_rec_id, result)
            self._observer.alive()
            if result.retry_after is not None:
                break  # a later listing shows of which transactions the history is still needed
        if is_full:
            self._acknowledge(listing)
            self._listed_all_at = now
        if self._client_states is not None:
            self._client_states.see(listing, taken_in, is_full=is_full)
        self._listed_at = now

    def _is_full_listing_due(self, now: datetime) -> bool:
        """Also where the clock has gone back: what came since would never be asked for."""
        if self._listed_all_at is None or self._listed_at is None or now < self._listed_at:
            return True
        return now - self._listed_all_at >= self._full_listing_every

    def _receive(self, sources: Sequence[Any], result: Round) -> Iterator[Outcome]:
        """Take in what is listed, a batch a commit."""
        for start in range(0, len(sources), _BATCH):
            self._observer.alive()
            batch = sources[start : start + _BATCH]
            try:
                yield from self._engine.receive_all(batch)
            except EventUnreadable:
                yield from self._receive_each(batch, result)
            except LogError:
                raise
            except Exception:  # noqa: BLE001 # a defect with one packet must not hide the others
                yield from self._receive_each(batch, result)

    def _receive_each(self, sources: Sequence[Any], result: Round) -> Iterator[Outcome]:
        for source in sources:
            try:
                outcome = self._engine.receive(source)
            except EventUnreadable as error:
                self._note_unreadable(_trans_rec_id_of(source), error)
                continue
            except LogError:
                raise
            except Exception as error:  # noqa: BLE001 # the others go on
                _note(result, InternalError.caused_by(error, "receiving a packet"))
                continue
            yield outcome

    def _moved_unseen(self, listing: PacketList) -> list[str]:
        """The open transactions of which a full listing has nothing any more.

        The service lists a packet until it is answered: so it has gone on without us. An answer of its was
        lost on the way, or it, or another tool of the site, has set the transaction failed. Its history
        tells. One that has no news is asked for again later and later; one that the service does not know any
        more never again: that is on record, and a person ends it.
        """
        documents = (entry.document for entry in listing.unreadable)
        listed = {str(packet.trans_rec_id) for packet in listing} | {
            trans_rec_id_in(each) for each in documents
        }
        now = self._engine.now()
        open_ids = [
            transaction.trans_rec_id
            for transaction in self._engine.transactions(open_only=True)
            if UNKNOWN_AT_SERVICE not in transaction.anomalies
        ]
        unseen = [name for name in open_ids if name is not None and name not in listed]
        self._looks = {name: self._looks[name] for name in unseen if name in self._looks}
        return [name for name in unseen if self._is_due(name, now)]

    def _is_due(self, name: str, now: datetime) -> bool:
        """Whether one that is unseen is asked for; also where the clock has gone back since it was last."""
        if name not in self._looks:
            return True
        at, pause = self._looks[name]
        return at <= now or at - now > pause

    def _next_looks(self) -> list[str]:
        """Take the next of those that are looked for; what has no news then is looked for again later."""
        taken, self._unseen = self._unseen[:_LOOKS_A_ROUND], self._unseen[_LOOKS_A_ROUND:]
        now = self._engine.now()
        for name in taken:
            pause = min(self._looks[name][1] * 2, _LAST_LOOK) if name in self._looks else _FIRST_LOOK
            self._looks[name] = (now + pause, pause)
        return taken

    def adopt(self, trans_rec_id: str, result: Round) -> None:
        """Fetch the history of a transaction and take it in: of one, say, of which a packet came whose
        predecessors the log has not, since it began before the log did, or another tool of the site has
        replied in it. That it can't be fetched is noted.

        Raises:
            LogError: The database can't be used.
        """
        try:
            self._adopt(trans_rec_id, result)
        except EventUnreadable as error:
            self._note_unreadable(trans_rec_id, error)

    def _adopt(self, trans_rec_id: str, result: Round) -> None:
        try:
            outcomes = self._engine.adopt(self._client.get_transaction(trans_rec_id))
        except AMIERequestError as error:
            if isinstance(error, ServiceNotFound) and is_the_services_word(error):
                note_unknown(self._engine, trans_rec_id, error)
                return
            fields = about(trans_rec_id=trans_rec_id, code=error.code)
            logger.warning("The history of transaction %s can't be fetched.", trans_rec_id, extra=fields)
            result.waits_for(error.retry_after)
            _note(result, error)
            return
        fields = about(trans_rec_id=trans_rec_id, count=len(outcomes))
        logger.info(
            "Fetched the history of transaction %s: %d packets.", trans_rec_id, len(outcomes), extra=fields
        )
        for outcome in outcomes:
            if outcome.kind is not OutcomeKind.ALREADY_THERE:
                result.received[outcome.kind] += 1
            self._tell(outcome)

    def _acknowledge(self, listing: PacketList) -> None:
        acknowledged = 0
        for packet in listing:
            try:
                acknowledged += self._engine.note_full_listing((packet,))
            except EventUnreadable as error:
                self._note_unreadable(_trans_rec_id_of(packet), error)
        if acknowledged:
            fields = about(count=acknowledged)
            logger.info("Acknowledging %d informs that linger at the service.", acknowledged, extra=fields)

    def _note_unreadable(self, trans_rec_id: str, error: EventUnreadable) -> None:
        fields = about(trans_rec_id=trans_rec_id, code=error.code)
        self._unreadable.note(f"What comes of transaction {trans_rec_id} waits", error, fields)

    def _tell(self, outcome: Outcome) -> None:
        """Tell the observer, and log what is loud: once, though every poll may list it again."""
        self._observer.received(outcome)
        message = _LOUD.get(outcome.kind)
        note = f"{outcome.kind}:{outcome.quarantine_id or outcome.packet_rec_id}"
        if message is not None and note not in self._noted:
            self._noted.add(note)
            packet, transaction = outcome.packet_rec_id or "without id", outcome.trans_rec_id or "unknown"
            logger.error(message, packet, transaction, extra=_about(outcome))
        elif outcome.kind is OutcomeKind.ACCEPTED:
            logger.info(
                "Received %s as packet %s of transaction %s.",
                outcome.packet_type,
                outcome.packet_rec_id,
                outcome.trans_rec_id,
                extra=_about(outcome),
            )


def _about(outcome: Outcome) -> dict[str, Any]:
    """What a line of the log about a packet that came carries; what can't be used may name anything as its
    type."""
    return about(
        trans_rec_id=outcome.trans_rec_id,
        packet_rec_id=outcome.packet_rec_id,
        packet_type=outcome.packet_type if outcome.packet_type in PACKET_TYPES else None,
        code=outcome.code,
        outcome=str(outcome.kind),
    )


def _note(result: Round, error: AMIEEngineError) -> None:
    result.errors.append(error)
    logger.warning("%s: %s", error.code, told(error), extra=about(code=error.code))


def _trans_rec_id_of(source: Any) -> str:
    return str(source.trans_rec_id) if isinstance(source, Packet) else trans_rec_id_in(source)


def trans_rec_id_in(document: Any) -> str:
    """Return the record id of the transaction that a document names, as text; empty where it names none."""
    header = document.get("header") if isinstance(document, dict) else None
    name = header.get("trans_rec_id") if isinstance(header, dict) else None
    return "" if name is None else str(name)
