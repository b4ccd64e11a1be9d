"""The client_state at the service: set once for each packet that was taken in, and never in the way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amie_engine import Runner
from amie_engine.errors import SettingsError
from amie_engine.sandbox import Sandbox
from amie_engine.site.client_states import ClientStates
from amie_engine.testing import Clock
from tests.engine.courses import count_of
from tests.site.site_world import (
    BEFORE,
    UNKNOWN_FAULT,
    Fault,
    FlakyService,
    World,
    tiny_site,
    write_as_a_later_release,
)

RPC = "request_project_create"


def runner_of(world: World, *, full_listing_every: timedelta = timedelta()) -> Runner:
    return Runner(
        world.engine,
        world.client,
        tiny_site(),
        interval=0.01,
        full_listing_every=full_listing_every,
        client_state="received",
        jitter=lambda: 1.0,
    )


def states(world: World) -> dict[str, str | None]:
    """The client_state of every packet at the service, by type; of several of a type that of the last."""
    found = {}
    for one in world.sandbox.transactions():
        for packet in world.sandbox.transaction(one.trans_rec_id)["DATA"]:
            found[packet["type"]] = packet["header"]["client_state"]
    return found


def calls(service: FlakyService) -> list[str]:
    return [path for method, path in service.calls if method == "PUT"]


def test_what_was_taken_in_gets_it_and_our_own_packets_do_not(world: World) -> None:
    world.client.start_scenario(RPC)
    runner = runner_of(world)
    for _ in range(3):
        runner.run_once()
    found = states(world)
    assert found[RPC] == found["data_project_create"] == "received"
    assert found["notify_project_create"] == found["inform_transaction_complete"] == "in-progress"
    world.run_to_the_end(runner)
    world.assert_all_completed()


def test_by_default_nothing_is_set(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    flaky_world.runner().run_once()
    assert calls(service) == []


def test_it_is_set_once_and_no_event_tells_of_it(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    flaky_world.runner().poll_once()
    written = count_of(flaky_world.engine)
    runner = runner_of(flaky_world)
    assert runner._parts.client_states is not None
    for _ in range(3):
        runner.poll_once()
        runner._parts.client_states.set_some()
    assert len(calls(service)) == 1
    assert calls(service)[0].endswith("/client_state/received")
    assert count_of(flaky_world.engine) == written


def test_another_tools_state_is_left_alone(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    [packet] = flaky_world.client.list_packets()
    flaky_world.client.set_packet_client_state(packet, "in-review")
    runner_of(flaky_world).run_once()
    assert states(flaky_world)[RPC] == "in-review"
    assert len(calls(service)) == 1  # that tool's


@pytest.mark.parametrize("fault", [BEFORE, UNKNOWN_FAULT])
def test_a_call_that_fails_is_logged_and_made_again_after_the_next_full_listing(
    flaky_world: World, service: FlakyService, clock: Clock, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    for _ in range(3):
        flaky_world.client.start_scenario(RPC)
    runner = runner_of(flaky_world, full_listing_every=timedelta(minutes=15))
    noting = runner._parts.client_states
    assert noting is not None
    service.fail("PUT", fault, fault)
    runner.poll_once()
    noting.set_some()
    assert "The client_state of packet 1747" in caplog.text
    assert "Robin Example" not in caplog.text
    runner.poll_once()
    noting.set_some()
    assert len(calls(service)) == 2  # one packet, tried twice by the client
    clock.forward(minutes=15)
    runner.poll_once()
    noting.set_some()
    assert len(calls(service)) == 5
    assert states(flaky_world) == {RPC: "received"}


def test_a_failure_is_no_error_of_the_round(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    service.fail("PUT", *[UNKNOWN_FAULT] * 4)
    done = runner_of(flaky_world).run_once()
    assert (done.errors, done.sent) == ([], 1)
    assert len(calls(service)) == 2


def test_a_packet_that_the_service_forgot_stops_no_other(
    flaky_world: World, service: FlakyService, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = runner_of(flaky_world, full_listing_every=timedelta(hours=1))
    runner.poll_once()
    sandbox.reset()
    flaky_world.client.start_scenario(RPC)
    runner.poll_once()
    assert runner._parts.client_states is not None
    runner._parts.client_states.set_some()
    assert "The service does not know packet 1747" in caplog.text
    assert states(flaky_world) == {RPC: "received"}


def test_a_round_makes_few_calls(flaky_world: World, service: FlakyService) -> None:
    for _ in range(30):
        flaky_world.client.start_scenario(RPC)
    runner = runner_of(flaky_world, full_listing_every=timedelta(hours=1))
    runner.poll_once()
    states_of_packets = runner._parts.client_states
    assert states_of_packets is not None
    states_of_packets.set_some()
    assert len(calls(service)) == 20
    states_of_packets.set_some()
    states_of_packets.set_some()
    assert len(calls(service)) == 30


def test_a_slow_service_is_not_waited_for(flaky_world: World, service: FlakyService) -> None:
    for _ in range(3):
        flaky_world.client.start_scenario(RPC)
    listing = flaky_world.client.list_packets()
    flaky_world.engine.receive_all(listing)
    clock = iter([0.0, 0.0, 6.0])
    noting = ClientStates(flaky_world.engine, flaky_world.client, "received", seconds=lambda: next(clock))
    noting.see(listing, {str(packet.packet_rec_id) for packet in listing}, is_full=True)
    noting.set_some()
    assert len(calls(service)) == 1


def test_what_is_in_quarantine_gets_none(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    listing = flaky_world.client.list_packets()
    noting = ClientStates(flaky_world.engine, flaky_world.client, "received")
    noting.see(listing, {str(packet.packet_rec_id) for packet in listing}, is_full=True)
    noting.set_some()  # the log does not have it
    assert calls(service) == []


def test_after_an_error_it_waits(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = runner_of(flaky_world)
    service.fail("POST", UNKNOWN_FAULT)
    assert len(runner.run_once().errors) == 1
    assert calls(service) == []
    runner.run_once()
    assert states(flaky_world)[RPC] == "received"


@pytest.mark.parametrize("state", ["", "a b", "x" * 33, "a/b", "é", "-a"])
def test_a_state_that_cannot_be_one_is_refused(world: World, state: str) -> None:
    with pytest.raises(SettingsError, match="client_state must have"):
        Runner(world.engine, world.client, tiny_site(), client_state=state)


def test_one_that_the_log_cannot_read_keeps_no_other_without_it(world: World) -> None:
    for _ in range(2):
        world.client.start_scenario(RPC)
    world.runner().poll_once()
    write_as_a_later_release(world.engine, world.sandbox.transactions()[0].trans_rec_id)
    runner = runner_of(world)
    runner.run_once()
    first, second = (
        world.sandbox.transaction(one.trans_rec_id)["DATA"][0]["header"]["client_state"]
        for one in world.sandbox.transactions()
    )
    assert (first in ("", None), second) == (True, "received")


def test_a_proxys_page_is_no_word_on_a_packet(
    flaky_world: World, service: FlakyService, caplog: pytest.LogCaptureFixture
) -> None:
    """Else there would be a call and a warning for each."""
    for _ in range(3):
        flaky_world.client.start_scenario(RPC)
    runner = runner_of(flaky_world, full_listing_every=timedelta(hours=1))
    service.fail("PUT", *[(404, b"<html>404 Not Found</html>", "text/html")] * 3)
    runner.run_once()
    assert len(calls(service)) == 1
    assert "after the next full listing again" in caplog.text
