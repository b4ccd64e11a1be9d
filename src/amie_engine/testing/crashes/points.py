"""The points at which a process can crash: they are counted, and at one of them it is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from amie_engine.testing.crashes.journal import Journal

__all__ = ["Points"]


class Points:
    """Counts the points that the process comes by, and kills it at one.

    Args:
        journal: Where it is noted.
        kill_at: The number of the point, from 1; None for a process that lives on.
        tells: Whether each point is noted.
    """

    def __init__(self, journal: Journal, kill_at: int | None = None, *, tells: bool = False) -> None:
        self.journal = journal
        self._kill_at = kill_at
        self._tells = tells
        self._count = 0
        self._differs = True

    def lasting(self) -> None:
        """Note that something was done that stays when the process is killed."""
        self._differs = True

    def at(self, where: str) -> None:
        """Come by a point; at the one that was chosen, nothing follows."""
        self._count += 1
        if self._tells:
            self.journal.note("point", where=where, differs=self._differs)
        self._differs = False
        if self._count == self._kill_at:
            self.journal.note("killed", where=where)
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()  # until it arrives

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        """Two points: before something is done, and after it."""
        self.at(f"before {what}")
        yield
        self.at(f"after {what}")
