"""What a supervisor hears on its socket: that the loop has begun, goes on, and ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from amie_engine import Runner
from amie_engine.errors import ServiceUnreachable
from amie_engine.site import Round
from amie_engine.site.supervising import Supervised
from tests.site.site_world import World, tiny_site

NEXT = datetime(2026, 1, 15, 12, 5, tzinfo=UTC)


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    """All that has come, line by line."""
    lines: list[str] = []
    while True:
        try:
            lines += listener.recv(4096).decode().splitlines()
        except BlockingIOError:
            return lines


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


def supervised(listener: socket.socket, **variables: str) -> Supervised:
    ticks = iter(range(1000))
    return Supervised(
        {"NOTIFY_SOCKET": listener.getsockname(), **variables}, stopwatch=lambda: float(next(ticks))
    )


def test_the_loop_tells_that_it_is_ready_how_polling_goes_and_that_it_stops(
    world: World, listener: socket.socket
) -> None:
    stop = threading.Event()

    def on_round(done: Round) -> None:
        stop.set()

    observer = supervised(listener, WATCHDOG_USEC="1000000")
    runner = Runner(world.engine, world.client, tiny_site(), observers=[observer], jitter=lambda: 0.5)
    runner.run(stop, on_round=on_round)
    lines = heard(listener)
    assert lines[0] == "READY=1"
    assert lines.index("WATCHDOG=1") < lines.index("STATUS=The service answers. Next poll at 12:00:30 UTC.")
    assert lines[-2:] == ["STOPPING=1", "STATUS=Stopping, once what is under way is finished."]


def test_signs_of_life_are_spaced_and_go_out_only_where_they_are_wanted(listener: socket.socket) -> None:
    for wanted, count in (
        ({"WATCHDOG_USEC": "40000000"}, 2),  # at 0 and 10 seconds of 19
        ({"WATCHDOG_USEC": "40000000", "WATCHDOG_PID": str(os.getpid())}, 2),
        ({"WATCHDOG_USEC": "40000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ):
        observer = supervised(listener, **wanted)
        for _ in range(20):
            observer.alive()
        assert heard(listener) == ["WATCHDOG=1"] * count


def test_trouble_with_the_service_is_its_status(listener: socket.socket) -> None:
    observer = supervised(listener)
    observer.polled(0.1, ServiceUnreachable("No answer."))
    observer.planned(NEXT, key_is_refused=False)
    observer.polled(0.1, None)
    observer.planned(NEXT, key_is_refused=True)
    observer.planned(None, key_is_refused=False)
    assert heard(listener) == [
        "STATUS=The service can't be polled (service-unreachable). Next poll at 12:05:00 UTC.",
        "STATUS=The service refuses the site's key. Next poll at 12:05:00 UTC.",
        "STATUS=The service answers.",
    ]


def test_a_socket_that_no_file_has() -> None:
    name = f"amie-engine-test-{os.getpid()}"
    with listening(f"\0{name}") as listener:
        Supervised({"NOTIFY_SOCKET": f"@{name}"}).started()
        assert heard(listener)[0] == "READY=1"


@pytest.mark.parametrize("named", ["", "/nowhere/at/all", "@nobody-listens-here", "relative"])
def test_where_nobody_listens_nothing_is_told_and_nothing_fails(named: str) -> None:
    observer = Supervised({"NOTIFY_SOCKET": named, "WATCHDOG_USEC": "1"})
    observer.started()
    observer.alive()
    observer.stopping()


def test_a_supervisor_that_does_not_read_holds_up_nothing(listener: socket.socket) -> None:
    observer = supervised(listener)
    for _ in range(10_000):
        observer.started()
    assert heard(listener)[0] == "READY=1"
