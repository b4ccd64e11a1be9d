"""The client: what goes over the wire, what comes back, and which error is raised for what goes wrong."""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests
import responses
import urllib3
from responses import matchers

from amie_engine import errors
from amie_engine.client import DEFAULT_URL, AMIEClient, AMIERequestError, RetryPolicy
from amie_engine.errors import (
    PacketInvalidData,
    PacketInvalidType,
    ServiceAuthenticationError,
    ServiceConflict,
    ServiceFault,
    ServiceNotFound,
    ServiceRateLimited,
    ServiceUnreachable,
    ServiceUnreadableAnswer,
    ServiceValidationError,
    SettingsError,
)
from amie_engine.packet import (
    InformTransactionComplete,
    NotifyProjectCreate,
    Packet,
    PacketList,
    RequestAccountCreate,
)
from amie_engine.transaction import Transaction

KEY = "s3cret/key+of=NCSA"
URL = "https://amie.example.edu/v0.10/"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DONE = {"message": "Done", "result": None}


def request_document(packet_rec_id: int = 174709745, **header: Any) -> dict[str, Any]:
    return {
        "DATA_TYPE": "Packet",
        "type": "request_account_create",
        "header": {"packet_rec_id": packet_rec_id, "trans_rec_id": 87139097, "packet_id": 1} | header,
        "body": {"GrantNumber": "IRI120015", "ResourceList": ["delta.ncsa.example"]},
    }


def listing(*documents: Any) -> dict[str, Any]:
    return {"message": "", "result": list(documents)}


