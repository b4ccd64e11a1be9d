"""The demo: from nothing to completed transactions on both sides, and an honest word where it is not so."""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from amie_engine import Site, Work
from amie_engine.cli import main
from amie_engine.cli.demo import report
from amie_engine.cli.stage import SITE, agree, compare, example_site, play, stage
from amie_engine.errors import SettingsError
from amie_engine.sandbox import Fault

RPC, TWO = "request_project_create", "request_project_reactivate"

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def amie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command in an empty folder; return its exit status and its output."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["amie-engine", *arguments])
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert err == ""
        return status, out

    return call


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_all_four_scenarios_complete_on_both_sides(amie: Call) -> None:
    status, out = amie("demo", "--json", "--seed", "7")
    result = json.loads(out)
    assert status == 0
    assert result["agrees"] is True
    assert result["quarantine"] == 0
    assert {row["service"] for row in result["transactions"]} == {"completed"}
    assert all(row["log"] == "completed" for row in result["transactions"])
    types = [row["type"] for row in result["transactions"]]
    assert len(types) == 28
    assert {kind: types.count(kind) for kind in dict.fromkeys(types)} == {
        "request_project_create": 8,
        "request_project_inactivate": 2,
        "request_project_reactivate": 2,
        "request_account_create": 8,
        "request_account_inactivate": 2,
        "request_person_merge": 2,
        "request_user_modify": 4,
    }


def test_people_see_each_way_and_can_look_into_the_log_afterwards(amie: Call) -> None:
    status, out = amie("demo", "--scenario", TWO)
    assert status == 0
    assert out.startswith(f"{TWO}\n")
    assert "RPC" in out
    assert "requested > notified > confirmed > completed" in out
    assert "All 6 transactions have completed, and both sides agree on every one" in out
    table = out.partition("The log is ")[0]
    assert max(map(len, table.splitlines())) <= 80

    commands = re.findall(r"^  amie-engine (.*)$", out, re.MULTILINE)
    assert [shlex.split(command)[0] for command in commands] == ["transactions", "show"]
    for command in commands:
        status, told = amie(*shlex.split(command))
        assert status == 0
        assert "completed" in told


def test_the_log_may_be_in_a_database_of_ones_own_and_only_once(amie: Call, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    status, out = amie("demo", "--scenario", RPC, "--database", url, "--json")
    assert status == 0
    assert json.loads(out)["database"] == url
    assert [path.name for path in tmp_path.glob("amie-demo-*")] == []
    with pytest.raises(SettingsError, match="needs a log without sandbox transactions"), stage(url):
        raise AssertionError("opened")


def test_the_same_seed_makes_the_same_people_and_projects(tmp_path: Path) -> None:
    def grants(seed: int) -> list[str | None]:
        with stage(f"sqlite:///{tmp_path / 'seeded.db'}", seed) as made:
            play(made, RPC, lambda: None)
            found = [one.grant_number for one in made.engine.transactions()]
        for path in tmp_path.glob("seeded.db*"):
            path.unlink()
        return found

    assert grants(3) == grants(3) != grants(4)


def _with(handler: Callable[[Any, Work], Any]) -> Callable[[Path], AbstractContextManager[Site]]:
    """The example site, but for one handler."""

    @contextmanager
    def opened(database: Path) -> Iterator[Site]:
        site = Site(SITE)
        with example_site(database) as example:
            for kind, known in example._handlers.items():
                site.handles(kind)(handler if kind == RPC else known)
            yield site

    return opened


def _raise(packet: Any, work: Work) -> Any:
    raise RuntimeError


@pytest.mark.parametrize(
    ("handler", "states"),
    [
        (lambda packet, work: work.fail("No such machine here."), {("failed", "failed")}),
        (_raise, {("in-progress", "requested")}),
        (lambda packet, work: work.defer(reason="not today"), {("in-progress", "requested")}),
    ],
)
def test_what_does_not_complete_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    handler: Callable[[Any, Work], Any],
    states: set[tuple[str, str]],
) -> None:
    with stage(f"sqlite:///{tmp_path / 'amie.db'}", open_site=_with(handler)) as made:
        play(made, TWO, lambda: None)
        compared = compare(made)
        assert {(row["service"], row["log"]) for row in compared} == states
        assert not agree(compared)
        assert not report(made, 1.0, as_json=False)
        out = capsys.readouterr().out
        assert "Not every transaction has completed on both sides:" in out
        assert "87100001" in out
        assert not report(made, 1.0, as_json=True)
        assert json.loads(capsys.readouterr().out)["agrees"] is False


def test_two_sides_that_tell_different_stories_do_not_agree(tmp_path: Path) -> None:
    with stage(f"sqlite:///{tmp_path / 'amie.db'}") as made:
        assert not agree(compare(made)), "nothing has been played"
        play(made, RPC, lambda: None)
        assert agree(compare(made))
        made.hub.reset()
        assert [row["service"] for row in compare(made)] == [None]
        assert not agree(compare(made))


def test_the_service_is_gone_afterwards_even_after_an_error(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def play_a_little() -> None:
        with stage(f"sqlite:///{tmp_path / 'amie.db'}") as made:
            urls.append(made.client.amie_url)
            raise Interrupted

    urls: list[str] = []
    with pytest.raises(Interrupted):
        play_a_little()
    address = urlsplit(urls[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5)


@pytest.mark.parametrize("seed", ["1", "3", "11"])
def test_both_sides_agree_through_every_fault(amie: Call, seed: str) -> None:
    status, out = amie("demo", "--faults", "--json", "--seed", seed)
    told = json.loads(out)
    assert (status, told["agrees"]) == (0, True)
    known = [row for row in told["transactions"] if not row["forgotten"]]
    assert {row["service"] for row in known} <= {"completed", "failed"}
    assert all(row["service"] == row["log"] for row in known)
    forgotten = [row for row in told["transactions"] if row["forgotten"]]
    assert all(row["log"] in ("failed", row["service"]) for row in forgotten)
    struck = told["faults"]
    assert sum(struck.values()) > 20
    assert {*Fault, "hub_failure", "lingering_inform"} == set(struck)
    assert (struck["forgetful_restart"] > 0) == bool(forgotten)
    assert struck["lingering_inform"] > 0
    assert told["quarantine"] == 0


def test_what_the_service_has_forgotten_is_told(amie: Call) -> None:
    status, out = amie("demo", "--faults", "--seed", "3")
    assert status == 0
    told = " ".join(out.split())
    assert re.search(
        r"agree on all \d+ that the service still knows|service knows none of them any more", told
    )
    assert re.search(r"has forgotten \d+ of them; its scenarios were begun anew\. \d+ of the forgotten", out)
    [faults] = [line for line in out.splitlines() if line.startswith("Faults: ")]
    for name in ("forgetful restart", "restart", "hub failure", "lingering inform", "list old"):
        assert name in faults
