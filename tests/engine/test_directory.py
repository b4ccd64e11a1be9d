"""What the directory has learned from confirmed packets, and what drafts are filled with from it."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine
from tests.engine.courses import forget_document, rows_of
from tests.engine.playing import (
    complete_project,
    dpc,
    filled,
    history_of,
    inform,
    npc,
    rac,
    request,
    rpc,
    sample,
    send,
    state_of,
)

RESOURCE = "hc.ncsa.xsede"
ACCOUNT = {"GrantNumber": "AST040002", "ResourceList": [RESOURCE], "ProjectID": None, "UserPersonID": None}


def answer(engine: Engine, trans: int, **values: Any) -> None:
    engine.reply(trans, filled(engine, trans, **values))
    send(engine)


def account(engine: Engine, trans: int, **body: Any) -> None:
    """Add an account, up to the reply that the service accepts."""
    engine.receive(rac(trans, trans * 10, body={**ACCOUNT, **body}))
    person = body.get("person", f"u{trans}")
    answer(engine, trans, UserPersonID=person, UserRemoteSiteLogin=f"login{trans}")


def change(engine: Engine, name: str, trans: int, **body: Any) -> None:
    """Play one of the hub's short requests to its end."""
    document = request(name, trans, trans * 10)
    document["body"] |= {"ResourceList": [RESOURCE], **body}
    engine.receive(document)
    answer(engine, trans)
    if engine.expected_reply(trans).turn == "hub":
        engine.receive(inform(trans, trans * 10 + 3))


def accounts(engine: Engine) -> dict[str, int]:
    rows = rows_of(engine, "SELECT person_id, active FROM amie_directory_accounts ORDER BY person_id")
    return dict(rows)


@pytest.fixture
def project(engine: Engine) -> Engine:
    """A log in which the project p1 of the grant AST040002 is complete."""
    complete_project(engine, 1, 10, PiGlobalID="70", PiPersonID=None, ProjectID=None)
    return engine


class TestDrafts:
    @pytest.mark.parametrize(
        ("name", "missing"),
        [
            ("request_project_create", ("PiPersonID", "PiRemoteSiteLogin", "ProjectID")),
            ("request_account_create", ("ProjectID", "UserPersonID", "UserRemoteSiteLogin")),
            ("request_project_inactivate", ()),
            ("request_project_reactivate", ()),
            ("request_account_inactivate", ()),
            ("request_account_reactivate", ()),
            ("request_user_modify.replace", ()),
            ("request_person_merge", ()),
        ],
    )
    def test_what_is_missing_is_what_only_the_site_can_say(
        self, engine: Engine, name: str, missing: tuple[str, ...]
    ) -> None:
        document = request(name)
        for field in ("ProjectID", "PiPersonID", "UserPersonID", "UserRemoteSiteLogin"):
            if name.endswith("_create"):
                document["body"].pop(field, None)
        engine.receive(document)
        due = engine.expected_reply(1)
        assert due.missing == missing
        answer(engine, 1, **dict.fromkeys(missing, "x"))
        assert state_of(engine) in ("notified", "completed")

    @pytest.mark.parametrize("kind", ["project", "account"])
    def test_a_data_packet_is_confirmed_as_it_is(self, engine: Engine, kind: str) -> None:
        engine.receive(request(f"request_{kind}_create"))
        answer(engine, 1, **dict.fromkeys(engine.expected_reply(1).missing, "x"))
        engine.receive(request(f"data_{kind}_create", rec=12))
        due = engine.expected_reply(1)
        assert (due.packet_types, due.missing) == (("inform_transaction_complete",), ())
        assert due.packet is not None
        assert due.packet.as_dict()["body"] == {"StatusCode": "Success", "DetailCode": "1", "Message": "OK"}

    def test_a_request_that_lacks_what_a_reply_repeats_leaves_that_to_the_site(self, engine: Engine) -> None:
        engine.receive(rpc(body={"PfosNumber": "", "GrantNumber": None}))
        assert {"PfosNumber", "GrantNumber"} <= set(engine.expected_reply(1).missing)

    def test_of_an_erased_request_the_facts_are_left(self, engine: Engine) -> None:
        engine.receive(rpc())
        forget_document(engine, 1, "10", "packet_received")
        due = engine.expected_reply(1)
        assert due.request is not None
        assert due.request.as_dict()["body"].get("PiLastName") is None
        assert due.missing == ("PiRemoteSiteLogin",)
        answer(engine, 1, PiRemoteSiteLogin="rex")
        assert state_of(engine) == "notified"

    def test_it_is_the_caller_s_own(self, engine: Engine) -> None:
        engine.receive(rpc())
        before = filled(engine, 1).as_dict()["body"]["ResourceList"]
        filled(engine, 1)._body_value("ResourceList").append("another.example")
        assert filled(engine, 1).as_dict()["body"]["ResourceList"] == before


