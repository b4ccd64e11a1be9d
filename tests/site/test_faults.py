"""A service that is down, out of order, or not what answers: the loop tells, goes on, and recovers."""

from __future__ import annotations

import json
import logging

import pytest

from amie_engine import AMIERequestError
from amie_engine.errors import ServiceFault
from amie_engine.testing import Clock
from tests.site.site_world import (
    BEFORE,
    HTML,
    KEY,
    NO_KEY,
    PERSONAL,
    TOO_MANY,
    UNKNOWN_FAULT,
    Fault,
    FlakyService,
    World,
    client_for,
)

TWO = "request_project_reactivate"

ANSWERS: list[tuple[Fault, str]] = [
    (UNKNOWN_FAULT, "service-fault"),
    (NO_KEY, "service-authentication"),
    (HTML, "service-unreadable-answer"),
    ((302, b"", "text/html"), "service-unreadable-answer"),
    (TOO_MANY, "service-rate-limited"),
    ("close before acting", "service-unreachable"),
]


def _log_is_clean(text: str) -> bool:
    return KEY not in text and PERSONAL not in text


@pytest.mark.parametrize(("fault", "code"), ANSWERS)
def test_a_poll_that_fails_is_told_and_the_rest_of_the_round_goes_on(
    flaky_world: World, service: FlakyService, caplog: pytest.LogCaptureFixture, fault: Fault, code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    flaky_world.client.start_scenario(TWO)
    runner = flaky_world.runner()
    runner.poll_once()

    service.fail("GET", fault, fault)  # the client tries what may pass a second time
    broken = runner.run_once()
    assert [error.code for error in broken.errors] == [code]
    assert broken.sent == 2
    assert f"{code}: " in caplog.text
    assert _log_is_clean(caplog.text)

    service.faults.clear()
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()


@pytest.mark.parametrize(("fault", "code"), ANSWERS)
def test_a_send_that_fails_is_told_and_made_up_for(
    flaky_world: World,
    service: FlakyService,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    code: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    flaky_world.client.start_scenario(TWO)
    runner = flaky_world.runner()

    service.fail("POST", fault, fault)
    broken = runner.run_once()
    assert {error.code for error in broken.errors} == {code}
    assert broken.sent == 0
    assert "notify_project_create of transaction" in caplog.text
    assert _log_is_clean(caplog.text)

    service.faults.clear()
    clock.forward(minutes=4)
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies("notify_project_create")) == 2


def test_with_one_fault_the_other_packets_are_sent_all_the_same(
    flaky_world: World, service: FlakyService
) -> None:
    flaky_world.client.start_scenario(TWO)
    service.fail("POST", UNKNOWN_FAULT)
    done = flaky_world.runner().run_once()
    assert done.sent == 1
    assert [type(error) for error in done.errors] == [ServiceFault]


def test_with_a_refused_key_nothing_more_is_tried(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(TWO)
    service.fail("POST", NO_KEY)
    done = flaky_world.runner().run_once()
    assert done.sent == 0
    assert len(done.errors) == 1
    assert [outgoing.status for outgoing in flaky_world.engine.outbox.open()] == ["attempting", "pending"]


@pytest.mark.parametrize(
    ("faults", "sent"),
    [
        ([BEFORE, BEFORE], 0),  # nothing more is tried
        ([BEFORE], 3),  # one that was cut holds up no other
        ([BEFORE, UNKNOWN_FAULT, BEFORE], 1),  # it answers
    ],
)
def test_without_a_connection_twice_in_a_row_nothing_more_is_tried(
    flaky_world: World, service: FlakyService, faults: list[Fault], sent: int
) -> None:
    flaky_world.client.start_scenario(TWO)
    flaky_world.client.start_scenario(TWO)
    service.fail("POST", *faults)
    done = flaky_world.runner().run_once()
    assert (done.sent, len(done.errors)) == (sent, len(faults))
    waiting = [outgoing.status for outgoing in flaky_world.engine.outbox.open()]
    assert waiting.count("attempting") == len(faults)
    assert len(waiting) == 4 - sent


def test_a_service_that_is_down_is_told_each_round_until_it_is_back(
    flaky_world: World, service: FlakyService, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    flaky_world.client.start_scenario(TWO)
    runner = flaky_world.runner()
    service.down = True
    for _ in range(3):
        assert [error.code for error in runner.run_once().errors] == ["service-unreachable"]
        clock.forward(minutes=4)
    assert caplog.text.count("service-unreachable: No answer to GET packets/NCSA") == 3

    service.down = False
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()


def test_a_history_that_cannot_be_fetched_holds_up_nothing_else(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(TWO)
    old = World(flaky_world.sandbox, flaky_world.url, clock)
    old.runner().run_once()
    old.close()
    lost, runner = flaky_world, flaky_world.runner()

    listing: Fault = _listing_of(lost)
    service.fail("GET", listing, UNKNOWN_FAULT, UNKNOWN_FAULT)  # then the first of the two histories
    first = runner.run_once()
    assert [error.code for error in first.errors] == ["service-fault"]
    assert first.sent == 1

    lost.run_to_the_end(runner)
    lost.assert_all_completed()


def _listing_of(world: World) -> Fault:
    body = json.dumps({"message": None, "result": world.sandbox.list_packets()})
    return (200, body.encode(), "application/json")


def test_a_step_on_its_own_raises_what_a_round_would_note(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(TWO)
    runner = flaky_world.runner()
    service.fail("GET", UNKNOWN_FAULT, UNKNOWN_FAULT)
    with pytest.raises(AMIERequestError, match="500"):
        runner.poll_once()
    runner.poll_once()
    runner.work_once()
    service.fail("POST", UNKNOWN_FAULT)
    with pytest.raises(AMIERequestError, match="500"):
        runner.send_once()


def test_a_wrong_key_is_told_with_what_to_check(
    flaky_world: World, service: FlakyService, caplog: pytest.LogCaptureFixture
) -> None:
    flaky_world.client = client_for(service.url, "a-wrong-key")
    done = flaky_world.runner().run_once()
    assert [error.code for error in done.errors] == ["service-authentication"]
    assert "Check the site's name and API key" in caplog.text
    assert "a-wrong-key" not in caplog.text
