"""Handlers that are at work for longer than their leases: no thread can be ended, but people can be told."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from amie_engine._logging import about
from amie_engine._spans import span_text
from amie_engine.engine import Engine
from amie_engine.engine.work import WorkRow
from amie_engine.site.observing import Observer

__all__ = ["HangingHandlers"]

logger = logging.getLogger("amie_engine.site")


class HangingHandlers:
    """Notices handlers of this process that hang, and when no thread is left that could call another.

    Args:
        engine: Whose work the handlers do.
        threads: In how many threads they are called.
        observer: Is told when all of these hang, and when one is free again.
    """

    def __init__(self, engine: Engine, threads: int, observer: Observer) -> None:
        self._engine = engine
        self._threads = threads
        self._observer = observer
        self._told: set[str] = set()
        self._all_hang = False

    def look(self) -> None:
        """Tell of each handler that hangs, once; and when all threads hang, or do no longer."""
        now = self._engine.now()
        hanging = [row for row in self._engine.work.at_work() if _is_over(row, now)]
        tokens = {_token(row) for row in hanging}
        for row in hanging:
            if _token(row) not in self._told:
                logger.warning(
                    "%s, and is still at work, longer than its lease. If it hangs, restart the daemon.",
                    _called(row, now),
                    extra=_about(row),
                )
        self._told = tokens
        all_hang = len(tokens) >= self._threads
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

    def tell_what_is_waited_for(self) -> None:
        """Tell which handlers are at work, while the daemon waits for them to end."""
        now = self._engine.now()
        for row in self._engine.work.at_work():
            logger.info(
                "%s: it is waited for. A second SIGTERM or Ctrl-C does not wait.",
                _called(row, now),
                extra=_about(row),
            )

    def tell_what_is_cut_off(self) -> None:
        """Tell which handlers are still at work, when nobody waits for them any longer."""
        rows, now = self._engine.work.at_work(), self._engine.now()
        still = " ".join(f"{_called(row, now)}, and was still at work." for row in rows)
        logger.warning(
            "Ended at once, by a second signal. %s",
            still or "No handler was at work.",
            extra=about(count=len(rows)),
        )


def _is_over(row: WorkRow, now: datetime) -> bool:
    return row.lease is not None and row.lease.expires_at <= now


def _token(row: WorkRow) -> str:
    return "" if row.lease is None else row.lease.token


def _called(row: WorkRow, now: datetime) -> str:
    lasted = timedelta() if row.lease is None else now - row.lease.taken_at
    return (
        f"The handler of {row.packet_type} for packet {row.packet_rec_id} of transaction {row.trans_rec_id}"
        f" was called {span_text(lasted)} ago"
    )


def _about(row: WorkRow) -> dict[str, object]:
    return about(trans_rec_id=row.trans_rec_id, packet_rec_id=row.packet_rec_id, packet_type=row.packet_type)