class TestGrants:
    def test_a_request_without_a_project_finds_it_by_its_grant(self, project: Engine) -> None:
        project.receive(rac(2, 20, body=ACCOUNT))
        assert filled(project, 2).as_dict()["body"]["ProjectID"] == "p1"
        assert "ProjectID" not in project.expected_reply(2).missing

    def test_the_project_on_the_same_resource_comes_first(self, project: Engine) -> None:
        project.receive(rpc(2, 20, body={"ResourceList": ["other.example"], "ProjectID": None}))
        answer(project, 2, ProjectID="a2", PiPersonID="u42", PiRemoteSiteLogin="rex")
        asked = ((3, RESOURCE, "p1"), (4, "other.example", "a2"), (5, "third.example", "a2"))
        for trans, resource, expected in asked:
            project.receive(rac(trans, trans * 10, body={**ACCOUNT, "ResourceList": [resource]}))
            assert filled(project, trans).as_dict()["body"]["ProjectID"] == expected

    def test_what_is_only_decided_is_not_agreed(self, engine: Engine) -> None:
        engine.receive(rpc(body={"ProjectID": None}))
        engine.reply(1, filled(engine, 1, ProjectID="p1", PiPersonID="u42", PiRemoteSiteLogin="rex"))
        engine.receive(rac(2, 20, body=ACCOUNT))
        assert "ProjectID" in engine.expected_reply(2).missing

    def test_a_project_older_than_the_log_is_learned_from_an_account(self, engine: Engine) -> None:
        account(engine, 2, ProjectID="old")
        engine.receive(rac(3, 30, body=ACCOUNT))
        assert filled(engine, 3).as_dict()["body"]["ProjectID"] == "old"

    def test_it_is_learned_from_an_adopted_history_too(self, engine: Engine) -> None:
        engine.adopt(history_of(rpc(), npc(body={"ProjectID": "theirs", "ResourceList": [RESOURCE]}), dpc()))
        engine.receive(rac(2, 20, body=ACCOUNT))
        assert filled(engine, 2).as_dict()["body"]["ProjectID"] == "theirs"

    def test_an_object_for_an_id_is_none(self, engine: Engine) -> None:
        asked = rpc(body={"ProjectID": None})
        engine.adopt(history_of(asked, npc(body={"ProjectID": {"odd": 1}, "PiPersonID": ["x"]}), dpc()))
        assert rows_of(engine, "SELECT project_id FROM amie_directory_projects") == []


