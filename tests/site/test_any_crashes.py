"""A law of delivering: whatever fails and whenever the process is killed, each event comes, and in order."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine import Engine, RecordedEvent
from amie_engine.log.events import EventType
from amie_engine.testing import Clock
from tests.site.following import ALL, SITE, note, row

PLANS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["raise", "die", "stop"])), max_size=8)
"""Deliveries one after the other: at which of its calls each comes to an end, and how."""

WANTED = str(EventType.WORK_DEFERRED)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which two events of three are wanted."""
    file = tmp_path_factory.mktemp("log") / "amie.db"
    with Engine(f"sqlite:///{file}", site=SITE, clock=Clock()) as engine:
        for number in range(8):
            note(engine, f"stream {number}", 0, 2)
            engine.receive({"no packet": number})
    return file


def wanted_of(url: str) -> list[int]:
    with Engine(url, site=SITE) as engine:
        return [event.position for event in engine.log.whole.events() if event.type == WANTED]


def deliver_in_a_process(url: str, clock: Clock, told: Path, calls: int, end: str) -> None:
    """Deliver in a process of its own, which writes down each event that it is given, and then each that it
    has taken."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    made = 0

    def subscriber(event: RecordedEvent) -> None:
        nonlocal made
        made += 1
        with told.open("a", encoding="ascii") as file:
            file.write(f"given {event.position}\n")
            if made == calls and end == "raise":
                raise ConnectionError
            file.write(f"taken {event.position}\n")
        if made == calls and end == "die":
            os._exit(9)

    try:
        with Engine(url, site=SITE, clock=clock) as engine:
            limit = calls if end == "stop" else None
            engine.subscriptions.deliver("mail", subscriber, types=WANTED, since=ALL, limit=limit)
    finally:
        os._exit(0)


def read(told: Path, what: str) -> list[int]:
    lines = told.read_text(encoding="ascii").splitlines() if told.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(what)]


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(PLANS)
def test_every_event_is_taken_in_order_and_once_but_for_what_a_crash_left_unsaved(
    filled: Path, tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    shutil.copy(filled, folder / "amie.db")
    url, told, clock = f"sqlite:///{folder / 'amie.db'}", folder / "told", Clock()
    wanted = wanted_of(url)
    for calls, end in plan:
        before = len(read(told, "given"))
        taken_before = set(read(told, "taken"))
        with Engine(url, site=SITE, clock=clock) as engine:
            checkpoint = row(engine).position if engine.subscriptions.all() else 0
        deliver_in_a_process(url, clock, told, calls, end)
        given_now = read(told, "given")[before:]
        behind = [position for position in wanted if position > checkpoint]
        assert given_now == behind[: len(given_now)]  # from the checkpoint on, in order, and none left out
        assert {position for position in wanted if position <= checkpoint} <= taken_before
        clock.forward(days=1)
    with Engine(url, site=SITE, clock=clock) as engine:
        rest: list[int] = []
        engine.subscriptions.deliver(
            "mail", lambda event: rest.append(event.position), types=WANTED, since=ALL
        )
        assert (row(engine).behind, row(engine).failures) == (0, 0)
    taken = [*read(told, "taken"), *rest]
    assert sorted(set(taken)) == wanted
    if all(end != "die" for _, end in plan):
        assert taken == wanted
    shutil.rmtree(folder)
