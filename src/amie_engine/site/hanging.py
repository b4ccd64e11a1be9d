"""Handlers and subscribers that are at work for longer than their leases: no thread can be ended, but people
can be told."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from amie_engine._logging import about
from amie_engine._spans import span_text
from amie_engine.engine import Engine
from amie_engine.engine.delivering import CallUnderWay
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import LogError
from amie_engine.site.observing import Observer

__all__ = ["HangingCalls"]

logger = logging.getLogger("amie_engine.site")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of the site's own code that has not returned.

    Attributes:
        token: What tells it from every other.
        told: What was called when, as the beginning of a sentence.
        about: What a line of the log about it carries.
        is_over: Whether its lease is over.
        delivery: The same as the engine has it; None of a handler's.
    """

    token: str
    told: str
    about: dict[str, object]
    is_over: bool
    delivery: CallUnderWay | None = None


class HangingCalls:
    """Notices handlers and subscribers of this process that hang, and when no thread is left that could call
    another handler.

    Args:
        engine: Whose work the handlers do, and whose log the subscribers follow.
        threads: In how many threads handlers are called.
        observer: Is told when all of these hang, and when one is free again.
    """

    def __init__(self, engine: Engine, threads: int, observer: Observer) -> None:
        self._engine = engine
        self._threads = threads
        self._observer = observer
        self._told: set[str] = set()
        self._saved: set[str] = set()
        self._all_hang = False

    def look(self) -> None:
        """Tell of each call that hangs, once; and when all threads of handlers hang, or do no longer."""
        hanging = [call for call in self._calls() if call.is_over]
        for call in hanging:
            if call.token not in self._told:
                logger.warning(
                    "%s, and is still at work, longer than its lease. If it hangs, restart the daemon.",
                    call.told,
                    extra=call.about,
                )
        self._told = {call.token for call in hanging}
        self._saved = {call.token for call in hanging if call.token in self._saved or self._is_saved(call)}
        self._tell_whether_all_hang(sum(call.delivery is None for call in hanging) >= self._threads)

    def tell_what_is_waited_for(self) -> None:
        """Tell what is at work, while the daemon waits for it to end."""
        for call in self._calls():
            logger.info(
                "%s: it is waited for. A second SIGTERM or Ctrl-C does not wait.",
                call.told,
                extra=call.about,
            )

    def tell_what_is_cut_off(self) -> None:
        """Tell what is still at work, when nobody waits for it any longer."""
        calls = self._calls()
        still = " ".join(f"{call.told}, and was still at work." for call in calls)
        logger.warning(
            "Ended at once, by a second signal. %s",
            still or "No handler and no subscriber was at work.",
            extra=about(count=len(calls)),
        )

    def _calls(self) -> list[_Call]:
        """What is at work in this process."""
        now = self._engine.now()
        handlers = [_of_handler(row, now) for row in self._engine.work.at_work()]
        return handlers + [_of_subscriber(call, now) for call in self._engine.subscriptions.at_work()]

    def _is_saved(self, call: _Call) -> bool:
        """Have everybody see in the log's database in which event a subscriber hangs; tell whether that is
        done. Of a handler's call there is nothing to save: its lease tells all."""
        if call.delivery is not None:
            try:
                self._engine.subscriptions.hangs(call.delivery)
            except LogError:  # the loop has told of it; the next look tries again
                return False
        return True

    def _tell_whether_all_hang(self, all_hang: bool) -> None:
        if all_hang == self._all_hang:
            return
        self._all_hang = all_hang
        if all_hang:
            which = "The one thread that calls handlers hangs"
            if self._threads > 1:
                which = f"All {self._threads} threads that call handlers hang"
            logger.error(
                "%s: no further handler is called until the daemon is restarted. It gives no sign of life any"
                " more.",
                which,
                extra=about(count=self._threads),
            )
        else:
            logger.warning("A handler that hung has ended: handlers are called again.")
        self._observer.hanging(all_hang=all_hang)


def _of_handler(row: WorkRow, now: datetime) -> _Call:
    lasted = timedelta() if row.lease is None else now - row.lease.taken_at
    told = (
        f"The handler of {row.packet_type} for packet {row.packet_rec_id} of transaction {row.trans_rec_id}"
        f" was called {span_text(lasted)} ago"
    )
    fields = about(
        trans_rec_id=row.trans_rec_id, packet_rec_id=row.packet_rec_id, packet_type=row.packet_type
    )
    token = "" if row.lease is None else row.lease.token
    return _Call(token, told, fields, row.lease is not None and row.lease.expires_at <= now)


def _of_subscriber(call: CallUnderWay, now: datetime) -> _Call:
    event = call.event
    told = (
        f"The subscriber {call.name} was called {span_text(now - call.called_at)} ago for the event at"
        f" position {event.position}, {event.type} of transaction {event.trans_rec_id or event.stream}"
    )
    fields = about(
        trans_rec_id=event.trans_rec_id, packet_rec_id=event.packet_rec_id, packet_type=event.packet_type
    )
    return _Call(call.token, told, fields, call.expires_at <= now, call)
