"""Handlers that hang past their leases: people are told, and a daemon that is of no use is taken for dead."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Runner, Site, Work
from amie_engine.engine.daemons import SEEN_WITHIN, Daemon
from amie_engine.engine.leases import LEASE_TIME
from amie_engine.engine.needs import Need
from amie_engine.site.hanging import HangingCalls
from amie_engine.site.observing import Observer, Observers
from amie_engine.site.presence import Presence
from amie_engine.site.supervising import Supervised
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
from tests.log.busy_site import project_request
from tests.site.site_world import World, handling
from tests.site.test_supervising import heard, listening, supervised

RPC = "request_project_create"
ENOUGH = 20.0
"""Seconds after which a test that waits has failed; it takes a fraction of one."""


class Daemonlike:
    """What a daemon with handlers that hang is made of, step by step."""

    def __init__(self, engine: Engine, clock: Clock, supervisor: Supervised, threads: int) -> None:
        self.engine = engine
        self.clock = clock
        self.release = threading.Event()
        self.threads: list[threading.Thread] = []
        self.observer = Observers((Presence(engine), supervisor))
        self.hanging = HangingCalls(engine, threads, self.observer)
        self.observer.started()

    def call(self, lasts: timedelta = LEASE_TIME) -> None:
        """Have a thread take what may be worked on, and hang."""
        at_work = threading.Event()

        def handler(packet: Any, work: Work) -> Any:
            at_work.set()
            assert self.release.wait(ENOUGH)
            return work.fail("late")

        site = Site("NCSA", lease=lasts)
        site.handles(RPC)(handler)
        thread = threading.Thread(target=Worker(self.engine, site).work_once)
        thread.start()
        self.threads.append(thread)
        assert at_work.wait(ENOUGH)

    def pass_time(self, **time: float) -> None:
        self.clock.forward(**time)
        self.hanging.look()
        self.observer.alive()

    def end(self) -> None:
        self.release.set()
        for thread in self.threads:
            thread.join(ENOUGH)
            assert not thread.is_alive()

    @property
    def trace(self) -> Daemon:
        with self.engine.database.read() as cursor:
            [trace] = self.engine.daemons.all(cursor)
        return trace

    @property
    def needs(self) -> list[Need]:
        return [need for need in self.engine.status().needs if need.kind == "hanging"]


Make = Callable[[int], Daemonlike]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


@pytest.fixture
def make(tmp_path: Path, clock: Clock, listener: socket.socket) -> Iterator[Make]:
    made: list[Daemonlike] = []

    def start(threads: int) -> Daemonlike:
        engine = Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", clock=clock)
        made.append(Daemonlike(engine, clock, supervised(listener, WATCHDOG_USEC="1"), threads))
        clock.forward(seconds=1)
        engine.receive(project_request(1))
        return made[0]

    yield start
    for one in made:
        one.end()
        one.engine.close()


def test_what_was_taken_over_from_a_thread_that_hangs_needs_a_person(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = make(3)
    daemon.call()
    daemon.pass_time(minutes=10)
    assert (caplog.text, daemon.needs) == ("", [])
    daemon.pass_time(minutes=5)
    told = (
        "The handler of request_project_create for packet 70001 of transaction 50001 was called 15 min ago,"
    )
    assert caplog.text.count(told) == 1
    daemon.call()
    daemon.pass_time(minutes=1)
    assert len([one for one in caplog.records if "still at work" in one.message]) == 1
    [need] = daemon.needs
    assert (need.transaction, need.command) == ("50001", "amie-engine show 50001")
    assert "another was called: restart the daemon" in need.what


def test_one_thread_is_told_as_one_and_seconds_as_seconds(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = make(1)
    daemon.call(lasts=timedelta(seconds=8))
    daemon.pass_time(seconds=20)
    assert "was called 20 s ago, and is still at work" in caplog.text
    assert "The one thread that calls handlers hangs: no further handler is called" in caplog.text
    [need] = daemon.needs
    assert "has been at work on it for 20 s, longer than its lease" in need.what
    [row] = daemon.engine.work.open()
    assert row.status == "hanging"
    assert daemon.engine.status().work["hanging"] == 1


def test_nor_is_that_said_of_what_a_daemon_that_is_gone_left(make: Make, clock: Clock) -> None:
    daemon = make(2)
    left = Daemon("elsewhere.example.edu/0a1b2c3d/4026531836:17:9000", clock(), clock())
    daemon.engine.daemons.note(left)
    daemon.call()
    daemon.pass_time(minutes=15)
    daemon.call()
    assert daemon.needs == []


def test_when_all_threads_hang_the_daemon_says_so_once_and_gives_no_sign_of_life_until_one_is_free(
    make: Make, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = make(2)
    daemon.call()
    daemon.pass_time(minutes=15)
    daemon.call()
    daemon.pass_time(minutes=5)
    assert "WATCHDOG=1" in heard(listener)
    assert [one for one in caplog.records if one.levelno == logging.ERROR] == []
    daemon.pass_time(minutes=10)
    seen = daemon.trace.seen_at
    daemon.pass_time(minutes=5)
    daemon.observer.planned(None, key_is_refused=False)

    [error] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert error.message.startswith("All 2 threads that call handlers hang: ")
    lines = heard(listener)
    assert "WATCHDOG=1" not in lines
    assert lines[-1] == "STATUS=All handlers hang."
    daemon.clock.forward(seconds=SEEN_WITHIN.total_seconds())
    assert daemon.trace.seen_at == seen
    assert not daemon.trace.is_alive(daemon.clock())
    [need] = daemon.needs
    assert "has been at work on it for 32 min, longer than its lease: restart the daemon" in need.what

    daemon.end()
    daemon.pass_time(minutes=1)
    assert daemon.trace.seen_at == daemon.clock()
    assert "WATCHDOG=1" in heard(listener)
    assert daemon.needs == []


def test_a_sign_of_life_shows_that_a_handler_does_not_hang(make: Make, clock: Clock) -> None:
    daemon = make(1)
    seen: list[int] = []

    def handler(packet: Any, work: Work) -> Any:
        for number in range(3):
            clock.forward(minutes=14)
            work.step(f"step {number}", lambda: None)
            clock.forward(minutes=14)
            work.alive()
            daemon.hanging.look()
            seen.append(len(daemon.engine.work.at_work()))
        return work.fail("no")

    site = Site("NCSA")
    site.handles(RPC)(handler)
    Worker(daemon.engine, site).work_once()
    assert seen == [1, 1, 1]
    assert daemon.engine.work.at_work() == []


def test_the_loop_looks(world: World, tmp_path: Path) -> None:
    world.database = f"sqlite:///{tmp_path / 'amie.db'}"
    world.restart()
    world.client.start_scenario(RPC)
    stop, told, free = threading.Event(), threading.Event(), threading.Event()

    class Witness(Observer):
        def hanging(self, *, all_hang: bool) -> None:
            (told if all_hang else free).set()

    def handler(packet: Any, work: Work) -> Any:
        world.clock.forward(minutes=15)
        assert told.wait(ENOUGH)
        return work.fail("late")

    runner = Runner(world.engine, world.client, handling(RPC, handler), interval=0.01, observers=[Witness()])
    loop = threading.Thread(target=runner.run, args=(stop,))
    loop.start()
    assert free.wait(ENOUGH)
    stop.set()
    loop.join(ENOUGH)
    assert not loop.is_alive()
