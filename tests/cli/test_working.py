"""The commands about the site's work: what waits for what, and what a person does about it."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Retries, Site, Work
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
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


def test_all_that_the_service_does_not_know_are_failed_together(amie: Amie, folder: Path) -> None:
    numbers = range(1, 6)
    with log(URL) as engine:
        for number in numbers:
            engine.receive(packet(number))
        for number in numbers[:4]:
            engine.note_unknown(str(5000 + number))
    status = amie("status")
    assert status.status == 3
    assert "1 thing needs a person" in status.out
    assert 'amie-engine fail --unknown --reason "..."' in status.out
    assert amie("fail", "5001", "--unknown", "--reason", "reset").status == 2
    assert amie("fail", "--reason", "reset").status == 2
    assert "4 transactions are to be set failed" in amie("fail", "--unknown", "--reason", "reset").out
    with log(URL) as engine:
        assert [one.trans_rec_id for one in engine.outbox.open()] == ["5001", "5002", "5003", "5004"]
    assert amie("status").status == 0
    assert "There is none" in amie("fail", "--unknown", "--reason", "reset").out
    again = amie("fail", "5001", "5002", "5005", "5005", "--reason", "no")
    assert (again.status, "Transaction 5005 is to be set failed" in again.out) == (1, True)
    assert again.err.count("reply-already-decided") == 2


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


# What `show` and `work` say of it


def last_line(amie: Amie, name: str) -> str:
    return amie("show", name).out.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "5001",
            "The work on request_project_create is asking. It waits for an answer: decision. Type amie-engine"
            " answer 5001, then amie-engine answer 5001 ANSWER.",
        ),
        (
            "5002",
            "The work on request_account_create is waiting. Why: in 1 d: maintenance. It is called again by"
            " itself; at once with amie-engine retry 5002.",
        ),
        (
            "5003",
            "The work on request_project_inactivate is parked. Why: ConnectionError (failed once). Type"
            " amie-engine show 5003 --documents, then amie-engine retry 5003.",
        ),
        (
            "5004",
            "The work on request_project_inactivate is blocked. It waits for transaction 5003 to be answered"
            " (same-grant). It starts by itself; at once with amie-engine let-pass 5004.",
        ),
    ],
)
def test_a_story_ends_with_how_the_work_stands_and_what_to_type(
    amie: Amie, filled: None, name: str, told: str
) -> None:
    assert last_line(amie, name) == told


def test_what_is_ready_and_what_is_tried_again_by_itself(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
    assert last_line(amie, "5001") == "The work on request_project_create is ready."
    with log(URL) as engine:
        site = Site(engine.site)
        site.handles("request_project_create")(raising)
        Worker(engine, site, jitter=lambda: 1.0).work_once()
    assert last_line(amie, "5001") == (
        "The work on request_project_create is retrying. Why: ConnectionError (failed once). It is called"
        " again by itself; at once with amie-engine retry 5001."
    )
    assert "Retrying: it is called again by itself; at once with amie-engine retry TRANS" in amie("work").out


def raising(request: Any, work: Work) -> Any:
    raise ConnectionError("no home folder for Robin Example")


def begin(hours_ago: float) -> None:
    """Have a handler of this process begin, and not end."""
    clock = Clock(datetime.now(UTC) - timedelta(hours=hours_ago), tick=timedelta(milliseconds=1))
    with Engine(URL, site="NCSA", hub="sandbox", clock=clock) as engine:
        [row] = engine.work.open()
        assert engine.work.take_first([row], lasts=timedelta(minutes=15)) is not None


def test_who_is_at_work_is_named_as_status_names_a_daemon(
    amie: Amie, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with log(URL) as engine:
        engine.receive(packet(1))
    begin(0.1)
    me = f"{socket.gethostname()} (process {os.getpid()})"
    assert f"running {me}, since 6 min" in flat(amie("work").out)
    assert (
        last_line(amie, "5001")
        == f"The work on request_project_create is running. At work: {me}, since 6 min."
    )


def test_what_hangs_is_not_said_to_be_ready(
    amie: Amie, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with log(URL) as engine:
        engine.receive(packet(1))
    begin(0.5)
    told = "still at work after 30 min, longer than its lease"
    listed = flat(amie("work").out)
    assert f"hanging {socket.gethostname()} (process {os.getpid()}), {told}" in listed
    assert "Hanging: restart the daemon, if it does not end by itself" in listed
    assert f"{told}. Restart the daemon" in last_line(amie, "5001")
    status = flat(amie("status").out)
    assert "work 1 hanging" in status
    assert "has been at work on it for 30 min, longer than its lease: restart the daemon" in status


# What is being set failed


@pytest.fixture
def forgotten(folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
        engine.note_unknown("5001")


def test_what_is_being_set_failed_needs_nobody(amie: Amie, forgotten: None) -> None:
    assert "amie-engine fail 5001" in flat(amie("status").out)
    assert amie("fail", "5001", "--reason", "it is gone").status == 0
    assert (amie("status").status, "Nothing needs a person." in amie("status").out) == (0, True)
    again = amie("fail", "5001", "--reason", "it is gone")
    assert again.status == 1
    assert "`amie-engine run` sends it; `amie-engine show TRANS` tells" in flat(again.err)
    shown = flat(amie("show", "5001").out)
    told = "The call that sets it failed is not sent yet: it waits in the outbox for `amie-engine run`."
    assert f"It is being set failed. {told}" in shown
    assert shown.endswith("`amie-engine show 5001 --documents` has failures and reasons in full.")
    with log(URL) as engine:
        engine.outbox.attempt(engine.outbox.open()[0])
    shown = flat(amie("show", "5001").out)
    assert "It is being set failed. The call that sets it failed was sent once, last at" in shown
    assert amie("status").status == 0
    with log(URL) as engine:
        engine.outbox.reject(engine.outbox.open()[0], code="service-error", message="no")
    assert amie("status").status == 3


def test_a_failure_inform_on_its_way_is_named(amie: Amie, forgotten: None) -> None:
    with log(URL) as engine:
        request: Any = engine.expected_reply("5001").request
        engine.reply("5001", request.reply_with_failure(message="No."))
    assert amie("status").status == 0
    assert flat(amie("show", "5001").out).endswith(
        "It is being set failed. The site's inform_transaction_complete is not sent yet: it waits in the"
        " outbox for `amie-engine run`."
    )


# A handler that is not there


def test_where_there_is_no_handler_none_is_called_again(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
        Worker(engine, Site(engine.site)).work_once()
    refused = amie("retry", "5001")
    assert refused.status == 1
    assert "The site has no handler for the request_project_create of transaction 5001" in flat(refused.err)
    assert "No handler: add one to the site, and restart the daemon" in flat(amie("work").out)
    assert last_line(amie, "5001") == (
        "The work on request_project_create is waiting. Why: no handler for request_project_create is"
        " registered. Add one to the site, and restart the daemon."
    )
