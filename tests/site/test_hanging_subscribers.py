"""Subscribers that hang past their leases: people are told by the log, by the status and at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from amie_engine import Engine, RecordedEvent, Runner, Site
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.needs import Need
from amie_engine.engine.processes import this_process
from amie_engine.errors import DatabaseUnavailable
from amie_engine.site.hanging import HangingCalls
from amie_engine.site.metrics import Metrics
from amie_engine.site.observing import Observer
from amie_engine.site.parts import Parts
from amie_engine.site.presence import Presence
from amie_engine.testing import Clock
from tests.log.busy_site import project_request
from tests.site.site_world import World, database_in, tiny_site

ENOUGH = 30.0
"""Seconds after which a test that waits has failed; it takes a fraction of one."""
LOOK = "amie-engine subscribers 'mail the PI'"


class Following:
    """Daemons with a subscriber that hangs, step by step."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.release = threading.Event()
        self.engines: list[Engine] = []
        self.threads: list[threading.Thread] = []
        self.daemon = self.engine()
        self.hanging = HangingCalls(self.daemon, 1, Observer())
        self.presence = Presence(self.daemon)
        self.presence.started()
        clock.forward(seconds=1)

    def engine(self) -> Engine:
        """One more connection to the log; all that is in this process is one daemon to it."""
        self.engines.append(Engine(self.url, site="NCSA", clock=self.clock))
        return self.engines[-1]

    def pass_time(self, **time: float) -> None:
        self.clock.forward(**time)
        self.presence.alive()

    def hang(self, engine: Engine) -> None:
        """Have a thread deliver, and hang in the second packet that came."""
        at_work = threading.Event()

        def mail(event: RecordedEvent) -> None:
            if event.trans_rec_id == "50002":
                at_work.set()
                assert self.release.wait(ENOUGH)

        def deliver() -> None:
            engine.subscriptions.deliver("mail the PI", mail, types="packet_received", since="beginning")

        self.threads.append(threading.Thread(target=deliver))
        self.threads[-1].start()
        assert at_work.wait(ENOUGH)

    def end(self) -> None:
        self.release.set()
        for thread in self.threads:
            thread.join(ENOUGH)
            assert not thread.is_alive()
        for engine in self.engines:
            engine.close()


@pytest.fixture
def following(tmp_path: Path, clock: Clock) -> Iterator[Following]:
    made = Following(database_in(tmp_path), clock)
    yield made
    made.end()


def needs(engine: Engine) -> list[Need]:
    return [need for need in engine.status().needs if need.kind == "hanging"]


