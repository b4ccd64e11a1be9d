"""A site's subscribers in the loop: registered, called beside the work, and in nobody's way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import RecordedEvent, Retries, Runner, Site, Work
from amie_engine.errors import DatabaseUnavailable, HandlerInvalid, InternalError
from amie_engine.site import Round
from tests.site.site_world import NAME, World, database_in, tiny_site

RPC, TWO = "request_project_create", "request_project_reactivate"
ENOUGH = 30.0
"""Seconds after which a test that waits has failed; it takes a fraction of one."""


async def _asynchronous(event: RecordedEvent) -> None: ...


class TestRegistering:
    def test_the_function_stays_what_it_is(self) -> None:
        site = Site(NAME)

        @site.on_event("mail", types="deadline_near")
        def mail(event: RecordedEvent) -> str:
            return event.type

        site.on_event("all", since="beginning")(mail)
        assert mail(RecordedEvent(1, "deadline_near", None, "s")) == "deadline_near"  # type: ignore[arg-type]
        assert [(each.name, each.types, each.since) for each in site.subscriptions] == [
            ("mail", {"deadline_near"}, "now"),
            ("all", None, "beginning"),
        ]

    def test_a_name_is_given_once(self) -> None:
        site = Site(NAME)
        site.on_event("mail")(print)
        with pytest.raises(HandlerInvalid, match="has a subscriber 'mail' already"):
            site.on_event("mail")(print)

    @pytest.mark.parametrize(
        ("arguments", "function", "told"),
        [
            ({"types": ["deadline_nea"]}, print, "Did you mean deadline_near"),
            ({"types": []}, print, "leave `types` out"),
            ({"since": "monday"}, print, 'since="beginning"'),
            ({}, "mail", "above a function"),
            ({}, _asynchronous, "asyncio.run"),
            ({}, lambda: None, "(event)"),
        ],
    )
    def test_what_can_not_work_is_refused_at_once(
        self, arguments: dict[str, Any], function: Any, told: str
    ) -> None:
        with pytest.raises(HandlerInvalid) as caught:
            Site(NAME).on_event("mail", **arguments)(function)
        assert told in caught.value.hint


@pytest.fixture
def filed(world: World, tmp_path: Path) -> World:
    """A world whose log is in a file, so that the loop has threads."""
    world.engine.close()
    world.database = database_in(tmp_path)
    world.restart()
    return world


class TestSteps:
    def test_one_that_is_new_hears_of_all_from_the_first_poll_on(self, world: World) -> None:
        site, got = tiny_site(), []
        world.client.start_scenario(RPC)
        world.run_to_the_end()
        before = world.engine.log.whole.head().position
        site.on_event("mail")(lambda event: got.append(event.position))
        runner = world.runner(site)
        world.client.start_scenario(RPC)
        world.run_to_the_end(runner)
        assert got == list(range(before + 1, world.engine.log.whole.head().position + 1))

    def test_it_is_a_step_of_its_own_and_part_of_each_round(self, world: World) -> None:
        site, got = tiny_site(), []
        site.on_event("mail", types="packet_received")(lambda event: got.append(event.type))
        world.client.start_scenario(TWO)
        runner = world.runner(site)
        runner.poll_once()
        assert got == []
        assert runner.deliver_once() == 2
        assert runner.deliver_once() == 0
        result = runner.run_once()
        assert (result.delivered, result.undelivered) == (0, 0)
        assert world.runner(site).tick()[0].delivered + world.runner(site).tick()[0].delivered > 0
        assert set(got) == {"packet_received"}

    def test_handlers_are_not_called_where_others_do_that_nor_are_they(self, world: World) -> None:
        site, got = tiny_site(), []
        site.on_event("mail")(lambda event: got.append(event))
        world.client.start_scenario(RPC)
        world.runner(site).tick(works=False)
        assert got == []

    def test_one_that_raises_holds_up_nobody(self, world: World) -> None:
        site, got = tiny_site(), []

        @site.on_event("bad")
        def bad(event: RecordedEvent) -> None:
            raise ConnectionError("Robin Example")

        site.on_event("good")(lambda event: got.append(event.position))
        world.client.start_scenario(RPC)
        runner = world.runner(site)
        result = runner.run_once()
        assert (result.undelivered, result.errors) == (1, [])
        world.run_to_the_end(runner)
        world.assert_all_completed()
        assert len(got) == world.engine.log.whole.head().position
        assert [row.name for row in world.engine.subscriptions.all() if row.failures] == ["bad"]

    def test_the_site_s_own_pauses_and_lease_are_theirs(self, world: World) -> None:
        site = Site(NAME, retries=Retries(attempts=1, first=timedelta(seconds=7)))

        @site.on_event("bad", since="beginning")
        def bad(event: RecordedEvent) -> None:
            [row] = world.engine.subscriptions.all()
            assert row.holder is not None
            raise ConnectionError

        world.engine.receive({"no": "packet"})
        runner = world.runner(site)
        for _ in range(2):
            runner.deliver_once()
            [row] = world.engine.subscriptions.all()
            assert row.not_before == world.clock.now + timedelta(seconds=7 * row.failures)
            world.clock.forward(minutes=1)

    def test_a_database_in_trouble_is_the_round_s_and_not_theirs(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site, got = tiny_site(), []
        site.on_event("mail", since="beginning")(lambda event: got.append(event))
        runner = world.runner(site)
        world.engine.receive({"no": "packet"})
        subscriptions = world.engine.subscriptions

        def out_of_order(*_: Any, **__: Any) -> Any:
            raise DatabaseUnavailable("no disk")

        with monkeypatch.context() as patch:
            patch.setattr(subscriptions._checkpoints, "take", out_of_order)
            with pytest.raises(DatabaseUnavailable):
                runner.deliver_once()
            assert any(isinstance(error, DatabaseUnavailable) for error in runner.run_once().errors)
            patch.setattr(subscriptions._checkpoints, "take", lambda *_, **__: 1 / 0)
            assert any(isinstance(error, InternalError) for error in runner.run_once().errors)
        assert runner.deliver_once() > 0


class TestDeadlinesInTheLoop:
    @pytest.mark.parametrize("step", ["run_once", "tick"])
    def test_they_are_noted_and_told_to_whoever_wants_to_know(
        self, world: World, step: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        site, got = Site(NAME), []
        types = ("deadline_near", "deadline_passed")
        site.on_event("warn", types=types)(lambda event: got.append(event.sentence))
        world.client.start_scenario(RPC)
        runner = world.runner(site)
        runner.run_once()
        deadline = world.engine.transactions()[0].deadline
        assert deadline is not None
        for moment in (deadline - timedelta(days=2), deadline, deadline + timedelta(days=1)):
            world.clock.now = moment
            getattr(runner, step)()
        assert [sentence.split(": ")[0] for sentence in got] == [
            "The site's deadline for notify_project_create is near",
            "The site's deadline for notify_project_create has passed",
        ]
        assert "The site's deadline in transaction" in caplog.text


class TestTheDaemon:
    def test_a_slow_one_holds_up_neither_polls_nor_handlers_nor_sending_nor_others(
        self, filed: World
    ) -> None:
        site, got = tiny_site(), []
        began, go_on, stop = threading.Event(), threading.Event(), threading.Event()
        caller: set[str] = set()

        @site.on_event("slow")
        def slow(event: RecordedEvent) -> None:
            caller.add(threading.current_thread().name)
            began.set()
            assert go_on.wait(ENOUGH)

        site.on_event("quick")(lambda event: got.append(event.position))
        filed.client.start_scenario(TWO)
        runner = filed.runner(site)
        done_without_it: list[bool] = []

        def on_round(_: Round) -> None:
            if _is_over(filed) and began.is_set() and not go_on.is_set():
                done_without_it.append(True)
                go_on.set()
            if len(got) > 10 and filed.engine.subscriptions.all()[1].behind == 0 and go_on.is_set():
                stop.set()

        _run(runner, stop, on_round)
        assert done_without_it
        assert "MainThread" not in caller
        filed.assert_all_completed()
        assert got == list(range(1, len(got) + 1))

    def test_what_it_replies_is_sent(self, filed: World) -> None:
        """A site may even do all its work as a subscriber, without any handler."""
        site, people = Site(NAME), tiny_site()
        stop = threading.Event()

        @site.on_event("answer", types="packet_received")
        def answer(event: RecordedEvent) -> None:
            due = filed.engine.expected_reply(event.stream)
            if due.turn != "site" or due.packet is None or due.request is None:
                return
            handler = people.handler_for(due.request.packet_type)
            assert handler is not None
            work = Work("key", due.packet, due.request, due.request, "1")
            filed.engine.reply(event.stream, handler(due.request, work), actor="subscriber")

        filed.client.start_scenario(RPC)
        _run(filed.runner(site), stop, lambda _: stop.set() if filed.sandbox.idle else None)
        assert filed.sandbox.idle
        assert set(filed.states().values()) <= {"completed", "confirmed"}

    def test_one_that_ends_its_thread_ends_no_daemon(self, filed: World) -> None:
        site, stop, left = tiny_site(), threading.Event(), threading.Event()

        @site.on_event("leaves")
        def leave(event: RecordedEvent) -> None:
            left.set()
            sys.exit("enough")

        filed.client.start_scenario(TWO)
        _run(filed.runner(site), stop, lambda _: stop.set() if _is_over(filed) and left.wait(60) else None)
        filed.assert_all_completed()
        [row] = filed.engine.subscriptions.all()
        assert (row.error, row.position) == ("SystemExit", 0)

    def test_at_the_end_the_one_that_is_at_work_is_finished_and_no_other_event_begun(
        self, filed: World
    ) -> None:
        site, got, stop = tiny_site(), [], threading.Event()

        @site.on_event("mail")
        def mail(event: RecordedEvent) -> None:
            stop.set()
            got.append(event.position)

        filed.client.start_scenario(TWO)
        _run(filed.runner(site), stop, lambda _: None)
        assert got == [1]
        [row] = filed.engine.subscriptions.all()
        assert (row.position, row.holder) == (1, None)

    def test_with_the_log_in_memory_there_are_no_threads(self, world: World) -> None:
        site, stop = tiny_site(), threading.Event()
        caller: set[str] = set()
        site.on_event("mail")(lambda event: caller.add(threading.current_thread().name))
        world.client.start_scenario(RPC)
        runner = world.runner(site)
        runner.run(stop, on_round=lambda _: stop.set() if world.sandbox.idle else None)
        assert caller == {"MainThread"}


def _is_over(world: World) -> bool:
    """Whether both sides have said all that they have to say, and heard it."""
    return world.sandbox.idle and not any(one.turn for one in world.engine.transactions())


def _run(runner: Runner, stop: threading.Event, on_round: Callable[[Round], object]) -> None:
    """Run the loop, and fail where it does not come to its end."""
    late = threading.Timer(ENOUGH, stop.set)
    late.start()
    runner.run(stop, on_round=on_round)
    in_time = late.is_alive()
    late.cancel()
    late.join()
    assert in_time
