"""Small sites that do well."""

from __future__ import annotations

from pathlib import Path

from amie_engine.engine import RecordedEvent
from amie_engine.packet import Packet
from amie_engine.site import Site, Work
from amie_engine.testing.crashes import courses

_WAS_STARTED = "was started"


def declining_at_once(folder: Path) -> Site:
    """The site fails the transaction, which takes few points."""
    site = Site(courses.SITE)

    @site.handles("request_project_create")
    def decline(request: Packet, work: Work) -> Packet:
        return work.fail("There is no room for this project.")

    return site


def followed(folder: Path) -> Site:
    """And a subscriber is given all that happens."""
    site = declining_at_once(folder)
    site.on_event("all", since="beginning")(_look)
    return site


def followed_in_many_ways(folder: Path) -> Site:
    """After a crash it comes back with a subscriber more, which begins with what happens from then on."""
    site = declining_at_once(folder)
    site.on_event("what is sent", types="packet_confirmed")(_look)
    site.on_event("what never happens", types="deadline_passed", since="beginning")(_look)
    if (folder / _WAS_STARTED).exists():
        site.on_event("late")(_look)
    (folder / _WAS_STARTED).touch()
    return site


def _look(event: RecordedEvent) -> None:
    pass
