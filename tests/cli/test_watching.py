"""How things stand: for an operator on one screen, and for a supervisor in one line."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Retries, Site, Work
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.processes import this_process
from amie_engine.sandbox import Sandbox
from amie_engine.site.worker import Worker
from tests.cli.cli_world import Child, Result, flat, log, packet, plain
from tests.site.site_packets import begin_account, begin_project

Amie = Callable[..., Result]
Start = Callable[..., Child]
URL = "sqlite:///amie.db"
SCENARIO = "request_project_create"
ELSEWHERE = "elsewhere.example.edu/0a1b2c3d/4026531836:17:9000"


def daemon(engine: Engine, ago: timedelta = timedelta(seconds=25), **changes: Any) -> None:
    """The trace of a daemon of this process that polled a while ago."""
    seen = datetime.now(UTC) - ago
    told = Daemon(this_process(), seen - timedelta(days=3), seen, polled_at=seen, succeeded_at=seen)
    engine.daemons.note(replace(told, **changes))


@pytest.fixture
def well(folder: Path) -> None:
    """A log with nothing that needs a person."""
    with log(URL) as engine:
        engine.receive(packet(1))
        daemon(engine, next_poll_at=datetime.now(UTC) + timedelta(seconds=200))


@pytest.fixture
def troubled(folder: Path) -> None:
    """A log with much that needs a person."""
    with log(URL) as engine:
        for number in range(1, 9):
            engine.receive(
                packet(number, UserGlobalID=str(number), PiGlobalID=f"9{number}", GrantNumber=f"G{number}")
            )
        site = Site(engine.site, retries=Retries(attempts=1))

        @site.handles(SCENARIO)
        def create(request: Any, work: Work) -> Any:
            if work.trans_rec_id == "5001":
                return work.ask("May Robin Example have a project?", name="approval")
            raise ConnectionError("no home folder for Robin Example")

        Worker(engine, site, jitter=lambda: 1.0).work_once()
        engine.receive("[]")
        daemon(engine, failures=3, error_code="service-authentication", error_at=datetime.now(UTC))


def test_a_log_that_is_well_has_status_0_and_says_so(amie: Amie, well: None) -> None:
    result = amie("status")
    assert result.status == 0
    told = flat(result.out)
    assert told.startswith("NCSA at sandbox sqlite:///amie.db service answers; last polled with success 2")
    assert "daemons at work on" in told
    assert "started 3 d ago transactions 1 open, site's turn: 1 requested work 1 ready outbox empty" in told
    assert told.endswith("quarantine empty Nothing needs a person.")


def test_the_outbox_tells_what_waits_for_another_transaction(amie: Amie, well: None) -> None:
    with log(URL) as engine:
        begin_project(engine)
        begin_account(engine)
    told = flat(amie("status").out)
    assert "outbox 1 pending, the oldest since" in told
    assert ", 1 waiting for another transaction deadlines" in told


def test_what_needs_a_person_is_told_with_the_command_and_status_3(amie: Amie, troubled: None) -> None:
    result = amie("status")
    assert result.status == 3
    lines = [line.rstrip() for line in plain(result.out).splitlines()]
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 40
    told = flat(result.out)
    assert "refuses the site's key; last polled with success" in told
    assert "10 things need a person:" in told
    poll = "amie-engine poll --site NCSA --hub sandbox --url URL"
    for command in (poll, "amie-engine quarantine", "amie-engine answer 5001"):
        assert f"    {command}" in lines
    assert lines[lines.index("    amie-engine show 5002 --documents") + 1] == "    amie-engine retry 5002"
    assert "and 4 more: amie-engine status --all" in told
    assert "Robin" not in result.out
    everything = amie("status", "--all")
    assert "    amie-engine retry 5008" in plain(everything.out).splitlines()


def test_the_commands_are_given_with_the_options_that_find_this_log(amie: Amie, troubled: None) -> None:
    Path("amie.db").rename("other log.db")
    told = amie("status", "--database", "sqlite:///other log.db", "--hub", "sandbox")
    assert told.status == 3
    assert "To each of these, add: --database 'sqlite:///other log.db' --hub sandbox" in flat(told.out)


def test_a_log_whose_time_is_ahead_is_told_of(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
    with Engine(
        URL, site="NCSA", hub="sandbox", clock=lambda: datetime.now(UTC) + timedelta(days=2)
    ) as ahead:
        ahead.receive(packet(2))
    assert "the log's time is 1 d ahead of this clock" in flat(amie("status").out)
    assert 47 < amie("status", "--json").json["log_ahead"] / 3600 < 48


def test_how_things_stand_for_programs(amie: Amie, troubled: None, well: None) -> None:
    result = amie("status", "--json")
    assert result.status == 3
    assert result.json["work"]["parked"] == 7
    assert result.json["service"]["state"] == "answers"
    assert {need["command"] for need in result.json["needs"]} >= {"amie-engine answer 5001"}
    assert result.json["needs"][0] | {"what": "", "since": ""} == {
        "kind": "quarantine",
        "what": "",
        "command": "amie-engine quarantine",
        "look": None,
        "transaction": None,
        "since": "",
        "deadline": None,
    }


def test_a_log_of_several_sites_needs_one_named(amie: Amie, well: None) -> None:
    with log(URL, site="PSC") as engine:
        daemon(engine)
    assert amie("status").out.startswith("NCSA at sandbox")
    assert amie("status", "--site", "PSC").out.startswith("PSC at sandbox")
    with log(URL, site="PSC") as engine:
        engine.receive(packet(2))
    assert "Name one: --hub sandbox --site NCSA, --hub sandbox --site PSC" in flat(amie("status").err)
    assert amie("status", "--site", "PSC").out.startswith("PSC at sandbox")


# Health


def test_a_daemon_at_work_is_healthy_though_the_service_is_down(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        daemon(engine, failures=9, error_code="service-unreachable")
    result = amie("health")
    assert result.status == 0
    assert "is at work: it gave a sign of life 2" in result.out
    assert result.out.count("\n") == 1
    assert amie("health", "--json").json["healthy"] is True


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ago": timedelta(minutes=13)}, "is silent: it gave a sign of life 13 min ago"),
        ({"process": this_process().rpartition(":")[0] + ":1"}, "is gone, and did not stop in good order"),
        ({"stopped_at": datetime.now(UTC)}, "has stopped"),
        ({"process": ELSEWHERE}, "on this host; there are some elsewhere, see --any"),
    ],
)
def test_without_a_daemon_here_it_says_why_in_a_line_and_has_status_1(
    amie: Amie, folder: Path, changes: dict[str, Any], told: str
) -> None:
    with log(URL) as engine:
        daemon(engine, **changes)
    result = amie("health")
    assert result.status == 1
    assert told in result.out
    assert result.out.count("\n") == 1
    assert amie("health", "--json").json["healthy"] is False


def test_a_daemon_on_another_host_will_do_if_any_will(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        daemon(engine, process=ELSEWHERE)
    assert amie("health", "--any").status == 0
    assert "on elsewhere.example.edu (process 17)" in amie("health", "--any").out


def test_the_limit_is_the_callers(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        daemon(engine, ago=timedelta(minutes=20))
    assert amie("health", "--limit", "1500").status == 0
    assert amie("health", "--limit", "60").status == 1
    assert amie("health", "--limit", "0").status == 2


def test_without_a_log_or_a_trace_none_is_healthy(amie: Amie, folder: Path) -> None:
    assert amie("health").status == 1
    with log(URL):
        pass
    result = amie("health", "--site", "NCSA", "--hub", "sandbox")
    assert result.status == 1
    assert "No daemon of NCSA at sandbox has been seen on this host." in result.out


def test_the_loop_is_seen_at_work_and_afterwards_that_it_has_stopped(
    amie: Amie, child: Start, service: Sandbox
) -> None:
    loop = child("run", "--site", "campus.site:site", "--interval", "3600", "--json")
    service.start_scenario(SCENARIO)
    loop.line()
    assert amie("health").status == 0
    assert "at work on" in flat(amie("status").out)
    assert loop.stop(signal.SIGTERM) == 0
    assert amie("health").status == 1
    assert "has stopped" in amie("health").out


def test_single_polls_leave_when_the_service_was_polled(amie: Amie, service: Sandbox) -> None:
    assert amie("poll", "--site", "NCSA").status == 0
    told = flat(amie("status").out)
    assert "service answers; last polled with success" in told
    assert "daemons stopped" in told
    assert amie("run", "--once", "--site", "campus.site:site").status == 0
    assert len(amie("status", "--json").json["daemons"]) == 1
