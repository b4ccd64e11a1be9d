"""The hub without HTTP: its lists, its latency, its settings, and many threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from amie_engine.errors import SandboxRefusal, SettingsError
from amie_engine.sandbox import PacketQuery, Sandbox
from amie_engine.testing import Clock

from .scripted_site import failure, reply_to, success


def numbers(packets: list[dict[str, Any]]) -> list[int]:
    return [packet["header"]["packet_rec_id"] for packet in packets]


def find(sandbox: Sandbox, **parameters: str) -> list[str]:
    """The packet types that a query finds."""
    return [packet["type"] for packet in sandbox.list_packets(PacketQuery.parse(**parameters))]


@pytest.fixture
def busy(clock: Clock) -> Sandbox:
    """One completed transaction, one failed, one in which both sides have an open packet a minute later."""
    sandbox = Sandbox(clock=clock, latency=60)
    sandbox.start_scenario("single:request_user_modify")
    sandbox.start_scenario("single:request_user_modify")
    sandbox.start_scenario("single:request_project_create")
    clock.forward(seconds=60)
    done, failed, create = sandbox.list_packets()
    sandbox.post(success(), done["header"]["packet_rec_id"])
    sandbox.post(failure(), failed["header"]["packet_rec_id"])
    clock.forward(seconds=30)
    sandbox.post(reply_to(create) or {}, create["header"]["packet_rec_id"])
    sandbox.post({"type": "notify_person_duplicate", "body": {"GlobalID1": "1", "PersonID2": "2"}})
    return sandbox


def test_the_list_holds_what_is_in_progress_in_both_directions(busy: Sandbox, clock: Clock) -> None:
    assert find(busy) == ["notify_project_create", "notify_person_duplicate"]
    clock.forward(seconds=60)
    assert find(busy) == ["data_project_create", "inform_transaction_complete"]


def test_the_list_is_filtered_by_direction(busy: Sandbox, clock: Clock) -> None:
    busy.start_scenario("single:request_person_merge")
    clock.forward(seconds=59)
    sent = ["notify_project_create", "notify_person_duplicate"]
    for true in ("true", "True", "1"):
        assert find(busy, outgoing=true) == sent
        assert find(busy, incoming=true) == []
        assert find(busy, incoming=true, outgoing=true) == sent
    for false in ("false", "False", "0"):
        assert find(busy, incoming=false) == sent
        assert find(busy, outgoing=false) == []
        assert find(busy, incoming=false, outgoing=false) == []
        assert find(busy, outgoing="true", incoming=false) == sent
    clock.forward(seconds=1)
    received = ["data_project_create", "inform_transaction_complete", "request_person_merge"]
    assert sorted(find(busy, incoming="true")) == sorted(received)


def test_the_list_is_filtered_by_packet_state(busy: Sandbox) -> None:
    assert find(busy, states="completed") == [
        "request_user_modify",
        "request_project_create",
        "inform_transaction_complete",
        "inform_transaction_complete",
    ]
    assert find(busy, states="failed") == ["request_user_modify"]
    assert len(find(busy, states="failed, completed")) == 5
    assert find(busy, states="in-progress") == find(busy)
    assert find(busy, states="lost") == []
    assert find(busy, states="") == find(busy)


def test_the_list_is_filtered_by_transaction(busy: Sandbox) -> None:
    modify, _, create, _ = (entry.trans_rec_id for entry in busy.transactions())
    assert find(busy, trans_rec_id=str(create)) == ["request_project_create", "notify_project_create"]
    both = [
        "request_user_modify",
        "request_project_create",
        "inform_transaction_complete",
        "notify_project_create",
    ]
    assert find(busy, trans_rec_id=f"{create},{modify},{create}") == both
    assert find(busy, trans_rec_id=str(create), states="in-progress") == ["notify_project_create"]
    assert find(busy, trans_rec_id=str(create), outgoing="true") == ["notify_project_create"]
    assert find(busy, trans_rec_id="9" * 38) == []


def test_the_list_is_filtered_by_transaction_state(busy: Sandbox) -> None:
    assert find(busy, transaction_state="completed") == ["request_user_modify", "inform_transaction_complete"]
    assert find(busy, transaction_state="in-progress") == [
        "request_project_create",
        "notify_project_create",
        "notify_person_duplicate",
    ]
    assert find(busy, transaction_state="in-progress", states="completed") == ["request_project_create"]
    assert len(find(busy, transaction_state="failed,completed,in-progress")) == 7


def test_the_list_is_filtered_by_client_state(busy: Sandbox) -> None:
    assert find(busy, client_state="in-progress") == ["notify_project_create", "notify_person_duplicate"]
    (notice, _) = busy.list_packets()
    busy.set_client_state(notice["header"]["packet_rec_id"], "seen")
    assert find(busy, client_state="seen") == ["notify_project_create"]
    assert find(busy, client_state="seen,in-progress") == ["notify_project_create", "notify_person_duplicate"]
    busy.set_client_state(notice["header"]["packet_rec_id"], None)
    assert find(busy, client_state="seen") == []


def test_the_list_is_filtered_by_the_time_of_the_last_change(busy: Sandbox, clock: Clock) -> None:
    everything = "completed,failed,in-progress"
    late, early = clock.now, clock.now - timedelta(seconds=30)

    def changed(start: datetime | str, end: datetime | str) -> int:
        return len(find(busy, update_time=f"{start},{end}", states=everything))

    assert changed(late.isoformat(), "") == 3
    assert changed("", early.isoformat()) == 4
    assert changed(early.isoformat(), late.isoformat()) == 7
    assert changed("", "") == 7
    assert changed((late + timedelta(seconds=1)).isoformat(), "") == 0
    assert changed(late.isoformat().replace("+00:00", "Z"), "") == 3
    assert find(busy, update_time=f"{late.isoformat()},") == [
        "notify_project_create",
        "notify_person_duplicate",
    ]
    clock.forward(seconds=5)
    busy.set_client_state(busy.list_packets()[0]["header"]["packet_rec_id"], "seen")
    assert find(busy, update_time=f"{clock.now.isoformat()},") == ["notify_project_create"]


def test_what_the_list_gives_is_a_copy(busy: Sandbox) -> None:
    for packet in busy.list_packets():
        packet["body"].clear()
        packet["header"]["packet_state"] = "mine"
    assert all(packet["body"] for packet in busy.list_packets())


def test_the_hub_takes_its_time(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, latency=0.03)
    sandbox.start_scenario("request_project_reactivate")
    assert sandbox.list_packets() == []
    assert not sandbox.idle
    clock.forward(seconds=0.03)
    create, _ = sandbox.list_packets()
    notice = sandbox.post(reply_to(create) or {}, create["header"]["packet_rec_id"])
    assert notice["header"]["packet_state"] == "in-progress"
    assert find(sandbox, trans_rec_id=str(create["header"]["trans_rec_id"])) == [
        "request_project_create",
        "notify_project_create",
    ]
    clock.forward(seconds=0.029)
    assert "data_project_create" not in find(sandbox)
    clock.forward(seconds=0.001)
    data = next(packet for packet in sandbox.list_packets() if packet["type"] == "data_project_create")
    sandbox.post(success(), data["header"]["packet_rec_id"])
    assert "request_project_inactivate" not in find(sandbox)
    clock.forward(seconds=10)
    (asked,) = [packet for packet in sandbox.list_packets() if packet["type"] == "request_project_inactivate"]
    assert asked["header"]["packet_timestamp"] == "2026-01-15T12:00:00.090Z"  # when it was made, not seen


def test_with_latency_a_scenario_ends_too(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, latency=0.03)
    sandbox.start_scenario("request_person_merge")
    for _ in range(100):
        if sandbox.idle:
            break
        for packet in sandbox.list_packets(PacketQuery.parse(incoming="true")):
            reply = reply_to(packet)
            if reply is not None:
                sandbox.post(reply, packet["header"]["packet_rec_id"])
        clock.forward(seconds=0.01)
    assert [progress.state for progress in sandbox.scenarios()] == ["completed"] * 2
    assert len(sandbox.transactions()) == 8


def test_a_transaction_that_fails_meanwhile_gets_no_answer(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, latency=1)
    posted = sandbox.post({"type": "notify_person_duplicate", "body": {"GlobalID1": "1", "GlobalID2": "2"}})
    sandbox.fail(posted["header"]["trans_rec_id"])
    clock.forward(seconds=2)
    assert len(sandbox.transaction(posted["header"]["trans_rec_id"])["DATA"]) == 1
    assert sandbox.idle


def test_a_reset_stops_what_was_to_come(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, latency=1)
    sandbox.start_scenario("request_user_modify")
    sandbox.reset()
    clock.forward(seconds=2)
    assert sandbox.list_packets() == []
    assert sandbox.scenarios() == []


def test_after_a_reset_the_hub_knows_nothing(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    sandbox.start_scenario("single:request_project_create")
    (create,) = sandbox.list_packets()
    sandbox.post(reply_to(create) or {}, create["header"]["packet_rec_id"])
    sandbox.reset()
    with pytest.raises(SandboxRefusal):
        sandbox.packet(create["header"]["packet_rec_id"])
    sandbox.start_scenario("single:request_account_create")
    (request,) = sandbox.list_packets()
    assert "ProjectID" not in request["body"]
    assert request["body"]["GrantNumber"] != create["body"]["GrantNumber"]


def test_the_hubs_name_is_a_setting(clock: Clock) -> None:
    sandbox = Sandbox("PSC", hub="TGCDB", clock=clock)
    sandbox.start_scenario("request_user_modify")
    header = sandbox.list_packets()[0]["header"]
    assert (header["local_site_name"], header["remote_site_name"]) == ("TGCDB", "PSC")


def test_a_key_is_made_up_and_never_shown() -> None:
    first, second = Sandbox(), Sandbox()
    assert first.api_key != second.api_key
    assert first.api_key not in repr(first)
    assert first.knows("NCSA", first.api_key)
    assert not first.knows("NCSA", None)
    assert not first.knows(None, first.api_key)


@pytest.mark.parametrize(
    "settings",
    [
        {"site": ""},
        {"site": "A" * 17},
        {"site": "a/b"},
        {"site": "ACCESS"},
        {"hub": "hub name"},
        {"resources": []},
        {"resources": [""]},
        {"resources": ["a", "a"]},
        {"latency": -1.0},
        {"latency": float("nan")},
        {"latency": float("inf")},
    ],
    ids=str,
)
def test_settings_that_can_not_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Sandbox(**settings)


@pytest.mark.parametrize("value", [{1: "x"}, {"x": object()}, {"x": float("nan")}, ("a",)])
def test_what_is_no_json_is_refused_without_http_too(clock: Clock, value: object) -> None:
    sandbox = Sandbox(clock=clock)
    sandbox.start_scenario("request_user_modify")
    number = sandbox.list_packets()[0]["header"]["packet_rec_id"]
    with pytest.raises(SandboxRefusal):
        sandbox.set_client_json(number, value)
    with pytest.raises(SandboxRefusal):
        sandbox.post({"type": "notify_user_modify", "body": value})


def test_many_threads_may_call_at_once(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)

    def run(_: int) -> list[int]:
        given = []
        for _ in range(20):
            posted = sandbox.post(
                {"type": "notify_person_duplicate", "body": {"GlobalID1": "1", "GlobalID2": "2"}}
            )
            given.append(posted["header"]["packet_rec_id"])
            sandbox.list_packets()
        return given

    with ThreadPoolExecutor(4) as pool:
        given = [number for numbers in pool.map(run, range(4)) for number in numbers]
    assert len(set(given)) == 80
    assert {entry.state for entry in sandbox.transactions()} == {"completed"}
    assert sandbox.list_packets() == []
