"""The nine transactions that a site begins."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine.packet import Packet
from amie_engine.protocol import TRANSACTION_TYPES, Party
from amie_engine.sandbox import Sandbox

from .scripted_site import ScriptedSite, sample, success

FIRST_PACKETS = [
    "notify_project_create.originating",
    "notify_account_create.originating",
    "notify_project_inactivate.originating",
    "notify_project_reactivate.originating",
    "notify_account_inactivate.originating",
    "notify_account_reactivate.originating",
    "notify_user_modify.add",
    "notify_user_modify.replace",
    "notify_user_modify.delete",
    "notify_person_duplicate",
    "notify_person_ids",
]


def first_packet(name: str) -> dict[str, Any]:
    document = sample(f"spec/{name}")
    if name == "notify_user_modify.replace":
        document["body"].pop("DnList", None)
    return {"type": document["type"], "body": document["body"]}


def test_the_samples_are_of_all_nine_types() -> None:
    types = {name.partition(".")[0] for name in FIRST_PACKETS}
    assert types == {name for name, kind in TRANSACTION_TYPES.items() if kind.originator is Party.SITE}


@pytest.mark.parametrize("name", FIRST_PACKETS)
def test_the_hub_answers_and_the_transaction_completes(
    site: ScriptedSite, sandbox: Sandbox, name: str
) -> None:
    document = first_packet(name)
    response = site.send(document)
    assert response.status_code == 200, response.text
    header = response.json()["result"]["header"]
    assert header["originating_site_name"] == "NCSA"
    assert (header["outgoing_flag"], header["packet_id"], header["client_state"]) == (0, 1, "in-progress")
    (answer,) = site.packets(incoming="true")
    assert answer["header"]["trans_rec_id"] == header["trans_rec_id"]
    assert answer["header"]["originating_site_name"] == "NCSA"
    assert (answer["header"]["outgoing_flag"], answer["header"]["packet_id"]) == (1, 1)
    Packet.from_dict(answer).validate_data(raise_on_invalid=True)
    body = document["body"]
    if document["type"] in ("notify_project_create", "notify_account_create"):
        assert answer["type"] == document["type"].replace("notify", "data")
        assert answer["body"]["ProjectID"] == body["ProjectID"]
        assert answer["body"]["PersonID"] == body.get("PiPersonID", body.get("UserPersonID"))
        assert answer["body"]["DnList"]
        assert answer["body"]["GlobalID"]
        assert [entry.state for entry in sandbox.transactions()] == ["in-progress"]
        assert site.send(success(), answer["header"]["packet_rec_id"]).status_code == 200
    else:
        assert answer["type"] == "inform_transaction_complete"
        assert answer["header"]["expected_reply_list"] == []
        assert answer["body"]["StatusCode"] == "Success"
    assert [(entry.type, entry.state) for entry in sandbox.transactions()] == [
        (document["type"], "completed")
    ]
    assert sandbox.idle
    assert site.packets() == []


@pytest.mark.parametrize("name", [name for name in FIRST_PACKETS if name != "notify_person_duplicate"])
def test_a_first_packet_carries_all_that_is_required_of_one(
    site: ScriptedSite, sandbox: Sandbox, name: str
) -> None:
    document = first_packet(name)
    fields = Packet._find_packet_type(document["type"])._fields
    required = [field for field in fields if fields[field].originating_required]
    assert required
    for missing in required:
        body = {key: value for key, value in document["body"].items() if key != missing}
        response = site.send({"type": document["type"], "body": body})
        assert response.status_code == 400
        assert f"missing {missing}" in response.json()["message"]
    assert sandbox.transactions() == []


@pytest.mark.parametrize(
    ("kind", "body", "word"),
    [
        ("notify_person_duplicate", {"GlobalID1": "1"}, "GlobalID2 or PersonID2"),
        ("notify_person_duplicate", {"PersonID2": "1"}, "GlobalID1 or PersonID1"),
        ("notify_user_modify", {"PersonID": "u", "ActionType": "rename"}, "ActionType"),
        ("notify_user_modify", {"PersonID": "u", "ActionType": "delete", "LastName": "x"}, "LastName"),
        ("notify_user_modify", {"PersonID": "u", "ActionType": "replace", "DnList": ["/CN=x"]}, "DnList"),
    ],
)
def test_what_amie_forbids_is_refused(site: ScriptedSite, kind: str, body: dict[str, Any], word: str) -> None:
    response = site.send({"type": kind, "body": body})
    assert response.status_code == 400
    assert word in response.json()["message"]


@pytest.mark.parametrize(
    "kind", ["request_project_create", "data_project_create", "inform_transaction_complete"]
)
def test_no_other_packet_begins_a_transaction(site: ScriptedSite, sandbox: Sandbox, kind: str) -> None:
    response = site.send({"type": kind, "body": {}})
    assert response.status_code == 400
    assert "notify_project_create" in response.json()["message"]
    assert sandbox.transactions() == []


def test_the_same_first_packet_twice_begins_two_transactions(site: ScriptedSite, sandbox: Sandbox) -> None:
    # Nothing makes the service's POST idempotent.
    for _ in range(2):
        assert site.send(first_packet("notify_person_duplicate")).status_code == 200
    assert len(sandbox.transactions()) == 2


def test_the_hub_learns_from_what_the_site_tells(site: ScriptedSite) -> None:
    project, account = (
        first_packet(f"notify_{kind}_create.originating")["body"] for kind in ("project", "account")
    )
    account["ResourceList"] = project["ResourceList"]
    account["UserDnList"] = ["/C=US/O=NCSA/CN=Robin Example"]
    site.send({"type": "notify_project_create", "body": project})
    site.send({"type": "notify_account_create", "body": account})
    _, data = site.work()
    assert account["UserDnList"][0] in data["body"]["DnList"]
    assert len(data["body"]["DnList"]) == 2

    site.start("request_account_create")
    (request, _) = site.work(lambda packet: None if "inform" in packet["type"] else reply_with(packet))
    assert request["body"]["ProjectID"] == project["ProjectID"]
    assert request["body"]["GrantNumber"] == project["GrantNumber"]

    ids = {"PersonID": account["UserPersonID"], "PrimaryPersonID": "primary", "PersonIDList": []}
    site.send({"type": "notify_person_ids", "body": ids})
    site.send(
        {
            "type": "notify_user_modify",
            "body": {
                "PersonID": "primary",
                "ActionType": "add",
                "DnList": ["/CN=added"],
                "City": "Addedville",
            },
        }
    )
    site.work()
    site.start("single:request_person_merge")
    (merge,) = site.work()
    assert "primary" in (merge["body"]["KeepPersonID"], merge["body"]["DeletePersonID"])


def reply_with(packet: dict[str, Any]) -> dict[str, Any]:
    if packet["type"] != "request_account_create":
        return success()
    # This person is new to the hub, but the site knows them by another id already.
    ids = {
        "ProjectID": packet["body"]["ProjectID"],
        "UserPersonID": "6751",
        "UserRemoteSiteLogin": "rexample",
    }
    return {"type": "notify_account_create", "body": ids}


def test_inactive_projects_and_accounts_are_asked_back_first(site: ScriptedSite) -> None:
    project = first_packet("notify_project_create.originating")["body"]
    account = first_packet("notify_account_create.originating")["body"] | {
        "ResourceList": project["ResourceList"]
    }
    other = project | {"GrantNumber": "OTH000001", "ProjectID": "other", "RecordID": "other"}
    for kind, body in (("project", project), ("account", account), ("project", other)):
        site.send({"type": f"notify_{kind}_create", "body": body})
    names = {name: project[name] for name in ("ProjectID", "ResourceList", "AccountActivityTime")}
    site.send({"type": "notify_project_inactivate", "body": names})
    site.work()

    site.start("single:request_project_reactivate")
    request, _ = site.work()
    assert request["body"]["ProjectID"] == project["ProjectID"]
    # With the project, only its PI's account became active again.
    site.start("single:request_account_reactivate")
    request, _ = site.work()
    assert request["body"]["PersonID"] == account["UserPersonID"]
    # Now nothing is inactive, and the newest is what is meant.
    site.start("single:request_project_inactivate")
    request, _ = site.work()
    assert request["body"]["ProjectID"] == "other"
