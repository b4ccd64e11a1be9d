"""A loop with a schedule of the site's own, in which what the engine has to do are jobs among others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amie_engine import AMIEEngineError, Runner
from amie_engine.site import load_site, stopping_on_signals

from .opening import opened
from .ticking import tell_of_problems

__all__ = ["Job", "jobs_of", "loop", "main"]

logger = logging.getLogger("own_loop")


@dataclass(slots=True)
class Job:
    """Something to do every so many seconds."""

    name: str
    every: float
    do: Callable[[], object]
    due: float = 0.0

    def run(self) -> None:
        """Do it. What fails is told and done again when it is due: the log has what was done before."""
        try:
            self.do()
        except AMIEEngineError as error:
            # The code and the hint name no person; the message may be the service's, and quote a packet.
            logger.warning("%s: %s. %s", self.name, error.code, error.hint)
        except Exception:  # a defect in one job must not end the others
            logger.exception("%s failed", self.name)
        self.due = time.monotonic() + self.every


def jobs_of(runner: Runner) -> list[Job]:
    """Return the engine's four jobs. Handlers and subscribers never raise here: what they raise is in the
    log. The last one is for a site with subscribers."""
    return [
        Job("polling", 60.0, runner.poll_once),
        Job("working", 5.0, runner.work_once),
        Job("sending", 5.0, runner.send_once),
        Job("delivering", 5.0, runner.deliver_once),
    ]


def loop(jobs: Sequence[Job], stop: threading.Event) -> None:
    """Do each job when it is due, one after the other, until ``stop`` is set."""
    while not stop.is_set():
        for job in jobs:
            if job.due <= time.monotonic() and not stop.is_set():
                job.run()
        stop.wait(max(0.0, min(job.due for job in jobs) - time.monotonic()))


def main() -> None:
    """Run the site of examples/campus, and look for problems once an hour."""
    logging.basicConfig(level=logging.INFO)
    site = load_site("campus.site:site")
    stop = threading.Event()
    told: set[tuple[str, str]] = set()
    with (
        opened(site.name) as (engine, client),
        Runner(engine, client, site) as runner,  # tells in the end that it has stopped, and did not crash
        stopping_on_signals(stop),
    ):
        problems = Job("looking for problems", 3600.0, lambda: tell_of_problems(engine, told))
        loop([*jobs_of(runner), problems], stop)


if __name__ == "__main__":
    main()
