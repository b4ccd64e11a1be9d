"""What a runner tells of what it does, to whoever counts it, shows it, or watches over it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from amie_engine.engine import Outcome
from amie_engine.engine.outbox import Outgoing
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import AMIEEngineError

if TYPE_CHECKING:
    from amie_engine.site.worked import Worked

__all__ = ["Observer", "Observers", "SendResult"]

logger = logging.getLogger("amie_engine.site")


class SendResult(StrEnum):
    """What became of an attempt to send something."""

    ARRIVED = "arrived"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_SENT = "not-sent"
    NEEDLESS = "needless"
    """It has not arrived, and needs to no more: its transaction has ended, another reply is there, or another
    process was told that the service refuses it."""


class Observer:
    """Is told of what a runner does. Each method does nothing; override those that matter.

    They are called while the runner is at it: be quick. `handled` and `worked` are called in the threads that
    call handlers, all others in the one that runs the loop.
    """

    def started(self) -> None:
        """The loop begins."""

    def alive(self) -> None:
        """The loop goes on: it begins anew, or is done with one of several packets or calls."""

    def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
        """The service was asked what is new, which took so long, and failed where there is an error."""

    def received(self, outcome: Outcome) -> None:
        """A packet came to an end, as part of a listing or of a history."""

    def handled(self, row: WorkRow, seconds: float) -> None:
        """A handler was called, and returned or raised after so long."""

    def worked(self, row: WorkRow, end: Worked) -> None:
        """An item of work came to an end for now."""

    def sent(self, outgoing: Outgoing, result: SendResult) -> None:
        """Something of the outbox was sent, or looked for at the service."""

    def planned(self, next_poll_at: datetime | None, *, key_is_refused: bool) -> None:
        """What was due is done; the service is asked again then, if that is known."""

    def hanging(self, *, all_hang: bool) -> None:
        """All threads that call handlers hang past their leases; or one of them is free again."""

    def stopping(self) -> None:
        """The loop is to end; what is under way is finished first."""

    def stopped(self) -> None:
        """The loop has ended."""


class Observers(Observer):
    """Tells several observers. One that raises harms neither the runner nor the others."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def started(self) -> None:
        self._tell(lambda observer: observer.started())

    def alive(self) -> None:
        self._tell(lambda observer: observer.alive())

    def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
        self._tell(lambda observer: observer.polled(seconds, error))

    def received(self, outcome: Outcome) -> None:
        self._tell(lambda observer: observer.received(outcome))

    def handled(self, row: WorkRow, seconds: float) -> None:
        self._tell(lambda observer: observer.handled(row, seconds))

    def worked(self, row: WorkRow, end: Worked) -> None:
        self._tell(lambda observer: observer.worked(row, end))

    def sent(self, outgoing: Outgoing, result: SendResult) -> None:
        self._tell(lambda observer: observer.sent(outgoing, result))

    def planned(self, next_poll_at: datetime | None, *, key_is_refused: bool) -> None:
        self._tell(lambda observer: observer.planned(next_poll_at, key_is_refused=key_is_refused))

    def hanging(self, *, all_hang: bool) -> None:
        self._tell(lambda observer: observer.hanging(all_hang=all_hang))

    def stopping(self) -> None:
        self._tell(lambda observer: observer.stopping())

    def stopped(self) -> None:
        self._tell(lambda observer: observer.stopped())

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception as error:  # noqa: BLE001 # whoever looks on must not stop what is done
                logger.warning("%s raised %s.", type(observer).__name__, type(error).__name__)
