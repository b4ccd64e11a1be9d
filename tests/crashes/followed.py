"""A site whose subscribers begin at different places, and want different things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amie_engine.packet import Packet
from amie_engine.site import Site
from amie_engine.testing.crashes import courses

WAS_KILLED = "was killed"


def in_many_ways(folder: Path) -> Site:
    """After a crash it comes back with a subscriber more, which begins with what happens from then on."""
    site = Site(courses.SITE)

    @site.handles("request_project_create")
    def decline(request: Packet, work: Any) -> Packet:
        reply: Packet = work.fail("There is no room for this project.")
        return reply

    site.on_event("what is sent", types="packet_confirmed")(_look)
    site.on_event("what never happens", types="deadline_passed", since="beginning")(_look)
    if (folder / WAS_KILLED).exists():
        site.on_event("late")(_look)
    (folder / WAS_KILLED).touch()
    return site


def _look(event: Any) -> None:
    pass
