"""Every call of the service, over a real socket: its answer, and its errors."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from amie_engine.sandbox import Sandbox, SandboxServer

from .scripted_site import KEY, ScriptedSite, reply_to, sample, success

HEADER_KEYS = {
    "packet_rec_id",
    "packet_id",
    "trans_rec_id",
    "transaction_id",
    "expected_reply_list",
    "local_site_name",
    "remote_site_name",
    "originating_site_name",
    "outgoing_flag",
    "transaction_state",
    "packet_state",
    "client_state",
    "client_json",
    "packet_timestamp",
}

CALLS = [
    ("GET", "packets/{site}"),
    ("GET", "packets/{site}/1"),
    ("POST", "packets/{site}"),
    ("POST", "packets/{site}/1/reply"),
    ("PUT", "packets/{site}/1/client_state/seen"),
    ("DELETE", "packets/{site}/1/client_state"),
    ("PUT", "packets/{site}/1/client_json"),
    ("DELETE", "packets/{site}/1/client_json"),
    ("GET", "transactions/{site}/1/packets"),
    ("PUT", "transactions/{site}/1/state/failed"),
    ("POST", "test/{site}/scenarios?type=request_user_modify"),
    ("POST", "test/{site}/reset"),
]


def request_of(site: ScriptedSite, kind: str = "single:request_project_create") -> dict[str, Any]:
    site.start(kind)
    return site.packets(incoming="true")[-1]


def message_of(response: requests.Response) -> str:
    """The message of an error, which is all that its body has."""
    document = response.json()
    assert set(document) == {"message"}
    assert isinstance(document["message"], str)
    assert document["message"]
    return str(document["message"])


def test_an_empty_inbox_is_what_the_service_sends(site: ScriptedSite) -> None:
    response = site.call("GET", "packets/{site}")
    assert response.status_code == 200
    assert response.json() == sample("api/empty_inbox")


def test_a_scenario_and_a_reset_answer_as_the_service_does(site: ScriptedSite, sandbox: Sandbox) -> None:
    started = site.call("POST", "test/{site}/scenarios?type=request_user_modify")
    assert started.json() == sample("api/scenario_started")
    assert len(site.packets()) == 2
    reset = site.call("POST", "test/{site}/reset")
    assert reset.json() == {
        "message": sample("api/reset_done")["message"].replace("SITE", "NCSA"),
        "result": None,
    }
    assert site.packets() == []
    assert sandbox.transactions() == []
    assert sandbox.idle


def test_a_request_is_written_from_the_hubs_side(site: ScriptedSite) -> None:
    packet = request_of(site)
    assert set(packet) == {"DATA_TYPE", "type", "header", "body"}
    assert packet["DATA_TYPE"] == "Packet"
    header = packet["header"]
    assert set(header) == HEADER_KEYS
    assert (header["local_site_name"], header["remote_site_name"]) == ("ACCESS", "NCSA")
    assert header["originating_site_name"] == "ACCESS"
    assert header["outgoing_flag"] == 1
    assert header["expected_reply_list"] == [{"type": "notify_project_create", "timeout": 30240}]
    assert (header["packet_state"], header["transaction_state"]) == ("in-progress", "in-progress")
    assert (header["client_state"], header["client_json"]) == (None, None)
    assert header["packet_id"] == 1
    for name in ("packet_rec_id", "trans_rec_id", "transaction_id"):
        assert isinstance(header[name], int)
    assert header["packet_timestamp"].endswith("Z")
    assert len(header["packet_timestamp"]) == len("2021-08-24T14:47:51.507Z")
    assert isinstance(packet["body"]["ServiceUnitsAllocated"], str)


def test_a_packet_is_fetched_by_its_id(site: ScriptedSite) -> None:
    packet = request_of(site)
    fetched = site.call("GET", f"packets/{{site}}/{packet['header']['packet_rec_id']}").json()
    assert fetched == {"message": None, "result": packet}


def test_sending_a_packet_answers_with_it_and_its_ids(site: ScriptedSite) -> None:
    request = request_of(site)
    number = request["header"]["packet_rec_id"]
    reply = reply_to(request)
    assert reply is not None
    answer = site.send(reply, number).json()
    notice = answer["result"]
    header = notice["header"]
    assert set(header) == HEADER_KEYS  # and so no in_reply_to
    assert header["trans_rec_id"] == request["header"]["trans_rec_id"]
    assert header["packet_rec_id"] > number
    assert header["outgoing_flag"] == 0
    assert header["client_state"] == "in-progress"
    assert (header["local_site_name"], header["remote_site_name"]) == ("ACCESS", "NCSA")
    assert site.call("GET", f"packets/{{site}}/{header['packet_rec_id']}").json()["result"] == notice


def test_a_reply_to_a_packet_needs_no_header(site: ScriptedSite) -> None:
    request = request_of(site)
    number = request["header"]["packet_rec_id"]
    response = site.call("POST", f"packets/{{site}}/{number}/reply", json=reply_to(request))
    assert response.status_code == 200
    (data,) = site.packets()
    assert data["type"] == "data_project_create"
    done = site.call("POST", f"packets/{{site}}/{data['header']['packet_rec_id']}/reply", json=success())
    assert done.status_code == 200
    assert site.packets() == []


def test_a_reply_that_names_another_packet_than_its_call_is_refused(site: ScriptedSite) -> None:
    request = request_of(site)
    number = request["header"]["packet_rec_id"]
    document = {**(reply_to(request) or {}), "header": {"in_reply_to": number + 1}}
    response = site.call("POST", f"packets/{{site}}/{number}/reply", json=document)
    assert response.status_code == 400
    assert "in_reply_to" in message_of(response)


def test_the_sites_notes_on_a_packet_are_kept_until_cleared(site: ScriptedSite) -> None:
    number = request_of(site)["header"]["packet_rec_id"]
    path = f"packets/{{site}}/{number}"
    assert site.call("PUT", f"{path}/client_state/being done").status_code == 200
    assert site.call("PUT", f"{path}/client_json", json={"ticket": [1, None, "ü"]}).status_code == 200
    (packet,) = site.packets()
    assert packet["header"]["client_state"] == "being done"
    assert packet["header"]["client_json"] == {"ticket": [1, None, "ü"]}
    assert site.call("DELETE", f"{path}/client_state").status_code == 200
    assert site.call("DELETE", f"{path}/client_json").status_code == 200
    (packet,) = site.packets()
    assert (packet["header"]["client_state"], packet["header"]["client_json"]) == (None, None)


def test_a_transaction_has_all_its_packets(site: ScriptedSite) -> None:
    request = request_of(site)
    site.work()
    number = request["header"]["trans_rec_id"]
    transaction = site.transaction(number)
    assert set(transaction) == {
        "transaction_id",
        "state",
        "originating_site_name",
        "local_site_name",
        "remote_site_name",
        "DATA",
    }
    assert transaction["transaction_id"] == request["header"]["transaction_id"]
    assert transaction["state"] == "completed"
    assert transaction["originating_site_name"] == "ACCESS"
    assert [(packet["type"], packet["header"]["packet_id"]) for packet in transaction["DATA"]] == [
        ("request_project_create", 1),
        ("notify_project_create", 1),
        ("data_project_create", 2),
        ("inform_transaction_complete", 2),
    ]
    assert {packet["header"]["packet_state"] for packet in transaction["DATA"]} == {"completed"}
    assert {packet["header"]["transaction_state"] for packet in transaction["DATA"]} == {"completed"}
    assert transaction["DATA"][-1]["header"]["expected_reply_list"] == []


def test_a_transaction_is_failed_by_the_call_for_it(site: ScriptedSite, sandbox: Sandbox) -> None:
    request = request_of(site)
    number = request["header"]["trans_rec_id"]
    for _ in range(2):  # failing what has failed changes nothing
        assert site.call("PUT", f"transactions/{{site}}/{number}/state/failed").status_code == 200
        assert [entry.state for entry in sandbox.transactions()] == ["failed"]
    assert site.packets() == []
    response = site.send(reply_to(request) or {}, request["header"]["packet_rec_id"])
    assert response.status_code == 409
    assert "failed" in message_of(response)


def test_a_completed_transaction_can_not_be_failed(site: ScriptedSite) -> None:
    number = request_of(site)["header"]["trans_rec_id"]
    site.work()
    response = site.call("PUT", f"transactions/{{site}}/{number}/state/failed")
    assert response.status_code == 409
    assert "completed" in message_of(response)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_wants_the_sites_name_and_key(served: SandboxServer, method: str, path: str) -> None:
    wrong: list[dict[str, str | bytes]] = [
        {},
        {"XA-SITE": "NCSA"},
        {"XA-API-KEY": KEY},
        {"XA-SITE": "NCSA", "XA-API-KEY": KEY + "x"},
        {"XA-SITE": "NCSA", "XA-API-KEY": "ключ".encode()},
        {"XA-SITE": "PSC", "XA-API-KEY": KEY},
    ]
    for headers in wrong:
        response = requests.request(
            method, served.url + path.format(site="NCSA"), headers=headers, timeout=10
        )
        assert response.status_code == 401
        assert KEY not in message_of(response)
    right = {"XA-SITE": "NCSA", "XA-API-KEY": KEY}
    response = requests.request(method, served.url + path.format(site="PSC"), headers=right, timeout=10)
    assert response.status_code == 403
    assert message_of(response)


@pytest.mark.parametrize(
    ("method", "path"), [call for call in CALLS if "/1" in call[1] and not call[1].endswith("reply")]
)
def test_what_does_not_exist_is_not_found(site: ScriptedSite, method: str, path: str) -> None:
    for unknown in ("1", "9" * 38):
        response = site.call(method, path.replace("/1", f"/{unknown}"), data="{}")
        assert response.status_code == 404
        assert unknown in message_of(response)


def test_a_reply_to_a_packet_that_does_not_exist_is_not_found(site: ScriptedSite) -> None:
    response = site.call("POST", "packets/{site}/1/reply", json=success())
    assert response.status_code == 404
    assert message_of(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing/here", 404),
        ("GET", "packets/{site}/", 404),
        ("PUT", "packets/{site}", 405),
        ("GET", "packets/{site}/abc", 422),
        ("GET", "packets/{site}/-1", 422),
        ("GET", "packets/{site}/" + "1" * 39, 422),
        ("GET", "packets/{site}?incoming=perhaps", 400),
        ("GET", "packets/{site}?trans_rec_id=1,x", 400),
        ("GET", "packets/{site}?update_time=yesterday,", 400),
        ("GET", "packets/{site}?update_time=2026-01-01", 400),
        ("POST", "test/{site}/scenarios", 422),
        ("POST", "test/{site}/scenarios?type=request_holiday", 400),
        ("POST", "test/{site}/scenarios?type=single:notify_user_modify", 400),
    ],
)
def test_a_call_that_can_not_be_served_says_why(
    site: ScriptedSite, method: str, path: str, status: int
) -> None:
    response = site.call(method, path)
    assert response.status_code == status
    assert message_of(response)


def test_an_unknown_scenario_is_answered_with_those_that_there_are(site: ScriptedSite) -> None:
    message = message_of(site.call("POST", "test/{site}/scenarios?type=request_holiday"))
    assert "request_person_merge" in message
    assert "request_project_inactivate" in message
    assert "single:" in message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"packet", 400),
        (b"\xff\xfe\x00", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'"text"', 400),
        (b"{}", 400),
        (b'{"type": "notify_user_modify", "body": []}', 400),
        (b'{"type": "notify_user_modify"}', 400),
        (b'{"type": ["notify_user_modify"], "body": {}}', 400),
        (b'{"type": "notify_holiday", "body": {}}', 400),
        (b'{"type": "notify_user_modify", "body": {"PersonID": NaN}}', 400),
        (b'{"type": "notify_user_modify", "body": {"PersonID": 1e999}}', 400),
        (b'{"type": "notify_user_modify", "header": [], "body": {}}', 400),
        (b'{"type": "notify_user_modify", "header": {"in_reply_to": "x"}, "body": {}}', 400),
        (b'{"type": "notify_user_modify", "header": {"in_reply_to": true}, "body": {}}', 400),
        (b'{"type": "notify_user_modify", "header": {"in_reply_to": ' + b"9" * 38 + b'}, "body": {}}', 400),
        (b'{"type": "notify_user_modify", "header": {"in_reply_to": ' + b"9" * 5000 + b'}, "body": {}}', 400),
        (b'{"type": "notify_user_modify", "body": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}", 400),
        (b"[" * 500_000, 400),
        (b'{"type": "' + b"x" * 10_000_000 + b'"}', 413),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_no_body_makes_the_service_stumble(site: ScriptedSite, body: bytes, status: int) -> None:
    for path in ("packets/{site}", "packets/{site}/{number}/reply"):
        number = request_of(site)["header"]["packet_rec_id"]
        response = site.call("POST", path.replace("{number}", str(number)), data=body)
        assert response.status_code == status
        assert message_of(response)
    assert len(site.packets()) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[NaN]", b"[1e999]", b"[" * 900 + b"]" * 900])
def test_client_json_must_be_json(site: ScriptedSite, body: bytes) -> None:
    number = request_of(site)["header"]["packet_rec_id"]
    response = site.call("PUT", f"packets/{{site}}/{number}/client_json", data=body)
    assert response.status_code == 400
    assert message_of(response)


def test_text_that_has_no_form_in_utf8_comes_back_as_it_was(site: ScriptedSite) -> None:
    number = request_of(site)["header"]["packet_rec_id"]
    assert site.call("PUT", f"packets/{{site}}/{number}/client_json", data=b'["\\ud800"]').status_code == 200
    assert site.packets()[0]["header"]["client_json"] == ["\ud800"]


def test_the_openapi_document_describes_every_call(served: SandboxServer) -> None:
    root = served.url.removesuffix("v0.10/")
    document = requests.get(root + "openapi.json", timeout=10).json()
    assert document["info"]["title"] == "AMIE sandbox"
    described = set()
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            described.add((method.upper(), path))
            assert call["summary"]
            assert call["description"]
            assert call["tags"]
            assert call["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith(
                "/Failure"
            )
    assert len(described) == len(CALLS)
    assert {path.split("/")[1] for _, path in described} == {"v0.10"}
    assert requests.get(root + "docs", timeout=10).status_code == 200
