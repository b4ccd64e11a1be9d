"""The commands about the site's work: what waits for what, and what a person does about it."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Retries, Site, Work
from amie_engine.site.worker import Worker
from tests.cli.cli_world import Result, flat, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
RPI = "request_project_inactivate"


def handle(engine: Engine) -> None:
    """Call handlers of which one asks, one waits and one fails for good."""
    site = Site(engine.site, retries=Retries(attempts=1))

    @site.handles("request_project_create")
    def create(request: Any, work: Work) -> Any:
        answer = work.ask("May Robin Example have a project?", choices=("yes", "no"))
        return work.fail(f"Our management says {answer}.")

    @site.handles("request_account_create")
    def account(request: Any, work: Work) -> Any:
        return work.defer(until=engine.now() + timedelta(days=2), reason="maintenance")

    @site.handles(RPI)
    def fail(request: Any, work: Work) -> Any:
        raise ConnectionError("no home folder for Robin Example")

    Worker(engine, site, jitter=lambda: 1.0).work_once()


@pytest.fixture
def filled(folder: Path) -> None:
    """A log with work of every kind: 5001 asks, 5002 waits, 5003 is parked, 5004 is blocked by it."""
    with log(URL) as engine:
        engine.receive(packet(1))
        engine.receive(
            packet(2, "request_account_create", GrantNumber="G2", UserGlobalID="802", ProjectID="P2")
        )
        for number in (3, 4):
            engine.receive(packet(number, RPI))
        handle(engine)


def statuses() -> dict[str, str]:
    with log(URL) as engine:
        return {row.trans_rec_id: row.status for row in engine.work.open()}


def test_all_that_is_open_is_listed_with_what_it_waits_for(amie: Amie, filled: None) -> None:
    result = amie("work")
    assert result.status == 0
    assert max(map(len, result.out.splitlines())) <= 80
    told = flat(result.out)
    assert "asking an answer: decision" in told
    assert "waiting in 1 d: maintenance" in told
    assert "parked ConnectionError" in told
    assert "blocked transaction 5003" in told
    assert "answered (same-grant)" in told
    for hint in ("amie-engine answer TRANS", "amie-engine retry TRANS", "amie-engine let-pass TRANS"):
        assert hint in told
    assert "Robin" not in result.out


def test_and_for_a_program(amie: Amie, filled: None) -> None:
    rows = {row["trans_rec_id"]: row for row in amie("work", "--json").json}
    assert {name: row["status"] for name, row in rows.items()} == statuses()
    assert rows["5004"]["blocked_by"]["trans_rec_id"] == "5003"
    assert rows["5004"]["blocked_by"]["rule"] == "same-grant"
    assert rows["5002"]["not_before"] is not None


def test_where_nothing_is_open_it_says_so(amie: Amie, folder: Path) -> None:
    with log(URL):
        pass
    assert flat(amie("work").out) == "There is no open work."


def test_a_question_is_shown_and_answered(amie: Amie, filled: None) -> None:
    shown = amie("answer", "5001")
    assert flat(shown.out) == "May Robin Example have a project? Answer with one of: yes, no"
    assert amie("answer", "5001", "--json").json == {
        "name": "decision",
        "text": "May Robin Example have a project?",
        "choices": ["yes", "no"],
    }
    refused = amie("answer", "5001", "perhaps")
    assert (refused.status, statuses()["5001"]) == (1, "asking")
    assert "answer-invalid" in refused.err
    assert "Robin" not in refused.err
    assert amie("answer", "5001", "no", "--actor", "head of operations").status == 0
    assert statuses()["5001"] == "ready"
    told = amie("show", "5001", "--json").json["entries"][-1]["sentence"]
    assert told == "head of operations answered 'decision': no."
    again = amie("answer", "5001", "yes")
    assert (again.status, "work-not-found" in again.err) == (1, True)


def test_what_is_parked_is_tried_again(amie: Amie, filled: None) -> None:
    assert amie("retry", "5003", "--reason", "the storage is up again").status == 0
    assert statuses()["5003"] == "ready"
    told = amie("show", "5003", "--json").json["entries"][-1]["sentence"]
    assert told == f"{getpass.getuser()} had the handler called again: the storage is up again."
    nothing = amie("retry", "5003")
    assert (nothing.status, "amie-engine work" in nothing.err) == (1, True)


def test_what_is_blocked_is_let_pass(amie: Amie, filled: None) -> None:
    result = amie("let-pass", "5004", "--actor", "ops", "--json")
    assert (result.status, "5004" in result.json["done"]) == (0, True)
    assert statuses()["5004"] == "ready"


def test_a_transaction_is_failed(amie: Amie, filled: None) -> None:
    assert amie("fail", "5002").status == 2  # it has to be said why
    assert amie("fail", "5002", "--reason", "withdrawn").status == 0
    with log(URL) as engine:
        assert [(entry.trans_rec_id, entry.kind) for entry in engine.outbox.open()] == [
            ("5002", "set_failed")
        ]


def test_a_deadline_that_has_not_passed_is_not_confirmed(amie: Amie, filled: None) -> None:
    result = amie("confirm-deadline", "5001")
    assert (result.status, "reply-not-due" in result.err) == (1, True)


def test_a_deadline_that_has_passed_is_confirmed(amie: Amie, folder: Path) -> None:
    document = packet(1)
    document["header"] |= {"packet_timestamp": "2020-01-01T00:00:00Z"}
    with log(URL) as engine:
        engine.receive(document)
    assert amie("confirm-deadline", "5001", "--actor", "ops").status == 0
    with log(URL) as engine:
        assert engine.expected_reply(5001).state == "failed"


@pytest.mark.parametrize(
    "command",
    [
        ("answer", "9", "yes"),
        ("retry", "9"),
        ("let-pass", "9"),
        ("fail", "9", "--reason", "x"),
        ("confirm-deadline", "9"),
    ],
)
def test_what_is_not_there_is_told(amie: Amie, filled: None, command: tuple[str, ...]) -> None:
    result = amie(*command)
    assert (result.status, "transaction-not-found" in result.err) == (1, True)
