"""Doing the work: one item after the other, each on its own feet."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice, takewhile

from amie_engine.engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.work import Assignment
from amie_engine.engine.work_record import NO_HANDLER
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import (
    EventUnreadable,
    HandlerReturnedNothing,
    InternalError,
    LeaseLost,
    LogError,
)
from amie_engine.packet.base import Packet
from amie_engine.site.failed_calls import FailedCalls
from amie_engine.site.handlers import Handler, Site, handler_name
from amie_engine.site.log_memory import LogMemory
from amie_engine.site.observing import Observer
from amie_engine.site.telling import UnreadableThings
from amie_engine.site.work import Asking, Deferral, Interrupted, Work
from amie_engine.site.worked import Worked, about_work, shown_work

__all__ = ["Worker"]

logger = logging.getLogger("amie_engine.site")

_LOOKED_AT_ONCE = 8
"""Among so many that come next a worker looks for one that is free."""
_LIST_LASTS = 1.0
"""For how many seconds a list of what may be worked on is good: while a slow handler was at work, something
may have come that the others have to wait for."""
_LISTED_SELDOM = 10
"""Or for so many times as long as it took to make it: with thousands of open transactions that is a while."""


class _HandlerRaised(Exception):
    """What a handler of the site's own raised: even an error of ours is not that of our log."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class Worker:
    """Calls a site's handlers. An exception in one never stops the others: it is recorded, and the handler is
    called again later, at growing intervals, until a person has to look.

    Several workers, in threads or on hosts, may share a log: whoever takes an item's lease is the only one at
    work on it.

    Args:
        engine: Whose work it does.
        site: Whose handlers it calls.
        jitter: Gives a number from 0 to 1 that spreads the retries; for tests.
        stopwatch: Gives seconds, to measure the handlers by; for tests.
        observer: Is told of what it does.
    """

    def __init__(
        self,
        engine: Engine,
        site: Site,
        *,
        jitter: Callable[[], float] = random.random,
        stopwatch: Callable[[], float] = time.perf_counter,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._site = site
        self._observer = observer or Observer()
        self._failed_calls = FailedCalls(engine, site.retries, jitter)
        self._stopwatch = stopwatch
        self._unreadable = UnreadableThings()
        self._came_to_nothing: dict[tuple[str, str], float] = {}
        """When the stopwatch told what, at which work on an item came to nothing."""

    def work_once(
        self, stop: threading.Event | None = None, *, again_after: float = 0.0
    ) -> dict[Worked, int]:
        """Work on every item that may be worked on now; return how many came to what end.

        What becomes ready meanwhile waits for the next call: however much there is to do, an item that this
        has worked on comes to its turn again.

        Args:
            stop: Once it is set, no further handler is called.
            again_after: Seconds for which an item is left alone that came to nothing and waits for no time.

        Raises:
            LogError: The database can't be used.
        """
        counts = dict.fromkeys(Worked, 0)
        began = self._stopwatch()
        rows = deque(self._ready(again_after))
        good_until = self._good_until(began)
        left = {_key(row) for row in rows}
        while rows and not (stop is not None and stop.is_set()):
            if (now := self._stopwatch()) > good_until:
                rows = deque(row for row in self._engine.work.ready() if _key(row) in left)
                good_until = self._good_until(now)
                continue
            for end in self._work_on_first(rows):
                counts[end] += 1
                key = _key(rows.popleft())
                left.discard(key)
                if again_after and end in (Worked.DEFERRED, Worked.NOT_YET):
                    self._came_to_nothing[key] = self._stopwatch()
        return counts

    def _good_until(self, began: float) -> float:
        """Until what the stopwatch tells a list is good that was begun at a time and is there now."""
        now = self._stopwatch()
        return now + max(_LIST_LASTS, _LISTED_SELDOM * (now - began))

    def _ready(self, again_after: float) -> list[WorkRow]:
        """The items that may be worked on now, but for those that came to nothing a moment ago."""
        if self._came_to_nothing:
            now = self._stopwatch()
            for key, when in tuple(self._came_to_nothing.items()):  # other threads add to it
                if now - when >= again_after:
                    self._came_to_nothing.pop(key, None)
        return [
            row
            for row in self._engine.work.ready()
            if row.not_before is not None or _key(row) not in self._came_to_nothing
        ]

    def work_on(self, row: WorkRow) -> Worked:
        """Work on one item, unless another worker is faster.

        Raises:
            LogError: The database can't be used.
        """
        return self._work_on_first((row,))[-1]

    def _work_on_first(self, rows: Iterable[WorkRow]) -> list[Worked]:
        """Work on the first of some items that is free; return what became of those before it, and of it."""
        few = tuple(takewhile(self._may_change, islice(rows, _LOOKED_AT_ONCE)))
        if not few:
            return [Worked.DEFERRED]
        lease = self._engine.work.take_first(few, lasts=self._site.lease)
        if lease is None:
            return [Worked.NOT_YET] * len(few)
        passed = [_key(row) for row in few].index((lease.stream, lease.packet_rec_id))
        return [Worked.NOT_YET] * passed + [self._work_on_taken(few[passed], lease)]

    def _may_change(self, row: WorkRow) -> bool:
        """Whether there is anything to do about an item: not where it is on record that no handler is there
        for it, and none has been registered since."""
        if row.status != "waiting" or self._site.handler_for(row.packet_type) is not None:
            return True
        return row.reason != _no_handler_for(row)

    def _work_on_taken(self, row: WorkRow, lease: Lease) -> Worked:
        try:
            end = self._worked_on(row, lease)
        except LeaseLost as error:
            logger.warning("%s: %s", shown_work(row), error.message, extra=about_work(row, code=error.code))
            end = Worked.NOT_YET
        except EventUnreadable as error:
            self._unreadable.note(shown_work(row), error, about_work(row, code=error.code))
            end = Worked.NOT_YET
        finally:
            with suppress(LogError):
                self._engine.leases.give_back(lease)
        self._observer.worked(row, end)
        return end

    def _worked_on(self, row: WorkRow, lease: Lease) -> Worked:
        """Work on an item; a defect with one must not hold up the others."""
        handler = self._site.handler_for(row.packet_type)
        try:
            if handler is None:
                return self._wait_for_a_handler(row, lease)
            crashed = self._failed_calls.after_a_crash(lease, row, handler_name(handler))
            return crashed or self._work_under(lease, handler, row)
        except (LeaseLost, LogError):
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, it counts as a failed call
            defect = InternalError.caused_by(error, f"working on {shown_work(row)}")
            return self._failed_calls.broken(lease, row, defect)

    def _work_under(self, lease: Lease, handler: Handler, row: WorkRow) -> Worked:
        name = handler_name(handler)
        try:
            assignment = self._engine.work.begin(lease)
            if assignment is None:
                return Worked.NOT_YET
            return self._call(handler, row, assignment)
        except Asking as asking:
            is_asked = self._engine.work.record.asked(
                lease, asking.name, asking.question, asking.choices, actor=f"handler {name}"
            )
            return Worked.ASKED if is_asked else Worked.NOT_YET
        except Interrupted as interrupted:
            raise interrupted.error from interrupted
        except _HandlerRaised as raised:
            return self._failed_calls.raised(lease, row, raised.error, name)
        except (LeaseLost, LogError):
            raise  # the log is in trouble, not the handler: the loop waits and tries again
        except Exception as error:  # noqa: BLE001 # a reply that can't be one, say
            return self._failed_calls.failed(lease, row, error, name)

    def _call(self, handler: Handler, row: WorkRow, assignment: Assignment) -> Worked:
        name = handler_name(handler)
        work = Work(
            key=assignment.key,
            reply=assignment.reply,
            request=assignment.first,
            packet=assignment.request,
            trans_rec_id=row.trans_rec_id,
            attempt=assignment.item.attempts + 1,
            anomalies=assignment.anomalies,
            memory=LogMemory(self._engine, assignment, f"handler {name}"),
            stopwatch=self._stopwatch,
            clock=self._engine.now,
        )
        began = self._stopwatch()
        try:
            answer = handler(assignment.request, work)
        except (Asking, Interrupted):
            raise
        except BaseException as error:
            raise _HandlerRaised(error) from error
        finally:
            seconds = self._stopwatch() - began
            self._observer.handled(row, seconds)
        if isinstance(answer, Deferral):
            return self._defer(assignment.lease, answer, f"handler {name}")
        if not isinstance(answer, Packet):
            raise HandlerReturnedNothing(
                f"The handler {name} returned {type(answer).__name__} for packet {row.packet_rec_id}."
            )
        done = {"handler": name, "milliseconds": round(seconds * 1000), "attempt": work.attempt}
        self._engine.work.record.replied(assignment.lease, answer, work=done, actor=f"handler {name}")
        return Worked.REPLIED

    def _wait_for_a_handler(self, row: WorkRow, lease: Lease) -> Worked:
        """Record that the site has no handler for an item, and tell of it where no other worker has."""
        reason = _no_handler_for(row)
        if self._engine.work.record.deferred(lease, until=None, reason=reason, actor="worker"):
            logger.warning("%s waits: %s.", shown_work(row), reason, extra=about_work(row))
        return Worked.DEFERRED

    def _defer(self, lease: Lease, deferral: Deferral, actor: str) -> Worked:
        """Record that an item waits, as its handler wants it."""
        until = deferral.until
        if until is not None and until <= self._engine.now():
            until = None  # else it would be called again in the same moment, on and on
        self._engine.work.record.deferred(lease, until=until, reason=deferral.reason, actor=actor)
        return Worked.DEFERRED


def _no_handler_for(row: WorkRow) -> str:
    """Why an item waits for which the site has no handler."""
    return f"{NO_HANDLER}{row.packet_type} is registered"


def _key(row: WorkRow) -> tuple[str, str]:
    return row.stream, row.packet_rec_id
