"""Metrics, as Prometheus reads them over a real socket: of the log, and of what the process did."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from amie_engine import Retries, Runner, Site, Work
from amie_engine.errors import AddressUnusable, DependencyMissing
from amie_engine.log.statements import Statement
from amie_engine.site.metrics import Metrics
from amie_engine.site.observing import Observer
from tests.log.busy_site import project_request
from tests.site.site_packets import begin_account, begin_project
from tests.site.site_world import HTML, NAME, FlakyService, World, handling, tiny_site

RPC, NPC = "request_project_create", "notify_project_create"
NONE: frozenset[str] = frozenset()

Samples = dict[tuple[str, frozenset[str]], float]


def scrape(port: int) -> Samples:
    """All samples that are served at a port, by name and the values of their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name.removeprefix("amie_engine_"), frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def watched(world: World, site: Site, stopwatch: Any = None) -> tuple[Metrics, Runner]:
    ticks = iter(range(0, 10_000, 10))  # what was read before is old at each look
    metrics = Metrics(world.engine, stopwatch=stopwatch or (lambda: float(next(ticks))))
    runner = Runner(world.engine, world.client, site, observers=[metrics], jitter=lambda: 1.0)
    return metrics, runner


def test_a_project_from_its_request_to_its_reply_is_counted(world: World) -> None:
    world.client.start_scenario(RPC)
    metrics, runner = watched(world, tiny_site())
    with metrics.serving(0) as port:
        runner.tick()
        told = scrape(port)
    assert told["log_up", NONE] == 1
    assert told["packets_received_total", frozenset({RPC, "accepted"})] == 1
    assert told["work_total", frozenset({RPC, "replied"})] == 1
    assert told["handler_seconds_count", frozenset({RPC})] == 1
    assert told["sends_total", frozenset({NPC, "arrived"})] == 1
    assert told["poll_seconds_count", NONE] == 1
    assert told["open_transactions", frozenset({"notified", "hub"})] == 1
    assert told["daemons_at_work", NONE] == 1
    assert told["last_successful_poll_timestamp_seconds", NONE] == world.clock().timestamp()
    assert all(value == 0 for (name, _), value in told.items() if name in ("needs_person", "outbox_entries"))


def test_trouble_is_counted_and_told(flaky_world: World, service: FlakyService) -> None:
    world = flaky_world
    site = Site(NAME, retries=Retries(attempts=2))

    @site.handles(RPC)
    def create(packet: Any, work: Work) -> Any:
        raise KeyError("Robin Example")

    world.client.start_scenario(RPC)
    world.engine.receive(b"\xff")
    world.engine.receive({"type": "request_coffee", "header": {}, "body": {}})
    metrics, runner = watched(world, site)
    with metrics.serving(0) as port:
        runner.tick()
        world.clock.forward(minutes=5)
        service.fail("GET", HTML, HTML)
        runner.tick()
        told = scrape(port)
        assert (
            told["work_total", frozenset({RPC, "failed"})]
            == told["work_total", frozenset({RPC, "parked"})]
            == 1
        )
        assert told["open_work", frozenset({"parked"})] == told["needs_person", frozenset({"parked"})] == 1
        assert told["quarantined_items", NONE] == 2
        assert told["needs_person", frozenset({"quarantine"})] == 1
        assert told["poll_seconds_count", NONE] == 2
        [(code, count)] = [(key[1], value) for key, value in told.items() if key[0] == "polls_failed_total"]
        assert (set(code), count) == ({"service-unreadable-answer"}, 1)
        assert told["deadlines", frozenset({"overdue"})] == 0
        world.clock.now = datetime.now(UTC) + timedelta(days=30)  # the sandbox goes by the real time
        assert scrape(port)["deadlines", frozenset({"overdue"})] == 1


def test_how_long_polls_and_handlers_took_is_added_up(world: World) -> None:
    seconds = [0.0]

    class SlowPolls(Observer):
        def received(self, outcome: Any) -> None:
            seconds[0] += 0.25

    def create(packet: Any, work: Work) -> Any:
        seconds[0] += 4.0
        return work.fail("no")

    for _ in range(2):
        world.client.start_scenario(RPC)
    metrics = Metrics(world.engine)
    runner = Runner(
        world.engine,
        world.client,
        handling(RPC, create),
        observers=[metrics, SlowPolls()],
        stopwatch=lambda: seconds[0],
    )
    runner.tick()
    told = metrics.registry.get_sample_value
    assert told("amie_engine_poll_seconds_sum") == 0.5
    assert told("amie_engine_handler_seconds_sum", {"packet_type": RPC}) == 8.0


