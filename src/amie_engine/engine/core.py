"""The engine that a site talks to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy

from amie_engine.audit.timeline import Story, tell
from amie_engine.engine.acknowledging import LINGERS_AFTER, acknowledge_listed
from amie_engine.engine.adoption import History
from amie_engine.engine.drafts import draft_for
from amie_engine.engine.due import turn_of
from amie_engine.engine.failures import decide_deadline, decide_failure
from amie_engine.engine.following import answer_repeats
from amie_engine.engine.incoming import INFORM, read_incoming
from amie_engine.engine.listing import list_quarantine, list_transactions
from amie_engine.engine.outbox import Outbox
from amie_engine.engine.quarantine import find_item
from amie_engine.engine.receiving import Receiver
from amie_engine.engine.replies import decide_reply, decide_start
from amie_engine.engine.source import Unusable
from amie_engine.engine.state import SET_FAILED, START, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.engine.views import Due, Handle, Outcome, QuarantinedItem, TransactionSummary
from amie_engine.engine.work import WorkQueue
from amie_engine.errors import QuarantineNotFound, SettingsError
from amie_engine.log.database import Database
from amie_engine.log.events import NewEvent
from amie_engine.log.migrate import check_schema
from amie_engine.log.store import EventLog
from amie_engine.packet.base import Packet
from amie_engine.transaction import Transaction

__all__ = ["ACKNOWLEDGE", "Engine"]

ACKNOWLEDGE = ("never", "when_lingering", "always")


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid4().hex


class Engine:
    """The AMIE engine of one site at one hub: it receives packets, tells what is due, and takes replies.

    Everything it is told goes into an append-only log before it answers. It sends nothing itself: the outbox
    holds what is to be sent, and `amie_engine.site.Runner` (or the site's own loop) sends it.

    Args:
        database: A URL, or the site's own SQLAlchemy engine. An empty or absent SQLite file gets its schema
            now; any other database only by ``amie-engine migrate``.
        site: The site's AMIE name, up to 16 characters.
        hub: A name for the central service. Sandbox, test and production services number alike: give each a
            name of its own.
        acknowledge_inform: Whether to answer an inform of the hub's: ``never``, ``when_lingering`` (once, if
            the service still lists it minutes after it was settled) or ``always``.
        clock: Gives the time, with zone; for tests.
        new_id: Gives ids for the log's streams; for tests.

    Raises:
        LogError: The database can't be used; its subclasses say why.
        SettingsError: A name or a setting has a value that it can't have.
    """

    def __init__(
        self,
        database: str | sqlalchemy.Engine,
        *,
        site: str,
        hub: str = "access",
        acknowledge_inform: str = "when_lingering",
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        if not site or len(site) > 16 or not site.isprintable():
            raise SettingsError("The site's name must have 1 to 16 characters.")
        if acknowledge_inform not in ACKNOWLEDGE:
            raise SettingsError(f"acknowledge_inform must be one of {', '.join(ACKNOWLEDGE)}.")
        self.site = site
        self.hub = hub
        self.now = clock
        self._acknowledge = acknowledge_inform
        self._new_id = new_id
        self.database = Database(database)
        check_schema(self.database)
        self.log = EventLog(self.database, hub=hub, site=site, clock=clock)
        self.receiver = Receiver(site, new_id, clock, acknowledge_inform == "always")
        self.outbox = Outbox(self)
        self.work = WorkQueue(self)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Engine of {self.site} at {self.hub}, {self.database.url}>"

    def close(self) -> None:
        """Close the database's connections, unless they are the site's own."""
        self.database.close()

    # What comes in

    def receive(self, packet: Packet | Mapping[str, Any] | str | bytes) -> Outcome:
        """Take a packet in; it is in the log when this returns. Bad input never raises.

        Args:
            packet: A packet, its wire document, or its JSON as text or bytes.

        Returns:
            What became of it: accepted, already_there, confirmed, held, conflict, duplicate or quarantined.
            Handing in again what was handed in before changes nothing.

        Raises:
            LogError: The database can't be used; nothing was written.
        """
        incoming = read_incoming(packet, self.site)
        with self.log.read() as reader:
            known = self.receiver.already_there(View(reader), incoming)
        if known is not None:
            return known
        return in_unit(self.log, lambda unit: self.receiver.receive(unit, incoming))

    def adopt(self, transaction: Transaction | Mapping[str, Any]) -> list[Outcome]:
        """Take in the whole history of a transaction, in one commit: of one that began before the log did, or
        in which a packet did not come to us.

        Args:
            transaction: What ``client.get_transaction`` gives, or its wire document.

        Returns:
            An outcome for each of its packets, in their order.

        Raises:
            PacketInvalidData: The document is that of no transaction.
        """
        if not isinstance(transaction, Transaction):
            transaction = Transaction.from_dict(transaction)
        history = History(transaction, self.site)
        return in_unit(self.log, lambda unit: history.adopt(unit, self.receiver))

    def note_full_listing(self, packets: Iterable[Packet]) -> int:
        """Look for informs that linger in a full listing of the service, and acknowledge each once.

        An inform that answers one of ours is never acknowledged, so that no loop can start.

        Args:
            packets: All packets that the service lists as in progress.

        Returns:
            How many acknowledgements went into the outbox.
        """
        if self._acknowledge == "never":
            return 0
        now = self.now()
        settled_before = now if self._acknowledge == "always" else now - LINGERS_AFTER
        return sum(
            acknowledge_listed(self.log, str(packet.packet_rec_id), settled_before=settled_before)
            for packet in packets
            if packet.packet_type == INFORM
        )

    # What is due, and what the site says

    def expected_reply(self, trans_rec_id: int | str) -> Due:
        """Return whose turn it is in a transaction, what is due until when, and a draft of it.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        with self.log.read() as reader:
            view = View(reader)
            state = view.require(trans_rec_id)
            turn = turn_of(state)
            drafted = draft_for(view, state, self.now())
        return Due(
            trans_rec_id=state.trans_rec_id,
            transaction_type=state.type,
            state=str(state.state),
            turn=None if turn.party is None else str(turn.party),
            packet_types=turn.packet_types,
            deadline=turn.deadline,
            sending=turn.sending,
            request=None if drafted is None else drafted[0],
            packet=None if drafted is None else drafted[1],
            anomalies=(*state.anomalies, *turn.anomalies),
        )

    def reply(
        self,
        trans_rec_id: int | str,
        packet: Packet,
        *,
        actor: str = "site",
        work: Mapping[str, Any] | None = None,
    ) -> Handle:
        """Check a reply and put it into the outbox, in one commit.

        There is one reply to a request, ever. A failure inform (``request.reply_with_failure()``) may answer
        anything.

        Args:
            trans_rec_id: The transaction's record id at the service.
            packet: The reply: the draft of `expected_reply`, or one made with ``reply_packet()``.
            actor: Who decided it, for the record; no personal data.
            work: What the record should tell of the work behind it; no personal data.

        Raises:
            TransactionNotFound, TransactionClosed, ReplyNotDue, ReplyAlreadyDecided: The state forbids it.
            ReplyIncomplete, ReplyInvalid: The packet lacks something, or AMIE forbids something in it.
        """

        def decide(unit: UnitOfWork) -> Handle:
            state = unit.require(trans_rec_id)
            event = decide_reply(state, packet, actor=actor, work=work)
            answer_repeats(unit, unit.append(state, [event]), self.now())
            return Handle(state.stream, state.trans_rec_id, event.facts["answers"], event.packet_type)

        return in_unit(self.log, decide)

    def start(self, packet: Packet, *, actor: str = "site") -> Handle:
        """Begin a transaction of the site's own: check its first packet and put it into the outbox.

        Its wire id comes with the service's answer; until then the handle's ``stream`` names it.

        Raises:
            StartNotAllowed: A site begins no transaction with that type.
            ReplyIncomplete, ReplyInvalid: The packet lacks something, or AMIE forbids something in it.
        """
        stream = self._new_id()
        event = decide_start(stream, packet, actor=actor)
        empty = TransactionState(stream, hub=self.hub, site=self.site)
        in_unit(self.log, lambda unit: unit.append(empty, [event]))
        return Handle(stream, None, START, packet.packet_type)

    def fail(self, trans_rec_id: int | str, reason: str, *, actor: str = "site") -> Handle:
        """Have the service set a transaction failed: the way to fail it after its reply has gone out.

        One that the site began and that has not reached the service is given up.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            reason: Why, for the site's own record.
            actor: Who decided it, for the record; no personal data.

        Raises:
            TransactionNotFound, TransactionClosed, ReplyAlreadyDecided, ReplyNotDue: The state forbids it.
        """

        def decide(unit: UnitOfWork) -> TransactionState:
            state = unit.require(trans_rec_id)
            return self._append(unit, state, decide_failure(state, reason, actor=actor))

        state = in_unit(self.log, decide)
        return Handle(state.stream, state.trans_rec_id, SET_FAILED, None)

    def confirm_deadline(self, trans_rec_id: int | str, *, actor: str) -> None:
        """Record that an operator takes a transaction whose deadline has passed for failed.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            actor: Who confirmed it, for the record; no personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
            TransactionClosed: It has ended already.
            ReplyNotDue: Its deadline has not passed, or it has none.
        """

        def confirm(unit: UnitOfWork) -> TransactionState:
            state = unit.require(trans_rec_id)
            return self._append(unit, state, decide_deadline(state, self.now(), actor=actor))

        in_unit(self.log, confirm)

    def _append(self, unit: UnitOfWork, state: TransactionState, event: NewEvent) -> TransactionState:
        """Append what was decided, and do what follows from it."""
        return self.receiver.settle(unit, unit.append(state, [event]))

    # What the log tells

    def history(self, trans_rec_id: int | str, *, documents: bool = False) -> Story:
        """Return the whole story of a transaction: packets, decisions, work, replies, times, in order.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            documents: Whether the entries carry their documents, which hold personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        with self.log.read() as reader:
            view = View(reader)
            return tell(view, view.require(trans_rec_id), documents=documents)

    def transactions(self, *, open_only: bool = False) -> list[TransactionSummary]:
        """Return the transactions, oldest first."""
        with self.log.read() as reader:
            return list_transactions(reader, open_only=open_only)

    def quarantine(self, *, released: bool = False) -> list[QuarantinedItem]:
        """Return what is in quarantine, oldest first; with ``released`` also what has left it."""
        with self.log.read() as reader:
            return list_quarantine(reader, released=released)

    def quarantined(self, quarantine_id: str) -> QuarantinedItem:
        """Return one thing in quarantine with its bytes as they came.

        Raises:
            QuarantineNotFound: There is none with this id, or several whose ids begin so.
        """
        with self.log.read() as reader:
            return find_item(reader, quarantine_id)

    def release(self, quarantine_id: str, *, actor: str = "operator") -> Outcome:
        """Receive again what is in quarantine, after a fix. What still can't be used stays there.

        Args:
            quarantine_id: Its id, or the beginning of it.
            actor: Who releases it, for the record; no personal data.

        Raises:
            QuarantineNotFound: There is none with this id, several whose ids begin so, or its bytes were
                erased.
        """
        item = self.quarantined(quarantine_id)
        if item.content is None:
            raise QuarantineNotFound(
                f"The bytes of {item.quarantine_id} were erased from quarantine.", hint=""
            )
        incoming = read_incoming(item.content, self.site)
        if isinstance(incoming, Unusable):
            return Outcome.quarantined(incoming, item.quarantine_id)
        return in_unit(self.log, lambda unit: self.receiver.receive(unit, incoming, actor=actor))
