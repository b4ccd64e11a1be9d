"""Doing the work: one item after the other, each on its own feet."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import amie_engine
from amie_engine._logging import about
from amie_engine._threads import is_ctrl_c
from amie_engine.engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.processes import shown_process
from amie_engine.engine.work import Assignment
from amie_engine.engine.work_record import ABANDONED, NO_HANDLER
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import (
    AMIEEngineError,
    EngineError,
    EventUnreadable,
    HandlerReturnedNothing,
    InternalError,
    LeaseLost,
    LogError,
    SiteError,
)
from amie_engine.packet.base import Packet
from amie_engine.site.handlers import Handler, Site, handler_name
from amie_engine.site.log_memory import LogMemory
from amie_engine.site.observing import Observer
from amie_engine.site.telling import UnreadableThings, told
from amie_engine.site.work import Asking, Deferral, Interrupted, Work

__all__ = ["Worked", "Worker"]

logger = logging.getLogger("amie_engine.site")

_PACKAGE = Path(amie_engine.__file__).parent
_LOOKED_AT_ONCE = 8
"""Among so many that come next a worker looks for one that is free."""
_LIST_LASTS = 1.0
"""For how many seconds a list of what may be worked on is good: while a slow handler was at work, something
may have come that the others have to wait for."""
_LISTED_SELDOM = 10
"""Or for so many times as long as it took to make it: with thousands of open transactions that is a while."""


class Worked(StrEnum):
    """What became of an item of work."""

    REPLIED = "replied"
    DEFERRED = "deferred"
    ASKED = "asked"
    FAILED = "failed"
    PARKED = "parked"
    NOT_YET = "not_yet"


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
        self._jitter = jitter
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
        handler = self._site.handler_for(row.packet_type)
        try:
            if handler is None:
                end = self._wait_for_a_handler(row, lease)
            else:
                end = self._after_a_crash(lease, handler, row) or self._work_under(lease, handler, row)
        except LeaseLost as error:
            logger.warning("%s: %s", _shown(row), error.message, extra=_about(row, code=error.code))
            end = Worked.NOT_YET
        except EventUnreadable as error:
            self._unreadable.note(_shown(row), error, _about(row, code=error.code))
            end = Worked.NOT_YET
        except LogError:
            raise
        except Exception as error:  # noqa: BLE001 # a defect with one item must not hold up the others
            end = self._broken(lease, row, InternalError.caused_by(error, f"working on {_shown(row)}"))
        finally:
            with suppress(LogError):
                self._engine.leases.give_back(lease)
        self._observer.worked(row, end)
        return end

    def _broken(self, lease: Lease, row: WorkRow, error: InternalError) -> Worked:
        """A defect, in us or in an exception of the site's own: it counts as a failed call, as far as that
        can be put on record."""
        logger.warning("%s", told(error), extra=_about(row, code=error.code))
        attempt, policy = row.attempts + 1, self._site.retries
        retry_at = None
        if not policy.is_last(attempt):
            retry_at = self._engine.now() + policy.pause_after(attempt, self._jitter())
        try:
            self._engine.work.record.failed(
                lease,
                type(error).__name__,
                attempt,
                retry_at=retry_at,
                details="".join(traceback.format_exception(error)),
                actor="worker",
            )
        except LogError:
            raise
        except Exception:  # noqa: BLE001 # then nothing is on record but the line above
            return Worked.NOT_YET
        return Worked.PARKED if retry_at is None else Worked.FAILED

    def _after_a_crash(self, lease: Lease, handler: Handler, row: WorkRow) -> Worked | None:
        """Where whoever was at work before is gone, put that on record; return what came of it, if that was
        once too often. None where the handler is to be called."""
        holder, policy = lease.taken_over_from, self._site.retries
        if holder is None:
            return None
        logger.warning(
            "%s is taken over from %s, which did not end it.",
            _shown(row),
            shown_process(holder),
            extra=_about(row),
        )
        if policy.failure is None:
            parked = self._engine.work.record.abandoned(lease, is_last=policy.is_last)
            return Worked.PARKED if parked else None
        self._engine.work.record.abandoned(lease, is_last=lambda _: False)
        assignment = self._engine.work.assignment(lease)
        if assignment is None or not policy.is_last(assignment.item.attempts):
            return None
        name, attempt = handler_name(handler), assignment.item.attempts
        if not self._fail(lease, policy.failure, name, attempt):
            return None
        logger.error(
            "That was the last call of the handler %s for %s (attempt %d); it is failed.",
            name,
            _shown(row),
            attempt,
            extra=_about(row, handler=name, error=ABANDONED, attempt=attempt),
        )
        return Worked.REPLIED

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
            return self._raised(raised.error, lease, row, name)
        except (LeaseLost, LogError):
            raise  # the log is in trouble, not the handler: the loop waits and tries again
        except Exception as error:  # noqa: BLE001 # a reply that can't be one, say
            return self._failed(lease, row, error, name)

    def _raised(self, error: BaseException, lease: Lease, row: WorkRow, handler: str) -> Worked:
        """Whatever a handler raised (a task was cancelled, say), it has failed, and the others go on."""
        if is_ctrl_c(error):
            raise error
        end = self._failed(lease, row, error, handler)
        if isinstance(error, SystemExit):
            # It passes, and is on record: else a restarted daemon would be ended again at once.
            raise error
        return end

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
            logger.warning("%s waits: %s.", _shown(row), reason, extra=_about(row))
        return Worked.DEFERRED

    def _defer(self, lease: Lease, deferral: Deferral, actor: str) -> Worked:
        """Record that an item waits, as its handler wants it."""
        until = deferral.until
        if until is not None and until <= self._engine.now():
            until = None  # else it would be called again in the same moment, on and on
        self._engine.work.record.deferred(lease, until=until, reason=deferral.reason, actor=actor)
        return Worked.DEFERRED

    def _failed(self, lease: Lease, row: WorkRow, error: BaseException, handler: str) -> Worked:
        attempt = self._attempt(lease, row)
        if attempt is None:
            logger.info(
                "The handler %s worked on %s, which was answered meanwhile.",
                handler,
                _shown(row),
                extra=_about(row, handler=handler),
            )
            return Worked.NOT_YET
        policy = self._site.retries
        what = (handler, type(error).__name__, _shown(row), attempt)
        fields = _about(
            row,
            handler=handler,
            error=type(error).__name__,
            attempt=attempt,
            code=error.code if isinstance(error, AMIEEngineError) else None,
        )
        if (
            policy.is_last(attempt)
            and policy.failure is not None
            and self._fail(lease, policy.failure, handler, attempt)
        ):
            logger.error("The handler %s raised %s for %s (attempt %d); it is failed.", *what, extra=fields)
            return Worked.REPLIED
        retry_at = None
        if policy.is_last(attempt):
            logger.error(
                "The handler %s raised %s for %s (attempt %d); a person has to look now.%s",
                *what,
                _explanation(error),
                extra=fields,
            )
        else:
            retry_at = self._engine.now() + policy.pause_after(attempt, self._jitter())
            logger.warning(
                "The handler %s raised %s for %s (attempt %d); called again at %s.%s",
                *what,
                f"{retry_at:%Y-%m-%d %H:%M:%S %Z}",
                _explanation(error),
                extra=fields,
            )
        details = _details(error)
        self._engine.work.record.failed(
            lease,
            type(error).__name__,
            attempt,
            retry_at=retry_at,
            details=details,
            actor=f"handler {handler}",
        )
        return Worked.PARKED if retry_at is None else Worked.FAILED

    def _fail(self, lease: Lease, message: str, handler: str, attempt: int) -> bool:
        """Fail the transaction, as the site's policy says; tell whether that could be decided."""
        assignment = self._engine.work.assignment(lease)
        if assignment is None:
            return False
        done = {"handler": handler, "attempt": attempt}
        inform = assignment.request.reply_with_failure(message=message)
        self._engine.work.record.replied(lease, inform, work=done, actor="retry policy")
        return True

    def _attempt(self, lease: Lease, row: WorkRow) -> int | None:
        """Which call of the handler has just failed: a person who had it tried again meanwhile counts anew.
        None where the packet was answered while it was at work: by another tool, or by hand."""
        try:
            assignment = self._engine.work.assignment(lease)
        except LogError:
            raise
        except Exception:  # noqa: BLE001 # what can't even begin has not moved on: its failure is recorded
            return row.attempts + 1
        return None if assignment is None else assignment.item.attempts + 1


