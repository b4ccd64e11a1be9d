"""Doing the work: one item after the other, each on its own feet."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from amie_engine.engine import Engine
from amie_engine.engine.work import Assignment, WorkRow
from amie_engine.errors import EngineError, HandlerReturnedNothing, LogError, SiteError
from amie_engine.packet.base import Packet
from amie_engine.site.handlers import Handler, Site, handler_name
from amie_engine.site.work import Deferral, Work

__all__ = ["Worked", "Worker"]

logger = logging.getLogger("amie_engine.site")

_FIRST_RETRY = timedelta(seconds=30)
_LAST_RETRY = timedelta(hours=1)


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

    def work_once(self, stop: threading.Event | None = None) -> dict[Worked, int]:
        """Work on every item that may be worked on now; return how many came to what end.

        Args:
            stop: Once it is set, no further handler is called.

        Raises:
            LogError: The database can't be used.
        """
        counts = dict.fromkeys(Worked, 0)
        for row in self._engine.work.ready():
            if stop is not None and stop.is_set():
                break
            counts[self.work_on(row)] += 1
        return counts

    def work_on(self, row: WorkRow) -> Worked:
        """Work on one item.

        Raises:
            LogError: The database can't be used.
        """
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
            return self._failed(row, error, handler_name(handler))

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
        name = handler_name(handler)
        began = self._stopwatch()
        answer = handler(assignment.request, work)
        milliseconds = round((self._stopwatch() - began) * 1000)
        if isinstance(answer, Deferral):
            return self._defer(row, answer, f"handler {name}")
        if not isinstance(answer, Packet):
            raise HandlerReturnedNothing(
                f"The handler {name} returned {type(answer).__name__} for packet {row.packet_rec_id}."
            )
        done = {"handler": name, "milliseconds": milliseconds, "attempt": row.attempts + 1}
        self._engine.reply(row.stream, answer, actor=f"handler {name}", work=done)
        return Worked.REPLIED

    def _defer(self, row: WorkRow, deferral: Deferral, actor: str) -> Worked:
        """Record that an item waits; once, where it waits from round to round for the same reason."""
        on_record = row.status == "waiting" and row.not_before is None and row.reason == deferral.reason
        if deferral.until is not None or not on_record:
            self._engine.work.defer(row, until=deferral.until, reason=deferral.reason, actor=actor)
        return Worked.DEFERRED

    def _without_handler(self, row: WorkRow) -> Worked:
        """The item waits for a handler: from the round on in which there is one, it is called."""
        reason = f"no handler for {row.packet_type} is registered"
        if row.reason != reason:
            logger.warning(
                "Packet %s of transaction %s waits: %s.", row.packet_rec_id, row.trans_rec_id, reason
            )
        return self._defer(row, Deferral(None, reason), "worker")

    def _failed(self, row: WorkRow, error: Exception, handler: str) -> Worked:
        if self._has_moved_on(row):
            logger.info(
                "The handler %s worked on packet %s of transaction %s, which was answered meanwhile.",
                handler,
                row.packet_rec_id,
                row.trans_rec_id,
            )
            return Worked.NOT_YET
        pause = min(_FIRST_RETRY * 2 ** min(row.attempts, 20), _LAST_RETRY)
        retry_at = self._engine.now() + pause * (0.5 + self._jitter() / 2)
        logger.warning(
            "The handler %s raised %s for packet %s of transaction %s (attempt %d); called again at %s.%s",
            handler,
            type(error).__name__,
            row.packet_rec_id,
            row.trans_rec_id,
            row.attempts + 1,
            f"{retry_at:%Y-%m-%d %H:%M:%S %Z}",
            _explanation(error),
        )
        details = "".join(traceback.format_exception(error))
        self._engine.work.failed(row, error, retry_at=retry_at, details=details, actor=f"handler {handler}")
        return Worked.FAILED

    def _has_moved_on(self, row: WorkRow) -> bool:
        """Whether the packet was answered while its handler was at work: by another process, or by hand."""
        try:
            return self._engine.work.begin(row) is None
        except LogError:
            raise
        except Exception:  # noqa: BLE001 # what can't even begin has not moved on: its failure is recorded
            return False


def _explanation(error: Exception) -> str:
    """What our own errors say of a reply, which is never personal; a handler's may be."""
    return f" {error.message}" if isinstance(error, EngineError | SiteError) else ""
