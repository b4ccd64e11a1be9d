"""What concerns somebody or something, and erasing a person: on a terminal, and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine.engine import Engine
from amie_engine.testing import Clock
from tests.cli.cli_world import Result, flat, log
from tests.log.busy_site import personal, project_request, send, whole_project

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
WHO = ("--by", "privacy-office", "--reason", "request 17")


@pytest.fixture
def filled(folder: Path) -> Path:
    """A log with two projects, one of which was made inactive, and two things in quarantine."""
    clock = Clock()
    with Engine(URL, site="NCSA", hub="sandbox", clock=clock) as engine:
        for number in (1, 2):
            whole_project(engine, clock, number, **personal(number))
        engine.receive({"type": "no_such_type", "header": {}, "body": {"Owner": "u1"}})
        engine.receive(b"\xff Lastname2")
    return folder


class TestAudit:
    def test_first_it_says_what_is_so_and_why_then_what_happened(self, amie: Amie, filled: Path) -> None:
        result = amie("audit", "--person", "u1")
        assert (result.status, result.err) == (0, "")
        assert max(map(len, result.out.splitlines())) <= 80
        why, happened = flat(result.out).split("What happened: 8 events, in 1 transaction")
        assert why.startswith("Person u1 global id: global-1 login: robin PI of 1 project (1 active)")
        assert (
            "Account of u1 in project-1 on hc.ncsa.xsede, login robin: active"
            " active since 2026-01-20 09:33 UTC by notify_project_create, transaction 50001, event 4"
            " asked for by request_project_create, packet 70001, from the hub on 2026-01-20 09:30 UTC"
            " decided by site on 2026-01-20 09:33 UTC"
        ) in why
        assert (
            "Project project-1 on hc.ncsa.xsede of grant PHY000001, PI u1, 1 account (1 active): active"
            in why
        )
        assert "Local id u1, global id global-1 known since 2026-01-20 09:33 UTC" in why
        assert happened.split()[:6] == ["time", "(UTC)", "transaction", "who", "what", "happened"]
        assert "09:30:00 50001 hub Received request_project_create as requested packet 70001." in happened
        assert "09:36:00 50001 site The service accepted completed inform_transaction_complete" in happened

    @pytest.mark.parametrize("width", ["40", "80", "120", "200"])
    def test_it_fits_the_terminal(
        self, amie: Amie, filled: Path, width: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", width)
        lines = amie("audit", "--resource", "hc.ncsa.xsede").out.splitlines()
        assert max(map(len, lines)) <= max(int(width), 62)
        assert "2 projects (2 active), 2 accounts in them (2 active)" in flat(" ".join(lines))

    def test_an_inactive_account_tells_since_when(self, amie: Amie, filled: Path) -> None:
        with log(URL) as engine:
            packet = project_request(3)
            packet |= {"type": "request_project_inactivate"}
            packet["body"] = {"ProjectID": "project-1", "ResourceList": ["hc.ncsa.xsede"]}
            engine.receive(packet)
            due = engine.expected_reply(50_003)
            assert due.packet is not None
            engine.reply(50_003, due.packet, actor="operator")
            send(engine)
        out = flat(amie("audit", "--person", "u1").out)
        assert "login robin: inactive inactive since" in out
        assert "by notify_project_inactivate, transaction 50003" in out
        assert "decided by operator" in out
        assert "there since 2026-01-20 09:33 UTC by notify_project_create" in out

    def test_times_limit_the_list(self, amie: Amie, filled: Path) -> None:
        everything = amie("audit", "--person", "u1", "--json").json["entries"]
        for option, value, count in (
            ("--since", "2026-01-20", 8),
            ("--since", "2026-01-20T09:36:00Z", 4),
            ("--since", "2026-01-20T09:36:00", 4),
            ("--since", "2026-01-20T04:36:00-05:00", 4),
            ("--since", "2026-01-21", 0),
            ("--until", "2026-01-20", 8),
            ("--until", "20260120", 8),
            ("--until", "2026-01-19", 0),
            ("--until", "2026-01-20T09:30:00+00:00", 1),
        ):
            result = amie("audit", "--person", "u1", option, value, "--json")
            assert result.status == 0
            entries = result.json["entries"]
            assert len(entries) == count
            assert entries == (everything[-count:] if option == "--since" else everything[:count])[:count]
        assert (
            "no event since 2026-01-21 00:00 UTC."
            in amie("audit", "--person", "u1", "--since", "2026-01-21").out
        )

    @pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "2026-01-2x", "", "1200"])
    def test_what_is_no_time_is_a_mistake(self, amie: Amie, filled: Path, time: str) -> None:
        for option in ("--since", "--until"):
            result = amie("audit", "--person", "u1", option, time)
            assert result.status == 2
            assert f"{option} is no time" in result.err

    def test_times_that_end_before_they_begin_are_a_mistake(self, amie: Amie, filled: Path) -> None:
        turned = ("--since", "2026-11-26", "--until", "2026-11-25")
        for what in (("--person", "u1"), ("--erasures",)):
            result = amie("audit", *what, *turned)
            assert (result.status, result.out) == (2, "")
            assert "--until is before --since" in result.err

    def test_an_empty_name_is_a_mistake(self, amie: Amie, filled: Path) -> None:
        for option in ("--grant", "--person", "--project", "--resource"):
            result = amie("audit", option, " ")
            assert (result.status, result.out) == (2, "")
            assert f"{option} is empty." in result.err

    def test_something_must_be_asked(self, amie: Amie, filled: Path) -> None:
        result = amie("audit")
        assert result.status == 2
        assert "--grant, --person, --project or --resource" in flat(result.err)

    def test_of_nothing_it_says_so_and_fails(self, amie: Amie, filled: Path) -> None:
        result = amie("audit", "--person", "[u9]", "--grant", "G")
        assert (result.status, result.out) == (1, "Nothing in the log concerns G, [u9].\n")
        assert amie("audit", "--project", "p9", "--json").json["transactions"] == 0

    def test_of_what_has_nothing_in_common_it_says_so_and_fails(self, amie: Amie, filled: Path) -> None:
        result = amie("audit", "--person", "u1", "--project", "project-2")
        assert (result.status, result.out) == (1, "Nothing in the log concerns u1, project-2.\n")
        assert amie("audit", "--person", "u1", "--project", "project-1").status == 0

    def test_where_the_directory_differs_it_is_loud_and_fails(self, amie: Amie, filled: Path) -> None:
        with log(URL) as engine, engine.database.write() as cursor:
            cursor._cursor.execute("UPDATE amie_directory_accounts SET active = 0")
        result = amie("audit", "--person", "u1")
        assert result.status == 1
        out = flat(result.out)
        assert "The projection differs from the events: run amie-engine replay --check" in out
        assert "account project-1 hc.ncsa.xsede u1: the directory says robin, inactive, the events say" in out

    def test_for_programs_it_has_everything(self, amie: Amie, filled: Path) -> None:
        found = amie("audit", "--person", "robin", "--json").json
        assert found["person"]["several"] is True
        assert [row["person_id"] for row in found["persons"]] == ["u1", "u2"]
        [cause] = found["accounts"][0]["causes"]
        assert cause["made"] == ["active", "account", "login"]
        assert cause["request"]["packet_rec_id"] == "70001"
        assert "Lastname" not in str(found)
        assert "several persons" in amie("audit", "--person", "robin").out


class TestErase:
    def test_it_says_what_it_would_do_and_does_it_only_with_yes(self, amie: Amie, filled: Path) -> None:
        planned = amie("erase", "--person", "u1", *WHO, "--dry-run")
        assert planned.status == 0
        refused = amie("erase", "--person", "u1", *WHO)
        assert refused.status == 2
        assert planned.out == refused.out + "Nothing was erased: this was a dry run.\n"
        assert "Nothing was erased" in refused.err
        assert amie("erase", "--person", "u1", *WHO, "--dry-run", "--yes").out == planned.out
        assert "To erase: 5 documents, 1 of them in quarantine." in flat(planned.out)
        done = amie("erase", "--person", "u1", *WHO, "--yes")
        assert (done.status, done.err) == (0, "")
        assert "Erased 5 documents, 1 of them in quarantine." in flat(done.out)
        assert "Transactions that concern the person: 50001." in flat(done.out)
        assert "write-ahead log is empty" in flat(done.out)
        assert "docs/personal-data.md" in flat(done.out)
        again = amie("erase", "--person", "u1", *WHO, "--yes")
        assert again.status == 0
        assert "There is nothing left to erase." in again.out
        assert amie("erase", "--person", "u1", *WHO).status == 0

    def test_what_cannot_be_read_is_listed_and_can_be_named(self, amie: Amie, filled: Path) -> None:
        result = amie("erase", "--person", "u1", *WHO, "--yes", "--json").json
        [unread] = result["unread"]
        assert unread in amie("erase", "--person", "u1", *WHO, "--dry-run").out
        named = amie("erase", "--person", "u1", *WHO, "--yes", "--quarantine", unread[:12])
        assert named.status == 0
        assert "can't be read" not in named.out
        shown = amie("quarantine", unread)
        assert (shown.status, shown.out) == (1, "")
        assert "were erased" in shown.err
        assert "(erased)" in amie("quarantine").out

    def test_the_story_tells_of_it(self, amie: Amie, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "160")
        amie("erase", "--person", "u1", *WHO, "--yes")
        out = flat(amie("show", "50001", "--documents").out)
        assert "Erased the documents of 4 of these events, by privacy-office: request 17" in out
        assert "Lastname1" not in out
        assert "Erased" in amie("audit", "--person", "u1").out

    def test_a_transaction_with_an_address_of_theirs_is_listed_and_goes_when_it_is_named(
        self, amie: Amie, filled: Path
    ) -> None:
        with log(URL) as engine:
            nobody = {"PiGlobalID": None, "PiPersonID": None, "PiEmail": "mail1@example.org"}
            engine.receive(project_request(7, **nobody))
            engine.fail(50_007, "no")
            send(engine)
        planned = flat(amie("erase", "--person", "u1", *WHO, "--dry-run").out)
        assert "erase them with --transaction ID: 50007" in planned
        done = flat(amie("erase", "--person", "u1", *WHO, "--yes", "--transaction", "50007").out)
        assert "Transactions that concern the person: 50001, 50007." in done
        assert "--transaction" not in done
        assert amie("erase", "--person", "u1", *WHO, "--transaction", "4711").status == 1

    def test_the_erasures_are_listed(self, amie: Amie, filled: Path) -> None:
        assert amie("audit", "--erasures").out == "No erasures.\n"
        erased = amie("erase", "--person", "u1", *WHO, "--yes", "--json").json
        amie("erase", "--person", "u2", *WHO, "--yes", "--quarantine", erased["unread"][0])
        listed = amie("audit", "--erasures", "--json")
        assert listed.status == 0
        first, second = listed.json
        assert [each["person"] for each in (first, second)] == ["u1", "u2"]
        assert (first["actor"], first["reason"]) == WHO[1::2]
        assert first["documents"] == len(erased["positions"])
        assert first["quarantined"] == erased["quarantined"]
        assert second["quarantined"] == erased["unread"]
        out = amie("audit", "--erasures").out
        assert "  person u1: 5 documents, by privacy-office: request 17\n  in quarantine: " in out
        assert amie("audit", "--erasures", "--since", "2999-01-01").out == "No erasures.\n"
        assert amie("audit", "--erasures", "--until", "2000-01-01").out == "No erasures.\n"
        assert amie("audit", "--erasures", "--person", "u1").status == 2

    def test_what_is_listed_can_be_repeated_in_an_older_copy(self, amie: Amie, filled: Path) -> None:
        amie("backup", "--to", "copy.db")
        amie("erase", "--person", "u1", *WHO, "--yes")
        [listed] = amie("audit", "--erasures", "--json").json
        repeated = ["--person", listed["person"], "--by", listed["actor"], "--reason", listed["reason"]]
        for name in listed["quarantined"]:
            repeated += ["--quarantine", name]
        done = amie("erase", *repeated, "--yes", "--database", "sqlite:///copy.db", "--json")
        assert (done.status, len(done.json["positions"])) == (0, listed["documents"])

    def test_errors_are_told(self, amie: Amie, filled: Path) -> None:
        unknown = amie("erase", "--person", "Robin Example", *WHO, "--yes")
        assert unknown.status == 1
        assert "person-not-found" in unknown.err
        assert "Robin" not in unknown.err
        several = amie("erase", "--person", "robin", *WHO, "--yes")
        assert several.status == 1
        assert "erasure-refused" in several.err
        with log(URL) as engine:
            engine.receive(project_request(7, PiPersonID="u1"))
        still_open = amie("erase", "--person", "u1", *WHO, "--yes")
        assert still_open.status == 1
        assert "Open transactions concern this person: 50007" in flat(still_open.err)
        assert amie("erase", "--person", "u1", "--by", "x").status == 2
