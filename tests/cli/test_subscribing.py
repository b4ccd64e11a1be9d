"""The command about the site's subscribers, and how deadlines that are near look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine import RecordedEvent
from amie_engine.sandbox import Sandbox
from tests.cli.cli_world import Result, flat, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"


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