def _about(row: WorkRow, **more: Any) -> dict[str, Any]:
    """What a line of the log about an item of work carries."""
    return about(
        trans_rec_id=row.trans_rec_id, packet_rec_id=row.packet_rec_id, packet_type=row.packet_type, **more
    )


def _no_handler_for(row: WorkRow) -> str:
    """Why an item waits for which the site has no handler."""
    return f"{NO_HANDLER}{row.packet_type} is registered"


def _key(row: WorkRow) -> tuple[str, str]:
    return row.stream, row.packet_rec_id


def _shown(row: WorkRow) -> str:
    return f"packet {row.packet_rec_id} of transaction {row.trans_rec_id}"


def _details(error: BaseException) -> str:
    """What the operator needs to find the cause: the traceback; but of an error of ours in which no code of
    the site's has a part (its reply can't be one, say), what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = type(error).__module__.startswith(f"{_PACKAGE.name}.")
    if isinstance(error, AMIEEngineError) and is_ours and all(_is_ours(frame) for frame in frames):
        return f"{type(error).__name__}: {error.message} {error.hint}".rstrip()
    return "".join(traceback.format_exception(error))


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return _PACKAGE in Path(frame.filename).parents


def _explanation(error: BaseException) -> str:
    """What our own errors say of a reply, which is never personal; a handler's may be."""
    return f" {getattr(error, 'message', '')}".rstrip() if isinstance(error, EngineError | SiteError) else ""
