"""The four official scenarios, driven to their end over a real socket, and single requests."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from amie_engine.packet import Packet
from amie_engine.sandbox import OFFICIAL_SCENARIOS, REQUEST_TYPES, Sandbox
from amie_engine.testing import Clock

from .scripted_site import Document, ScriptedSite, failure, reply_to

RESOURCES = ["delta.ncsa.access-ci.org", "omega.ncsa.access-ci.org"]

REQUESTS = {
    "request_project_reactivate": [
        "request_project_create",
        "request_project_inactivate",
        "request_project_reactivate",
    ],
    "request_account_reactivate": [
        "request_project_create",
        "request_account_create",
        "request_account_inactivate",
        "request_account_create",
    ],
    "request_person_merge": [
        "request_project_create",
        "request_account_create",
        "request_account_create",
        "request_person_merge",
    ],
    "request_user_modify": ["request_project_create", "request_user_modify", "request_user_modify"],
}


def chains_of(sandbox: Sandbox, packets: list[Document]) -> dict[str, list[Document]]:
    """The requests for each resource, in order."""
    requests = {packet["header"]["trans_rec_id"]: packet for packet in packets if "request" in packet["type"]}
    chains: dict[str, list[Document]] = defaultdict(list)
    for progress in sandbox.scenarios():
        chains[progress.resource] += [requests[number] for number in progress.trans_rec_ids]
    return dict(chains)


def run(site: ScriptedSite, sandbox: Sandbox, scenario: str) -> dict[str, list[Document]]:
    site.start(scenario)
    return chains_of(sandbox, site.work())


@pytest.mark.parametrize("scenario", REQUESTS)
def test_a_scenario_runs_to_its_end_on_every_resource(
    site: ScriptedSite, sandbox: Sandbox, scenario: str
) -> None:
    chains = run(site, sandbox, scenario)
    assert list(chains) == RESOURCES
    for resource, requests in chains.items():
        assert [request["type"] for request in requests] == REQUESTS[scenario]
        assert requests[0]["body"]["ResourceList"] == [resource]
    assert {entry.state for entry in sandbox.transactions()} == {"completed"}
    assert {progress.state for progress in sandbox.scenarios()} == {"completed"}
    assert sandbox.idle
    assert site.packets() == []


@pytest.mark.parametrize("scenario", REQUESTS)
def test_what_the_hub_sends_is_valid_and_only_has_documented_items(
    site: ScriptedSite, sandbox: Sandbox, scenario: str
) -> None:
    site.start(scenario)
    packets = site.work()
    assert packets
    for document in packets:
        packet = Packet.from_dict(document)
        packet.validate_data(raise_on_invalid=True)
        assert set(document["body"]) <= set(packet._fields)


def test_the_next_request_comes_when_the_transaction_before_it_has_completed(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    site.start("request_project_reactivate")
    for kind in ("request_project_create", "data_project_create", "request_project_inactivate"):
        packets = [packet for packet in site.packets(incoming="true") if "inform" not in packet["type"]]
        assert [packet["type"] for packet in packets] == [kind, kind]
        for packet in packets:
            site.send(reply_to(packet) or {}, packet["header"]["packet_rec_id"])


def test_a_project_keeps_the_id_that_the_site_gave_it(site: ScriptedSite, sandbox: Sandbox) -> None:
    for requests in run(site, sandbox, "request_project_reactivate").values():
        create, inactivate, reactivate = (request["body"] for request in requests)
        assert "ProjectID" not in create
        for body in (inactivate, reactivate):
            assert body["ProjectID"] == f"p-{create['GrantNumber']}"
            assert body["GrantNumber"] == create["GrantNumber"]
            assert body["ResourceList"] == create["ResourceList"]


def test_an_account_is_reactivated_by_the_same_request_as_it_was_made(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    for requests in run(site, sandbox, "request_account_reactivate").values():
        _, first, inactivate, second = (request["body"] for request in requests)
        assert "UserPersonID" not in first
        assert second["UserGlobalID"] == first["UserGlobalID"]
        assert second["UserPersonID"] == inactivate["PersonID"] == f"id-{first['UserGlobalID']}"
        assert second["ProjectID"] == inactivate["ProjectID"] == first["ProjectID"]
        assert second["UserRemoteSiteLogin"] in first["UserRequestedLoginList"]


def test_the_persons_to_merge_have_the_ids_that_the_site_gave_them(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    for requests in run(site, sandbox, "request_person_merge").values():
        _, keep, delete, merge = (request["body"] for request in requests)
        assert merge["KeepGlobalID"] == keep["UserGlobalID"]
        assert merge["DeleteGlobalID"] == delete["UserGlobalID"]
        assert merge["KeepPersonID"] == f"id-{keep['UserGlobalID']}"
        assert merge["DeletePersonID"] == f"id-{delete['UserGlobalID']}"


def test_a_user_is_modified_by_deleting_a_dn_and_replacing_everything(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    for requests in run(site, sandbox, "request_user_modify").values():
        create, delete, replace = (request["body"] for request in requests)
        assert set(delete) == {"ActionType", "DnList", "PersonID"}
        assert delete["ActionType"] == "delete"
        assert delete["PersonID"] == replace["PersonID"] == f"id-{create['PiGlobalID']}"
        (deleted,) = delete["DnList"]
        assert deleted in create["PiDnList"]
        assert replace["ActionType"] == "replace"
        assert deleted not in replace["DnList"]
        assert set(replace["DnList"]) - set(create["PiDnList"])
        assert replace["Department"] != create["PiDepartment"]
        assert replace["LastName"] == create["PiLastName"]
        assert replace["AcademicDegree"] == create["AcademicDegree"]


def test_the_hubs_data_packets_bring_a_new_dn(site: ScriptedSite, sandbox: Sandbox) -> None:
    site.start("request_account_reactivate")
    packets = site.work()
    by_transaction = defaultdict(list)
    for packet in packets:
        by_transaction[packet["header"]["trans_rec_id"]].append(packet)
    for conversation in by_transaction.values():
        if conversation[-1]["type"] not in ("data_project_create", "data_account_create"):
            continue
        request, data = (packet["body"] for packet in conversation)
        prefix = "Pi" if "PiGlobalID" in request else "User"
        assert set(data) == {"DnList", "GlobalID", "PersonID", "ProjectID"}
        assert data["GlobalID"] == request[f"{prefix}GlobalID"]
        assert data["PersonID"] == f"id-{data['GlobalID']}"
        assert data["ProjectID"] == f"p-{request['GrantNumber']}"
        assert set(request[f"{prefix}DnList"]) < set(data["DnList"])


def test_when_a_transaction_fails_its_chain_ends_and_the_other_goes_on(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    def fail_on_the_first_resource(packet: Document) -> Document | None:
        if packet["type"] == "request_project_inactivate" and packet["body"]["ResourceList"] == RESOURCES[:1]:
            return failure()
        return reply_to(packet)

    site.start("request_project_reactivate")
    site.work(fail_on_the_first_resource)
    failed, completed = sandbox.scenarios()
    assert (failed.resource, failed.state, len(failed.trans_rec_ids)) == (RESOURCES[0], "failed", 2)
    assert (completed.resource, completed.state, len(completed.trans_rec_ids)) == (
        RESOURCES[1],
        "completed",
        3,
    )
    states = {entry.trans_rec_id: entry.state for entry in sandbox.transactions()}
    assert states[failed.trans_rec_ids[-1]] == "failed"
    assert sorted(states.values()) == ["completed"] * 4 + ["failed"]
    assert sandbox.idle


@pytest.mark.parametrize("kind", REQUEST_TYPES)
def test_a_single_request_of_any_type_comes_even_to_a_hub_that_knows_nothing(
    site: ScriptedSite, sandbox: Sandbox, kind: str
) -> None:
    site.start(f"single:{kind}")
    (packet,) = site.packets()
    assert packet["type"] == kind
    Packet.from_dict(packet).validate_data(raise_on_invalid=True)
    site.work()
    assert sandbox.idle
    assert [(entry.type, entry.state) for entry in sandbox.transactions()] == [(kind, "completed")]


@pytest.mark.parametrize("kind", [kind for kind in REQUEST_TYPES if kind not in OFFICIAL_SCENARIOS])
def test_a_type_that_names_no_scenario_asks_for_one_request(site: ScriptedSite, kind: str) -> None:
    site.start(kind)
    (packet,) = site.packets()
    assert packet["type"] == kind


def test_single_requests_are_about_what_the_site_has(site: ScriptedSite, sandbox: Sandbox) -> None:
    def single(kind: str) -> dict[str, Any]:
        site.start(f"single:{kind}")
        (request, *_) = site.work()
        return dict(request["body"])

    create = single("request_project_create")
    project_id = f"p-{create['GrantNumber']}"
    user = single("request_account_create")
    assert (user["ProjectID"], user["GrantNumber"]) == (project_id, create["GrantNumber"])
    for kind in ("request_account_inactivate", "request_account_reactivate"):
        account = single(kind)
        assert account["PersonID"] == f"id-{user['UserGlobalID']}"
        assert account["ProjectID"] == project_id
        assert account["GrantNumber"] == create["GrantNumber"]
    for kind in ("request_project_inactivate", "request_project_reactivate"):
        assert single(kind)["ProjectID"] == project_id
    assert single("request_user_modify")["PersonID"] == f"id-{user['UserGlobalID']}"
    merge = single("request_person_merge")
    assert merge["KeepPersonID"] == f"id-{user['UserGlobalID']}"
    assert merge["DeletePersonID"] == f"id-{create['PiGlobalID']}"
    # Merged, the one person has the ids of both, and the other is no more.
    assert single("request_user_modify")["PersonID"] == f"id-{user['UserGlobalID']}"
    again = single("request_person_merge")
    assert create["PiGlobalID"] not in (again["KeepGlobalID"], again["DeleteGlobalID"])


def test_without_a_known_project_an_account_is_asked_for_by_grant_alone(site: ScriptedSite) -> None:
    site.start("single:request_account_create")
    (packet,) = site.packets()
    assert "ProjectID" not in packet["body"]
    assert packet["body"]["GrantNumber"]


def drive(sandbox: Sandbox, scenario: str) -> None:
    sandbox.start_scenario(scenario)
    while packets := sandbox.list_packets():
        for packet in packets:
            reply = reply_to(packet)
            if reply is not None:
                sandbox.post(reply, packet["header"]["packet_rec_id"])


def documents(sandbox: Sandbox) -> str:
    return json.dumps([sandbox.transaction(entry.trans_rec_id) for entry in sandbox.transactions()])


def test_the_same_seed_and_calls_make_the_same_documents(clock: Clock) -> None:
    def told(seed: int) -> str:
        sandbox = Sandbox(seed=seed, clock=clock)
        for scenario in REQUESTS:
            drive(sandbox, scenario)
        sandbox.reset()
        drive(sandbox, "single:request_person_merge")
        drive(sandbox, "request_user_modify")
        return documents(sandbox)

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_after_a_reset_ids_go_on_increasing(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    drive(sandbox, "request_user_modify")
    last = sandbox.transactions()[-1]
    newest = sandbox.transaction(last.trans_rec_id)["DATA"][-1]["header"]["packet_rec_id"]
    sandbox.reset()
    sandbox.start_scenario("request_user_modify")
    packet, _ = sandbox.list_packets()
    assert packet["header"]["trans_rec_id"] > last.trans_rec_id
    assert packet["header"]["packet_rec_id"] > newest
    assert "PiPersonID" not in packet["body"]


def test_the_sites_own_resources_are_used(clock: Clock) -> None:
    sandbox = Sandbox("PSC", resources=["bridges.psc.example"], clock=clock)
    drive(sandbox, "request_user_modify")
    (progress,) = sandbox.scenarios()
    assert progress.resource == "bridges.psc.example"
