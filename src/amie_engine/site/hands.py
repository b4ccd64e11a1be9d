"""The threads in which a runner calls handlers and subscribers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from amie_engine.site.round import Round
from amie_engine.site.worked import Worked

__all__ = ["LOOK_AGAIN", "Hands", "Task"]

logger = logging.getLogger("amie_engine.site")

LOOK_AGAIN = 5.0
"""Seconds after which work that waits for a time, or for another process, is looked for again."""

Task = Callable[[threading.Event], Round]
"""Does all of a kind that may be done now, until the event is set, and tells what came of it."""

_GOES_ON = frozenset({Worked.REPLIED, Worked.ASKED, Worked.FAILED, Worked.PARKED})
"""After these, something else may be ready."""


class Hands:
    """Threads that work, and tell the loop what they have done.

    They are there during a ``with`` block; at its end each finishes what it is at, unless the block was left
    with an exception: somebody does not want to wait.

    Args:
        tasks: What they do, each in a thread of its own. None of them raises.
        stop: Set at the end, or before by anybody.
    """

    def __init__(self, tasks: Sequence[Task], stop: threading.Event) -> None:
        self._stop = stop
        self._done = Round()
        self._news = threading.Event()
        self._changed = threading.Condition()
        self._looks = 0
        self._at_work = len(tasks)
        # Daemons: nobody waits for them who wants to end at once, with a second Ctrl-C.
        self._threads = [
            threading.Thread(target=self._go_on, args=(task,), name=f"amie-worker-{number}", daemon=True)
            for number, task in enumerate(tasks, 1)
        ]
        self._threads.append(threading.Thread(target=self._watch, name="amie-watcher", daemon=True))

    def __enter__(self) -> Hands:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if raised is None:
            for thread in self._threads:
                thread.join()

    @property
    def are_at_work(self) -> bool:
        """Whether any of the threads has not ended yet."""
        with self._changed:
            return self._at_work > 0

    def wait(self, seconds: float) -> None:
        """Wait until something was done, it is to stop, or the time is up."""
        self._news.wait(seconds)
        self._news.clear()

    def look_again(self) -> None:
        """Have the threads look for work now."""
        with self._changed:
            self._looks += 1
            self._changed.notify_all()

    def add_what_was_done(self, result: Round) -> None:
        """Add to a round what was done since this was asked last."""
        with self._changed:
            done, self._done = self._done, Round()
        result.add(done)

    def _watch(self) -> None:
        """Wake all that waits once it is to stop."""
        self._stop.wait()
        logger.info("Stopping, once what is under way is finished.")
        self._news.set()
        self.look_again()

    def _go_on(self, task: Task) -> None:
        try:
            self._work(task)
        finally:
            with self._changed:
                self._at_work -= 1
            self._news.set()

    def _work(self, task: Task) -> None:
        while not self._stop.is_set():
            looks = self._looks
            result = task(self._stop)
            with self._changed:
                self._done.add(result)
            if result.delivered or any(result.worked[end] for end in _GOES_ON):
                self._news.set()
                self.look_again()  # the others may have something to do by it
            else:
                self._wait(looks)

    def _wait(self, looks: int) -> None:
        """Wait until there may be work again."""
        with self._changed:
            self._changed.wait_for(lambda: self._looks != looks or self._stop.is_set(), LOOK_AGAIN)
