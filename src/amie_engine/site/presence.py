"""Leaving the trace of a daemon in the log's database."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from amie_engine._logging import about
from amie_engine.engine import Engine
from amie_engine.engine.daemons import SEEN_EVERY, Daemon
from amie_engine.engine.processes import this_process
from amie_engine.errors import AMIEEngineError, LogError, ServiceAuthenticationError
from amie_engine.site.observing import Observer

__all__ = ["Presence"]

logger = logging.getLogger("amie_engine.site")

_AT_MOST_EVERY = timedelta(seconds=5)
"""While polls follow each other closely, not every one is worth a commit."""

_SWEEP_EVERY = timedelta(hours=1)


class Presence(Observer):
    """Notes that this process is at work, and how its polls go: after a poll, at once where that changes
    anything, and now and then while no poll is due.

    While all handlers hang, it notes nothing: a daemon that is of no use must not be taken for one that is at
    work.

    A database that can't be written is warned of once, and tried again with the next note.

    Args:
        engine: In whose database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._daemon: Daemon | None = None
        self._noted: Daemon | None = None
        self._goes_on = False
        self._all_hang = False
        self._swept_at: datetime | None = None
        self._warned = False

    def started(self) -> None:
        self._goes_on = True
        self._daemon = self._new()
        self._note()

    def alive(self) -> None:
        self._note_if_due()

    def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
        now = self._engine.now()
        daemon = self._daemon or self._new()
        if error is None:
            self._daemon = replace(daemon, polled_at=now, succeeded_at=now, failures=0)
        else:
            self._daemon = _failed(replace(daemon, polled_at=now), error.code, now)

    def planned(self, next_poll_at: datetime | None, *, key_is_refused: bool) -> None:
        self._goes_on = self._goes_on or next_poll_at is not None
        daemon = replace(self._daemon or self._new(), next_poll_at=next_poll_at)
        if key_is_refused and not daemon.failures:  # it was when something was sent
            daemon = _failed(daemon, ServiceAuthenticationError.code, self._engine.now())
        self._daemon = daemon
        self._note_if_due()

    def hanging(self, *, all_hang: bool) -> None:
        self._all_hang = all_hang
        self._note_if_due()

    def stopping(self) -> None:
        if self._daemon is not None:
            self._daemon = replace(self._daemon, next_poll_at=None)
            self._note()

    def stopped(self) -> None:
        if self._daemon is not None:
            self._daemon = replace(self._daemon, stopped_at=self._engine.now(), next_poll_at=None)
            self._note()

    def _new(self) -> Daemon:
        now = self._engine.now()
        return Daemon(this_process(), started_at=now, seen_at=now)

    def _note_if_due(self) -> None:
        daemon, noted, now = self._daemon, self._noted, self._engine.now()
        if daemon is None or self._all_hang:
            return
        if noted is None or _told_at_once(daemon) != _told_at_once(noted):
            self._note()
            return
        silent_for = abs(now - noted.seen_at)  # a clock may go back
        if silent_for >= (_AT_MOST_EVERY if daemon.polled_at != noted.polled_at else SEEN_EVERY):
            self._note()

    def _note(self) -> None:
        assert self._daemon is not None  # noqa: S101 # nobody notes nothing
        now = self._engine.now()
        self._daemon = replace(self._daemon, seen_at=now)
        try:
            if self._swept_at is None or abs(now - self._swept_at) >= _SWEEP_EVERY:
                succeeded_at = self._engine.daemons.sweep(self._daemon, takes_over=self._goes_on)
                self._daemon = replace(self._daemon, succeeded_at=succeeded_at)
                self._swept_at = now
            self._engine.daemons.note(self._daemon)
        except LogError as error:
            if not self._warned:
                logger.warning(
                    "That the daemon is at work can't be noted: %s %s",
                    error.message,
                    error.hint,
                    extra=about(code=error.code),
                )
            self._warned = True
        else:
            self._warned = False
        self._noted = self._daemon  # also where it failed: the next one is tried when it is due


def _failed(daemon: Daemon, code: str, now: datetime) -> Daemon:
    return replace(daemon, failures=daemon.failures + 1, error_code=code, error_at=now)


def _told_at_once(daemon: Daemon) -> tuple[bool, bool, str | None]:
    """What is noted as soon as it changes: the first poll, and trouble."""
    return daemon.polled_at is None, daemon.failures > 0, daemon.error_code
