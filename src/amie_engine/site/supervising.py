"""Telling systemd, or whoever else speaks its protocol, how the loop does: one datagram for each word.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from amie_engine.errors import AMIEEngineError
from amie_engine.site.observing import Observer

__all__ = ["Supervised"]

logger = logging.getLogger("amie_engine.site")

_ALL_HANG = "All handlers hang."


class Supervised(Observer):
    """Tells a supervisor when the loop has begun, that it goes on, how polling goes, and that it ends.

    Without a supervisor that asks for it, by ``NOTIFY_SOCKET`` in the environment, nothing is told. Signs of
    life go out only where ``WATCHDOG_USEC`` asks for them, four times in that time at most. They come from
    the loop alone, so that one that hangs is noticed though handlers go on. While all handlers hang, none
    goes out: nothing but a restart helps.

    Args:
        environment: The variables.
        stopwatch: Gives seconds, to space the signs of life; for tests.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every = _seconds(environment) / 4
        self._stopwatch = stopwatch
        self._told_at = -self._every
        self._error: AMIEEngineError | None = None
        self._all_hang = False

    def started(self) -> None:
        self._tell("READY=1", "STATUS=Polling the service for the first time.")

    def alive(self) -> None:
        now = self._stopwatch()
        if self._every and not self._all_hang and now - self._told_at >= self._every:
            self._told_at = now
            self._tell("WATCHDOG=1")

    def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
        self._error = error

    def planned(self, next_poll_at: datetime | None, *, key_is_refused: bool) -> None:
        if self._all_hang:
            status = _ALL_HANG
        elif key_is_refused:
            status = "The service refuses the site's key."
        elif self._error is not None:
            status = f"The service can't be polled ({self._error.code})."
        else:
            status = "The service answers."
        coming = "" if next_poll_at is None else f" Next poll at {next_poll_at.astimezone(UTC):%H:%M:%S} UTC."
        self._tell(f"STATUS={status}{coming}")

    def hanging(self, *, all_hang: bool) -> None:
        self._all_hang = all_hang
        self._tell(f"STATUS={_ALL_HANG if all_hang else 'Handlers are called again.'}")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=Stopping, once what is under way is finished.")

    def _tell(self, *words: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # a supervisor that does not listen must not hold up the loop
                sender.sendto("\n".join(words).encode(), self._address)
        except OSError as error:
            logger.debug("The supervisor can't be told: %s.", error)


def _address(named: str) -> str | None:
    """The address of a socket: a path, or after an ``@`` a name that no file has."""
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def _seconds(environment: Mapping[str, str]) -> float:
    """In how many seconds the supervisor wants a sign of life of this process; 0 where it wants none."""
    told, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    if not (told.isascii() and told.isdigit()) or process not in (None, str(os.getpid())):
        return 0.0
    return int(told) / 1_000_000
