"""Looking into a log: lists and stories, for people at 80 and 160 columns and for programs."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Site, Work
from amie_engine.cli import main
from amie_engine.packet import NotifyPersonIDs
from amie_engine.site.worker import Worker
from tests.cli.cli_world import Result, flat, log, packet
from tests.site.site_packets import begin_account, begin_project

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
RUM = "request_user_modify.replace"


def _work(engine: Engine, handler: Callable[[Any, Work], Any]) -> None:
    site = Site(engine.site)
    site.handles("request_project_create", "request_user_modify")(handler)
    Worker(engine, site, jitter=lambda: 1.0).work_once()


def _fail(packet: Any, work: Work) -> Any:
    raise ConnectionError("no home folder for Robin Example")


def _start(engine: Engine) -> str:
    ids: Any = NotifyPersonIDs(PersonID="u1", PrimaryPersonID="u1", PersonIDList=["u1"])
    return engine.start(ids).stream


@pytest.fixture
def filled(folder: Path) -> str:
    """A log with a handler that fails, a rejected reply, a packet held, a repetition and a start; the id of
    the last in the log."""
    with log(URL) as engine:
        engine.receive(packet(1))
        _work(engine, _fail)
        engine.receive(packet(2, RUM))
        _work(engine, lambda packet, work: work.reply)
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.reject(outgoing, code="service-validation", message="No Robin Example here.")
        engine.receive(packet(3, "data_project_create"))
        return _start(engine)


# The list


def test_the_list_fits_eighty_columns_and_says_below_what_needs_a_person(amie: Amie, filled: str) -> None:
    result = amie("transactions")
    assert result.status == 0
    assert result.err == ""
    table, notes = result.out.split("\nNotes:\n")
    heads, *rows = table.splitlines()
    assert heads.split() == ["transaction", "type", "grant", "state", "turn", "age", "deadline"]
    assert rows[0].split() == ["5001", "RPC", "AST040002", "requested", "site", "2", "h", "in", "20", "d"]
    assert rows[1].split()[:4] == ["5002", "RUM", "requested", "site"]
    assert rows[3].split() == [f"({filled[:8]})", "NPIDs", "start", "site", "(sending)", "2", "h"]
    assert max(map(len, table.splitlines())) <= 80
    assert [line.split(maxsplit=1) for line in notes.splitlines()] == [
        ["5001", "ConnectionError"],
        ["5002", "inform_transaction_complete rejected: service-validation"],
        ["5003", "1 held"],
    ]
    assert "Robin" not in result.out


def test_a_wide_terminal_has_room_for_names_in_full(
    amie: Amie, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    heads, first, *_ = amie("transactions").out.splitlines()
    assert heads.split()[:5] == ["transaction", "type", "grant", "project", "resource"]
    assert first.split()[:4] == ["5001", "request_project_create", "AST040002", "hc.ncsa.xsede"]


def test_long_ids_and_odd_names_lose_nothing_and_move_no_cursor(amie: Amie, folder: Path) -> None:
    long = "9" * 38
    document = packet(1, GrantNumber="[red]G\x1b[2J\u202e")
    document["header"] |= {"trans_rec_id": long}
    with log(URL) as engine:
        engine.receive(document)
    out = amie("transactions").out
    assert long in "".join(line.split()[0] for line in out.splitlines()[1:])
    assert "[red]G [2J" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_only_open_transactions(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1))
    assert "5001" in amie("transactions", "--open").out
    with log(URL) as engine:
        engine.reply("5001", engine.expected_reply("5001").request.reply_with_failure())  # type: ignore[union-attr]
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.confirm(outgoing)
    assert amie("transactions", "--open").out == "No open transactions.\n"
    assert "failed" in amie("transactions").out
    assert amie("transactions", "--open", "--json").json == []


def test_a_log_with_nothing_in_it(amie: Amie, folder: Path) -> None:
    with log(URL):
        pass
    assert amie("transactions").out == "No transactions.\n"
    assert amie("quarantine").out == "Nothing is in quarantine.\n"
    assert amie("transactions", "--json").json == []


def test_programs_get_every_value(amie: Amie, filled: str) -> None:
    first, *_, last = amie("transactions", "--json").json
    assert (first["trans_rec_id"], first["type"]) == ("5001", "request_project_create")
    assert (first["problem"], first["due"]) == ("ConnectionError", ["notify_project_create"])
    assert first["deadline"].endswith("+00:00")
    assert (last["stream"], last["trans_rec_id"], last["sending"]) == (filled, None, True)


# Several sites and hubs in one log


@pytest.fixture
def shared(folder: Path) -> None:
    for number, (site, hub) in enumerate([("NCSA", "sandbox"), ("NCSA", "test"), ("PSC", "test")], 1):
        document = packet(number)
        document["header"] |= {"remote_site_name": site}
        with log(URL, site=site, hub=hub) as engine:
            engine.receive(document)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--site", "PSC"), "5003"),
        (("--hub", "sandbox"), "5001"),
        (("--hub", "test", "--site", "NCSA"), "5002"),
    ],
)
def test_site_and_hub_are_named_only_as_far_as_needed(
    amie: Amie, shared: None, arguments: tuple[str, ...], found: str
) -> None:
    [one] = amie("transactions", "--json", *arguments).json
    assert one["trans_rec_id"] == found
    assert amie("show", found, *arguments).status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "The log has several sites or hubs. Name one: --hub sandbox --site NCSA, --hub test --site"),
        (("--site", "NCSA"), "The log has several sites or hubs."),
        (("--site", "SDSC"), "The log has nothing of that site and hub. It has: --hub sandbox"),
        (("--hub", "sandbox", "--site", "PSC"), "The log has nothing of that site and hub."),
    ],
)
def test_where_several_are_meant_or_none_they_are_listed(
    amie: Amie, shared: None, arguments: tuple[str, ...], told: str
) -> None:
    for command in (("transactions",), ("show", "5001"), ("quarantine",)):
        result = amie(*command, *arguments)
        assert result.status == 2
        assert told in flat(result.err)


def test_the_settings_choose_among_several_and_stand_back_in_another_log(amie: Amie, shared: None) -> None:
    Path("amie-engine.toml").write_text('site = "NCSA"\nhub = "test"\n')
    [one] = amie("transactions", "--json").json
    assert one["trans_rec_id"] == "5002"
    with log("sqlite:///other.db", site="CAMPUS", hub="demo") as engine:
        document = packet(9)
        document["header"] |= {"remote_site_name": "CAMPUS"}
        engine.receive(document)
    assert len(amie("transactions", "--json", "--database", "sqlite:///other.db").json) == 1


# A story


def test_a_story_tells_what_happened_line_by_line_and_whose_turn_it_is(amie: Amie, filled: str) -> None:
    result = amie("show", "5001")
    assert result.status == 0
    told = flat(result.out)
    assert "Transaction 5001 - request_project_create between NCSA and sandbox: requested" in told
    assert "Received request_project_create as packet 7001." in told
    assert "The handler raised ConnectionError at attempt 1" in told
    assert "It is the site's turn: notify_project_create is due; the draft lacks PiPersonID" in told
    assert max(map(len, result.out.splitlines()[1:-2])) <= 80
    assert "Robin" not in result.out


def test_a_reply_that_is_being_sent_or_was_refused_is_told(
    amie: Amie, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "The site's notify_person_ids is not sent yet: it waits in the outbox for `amie-engine run`."
    assert told in flat(amie("show", filled).out)
    monkeypatch.setenv("COLUMNS", "160")
    refused = "The service refused inform_transaction_complete (success): service-validation."
    assert refused in flat(amie("show", "5002").out)


@pytest.mark.parametrize("length", [6, 8, 32])
def test_a_transaction_without_a_wire_id_is_found_by_the_beginning_of_its_id_in_the_log(
    amie: Amie, filled: str, length: int
) -> None:
    result = amie("show", filled[:length])
    assert result.status == 0
    assert f"Transaction ({filled})" in flat(result.out)
    assert amie("show", f"({filled[:8]})").status == 0
    assert amie("show", filled[:5]).status == 1


def test_documents_are_shown_on_demand_and_a_traceback_line_by_line(amie: Amie, filled: str) -> None:
    result = amie("show", "5001", "--documents")
    assert '"PiEmail": "robin.example@example.edu"' in result.out
    assert "Traceback (most recent call last):" in result.out
    assert "no home folder for Robin Example" in flat(result.out)
    as_json = amie("show", "5001", "--documents", "--json").json
    assert as_json["entries"][0]["document"]["body"]["PiLastName"] == "Example"
    assert amie("show", "5001", "--json").json["entries"][0]["document"] is None


# Quarantine


ODD = b'{"type": "request_coffee", "body": {"x": "\xc3\xa4\xff'


@pytest.fixture
def odd(folder: Path) -> str:
    """A log with bytes in quarantine that are no text, and their id."""
    with log(URL) as engine:
        engine.receive(ODD)
        unknown = packet(2)
        engine.receive(unknown | {"type": "request_\x1b[31mtea"})
        return engine.quarantine()[0].quarantine_id


def test_quarantine_tells_what_is_there_why_and_what_to_do(amie: Amie, odd: str) -> None:
    out = amie("quarantine").out
    first, why, hint = out.splitlines()[:3]
    assert first.split()[:2] == [odd[:12], "packet-unreadable"]
    assert f"no packet, {len(ODD)} bytes, 2 h ago" in first
    assert "It is no UTF-8 text." in why
    assert "release it" in hint
    assert "packet 7002 of transaction 5002" in out
    assert "\x1b" not in out
    assert amie("quarantine", "--json").json[0]["quarantine_id"] == odd


def test_programs_get_the_bytes_too(amie: Amie, odd: str) -> None:
    item = amie("quarantine", odd[:8], "--json").json
    assert base64.b64decode(item["content_base64"]) == ODD
    assert item["code"] == "packet-unreadable"


def test_the_bytes_come_out_exactly_as_they_came(
    odd: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "argv", ["amie-engine", "quarantine", odd])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsysbinary.readouterr().out == ODD


def test_what_still_cannot_be_used_stays_and_what_can_is_released(amie: Amie, odd: str) -> None:
    result = amie("quarantine", odd, "--release")
    assert result.status == 1
    assert result.out == "It stays in quarantine: It is no UTF-8 text.\n"
    assert amie("quarantine", odd, "--release", "--json").json["kind"] == "quarantined"

    with log(URL, site="PSC") as engine:
        engine.receive(packet(9))  # it is NCSA's: the site's name was wrong in the settings
        [item] = engine.quarantine()
    mended = amie("quarantine", item.quarantine_id, "--release", "--site", "PSC")
    assert mended.status == 1
    assert "between other sites" in mended.out


def test_a_release_says_what_became_of_it(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(1, RUM))
        early = packet(1, "inform_transaction_complete.success.in")
        early["header"] |= {"packet_rec_id": 7100, "packet_id": 2}
        assert engine.receive(early).kind == "quarantined"  # it is the site's turn to say so
        [item] = engine.quarantine()
        _work(engine, lambda packet, work: work.reply)
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.confirm(outgoing)  # now it only acknowledges

    assert amie("quarantine", item.quarantine_id[:10], "--release").out == "Released: it is now accepted.\n"
    assert amie("quarantine").out == "Nothing is in quarantine.\n"
    assert "(released)" in amie("quarantine", "--all").out
    assert amie("quarantine", "--all", "--json").json[0]["status"] == "released"


def test_an_account_that_waits_for_its_project_is_told(amie: Amie, folder: Path) -> None:
    with log(URL) as engine:
        project, account = begin_project(engine), begin_account(engine)
    told = f"sent once transaction {project.stream} has ended"
    assert told in flat(amie("transactions").out)
    assert told in flat(amie("show", account.stream).out)
    assert "The site's notify_project_create is not sent yet" in flat(amie("show", project.stream).out)
    with log(URL) as engine:
        engine.outbox.attempt(engine.outbox.open()[0])
    shown = flat(amie("show", project.stream).out)
    assert re.search(
        r"The site's notify_project_create was sent once, last at 20\S+ \S+ UTC, and whether it has arrived",
        shown,
    )
    [first, second] = amie("transactions", "--json").json
    assert (first["waits_for"], second["waits_for"]) == (None, project.stream)
