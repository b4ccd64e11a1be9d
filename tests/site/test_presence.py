"""The trace that a daemon leaves: that it is at work, how its polls go, and what is swept away."""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest

from amie_engine import Engine, Runner
from amie_engine.engine.daemons import SEEN_EVERY, SEEN_WITHIN, Daemon
from amie_engine.engine.processes import host_of, number_of, this_process
from amie_engine.errors import ServiceUnreachable
from amie_engine.log.statements import Statement
from amie_engine.site import Round
from amie_engine.site.presence import Presence
from amie_engine.testing import Clock
from tests.log.busy_site import leased, project_request
from tests.site.site_world import NO_KEY, FlakyService, World, tiny_site

SCENARIO = "request_project_create"
ELSEWHERE = "elsewhere.example.edu/0a1b2c3d/4026531836:17:9000"


def traces(engine: Engine) -> list[Daemon]:
    with engine.database.read() as cursor:
        return engine.daemons.all(cursor)


def gone() -> str:
    """The name of a process of this host that runs no longer: this one's number was another's before."""
    return this_process().rpartition(":")[0] + ":1"


def test_a_daemon_tells_that_it_is_at_work_how_polls_go_and_that_it_has_stopped(world: World) -> None:
    stop = threading.Event()
    seen: list[Daemon] = []

    def on_round(done: Round) -> None:
        seen.extend(traces(world.engine))
        stop.set()

    world.runner(interval=3600.0).run(stop, on_round=on_round)
    now = world.clock()
    [at_work] = seen
    assert at_work.process == this_process()
    assert (host_of(at_work.process), number_of(at_work.process)) == (at_work.host, at_work.number)
    assert (at_work.started_at, at_work.polled_at, at_work.succeeded_at) == (now, now, now)
    assert at_work.next_poll_at == now + timedelta(seconds=3600 * 1.1)
    assert (at_work.failures, at_work.error_code, at_work.stopped_at) == (0, None, None)
    assert at_work.is_alive(now)
    [stopped] = traces(world.engine)
    assert (stopped.stopped_at, stopped.succeeded_at, stopped.next_poll_at) == (now, now, None)
    assert not stopped.is_alive(now)


