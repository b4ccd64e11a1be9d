"""Folding the log again from the command line, and putting its projections right."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine import Engine
from amie_engine.testing import Clock
from tests.audit.tampering import drop_triggers
from tests.cli.cli_world import Result, flat, packet
from tests.log.busy_site import play, whole_project

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"


@pytest.fixture
def whole(folder: Path) -> Clock:
    """A log with two projects that have completed, and one that waits."""
    clock = Clock()
    with Engine(URL, site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        whole_project(engine, clock, 2)
        engine.receive(packet(3))
    return clock


def _change(sql: str) -> None:
    with sqlite3.connect("amie.db") as connection:
        assert connection.execute(sql).rowcount > 0


def test_it_counts_the_transactions_by_type_and_state(amie: Amie, whole: Clock) -> None:
    result = amie("replay")
    assert result.status == 0
    told = flat(result.out)
    assert "After the event at position 17" in told
    assert "request_project_create completed 2" in told
    assert "request_project_create requested 1" in told
    counts = amie("replay", "--json").json
    assert counts["position"] == 17
    assert [(row["state"], row["count"]) for row in counts["transactions"]] == [
        ("completed", 2),
        ("requested", 1),
    ]


@pytest.mark.parametrize("until", ["4", "2026-01-20T09:34:00Z", "2026-01-20T10:34:00+01:00"])
def test_it_tells_the_state_as_it_was(amie: Amie, whole: Clock, until: str) -> None:
    result = amie("replay", "--until", until)
    assert "request_project_create notified 1" in flat(result.out)
    assert "position 4" in flat(result.out)


def test_before_the_first_event_there_is_nothing(amie: Amie, whole: Clock) -> None:
    assert flat(amie("replay", "--until", "2020-01-01").out) == "No events."


def test_a_line_for_every_transaction_in_the_order_in_which_they_began(amie: Amie, whole: Clock) -> None:
    lines = amie("replay", "--all").out.splitlines()[1:]
    assert [line.split()[:3] for line in lines][:2] == [
        ["50001", "RPC", "completed"],
        ["50002", "RPC", "completed"],
    ]
    rows = [json.loads(line) for line in amie("replay", "--all", "--json").out.splitlines()]
    assert [row["state"] for row in rows] == ["completed", "completed", "requested"]


def test_where_there_are_several_hubs_or_sites_every_line_names_its_own(amie: Amie, whole: Clock) -> None:
    with Engine(URL, site="NCSA", hub="test[0]", clock=whole) as engine:
        engine.receive(packet(1))
    assert "access NCSA request_project_create completed 2" in flat(amie("replay").out)
    assert (
        amie("replay", "--all").out.splitlines()[1:][0].startswith("access  NCSA 50001        RPC  completed")
    )
    assert amie("replay", "--all").out.splitlines()[-1].startswith("test[0] NCSA 5001         RPC  requested")


def test_one_transaction_in_full_as_it_was(amie: Amie, whole: Clock) -> None:
    told = flat(amie("replay", "--transaction", "50001", "--until", "3").out)
    assert "Transaction 50001" in told
    assert "requested" in told
    assert "outbox: notify_project_create attempting" in told
    assert "It was the site's turn: notify_project_create was due" in told
    [state] = amie("replay", "--transaction", "50001", "--json").json
    assert state["state"] == "completed"


def test_a_transaction_that_there_is_not_is_an_error(amie: Amie, whole: Clock) -> None:
    result = amie("replay", "--transaction", "1")
    assert result.status == 1
    assert "The log has no transaction 1." in flat(result.err)
    assert amie("replay", "--transaction", "50002", "--until", "8").status == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--until", "yesterday"), "neither a position nor a time"),
        (("--until", "18"), "The log has no position 18. It ends at 17."),
        (("--check", "--all"), "--check is of the whole log as it is now. Give it alone."),
        (("--check", "--until", "3"), "--check is of the whole log as it is now. Give it alone."),
    ],
)
def test_a_mistake_in_the_call_is_told(
    amie: Amie, whole: Clock, arguments: tuple[str, ...], told: str
) -> None:
    result = amie("replay", *arguments)
    assert result.status == 2
    assert told in flat(result.err)


def test_projections_that_agree_are_told_so(amie: Amie, folder: Path) -> None:
    clock = Clock()
    with Engine(URL, site="NCSA", clock=clock) as engine:
        play(engine, clock)
    result = amie("replay", "--check")
    assert result.status == 0
    assert "The projections say what the events say" in flat(result.out)
    assert amie("replay", "--check", "--json").json["differing"] == {}
    assert "0 changed" in flat(amie("rebuild").out)


def test_a_difference_is_named_with_its_event_and_mended(amie: Amie, whole: Clock) -> None:
    _change("UPDATE amie_transactions SET state = 'failed' WHERE trans_rec_id = '50002'")
    _change("DELETE FROM amie_directory_projects WHERE project_id = 'project-1'")
    result = amie("replay", "--check")
    assert result.status == 1
    told = flat(result.out)
    assert "state is failed, not completed, as the event at position 16 made it." in told
    assert "transaction 50002" in told
    assert "project-1, resource hc.ncsa.xsede) has no row, and should have had one since position 4." in told
    assert "amie-engine rebuild" in told
    found = amie("replay", "--check", "--json")
    assert found.status == 1
    assert found.json["differing"] == {"amie_transactions": 1, "amie_directory_projects": 1}
    told = flat(amie("rebuild").out)
    assert "amie_transactions: 1 row put right." in told
    assert "2 changed" in told
    assert amie("replay", "--check").status == 0
    assert amie("rebuild", "--json").json["changed"] == {}


def test_a_log_that_lacks_events_is_neither_replayed_nor_rebuilt(amie: Amie, whole: Clock) -> None:
    with closing(sqlite3.connect("amie.db", isolation_level=None)) as connection:
        drop_triggers(connection)
        connection.execute("DELETE FROM amie_events WHERE position > 12")
        before = list(connection.iterdump())
        for command in (("replay",), ("replay", "--all"), ("replay", "--check"), ("rebuild",)):
            result = amie(*command)
            assert (result.status, result.out) == (1, "")
            told = flat(result.err)
            assert "ends with event 12, and its counter says 17: events 13 to 17 are missing." in told
            assert "keep a copy of the database as it is, and see with `amie-engine verify`" in told
            assert result.err.endswith("  log-damaged, see docs/errors.md\n")
        assert list(connection.iterdump()) == before
    assert "request_project_create completed 1" in flat(amie("replay", "--until", "12").out)


def test_before_a_rebuild_a_seal_or_a_backup_is_to_be_looked_at(amie: Amie, whole: Clock) -> None:
    _change("DELETE FROM amie_directory_projects")
    told = flat(amie("replay", "--check").out)
    assert told.index("verify --seal") < told.index("keep a copy") < told.index("amie-engine rebuild")


def test_a_row_that_is_behind_and_one_that_nobody_made(amie: Amie, whole: Clock) -> None:
    _change("UPDATE amie_work SET status = 'ready' WHERE packet_rec_id = '70002'")
    _change("INSERT INTO amie_directory_persons VALUES ('access', 'NCSA', 'forged', NULL, NULL)")
    told = flat(amie("replay", "--check").out)
    assert "is behind: it does not show the event at position" in told
    assert "amie_directory_persons (person_id forged) has a row that no event made." in told


@pytest.mark.parametrize("command", [("replay",), ("replay", "--check"), ("rebuild",)])
def test_there_must_be_a_log(amie: Amie, folder: Path, command: tuple[str, ...]) -> None:
    result = amie(*command)
    assert result.status == 1
    assert "There is no log at" in flat(result.err)
    Path("amie.db").touch()
    assert "has no amie-engine tables" in flat(amie(*command).err)
    assert Path("amie.db").stat().st_size == 0


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00+12:00", "soon"])
@pytest.mark.parametrize("command", ["replay", "audit --resource x"])
def test_a_time_that_is_none_is_told(amie: Amie, whole: Clock, command: str, text: str) -> None:
    result = amie(*command.split(), "--until", text)
    assert (result.status, "settings-invalid" in result.err) == (2, True)
