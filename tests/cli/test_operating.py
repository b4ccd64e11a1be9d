"""Running a site from the command line: migrations, polls, single rounds, and the loop in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from amie_engine.sandbox import Sandbox, SandboxServer
from tests.cli.cli_world import KEY, Child, Result, flat

Amie = Callable[..., Result]
Start = Callable[..., Child]
TWO, RPC = "request_project_reactivate", "request_project_create"

# Migrations


def test_a_database_goes_up_and_with_yes_down_again(amie: Amie, folder: Path) -> None:
    url = ("--database", "sqlite:///log.db")
    assert amie("migrate", *url).out == "sqlite:///log.db: from nothing to 0001.\n"
    assert amie("migrate", *url).out == "sqlite:///log.db is at 0001 already.\n"
    refused = amie("migrate", *url, "--to", "base")
    assert refused.status == 2
    assert "Going down to base deletes data. Back up the database, then add --yes." in flat(refused.err)
    assert amie("migrate", *url, "--to", "base", "--yes").out == "sqlite:///log.db: from 0001 to nothing.\n"
    assert amie("migrate", *url, "--to", "base").out == "sqlite:///log.db is at no revision already.\n"


def test_a_migration_for_programs(amie: Amie, folder: Path) -> None:
    up = {"database": "sqlite:///amie.db", "before": None, "after": "0001"}
    assert amie("migrate", "--json", "--to", "0001").json == up
    assert amie("migrate", "--json", "--to", "base", "--yes").json["after"] is None


def test_a_password_in_the_databases_url_is_not_shown(amie: Amie, folder: Path) -> None:
    result = amie("migrate", "--database", "postgresql://amie:s3cret@127.0.0.1:9/amie")
    assert result.status == 1
    assert "amie:***@127.0.0.1" in result.err
    assert "s3cret" not in result.err


# Single rounds


def test_polling_takes_in_and_says_what_came(amie: Amie, service: Sandbox) -> None:
    service.start_scenario(TWO)
    assert amie("poll", "--site", "NCSA").out == "Received: 2 accepted.\n"
    assert amie("poll", "--site", "NCSA").out == "Received: 2 already there.\n"
    assert amie("poll", "--site", "NCSA", "--json").json["already_there"] == 2
    assert amie("transactions", "--json").json[0]["due"] == ["notify_project_create"]
    service.reset()
    assert amie("poll", "--site", "NCSA", "--database", "sqlite:///empty.db").out == "Received: nothing.\n"


def test_single_rounds_play_a_scenario_to_its_end(amie: Amie, service: Sandbox) -> None:
    service.start_scenario(TWO)
    first = amie("run", "--once", "--site", "campus.site:site")
    assert (first.status, first.out) == (0, "Received: 2 accepted. Worked: 2 replied. Arrived: 2.\n")
    for _ in range(5):
        result = amie("run", "--once", "--json", "--site", "campus.site:site")
        assert result.status == 0
        assert result.json["errors"] == []
    assert service.idle
    assert {one["state"] for one in amie("transactions", "--json").json} == {"completed"}


def test_the_settings_may_have_it_noted_what_was_taken_in(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_ENGINE_CLIENT_STATE", "received")
    service.start_scenario(RPC)
    assert amie("run", "--once", "--site", "campus.site:site").status == 0
    [request] = [
        packet
        for one in service.transactions()
        for packet in service.transaction(one.trans_rec_id)["DATA"]
        if packet["type"] == RPC and packet["body"]["ResourceList"] == [service.resources[0]]
    ]
    assert request["header"]["client_state"] == "received"


def test_a_round_with_an_error_has_status_1_and_says_which(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", "another-key")
    result = amie("run", "--once", "--json", "--site", "campus.site:site")
    assert result.status == 1
    assert set(result.json["errors"]) == {"service-authentication"}
    poll = amie("poll", "--site", "NCSA")
    assert poll.status == 1
    assert "service-authentication" in poll.err
    assert "another-key" not in poll.err + result.err


def test_handlers_of_another_site_than_the_settings_name_are_refused(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_ENGINE_SITE", "PSC")
    result = amie("run", "--once", "--site", "campus.site:site")
    assert result.status == 2
    assert "The settings name the site PSC, the handlers NCSA." in flat(result.err)


def test_the_settings_file_is_enough(amie: Amie, service: Sandbox, served: SandboxServer) -> None:
    for name in ("URL", "API_KEY", "HUB"):
        del os.environ[f"AMIE_ENGINE_{name}"]
    Path("key").write_text(f"{KEY}\n")
    Path("amie-engine.toml").write_text(
        f'url = "{served.url}"\nhandlers = "campus.site:site"\napi_key_file = "key"\nhub = "sandbox"\n'
    )
    service.start_scenario(RPC)
    assert amie("run", "--once").out == "Received: 1 accepted. Worked: 1 replied. Arrived: 1.\n"


# The loop, in a process of its own

SITE = """
import os
import sys

from amie_engine import Site

site = Site("NCSA")


