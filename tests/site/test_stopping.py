"""Stopping: what is under way is finished, and nothing is waited for."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from amie_engine import AMIEClient, Runner, Site, Work
from amie_engine.engine.outbox import Outgoing
from amie_engine.errors import AMIEEngineError
from amie_engine.site import Round
from amie_engine.site.observing import Observer, SendResult
from amie_engine.site.stopping import stopping_on_signals
from tests.site.site_world import (
    HTML,
    KEY,
    NAME,
    TOO_MANY,
    FlakyService,
    World,
    database_in,
    handling,
    tiny_site,
)

TWO, RPC = "request_project_reactivate", "request_project_create"
ENOUGH = 20.0
"""Seconds after which a test that waits has failed; it takes a fraction of one."""

_DAEMON = """
import sys
from amie_engine import AMIEClient, Engine, Runner, Site

_, url, database = sys.argv
with AMIEClient("NCSA", "key", url) as client, Engine(database, site="NCSA") as engine:
    Runner(engine, client, Site("NCSA")).run()
"""


class _Asked(threading.Event):
    """Set by the first call of a service, and notes whether there was another."""

    again = False

    def set(self) -> None:
        self.again = self.is_set()
        super().set()


@contextmanager
def asking_for_patience(seconds: int) -> Iterator[tuple[str, _Asked]]:
    """A service that answers each call with how long to wait."""
    asked = _Asked()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", str(seconds))
            self.send_header("Content-Length", "0")
            self.end_headers()
            asked.set()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


def _patient(world: World, site: Site | None = None) -> Runner:
    return world.runner(site, interval=3600.0)


def test_the_loop_ends_at_once_while_it_waits(world: World) -> None:
    stop, first_round = threading.Event(), threading.Event()
    rounds: list[Round] = []

    def on_round(done: Round) -> None:
        rounds.append(done)
        first_round.set()

    loop = threading.Thread(target=_patient(world).run, args=(stop,), kwargs={"on_round": on_round})
    loop.start()
    assert first_round.wait(ENOUGH)
    began = time.monotonic()
    stop.set()
    loop.join(ENOUGH)
    assert not loop.is_alive()
    assert time.monotonic() - began < ENOUGH
    assert len(rounds) == 1


def test_the_loop_runs_at_once_again_as_long_as_anything_moves(world: World) -> None:
    stop = threading.Event()
    world.client.start_scenario(TWO)

    def on_round(done: Round) -> None:
        if world.sandbox.idle and not done.moved:
            stop.set()

    _patient(world).run(stop, on_round=on_round)  # an hour, if it waited once
    world.assert_all_completed()


def test_the_loop_waits_after_an_error_though_something_moved(
    flaky_world: World, service: FlakyService
) -> None:
    world = flaky_world
    world.client.start_scenario(RPC)
    runner = _patient(world)
    runner.poll_once()
    service.fail("GET", HTML)
    result, seconds = runner.tick()
    assert (result.sent, len(result.errors)) == (1, 1)
    assert seconds > 1


def test_a_handler_at_work_is_finished_its_reply_sent_and_no_other_called(world: World) -> None:
    stop, at_work, go_on = threading.Event(), threading.Event(), threading.Event()
    calls: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        calls.append(work.trans_rec_id)
        at_work.set()
        assert go_on.wait(ENOUGH)
        return work.fail("no")

    world.client.start_scenario(TWO)
    loop = threading.Thread(target=_patient(world, handling(RPC, handler)).run, args=(stop,))
    loop.start()
    assert at_work.wait(ENOUGH)
    stop.set()
    go_on.set()
    loop.join(ENOUGH)

    assert not loop.is_alive()
    assert len(calls) == 1
    states = {str(one.trans_rec_id): one.state for one in world.sandbox.transactions()}
    assert states.pop(calls[0]) == "failed"
    assert set(states.values()) == {"in-progress"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_after_the_round_and_the_handlers_before_are_back(
    world: World, number: signal.Signals
) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    rounds: list[Round] = []

    def on_round(done: Round) -> None:
        rounds.append(done)
        os.kill(os.getpid(), number)

    _patient(world).run(on_round=on_round)
    assert len(rounds) == 1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_while_a_handler_is_at_work_does_not_cut_it_off(world: World) -> None:
    def handler(packet: Any, work: Work) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return work.fail("no")

    world.client.start_scenario(RPC)
    rounds: list[Round] = []
    _patient(world, handling(RPC, handler)).run(on_round=rounds.append)
    assert rounds[0].sent == 1
    assert [one.state for one in world.sandbox.transactions()] == ["failed"]


@pytest.mark.parametrize("seconds", [1.0, 60.0])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_after_a_moment_does_not_wait(
    seconds: float, first: signal.Signals, second: signal.Signals
) -> None:
    stop = threading.Event()
    with stopping_on_signals(stop, stopwatch=iter([0.0, seconds]).__next__):
        os.kill(os.getpid(), first)
        assert stop.wait(ENOUGH)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)


def test_while_one_handler_is_waited_for_what_another_decides_is_sent_and_nothing_polled(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.database = f"sqlite:///{tmp_path / 'amie.db'}"
    world.restart()
    for _ in range(2):
        world.client.start_scenario(RPC)
    both_at_work, replies, hangs = threading.Barrier(3), threading.Event(), threading.Event()
    events: list[str] = []
    sent = threading.Event()
    turns = iter((hangs, replies))

    def handler(packet: Any, work: Work) -> Any:
        turn = next(turns)
        both_at_work.wait(ENOUGH)
        assert turn.wait(ENOUGH)
        return work.fail("no")

    class Witness(Observer):
        def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
            events.append("polled")

        def sent(self, outgoing: Outgoing, result: SendResult) -> None:
            events.append("sent")
            sent.set()

        def stopping(self) -> None:
            events.append("stopping")
            replies.set()

    stop = threading.Event()
    runner = Runner(
        world.engine,
        world.client,
        handling(RPC, handler),
        interval=3600.0,
        workers=2,
        observers=[Witness()],
    )
    loop = threading.Thread(target=runner.run, args=(stop,))
    loop.start()
    both_at_work.wait(ENOUGH)
    stop.set()
    assert sent.wait(ENOUGH)
    assert loop.is_alive()
    with world.engine.database.read() as cursor:
        [trace] = world.engine.daemons.all(cursor)
    assert (trace.stopped_at, trace.next_poll_at) == (None, None)
    hangs.set()
    loop.join(ENOUGH)
    assert not loop.is_alive()
    assert events[events.index("stopping") :] == ["stopping", "sent", "sent"]
    assert caplog.text.count("was called 0 s ago: it is waited for.") == 2


def test_the_loop_gives_signs_of_life_while_a_handler_is_waited_for_and_nothing_is_sent(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amie_engine.site.runner.LOOK_AGAIN", 0.01)
    world.database = database_in(tmp_path)
    world.restart()
    world.client.start_scenario(RPC)
    at_work, go_on = threading.Event(), threading.Event()
    heard: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        at_work.set()
        assert go_on.wait(ENOUGH)
        return work.fail("no")

    class Witness(Observer):
        def stopping(self) -> None:
            heard.append("stopping")

        def alive(self) -> None:
            if heard:
                heard.append("alive")
            if len(heard) > 3:
                go_on.set()

    stop = threading.Event()
    runner = Runner(world.engine, world.client, handling(RPC, handler), observers=[Witness()])
    loop = threading.Thread(target=runner.run, args=(stop,))
    loop.start()
    assert at_work.wait(ENOUGH)
    stop.set()
    assert go_on.wait(ENOUGH / 2)
    loop.join(ENOUGH)
    assert not loop.is_alive()


def test_a_signal_ends_the_wait_before_another_attempt(tmp_path: Path) -> None:
    """In a real process, whose client would wait half a minute for the service, and three times that."""
    with asking_for_patience(30) as (url, was_asked):
        with subprocess.Popen([sys.executable, "-c", _DAEMON, url, database_in(tmp_path)]) as daemon:
            try:
                assert was_asked.wait(ENOUGH)
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(ENOUGH) == 0
            finally:
                daemon.kill()
        assert not was_asked.again


def test_a_supervisor_hears_of_the_loop_while_the_client_waits(world: World, service: FlakyService) -> None:
    service.retry_after = 30
    service.fail("GET", TOO_MANY)
    signs: list[str] = []
    waits: list[float] = []

    class Witness(Observer):
        def alive(self) -> None:
            signs.append("alive")

    with AMIEClient(NAME, KEY, service.url, sleep=waits.append) as client:
        assert Runner(world.engine, client, tiny_site(), observers=[Witness()]).run_once().polled
    assert waits == [1.0] * 30
    assert len(signs) >= 30


def test_one_key_press_that_arrives_twice_is_one(world: World) -> None:
    """A terminal sends it to all its processes, and a wrapper passes it on once more."""

    def handler(packet: Any, work: Work) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return work.fail("no")

    world.client.start_scenario(RPC)
    _patient(world, handling(RPC, handler)).run()
    assert [one.state for one in world.sandbox.transactions()] == ["failed"]


def test_elsewhere_than_in_the_main_thread_signals_stay_as_they_are(world: World) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []
    stop = threading.Event()

    def on_round(done: Round) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        stop.set()

    loop = threading.Thread(target=world.runner().run, args=(stop,), kwargs={"on_round": on_round})
    loop.start()
    loop.join(ENOUGH)
    assert seen == [before]