def test_work_without_a_handler_is_counted_once_not_at_every_look(world: World) -> None:
    world.client.start_scenario(RPC)
    metrics, runner = watched(world, Site(NAME))
    with metrics.serving(0) as port:
        for _ in range(3):
            runner.run_once()
        assert scrape(port)["work_total", frozenset({RPC, "deferred"})] == 1


def test_the_outbox_is_told_with_its_age(flaky_world: World, service: FlakyService) -> None:
    world = flaky_world
    world.client.start_scenario(RPC)
    metrics, runner = watched(world, tiny_site())
    service.fail("POST", HTML)
    with metrics.serving(0) as port:
        runner.tick()
        world.clock.forward(seconds=90)
        told = scrape(port)
    assert told["sends_total", frozenset({NPC, "unknown"})] == 1
    assert told["outbox_entries", frozenset({"attempting"})] == 1
    assert told["outbox_oldest_age_seconds", NONE] == 90


def test_what_waits_for_its_project_does_not_make_the_outbox_old(world: World) -> None:
    begin_project(world.engine)
    begin_account(world.engine)
    metrics, runner = watched(world, tiny_site())
    runner.send_once()
    world.clock.forward(days=2)
    with metrics.serving(0) as port:
        told = scrape(port)
    entries = {status: told["outbox_entries", frozenset({status})] for status in ("pending", "waiting")}
    assert entries == {"pending": 0, "waiting": 1}
    assert told["outbox_oldest_age_seconds", NONE] == 0


def test_what_came_may_name_anything_and_makes_no_series_of_its_own(world: World) -> None:
    metrics, _ = watched(world, tiny_site())
    unknown = project_request(1) | {"type": "request_coffee"}
    metrics.received(world.engine.receive(unknown))
    with metrics.serving(0) as port:
        assert scrape(port)["packets_received_total", frozenset({"unknown", "quarantined"})] == 1


def test_the_log_is_read_at_most_every_five_seconds_and_a_log_that_is_down_says_so(world: World) -> None:
    times = [0.0]
    metrics, _ = watched(world, tiny_site(), stopwatch=lambda: times[0])
    with metrics.serving(0) as port:
        assert scrape(port)["quarantined_items", NONE] == 0
        world.engine.receive(b"\xff")
        assert scrape(port)["quarantined_items", NONE] == 0
        times[0] = 5.0
        assert scrape(port)["quarantined_items", NONE] == 1
        times[0] = 10.0
        with world.engine.database.write() as cursor:
            cursor.run(Statement("ALTER TABLE amie_work RENAME TO elsewhere"))
        told = scrape(port)
        assert told["log_up", NONE] == 0
        assert ("quarantined_items", NONE) not in told


def test_a_site_may_register_them_with_its_own(world: World) -> None:
    registry = CollectorRegistry()
    assert Metrics(world.engine, registry=registry).registry is registry
    assert registry.get_sample_value("amie_engine_log_up") == 1


def test_a_port_that_is_taken_is_told(world: World) -> None:
    metrics, _ = watched(world, tiny_site())
    with (
        metrics.serving(0) as port,
        pytest.raises(AddressUnusable, match=f"port {port}"),
        metrics.serving(port),
    ):
        pass


def test_an_observer_that_raises_stops_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Metrics):
        def polled(self, seconds: float, error: Any) -> None:
            raise KeyError("Robin Example")

    runner = Runner(world.engine, world.client, tiny_site(), observers=[Broken(world.engine)])
    assert runner.tick()[0].errors == []
    assert "Broken raised KeyError." in caplog.text
    assert "Robin" not in caplog.text


def test_nothing_else_imports_prometheus() -> None:
    code = "import sys, amie_engine.site, amie_engine.cli; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "amie_engine.site.metrics")
    with pytest.raises(DependencyMissing) as caught:
        __import__("amie_engine.site.metrics")
    assert "pip install 'amie-engine[metrics]'" in caught.value.hint
