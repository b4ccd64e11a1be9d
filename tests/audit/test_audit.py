"""What concerns a person, a grant, a project or a resource: all of it, nothing else, and why it is so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amie_engine.audit import Audit, StoryEntry, audit, finding
from amie_engine.audit.causes import Cause
from amie_engine.audit.rows import AccountRow, DirectoryRow, ProjectRow
from amie_engine.engine import Engine
from amie_engine.testing import Clock
from tests.audit.people import history
from tests.log.busy_site import answer, personal, project_request, sample, send, whole_project

Connect = Callable[[], sqlite3.Connection]


def transactions(found: Audit) -> list[str]:
    """The transactions whose events are listed, in their order."""
    return list(dict.fromkeys(entry.trans_rec_id for entry in found.entries if entry.trans_rec_id))


def about(engine: Engine, asked: dict[str, Any]) -> Audit:
    """The audit of whatever is asked for."""
    return audit(engine, **asked)


def account(found: Audit) -> AccountRow:
    [row] = found.accounts
    return row


def take_up(engine: Engine, kind: str, trans: int, *, resource: str = "r1", **names: str | None) -> None:
    """Take in the whole history of a transaction, in which nothing is odd enough for quarantine."""
    for outcome in engine.adopt(history(kind, trans, resource=resource, **names)):
        assert outcome.kind in ("accepted", "confirmed")


def request(engine: Engine, kind: str, trans: int, **body: Any) -> None:
    """Have a request come and be answered with the draft, and the answer accepted."""
    packet = sample(f"spec/{kind}", transaction=trans, packet=trans + 1)
    packet["body"] |= body
    engine.receive(packet)
    answer(engine, trans)
    send(engine)


class TestWhy:
    def test_an_account_is_active_since_the_packet_that_made_it(self, engine: Engine, clock: Clock) -> None:
        whole_project(engine, clock, 1, **personal(1))
        found = audit(engine, person="u1")
        row = account(found)
        assert (row.project_id, row.resource, row.person_id) == ("project-1", "hc.ncsa.xsede", "u1")
        assert (row.login, row.active) == ("robin", True)
        [cause] = row.causes
        assert cause.made == ("active", "account", "login")
        assert (cause.packet.packet_type, cause.packet.sender) == ("notify_project_create", "site")
        assert (cause.trans_rec_id, cause.proof, cause.is_adopted) == ("50001", "service", False)
        assert cause.request is not None
        assert (cause.request.packet_rec_id, cause.request.sender) == ("70001", "hub")
        assert cause.request.time == datetime(2026, 1, 20, 9, 30, tzinfo=UTC)
        assert cause.decision is not None
        assert (cause.decision.actor, cause.decision.packet_type) == ("site", "notify_project_create")
        story = {entry.position: entry for entry in engine.history(50_001).entries}
        assert story[cause.packet.position].event == "packet_confirmed"
        assert story[cause.request.position].event == "packet_received"
        assert story[cause.decision.position].event == "packet_decided"
        assert cause.packet.time == story[cause.packet.position].time

    def test_what_is_done_to_its_project_is_done_to_the_account(self, engine: Engine, clock: Clock) -> None:
        whole_project(engine, clock, 1, **personal(1))
        request(engine, "request_project_inactivate", 60_000, ProjectID="project-1")
        row = account(audit(engine, person="u1"))
        assert not row.active
        assert [cause.made for cause in row.causes] == [("active",), ("account", "login")]
        assert row.causes[0].packet.packet_type == "notify_project_inactivate"
        request(engine, "request_project_reactivate", 60_010, ProjectID="project-1")
        found = audit(engine, person="u1")
        assert account(found).active
        assert account(found).causes[0].trans_rec_id == "60010"
        assert transactions(found) == ["50001", "60000", "60010"]
        assert found.transactions == 3
        [project] = found.projects
        assert (project.pi_person_id, project.active, project.accounts) == ("u1", True, 1)
        assert [cause.trans_rec_id for cause in project.causes] == ["60010", "50001"]
        assert project.causes[1].made == ("project", "grant_number", "pi_person_id")

    def test_an_account_that_is_made_inactive_and_again_has_its_newest_cause(
        self, engine: Engine, clock: Clock
    ) -> None:
        take_up(engine, "request_account_create", 1, person="u5", login="sam", project="p1", grant="G1")
        take_up(engine, "request_account_inactivate", 2, person="u5", project="p1")
        take_up(engine, "request_account_inactivate", 3, person="u5", project="p1")
        assert account(audit(engine, person="u5")).causes[0].trans_rec_id == "2"
        take_up(engine, "request_account_create", 4, person="u5", login="sam2", project="p1", grant="G1")
        row = account(audit(engine, person="u5"))
        assert row.login == "sam2"
        assert [(cause.trans_rec_id, cause.made) for cause in row.causes] == [
            ("4", ("active", "login")),
            ("1", ("account",)),
        ]

    def test_an_adopted_packet_was_sent_by_another_tool(self, engine: Engine) -> None:
        take_up(engine, "request_account_create", 1, person="u5", login="sam", project="p1", grant="G1")
        [cause] = account(audit(engine, person="u5")).causes
        assert (cause.is_adopted, cause.proof, cause.decision) == (True, "listing", None)

    def test_what_the_site_began_has_no_request(self, engine: Engine) -> None:
        take_up(engine, "notify_account_create", 1, person="u5", login="sam", project="p1", grant="G1")
        [cause] = account(audit(engine, person="u5")).causes
        assert cause.request is None
        assert cause.packet.packet_type == "notify_account_create"

    def test_what_the_hub_told_comes_with_what_was_answered(self, engine: Engine, clock: Clock) -> None:
        whole_project(engine, clock, 1, **{**personal(1), "PiGlobalID": None})
        data = sample("spec/data_project_create", transaction=50_002, packet=80_002)
        data["body"] |= {"PersonID": "u1", "GlobalID": "global-1", "ProjectID": "project-2"}
        engine.receive(project_request(2, **{**personal(1), "PiGlobalID": None}))
        answer(engine, 50_002, ProjectID="project-2", PiPersonID="u1", PiRemoteSiteLogin="robin")
        send(engine)
        engine.receive(data)
        answer(engine, 50_002)
        [person] = audit(engine, person="global-1").persons
        known, named = person.causes
        assert (known.made, known.trans_rec_id) == (("person",), "50001")
        assert (named.made, named.trans_rec_id) == (("global_id",), "50002")
        assert (named.packet.packet_type, named.packet.sender) == ("data_project_create", "hub")
        assert named.decision is not None
        assert (named.decision.packet_type, named.decision.status) == (
            "inform_transaction_complete",
            "success",
        )

    def test_a_merge_brings_the_account(self, engine: Engine) -> None:
        take_up(
            engine,
            "request_account_create",
            1,
            person="u7",
            login="sam",
            project="p1",
            grant="G1",
            global_id="g7",
        )
        take_up(
            engine, "request_person_merge", 2, person="u1", gone="u7", global_id="g1", gone_global_id="g7"
        )
        row = account(audit(engine, person="u1"))
        assert (row.person_id, row.login) == ("u1", "sam")
        assert [(cause.trans_rec_id, cause.made) for cause in row.causes] == [
            ("1", ("active", "account", "login")),
            ("2", ("person_id",)),
        ]
        gone = audit(engine, person="u1").persons[1]
        assert (gone.person_id, gone.merged_into) == ("u7", "u1")
        assert gone.causes[-1].packet.packet_type == "inform_transaction_complete"
        assert gone.causes[-1].request is not None
        assert gone.causes[-1].request.packet_type == "request_person_merge"

    def test_the_account_of_one_who_was_merged_stays_with_its_own_causes(self, engine: Engine) -> None:
        for trans, person in ((1, "u1"), (2, "u7")):
            take_up(
                engine, "request_account_create", trans, person=person, login=person, project="p1", grant="G1"
            )
        take_up(engine, "request_person_merge", 3, person="u1", gone="u7")
        take_up(engine, "request_account_create", 4, person="u9", login="u9", project="p1", grant="G1")
        found = audit(engine, project="p1")
        assert [(row.person_id, [cause.trans_rec_id for cause in row.causes]) for row in found.accounts] == [
            ("u1", ["1"]),
            ("u7", ["2"]),
            ("u9", ["4"]),
        ]


class TestWhom:
    @pytest.fixture
    def people(self, engine: Engine) -> Engine:
        """Two persons who were merged, one with the same login elsewhere, and a PI."""
        take_up(
            engine,
            "request_project_create",
            1,
            person="u1",
            global_id="g1",
            login="pi",
            project="p1",
            grant="G1",
        )
        take_up(
            engine,
            "request_account_create",
            2,
            person="u2",
            global_id="g2",
            login="sam",
            project="p1",
            grant="G1",
        )
        take_up(
            engine,
            "request_account_create",
            3,
            person="u3",
            global_id="g3",
            login="max",
            project="p1",
            grant="G1",
        )
        take_up(
            engine, "request_person_merge", 4, person="u2", gone="u3", global_id="g2", gone_global_id="g3"
        )
        other = {"person": "u5", "global_id": "g5", "login": "sam", "project": "p2", "grant": "G2"}
        take_up(engine, "request_account_create", 5, **other, resource="r2")
        take_up(engine, "request_account_create", 6, person="u3", login="ann", project="p3", grant="G3")
        take_up(engine, "request_project_inactivate", 7, project="p1", person=None)
        return engine

    @pytest.mark.parametrize("name", ["u2", "u3", "g2", "g3", "ann"])
    def test_persons_who_were_merged_are_one_by_whatever_name(self, people: Engine, name: str) -> None:
        found = audit(people, person=name)
        assert found.person is not None
        assert (found.person.local_ids, found.person.global_ids) == (("u2", "u3"), ("g2", "g3"))
        assert found.person.merged == (("u3", "u2"),)
        assert transactions(found) == ["2", "3", "4", "6", "7"]

    def test_what_named_nobody_and_changed_an_account_of_theirs_is_theirs(self, people: Engine) -> None:
        take_up(people, "request_project_inactivate", 8, project="p1", person=None)  # it changes nothing more
        take_up(people, "request_project_inactivate", 9, project="p2", person=None, resource="r2")
        take_up(people, "request_project_reactivate", 10, project="p1", person=None)  # the PI's account alone
        assert transactions(audit(people, person="u1")) == ["1", "7", "10"]
        assert transactions(audit(people, person="u3")) == ["2", "3", "4", "6", "7"]
        assert transactions(audit(people, person="u5")) == ["5", "9"]
        assert transactions(audit(people, person="u3", project="p3")) == ["6"]
        found = audit(people, person="u3", project="p1", resource="r1")
        assert transactions(found) == ["2", "3", "7"]
        assert found.transactions == 3
        told = people.history(7).entries
        positions = {entry.position for entry in found.entries}
        assert positions >= {entry.position for entry in told}

    def test_a_login_of_several_is_told_of_all_and_says_so(self, people: Engine) -> None:
        found = audit(people, person="sam")
        assert found.person is not None
        assert found.person.several
        assert found.person.local_ids == ("u2", "u3", "u5")
        assert transactions(found) == ["2", "3", "4", "5", "6", "7"]
        assert {row.person_id for row in found.accounts} == {"u2", "u3", "u5"}

    def test_an_id_goes_before_a_login(self, people: Engine) -> None:
        take_up(people, "request_account_create", 8, person="u8", login="u1", project="p1", grant="G1")
        assert transactions(audit(people, person="u1")) == ["1", "7"]
        assert transactions(audit(people, person="u8")) == ["8"]

    def test_local_ids_of_one_global_id_are_one_person(self, people: Engine) -> None:
        take_up(
            people,
            "request_account_create",
            8,
            person="u8",
            global_id="g1",
            login="x",
            project="p1",
            grant="G1",
        )
        found = audit(people, person="u8")
        assert found.person is not None
        assert (found.person.local_ids, found.person.merged) == (("u1", "u8"), ())
        assert transactions(found) == ["1", "7", "8"]

    def test_a_request_that_has_only_their_login_is_theirs(self, people: Engine) -> None:
        packet = sample("spec/request_account_create", transaction=9, packet=90)
        for name in ("UserPersonID", "UserGlobalID"):
            packet["body"].pop(name, None)
        packet["body"] |= {"UserRemoteSiteLogin": "ann", "GrantNumber": "G1", "ResourceList": ["r1"]}
        people.receive(packet)
        assert "9" in transactions(audit(people, person="u2"))

    def test_who_is_in_no_directory_yet_is_found_by_any_name(self, engine: Engine) -> None:
        engine.receive(project_request(1, **personal(1)))
        answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
        for name in ("u1", "global-1", "robin"):
            found = audit(engine, person=name)
            assert found.person is not None
            assert (found.person.known_by, found.persons, found.accounts) == (None, (), ())
            assert transactions(found) == ["50001"]

    @pytest.mark.parametrize(
        "name", ["u", "U2", "u2 ", "2", "u_", "%", "u2\x00", '"u2"', "\ud800", "x" * 5000]
    )
    def test_names_are_compared_to_the_letter(self, people: Engine, name: str) -> None:
        assert audit(people, person=name).is_empty
        assert audit(people, project=name).is_empty

    @pytest.mark.parametrize(
        "name", ["a%b", "a_b", "a!b", 'a"b', "a\\b", 'a\\\\%!_"b', "Zoë", "李", "a'b", "😀", ":name_0"]
    )
    def test_names_may_be_of_any_characters(self, people: Engine, name: str) -> None:
        take_up(people, "request_account_create", 8, person=name, login="x", project=f"p{name}", grant="G9")
        take_up(people, "request_account_create", 9, person="aXb", login="y", project="paXb", grant="G9")
        assert transactions(audit(people, person=name)) == ["8"]
        assert transactions(audit(people, project=f"p{name}")) == ["8"]

    @pytest.mark.parametrize("value", [7, 70, 1.5, True])
    def test_an_id_that_is_no_text_on_the_wire_is_found_as_text(self, people: Engine, value: Any) -> None:
        take_up(people, "request_user_modify", 8, person=value)
        take_up(people, "request_account_create", 9, person=value, login="x", project=value, grant="G8")
        assert transactions(audit(people, person=str(value))) == ["8", "9"]
        assert transactions(audit(people, project=str(value))) == ["9"]

    def test_a_held_packet_and_a_conflict_are_found_in_their_documents(self, people: Engine) -> None:
        data = sample("spec/data_project_create", transaction=20, packet=200)
        people.receive({**data, "body": {"PersonID": "u2", "ProjectID": "p1", "DnList": []}})
        other = history("request_account_create", 5, person="u1", global_id="g1", grant="G2")["DATA"][0]
        assert people.receive(other).kind == "conflict"
        assert transactions(audit(people, person="u2"))[-1] == "20"
        assert transactions(audit(people, person="u1")) == ["1", "5", "7"]


class TestWhat:
    @pytest.fixture
    def projects(self, engine: Engine) -> Engine:
        for trans, project, grant, resource in (
            (1, "p1", "G1", "r1"),
            (2, "p2", "G1", "r2"),
            (3, "p3", "G2", "r1"),
        ):
            names = {"person": f"u{trans}", "login": f"u{trans}", "project": project, "grant": grant}
            take_up(engine, "request_project_create", trans, **names, resource=resource)
        take_up(engine, "request_account_create", 4, person="u9", login="u9", project="p1", grant="G1")
        take_up(engine, "request_project_inactivate", 5, project="p2", resource="r2")
        take_up(engine, "request_account_inactivate", 6, project="p1", person="u9")
        return engine

    def test_a_grant_has_its_projects_and_what_is_done_to_them(self, projects: Engine) -> None:
        found = audit(projects, grant="G1")
        assert [(row.project_id, row.active) for row in found.projects] == [("p1", True), ("p2", False)]
        assert [(row.accounts, row.active_accounts) for row in found.projects] == [(2, 1), (1, 0)]
        assert (found.accounts, found.persons) == ((), ())
        assert transactions(found) == ["1", "2", "4", "5", "6"]

    def test_a_project_has_its_accounts(self, projects: Engine) -> None:
        found = audit(projects, project="p1")
        assert [(row.person_id, row.active) for row in found.accounts] == [("u1", True), ("u9", False)]
        assert transactions(found) == ["1", "4", "6"]

    def test_a_resource_has_its_projects(self, projects: Engine) -> None:
        found = audit(projects, resource="r1")
        assert [row.project_id for row in found.projects] == ["p1", "p3"]
        assert transactions(found) == ["1", "3", "4", "6"]

    @pytest.mark.parametrize(
        ("asked", "listed", "rows"),
        [
            ({"grant": "G1", "resource": "r1"}, ["1", "4", "6"], ["p1"]),
            ({"grant": "G1", "project": "p2"}, ["2", "5"], ["p2"]),
            ({"person": "u9", "project": "p1"}, ["4", "6"], ["p1"]),
            ({"person": "u9", "grant": "G1", "resource": "r1"}, ["4", "6"], ["p1"]),
            ({"person": "u9", "resource": "r2"}, [], []),
            ({"person": "u9", "grant": "G2"}, [], []),
        ],
    )
    def test_of_several_all_must_hold(
        self, projects: Engine, asked: dict[str, str], listed: list[str], rows: list[str]
    ) -> None:
        found = about(projects, asked)
        assert transactions(found) == listed
        assert [row.project_id for row in found.projects] == rows
        assert found.differences == ()

    def test_nothing_is_found_of_nothing(self, projects: Engine) -> None:
        for asked in ("grant", "person", "project", "resource"):
            assert about(projects, {asked: "nothing"}).is_empty
        with pytest.raises(ValueError, match="Name a grant"):
            audit(projects)

    def test_another_site_s_are_none_of_ours(self, projects: Engine) -> None:
        with Engine(str(projects.database.engine.url), site="PSC") as other:
            assert audit(other, project="p1").is_empty


class TestTheList:
    def test_it_has_every_event_of_the_transactions_as_their_histories_tell_them(self, busy: Engine) -> None:
        found = audit(busy, project="project-1")
        told: dict[int, StoryEntry] = {}
        for transaction in busy.transactions():
            told |= {entry.position: entry for entry in busy.history(transaction.stream).entries}
        listed = {entry.position: entry for entry in found.entries}
        streams = {entry.stream for entry in found.entries}
        every = [event for event in busy.log.whole.events() if event.stream in streams]
        assert sorted(listed) == [event.position for event in every]
        assert [entry.position for entry in found.entries] == sorted(listed)
        for position, entry in listed.items():
            story = told[position]
            assert (entry.time, entry.sentence, entry.state) == (story.time, story.sentence, story.state)
            assert (entry.who, entry.actor, entry.event) == (story.who, story.actor, story.event)

    def test_times_limit_it_and_nothing_else(self, busy: Engine) -> None:
        every = audit(busy, project="project-1")
        times = sorted({entry.time for entry in every.entries})
        since, until = times[len(times) // 3], times[2 * len(times) // 3]
        some = audit(busy, project="project-1", since=since, until=until)
        assert some.entries == tuple(entry for entry in every.entries if since <= entry.time <= until)
        assert len(every.entries) > len(some.entries) > 0
        assert (some.accounts, some.projects) == (every.accounts, every.projects)
        assert some.transactions == every.transactions
        naive = audit(busy, project="project-1", since=since.replace(tzinfo=None))
        assert naive.entries == tuple(entry for entry in every.entries if entry.time >= since)
        late = audit(busy, project="project-1", since=times[-1] + timedelta(seconds=1))
        assert (late.entries, late.is_empty) == ((), False)

    @pytest.mark.parametrize(
        "asked", [{"project": "project-1"}, {"person": "u1"}, {"resource": "hc.ncsa.xsede"}]
    )
    def test_it_is_the_same_however_the_log_is_read(
        self, busy: Engine, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = about(busy, asked)
        assert len(found.entries) > 10
        for name, value in (("WINDOW", 7), ("_FEW", 0), ("MOST_PATTERNS", 0)):
            monkeypatch.setattr(finding, name, value)
            assert about(busy, asked) == found

    def test_what_is_in_quarantine_of_these_transactions_is_named(self, busy: Engine) -> None:
        merge = sample("spec/request_person_merge", transaction=50_001, packet=99_999)
        outcome = busy.receive(merge)
        assert outcome.kind == "quarantined"
        assert audit(busy, project="project-1").quarantined == (outcome.quarantine_id,)
        assert audit(busy, project="project-2").quarantined == ()


class TestTheCrossCheck:
    def test_of_a_log_that_nobody_touched_nothing_differs(self, busy: Engine, bare: Connect) -> None:
        connection = bare()
        for table, column, asked in (
            ("persons", "person_id", "person"),
            ("persons", "global_id", "person"),
            ("projects", "project_id", "project"),
            ("projects", "grant_number", "grant"),
            ("projects", "resource", "resource"),
        ):
            names = connection.execute(
                f"SELECT DISTINCT {column} FROM amie_directory_{table} WHERE {column} IS NOT NULL"
            ).fetchall()
            assert names
            for (name,) in names:
                found = about(busy, {asked: name})
                assert found.differences == ()
                rows: list[DirectoryRow] = [*found.persons, *found.projects, *found.accounts]
                assert all(row.causes for row in rows)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE amie_directory_accounts SET active = 0 WHERE project_id = 'project-2'",
            "UPDATE amie_directory_accounts SET login = 'other' WHERE project_id = 'project-2'",
            "UPDATE amie_directory_projects SET pi_person_id = 'u99' WHERE project_id = 'project-2'",
            "DELETE FROM amie_directory_accounts WHERE project_id = 'project-2'",
            "INSERT INTO amie_directory_accounts"
            " VALUES ('access', 'NCSA', 'project-2', 'hc.ncsa.xsede', 'u99', 'x', 1)",
        ],
    )
    def test_a_row_that_no_event_made_so_is_told_of(self, busy: Engine, bare: Connect, change: str) -> None:
        assert audit(busy, project="project-2").differences == ()
        assert bare().execute(change).rowcount == 1
        [difference] = audit(busy, project="project-2").differences
        assert "project-2 hc.ncsa.xsede" in difference
        assert "the directory says" in difference

    def test_a_row_that_no_event_made_has_no_cause(self, busy: Engine, bare: Connect) -> None:
        bare().execute(
            "INSERT INTO amie_directory_projects VALUES ('access', 'NCSA', 'p99', 'r99', NULL, NULL, 1)"
        )
        found = audit(busy, project="p99")
        assert found.projects == (ProjectRow("p99", "r99", None, None, True, 0, 0),)
        assert found.differences == (
            "project p99 r99: the directory says none, none, active, the events say nothing",
        )
        assert not found.is_empty


def test_a_cause_holds_nothing_personal(engine: Engine, clock: Clock) -> None:
    whole_project(engine, clock, 1, **personal(1))
    found = audit(engine, person="u1")
    assert all(isinstance(cause, Cause) for row in found.accounts for cause in row.causes)
    told = repr(found)
    for name in ("Firstname1", "Lastname1", "mail1", "Certificate1"):
        assert name not in told