@pytest.mark.parametrize("ends_by", [None, KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_a_loop_of_the_sites_own_has_stopped_with_its_block_unless_it_crashes(
    world: World, ends_by: type[BaseException] | None
) -> None:
    def loop() -> None:
        with world.runner() as runner:
            runner.tick()
            if ends_by is not None:
                raise ends_by

    with nullcontext() if ends_by is None else pytest.raises(ends_by):
        loop()
    [trace] = traces(world.engine)
    assert (trace.stopped_at is None) == (ends_by is ZeroDivisionError)


def test_a_single_round_that_fails_is_no_daemon_that_crashed(
    flaky_world: World, service: FlakyService
) -> None:
    """`amie-engine poll`, say, which is typed because the service fails."""
    service.down = True

    def poll() -> None:
        with flaky_world.runner() as runner:
            runner.poll_once()

    with pytest.raises(ServiceUnreachable):
        poll()
    [trace] = traces(flaky_world.engine)
    assert trace.stopped_at is not None


def test_a_loop_that_a_round_ends_by_sys_exit_has_stopped(world: World) -> None:
    def leave(done: Round) -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        world.runner().run(threading.Event(), on_round=leave)
    [trace] = traces(world.engine)
    assert trace.stopped_at is not None


def test_a_daemon_that_a_defect_ends_has_not_stopped_in_good_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = world.runner()

    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(runner, "tick", break_down)
    with pytest.raises(ZeroDivisionError):
        runner.run(threading.Event())
    [trace] = traces(world.engine)
    assert trace.stopped_at is None


def test_it_tells_of_trouble_at_once_and_of_its_end(flaky_world: World, service: FlakyService) -> None:
    world = flaky_world
    runner = world.runner(interval=60.0)
    runner.tick()
    first = world.clock()
    world.clock.forward(minutes=2)
    service.down = True
    runner.tick()
    [failing] = traces(world.engine)
    assert (failing.failures, failing.error_code) == (1, "service-unreachable")
    assert (failing.succeeded_at, failing.error_at, failing.polled_at) == (
        first,
        world.clock(),
        world.clock(),
    )
    world.clock.forward(minutes=10)
    runner.tick()
    world.clock.forward(seconds=5)
    runner._observer.alive()  # as each round of the loop
    assert traces(world.engine)[0].failures == 2

    service.down = False
    world.clock.forward(minutes=20)
    runner.tick()
    [well] = traces(world.engine)
    assert (well.failures, well.succeeded_at) == (0, world.clock())
    assert (well.error_code, well.error_at) == (
        "service-unreachable",
        world.clock() - timedelta(minutes=20, seconds=5),
    )


def test_a_key_that_is_refused_when_something_is_sent_is_told_before_the_next_poll(
    flaky_world: World, service: FlakyService
) -> None:
    world = flaky_world
    world.client.start_scenario(SCENARIO)
    runner = world.runner(interval=3600.0)
    service.fail("POST", NO_KEY)
    runner.tick()
    [trace] = traces(world.engine)
    assert (trace.failures, trace.error_code) == (1, "service-authentication")


def test_an_idle_day_costs_no_more_commits_than_polls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Daemon] = []
    note = world.engine.daemons.note

    def counted(daemon: Daemon) -> None:
        noted.append(daemon)
        note(daemon)

    monkeypatch.setattr(world.engine.daemons, "note", counted)
    runner = Runner(world.engine, world.client, tiny_site(), jitter=lambda: 0.5)
    polls, end = 0, world.clock() + timedelta(days=1)
    before = runner._plan.poll_at
    while world.clock() < end:
        runner._observer.alive()  # as the loop does every few seconds
        _, seconds = runner.tick()
        polls += runner._plan.poll_at != before
        before = runner._plan.poll_at
        world.clock.forward(seconds=min(seconds, 100.0) or 1)
    assert 280 < polls < 300
    assert len(noted) <= polls


def test_polls_that_follow_each_other_closely_cost_no_commit_each(world: World) -> None:
    runner = world.runner()
    runner.tick()
    [first] = traces(world.engine)
    world.clock.forward(seconds=1)
    runner.tick()
    assert traces(world.engine) == [first]
    world.clock.forward(seconds=5)
    runner._observer.alive()
    [later] = traces(world.engine)
    assert later.polled_at == world.clock() - timedelta(seconds=5)


def test_while_no_poll_is_due_it_tells_now_and_then_that_it_is_there(world: World) -> None:
    presence = Presence(world.engine)
    presence.started()
    world.clock.forward(seconds=SEEN_EVERY.total_seconds() - 1)
    presence.alive()
    assert traces(world.engine)[0].seen_at == world.clock() - SEEN_EVERY + timedelta(seconds=1)
    world.clock.forward(seconds=1)
    presence.alive()
    assert traces(world.engine)[0].seen_at == world.clock()


def test_a_daemon_that_begins_sweeps_away_those_that_are_over_and_keeps_when_a_poll_succeeded(
    world: World,
) -> None:
    now = world.clock()
    over = Daemon(ELSEWHERE, now, now, stopped_at=now, succeeded_at=now)
    for number, daemon in enumerate(
        (
            over,
            replace(over, process=gone(), stopped_at=None, succeeded_at=None),
            replace(over, stopped_at=None, seen_at=now - timedelta(days=2), succeeded_at=None),
            replace(over, stopped_at=None, succeeded_at=None),
        )
    ):
        process = daemon.process if daemon.process != ELSEWHERE else f"{ELSEWHERE}{number}"
        world.engine.daemons.note(replace(daemon, process=process))
    world.clock.forward(hours=1)
    Presence(world.engine).started()
    left = {trace.process: trace for trace in traces(world.engine)}
    assert set(left) == {this_process(), f"{ELSEWHERE}3"}
    assert left[this_process()].succeeded_at == now


def test_the_traces_of_another_site_and_hub_are_not_touched(world: World) -> None:
    with Engine(world.database, site="PSC", hub="sandbox", clock=world.clock) as other:
        now = world.clock()
        other.daemons.note(Daemon(ELSEWHERE, now, now, stopped_at=now))
        Presence(world.engine).started()
        assert [trace.process for trace in traces(other)] == [ELSEWHERE]
    assert [trace.process for trace in traces(world.engine)] == [this_process()]


def test_what_is_known_of_a_daemon(clock: Clock) -> None:
    now = clock()
    daemon = Daemon(ELSEWHERE, now, now)
    assert (daemon.host, daemon.number) == ("elsewhere.example.edu", "17")
    assert daemon.is_alive(now + SEEN_WITHIN)
    assert not daemon.is_alive(now + SEEN_WITHIN + timedelta(seconds=1))
    assert daemon.is_alive(now + timedelta(hours=1), within=timedelta(hours=1))
    assert not replace(daemon, stopped_at=now).is_alive(now)
    dead = replace(daemon, process=gone())
    assert dead.is_gone
    assert not dead.is_alive(now)
    assert (Daemon("plain:17", now, now).host, Daemon("plain:17", now, now).number) == ("plain", "17")


def test_leases_of_workers_that_are_gone_are_swept_once_others_have_done_their_work(
    world: World, clock: Clock
) -> None:
    engine = world.engine
    for number in (1, 2, 3):
        engine.receive(project_request(number, PiGlobalID=f"80{number}", PiPersonID=f"u{number}"))
    done, gone_at_work, here = engine.work.open()
    for row in (done, gone_at_work, here):
        leased(engine, row)
    holder = Statement("UPDATE amie_leases SET holder = :holder WHERE stream = :stream")
    with engine.database.write() as cursor:
        for row in (done, gone_at_work):
            cursor.run(holder, {"holder": gone(), "stream": row.stream})
    for row in (done, here):
        request = engine.expected_reply(row.trans_rec_id).request
        assert request is not None
        engine.reply(row.trans_rec_id, request.reply_with_failure(message="no"))
    Presence(engine).started()
    with engine.database.read() as cursor:
        left = {stream for stream, _ in engine.leases.all(cursor)}
    assert left == {gone_at_work.stream, here.stream}  # to be taken over, and at work in this process


def test_a_database_that_cannot_be_written_is_warned_of_once_and_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.engine.database.write() as cursor:
        cursor.run(Statement("ALTER TABLE amie_daemons RENAME TO elsewhere"))
    runner = world.runner()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert runner.tick()[0].errors == []
            world.clock.forward(minutes=10)
    assert caplog.text.count("That the daemon is at work can't be noted") == 1
    with world.engine.database.write() as cursor:
        cursor.run(Statement("ALTER TABLE elsewhere RENAME TO amie_daemons"))
    runner.tick()
    assert len(traces(world.engine)) == 1


def test_single_polls_leave_a_trace_too_and_who_leaves_says_so(world: World) -> None:
    runner = world.runner()
    runner.poll_once()
    [trace] = traces(world.engine)
    assert (trace.succeeded_at, trace.next_poll_at, trace.stopped_at) == (world.clock(), None, None)
    runner.leave()
    assert traces(world.engine)[0].stopped_at == world.clock()
