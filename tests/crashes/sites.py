"""Small sites that do well."""

from __future__ import annotations

from pathlib import Path

from amie_engine.engine import Engine, RecordedEvent
from amie_engine.packet import Packet
from amie_engine.site import Site, Work
from amie_engine.testing.crashes import courses

_WAS_STARTED = "was started"
_DIARY = "diary"


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


def keeping_a_diary(folder: Path) -> Site:
    """The handler does something outside of its steps, without a key: as many do with a command."""
    site = Site(courses.SITE)

    @site.handles("request_project_create")
    def decline(request: Packet, work: Work) -> Packet:
        with (folder / _DIARY).open("a") as diary:
            diary.write("looked into it\n")
        return work.fail("There is no room for this project.")

    return site


def in_the_diary(folder: Path) -> list[str]:
    """What the handler has done."""
    return (folder / _DIARY).read_text().splitlines()


def followed_in_many_ways(folder: Path) -> Site:
    """One subscriber takes its event no sooner than at the second time, another never, and one wants what
    never happens. After a crash there is one more, which begins with what happens from then on."""
    site = declining_at_once(folder)
    site.on_event("what never happens", types="deadline_passed", since="beginning")(_look)
    if (folder / _WAS_STARTED).exists():
        site.on_event("late")(_look)
    (folder / _WAS_STARTED).touch()

    @site.on_event("slow", types="packet_confirmed", since="beginning")
    def fail_once(event: RecordedEvent) -> None:
        tries = folder / "tries"
        was_tried = tries.exists()
        tries.touch()
        if not was_tried:
            raise ConnectionError

    @site.on_event("never", types="packet_confirmed", since="beginning")
    def fail(event: RecordedEvent) -> None:
        raise ConnectionError

    return site


def skipping(engine: Engine, folder: Path) -> None:
    """An operator has the subscriber that never takes its event skip it."""
    for row in engine.subscriptions.all():
        if row.failures and row.name == "never":
            engine.subscriptions.skip(row.name, actor="operator")


def _look(event: RecordedEvent) -> None:
    pass
