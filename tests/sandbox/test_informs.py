"""What becomes of the hub's informs in the list of packets, and of the site's acknowledgements."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine.errors import SandboxRefusal
from amie_engine.sandbox import PacketQuery, Sandbox
from amie_engine.testing import Clock

from .scripted_site import failure, success


def informed(clock: Clock, *, lingering: bool) -> tuple[Sandbox, dict[str, Any]]:
    """A sandbox whose hub has just sent an inform, and the transaction that this completed."""
    sandbox = Sandbox(lingering_informs=lingering, clock=clock)
    body = {"GlobalID1": "1", "GlobalID2": "2"}
    posted = sandbox.post({"type": "notify_person_duplicate", "body": body})
    transaction = sandbox.transaction(posted["header"]["trans_rec_id"])
    assert transaction["state"] == "completed"
    return sandbox, transaction


def numbers(packets: list[dict[str, Any]]) -> list[int]:
    return [packet["header"]["packet_rec_id"] for packet in packets]


def test_an_inform_is_listed_once(clock: Clock) -> None:
    sandbox, transaction = informed(clock, lingering=False)
    (inform,) = sandbox.list_packets()
    assert inform == transaction["DATA"][-1]
    assert inform["header"]["packet_state"] == "in-progress"
    assert inform["header"]["transaction_state"] == "completed"
    assert sandbox.list_packets() == []
    number = inform["header"]["packet_rec_id"]
    assert sandbox.packet(number)["header"]["packet_state"] == "completed"


def test_a_look_at_the_history_is_not_yet_the_listing_of_an_inform(clock: Clock) -> None:
    sandbox, transaction = informed(clock, lingering=False)
    trans_rec_id = transaction["DATA"][0]["header"]["trans_rec_id"]
    for query in (
        PacketQuery.parse(trans_rec_id=str(trans_rec_id)),
        PacketQuery.parse(states="in-progress"),
        PacketQuery.parse(transaction_state="completed"),
        PacketQuery.parse(outgoing="true"),
    ):
        sandbox.list_packets(query)
    assert len(sandbox.list_packets()) == 1


def test_a_lingering_inform_stays_until_it_is_acknowledged(clock: Clock) -> None:
    sandbox, _ = informed(clock, lingering=True)
    (inform,) = sandbox.list_packets()
    assert sandbox.list_packets() == [inform]
    assert sandbox.idle
    (number,) = numbers([inform])
    acknowledgement = sandbox.post(success(), number)
    assert acknowledgement["header"]["packet_state"] == "completed"
    assert sandbox.list_packets() == []
    assert sandbox.packet(number)["header"]["packet_state"] == "completed"


@pytest.mark.parametrize("lingering", [True, False])
def test_an_acknowledgement_is_always_welcome_and_changes_nothing(clock: Clock, lingering: bool) -> None:
    sandbox, _ = informed(clock, lingering=lingering)
    (number,) = numbers(sandbox.list_packets())
    empty = {"type": "inform_transaction_complete", "body": {}}
    for document in (success(), success(), empty):
        sandbox.post(document, number)
    assert [entry.state for entry in sandbox.transactions()] == ["completed"]
    assert sandbox.list_packets() == []
    assert [packet.replies for packet in sandbox.answered] == [3]


def test_what_has_completed_can_not_be_failed_by_an_inform(clock: Clock) -> None:
    sandbox, _ = informed(clock, lingering=True)
    (number,) = numbers(sandbox.list_packets())
    with pytest.raises(SandboxRefusal) as caught:
        sandbox.post(failure(), number)
    assert caught.value.status == 409


def test_an_acknowledgement_is_not_acknowledged(clock: Clock) -> None:
    sandbox, _ = informed(clock, lingering=True)
    (number,) = numbers(sandbox.list_packets())
    acknowledgement = sandbox.post(success(), number)
    with pytest.raises(SandboxRefusal) as caught:
        sandbox.post(success(), acknowledgement["header"]["packet_rec_id"])
    assert caught.value.status == 400