@site.handles("request_project_create")
def create_project(request, work):
    if os.path.exists("go"):
        print("at work", file=sys.stderr, flush=True)
        open("go").read()  # until the test has written to the pipe
    reply = work.reply
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    return reply
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_loop_ends_with_status_0_while_it_waits(
    child: Start, service: Sandbox, folder: Path, number: int
) -> None:
    (folder / "oursite.py").write_text(SITE)
    service.start_scenario(RPC)
    loop = child("run", "--site", "oursite:site", "--interval", "3600", "--json")
    told: Counter[str] = Counter()
    while told["sent"] < 2:  # the reply, and the last word
        line = json.loads(loop.line())
        told.update(line["received"] | line["worked"] | {"sent": line["sent"]})
        assert line["errors"] == []
    assert (told["accepted"], told["replied"], told["sent"]) == (2, 2, 2)

    assert loop.stop(number) == 0
    assert "Stopped." in loop.errors
    assert "Traceback" not in loop.errors
    assert KEY not in loop.errors
    assert [one.state for one in service.transactions()] == ["completed"]


def test_a_handler_at_work_is_finished_and_its_reply_sent_before_the_loop_ends(
    child: Start, service: Sandbox, folder: Path
) -> None:
    (folder / "oursite.py").write_text(SITE)
    os.mkfifo(folder / "go")
    service.start_scenario(TWO)
    loop = child("run", "--site", "oursite:site", "--interval", "3600")
    loop.wait_for("at work")
    loop.process.send_signal(signal.SIGTERM)
    loop.wait_for("Stopping")
    (folder / "go").write_text("on")
    assert loop.end() == 0
    assert loop.errors.count("at work") == 1

    sent = [
        packet["type"]
        for one in service.transactions()
        for packet in service.transaction(one.trans_rec_id)["DATA"]
        if packet["type"].startswith("notify")
    ]
    assert sent == ["notify_project_create"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_loop_though_a_handler_hangs_and_the_next_takes_its_work_over_at_once(
    amie: Amie, child: Start, service: Sandbox, folder: Path, number: int
) -> None:
    (folder / "oursite.py").write_text(SITE)
    os.mkfifo(folder / "go")
    service.start_scenario(RPC)
    loop = child("run", "--site", "oursite:site", "--interval", "3600")
    loop.wait_for("at work")
    loop.process.send_signal(number)
    loop.wait_for("A second SIGTERM or Ctrl-C does not wait.")
    while loop.process.poll() is None:  # those within a second of the first count as the first
        loop.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            loop.process.wait(0.1)
    assert loop.end() != 0
    assert "Traceback" not in loop.errors
    assert "internal-error" not in loop.errors
    [line] = [line for line in loop.errors.splitlines() if "Ended at once" in line]
    assert f"The handler of {RPC} for packet" in line

    (folder / "go").unlink()
    assert "Worked: 1 replied. Arrived: 1." in amie("run", "--once", "--site", "oursite:site").out


FOLLOWED = """
import sys
from pathlib import Path

from amie_engine import Site

site = Site("NCSA")


@site.on_event("mail")
def mail(event):
    print("at work", file=sys.stderr, flush=True)
    Path("go").read_text()  # until the test has written to the pipe
"""


def test_a_second_signal_ends_the_loop_though_a_subscriber_hangs_and_tells_which(
    amie: Amie, child: Start, service: Sandbox, folder: Path
) -> None:
    (folder / "followed.py").write_text(FOLLOWED)
    os.mkfifo(folder / "go")
    service.start_scenario(RPC)
    loop = child("run", "--site", "followed:site", "--interval", "3600")
    loop.wait_for("at work")
    loop.process.send_signal(signal.SIGTERM)
    loop.wait_for("A second SIGTERM or Ctrl-C does not wait.")
    while loop.process.poll() is None:  # those within a second of the first count as the first
        loop.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            loop.process.wait(0.1)
    assert loop.end() != 0
    for told in ("it is waited for", "Ended at once"):
        [line] = [line for line in loop.errors.splitlines() if told in line]
        assert "The subscriber mail was called " in line
        assert " ago for the event at position 1, packet_received of transaction " in line

    (folder / "go").unlink()
    (folder / "go").write_text("")
    assert amie("run", "--once", "--site", "followed:site").status == 0
    [row] = amie("subscribers", "--json").json
    assert (row["behind"], row["failures"]) == (0, 0)


# The sandbox, in a process of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_says_where_it_is_answers_and_ends_with_status_0(
    child: Start, amie: Amie, folder: Path, number: int
) -> None:
    sandbox = child("sandbox", "--port", "0", "--json", "--api-key", KEY, "--scenario", RPC)
    told = json.loads(sandbox.line())
    assert told["url"].startswith("http://127.0.0.1:")
    assert told["url"].endswith("/v0.10/")
    assert (told["site"], told["api_key"]) == ("NCSA", KEY)
    assert told["documentation"].endswith("/docs")
    (folder / "amie-engine.toml").write_text(f'url = "{told["url"]}"\napi_key = "{KEY}"\nsite = "NCSA"\n')
    assert amie("poll").out == "Received: 1 accepted.\n"

    assert sandbox.stop(number) == 0
    assert sandbox.errors == ""


def test_the_sandbox_tells_people_its_key_and_its_page(amie: Amie, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(made: Sandbox, port: int, *, faults: Any, on_start: Callable[[str], None]) -> None:
        on_start(f"http://127.0.0.1:{port}/v0.10/")

    monkeypatch.setattr("amie_engine.sandbox.server.serve", serve)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    told = amie("sandbox", "--site", "CAMPUS", "--api-key", "[red]key").out
    assert "An AMIE service for site CAMPUS at http://127.0.0.1:8000/v0.10/" in told
    assert "API key    [red]key" in told
    assert "http://127.0.0.1:8000/docs" in told
    assert "request_user_modify" in told
