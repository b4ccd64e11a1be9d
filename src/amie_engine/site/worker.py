"""Doing the work: one item after the other, each on its own feet."""

from __future__ import annotations

import logging
import random
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from amie_engine.engine import Engine
from amie_engine.engine.work import Assignment, WorkRow
from amie_engine.errors import HandlerReturnedNothing, LogError
from amie_engine.packet.base import Packet
from amie_engine.site.handlers import Handler, Site
from amie_engine.site.work import Deferral, Work

__all__ = ["Worked", "Worker"]

logger = logging.getLogger("amie_engine.site")

_FIRST_RETRY = timedelta(seconds=30)
_LAST_RETRY = timedelta(hours=1)
_NO_HANDLER_RETRY = timedelta(minutes=10)


class Worked(StrEnum):
    """What became of an item of work."""

    REPLIED = "replied"
    DEFERRED = "deferred"
    FAILED = "failed"
    NOT_YET = "not_yet"


class Worker:
    """Calls a site's handlers. An exception in one never stops the others: it is recorded, and the handler is
    called again later, at growing intervals.

    Args:
        engine: Whose work it does.
        site: Whose handlers it calls.
        jitter: Gives a number from 0 to 1 that spreads the retries; for tests.
        stopwatch: Gives seconds, to measure the handlers by; for tests.
    """

    def __init__(
        self,
        engine: Engine,
        site: Site,
        *,
        jitter: Callable[[], float] = random.random,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine = engine
        self._site = site
        self._jitter = jitter
        self._stopwatch = stopwatch

    def work_once(self) -> dict[Worked, int]:
        """Work on every item that may be worked on now; return how many came to what end."""
        counts = dict.fromkeys(Worked, 0)
        for row in self._engine.work.ready():
            counts[self.work_on(row)] += 1
        return counts

    def work_on(self, row: WorkRow) -> Worked:
        """Work on one item."""
        handler = self._site.handler_for(row.packet_type)
        if handler is None:
            return self._without_handler(row)
        try:
            assignment = self._engine.work.begin(row)
            if assignment is None:
                return Worked.NOT_YET
            return self._call(handler, row, assignment)
        except LogError:
            raise  # the database is in trouble, not the handler: the loop waits and tries again
        except Exception as error:  # noqa: BLE001 # a handler may raise anything, and none may stop the others
            return self._failed(row, error, _name(handler))

    def _call(self, handler: Handler, row: WorkRow, assignment: Assignment) -> Worked:
        work = Work(
            key=assignment.key,
            reply=assignment.reply,
            request=assignment.first,
            trans_rec_id=row.trans_rec_id,
            attempt=row.attempts + 1,
            anomalies=assignment.anomalies,
            packet=assignment.request,
        )
        began = self._stopwatch()
        answer = handler(assignment.request, work)
        milliseconds = round((self._stopwatch() - began) * 1000)
        actor = f"handler {_name(handler)}"
        if isinstance(answer, Deferral):
            self._engine.work.defer(row, until=answer.until, reason=answer.reason, actor=actor)
            return Worked.DEFERRED
        if not isinstance(answer, Packet):
            returned = type(answer).__name__
            raise HandlerReturnedNothing(
                f"The handler {_name(handler)} returned {returned} for packet {row.packet_rec_id}."
            )
        done = {"handler": _name(handler), "milliseconds": milliseconds, "attempt": row.attempts + 1}
        self._engine.reply(row.stream, answer, actor=actor, work=done)
        return Worked.REPLIED

    def _without_handler(self, row: WorkRow) -> Worked:
        reason = f"no handler for {row.packet_type} is registered"
        logger.warning("Packet %s of transaction %s waits: %s.", row.packet_rec_id, row.trans_rec_id, reason)
        until = self._engine.now() + _NO_HANDLER_RETRY
        self._engine.work.defer(row, until=until, reason=reason, actor="worker")
        return Worked.DEFERRED

    def _failed(self, row: WorkRow, error: Exception, handler: str) -> Worked:
        pause = min(_FIRST_RETRY * 2 ** min(row.attempts, 20), _LAST_RETRY)
        retry_at = self._engine.now() + pause * (0.5 + self._jitter() / 2)
        logger.warning(
            "The handler %s raised %s for packet %s of transaction %s (attempt %d); called again at %s.",
            handler,
            type(error).__name__,
            row.packet_rec_id,
            row.trans_rec_id,
            row.attempts + 1,
            f"{retry_at:%Y-%m-%d %H:%M:%S %Z}",
        )
        details = "".join(traceback.format_exception(error))
        self._engine.work.failed(row, error, retry_at=retry_at, details=details, actor=f"handler {handler}")
        return Worked.FAILED


def _name(handler: Handler) -> str:
    return getattr(handler, "__name__", type(handler).__name__)
