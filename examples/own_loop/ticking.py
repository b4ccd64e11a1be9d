"""The shortest loop of a site's own: the runner knows what is due, and the site what else there is to do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from amie_engine import Engine, Runner
from amie_engine.site import load_site, stopping_on_signals

from .opening import opened

__all__ = ["loop", "main", "tell_of_problems"]

logger = logging.getLogger("own_loop")

LOOK_AGAIN = 5.0
"""Seconds after which the site's own duties, and work that waits for a time, are looked at again."""


def loop(runner: Runner, stop: threading.Event, own_duties: Callable[[], object]) -> None:
    """Go on until ``stop`` is set. What fails in a tick is logged there, and tried again when it is due."""
    while not stop.is_set():
        result, seconds = runner.tick(stop)
        own_duties()
        if result.errors or not result.moved:
            stop.wait(min(seconds, LOOK_AGAIN))


def tell_of_problems(engine: Engine, told: set[tuple[str, str]]) -> None:
    """Tell once of what a person should look at: a handler that fails, a reply that the service refused."""
    for transaction in engine.transactions(open_only=True):
        problem = transaction.stream, transaction.problem or ""
        if transaction.problem and problem not in told:
            told.add(problem)
            logger.error("Transaction %s: %s.", transaction.trans_rec_id, transaction.problem)


def main() -> None:
    """Run the site of examples/campus."""
    logging.basicConfig(level=logging.INFO)
    site = load_site("campus.site:site")
    stop = threading.Event()
    told: set[tuple[str, str]] = set()
    with (
        opened(site.name) as (engine, client),
        Runner(engine, client, site) as runner,  # tells in the end that it has stopped, and did not crash
        stopping_on_signals(stop),
    ):
        loop(runner, stop, lambda: tell_of_problems(engine, told))


if __name__ == "__main__":
    main()
