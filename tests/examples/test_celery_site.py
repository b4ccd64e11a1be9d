"""The Celery example with real workers and real messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging, task_postrun

from amie_engine import Engine, RecordedEvent, Site, Work
from celery_site import tasks
from tests.examples.watching import (
    ENOUGH,
    KEY,
    NAME,
    ROOT,
    Program,
    Watched,
    assert_played_to_the_end,
    watched_service,
)
from tests.site.site_packets import request
from tests.site.site_world import handling

RPC = "request_project_create"
LOG = "sqlite:///amie.db"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.chdir(tmp_path)
    with watched_service() as (hub, url):
        settings = {"API_KEY": KEY, "URL": url, "HUB": "sandbox", "DATABASE": LOG}
        for name, value in (settings | {"HANDLERS": "campus.site:site"}).items():
            monkeypatch.setenv(f"AMIE_ENGINE_{name}", value)
        yield hub


@pytest.fixture
def watching(hub: Watched) -> Iterator[Engine]:
    """The log that the tasks work on."""
    with Engine(LOG, site=NAME, hub="sandbox") as engine:
        yield engine


def _leave_logging_alone(**_: Any) -> None:
    """With this, a worker in this process does not set up the logging of all tests."""


@pytest.fixture
def broker() -> Iterator[None]:
    """A broker in memory, empty."""
    tasks.app.conf.update(broker_url="memory://", broker_transport_options={"polling_interval": 0.01})
    tasks.app.conf.worker_redirect_stdouts = False
    setup_logging.connect(_leave_logging_alone)
    yield
    setup_logging.disconnect(_leave_logging_alone)
    tasks.app.close()
    for queue in ("hub", "work"):
        with tasks.app.connection_for_write() as connection:
            connection.default_channel.queue_purge(queue)
    opened = tasks.runner()
    opened.engine.close()
    opened.client.close()
    tasks._open.cache_clear()
    tasks._handed_out.clear()


@contextmanager
def working(pool: str = "solo", concurrency: int = 1) -> Iterator[None]:
    """A worker in a thread of this process, on both queues."""
    with start_worker(
        tasks.app, pool=pool, concurrency=concurrency, perform_ping_check=False, queues=["hub", "work"]
    ):
        yield


def _messages(queue: str) -> int:
    with tasks.app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)


def test_every_scenario_is_played_to_its_end(hub: Watched, watching: Engine, broker: None) -> None:
    hub.start_all()
    with working():
        tasks.exchange.delay()
        hub.wait_for_the_end(watching)
    assert_played_to_the_end(hub, watching)


def test_a_message_that_is_delivered_twice_is_worked_on_once(
    watching: Engine, broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, passed_by = threading.Event(), threading.Event()
    calls: list[str] = []
    ends: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        calls.append(work.key)
        at_work.set()
        assert passed_by.wait(ENOUGH)
        return work.fail("no")

    def ended(task: Any, retval: Any, **_: Any) -> None:
        if task.name == "amie.work_on":
            ends.append(retval)
            (passed_by if len(ends) == 1 else done).set()

    done = threading.Event()
    monkeypatch.setattr(tasks, "load_site", lambda name: handling(RPC, handler))
    watching.receive(request())
    task_postrun.connect(ended)
    with working("threads", 2):
        tasks.work_on.apply_async(("5001",), task_id="the-one")
        assert at_work.wait(ENOUGH)
        tasks.work_on.apply_async(("5001",), task_id="the-one")
        assert done.wait(ENOUGH)
    task_postrun.disconnect(ended)
    assert calls == ["sandbox/NCSA/7001"]
    assert ends == ["not_yet", "replied"]


def test_what_is_ready_is_handed_out_once_and_again_when_its_message_came_to_nothing(
    watching: Engine, broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching.receive_all([request(1), request(2)])
    tasks.hand_out()
    tasks.hand_out()
    assert _messages("work") == 2
    with tasks.app.connection_for_write() as connection:
        connection.default_channel.queue_purge("work")  # the broker has lost all
    monkeypatch.setattr(tasks, "AGAIN", 0.0)
    tasks.hand_out()
    assert _messages("work") == 2

    watching.fail(5001, "not ours")
    tasks.hand_out()
    assert set(tasks._handed_out) == {"7002"}


def test_subscribers_are_told_by_what_beat_sends_and_hold_up_no_poll(
    watching: Engine, broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, site = threading.Event(), Site(NAME)
    heard: list[str | None] = []

    @site.on_event("mail", types="packet_received")
    def mail(event: RecordedEvent) -> None:
        heard.append(event.trans_rec_id)
        told.set()

    monkeypatch.setattr(tasks, "load_site", lambda name: site)
    tasks.runner()  # from here on it hears of things
    watching.receive(request())
    entry = tasks.app.conf.beat_schedule["deliver"]
    tasks.app.send_task(entry["task"], **entry["options"])
    assert _messages("work") == 1
    with working():
        assert told.wait(ENOUGH)
    assert heard == ["5001"]


def test_a_process_that_is_killed_at_work_is_replaced_and_the_work_done_once(
    hub: Watched, watching: Engine, tmp_path: Path
) -> None:
    """As it is run by hand: the pool forks, and beat sets the pace. The broker is a folder, from which a
    message is gone once somebody has it."""
    (tmp_path / "tried.py").write_text(
        "from celery_site.tasks import app\n"
        "folders = dict.fromkeys(('data_folder_in', 'data_folder_out', 'control_folder'), 'messages')\n"
        "app.conf.update(broker_url='filesystem://')\n"
        "app.conf.update(broker_transport_options=folders | {'polling_interval': 0.02})\n",
        encoding="utf-8",
    )
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "examples"), str(ROOT), str(ROOT / "src")]),
        "AMIE_ENGINE_HANDLERS": "tests.examples.killing_site:site",
        "AMIE_EXCHANGE_EVERY": "0.2",
    }
    command = "-A tried worker --beat -Q hub,work -c 2 -l INFO --without-gossip --without-mingle"
    (tmp_path / "messages").mkdir()
    hub.start_scenario("request_account_reactivate")
    with Program("-m", "celery", *command.split(), environment=environment, folder=tmp_path) as program:
        hub.wait_for_the_end(watching, lambda: program.is_alive)
        said = program.said()
    assert (tmp_path / "killed").exists()
    assert "signal 9 (SIGKILL)" in said
    assert_played_to_the_end(hub, watching)
    entries = [entry for one in watching.transactions() for entry in watching.history(one.stream).entries]
    assert [entry.facts["error"] for entry in entries if entry.event == "work_failed"] == ["abandoned"]
