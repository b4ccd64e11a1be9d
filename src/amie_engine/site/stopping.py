"""Stopping on SIGTERM and SIGINT, without cutting off what is under way."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["stopping_on_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_KEY_PRESS = 1.0
"""Seconds in which a second signal is the first one again: a terminal and a wrapper may both pass it on."""


@contextmanager
def stopping_on_signals(
    stop: threading.Event, *, stopwatch: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """SIGTERM and SIGINT set an event while the block runs, in the main thread; elsewhere nothing changes.

    Another of the two a second later or more is a `KeyboardInterrupt`: whoever asks again does not want to
    wait.

    Args:
        stop: The event.
        stopwatch: Gives seconds, to tell two signals apart; for tests.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[float] = []

    def on_signal(number: int, frame: Any) -> None:
        came.append(stopwatch())
        if came[-1] - came[0] >= _SAME_KEY_PRESS:
            raise KeyboardInterrupt
        # From another thread: the one that was interrupted may hold the event's own lock at this moment.
        _thread.start_new_thread(stop.set, ())

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
