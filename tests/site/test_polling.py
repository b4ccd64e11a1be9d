"""Polling at few calls: only what is new, later and later without news, and hardly with a wrong key."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine import Retries, Runner, Site, Work
from amie_engine.engine import OutcomeKind
from amie_engine.errors import LogError, ServiceAuthenticationError, SettingsError
from amie_engine.log.statements import Statement
from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.site import Round
from amie_engine.site.observing import Observer
from amie_engine.site.pace import Pace
from amie_engine.testing import Clock
from tests.site.site_world import (
    KEY,
    NAME,
    NO_KEY,
    TOO_MANY,
    FlakyService,
    World,
    database_in,
    handling,
    tiny_site,
    write_as_a_later_release,
)

RPC, TWO = "request_project_create", "request_project_reactivate"


class TestPace:
    def waits(self, *polls: str) -> list[float]:
        pace = Pace(30.0, 300.0)
        return [
            round(pace.after(has_news=poll == "news", key_is_refused=poll == "refused", jitter=0.5), 3)
            for poll in polls
        ]

    def test_it_slows_down_while_there_is_nothing_up_to_a_limit(self) -> None:
        assert self.waits(*["nothing"] * 9) == [30, 45, 67.5, 101.25, 151.875, 227.812, 300, 300, 300]

    def test_news_bring_it_back_at_once(self) -> None:
        assert self.waits("nothing", "nothing", "news", "nothing") == [30, 45, 30, 45]

    def test_while_the_key_is_refused_it_doubles_up_to_an_hour(self) -> None:
        assert self.waits(*["refused"] * 8) == [60, 120, 240, 480, 960, 1920, 3600, 3600]
        assert self.waits("refused", "refused", "nothing", "nothing") == [60, 120, 30, 45]

    def test_a_key_that_is_refused_for_months_ends_nothing(self) -> None:
        assert self.waits(*["refused"] * 3000)[-1] == 3600

    @given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1))))
    def test_it_is_never_shorter_or_longer_than_a_tenth_off_its_limits(self, polls: list[Any]) -> None:
        pace = Pace(30.0, 300.0)
        for has_news, refused, jitter in polls:
            pause = pace.after(has_news=has_news, key_is_refused=refused, jitter=jitter)
            assert 27 <= pause <= (3960 if refused else 330)


def runner_of(world: World, **settings: Any) -> Runner:
    return Runner(world.engine, world.client, tiny_site(), jitter=lambda: 0.5, **settings)


def listings(service: FlakyService) -> list[dict[str, list[str]]]:
    """The queries of the calls that list packets."""
    paths = [urlsplit(path) for method, path in service.calls if method == "GET"]
    return [parse_qs(each.query) for each in paths if each.path.endswith("/packets/NCSA")]


class TestWhatIsAskedFor:
    def test_all_at_first_then_what_is_new_with_an_overlap_and_all_again(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        runner = runner_of(flaky_world, full_listing_every=timedelta(minutes=15))
        for _ in range(5):
            runner.poll_once()
            flaky_world.clock.forward(minutes=6)
        starts = [query.get("update_time", [""])[0].partition(",")[0] for query in listings(service)]
        times = ["", "11:50", "11:56", "", "12:08"]
        assert starts == [f"2026-01-15T{time}:00+00:00" if time else "" for time in times]

    def test_what_came_meanwhile_is_taken_in(self, world: World) -> None:
        world.clock.now = datetime.now(UTC)
        runner = runner_of(world)
        runner.poll_once()
        world.client.start_scenario(RPC)
        assert runner.poll_once()[OutcomeKind.ACCEPTED] == 1

    def test_after_a_poll_that_failed_nothing_is_left_out(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        runner = runner_of(flaky_world)
        runner.poll_once()
        service.fail("GET", NO_KEY)
        flaky_world.clock.forward(minutes=1)
        assert runner.run_once().key_is_refused
        flaky_world.clock.forward(minutes=1)
        runner.poll_once()
        assert listings(service)[-1]["update_time"] == ["2026-01-15T11:50:00+00:00,"]

    def test_a_clock_that_went_back_has_all_listed(self, flaky_world: World, service: FlakyService) -> None:
        runner = runner_of(flaky_world)
        runner.poll_once()
        flaky_world.clock.forward(hours=-1)
        runner.poll_once()
        assert "update_time" not in listings(service)[-1]


class TestIdling:
    def live(self, world: World, runner: Runner, *, look_again: float = 3600.0, **time: float) -> None:
        """Run for some time of the test's clock, and look for work so many seconds apart."""
        until = world.clock.now + timedelta(**time)
        while world.clock.now < until:
            _, seconds = runner.tick()
            world.clock.forward(seconds=min(max(seconds, 0.001), look_again))

    def test_a_day_without_news_costs_the_service_few_calls(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        self.live(flaky_world, runner_of(flaky_world), days=1)
        calls = Counter(method for method, _ in service.calls)
        assert set(calls) == {"GET"}
        assert 24 * 12 <= calls["GET"] == len(listings(service)) <= 24 * 12 + 6

    def test_work_that_waits_makes_no_calls_and_does_not_spin(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        world = flaky_world
        called: list[Any] = []

        def handler(packet: Any, work: Work) -> Any:
            called.append(world.clock.now)
            return work.defer(until=world.clock.now + timedelta(hours=6), reason="maintenance")

        world.client.start_scenario(RPC)
        site = handling(RPC, handler)
        runner = Runner(world.engine, world.client, site, jitter=lambda: 0.5)
        before = len(service.calls)
        self.live(world, runner, look_again=60, days=1)
        assert len(called) == 4
        assert len(service.calls) - before <= 24 * 12 + 20

    def test_a_refused_key_stops_polling_and_sending_loudly(
        self, flaky_world: World, service: FlakyService, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = flaky_world
        world.client.start_scenario(RPC)
        runner = runner_of(world)
        runner.poll_once()
        runner.work_once()
        service.fail("GET", *[NO_KEY] * 50)
        service.fail("POST", *[NO_KEY] * 50)
        service.calls.clear()
        with caplog.at_level(logging.ERROR):
            self.live(world, runner, look_again=60, hours=4)
        assert len(service.calls) < 15
        assert "refuses the site's key" in caplog.text
        assert [each.status for each in world.engine.outbox.open()] == ["pending"]
        service.faults.clear()
        self.live(world, runner, look_again=60, hours=2)
        assert [each.status for each in world.engine.outbox.open()] == []
        assert len(world.replies("notify_project_create")) == 1


class TestUnreadable:
    """An event of one transaction, written by a later release, while others go on."""

    def two(self, world: World) -> tuple[str, str]:
        """Begin two; the log can't read the first any more. Both have packets to be taken in."""
        world.client.start_scenario(RPC)
        world.client.start_scenario(RPC)
        runner = runner_of(world)
        runner.poll_once()
        first, second = (str(one.trans_rec_id) for one in world.sandbox.transactions())
        runner.run_once()  # both replies are sent, and the hub goes on
        write_as_a_later_release(world.engine, first)
        world.clock.forward(minutes=16)
        return first, second

    def test_what_comes_in_it_waits_and_the_others_are_taken_in(
        self, world: World, tmp_path: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.database = database_in(tmp_path)
        world.restart()
        first, second = self.two(world)
        world.client.start_scenario(RPC)
        runner = runner_of(world)
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                result = runner.run_once()
                assert (result.polled, result.errors) == (True, [])
                world.clock.forward(minutes=16)
        states = world.states()
        third = next(name for name in states if name not in (first, second))
        assert states[second] == states[third] == "completed"
        assert caplog.text.count(f"What comes of transaction {first} waits: The event at position") == 1

    def test_so_does_its_history(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        first, second = self.two(world)
        world.sandbox.fail(int(first))
        world.sandbox.fail(int(second))
        with caplog.at_level(logging.WARNING):
            runner_of(world).poll_once()
            runner_of(world).poll_once()
        assert world.states()[second] == "failed"
        assert f"What comes of transaction {first} waits" in caplog.text

    def test_a_full_listing_counts_as_done(self, flaky_world: World, service: FlakyService) -> None:
        self.two(flaky_world)
        runner = runner_of(flaky_world)
        runner.poll_once()
        runner.poll_once()
        assert "update_time" in listings(service)[-1]

    def test_informs_of_others_are_acknowledged(self, clock: Clock) -> None:
        lingering = Sandbox(NAME, KEY, lingering_informs=True)
        with SandboxServer(lingering) as server, closing(World(lingering, server.url, clock)) as world:
            world.client.start_scenario(TWO)
            for _ in range(20):
                world.runner().run_once()
            listed = world.client.list_packets()
            assert [packet.packet_type for packet in listed] == ["inform_transaction_complete"] * 4
            write_as_a_later_release(world.engine, listed.packets[0].trans_rec_id or "")
            clock.forward(minutes=6)
            result = world.runner().run_once()
            assert (result.polled, result.errors, result.sent) == (True, [], 3)

    def test_trouble_with_the_log_itself_ends_the_poll(self, world: World, tmp_path: Any) -> None:
        world.database = database_in(tmp_path)
        world.restart()
        world.client.start_scenario(RPC)
        runner = runner_of(world)
        with world.engine.database.write() as cursor:
            cursor.run(Statement("DROP TABLE amie_transactions"))
        with pytest.raises(LogError):
            runner.poll_once()


class TestRefusals:
    FORBIDDEN = (403, b'{"message": "Forbidden"}', "application/json")

    def test_a_poll_that_is_forbidden_is_a_refused_key(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        service.fail("GET", self.FORBIDDEN)
        assert runner_of(flaky_world).run_once().key_is_refused

    def test_also_where_polls_are_made_one_by_one(self, flaky_world: World, service: FlakyService) -> None:
        told: list[bool] = []

        class Witness(Observer):
            def planned(self, next_poll_at: datetime | None, *, key_is_refused: bool) -> None:
                told.append(key_is_refused)

        service.fail("GET", self.FORBIDDEN)
        with pytest.raises(ServiceAuthenticationError):
            runner_of(flaky_world, observers=[Witness()]).poll_once()
        assert told == [True]

    def test_a_history_that_is_forbidden_is_none(self, flaky_world: World, service: FlakyService) -> None:
        flaky_world.client.start_scenario(RPC)
        flaky_world.runner().run_once()
        flaky_world.restart()
        runner = runner_of(flaky_world)
        for transaction in flaky_world.sandbox.transactions():
            flaky_world.sandbox.fail(transaction.trans_rec_id)  # listed no more: its history is fetched
        service.fail("GET", None, self.FORBIDDEN)
        result = runner.run_once()
        assert [type(error) for error in result.errors] == [ServiceAuthenticationError]
        assert not result.key_is_refused


class TestRetryAfter:
    def polls(self, world: World, service: FlakyService, *, hours: float) -> list[float]:
        """Run for some hours; return after how many seconds each poll came."""
        began, seen, polls = world.clock.now, 0, []
        runner = runner_of(world)
        while world.clock.now < began + timedelta(hours=hours):
            _, seconds = runner.tick()
            if len(listings(service)) > seen:
                seen = len(listings(service))
                polls.append((world.clock.now - began).total_seconds())
            world.clock.forward(seconds=min(max(seconds, 1.0), 10.0))
        return polls

    def test_the_next_poll_comes_no_sooner_than_the_service_asks(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        service.retry_after = 900
        service.fail("GET", TOO_MANY, TOO_MANY)
        assert self.polls(flaky_world, service, hours=0.6)[:4] == [0, 900, 1800, 1867.5]

    def test_an_absurd_wish_is_followed_for_half_an_hour(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        service.retry_after = 10**400
        service.fail("GET", *[TOO_MANY] * 9)
        assert self.polls(flaky_world, service, hours=1.6) == [0, 1800, 3600, 5400]
        assert len(service.calls) == 4

    def test_meanwhile_what_was_decided_is_sent_and_brings_no_poll(
        self, flaky_world: World, service: FlakyService
    ) -> None:
        world = flaky_world
        world.client.start_scenario(RPC)
        runner = runner_of(world)
        runner.poll_once()
        service.retry_after = 900
        service.fail("GET", TOO_MANY)
        result, seconds = runner.tick()
        assert (result.polled, result.sent, seconds) == (False, 1, 900)
        before = len(listings(service))
        world.clock.forward(seconds=899)
        result, seconds = runner.tick()
        assert (len(listings(service)), seconds) == (before, 1)

    def test_no_more_histories_are_fetched_then(self, flaky_world: World, service: FlakyService) -> None:
        world = flaky_world
        for _ in range(3):
            world.client.start_scenario(RPC)
        runner = runner_of(world)
        runner.poll_once()
        for transaction in world.sandbox.transactions():
            world.sandbox.fail(transaction.trans_rec_id)
        world.clock.forward(minutes=16)
        service.calls.clear()
        service.retry_after = 900
        service.fail("GET", None, None, TOO_MANY)
        result, seconds = runner.tick(works=False)
        assert (result.polled, len(service.calls), seconds) == (True, 3, 900)
        world.clock.forward(minutes=16)
        runner.tick(works=False)
        assert set(world.states().values()) == {"failed"}

    def test_a_clock_that_goes_back_ends_it(self, flaky_world: World, service: FlakyService) -> None:
        service.retry_after = 900
        service.fail("GET", TOO_MANY)
        runner = runner_of(flaky_world)
        runner.tick()
        flaky_world.clock.forward(hours=-5)
        result, seconds = runner.tick()
        assert result.polled
        assert seconds < 100


class TestThreads:
    def test_a_slow_handler_holds_up_neither_polling_nor_sending(self, world: World, tmp_path: Any) -> None:
        world.database = database_in(tmp_path)
        world.restart()
        slow_is_at_work, go_on, stop = threading.Event(), threading.Event(), threading.Event()
        first: list[str] = []

        def handler(packet: Any, work: Work) -> Any:
            if not first:
                first.append(work.trans_rec_id)
                slow_is_at_work.set()
                assert go_on.wait(30)
            return work.fail("no")

        def on_round(done: Round) -> None:
            states = {str(one.trans_rec_id): one.state for one in world.sandbox.transactions()}
            if first and {state for name, state in states.items() if name != first[0]} == {"failed"}:
                go_on.set()
            if world.sandbox.idle and not done.moved:
                stop.set()

        world.client.start_scenario(TWO)
        site = handling(RPC, handler)
        runner = Runner(world.engine, world.client, site, interval=0.01, longest_interval=0.05, workers=2)
        runner.run(stop, on_round=on_round)
        assert slow_is_at_work.is_set()
        assert {one.state for one in world.sandbox.transactions()} == {"failed"}

    def test_a_handler_that_ends_its_thread_leaves_the_daemon_at_work(
        self, world: World, tmp_path: Any
    ) -> None:
        world.database = database_in(tmp_path)
        world.clock = Clock(world.clock.now, tick=timedelta(milliseconds=50))
        world.restart()
        stop = threading.Event()
        tried: list[int] = []
        soon = timedelta(microseconds=1)
        site = Site(NAME, retries=Retries(first=soon, longest=soon))

        @site.handles(RPC)
        def leave(packet: Any, work: Work) -> Any:
            tried.append(work.attempt)
            return sys.exit("enough") if work.attempt < 3 else work.fail("no")

        def on_round(done: Round) -> None:
            if world.sandbox.idle:
                stop.set()

        world.client.start_scenario(RPC)
        runner = Runner(world.engine, world.client, site, interval=0.01, longest_interval=0.05)
        runner.run(stop, on_round=on_round)
        assert tried == [1, 2, 3]

    def test_a_runner_has_a_worker(self, world: World) -> None:
        with pytest.raises(SettingsError):
            Runner(world.engine, world.client, tiny_site(), workers=0)
