"""The engine that a site talks to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import sqlalchemy

from amie_engine.audit.erasing import Erasure, erase_person
from amie_engine.audit.timeline import Story, tell
from amie_engine.engine.acknowledging import LINGERS_AFTER, acknowledge_listed
from amie_engine.engine.adoption import History
from amie_engine.engine.commands import Commands
from amie_engine.engine.daemons import Daemons
from amie_engine.engine.deadlines import NotedDeadline, note_deadlines
from amie_engine.engine.decision import OutcomeKind
from amie_engine.engine.drafts import draft_for
from amie_engine.engine.due import turn_of
from amie_engine.engine.incoming import INFORM, Incoming, read_incoming
from amie_engine.engine.leases import Leases
from amie_engine.engine.listing import list_quarantine, list_transactions
from amie_engine.engine.ordering import ORDER_RULES, OrderRule
from amie_engine.engine.outbox import Outbox
from amie_engine.engine.quarantine import find_item
from amie_engine.engine.receiving import Receiver
from amie_engine.engine.service import DEFAULT_HUB
from amie_engine.engine.source import Unusable
from amie_engine.engine.staging import Staging
from amie_engine.engine.start_order import starts_that_wait
from amie_engine.engine.status import Status, read_status
from amie_engine.engine.subscriptions import Subscriptions
from amie_engine.engine.unit import UnitOfWork, View, in_unit
from amie_engine.engine.views import Due, Handle, Outcome, QuarantinedItem, TransactionSummary
from amie_engine.engine.work import WorkQueue
from amie_engine.errors import LogError, QuarantineNotFound, ServiceNotFound, SettingsError
from amie_engine.log.database import Database
from amie_engine.log.migrate import check_schema
from amie_engine.log.store import EventLog, in_utc
from amie_engine.packet.base import Packet
from amie_engine.transaction import Transaction

__all__ = ["ACKNOWLEDGE", "DEADLINE_WARNING", "Engine"]

T = TypeVar("T")

ACKNOWLEDGE = ("never", "when_lingering", "always")

DEADLINE_WARNING = timedelta(days=3)
"""How long before a deadline passes it counts as near, unless a site says otherwise."""


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
        order: In which order transactions are worked on; a site may leave rules out.
        deadline_warning: How long before a deadline passes it counts as near.
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
        hub: str = DEFAULT_HUB,
        acknowledge_inform: str = "when_lingering",
        order: Iterable[OrderRule] = ORDER_RULES,
        deadline_warning: timedelta = DEADLINE_WARNING,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        if not site or len(site) > 16 or not site.isprintable():
            raise SettingsError("The site's name must have 1 to 16 characters.")
        if acknowledge_inform not in ACKNOWLEDGE:
            raise SettingsError(f"acknowledge_inform must be one of {', '.join(ACKNOWLEDGE)}.")
        if deadline_warning < timedelta():
            raise SettingsError("deadline_warning can't be negative.")
        self.site = site
        self.hub = hub
        self.now = in_utc(clock)
        self.deadline_warning = deadline_warning
        self._acknowledge = acknowledge_inform
        self._new_id = new_id
        self.database = Database(database)
        check_schema(self.database)
        self.log = EventLog(self.database, hub=hub, site=site, clock=self.now)
        with suppress(LogError):  # known from here on: a call that joins a transaction takes no connection
            _ = self.log.log_id, self.log.place
        self.receiver = Receiver(site, new_id, self.now, acknowledge_inform == "always")
        self._newest_packet: int | None = None
        self.commands = Commands(self.receiver, self.now)
        self._staging = Staging(self.log, self.commands, new_id)
        self.outbox = Outbox(self)
        self.leases = Leases(self.log, self.now)
        self.daemons = Daemons(self.log, self.now, self.leases)
        self.work = WorkQueue(self, order)
        self.subscriptions = Subscriptions(self)

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

    def receive(
        self,
        packet: Packet | Mapping[str, Any] | str | bytes,
        *,
        connection: sqlalchemy.Connection | None = None,
    ) -> Outcome:
        """Take a packet in; it is in the log when this returns. Bad input never raises.

        Args:
            packet: A packet, its wire document, or its JSON as text or bytes.
            connection: One of the site's own to the same database: then the packet is staged in its
                transaction, commits or rolls back with it, and is taken in at the engine's next call.

        Returns:
            What became of it: accepted, already_there, confirmed, held, conflict, duplicate or quarantined;
            or staged. Handing in again what was handed in before changes nothing.

        Raises:
            LogError: The database can't be used; nothing was written, unless it is a `CommitInDoubt`.
            ConnectionNotJoinable: The connection can't be joined; nothing was written.
        """
        incoming = read_incoming(packet, self.site)
        if connection is not None:
            self._staging.receive(connection, incoming)
            return Outcome(
                OutcomeKind.STAGED, incoming.trans_rec_id, incoming.packet_rec_id, incoming.packet_type
            )
        if not self._is_surely_new(incoming):
            with self.view() as view:
                known = self.receiver.already_there(view, incoming)
            if known is not None:
                return known
        outcome = self._in_unit(lambda unit: self.receiver.receive(unit, incoming))
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._newest_packet = max(self._newest_packet or 0, int(outcome.packet_rec_id or 0))
        return outcome

    def receive_all(self, packets: Iterable[Packet | Mapping[str, Any] | str | bytes]) -> list[Outcome]:
        """Take packets in, in their order and in one commit: for a listing, that is much faster than one by
        one.

        Args:
            packets: Packets, their wire documents, or their JSON as text or bytes; some hundreds at a time.

        Returns:
            What became of each, as from `receive`.

        Raises:
            LogError: The database can't be used; nothing was written.
        """
        incoming = [read_incoming(packet, self.site) for packet in packets]
        with self.view() as view:
            found = [self.receiver.already_there(view, each) for each in incoming]
        new = [each for each, known in zip(incoming, found, strict=True) if known is None]
        outcomes = iter(self._in_unit(lambda unit: self.receiver.receive_all(unit, new)) if new else ())
        return [next(outcomes) if known is None else known for known in found]

    def _is_surely_new(self, incoming: Incoming | Unusable) -> bool:
        """Whether a packet is newer than all that were accepted here: the service numbers them as they come.
        Then there is no need to look for it before the log is locked, where it is looked for anyway."""
        newest = self._newest_packet
        return newest is not None and isinstance(incoming, Incoming) and int(incoming.packet_rec_id) > newest

    def carry_out_staged(self) -> int:
        """Carry out what was staged in transactions of the site's own that have committed; return how much.

        Every other call does so first. One that can't be carried out any more becomes an event of its
        transaction, with an anomaly: nothing is lost silently. What only a later release knows waits for it.

        Raises:
            LogError: The database can't be used; what was not carried out stays staged.
        """
        return self._staging.carry_out()

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
        return self._in_unit(lambda unit: history.adopt(unit, self.receiver))

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

    def note_unknown(self, trans_rec_id: int | str, *, code: str = ServiceNotFound.code) -> bool:
        """Note that the service does not know a transaction any more: an anomaly, which stays until a packet
        of it comes or arrives again. `fail` ends the transaction.

        Args:
            trans_rec_id: The transaction's record id at the service.
            code: The code of the error with which the service said so.

        Returns:
            Whether that is new: it is noted once, and not of a transaction that has ended.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        return self._in_unit(lambda unit: self.commands.note_unknown(unit, trans_rec_id, code))

    # What is due, and what the site says

    def expected_reply(self, trans_rec_id: int | str) -> Due:
        """Return whose turn it is in a transaction, what is due until when, and a draft of it.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        with self.view() as view:
            state = view.require(trans_rec_id)
            turn = turn_of(state)
            drafted = draft_for(view, state, self.now())
            awaited = starts_that_wait(view)
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
            waits_for=awaited.get(state.stream),
        )

    def reply(
        self,
        trans_rec_id: int | str,
        packet: Packet,
        *,
        actor: str = "site",
        work: Mapping[str, Any] | None = None,
        connection: sqlalchemy.Connection | None = None,
    ) -> Handle:
        """Check a reply and put it into the outbox, in one commit.

        There is one reply to a request, ever. A failure inform (``request.reply_with_failure()``) may answer
        anything.

        Args:
            trans_rec_id: The transaction's record id at the service.
            packet: The reply: the draft of `expected_reply`, or one made with ``reply_packet()``.
            actor: Who decided it, for the record; no personal data.
            work: What the record should tell of the work behind it; no personal data.
            connection: One of the site's own to the same database: then the reply is checked as far as can
                be known, staged in its transaction, and decided at the engine's next call after the commit.

        Raises:
            TransactionNotFound, TransactionClosed, ReplyNotDue, ReplyAlreadyDecided: The state forbids it.
            ReplyIncomplete, ReplyInvalid: The packet lacks something, or AMIE forbids something in it.
            ConnectionNotJoinable: The connection can't be joined; nothing was written.
        """
        if connection is not None:
            return self._staging.reply(connection, trans_rec_id, packet, actor=actor, work=work)
        return self._in_unit(
            lambda unit: self.commands.reply(unit, trans_rec_id, packet, actor=actor, work=work)
        )

    def start(
        self, packet: Packet, *, actor: str = "site", connection: sqlalchemy.Connection | None = None
    ) -> Handle:
        """Begin a transaction of the site's own: check its first packet and put it into the outbox.

        Its wire id comes with the service's answer; until then the handle's ``stream`` names it.

        Args:
            packet: The packet.
            actor: Who decided it, for the record; no personal data.
            connection: One of the site's own to the same database: then the packet is staged in its
                transaction, and decided at the engine's next call after the commit.

        Raises:
            StartNotAllowed: A site begins no transaction with that type.
            ReplyIncomplete, ReplyInvalid: The packet lacks something, or AMIE forbids something in it.
            ConnectionNotJoinable: The connection can't be joined; nothing was written.
            CommitInDoubt: Whether it was begun is not known: look before you begin it again.
        """
        if connection is not None:
            return self._staging.start(connection, packet, actor=actor)
        stream = self._new_id()
        return self._in_unit(lambda unit: self.commands.start(unit, stream, packet, actor=actor))

    def fail(
        self,
        trans_rec_id: int | str,
        reason: str,
        *,
        actor: str = "site",
        connection: sqlalchemy.Connection | None = None,
    ) -> Handle:
        """Have the service set a transaction failed: the way to fail it after its reply has gone out.

        One that the site began and that has not reached the service is given up, and one that the service
        does not know any more counts as failed once it has said so.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            reason: Why, for the site's own record.
            actor: Who decided it, for the record; no personal data.
            connection: One of the site's own to the same database: then it is staged in its transaction, and
                decided at the engine's next call after the commit.

        Raises:
            TransactionNotFound, TransactionClosed, ReplyAlreadyDecided, ReplyNotDue: The state forbids it.
            ConnectionNotJoinable: The connection can't be joined; nothing was written.
        """
        if connection is not None:
            return self._staging.fail(connection, trans_rec_id, reason, actor=actor)
        return self._in_unit(lambda unit: self.commands.fail(unit, trans_rec_id, reason, actor=actor))

    def resend(
        self,
        trans_rec_id: int | str,
        changes: Mapping[str, Any] | None = None,
        *,
        actor: str,
        reason: str = "",
    ) -> Handle:
        """Put what the service refused into the outbox again: mended, or as it is.

        With changes it is the packet that was refused; without, what was refused last, which may also be the
        call that sets the transaction failed. `Outbox.rejected` shows both, with the service's words.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            changes: Fields of the packet with their new values; None empties a field.
            actor: Who has it sent, for the record; no personal data.
            reason: Why, for the record; no personal data.

        Raises:
            TransactionNotFound, TransactionClosed, ReplyAlreadyDecided: The state forbids it.
            NothingRefused: Nothing in it waits to be mended: it was sent again already, say.
            ChangeInvalid: A change names no field, or has a value that the field can't have.
            ReplyIncomplete, ReplyInvalid: The mended packet lacks something, AMIE forbids something in it, or
                the packet was erased.
        """
        return self._in_unit(
            lambda unit: self.commands.resend(unit, trans_rec_id, changes or {}, actor=actor, reason=reason)
        )

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
        self._in_unit(lambda unit: self.commands.confirm_deadline(unit, trans_rec_id, actor=actor))

    def note_deadlines(self) -> list[NotedDeadline]:
        """Put on record which deadlines are near by now (``deadline_warning``), and which have passed: once
        for each packet that is waited on, whoever else looks. It fails nothing.

        The runner calls it in each round. Where there is nothing new, it is one look at the open
        transactions, and nothing is written.

        Returns:
            Those that were noted now.
        """
        return note_deadlines(self)

    # What the log tells

    def history(self, trans_rec_id: int | str, *, documents: bool = False) -> Story:
        """Return the whole story of a transaction: packets, decisions, work, replies, times, in order.

        Args:
            trans_rec_id: The transaction's record id at the service, or the stream of a `Handle`.
            documents: Whether the entries carry their documents, which hold personal data.

        Raises:
            TransactionNotFound: The log has no such transaction.
        """
        with self.view() as view:
            return tell(view, view.require(trans_rec_id), documents=documents)

    def transactions(self, *, open_only: bool = False) -> list[TransactionSummary]:
        """Return the transactions, oldest first."""
        with self.view() as view:
            return list_transactions(view, open_only=open_only)

    def status(self) -> Status:
        """Return all that matters to an operator now: daemons and service, what is open, and what needs a
        person. It costs the same however much has ended, and is fit to be asked often."""
        with self.view() as view:
            return read_status(self, view)

    def quarantine(self, *, released: bool = False) -> list[QuarantinedItem]:
        """Return what is in quarantine, oldest first; with ``released`` also what has left it."""
        with self.view() as view:
            return list_quarantine(view.reader, released=released)

    def quarantined(self, quarantine_id: str) -> QuarantinedItem:
        """Return one thing in quarantine with its bytes as they came.

        Raises:
            QuarantineNotFound: There is none with this id, or several whose ids begin so.
        """
        with self.view() as view:
            return find_item(view.reader, quarantine_id)

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
        return self._in_unit(lambda unit: self.receiver.receive(unit, incoming, actor=actor))

    # What a person may ask for

    def erase(
        self,
        *,
        person: str,
        actor: str,
        reason: str,
        transactions: Iterable[int | str] = (),
        quarantine: Iterable[str] = (),
        dry_run: bool = False,
    ) -> Erasure:
        """Erase the documents that concern a person: every packet, reply, answer and traceback of theirs.

        The facts stay (ids, logins, amounts, dates), and with them every state and projection; so do the hash
        chain, and one event that tells of the erasing. It can't be undone.

        Args:
            person: A local id, a global id or a login; all that were merged with it count as the person.
            actor: Who has them erased, for the record; no personal data.
            reason: Why, for the record; no personal data.
            transactions: Transactions that concern the person though no id says so: their record ids, or ids
                in the log. Those with an e-mail address or a DN of theirs are in ``Erasure.possible``.
            quarantine: Ids, or beginnings of ids, of what is in quarantine that is to be erased in any case.
            dry_run: Whether only to tell what would be erased.

        Returns:
            What was erased. A second time there is nothing left, and nothing is written.

        Raises:
            PersonNotFound: Nothing in the log concerns such a person.
            TransactionNotFound: The log has no such transaction.
            ErasureRefused: A transaction that is theirs, or may be, is open, something of theirs is still to
                be sent or to be carried out, the login is that of several persons, or an argument is empty.
            QuarantineNotFound: Nothing in quarantine has such an id.
        """
        self.carry_out_staged()
        return erase_person(
            self.log,
            self._new_id,
            person=person,
            actor=actor,
            reason=reason,
            transactions=transactions,
            quarantine=quarantine,
            dry_run=dry_run,
        )

    # Transactions of the log

    @contextmanager
    def view(self) -> Iterator[View]:
        """One state of the log to read from, in which what was staged before is carried out."""
        with self.log.read() as reader:
            if not self._staging.waits(reader.cursor):
                yield View(reader)
                return
        with suppress(LogError):  # in a database that can't be written, it stays staged
            self.carry_out_staged()
        with self.log.read() as reader:
            yield View(reader)

    def _in_unit(self, work: Callable[[UnitOfWork], T]) -> T:
        """Do a unit of work after what was staged before."""
        nothing: Any = object()

        def unless_staged(unit: UnitOfWork) -> T:
            return nothing if self._staging.waits(unit.cursor) else work(unit)

        while (result := in_unit(self.log, unless_staged)) is nothing:
            self.carry_out_staged()
        return result
