"""The command about the site's subscribers, and how deadlines that are near look."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amie_engine import Engine, RecordedEvent
from amie_engine.sandbox import Sandbox
from tests.cli.cli_world import ENOUGH, Result, flat, log, packet, plain

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
HERE = f"{socket.gethostname()} (process {os.getpid()})"


def fail(event: RecordedEvent) -> None:
    """A subscriber that fails at the second event."""
    if event.position == 2:
        raise ConnectionError("no mail to Robin Example")


@pytest.fixture
def followed(folder: Path) -> None:
    """A log with two events, a subscriber that fails at the second, and one that does not."""
    with log(URL) as engine:
        for number in (1, 2):
            engine.receive(packet(number, GrantNumber=f"G{number}"))
        engine.subscriptions.deliver("mail the PI", fail, since="beginning")
        engine.subscriptions.deliver("index", lambda event: None, since="beginning")


def test_all_are_listed_with_what_keeps_them(amie: Amie, followed: None) -> None:
    result = amie("subscribers")
    assert result.status == 0
    assert max(map(len, result.out.splitlines())) <= 80
    told = flat(result.out)
    assert "index 2 0 2 h" in told
    assert "mail the PI 1 1 2 h" in told
    for part in ("ConnectionError at event 2", "(packet_received of", "transaction 5002)", "once"):
        assert part in told
    assert "Robin" not in result.out
    assert "mail the PI" not in amie("subscribers", "index").out


def test_and_for_a_program(amie: Amie, followed: None) -> None:
    rows = {row["name"]: row for row in amie("subscribers", "--json").json}
    assert (rows["index"]["position"], rows["index"]["behind"], rows["index"]["error"]) == (2, 0, None)
    trouble = rows["mail the PI"]
    assert (trouble["position"], trouble["failures"], trouble["error"]) == (1, 1, "ConnectionError")
    assert trouble["not_before"] is not None


def test_a_person_has_one_skip_its_event_and_that_is_kept(amie: Amie, followed: None) -> None:
    result = amie("subscribers", "mail the PI", "--skip", "--actor", "ops")
    assert result.out == "Skipped: mail the PI is not given the event at position 2.\n"
    told = flat(amie("subscribers").out)
    assert "mail the PI 2 0" in told
    assert "mail the PI skipped the event at position 2, by ops." in told
    again = amie("subscribers", "mail the PI", "--skip")
    assert (again.status, "subscriber-not-failing" in again.err) == (1, True)


def test_a_person_has_it_tried_again_or_forgotten(amie: Amie, followed: None) -> None:
    assert amie("subscribers", "mail the PI", "--retry").out == "mail the PI is called again.\n"
    [row] = amie("subscribers", "mail the PI", "--json").json
    assert (row["position"], row["failures"], row["not_before"]) == (1, 0, None)
    assert amie("subscribers", "mail the PI", "--remove", "--json").json == {
        "done": "Forgotten: mail the PI."
    }
    assert [row["name"] for row in amie("subscribers", "--json").json] == ["index"]


@pytest.fixture
def hung(folder: Path) -> Iterator[Engine]:
    """A log with a subscriber that has hung for two hours in the second of three events."""
    at_work, release = threading.Event(), threading.Event()

    def hang(event: RecordedEvent) -> None:
        if event.position == 2:
            at_work.set()
            assert release.wait(ENOUGH)

    with log(URL) as engine:
        for number in (1, 2, 3):
            engine.receive(packet(number, GrantNumber=f"G{number}"))

        def deliver() -> None:
            engine.subscriptions.deliver("mail the PI", hang, since="beginning")

        thread = threading.Thread(target=deliver)
        thread.start()
        assert at_work.wait(ENOUGH)
        yield engine
        release.set()
        thread.join(ENOUGH)
        assert not thread.is_alive()


def test_one_that_hangs_is_shown_with_who_since_when_and_at_which_event(amie: Amie, hung: Engine) -> None:
    result = amie("subscribers")
    assert max(map(len, result.out.splitlines())) <= 80
    assert (
        " ".join(_last_column(result.out)) == f"hangs, its lease over for 1 h, in {HERE}: restart the daemon"
    )
    hung.subscriptions.hangs(*hung.subscriptions.at_work())  # as its daemon does
    told = " ".join(_last_column(amie("subscribers", "mail the PI").out))
    event = "event 2 (packet_received of transaction 5002)"
    assert told == f"hangs at {event} for 2 h, in {HERE}: restart the daemon"
    [row] = amie("subscribers", "--json").json
    assert (row["position"], row["overrun"]["event"], row["holder"]) == (1, 2, None)

    result = amie("status")
    assert result.status == 3
    told = flat(result.out)
    assert "subscribers 1, the farthest behind by 2 events mail the PI hangs" in told
    assert "The subscriber 'mail the PI' has been at work on event 2 for 2 h, longer than its" in told
    assert "    amie-engine subscribers 'mail the PI'" in plain(result.out).splitlines()


def test_it_can_be_skipped_and_shows_until_it_is_restarted(amie: Amie, hung: Engine) -> None:
    again = amie("subscribers", "mail the PI", "--retry")
    assert (again.status, "Restart the daemon" in flat(again.err)) == (1, True)
    assert amie("subscribers", "mail the PI", "--skip").status == 1  # at which it hangs is not known yet
    hung.subscriptions.hangs(*hung.subscriptions.at_work())
    assert amie("subscribers", "mail the PI", "--skip").out == (
        "Skipped: mail the PI is not given the event at position 2."
        f" {HERE} is at work in it just now: if it hangs, restart it.\n"
    )
    told = flat(amie("status").out)
    assert "The subscriber 'mail the PI' has been at work on one event for longer" in told


def _last_column(table: str) -> list[str]:
    """What stands below the last heading of a table."""
    head, *lines = plain(table).splitlines()
    return [line[head.index("trouble") :].strip() for line in lines]


def test_where_nobody_has_subscribed_it_says_so(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
    assert amie("subscribers").out == "Nobody has subscribed to the log.\n"
    assert amie("subscribers", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["nobody"], 1, "subscriber-not-found"),
        (["nobody", "--skip"], 1, "subscriber-not-found"),
        (["nobody", "--remove"], 1, "subscriber-not-found"),
        (["--skip"], 2, "--skip needs the NAME"),
        (["index", "--skip", "--remove"], 2, "--skip and --remove can't be had at once"),
    ],
)
def test_what_can_not_be_done_is_told(
    amie: Amie, followed: None, arguments: list[str], status: int, told: str
) -> None:
    result = amie("subscribers", *arguments)
    assert result.status == status
    assert told in flat(result.err)


def test_a_round_tells_what_was_delivered_and_that_one_has_failed(
    amie: Amie, service: Sandbox, folder: Path
) -> None:
    (folder / "following.py").write_text(
        "from amie_engine import Site\n"
        "site = Site('NCSA')\n"
        "site.on_event('good')(print)\n"
        "bad = Site('NCSA')\n"
        "@bad.on_event('bad')\n"
        "def fail(event):\n"
        "    raise ConnectionError\n",
        encoding="utf-8",
    )
    service.start_scenario("request_project_create")
    result = amie("run", "--once", "--site", "following:site")
    assert result.status == 0
    assert " Delivered: " in result.out
    assert "RecordedEvent(position=1, type='packet_received'" in result.out
    result = amie("run", "--once", "--site", "following:bad", "--json")
    assert (result.status, result.json["delivered"]) == (0, 0)  # nothing new since it began
    service.start_scenario("request_project_create")
    assert amie("run", "--once", "--site", "following:bad").status == 1


@pytest.mark.parametrize("command", ["transactions", "work"])
@pytest.mark.parametrize(("days", "near"), [("3", False), ("30", True)])
def test_a_deadline_that_is_near_is_told_apart(
    amie: Amie, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, days: str, near: bool
) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
    monkeypatch.setenv("AMIE_ENGINE_DEADLINE_WARNING", days)
    result = amie(command)
    assert ("near, in 20 d" in result.out) == near
    assert "in 20 d" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
