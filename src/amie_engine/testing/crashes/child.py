"""The process that is killed: a site that works until nothing is left to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine
from amie_engine.errors import AMIERequestError
from amie_engine.site import Runner, Site
from amie_engine.testing.crashes.journal import Journal
from amie_engine.testing.crashes.points import Points
from amie_engine.testing.crashes.shared_clock import SharedClock
from amie_engine.testing.crashes.watching import (
    WatchedSite,
    WatchedSubscriptions,
    watch_database,
    watch_http,
)

__all__ = ["CLOCK", "HUB", "JOURNAL", "Place", "work_until_done"]

CLOCK = "clock"
JOURNAL = "journal"
HUB = "sandbox"

_PAUSE = 60.0
"""Seconds by which the clock is moved on where nothing is to be done now."""
_MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where it works.

    Attributes:
        folder: For the journal, the clock, and whatever the site's back end keeps.
        database: The URL of the log's database.
        service: The URL of the service.
        api_key: The site's key there.
    """

    folder: Path
    database: str
    service: str
    api_key: str


def work_until_done(
    place: Place,
    make_site: Callable[[Path], Site],
    act: Callable[[Engine, Path], None] | None,
    kill_at: int | None,
    tells: bool,
) -> None:
    """Run the site until all is done that can be; or until the process comes to a point, where it is killed.

    Everything is as in production but for the clock and the jitter, which are the same in each process.

    Args:
        place: Where.
        make_site: Makes the site.
        act: What operators do besides.
        kill_at: The number of the point, from 1.
        tells: Whether each point is noted.
    """
    logging.disable(logging.CRITICAL)  # what goes wrong on the way is wanted here
    clock = SharedClock(place.folder / CLOCK)
    points = Points(Journal(place.folder / JOURNAL), kill_at, tells=tells)
    watch_database(points)
    watch_http(points)
    site = WatchedSite(make_site(place.folder), points)
    with (
        Engine(place.database, site=site.name, hub=HUB, clock=clock) as engine,
        AMIEClient(
            site.name, place.api_key, place.service, sleep=clock.forward, random=lambda: 0.5
        ) as client,
    ):
        # By how long calls take, checkpoints would be saved at other moments each time: now it is after each.
        engine.subscriptions = WatchedSubscriptions(engine, points, stopwatch=count().__next__)
        runner = Runner(engine, client, site, jitter=lambda: 0.5)
        site.note_subscribers()

        def act_now() -> None:
            if act is not None:
                act(engine, place.folder)
                points.lasting()

        _settle(runner, clock, act_now)


def _settle(runner: Runner, clock: SharedClock, act: Callable[[], None]) -> None:
    # What was left in the outbox goes first, as a worker sends it whose poll is not due yet: a poll may show
    # that a reply has arrived, and hide that another would have been posted without a look for it.
    with suppress(AMIERequestError):
        runner.send_once()
    for _ in range(_MOST_ROUNDS):
        act()
        done = runner.run_once()
        if done.moved and not done.errors:
            continue
        if not done.errors and _has_ended(runner.engine):
            return
        clock.forward(_PAUSE)


def _has_ended(engine: Engine) -> bool:
    """Whether all that is in the log is at its end, and no subscriber waits after a failure."""
    fails = any(row.failures for row in engine.subscriptions.all())
    return not (engine.transactions(open_only=True) or engine.outbox.open() or fails)
