"""Which site and hub of a log a command is about: an option that was forgotten once does no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine.log.statements import Statement
from amie_engine.sandbox import Sandbox, SandboxServer
from tests.cli.cli_world import KEY, Child, Result, flat, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
NOWHERE = ("--url", "http://127.0.0.1:9/v0.10/")
RPC = "request_project_create"
LOOKING = ("status", "health", "transactions", "work", "subscribers", "quarantine")


@pytest.fixture
def polled(amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A log of one hub, which no setting names."""
    service.start_scenario(RPC)
    assert amie("poll", "--site", "NCSA").out == "Received: 1 accepted.\n"
    monkeypatch.delenv("AMIE_ENGINE_HUB")
    return service


def hubs() -> set[tuple[str, str]]:
    with log(URL) as engine, engine.database.read() as cursor:
        found = cursor.all(Statement("SELECT DISTINCT hub, site FROM amie_events"), {})
    return {(row[0], row[1]) for row in found}


def test_a_poll_without_the_hub_is_one_of_the_logs_only_hub(amie: Amie, polled: Sandbox) -> None:
    assert amie("poll", "--site", "NCSA").out == "Received: 1 already there.\n"
    assert amie("poll").out == "Received: 1 already there.\n"
    once = amie("run", "--once", "--site", "campus.site:site")
    assert (once.status, once.out) == (0, "Received: 1 already there. Worked: 1 replied. Arrived: 1.\n")
    compared = amie("reconcile", "--site", "NCSA")
    assert "does not have this transaction" not in compared.out
    assert hubs() == {("sandbox", "NCSA")}
    assert "open transaction" not in once.err + compared.err


def test_a_failed_poll_of_another_hub_or_site_leaves_nothing_to_choose_from(
    amie: Amie, polled: Sandbox
) -> None:
    before = {name: amie(name).status for name in LOOKING}
    assert amie("poll", "--site", "NCSA", "--hub", "access", *NOWHERE).status == 1
    assert amie("poll", "--site", "NCSB", "--hub", "sb").status == 1
    assert {name: amie(name).status for name in LOOKING} == before
    assert 2 not in before.values()
    told = amie("status")
    assert told.out.startswith("NCSA at sandbox")
    assert "1 open" in told.out
    assert amie("status", "--hub", "access").out.startswith("NCSA at access")


def test_while_there_are_no_events_a_daemons_trace_will_do(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert amie("poll", "--site", "NCSA").out == "Received: nothing.\n"
    monkeypatch.delenv("AMIE_ENGINE_HUB")
    assert amie("status").out.startswith("NCSA at sandbox")
    assert amie("poll").out == "Received: nothing.\n"


@pytest.mark.parametrize(
    "command",
    [
        ("poll", "--site", "NCSA"),
        ("reconcile", "--site", "NCSA"),
        ("run", "--once", "--site", "campus.site:site"),
    ],
)
def test_a_hub_that_is_new_in_the_log_is_warned_of(
    amie: Amie, polled: Sandbox, command: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    amie(*command, "--hub", "test")
    assert (
        "The log has 1 open transaction of NCSA at sandbox, none at test, which is a hub of its own."
        " If sandbox is meant: --hub sandbox."
    ) in caplog.text
    caplog.clear()
    with log(URL, hub="test") as engine:
        engine.receive(packet(1))
    amie(*command, "--hub", "test")
    assert "open transaction of" not in caplog.text


@pytest.mark.parametrize("command", ["poll", "reconcile"])
def test_the_warning_is_a_line_on_standard_error(
    child: Callable[..., Child], amie: Amie, polled: Sandbox, command: str
) -> None:
    started = child(command, "--site", "NCSA", "--hub", "test")
    started.end()
    assert "WARNING amie_engine.cli: The log has 1 open transaction" in started.errors


def test_several_hubs_or_sites_have_to_be_told_apart(amie: Amie, polled: Sandbox) -> None:
    with log(URL, hub="test") as engine:
        engine.receive(packet(1))
    for command in (("poll",), ("reconcile",), ("run", "--once", "--site", "campus.site:site")):
        refused = amie(*command)
        assert refused.status == 2
        assert "The log has several hubs of NCSA." in refused.err
        assert "Name one: --hub sandbox, --hub test." in refused.err
    assert "--hub test --site NCSA" in amie("status").err
    with log(URL, site="PSC", hub="test") as engine:
        engine.receive(packet(2))
    refused = amie("poll", "--hub", "test")
    assert refused.status == 2
    assert "Name one: --hub test --site NCSA, --hub test --site PSC." in flat(refused.err)
    unknown = amie("poll", "--hub", "staging")
    assert unknown.status == 2
    assert "The log has nothing at staging." in unknown.err


def test_the_production_url_is_taken_for_production_alone(
    amie: Amie, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", KEY)
    refused = amie("poll", "--site", "NCSA", "--hub", "sandbox")
    assert refused.status == 2
    assert "No URL is set for the hub sandbox." in refused.err
    assert not Path("amie.db").exists()


def test_the_poll_that_status_prints_can_be_pasted(
    amie: Amie, polled: Sandbox, served: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", "another-key")
    assert amie("poll", "--site", "NCSA", "--hub", "sandbox").status == 1
    told = amie("status").out.splitlines()
    [pasted] = [line.split()[1:] for line in told if line.startswith("    amie-engine poll")]
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", KEY)
    assert amie(*pasted, "--url", served.url).out == "Received: 1 already there.\n"


def test_a_probe_finds_the_daemon_that_the_settings_name_whatever_else_is_in_the_log(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with log(URL, hub="test") as engine:
        engine.receive(packet(1))
    monkeypatch.setenv("AMIE_ENGINE_SITE", "NCSA")
    assert "at sandbox has been seen" not in amie("poll").err
    assert "has stopped" in amie("health").out
    monkeypatch.delenv("AMIE_ENGINE_HUB")
    assert "No daemon of NCSA at test has been seen" in amie("health").out


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("amie.db", "The database's URL can't be read."),
        ("sqlight:///amie.db", "The log can't live in a sqlight database."),
        ("sqlite+nosuch:///amie.db", "The driver for this database is not installed"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("poll", "--site", "NCSA"), ("migrate",)])
def test_a_database_url_that_is_none_is_a_mistake_in_the_settings(
    amie: Amie, service: Sandbox, command: tuple[str, ...], database: str, told: str
) -> None:
    refused = amie(*command, "--database", database)
    assert refused.status == 2
    assert told in refused.err
    assert "database-unfit" in refused.err


def test_a_database_that_cannot_be_reached_is_none(amie: Amie, service: Sandbox) -> None:
    assert amie("poll", "--site", "NCSA", "--database", "postgresql://amie@127.0.0.1:9/amie").status == 1
    assert amie("poll", "--site", "NCSA", "--database", "sqlite:////nowhere/at/all.db").status == 1
