"""Faults on demand: what happens to a call, and what the service has done all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from amie_engine.errors import SettingsError
from amie_engine.sandbox import HOSTILE, Fault, Faults, Sandbox, SandboxServer

from .scripted_site import KEY, reply_to, success

HEADERS = {"XA-SITE": "NCSA", "XA-API-KEY": KEY}
BEGINS = {
    "type": "notify_user_modify",
    "body": {"ActionType": "delete", "PersonID": "u1"},
}

Call = Callable[..., requests.Response]


@contextmanager
def served(faults: Faults, **settings: Any) -> Iterator[tuple[Sandbox, Call]]:
    """A sandbox with faults, and a function that calls it once."""
    sandbox = Sandbox(api_key=KEY, **settings)
    with SandboxServer(sandbox, faults=faults) as server, requests.Session() as session:

        def call(method: str, path: str, **options: Any) -> requests.Response:
            return session.request(method, server.url + path, headers=HEADERS, timeout=20, **options)

        yield sandbox, call


def begin(call: Call) -> requests.Response:
    return call("POST", "packets/NCSA", json=BEGINS)


def always(fault: Fault) -> Faults:
    return Faults({fault: 1.0})


@pytest.mark.parametrize(
    ("fault", "acts"),
    [(Fault.DROP_REQUEST, 0), (Fault.DROP_ANSWER, 1)],
)
def test_a_connection_is_closed_before_or_after_the_service_has_acted(fault: Fault, acts: int) -> None:
    with served(always(fault)) as (sandbox, call):
        with pytest.raises(requests.ConnectionError):
            begin(call)
        assert len(sandbox.transactions()) == acts


@pytest.mark.parametrize(
    ("fault", "status", "acts"),
    [
        (Fault.RATE_LIMITED, 429, 0),
        (Fault.FAILED_BEFORE, 500, 0),
        (Fault.FAILED_AFTER, 500, 1),
        (Fault.UNAVAILABLE, 503, 0),
        (Fault.HTML, 200, 0),
        (Fault.EXPIRED_KEY, 401, 0),
        (Fault.DELAY, 200, 1),
        (Fault.DUPLICATE, 200, 2),
    ],
)
def test_an_answer_is_another_than_the_service_s(fault: Fault, status: int, acts: int) -> None:
    with served(always(fault)) as (sandbox, call):
        assert begin(call).status_code == status
        assert len(sandbox.transactions()) == acts


def test_a_reply_that_a_fault_doubles_was_posted_once_by_the_site() -> None:
    with served(always(Fault.DUPLICATE)) as (sandbox, call):
        sandbox.start_scenario("request_project_create")
        [request] = sandbox.list_packets()
        number = request["header"]["packet_rec_id"]
        reply = {**(reply_to(request) or {}), "header": {"in_reply_to": number}}
        for posted in (1, 2):
            assert call("POST", "packets/NCSA", json=reply).status_code == 409
            assert [packet.replies for packet in sandbox.answered] == [posted]
        [data] = sandbox.list_packets()
        path = f"packets/NCSA/{data['header']['packet_rec_id']}/reply"
        assert call("POST", path, json=success()).status_code == 409
        assert [packet.replies for packet in sandbox.answered] == [2, 1]


def test_an_answer_is_cut_off_as_if_that_were_all() -> None:
    with served(always(Fault.CUT_ANSWER)) as (sandbox, call):
        answer = begin(call)
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.content)
        assert len(sandbox.transactions()) == 1


class Once(Faults):
    """Faults of which the first call has one, and no other."""

    def of_call(self) -> Fault | None:
        return None if self.counts else super().of_call()


@pytest.mark.parametrize("fault", [Fault.RESTART, Fault.FORGETFUL_RESTART])
def test_a_service_that_restarts_is_away_for_some_calls_and_comes_back(fault: Fault) -> None:
    with served(Once({fault: 1.0})) as (sandbox, call), requests.Session() as other:
        sandbox.start_scenario("single:request_user_modify")
        [before] = sandbox.transactions()
        other.get(call("GET", "../openapi.json").url, timeout=20)  # stays connected
        [connected] = _connections(other)
        missed = 0
        while True:
            try:
                listed = call("GET", "packets/NCSA").json()["result"]
            except requests.ConnectionError:
                missed += 1
            else:
                break
        assert 2 <= missed <= 6
        with pytest.raises(ConnectionResetError):
            connected.recv(1)
        [after] = sandbox.transactions()
        assert [packet["header"]["trans_rec_id"] for packet in listed] == [after.trans_rec_id]
        forgets = fault is Fault.FORGETFUL_RESTART
        assert sandbox.forgotten == ([before] if forgets else [])
        assert after.trans_rec_id == before.trans_rec_id + forgets


def _connections(session: requests.Session) -> list[Any]:
    """The sockets that a session keeps."""
    adapter: Any = session.get_adapter("http://")
    pools = adapter.poolmanager.pools
    waiting = [pools[key].pool.queue for key in list(pools.keys())]
    return [connection.sock for queue in waiting for connection in queue if connection is not None]


def test_packets_are_listed_in_any_order() -> None:
    with served(always(Fault.SHUFFLE)) as (sandbox, call):
        for _ in range(6):
            sandbox.start_scenario("request_user_modify")
        orders = {
            tuple(p["header"]["packet_rec_id"] for p in call("GET", "packets/NCSA").json()["result"])
            for _ in range(5)
        }
        assert len(orders) > 1
        assert len({frozenset(order) for order in orders}) == 1


def test_old_packets_are_listed_again() -> None:
    with served(always(Fault.LIST_OLD)) as (sandbox, call):
        sandbox.start_scenario("single:request_user_modify")
        [open_one] = sandbox.transactions()
        sandbox.fail(open_one.trans_rec_id)
        assert sandbox.list_packets() == []
        assert len(call("GET", "packets/NCSA").json()["result"]) == 1


def test_calls_of_tests_and_the_documentation_are_spared() -> None:
    with served(always(Fault.UNAVAILABLE)) as (_, call):
        assert call("POST", "test/NCSA/scenarios", params={"type": "request_user_modify"}).status_code == 200
        assert call("GET", "../openapi.json").status_code == 200


def test_the_same_seed_has_the_same_faults() -> None:
    chosen = [
        [faults.of_call() for _ in range(200)] for faults in (Faults(seed=1), Faults(seed=1), Faults(seed=2))
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert set(chosen[0]) > {None, Fault.DROP_ANSWER}


@pytest.mark.parametrize(
    "rates", [{Fault.HTML: 1.5}, {Fault.HTML: -0.1}, {Fault.HTML: 0.6, Fault.DELAY: 0.6}]
)
def test_rates_that_are_none_are_refused(rates: dict[Fault, float]) -> None:
    with pytest.raises(SettingsError):
        Faults(rates)


def test_every_fault_is_in_the_hostile_profile() -> None:
    assert set(HOSTILE) == set(Fault)


def test_the_hub_fails_open_transactions_whosever_turn_it_is() -> None:
    failing = Sandbox(api_key=KEY, failures=1.0)
    failing.start_scenario("single:request_user_modify")
    listed = failing.list_packets()
    assert [packet["type"] for packet in listed] == ["inform_transaction_complete"]
    assert [one.state for one in failing.transactions()] == ["failed"]
    assert failing.counts == {"hub_failure": 1, "lingering_inform": 0}
    assert failing.list_packets() == []


def test_informs_linger_by_chance() -> None:
    with pytest.raises(SettingsError):
        Sandbox(lingering_informs=1.5)
    hub = Sandbox(api_key=KEY, lingering_informs=0.5)
    for _ in range(40):
        hub.post(BEGINS)
    assert len(hub.list_packets()) == 40
    lingering = hub.list_packets()
    assert len(lingering) == hub.lingering == hub.counts["lingering_inform"]
    assert 0 < len(lingering) < 40


def test_the_hub_fails_transactions_by_chance(sandbox: Sandbox) -> None:
    with pytest.raises(SettingsError):
        Sandbox(failures=1.5)
    failing = Sandbox(api_key=KEY, failures=1.0)
    posted = failing.post(BEGINS)
    [transaction] = failing.transactions()
    assert transaction.state == "failed"
    packets = failing.transaction(transaction.trans_rec_id)["DATA"]
    assert [packet["type"] for packet in packets] == [posted["type"], "inform_transaction_complete"]
    assert packets[1]["body"]["StatusCode"] == "Failure"
