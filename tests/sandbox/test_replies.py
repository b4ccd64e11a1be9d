"""What the service takes as a reply, what it fills in, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from amie_engine.sandbox import Sandbox

from .scripted_site import Document, ScriptedSite, failure, reply_to, success

RESOURCE = "delta.ncsa.access-ci.org"

PROJECT = {"ProjectID": "p1", "PiPersonID": "u1", "PiRemoteSiteLogin": "login1"}
ACCOUNT = {"ProjectID": "p1", "UserPersonID": "u2", "UserRemoteSiteLogin": "login2"}


def request_of(site: ScriptedSite, kind: str) -> Document:
    site.start(f"single:{kind}")
    return site.packets(incoming="true")[-1]


def answer(site: ScriptedSite, request: Document, kind: str, body: dict[str, Any]) -> requests.Response:
    return site.send({"type": kind, "body": body}, request["header"]["packet_rec_id"])


def refused(response: requests.Response, status: int, *words: str) -> None:
    assert response.status_code == status
    message = response.json()["message"]
    for word in words:
        assert word in message


def test_the_shortest_notify_project_create_is_filled_in_from_the_request(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    response = answer(site, request, "notify_project_create", PROJECT)
    assert response.status_code == 200
    body = response.json()["result"]["body"]
    assert {name: body[name] for name in PROJECT} == PROJECT
    for name in (
        "GrantNumber",
        "PfosNumber",
        "PiOrgCode",
        "ProjectTitle",
        "ResourceList",
        "ServiceUnitsAllocated",
        "StartDate",
    ):
        assert body[name] == request["body"][name]


def test_the_shortest_notify_account_create_is_filled_in_with_the_time_too(site: ScriptedSite) -> None:
    request = request_of(site, "request_account_create")
    response = answer(site, request, "notify_account_create", ACCOUNT)
    assert response.status_code == 200
    body = response.json()["result"]["body"]
    assert body["ResourceList"] == request["body"]["ResourceList"]
    assert body["UserLastName"] == request["body"]["UserLastName"]
    assert body["AccountActivityTime"].endswith("+00:00")


@pytest.mark.parametrize("kind", ["project_inactivate", "project_reactivate", "account_inactivate"])
def test_an_empty_notice_repeats_the_request(site: ScriptedSite, kind: str) -> None:
    request = request_of(site, f"request_{kind}")
    response = answer(site, request, f"notify_{kind}", {})
    assert response.status_code == 200
    body = response.json()["result"]["body"]
    assert body["ProjectID"] == request["body"]["ProjectID"]
    assert body["ResourceList"] == request["body"]["ResourceList"]
    if kind == "account_inactivate":
        assert body["PersonID"] == request["body"]["PersonID"]


@pytest.mark.parametrize(
    ("request_type", "reply_type", "body"),
    [
        ("request_project_create", "notify_project_create", PROJECT),
        ("request_account_create", "notify_account_create", ACCOUNT),
        (
            "request_account_reactivate",
            "notify_account_reactivate",
            {"ProjectID": "made-up-1", "PersonID": "u"},
        ),
    ],
)
def test_what_only_the_site_knows_is_never_filled_in(
    site: ScriptedSite, request_type: str, reply_type: str, body: dict[str, str]
) -> None:
    request = request_of(site, request_type)
    refused(answer(site, request, reply_type, {}), 400, reply_type, "missing", *body)
    for name in body:
        for blank in ("", "  ", None):
            refused(answer(site, request, reply_type, {**body, name: blank}), 400, f"missing {name}")
    assert [packet["type"] for packet in site.packets()] == [request_type]


def test_a_first_reply_that_was_refused_leaves_room_for_a_better_one(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    refused(answer(site, request, "notify_project_create", {}), 400)
    assert answer(site, request, "notify_project_create", PROJECT).status_code == 200


@pytest.mark.parametrize(
    ("request_type", "reply_type", "body", "name"),
    [
        (
            "request_project_create",
            "notify_project_create",
            {**PROJECT, "GrantNumber": "XYZ1"},
            "GrantNumber",
        ),
        (
            "request_project_create",
            "notify_project_create",
            {**PROJECT, "ResourceList": ["x"]},
            "ResourceList",
        ),
        (
            "request_account_create",
            "notify_account_create",
            {**ACCOUNT, "ResourceList": ["x"]},
            "ResourceList",
        ),
        ("request_project_inactivate", "notify_project_inactivate", {"ProjectID": "x"}, "ProjectID"),
        ("request_project_reactivate", "notify_project_reactivate", {"ResourceList": ["x"]}, "ResourceList"),
        ("request_account_inactivate", "notify_account_inactivate", {"PersonID": "x"}, "PersonID"),
    ],
)
def test_what_repeats_the_request_must_be_the_requests(
    site: ScriptedSite, request_type: str, reply_type: str, body: dict[str, Any], name: str
) -> None:
    request = request_of(site, request_type)
    refused(answer(site, request, reply_type, body), 400, name)


@pytest.mark.parametrize(
    ("item", "value", "word"),
    [
        ("ResourceList", [RESOURCE, RESOURCE], "ResourceList"),
        ("ResourceList", RESOURCE, "ResourceList"),
        ("AccountActivityTime", "2026-01-15T12:00:00", "AccountActivityTime"),
        ("AccountActivityTime", "now", "AccountActivityTime"),
        ("StartDate", "next week", "StartDate"),
        ("ServiceUnitsAllocated", "many", "ServiceUnitsAllocated"),
        ("PiDnList", "/CN=one", "PiDnList"),
        ("PiDnList", [{"CN": "one"}], "PiDnList"),
        ("AcademicDegree", ["MS"], "AcademicDegree"),
        ("PiTitle", {"#text": "Dr."}, "PiTitle"),
        ("PiHomePhoneExtension", "12", "PiHomePhoneNumber"),
    ],
)
def test_a_value_must_be_of_its_fields_kind(site: ScriptedSite, item: str, value: Any, word: str) -> None:
    request = request_of(site, "request_project_create")
    refused(answer(site, request, "notify_project_create", {**PROJECT, item: value}), 400, word)


def test_numbers_and_unknown_items_are_taken_and_kept_as_text(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    sent = {
        **PROJECT,
        "PiPersonID": 12345,
        "ServiceUnitsAllocated": -1.5,
        "StartDate": "2026-01-15T00:00:00",
        "SiteRemark": {"nested": [1, None, True]},
        "PiMiddleName": None,
        "PiTitle": "",
    }
    response = answer(site, request, "notify_project_create", sent)
    assert response.status_code == 200
    body = response.json()["result"]["body"]
    assert (body["PiPersonID"], body["ServiceUnitsAllocated"]) == ("12345", "-1.5")
    assert body["SiteRemark"] == {"nested": ["1", "1"]}
    assert body["PiTitle"] == ""
    assert "PiMiddleName" not in body
    (data,) = site.packets()
    assert data["body"]["PersonID"] == "12345"


def test_a_second_reply_to_the_same_packet_is_a_conflict(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    first = answer(site, request, "notify_project_create", PROJECT).json()["result"]
    for body in (PROJECT, {**PROJECT, "ProjectID": "other"}):
        response = answer(site, request, "notify_project_create", body)
        refused(response, 409, "answered already", str(first["header"]["packet_rec_id"]))
    refused(site.send(failure(), request["header"]["packet_rec_id"]), 409, "answered already")
    site.work()
    refused(answer(site, request, "notify_project_create", PROJECT), 409, "answered already")


def test_of_many_replies_at_once_one_is_taken(site: ScriptedSite, sandbox: Sandbox) -> None:
    number = request_of(site, "request_project_create")["header"]["packet_rec_id"]
    document = {"type": "notify_project_create", "body": PROJECT}

    def send(_: int) -> int:
        return requests.post(
            f"{site.url}packets/NCSA/{number}/reply", json=document, headers=site.session.headers, timeout=10
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(send, range(16)))
    assert answers == [200] + [409] * 15
    assert len(sandbox.transaction(sandbox.transactions()[0].trans_rec_id)["DATA"]) == 3


def test_the_replies_to_a_packet_are_counted_with_those_that_come_too_late(
    site: ScriptedSite, sandbox: Sandbox
) -> None:
    def replies() -> list[tuple[str, int]]:
        return [(packet.type, packet.replies) for packet in sandbox.answered[before:]]

    before = len(sandbox.answered)
    request = request_of(site, "request_project_create")
    refused(answer(site, request, "notify_project_create", {}), 400)
    assert replies() == []  # a reply that was refused on its own account leaves room for another
    assert answer(site, request, "notify_project_create", PROJECT).status_code == 200
    assert replies() == [("request_project_create", 1)]
    refused(answer(site, request, "notify_project_create", PROJECT), 409)
    refused(site.send(failure(), request["header"]["packet_rec_id"]), 409)
    assert replies() == [("request_project_create", 3)]
    header = request["header"]
    [packet] = sandbox.answered[before:]
    assert packet[:2] == (header["trans_rec_id"], header["packet_rec_id"])
    sandbox.forget()
    assert replies() == [("request_project_create", 3)]
    refused(answer(site, request, "notify_project_create", PROJECT), 400, "none of this site")
    assert replies() == [("request_project_create", 3)]


def test_a_reply_to_what_the_hub_has_failed_is_no_second_one(site: ScriptedSite, sandbox: Sandbox) -> None:
    before = len(sandbox.answered)
    request = request_of(site, "request_project_create")
    sandbox.fail(request["header"]["trans_rec_id"])
    for _ in range(2):
        refused(answer(site, request, "notify_project_create", PROJECT), 409, "failed")
    assert sandbox.answered[before:] == []


def test_the_sites_own_packets_have_no_replies_of_the_sites(site: ScriptedSite, sandbox: Sandbox) -> None:
    before = len(sandbox.answered)
    request = request_of(site, "request_project_create")
    notice = answer(site, request, "notify_project_create", PROJECT).json()["result"]
    refused(site.send(success(), notice["header"]["packet_rec_id"]), 400)
    assert [packet.type for packet in sandbox.answered[before:]] == ["request_project_create"]


def test_a_reply_must_be_of_a_type_that_the_packet_expects(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    number = request["header"]["packet_rec_id"]
    for document in (
        success(),
        {"type": "notify_account_create", "body": ACCOUNT},
        {"type": "data_project_create", "body": {"PersonID": "u", "ProjectID": "p"}},
        {"type": "request_project_create", "body": request["body"]},
    ):
        refused(site.send(document, number), 400, "expects notify_project_create")


def test_only_the_hubs_packets_are_answered(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    notice = answer(site, request, "notify_project_create", PROJECT).json()["result"]
    refused(site.send(success(), notice["header"]["packet_rec_id"]), 400, "site itself")
    refused(site.send(success(), 1), 400, "1", "in_reply_to")


def test_a_reply_can_not_name_another_transaction(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    document = {"type": "notify_project_create", "body": PROJECT, "header": {"trans_rec_id": 5}}
    refused(site.send(document, request["header"]["packet_rec_id"]), 400, "transaction")
    refused(site.send(document), 400, "in_reply_to")


@pytest.mark.parametrize(
    "kind", ["request_project_create", "request_user_modify", "request_project_inactivate"]
)
def test_a_failure_inform_fails_the_transaction_in_reply_to_any_packet(
    site: ScriptedSite, sandbox: Sandbox, kind: str
) -> None:
    request = request_of(site, kind)
    response = site.send(failure(), request["header"]["packet_rec_id"])
    assert response.status_code == 200
    assert response.json()["result"]["header"]["transaction_state"] == "failed"
    assert [entry.state for entry in sandbox.transactions()] == ["failed"]
    states = [packet["header"]["packet_state"] for packet in site.packets(states="failed,completed")]
    assert states == ["failed", "completed"]
    assert site.packets() == []


def test_the_hubs_data_packet_can_be_answered_with_failure(site: ScriptedSite, sandbox: Sandbox) -> None:
    request = request_of(site, "request_project_create")
    answer(site, request, "notify_project_create", PROJECT)
    (data,) = site.packets()
    refused(
        site.send({"type": "notify_project_create", "body": PROJECT}, data["header"]["packet_rec_id"]), 400
    )
    assert site.send(failure(), data["header"]["packet_rec_id"]).status_code == 200
    assert [entry.state for entry in sandbox.transactions()] == ["failed"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ("StatusCode", "DetailCode", "Message")),
        ({"StatusCode": "Success", "DetailCode": "1"}, ("missing Message",)),
        ({"StatusCode": "99", "DetailCode": "1", "Message": "x"}, ("Success or Failure", "expects")),
        ({"StatusCode": "Success", "DetailCode": "0", "Message": "x"}, ("DetailCode",)),
        ({"StatusCode": "Success", "DetailCode": "one", "Message": "x"}, ("DetailCode",)),
    ],
)
def test_an_inform_must_be_complete(site: ScriptedSite, body: dict[str, str], words: tuple[str, ...]) -> None:
    request = request_of(site, "request_user_modify")
    response = answer(site, request, "inform_transaction_complete", body)
    assert response.status_code == 400
    assert any(word in response.json()["message"] for word in words)


def test_success_is_success_in_any_case(site: ScriptedSite, sandbox: Sandbox) -> None:
    request = request_of(site, "request_user_modify")
    body = {"StatusCode": "success", "DetailCode": 1, "Message": "x"}
    assert answer(site, request, "inform_transaction_complete", body).status_code == 200
    assert [entry.state for entry in sandbox.transactions()] == ["completed"]


def test_an_answer_to_a_refused_packet_says_nothing_of_persons(site: ScriptedSite) -> None:
    request = request_of(site, "request_project_create")
    body = {**(reply_to(request) or {})["body"], "PiLastName": ["Secretperson"], "GrantNumber": "Secretgrant"}
    message = answer(site, request, "notify_project_create", body).json()["message"]
    assert "Secret" not in message
