"""Sending what is in the outbox: once, as far as that can be known, and looking before sending again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from requests import Response

from amie_engine._logging import about
from amie_engine._spans import span_text
from amie_engine.client import AMIEClient, RetryPolicy
from amie_engine.engine import Engine
from amie_engine.engine.decision import sent_is_in
from amie_engine.engine.outbox import Outgoing
from amie_engine.errors import (
    AMIEEngineError,
    AMIERequestError,
    EventUnreadable,
    InternalError,
    LogError,
    PacketError,
    ReplyAlreadyDecided,
    ServiceConflict,
    ServiceNotFound,
    ServiceUnreachable,
    ServiceUnreadableAnswer,
    ServiceValidationError,
)
from amie_engine.log.store import CLOCKS_DIFFER_BY
from amie_engine.packet import Packet
from amie_engine.site.attempts import LAST_LOOK, Attempts
from amie_engine.site.observing import Observer, SendResult
from amie_engine.site.refusals import is_the_services_word, note_unknown, unknown_at_service
from amie_engine.site.telling import told

__all__ = ["Sender", "Sent", "starts_at_the_service"]

logger = logging.getLogger("amie_engine.site")

_LOOKS_BACK = timedelta(days=1)
"""How far before the attempt the site's starts are looked for. A clock that is wrong by less costs a longer
list; by more, a second transaction."""
_LOOKS_A_ROUND = 20
"""How many entries whose outcome is unknown are looked for before the service is polled again."""

_SENT_WITHIN = timedelta(minutes=2)
"""How soon after it is on record that something is about to be sent, it has to be: later, another process may
have looked for it already, and sent it."""

_PAUSES = RetryPolicy(first_wait=15.0, maximum_wait=15 * 60.0, maximum_retry_after=LAST_LOOK.total_seconds())
"""How long nothing is sent after a call with which the service surely did nothing."""
_LONGEST_PAUSE = timedelta(seconds=max(_PAUSES.maximum_wait, _PAUSES.maximum_retry_after))

_EVERY_STATE = ("in-progress", "completed", "failed")
_LOST_IN_A_ROW = 2
"""After so many connections that failed one after the other, the service is taken to be away; after so many
looks that failed by what is no word on the one thing looked for, nothing more is looked for in this round. A
single one that is cut must not hold up all that waits behind it."""

_MAY_BE_UNKNOWN = (ServiceNotFound, ServiceValidationError)
"""Refusals of a reply behind which there may be that the service does not know what it answers any more."""


@dataclass(slots=True)
class Sent:
    """What became of the outbox: how much has arrived, and what went wrong with the rest."""

    arrived: int = 0
    errors: list[AMIEEngineError] = field(default_factory=list)


class Sender:
    """Sends the outbox of an engine through a client.

    Nothing makes the service's POST idempotent. After an outcome that is not known (a timeout, a crash, a
    fault of the service) it looks at the service whether the packet is there, and sends again only if not.
    Where the service surely did nothing (no connection, a refused key, too many calls), nothing is sent for a
    while, longer each time, and not before the service's ``Retry-After``; then the packet is sent again.

    Args:
        engine: Whose outbox it sends.
        client: A client for the same site.
        jitter: Gives a number from 0 to 1 that spreads the looks; for tests.
        observer: Is told of what it does.
    """

    def __init__(
        self,
        engine: Engine,
        client: AMIEClient,
        *,
        jitter: Callable[[], float] = random.random,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._observer = observer or Observer()
        self._client = client
        self._jitter = jitter
        self._looks_lost = 0
        self._pauses = 0
        self._paused_until: datetime | None = None
        self._attempts = Attempts(
            engine.now, client_waits=timedelta(seconds=sum(client.timeout)), jitter=jitter
        )

    def send_once(self) -> Sent:
        """Send all that is to be sent now. Trouble with one entry does not stop the others, unless it is one
        that all of them would have: no connection, twice in a row, or a key that is refused.

        What is new goes first. Of what has to be looked for, some is left to the next call: looking takes
        several calls each, and meanwhile nothing is polled. After two looks in a row that say nothing of
        what was looked for, the rest is left. After a call with which the service surely did nothing, there
        is a pause in which this does nothing.

        Raises:
            LogError: The database can't be used.
        """
        sent = Sent()
        lost = 0
        if self._pauses_now():
            return sent
        self._looks_lost = 0
        for listed in self._due_now():
            if self._looks_first(listed) and self._looks_are_lost():
                continue
            self._observer.alive()
            try:
                if self._settle(listed):
                    self._note_settled(sent, listed)
                lost = self._pauses = 0
            except EventUnreadable as error:
                self._note(sent, listed, error)  # it holds up its own transaction, and no other
            except LogError:
                raise
            except AMIERequestError as error:
                self._note(sent, listed, error)
                lost = lost + 1 if isinstance(error, ServiceUnreachable) else 0
                if error.nothing_done:
                    self._pause(error)
                if error.nothing_done or lost == _LOST_IN_A_ROW:
                    break
            except AMIEEngineError as error:
                self._note(sent, listed, error)
                lost = 0
            except Exception as error:  # noqa: BLE001 # a defect with one entry must not hold up the others
                self._note(sent, listed, InternalError.caused_by(error, f"sending {_shown(listed)}"))
        return sent

    def _pause(self, error: AMIERequestError) -> None:
        """Send nothing for a while: the service would do nothing with the others either."""
        self._pauses += 1
        seconds = _PAUSES.wait_after(self._pauses, self._jitter(), error.retry_after)
        self._paused_until = self._engine.now() + timedelta(seconds=seconds)

    def _pauses_now(self) -> bool:
        """Not where the clock has gone back since: the pause would last until it gets there."""
        now = self._engine.now()
        return self._paused_until is not None and now < self._paused_until <= now + _LONGEST_PAUSE

    def _note_settled(self, sent: Sent, outgoing: Outgoing) -> None:
        """What needs no sending any more has arrived; or the look has found what makes it needless."""
        if self._engine.outbox.has_arrived(outgoing):
            sent.arrived += 1
            result, told = SendResult.ARRIVED, "%s has arrived."
        else:
            result = SendResult.NEEDLESS
            told = "%s is not sent: its transaction has ended, it was refused, or another reply is there."
        logger.info(told, _shown(outgoing), extra=_about(outgoing, result))
        self._observer.sent(outgoing, result)

    def _note(self, sent: Sent, outgoing: Outgoing, error: AMIEEngineError) -> None:
        sent.errors.append(error)
        if self._looks_first(outgoing):
            self._attempts.look_failed(outgoing)
        was_not_sent = self._attempts.was_not_sent(outgoing)
        result = SendResult.NOT_SENT if was_not_sent else SendResult.UNKNOWN
        self._observer.sent(outgoing, result)
        logger.warning(
            "%s was not sent (%s): %s" if was_not_sent else "Whether %s has arrived is not known (%s): %s",
            _shown(outgoing),
            error.code,
            told(error),
            extra=_about(outgoing, result, error),
        )

    def _due_now(self) -> list[Outgoing]:
        waiting = self._engine.outbox.open()
        self._attempts.forget_all_but(waiting)
        pending = [one for one in waiting if one.status == "pending" and one.waits_for is None]
        attempting = [outgoing for outgoing in waiting if outgoing.status == "attempting"]
        undone = [outgoing for outgoing in attempting if self._attempts.is_undone(outgoing)]
        unknown = [outgoing for outgoing in attempting if not self._attempts.is_undone(outgoing)]
        # One that never gets through holds up no other, nor does one that can never be looked for.
        undone.sort(key=lambda outgoing: outgoing.attempts)
        pending, unknown = (
            sorted(filter(self._attempts.is_due_again, some), key=self._attempts.failed_looks)
            for some in (pending, unknown)
        )
        return pending + undone + unknown[:_LOOKS_A_ROUND]

    def _looks_first(self, outgoing: Outgoing) -> bool:
        """Whether an entry may be at the service already: its last attempt's outcome is not known, or it was
        refused and is to be sent again."""
        return outgoing.kind == "packet" and outgoing.attempts > 0 and not self._attempts.is_undone(outgoing)

    def _looks_are_lost(self) -> bool:
        return self._looks_lost >= _LOST_IN_A_ROW

    def _settle(self, outgoing: Outgoing) -> bool:
        """Send an entry, or look for it first; tell whether it has arrived."""
        looks_first = self._looks_first(outgoing)
        try:
            if looks_first and outgoing.status == "attempting":
                return self._look(outgoing) or self._send(outgoing)
            return (looks_first and self._is_there(outgoing)) or self._send(outgoing)
        except ServiceNotFound as error:
            if outgoing.trans_rec_id is None or not is_the_services_word(error):
                raise
            self._make_sure_it_is_unknown(outgoing.trans_rec_id, error)
            note_unknown(self._engine, outgoing.trans_rec_id, error)
            return self._reject(outgoing, unknown_at_service(outgoing.trans_rec_id, error))

    def _make_sure_it_is_unknown(self, trans_rec_id: str, error: ServiceNotFound) -> None:
        """Raise unless the service, which does not find a transaction, knows the site, and lists nothing of
        the transaction: at a wrong URL nothing is found either."""
        if self._client.list_packets(trans_rec_ids=[trans_rec_id]):
            raise error

    def _is_there(self, outgoing: Outgoing) -> bool:
        """Look for what was refused before, and is to be sent again; a transaction that the service does not
        know, it may refuse once more. Where a list is not found, the URL is wrong."""
        try:
            return self._look(outgoing)
        except ServiceNotFound as error:
            if outgoing.trans_rec_id is None or not is_the_services_word(error):
                raise
            return False

    def _send(self, outgoing: Outgoing) -> bool:
        began = self._engine.now()
        try:
            packet = self._engine.outbox.attempt(outgoing)
        except ReplyAlreadyDecided:
            return False  # what was found out about another entry, or another process, has settled it
        self._attempts.is_made(outgoing)
        if self._engine.now() - began > _SENT_WITHIN:
            raise ServiceUnreachable(
                f"To put on record that {_shown(outgoing)} is about to be sent took longer than"
                f" {span_text(_SENT_WITHIN)}, so it was not: this process was stopped, or its host, or the"
                " database is slow.",
                hint="It is looked for before it is sent: another process may have sent it meanwhile.",
            )
        response: Response | None = None
        code: str | None = None
        try:
            if packet is None:
                self._client.set_transaction_failed(outgoing.trans_rec_id or "")
            else:
                response = self._client.send_packet(packet, skip_validation=True)
        except AMIERequestError as error:
            if not is_the_services_word(error):
                if error.nothing_done:
                    self._attempts.came_to_nothing(outgoing)
                raise
            if isinstance(error, ServiceNotFound) and outgoing.trans_rec_id is None:
                raise  # what begins a transaction needs none: the URL is wrong, or the site's name
            if packet is not None or not isinstance(error, ServiceNotFound):
                return self._refused(outgoing, error)
            self._make_sure_it_is_unknown(outgoing.trans_rec_id or "", error)
            code = error.code  # what the service does not know can't be set failed, and needs not be
            logger.warning(
                "Transaction %s is not known at the service: it has failed.", outgoing.trans_rec_id
            )
        except PacketError as error:
            return self._reject(outgoing, error)
        answer = _json(response)
        if response is not None and not outgoing.is_named_in(answer):
            return self._look_after(outgoing, response)
        self._engine.outbox.confirm(outgoing, answer, code=code)
        return True

    def _look_after(self, outgoing: Outgoing, response: Response) -> bool:
        """Look at once for what was sent, to which the service answered as if all were well, but with no
        packet: whoever answers for it may have done nothing. Where it is not there yet, nothing is known."""
        if not self._looks_are_lost() and self._look(outgoing):
            return True
        raise ServiceUnreadableAnswer(
            f"The answer {response.status_code} to {_shown(outgoing)} does not name the packet.",
            hint="It is looked for before it is sent again. Check that the URL is the AMIE API's, and that no"
            " proxy answers for it.",
            response=response,
        )

    def _refused(self, outgoing: Outgoing, error: AMIERequestError) -> bool:
        """The service says no: for good, or because a reply had arrived before, ours or another tool's, or
        since it does not know the transaction any more."""
        says_more = isinstance(error, ServiceConflict) or (
            isinstance(error, _MAY_BE_UNKNOWN) and outgoing.trans_rec_id is not None
        )
        if says_more and outgoing.kind == "packet" and self._look(outgoing):
            return True
        return self._reject(outgoing, error)

    def _reject(self, outgoing: Outgoing, error: AMIEEngineError) -> bool:
        fields = _about(outgoing, SendResult.REFUSED, error)
        logger.error("%s was refused (%s) and is not sent again.", _shown(outgoing), error.code, extra=fields)
        self._engine.outbox.reject(outgoing, code=error.code, message=error.message)
        self._observer.sent(outgoing, SendResult.REFUSED)
        return False

    def _look(self, outgoing: Outgoing) -> bool:
        """Take in what the service has of the transaction; tell whether that settles our packet: it is there,
        or another tool's reply is.

        Raises:
            ServiceNotFound: The service does not know the transaction any more: our packet can never arrive.
        """
        try:
            if outgoing.trans_rec_id is not None:
                self._engine.adopt(self._client.get_transaction(outgoing.trans_rec_id))
            else:
                self._look_for_a_start(outgoing)
        except AMIERequestError as error:
            self._looks_lost = 0 if is_the_services_word(error) else self._looks_lost + 1
            raise
        self._looks_lost = 0
        return not any(
            entry.stream == outgoing.stream and entry.answers == outgoing.answers
            for entry in self._engine.outbox.open()
        )

    def _look_for_a_start(self, outgoing: Outgoing) -> None:
        """Look for a packet that began a transaction, among ours since the attempt."""
        for packet in starts_at_the_service(self._engine, self._client, [outgoing]):
            self._engine.receive(packet)


def starts_at_the_service(
    engine: Engine, client: AMIEClient, outgoing: Collection[Outgoing]
) -> Iterator[Packet]:
    """Yield the site's packets at the service that may be some with which transactions begin: those of their
    types since they were sent, as our clock tells it.

    Whatever their state is by now: the hub may have answered them already. The service's own idea of what is
    outgoing is not asked for; the header tells whose a packet is. A time that has still to come is that of a
    clock which was wrong, nobody knows by how much: then all are looked through for those that say the same.
    """
    now = engine.now()
    wanted = [engine.outbox.looked_for(one) for one in outgoing]
    since = min(since for since, _ in wanted)
    is_known = all(since <= now + CLOCKS_DIFFER_BY for since, _ in wanted)
    start = min(since, now) - _LOOKS_BACK if is_known else None
    types = {one.packet_type for one in outgoing}
    for packet in client.list_packets(update_time_start=start, states=_EVERY_STATE):
        if packet.packet_type not in types or packet.sender_name not in (client.site_name, None):
            continue
        if is_known or any(body and sent_is_in(body, packet.as_dict()["body"]) for _, body in wanted):
            yield packet


def _json(response: Response | None) -> Any:
    try:
        return None if response is None else response.json()
    except ValueError:
        return None


def _about(outgoing: Outgoing, result: SendResult, error: AMIEEngineError | None = None) -> dict[str, Any]:
    """What a line of the log about something that is sent carries."""
    return about(
        trans_rec_id=outgoing.trans_rec_id,
        packet_type=outgoing.packet_type,
        code=None if error is None else error.code,
        outcome=str(result),
    )


def _shown(outgoing: Outgoing) -> str:
    transaction = f"transaction {outgoing.trans_rec_id or outgoing.stream}"
    if outgoing.packet_type is None:
        return f"the call that sets {transaction} failed"
    return f"{outgoing.packet_type} of {transaction}"
