"""Sending again what the service refused: what the command shows, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.packet import NotifyUserModify
from tests.cli.cli_world import Result, flat, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
WORDS = "PiRemoteSiteLogin is taken, says [red]Robin\x1b Example."


def refuse(engine: Engine) -> None:
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message=WORDS)


@pytest.fixture
def refused(folder: Path) -> None:
    """A log in which the reply to 5001 was refused."""
    with log(URL) as engine:
        engine.receive(packet(1))
        reply: Any = engine.expected_reply("5001").packet
        reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
        engine.reply("5001", reply)
        refuse(engine)


def outbox() -> list[str]:
    with log(URL) as engine:
        return [entry.status for entry in engine.outbox.open()]


def test_the_lists_point_to_it(amie: Amie, refused: None) -> None:
    assert "Refused: amie-engine resend TRANS" in amie("work").out
    assert "retry TRANS" not in amie("work").out


def test_without_options_it_shows_what_was_refused_and_what_to_type(amie: Amie, refused: None) -> None:
    shown = amie("resend", "5001")
    assert (shown.status, shown.err, outbox()) == (0, "", [])
    assert max(map(len, shown.out.splitlines())) <= 80
    told = flat(shown.out)
    assert "notify_project_create, in reply to packet 7001 of transaction 5001" in told
    assert "The service says: PiRemoteSiteLogin is taken, says [red]Robin Example." in told
    assert "PiRemoteSiteLogin robin" in told
    assert "Our own check: It finds nothing wrong." in told
    assert "amie-engine resend 5001 --set PiRemoteSiteLogin=VALUE" in told
    assert "amie-engine resend 5001 --as-it-is" in told
    assert "amie-engine retry 5001" in told
    assert "\x1b" not in shown.out


def test_and_for_a_program(amie: Amie, refused: None) -> None:
    [refusal] = amie("resend", "5001", "--json").json
    assert (refusal["code"], refusal["answers"]) == ("service-validation", "7001")
    assert refusal["packet"]["body"]["PiRemoteSiteLogin"] == "robin"
    assert refusal["message"] == WORDS


def test_changes_are_taken_in_the_form_of_their_fields(amie: Amie, refused: None) -> None:
    done = amie(
        *("resend", "5001", "--set", "PiRemoteSiteLogin=rob=2", "--set", 'PiDnList=["/CN=Robin"]'),
        *("--unset", "PiOrgCode", "--actor", "help desk", "--reason", "taken"),
    )
    assert (done.status, outbox()) == (0, ["pending"])
    assert "is in the outbox again: `amie-engine run` sends it." in flat(done.out)
    with log(URL) as engine:
        entry = engine.history("5001", documents=True).entries[-1]
    assert entry.actor == "help desk"
    assert entry.document["body"]["PiRemoteSiteLogin"] == "rob=2"
    assert entry.document["body"]["PiDnList"] == ["/CN=Robin"]
    assert "PiOrgCode" not in entry.document["body"]


def test_as_it_is(amie: Amie, refused: None) -> None:
    assert amie("resend", "5001", "--as-it-is", "--json").json["answers"] == "7001"
    assert outbox() == ["pending"]
    again = amie("resend", "5001", "--as-it-is")
    assert (again.status, "nothing-refused" in again.err) == (1, True)
    assert amie("resend", "5001").status == 1


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--set", "PiRemoteSiteLogn=x"], 1, "Did you mean PiRemoteSiteLogin?"),
        (["--set", "PiRemoteSiteLogin"], 2, "Give FIELD=VALUE."),
        (["--set", "PiDnList=/CN=Robin"], 2, """PiDnList takes a list in JSON: --set 'PiDnList=["one"]'"""),
        (["--set", 'PiDnList={"a": 1}'], 2, "PiDnList takes a list in JSON"),
        (
            ["--set", "Sfos=1"],
            2,
            """Sfos takes a list of objects in JSON: --set 'Sfos=[{"Number": "one"}]'""",
        ),
        (["--set", "ProjectID=1", "--unset", "ProjectID"], 2, "ProjectID is given twice."),
        (["--set", "ProjectID=1", "--as-it-is"], 2, "--as-it-is goes with no --set"),
        (["--unset", "ProjectID"], 1, "lacks ProjectID"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(
    amie: Amie, refused: None, options: list[str], status: int, told: str
) -> None:
    result = amie("resend", "5001", *options)
    assert (result.status, outbox()) == (status, [])
    assert told in flat(result.err)


def test_a_transaction_that_the_site_began_is_found_by_its_stream(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        stream = engine.start(NotifyUserModify(ActionType="add", PersonID="u1", Email="r@example.edu")).stream
        refuse(engine)
    told = flat(amie("resend", stream[:8]).out)
    assert f"notify_user_modify, which was to begin transaction {stream[:8]}" in told
    assert f"amie-engine fail {stream[:8]} --reason WHY" in told
    assert amie("resend", f"({stream[:8]})", "--set", "PersonID=u2").status == 0
    assert outbox() == ["pending"]


def test_a_call_that_was_refused_is_shown_first(amie: Amie, refused: None) -> None:
    with log(URL) as engine:
        engine.fail("5001", "the grant was withdrawn")
        refuse(engine)
    told = flat(amie("resend", "5001").out)
    assert told.startswith("The call that sets failed transaction 5001")
    assert told.count("--as-it-is") == 1
    assert amie("resend", "5001", "--as-it-is").status == 0
    with log(URL) as engine:
        assert [entry.kind for entry in engine.outbox.open()] == ["set_failed"]