def test_one_that_hangs_is_told_in_the_log_once_and_needs_a_person(
    following: Following, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    engine, hanging = following.daemon, following.hanging
    for number in (1, 2):
        engine.receive(project_request(number))
    following.hang(engine)
    called_at = clock()
    following.pass_time(minutes=14)
    hanging.look()
    assert (caplog.text, needs(engine)) == ("", [])
    following.pass_time(minutes=6)
    [need] = needs(engine)  # before the daemon has looked
    assert need.what == (
        "The subscriber 'mail the PI' has been at work on one event for longer than its lease:"
        " restart the daemon"
    )
    for _ in range(3):
        hanging.look()
    [line] = caplog.records
    assert line.message == (
        "The subscriber mail the PI was called 20 min ago for the event at position 2, packet_received of"
        " transaction 50002, and is still at work, longer than its lease. If it hangs, restart the daemon."
    )
    assert line.__dict__["trans_rec_id"] == "50002"
    [need] = needs(engine)
    assert need.what == (
        "The subscriber 'mail the PI' has been at work on event 2 for 20 min, longer than its lease:"
        " restart the daemon"
    )
    assert (need.command, need.look, need.since) == (LOOK, None, called_at)
    counted = Metrics(engine).registry.get_sample_value("amie_engine_needs_person", {"kind": "hanging"})
    assert counted == 1

    following.release.set()
    following.threads[0].join(ENOUGH)
    assert needs(engine) == []


def test_it_does_not_count_as_a_thread_that_calls_handlers(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    engine, hanging = following.daemon, following.hanging
    engine.receive(project_request(2))
    following.hang(engine)
    following.pass_time(minutes=20)
    hanging.look()
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


def test_where_the_database_can_not_be_written_it_is_saved_later(
    following: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, hanging = following.daemon, following.hanging
    engine.receive(project_request(2))
    following.hang(engine)
    following.pass_time(minutes=20)

    def out_of_order() -> None:
        raise DatabaseUnavailable("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(engine.log.database, "write", out_of_order)
        hanging.look()
    assert "one event" in needs(engine)[0].what
    hanging.look()
    assert "event 1" in needs(engine)[0].what
    assert len(caplog.records) == 1


def test_where_it_was_taken_over_from_a_daemon_that_is_still_in_it_that_is_told(
    following: Following, clock: Clock
) -> None:
    following.daemon.receive(project_request(2))
    following.hang(following.daemon)
    called_at = clock()
    following.pass_time(minutes=16)
    following.hanging.look()
    second = following.engine()
    following.hang(second)
    following.pass_time(minutes=1)
    [need] = needs(second)
    assert need.what == (
        "The subscriber 'mail the PI' has been at work on event 1 for longer than its lease, and another"
        " daemon has called it anew: restart the daemon"
    )
    assert (need.command, need.since) == (LOOK, called_at)
    # Where a daemon may have ended since, it may be that one that did not end it.
    left = Daemon("elsewhere.example.edu/0a1b2c3d/4026531836:17:9000", clock(), clock(), stopped_at=clock())
    second.daemons.note(left)
    assert needs(second) == []


class TestInTheLoop:
    @pytest.fixture
    def filed(self, world: World, tmp_path: Path) -> World:
        """A world whose log is in a file, so that the loop has threads."""
        world.engine.close()
        world.database = database_in(tmp_path)
        world.restart()
        return world

    def test_the_loop_looks_and_at_the_end_it_is_told_what_is_waited_for(
        self, filed: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        site, stop, noted, go_on = tiny_site(), threading.Event(), threading.Event(), threading.Event()

        @site.on_event("mail", since="beginning")
        def mail(event: RecordedEvent) -> None:
            if event.position == 1:
                filed.clock.forward(minutes=20)
                assert go_on.wait(ENOUGH)

        class Witness(Observer):
            def alive(self) -> None:
                [row] = filed.engine.subscriptions.all()
                if row.overrun is not None and row.overrun.event == 1:
                    assert row.overrun.holder == this_process()
                    noted.set()

        class Told(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "it is waited for" in record.getMessage():
                    go_on.set()

        told = Told()
        filed.client.start_scenario("request_project_create")
        runner = Runner(filed.engine, filed.client, site, interval=0.01, observers=[Witness()])
        loop = threading.Thread(target=runner.run, args=(stop,))
        logging.getLogger("amie_engine.site").addHandler(told)
        try:
            loop.start()
            assert noted.wait(ENOUGH)
            stop.set()
            loop.join(ENOUGH)
        finally:
            logging.getLogger("amie_engine.site").removeHandler(told)
        assert not loop.is_alive()
        assert (
            "The subscriber mail was called 20 min ago for the event at position 1, packet_received of"
            in caplog.text
        )
        assert ": it is waited for. A second SIGTERM or Ctrl-C does not wait." in caplog.text


def test_one_that_interrupts_its_thread_fails_and_the_thread_goes_on(world: World) -> None:
    site, got = Site(world.engine.site), []

    @site.on_event("mail", since="beginning")
    def mail(event: RecordedEvent) -> None:
        got.append(event.position)
        if len(got) == 1:
            raise KeyboardInterrupt

    world.engine.receive(project_request(1))
    *_, deliver = Parts(world.engine, world.client, site, Observer()).tasks(1)
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(deliver, threading.Event()).result()
        assert (result.delivered, result.undelivered, result.errors) == (0, 1, [])
        world.clock.forward(hours=1)
        assert thread.submit(deliver, threading.Event()).result().delivered == 1
    assert got == [1, 1]
