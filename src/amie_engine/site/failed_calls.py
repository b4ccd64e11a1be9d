"""Calls of handlers that failed: what is put on record, when they are called again, and what is the last."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import amie_engine
from amie_engine._threads import is_ctrl_c
from amie_engine.engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.processes import shown_process
from amie_engine.engine.retrying import Retries
from amie_engine.engine.work_record import ABANDONED
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import (
    AMIEEngineError,
    EngineError,
    InternalError,
    LeaseLost,
    LogError,
    SiteError,
)
from amie_engine.site.telling import told
from amie_engine.site.worked import Worked, about_work, shown_work

__all__ = ["FailedCalls"]

logger = logging.getLogger("amie_engine.site")

_PACKAGE = Path(amie_engine.__file__).parent


class FailedCalls:
    """Puts on record that calls of a site's handlers have failed, as its policy says.

    Args:
        engine: Whose work the handlers do.
        retries: The policy.
        jitter: Gives a number from 0 to 1 that spreads the retries.
    """

    def __init__(self, engine: Engine, retries: Retries, jitter: Callable[[], float]) -> None:
        self._engine = engine
        self._retries = retries
        self._jitter = jitter

    def raised(self, lease: Lease, row: WorkRow, error: BaseException, handler: str) -> Worked:
        """Whatever a handler raised (a task was cancelled, say), it has failed, and the others go on."""
        if is_ctrl_c(error):
            raise error
        end = self.failed(lease, row, error, handler)
        if isinstance(error, SystemExit):
            # It passes, and is on record: else a restarted daemon would be ended again at once.
            raise error
        return end

    def failed(self, lease: Lease, row: WorkRow, error: BaseException, handler: str) -> Worked:
        """Put on record that a call has failed, unless its packet was answered meanwhile."""
        attempt = self._attempt(lease, row)
        if attempt is None:
            logger.info(
                "The handler %s worked on %s, which was answered meanwhile.",
                handler,
                shown_work(row),
                extra=about_work(row, handler=handler),
            )
            return Worked.NOT_YET
        policy = self._retries
        what = (handler, type(error).__name__, shown_work(row), attempt)
        fields = about_work(
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
        retry_at = self._retry_at(attempt)
        if retry_at is None:
            logger.error(
                "The handler %s raised %s for %s (attempt %d); a person has to look now.%s",
                *what,
                _explanation(error),
                extra=fields,
            )
        else:
            logger.warning(
                "The handler %s raised %s for %s (attempt %d); called again at %s.%s",
                *what,
                f"{retry_at:%Y-%m-%d %H:%M:%S %Z}",
                _explanation(error),
                extra=fields,
            )
        self._engine.work.record.failed(
            lease,
            type(error).__name__,
            attempt,
            retry_at=retry_at,
            details=_details(error),
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

    def broken(self, lease: Lease, row: WorkRow, error: InternalError) -> Worked:
        """Put on record a defect, in us or in an exception of the site's own, as far as that is possible. It
        counts as a failed call; at the last a person has to look, whatever the policy says."""
        logger.warning("%s", told(error), extra=about_work(row, code=error.code))
        attempt = self._attempt(lease, row)
        if attempt is None:
            return Worked.NOT_YET
        retry_at = self._retry_at(attempt)
        details = "".join(traceback.format_exception(error))
        try:
            self._engine.work.record.failed(
                lease, type(error).__name__, attempt, retry_at=retry_at, details=details, actor="worker"
            )
        except (LeaseLost, LogError):
            raise
        except Exception:  # noqa: BLE001 # then nothing is on record but the line above
            return Worked.NOT_YET
        return Worked.PARKED if retry_at is None else Worked.FAILED

    def _retry_at(self, attempt: int) -> datetime | None:
        """When the handler is called again after so many failed calls; None where it was the last."""
        if self._retries.is_last(attempt):
            return None
        return self._engine.now() + self._retries.pause_after(attempt, self._jitter())

    def after_a_crash(self, lease: Lease, row: WorkRow, handler: str) -> Worked | None:
        """Where whoever was at work before is gone, put that on record; return what came of it, if that was
        once too often. None where the handler is to be called."""
        holder, policy = lease.taken_over_from, self._retries
        if holder is None:
            return None
        logger.warning(
            "%s is taken over from %s, which did not end it.",
            shown_work(row),
            shown_process(holder),
            extra=about_work(row),
        )
        if policy.failure is None:
            parked = self._engine.work.record.abandoned(lease, is_last=policy.is_last)
            return Worked.PARKED if parked else None
        self._engine.work.record.abandoned(lease, is_last=lambda _: False)
        assignment = self._engine.work.assignment(lease)
        if assignment is None or not policy.is_last(assignment.item.attempts):
            return None
        attempt = assignment.item.attempts
        if not self._fail(lease, policy.failure, handler, attempt):
            return None
        logger.error(
            "That was the last call of the handler %s for %s (attempt %d); it is failed.",
            handler,
            shown_work(row),
            attempt,
            extra=about_work(row, handler=handler, error=ABANDONED, attempt=attempt),
        )
        return Worked.REPLIED


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