class TestPersons:
    def test_a_person_is_known_by_the_global_id_and_the_login_by_the_resource(self, project: Engine) -> None:
        project.receive(rac(2, 20, body={**ACCOUNT, "UserGlobalID": "70"}))
        body = filled(project, 2).as_dict()["body"]
        assert (body["UserPersonID"], body["UserRemoteSiteLogin"]) == ("u42", "rex")
        assert project.expected_reply(2).missing == ()
        project.receive(rac(3, 30, body={**ACCOUNT, "UserGlobalID": "70", "ResourceList": ["other.example"]}))
        assert project.expected_reply(3).missing == ("UserRemoteSiteLogin",)

    def test_the_data_packet_s_global_id_counts(self, engine: Engine) -> None:
        engine.receive(rpc(body={"PiGlobalID": None, "PiPersonID": None, "ProjectID": None}))
        answer(engine, 1, ProjectID="p1", PiPersonID="u42", PiRemoteSiteLogin="rex")
        engine.receive(dpc(body={"PersonID": "u42", "GlobalID": "70"}))
        engine.receive(rac(2, 20, body={**ACCOUNT, "UserGlobalID": "70"}))
        assert filled(engine, 2).as_dict()["body"]["UserPersonID"] == "u42"

    @pytest.mark.parametrize(
        "merges",
        [
            pytest.param((("u2", "u3"), ("u3", "u42")), id="one after the other"),
            pytest.param((("u3", "u42"), ("u2", "u3")), id="into one that was merged before"),
            pytest.param((("u2", "u42"), ("u42", "u3"), ("u3", "u42")), id="and back again"),
        ],
    )
    def test_after_merges_it_is_the_one_that_is_left(
        self, project: Engine, merges: tuple[tuple[str, str], ...]
    ) -> None:
        for trans, person in ((2, "71"), (3, "72")):
            account(project, trans, UserGlobalID=person)
        for trans, (gone, keep) in enumerate(merges, 4):
            document = request("request_person_merge", trans, trans * 10)
            ids = {"u2": "71", "u3": "72", "u42": "70"}
            document["body"] = {
                "KeepPersonID": keep,
                "KeepGlobalID": ids[keep],
                "DeletePersonID": gone,
                "DeleteGlobalID": ids[gone],
            }
            project.receive(document)
            answer(project, trans)
        for trans, person in ((7, "70"), (8, "71"), (9, "72")):
            project.receive(rac(trans, trans * 10, body={**ACCOUNT, "UserGlobalID": person}))
            assert filled(project, trans).as_dict()["body"]["UserPersonID"] == "u42"
        assert accounts(project) == {
            "u2": 1,
            "u3": 1,
            "u42": 1,
        }  # what the site does with them, it does not say

    def test_a_merge_of_two_who_have_an_account_each_keeps_both_and_both_become_inactive(
        self, project: Engine
    ) -> None:
        account(project, 2, UserGlobalID="71")
        document = request("request_person_merge", 4, 40)
        document["body"] |= {"KeepPersonID": "u42", "DeletePersonID": "u2"}
        project.receive(document)
        answer(project, 4)
        assert accounts(project) == {"u2": 1, "u42": 1}
        for trans, what, active in ((5, "inactivate", 0), (6, "reactivate", 1)):
            change(project, f"request_account_{what}", trans, PersonID="u42", ProjectID="p1")
            assert accounts(project) == {"u2": 0, "u42": active}  # the one that the hub means comes back

    def test_a_merge_that_we_failed_merges_nothing(self, project: Engine) -> None:
        account(project, 2, UserGlobalID="71")
        document = request("request_person_merge", 4, 40)
        document["body"] |= {"KeepPersonID": "u42", "DeletePersonID": "u2"}
        project.receive(document)
        asked = project.expected_reply(4).request
        assert asked is not None
        project.reply(4, asked.reply_with_failure())
        send(project)
        assert accounts(project) == {"u2": 1, "u42": 1}


class TestActivity:
    def test_a_project_ends_with_its_accounts_and_returns_with_the_pi_s(self, project: Engine) -> None:
        account(project, 2)
        change(project, "request_project_inactivate", 3, ProjectID="p1")
        assert accounts(project) == {"u2": 0, "u42": 0}
        change(project, "request_project_reactivate", 4, ProjectID="p1")
        assert accounts(project) == {"u2": 0, "u42": 1}

    def test_who_joins_an_inactive_project_is_inactive(self, project: Engine) -> None:
        change(project, "request_project_inactivate", 3, ProjectID="p1")
        account(project, 4)
        assert accounts(project) == {"u4": 0, "u42": 0}

    def test_a_new_allocation_brings_project_and_pi_back(self, project: Engine) -> None:
        account(project, 2)
        change(project, "request_project_inactivate", 3, ProjectID="p1")
        project.receive(rpc(4, 40, body={"RecordID": "renewal", "PiPersonID": "u42", "ProjectID": "p1"}))
        answer(project, 4)
        assert accounts(project) == {"u2": 0, "u42": 1}
        assert rows_of(project, "SELECT project_id, active FROM amie_directory_projects") == [("p1", 1)]

    def test_an_account_s_end_is_its_own(self, project: Engine) -> None:
        account(project, 2)
        change(project, "request_account_inactivate", 3, ProjectID="p1", PersonID="u2")
        assert accounts(project) == {"u2": 0, "u42": 1}
        change(project, "request_account_reactivate", 4, ProjectID="p1", PersonID="u2")
        assert accounts(project) == {"u2": 1, "u42": 1}

    def test_another_hub_s_projects_are_another_s(self, project: Engine) -> None:
        other = Engine(project.database.engine, site="NCSA", hub="test", clock=project.now)
        other.receive(sample("spec/request_account_create", body=ACCOUNT))
        assert "ProjectID" in other.expected_reply(other.transactions()[0].stream).missing