@pytest.fixture
def service() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client has slept for."""
    return []


@pytest.fixture
def client(waits: list[float]) -> Iterator[AMIEClient]:
    with AMIEClient("NCSA", KEY, URL, sleep=waits.append, random=lambda: 1.0, clock=lambda: NOW) as made:
        yield made


def assert_nothing_shows(error: BaseException, secret: str = KEY) -> None:
    """The secret is in nothing that a log, a traceback or an error tracker takes from an exception."""
    seen: BaseException | None = error
    while seen is not None:
        shown = [str(seen), repr(seen), *map(str, seen.args), *map(str, vars(seen).values())]
        request = getattr(seen, "request", None)
        response = getattr(seen, "response", None)
        for carrier in (request, getattr(response, "request", None)):
            if carrier is not None:
                shown += [str(carrier.url), repr(carrier.headers)]
        assert not [text for text in shown if secret in text]
        seen = seen.__cause__ or seen.__context__
    assert secret not in "".join(traceback.format_exception(error))


# Making a client


def test_a_client_has_the_documented_defaults() -> None:
    client = AMIEClient("NCSA", KEY)
    assert client.site_name == "NCSA"
    assert client.amie_url == DEFAULT_URL == "https://amieclient.xsede.org/v0.10/"
    assert client._session.headers["XA-API-KEY"] == KEY
    assert client._session.headers["XA-SITE"] == "NCSA"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/amie", "http://127.0.0.1:8080/amie/"])
def test_the_url_ends_with_a_slash(url: str) -> None:
    assert AMIEClient("NCSA", KEY, url).amie_url == "http://127.0.0.1:8080/amie/"


def test_a_keys_line_end_is_no_part_of_it() -> None:
    assert AMIEClient("NCSA", f" {KEY}\n")._session.headers["XA-API-KEY"] == KEY


@pytest.mark.parametrize("key", ["", "  ", "abc\r\nX-Evil: 1", "k\u00e9y", None, 12])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        AMIEClient("NCSA", key)
    assert str(key).strip() == "" or str(key) not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "amie.example.edu",
        "ftp://amie.example.edu/",
        "http://",
        "http://host:99999999/",
        "https://amie.example.edu/?a=1",
        "https://amie.example.edu/#top",
        "https://user:hunter2@/v0.10/",
        None,
    ],
)
def test_what_is_no_url_of_a_service_is_refused_when_the_client_is_made(url: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        AMIEClient("NCSA", KEY, url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, (1, 0), (1,), (1, 2, 3), "soon", math.nan])
def test_a_timeout_must_be_positive_seconds(timeout: Any) -> None:
    with pytest.raises(SettingsError):
        AMIEClient("NCSA", KEY, timeout=timeout)


@pytest.mark.parametrize(
    "setting", [{"attempts": 0}, {"first_wait": -1.0}, {"maximum_retry_after": math.nan}]
)
def test_a_retry_policy_must_make_sense(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        RetryPolicy(**setting)


def test_the_repr_shows_site_and_url_alone() -> None:
    client = AMIEClient("NCSA", KEY, "https://someone:hunter2@amie.example.edu/v0.10")
    assert repr(client) == "<AMIEClient of NCSA at https://amie.example.edu/v0.10/>"


def test_a_login_in_the_url_is_sent_as_basic_authentication_and_shown_nowhere(
    service: responses.RequestsMock,
) -> None:
    service.get(f"{URL}packets/NCSA/1", json={"message": "hunter2@ is wrong"}, status=401)
    client = AMIEClient("NCSA", KEY, "https://someone:hunter2%40@amie.example.edu/v0.10/")
    with pytest.raises(ServiceAuthenticationError) as caught:
        client.get_packet(1)
    assert service.calls[0].request.headers["Authorization"] == "Basic c29tZW9uZTpodW50ZXIyQA=="
    assert "*** is wrong" in str(caught.value)
    assert_nothing_shows(caught.value, "hunter2")
    assert_nothing_shows(caught.value, "c29tZW9uZTpodW50ZXIyQA==")


def test_a_call_carries_both_headers_and_has_a_timeout(
    service: responses.RequestsMock,
) -> None:
    service.get(
        f"{URL}packets/NCSA",
        json=listing(),
        match=[
            matchers.header_matcher({"XA-API-KEY": KEY, "XA-SITE": "NCSA"}),
            matchers.request_kwargs_matcher({"timeout": (3.0, 4.5)}),
        ],
    )
    AMIEClient("NCSA", KEY, URL, timeout=(3, 4.5)).list_packets()


def test_leaving_the_context_closes_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    with AMIEClient("NCSA", KEY) as client:
        monkeypatch.setattr(client._session, "close", lambda: closed.append(True))
    assert closed == [True]


# Reading


@pytest.mark.parametrize("packet", [12345, "12345", RequestAccountCreate(packet_rec_id=12345)])
def test_a_packet_is_fetched_by_its_id(
    client: AMIEClient, service: responses.RequestsMock, packet: Packet | int | str
) -> None:
    service.get(f"{URL}packets/NCSA/12345", json={"message": "", "result": request_document(12345)})
    fetched = client.get_packet(packet)
    assert isinstance(fetched, RequestAccountCreate)
    assert fetched.packet_rec_id == 12345
    assert fetched.GrantNumber == "IRI120015"


def test_a_packet_of_an_unknown_type_is_told_as_such(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    document = request_document() | {"type": "request_coffee"}
    service.get(f"{URL}packets/NCSA/1", json={"message": "", "result": document})
    with pytest.raises(PacketInvalidType):
        client.get_packet(1)


@pytest.mark.parametrize("shape", [listing, lambda *documents: list(documents)])
def test_both_shapes_of_a_listing_are_read_and_bad_documents_kept_apart(
    client: AMIEClient, service: responses.RequestsMock, shape: Callable[..., Any]
) -> None:
    bad = {"type": "request_coffee", "header": {}, "body": {}}
    service.get(f"{URL}packets/NCSA", json=shape(request_document(1), bad, request_document(2)))
    listed = client.list_packets()
    assert isinstance(listed, PacketList)
    assert [packet.packet_rec_id for packet in listed] == [1, 2]
    assert [entry.document for entry in listed.unreadable] == [bad]


def test_nan_in_one_packet_does_not_hide_the_others(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    odd = json.dumps(request_document(1) | {"body": {"ServiceUnitsAllocated": math.nan}})
    service.get(f"{URL}packets/NCSA", body=f'{{"result": [{odd}, {json.dumps(request_document(2))}]}}')
    assert client.list_packets().packets[-1].packet_rec_id == 2


def test_an_empty_inbox_is_an_empty_list(client: AMIEClient, service: responses.RequestsMock) -> None:
    service.get(f"{URL}packets/NCSA", json={"message": None, "result": []})
    assert len(client.list_packets()) == 0


def query_of(service: responses.RequestsMock) -> dict[str, str]:
    params: dict[str, str] = service.calls[0].request.params  # type: ignore[attr-defined]
    return params


def test_without_arguments_a_listing_has_no_query(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.get(f"{URL}packets/NCSA", json=listing())
    client.list_packets(trans_rec_ids=[], states=None, incoming=None)
    assert query_of(service) == {}


def test_a_listings_query_is_the_documented_one(client: AMIEClient, service: responses.RequestsMock) -> None:
    service.get(f"{URL}packets/NCSA", json=listing())
    client.list_packets(
        trans_rec_ids=[87139097, "12"],
        outgoing=True,
        update_time_start=datetime(2029, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-6))),
        update_time_until=NOW,
        states=["in-progress", "failed"],
        client_states=("seen by us",),
        transaction_states={"in-progress"},
        incoming=False,
    )
    assert query_of(service) == {
        "trans_rec_id": "87139097,12",
        "outgoing": "true",
        "update_time": "2029-12-31T23:00:00-06:00,2030-01-02T03:04:05+00:00",
        "states": "in-progress,failed",
        "client_state": "seen by us",
        "transaction_state": "in-progress",
        "incoming": "false",
    }


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"update_time_start": NOW}, "2030-01-02T03:04:05+00:00,"),
        ({"update_time_until": NOW}, ",2030-01-02T03:04:05+00:00"),
    ],
)
def test_a_range_of_time_may_be_open(
    client: AMIEClient, service: responses.RequestsMock, limits: dict[str, Any], sent: str
) -> None:
    service.get(f"{URL}packets/NCSA", json=listing())
    client.list_packets(**limits)
    assert query_of(service) == {"update_time": sent}


@pytest.mark.parametrize("single", [87139097, "87139097"])
def test_one_id_is_a_list_of_one(
    client: AMIEClient, service: responses.RequestsMock, single: int | str
) -> None:
    service.get(f"{URL}packets/NCSA", json=listing())
    client.list_packets(trans_rec_ids=single)
    assert query_of(service) == {"trans_rec_id": "87139097"}


@pytest.mark.parametrize(
    "argument",
    [
        {"update_time_start": datetime(2030, 1, 1)},  # noqa: DTZ001 # that is the mistake
        {"update_time_until": "2030-01-01"},
        {"outgoing": "false"},
        {"incoming": 2},
        {"states": [None]},
        {"trans_rec_ids": [True]},
    ],
)
def test_an_argument_that_the_service_would_misread_is_refused(
    client: AMIEClient, argument: dict[str, Any]
) -> None:
    with pytest.raises(PacketInvalidData) as caught:
        client.list_packets(**argument)
    assert next(iter(argument)) in str(caught.value)
    assert isinstance(caught.value, ValueError)


TRANSACTION = {
    "transaction_id": "244206",
    "state": "in-progress",
    "originating_site_name": "TGCDB",
    "local_site_name": "TGCDB",
    "remote_site_name": "NCSA",
}


@pytest.mark.parametrize(
    "transaction",
    [
        87139097,
        "87139097",
        Transaction(trans_rec_id=87139097),
        Transaction(packets=[RequestAccountCreate(trans_rec_id=87139097)]),
        RequestAccountCreate(trans_rec_id=87139097),
    ],
)
def test_a_transaction_is_fetched_silently(
    client: AMIEClient,
    service: responses.RequestsMock,
    capsys: pytest.CaptureFixture[str],
    transaction: Transaction | Packet | int | str,
) -> None:
    result = TRANSACTION | {"DATA": [request_document(1), {"no": "packet"}, request_document(2)]}
    service.get(f"{URL}transactions/NCSA/87139097/packets", json={"message": "", "result": result})
    fetched = client.get_transaction(transaction)
    assert fetched.trans_rec_id == 87139097
    assert [packet.packet_rec_id for packet in fetched.packets] == [1, 2]
    assert [entry.document for entry in fetched.unreadable] == [{"no": "packet"}]
    assert capsys.readouterr() == ("", "")


def test_a_transaction_whose_packets_name_no_id_has_the_one_that_was_asked_for(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.get(f"{URL}transactions/NCSA/87/packets", json={"result": TRANSACTION | {"DATA": []}})
    service.get(f"{URL}transactions/NCSA/odd/packets", json={"result": TRANSACTION | {"DATA": []}})
    assert client.get_transaction("87").trans_rec_id == 87
    assert client.get_transaction("odd").trans_rec_id is None


# Writing


def reply() -> NotifyProjectCreate:
    return NotifyProjectCreate(
        in_reply_to=174709745, ProjectID=" proj1 ", PiPersonID="u42", PiRemoteSiteLogin="ada", PiTitle="  "
    )


def test_a_packet_is_validated_and_sent_tidy(client: AMIEClient, service: responses.RequestsMock) -> None:
    service.post(f"{URL}packets/NCSA", json=DONE)
    response = client.send_packet(reply())
    assert isinstance(response, requests.Response)
    assert response.json() == DONE
    request = service.calls[0].request
    assert request.headers["Content-Type"] == "application/json"
    sent = json.loads(request.body or "")
    assert sent["type"] == "notify_project_create"
    assert sent["header"]["in_reply_to"] == 174709745
    assert sent["body"] == {"ProjectID": "proj1", "PiPersonID": "u42", "PiRemoteSiteLogin": "ada"}


def test_an_invalid_packet_is_sent_only_on_demand(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    packet = InformTransactionComplete(StatusCode="Success")
    with pytest.raises(PacketInvalidData, match="DetailCode"):
        client.send_packet(packet)
    assert len(service.calls) == 0
    service.post(f"{URL}packets/NCSA", json=DONE, status=201)
    assert client.send_packet(packet, skip_validation=True).status_code == 201


@pytest.mark.parametrize("value", [math.nan, math.inf, {"deep": [math.nan]}])
def test_what_json_has_no_form_for_is_not_sent(client: AMIEClient, value: Any) -> None:
    packet = reply()
    packet._body["Remark"] = value
    with pytest.raises(PacketInvalidData):
        client.send_packet(packet)


def test_what_is_nested_too_deeply_is_not_sent(client: AMIEClient) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PacketInvalidData):
        client.set_packet_client_json(1, deep)


@pytest.mark.parametrize("packet", [7, "7", RequestAccountCreate(packet_rec_id=7)])
def test_a_packets_client_state_is_set_and_cleared(
    client: AMIEClient, service: responses.RequestsMock, packet: Packet | int | str
) -> None:
    service.put(f"{URL}packets/NCSA/7/client_state/seen", json=DONE)
    service.delete(f"{URL}packets/NCSA/7/client_state", status=204)
    assert client.set_packet_client_state(packet, "seen").json() == DONE
    assert client.clear_packet_client_state(packet).status_code == 204


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"ticket": 5}, {"ticket": 5}),
        ('{"ticket": [1, null]}', {"ticket": [1, None]}),
        (b'"text"', "text"),
        ([], []),
        (None, None),
        (0, 0),
        (False, False),
    ],
)
def test_a_packets_client_json_is_any_json_or_its_text(
    client: AMIEClient, service: responses.RequestsMock, given: Any, sent: Any
) -> None:
    service.put(f"{URL}packets/NCSA/7/client_json", json=DONE)
    client.set_packet_client_json(7, given)
    request = service.calls[0].request
    assert json.loads(request.body or "") == sent
    assert request.headers["Content-Type"] == "application/json"


def test_a_packets_client_json_is_cleared(client: AMIEClient, service: responses.RequestsMock) -> None:
    service.delete(f"{URL}packets/NCSA/7/client_json", json=DONE)
    assert client.clear_packet_client_json(7).json() == DONE


@pytest.mark.parametrize("value", ["{", "", "NaN", math.nan, {1, 2}, NOW])
def test_client_json_that_is_no_json_is_refused(client: AMIEClient, value: Any) -> None:
    with pytest.raises(PacketInvalidData):
        client.set_packet_client_json(7, value)


@pytest.mark.parametrize("transaction", [9, "9", Transaction(trans_rec_id="9")])
def test_a_transaction_is_failed(
    client: AMIEClient, service: responses.RequestsMock, transaction: Transaction | int | str
) -> None:
    service.put(f"{URL}transactions/NCSA/9/state/failed", json=DONE)
    assert client.set_transaction_failed(transaction).json() == DONE


def test_the_test_service_starts_a_scenario_and_resets(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.post(
        f"{URL}test/NCSA/scenarios",
        json={"message": "Test scenario initiated", "result": None},
        match=[matchers.query_param_matcher({"type": "request_person_merge"})],
    )
    service.post(f"{URL}test/NCSA/reset", json={"message": None, "result": None})
    assert client.start_scenario("request_person_merge") == "Test scenario initiated"
    assert client.reset() == ""


# Paths


def test_everything_in_a_path_is_percent_encoded(service: responses.RequestsMock) -> None:
    client = AMIEClient("N/C A?", KEY, URL)
    service.put(f"{URL}packets/N%2FC%20A%3F/a%2Fb%23/client_state/on%20its%20way%2F%C3%A9", json=DONE)
    client.set_packet_client_state("a/b#", "on its way/é")
    assert service.calls[0].request.headers["XA-SITE"] == "N/C A?"


@pytest.mark.parametrize("packet", ["", ".", "..", None, True, 1.5, "\ud800", RequestAccountCreate()])
def test_what_is_no_id_never_becomes_a_path(client: AMIEClient, packet: Any) -> None:
    with pytest.raises(PacketInvalidData):
        client.get_packet(packet)


def test_a_state_can_not_lead_elsewhere(client: AMIEClient) -> None:
    with pytest.raises(PacketInvalidData):
        client.set_packet_client_state(1, "..")


def test_a_transaction_without_an_id_is_named_as_the_trouble(client: AMIEClient) -> None:
    with pytest.raises(PacketInvalidData, match="trans_rec_id"):
        client.set_transaction_failed(Transaction())


# Errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ServiceValidationError),
        (401, ServiceAuthenticationError),
        (403, ServiceAuthenticationError),
        (404, ServiceNotFound),
        (409, ServiceConflict),
        (422, ServiceValidationError),
        (429, ServiceRateLimited),
        (418, AMIERequestError),
        (500, ServiceFault),
        (501, ServiceFault),
        (503, ServiceFault),
        (599, ServiceFault),
    ],
)
def test_an_error_is_told_by_its_status_with_the_services_message(
    service: responses.RequestsMock, status: int, error: type[AMIERequestError]
) -> None:
    service.get(f"{URL}packets/NCSA/7", status=status, json={"message": "No such packet"})
    client = AMIEClient("NCSA", KEY, URL, retry=RetryPolicy(attempts=1))
    with pytest.raises(AMIERequestError) as caught:
        client.get_packet(7)
    assert type(caught.value) is error
    assert isinstance(caught.value, requests.RequestException)
    assert caught.value.response is not None
    assert caught.value.response.status_code == status
    assert caught.value.code == error.code
    assert caught.value.message == f"The service answered {status} to GET packets/NCSA/7: No such packet."
    assert_nothing_shows(caught.value)


@pytest.mark.parametrize(
    ("status", "told"), [(404, "404 (Not Found)"), (502, "502 (Bad Gateway)"), (599, "599")]
)
@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"detail": "Method Not Allowed"}},
        {"json": {"message": {"odd": 1}}},
        {"json": {"message": " \n"}},
        {"json": ["message"]},
        {"body": "<html><h1>Oops</h1></html>", "content_type": "text/html"},
        {"body": "plain words"},
        {"body": b""},
    ],
)
def test_what_is_not_the_services_message_is_not_shown(
    service: responses.RequestsMock, status: int, told: str, answer: dict[str, Any]
) -> None:
    service.get(f"{URL}packets/NCSA/7", status=status, **answer)
    client = AMIEClient("NCSA", KEY, URL, retry=RetryPolicy(attempts=1))
    with pytest.raises(AMIERequestError) as caught:
        client.get_packet(7)
    assert caught.value.message == f"The service answered {told} to GET packets/NCSA/7."


def test_the_error_is_the_one_of_the_errors_module() -> None:
    assert AMIERequestError is errors.AMIERequestError


@pytest.mark.parametrize(
    "answer",
    [
        {"body": "<!DOCTYPE html><html>Please log in</html>", "content_type": "text/html"},
        {"body": b""},
        {"body": "  \n"},
        {"body": '{"message": "", "result": [{"type": "requ'},
        {"body": "\xff\xfe\xff"},
        {"body": "[" * 100_000},
        {"body": '{"result": ' + "9" * 5000 + "}"},
        {"body": "", "status": 204},
        {"json": None},
        {"json": "text"},
        {"json": 5},
        {"json": {"message": "fine"}},
        {"json": {"message": "fine", "result": None}},
        {"json": {"message": "fine", "result": "text"}},
    ],
)
@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("packets/NCSA/7", lambda client: client.get_packet(7)),
        ("packets/NCSA", lambda client: client.list_packets()),
        ("transactions/NCSA/7/packets", lambda client: client.get_transaction(7)),
    ],
)
def test_an_answer_that_is_not_the_apis_is_unreadable(
    client: AMIEClient,
    service: responses.RequestsMock,
    waits: list[float],
    answer: dict[str, Any],
    path: str,
    call: Callable[[AMIEClient], object],
) -> None:
    service.get(URL + path, **answer)
    with pytest.raises(ServiceUnreadableAnswer) as caught:
        call(client)
    assert caught.value.response is not None
    assert path in caught.value.message
    assert "log in" not in str(caught.value)
    assert waits == []
    assert_nothing_shows(caught.value)


@pytest.mark.parametrize("answer", [{"json": [1]}, {"json": None}, {"body": "<html>"}, {"body": b""}])
def test_a_call_that_changes_something_needs_an_answer_of_the_apis(
    client: AMIEClient, service: responses.RequestsMock, answer: dict[str, Any]
) -> None:
    service.post(f"{URL}packets/NCSA", **answer)
    with pytest.raises(ServiceUnreadableAnswer):
        client.send_packet(reply())
    assert len(service.calls) == 1


def test_the_parsers_own_error_is_not_chained_since_it_holds_the_body(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.get(f"{URL}packets/NCSA", body='{"result": "Ada Example, ada@example.edu')
    with pytest.raises(ServiceUnreadableAnswer) as caught:
        client.list_packets()
    assert caught.value.__context__ is None
    assert "example.edu" not in caught.value.message


def test_a_long_and_dirty_message_becomes_one_short_line(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    dirty = "Bad\x1b[31m\r\npacket\u202e\x00\ud800 " + "x" * 10_000
    service.get(f"{URL}packets/NCSA/7", json={"message": dirty}, status=400)
    with pytest.raises(ServiceValidationError) as caught:
        client.get_packet(7)
    assert "Bad [31m packet xxx" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("echo", [KEY, "s3cret%2Fkey%2Bof%3DNCSA", KEY.upper(), "x" * 479 + KEY])
def test_a_key_that_the_service_echoes_is_not_shown(
    client: AMIEClient, service: responses.RequestsMock, echo: str
) -> None:
    service.get(f"{URL}packets/NCSA/7", json={"message": f"Unknown key {echo} given"}, status=403)
    with pytest.raises(ServiceAuthenticationError) as caught:
        client.get_packet(7)
    assert "***" in str(caught.value)
    assert "s3cret" not in str(caught.value).lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_key(
    client: AMIEClient, service: responses.RequestsMock, status: int
) -> None:
    service.get(
        f"{URL}packets/NCSA",
        status=status,
        headers={"Location": f"https://login.example.org/?token=t0ken&key={KEY}"},
    )
    with pytest.raises(ServiceUnreadableAnswer) as caught:
        client.list_packets()
    assert len(service.calls) == 1
    assert "login.example.org" in str(caught.value)
    assert "URL" in str(caught.value)
    assert "t0ken" not in str(caught.value)
    assert caught.value.response is not None
    assert caught.value.response.next is None


@pytest.mark.parametrize("location", ["/elsewhere", "http://[oops", None])
def test_a_redirect_to_nowhere_in_particular_is_refused_too(
    client: AMIEClient, service: responses.RequestsMock, location: str | None
) -> None:
    headers = {"Location": location} if location else {}
    service.put(f"{URL}transactions/NCSA/1/state/failed", status=302, headers=headers)
    with pytest.raises(ServiceUnreadableAnswer):
        client.set_transaction_failed(1)


@pytest.mark.parametrize(
    "trouble",
    [
        requests.ConnectionError,
        requests.ConnectTimeout,
        requests.ReadTimeout,
        requests.exceptions.SSLError,
        requests.exceptions.ProxyError,
        requests.exceptions.ChunkedEncodingError,
    ],
)
def test_no_answer_is_told_as_such_and_shows_no_key(
    client: AMIEClient, service: responses.RequestsMock, trouble: type[requests.RequestException]
) -> None:
    def fail(request: requests.PreparedRequest) -> Any:
        raise trouble(f"garbage from the peer: {KEY}", request=request)

    service.add_callback(responses.POST, f"{URL}packets/NCSA", callback=fail)
    with pytest.raises(ServiceUnreachable) as caught:
        client.send_packet(reply())
    assert caught.value.retryable
    assert caught.value.response is None
    assert type(caught.value.__cause__) is trouble
    assert caught.value.__cause__.request is not None
    assert caught.value.__cause__.request.headers["XA-SITE"] == "NCSA"
    assert_nothing_shows(caught.value)


def test_an_answer_that_is_wrongly_compressed_is_unreadable(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.get(f"{URL}packets/NCSA", body=requests.exceptions.ContentDecodingError("not gzip"))
    with pytest.raises(ServiceUnreadableAnswer):
        client.list_packets()


@pytest.mark.parametrize("trouble", [requests.exceptions.InvalidHeader, urllib3.exceptions.InvalidHeader])
def test_trouble_within_the_http_library_is_a_request_error_too(
    client: AMIEClient, service: responses.RequestsMock, trouble: type[Exception]
) -> None:
    service.get(f"{URL}packets/NCSA", body=trouble(f"bad header {KEY}"))
    with pytest.raises(AMIERequestError) as caught:
        client.list_packets()
    assert "InvalidHeader" in str(caught.value)
    assert_nothing_shows(caught.value)


def test_neither_the_response_nor_its_request_keeps_the_key(
    client: AMIEClient, service: responses.RequestsMock
) -> None:
    service.put(f"{URL}transactions/NCSA/1/state/failed", json=DONE)
    response = client.set_transaction_failed(1)
    assert response.request.headers["XA-API-KEY"] == "***"
    assert service.calls[0].request.headers["XA-API-KEY"] == KEY


# Further attempts


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("method", "path", "call", "document"),
    [
        (responses.GET, "packets/NCSA", lambda client: client.list_packets(), listing()),
        (responses.PUT, "packets/NCSA/1/client_state/a", lambda c: c.set_packet_client_state(1, "a"), DONE),
        (responses.PUT, "transactions/NCSA/1/state/failed", lambda c: c.set_transaction_failed(1), DONE),
        (responses.DELETE, "packets/NCSA/1/client_json", lambda c: c.clear_packet_client_json(1), DONE),
    ],
)
def test_what_may_be_repeated_is_tried_again(
    client: AMIEClient,
    service: responses.RequestsMock,
    waits: list[float],
    status: int,
    method: str,
    path: str,
    call: Callable[[AMIEClient], object],
    document: dict[str, Any],
) -> None:
    service.add(method, URL + path, status=status, body="<html>")
    service.add(method, URL + path, body=requests.ConnectionError("reset"))
    service.add(method, URL + path, json=document)
    call(client)
    assert waits == [0.5, 1.0]


def test_in_the_end_the_last_error_is_raised(
    client: AMIEClient, service: responses.RequestsMock, waits: list[float]
) -> None:
    for status in (500, 502, 503, 504):
        service.get(f"{URL}packets/NCSA", status=status)
    with pytest.raises(ServiceFault, match="504") as caught:
        client.list_packets()
    assert waits == [0.5, 1.0, 2.0]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_what_will_not_pass_is_not_tried_again(
    client: AMIEClient, service: responses.RequestsMock, waits: list[float], status: int
) -> None:
    service.get(f"{URL}packets/NCSA/1", status=status)
    with pytest.raises(AMIERequestError):
        client.get_packet(1)
    assert len(service.calls) == 1
    assert waits == []


@pytest.mark.parametrize(
    "answer", [{"status": 503}, {"status": 429}, {"body": requests.ReadTimeout()}, {"status": 500}]
)
@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("packets/NCSA", lambda client: client.send_packet(reply())),
        ("test/NCSA/scenarios", lambda client: client.start_scenario("request_user_modify")),
        ("test/NCSA/reset", lambda client: client.reset()),
    ],
)
def test_a_post_is_never_repeated(
    client: AMIEClient,
    service: responses.RequestsMock,
    waits: list[float],
    answer: dict[str, Any],
    path: str,
    call: Callable[[AMIEClient], object],
) -> None:
    service.post(URL + path, **answer)
    with pytest.raises(AMIERequestError):
        call(client)
    assert len(service.calls) == 1
    assert waits == []


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("7", 7.0),
        ("0", 0.5),
        ("60", 60.0),
        ("Wed, 02 Jan 2030 03:04:25 GMT", 20.0),
        ("Wed, 02 Jan 2030 03:05:05 GMT", 60.0),
        ("Wed, 02 Jan 2030 03:00:00 GMT", 0.5),
        ("Wed, 02 Jan 2030 03:04:15 -0000", 10.0),
        ("Wed, 02 Jan 2030 03:04:15 +99999999999999999999", 0.5),
        ("soon", 0.5),
        ("-5", 0.5),
        ("", 0.5),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_service_may_ask_for_a_longer_wait_within_limits(
    client: AMIEClient,
    service: responses.RequestsMock,
    waits: list[float],
    retry_after: str,
    wait: float,
    status: int,
) -> None:
    service.get(f"{URL}packets/NCSA", status=status, headers={"Retry-After": retry_after})
    service.get(f"{URL}packets/NCSA", json=listing())
    client.list_packets()
    assert waits == [wait]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("61", 61.0), ("9" * 400, math.inf), ("Wed, 02 Jan 2030 05:04:05 GMT", 7200.0)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_where_the_service_asks_for_more_the_call_ends_at_once_and_tells_it(
    client: AMIEClient,
    service: responses.RequestsMock,
    waits: list[float],
    retry_after: str,
    seconds: float,
    status: int,
) -> None:
    service.get(f"{URL}packets/NCSA", status=status, headers={"Retry-After": retry_after})
    with pytest.raises(AMIERequestError) as caught:
        client.list_packets()
    assert caught.value.retry_after == seconds
    assert (len(service.calls), waits) == (1, [])


class TestStoppable:
    def test_a_wait_is_as_long_as_ever_and_asks_each_second(
        self, client: AMIEClient, service: responses.RequestsMock, waits: list[float]
    ) -> None:
        asked: list[float] = []

        def is_stopped() -> bool:
            asked.append(sum(waits))
            return False

        service.get(f"{URL}packets/NCSA", status=429, headers={"Retry-After": "2.5"})
        service.get(f"{URL}packets/NCSA", status=429, headers={"Retry-After": "3"})
        service.get(f"{URL}packets/NCSA", json=listing())
        assert len(client.stoppable(is_stopped).list_packets()) == 0
        assert (waits, asked) == ([0.5, 1.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.5, 2.5, 3.5])

    def test_once_it_is_stopped_the_call_ends_with_what_went_wrong(
        self, client: AMIEClient, service: responses.RequestsMock, waits: list[float]
    ) -> None:
        service.get(f"{URL}packets/NCSA", status=429, headers={"Retry-After": "30"})
        with pytest.raises(ServiceRateLimited) as caught:
            client.stoppable(lambda: len(waits) == 2).list_packets()
        assert (len(service.calls), waits, caught.value.retry_after) == (1, [1.0, 1.0], 30.0)
        assert caught.value.__context__ is None

    def test_the_client_that_it_was_made_of_waits_as_before(
        self, client: AMIEClient, service: responses.RequestsMock, waits: list[float]
    ) -> None:
        client.stoppable(lambda: True)
        service.get(f"{URL}packets/NCSA", status=503, headers={"Retry-After": "7"})
        service.get(f"{URL}packets/NCSA", json=listing())
        client.list_packets()
        assert waits == [7.0]


def test_the_wait_grows_to_its_limit_with_a_random_part() -> None:
    policy = RetryPolicy(attempts=9, first_wait=1.0, maximum_wait=10.0)
    assert [policy.wait_after(attempt, 1.0, None) for attempt in (1, 2, 3, 4, 5, 5000)] == [
        1,
        2,
        4,
        8,
        10,
        10,
    ]
    assert [policy.wait_after(attempt, 0.0, None) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 4, 5]


def test_the_number_of_attempts_is_the_callers(service: responses.RequestsMock) -> None:
    service.get(f"{URL}packets/NCSA", status=503)
    with pytest.raises(ServiceFault):
        AMIEClient("NCSA", KEY, URL, retry=RetryPolicy(attempts=1)).list_packets()
    assert len(service.calls) == 1


# The log


def test_the_log_has_calls_and_times_but_no_query_body_or_key(
    client: AMIEClient, service: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    service.get(f"{URL}packets/NCSA", status=503, json={"message": f"Busy, {KEY}"})
    service.get(f"{URL}packets/NCSA", body=requests.ConnectionError(KEY))
    service.get(f"{URL}packets/NCSA", json=listing(request_document()))
    service.post(f"{URL}packets/NCSA", json=DONE)
    with caplog.at_level(logging.DEBUG, logger="amie_engine"):
        client.list_packets(client_states=["ada@example.edu"])
        client.send_packet(reply())
    lines = [record.getMessage() for record in caplog.records if record.name == "amie_engine.client"]
    assert len(lines) == 6
    assert all(record.levelno == logging.DEBUG for record in caplog.records)
    assert lines[0].startswith("GET packets/NCSA: 503 in ")
    assert lines[1].startswith("GET packets/NCSA: service-fault, attempt 1 of 4, again in 0.500 s")
    assert lines[2].startswith("GET packets/NCSA: ConnectionError in ")
    assert lines[-1].startswith("POST packets/NCSA: 200 in ")
    for secret in (KEY, "example.edu", "proj1", "ada", "IRI120015"):
        assert secret not in caplog.text
