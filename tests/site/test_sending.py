"""One logical reply, ever: after an outcome that is not known, the site looks before it sends again."""

from __future__ import annotations

import json
import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from amie_engine import AMIEClient, Engine, OutcomeKind, Packet, Runner
from amie_engine.engine.outbox import Outgoing
from amie_engine.errors import ServiceAuthenticationError, ServiceUnreachable
from amie_engine.packet import NotifyPersonIDs, NotifyUserModify
from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.site import Round
from amie_engine.testing import Clock
from tests.site.site_world import (
    AFTER,
    BEFORE,
    HTML,
    KEY,
    NAME,
    NO_KEY,
    TOO_MANY,
    UNKNOWN_FAULT,
    VAGUE,
    Fault,
    FlakyService,
    World,
    client_for,
    database_in,
    handling,
    tiny_site,
)

RPC, NPC = "request_project_create", "notify_project_create"

UNKNOWN: list[Fault] = [BEFORE, AFTER, UNKNOWN_FAULT, HTML]


def _posts(service: FlakyService) -> int:
    return sum(method == "POST" and "/packets/" in path for method, path in service.calls)


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_reply_whose_outcome_is_unknown_arrives_exactly_once(
    flaky_world: World, service: FlakyService, clock: Clock, fault: Fault
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", fault)
    runner.run_once()
    acted = len(flaky_world.replies(NPC))
    assert acted == (1 if fault == AFTER else 0)
    assert _posts(service) == 1

    clock.forward(seconds=239)
    runner.send_once()
    assert _posts(service) == 1  # it is too early even to look

    clock.forward(seconds=1)
    runner.send_once()
    assert _posts(service) == (1 if acted else 2)
    assert len(flaky_world.replies(NPC)) == 1

    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies(NPC)) == 1
    story = flaky_world.engine.history(flaky_world.sandbox.transactions()[0].trans_rec_id)
    decided = [entry for entry in story.entries if entry.event == "packet_decided"]
    assert [entry.packet_type for entry in decided] == [NPC, "inform_transaction_complete"]


def test_what_the_hub_answers_proves_that_the_reply_has_arrived(
    flaky_world: World, service: FlakyService
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", AFTER)
    runner.run_once()
    done = runner.run_once()  # at once: the data packet is listed
    assert done.received[OutcomeKind.ACCEPTED] == 1
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies(NPC)) == 1
    assert _posts(service) == 2


def test_what_a_look_finds_needless_has_not_arrived(
    flaky_world: World, service: FlakyService, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The call came to nothing, and meanwhile the hub has failed the transaction."""
    runner = _sent_with_unknown_outcome(flaky_world, service, 1)
    [transaction] = flaky_world.sandbox.transactions()
    flaky_world.sandbox.fail(transaction.trans_rec_id)
    clock.forward(minutes=4)
    with caplog.at_level(logging.INFO):
        assert _sent(runner) == 0
    assert "is not sent: its transaction has ended" in caplog.text
    assert flaky_world.engine.outbox.open() == []


def test_looking_that_fails_sends_nothing(flaky_world: World, service: FlakyService, clock: Clock) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.fail("POST", BEFORE)
    assert _sent(runner) == 0
    service.down = True
    for _ in range(3):
        clock.forward(hours=1)
        assert _sent(runner) == 0
    service.down = False
    assert _posts(service) == 1
    clock.forward(minutes=30)
    assert _sent(runner) == 1


def _sent_with_unknown_outcome(world: World, service: FlakyService, count: int) -> Runner:
    """A runner that has sent so many replies, and knows of none whether it has arrived."""
    for _ in range(count):
        world.client.start_scenario(f"single:{RPC}")
    runner = world.runner()
    service.fail("POST", *[UNKNOWN_FAULT] * count)
    assert len(runner.run_once().errors) == count
    return runner


def _with_a_new_reply(world: World, runner: Runner) -> None:
    """Have another one decided, and not sent yet."""
    world.client.start_scenario(f"single:{RPC}")
    runner.poll_once()
    runner.work_once()


def _begun(engine: Engine) -> Outgoing:
    """What begins a transaction of the site's own, and was not sent yet."""
    engine.start(NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"]))
    [outgoing] = engine.outbox.open()
    return outgoing


def _sent(runner: Any) -> int:
    return int(runner._parts._sender.send_once().arrived)


def test_the_looks_come_at_growing_intervals(flaky_world: World, service: FlakyService, clock: Clock) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", *[UNKNOWN_FAULT] * 8)
    runner.run_once()
    pauses = []
    for attempt in range(1, 8):
        minutes = 0
        while _posts(service) == attempt:
            clock.forward(minutes=1)
            minutes += 1
            _sent(runner)
        pauses.append(minutes)
    assert pauses == [4, 8, 16, 30, 30, 30, 30]


# Looks that fail

NOTHING_HERE: Fault = (404, b'{"detail": "Not Found"}', "application/json")
MAINTENANCE: Fault = (200, b'{"error": "Scheduled maintenance, please come back"}', "application/json")


def _minutes_to_a_look(runner: Runner, service: FlakyService, clock: Clock) -> int:
    """Send every minute, until the service is called."""
    calls, minutes = len(service.calls), 0
    while len(service.calls) == calls:
        clock.forward(minutes=1)
        minutes += 1
        _sent(runner)
        assert minutes < 100
    return minutes


@pytest.mark.parametrize("is_start", [False, True])
@pytest.mark.parametrize("fault", [BEFORE, UNKNOWN_FAULT, HTML, NOTHING_HERE, MAINTENANCE])
def test_a_look_that_fails_is_repeated_after_growing_pauses(
    flaky_world: World, service: FlakyService, clock: Clock, fault: Fault, is_start: bool
) -> None:
    if is_start:
        _begun(flaky_world.engine)
    else:
        flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", BEFORE)
    runner.run_once()
    service.fail("GET", *[fault] * 100)
    assert [_minutes_to_a_look(runner, service, clock) for _ in range(6)] == [4, 8, 16, 30, 30, 30]

    again = flaky_world.runner()  # a new process knows nothing of them
    calls = len(service.calls)
    _sent(again)
    assert len(service.calls) > calls
    assert _minutes_to_a_look(again, service, clock) == 8

    service.faults.clear()
    assert _posts(service) == 1
    assert _minutes_to_a_look(runner, service, clock) <= 30
    assert _posts(service) == 2
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.sandbox.transactions()) == 1


def test_an_attempt_after_looks_that_failed_begins_its_own_pauses(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", *[UNKNOWN_FAULT] * 3)
    runner.run_once()
    service.fail("GET", *[UNKNOWN_FAULT] * 4)  # two looks, each tried twice
    pauses = [_minutes_to_a_look(runner, service, clock) for _ in range(5)]
    assert pauses == [4, 8, 16, 8, 16]  # the third look sends it again
    assert _posts(service) == 4


def test_a_clock_that_goes_back_holds_up_no_look(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", BEFORE)
    runner.run_once()
    clock.forward(days=2)
    service.fail("GET", *[UNKNOWN_FAULT] * 2)
    assert _sent(runner) == 0
    clock.forward(days=-1)
    assert _sent(runner) == 0
    clock.forward(minutes=7)
    assert _sent(runner) == 0
    clock.forward(minutes=1)
    assert _sent(runner) == 1


def test_two_looks_that_fail_leave_the_others_to_a_later_round_and_send_what_is_new(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    runner = _sent_with_unknown_outcome(flaky_world, service, 6)
    clock.forward(minutes=4)
    _with_a_new_reply(flaky_world, runner)

    def looks() -> list[str]:
        """What is looked for in one round; each of it is tried twice."""
        calls = len(service.calls)
        _sent(runner)
        return [path for method, path in service.calls[calls:] if method == "GET"]

    service.fail("GET", *[UNKNOWN_FAULT] * 12)
    rounds = [looks() for _ in range(4)]
    assert _posts(service) == 7
    assert [len(paths) for paths in rounds] == [4, 4, 4, 0]
    assert len({path for paths in rounds for path in paths}) == 6
    clock.forward(minutes=8)
    assert len(looks()) == 6
    assert flaky_world.engine.outbox.open() == []


def test_what_can_never_be_looked_for_holds_up_no_other(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """Two transactions whose histories the service can't show, and which are the oldest."""
    runner = _sent_with_unknown_outcome(flaky_world, service, 4)
    clock.forward(minutes=30)
    oldest = [outgoing.stream for outgoing in flaky_world.engine.outbox.open()][:2]
    service.fail("GET", *[UNKNOWN_FAULT] * 4)
    service.fail("POST", UNKNOWN_FAULT, UNKNOWN_FAULT)
    assert _sent(runner) == 0
    assert _posts(service) == 4
    assert _sent(runner) == 0
    assert _posts(service) == 6
    clock.forward(minutes=30)  # all four are due
    service.fail("GET", None, None, *[UNKNOWN_FAULT] * 4)
    assert _sent(runner) == 2
    assert [outgoing.stream for outgoing in flaky_world.engine.outbox.open()] == oldest


def test_what_is_sent_anew_after_a_refusal_is_looked_for_after_growing_pauses(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    runner = _refused(flaky_world, service, _refuse(400))
    [refusal] = flaky_world.engine.outbox.rejected()
    flaky_world.engine.resend(refusal.stream, actor="help desk")
    service.fail("GET", *[UNKNOWN_FAULT] * 6)
    assert _sent(runner) == 0
    assert [_minutes_to_a_look(runner, service, clock) for _ in range(2)] == [4, 8]
    assert _posts(service) == 1
    assert _minutes_to_a_look(runner, service, clock) == 16
    assert _posts(service) == 2
    assert flaky_world.engine.outbox.open() == []


# Answers that prove nothing


@pytest.mark.parametrize("is_start", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        MAINTENANCE,
        (200, b'{"message": "ok", "result": null}', "application/json"),
        (204, b"", "application/json"),
    ],
)
def test_an_answer_without_the_packet_proves_nothing(
    flaky_world: World,
    service: FlakyService,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    answer: Fault,
    is_start: bool,
) -> None:
    if is_start:
        _begun(flaky_world.engine)
    else:
        flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.calls.clear()
    service.fail("POST", answer)
    assert _sent(runner) == 0
    assert [method for method, _ in service.calls] == ["POST", "GET"]
    assert [outgoing.status for outgoing in flaky_world.engine.outbox.open()] == ["attempting"]
    assert "has arrived is not known (service-unreadable-answer)" in caplog.text
    assert "maintenance" not in caplog.text

    assert _minutes_to_a_look(runner, service, clock) == 4
    assert _posts(service) == 2
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.sandbox.transactions()) == 1


@pytest.mark.parametrize("is_start", [False, True])
def test_what_is_there_is_settled_at_once_however_little_the_answer_tells(
    flaky_world: World, service: FlakyService, is_start: bool
) -> None:
    if is_start:
        _begun(flaky_world.engine)
    else:
        flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", VAGUE)
    done = runner.run_once()
    assert (done.sent, done.errors) == (1, [])
    assert flaky_world.engine.outbox.open() == []
    assert _posts(service) == 1
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()


def test_answers_without_packets_are_not_looked_into_once_looks_fail(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    for _ in range(4):
        flaky_world.client.start_scenario(f"single:{RPC}")
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.calls.clear()
    service.fail("POST", *[VAGUE] * 4)
    service.fail("GET", *[UNKNOWN_FAULT] * 4)
    assert _sent(runner) == 0
    assert [method for method, _ in service.calls] == ["POST", "GET", "GET"] * 2 + ["POST"] * 2
    assert _minutes_to_a_look(runner, service, clock) == 4
    assert flaky_world.engine.outbox.open() == []
    assert _posts(service) == 4


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_restart_after_an_attempt_looks_before_it_sends(
    flaky_world: World, service: FlakyService, fault: Fault
) -> None:
    flaky_world.client.start_scenario("request_person_merge")
    service.fail("POST", fault, fault)
    flaky_world.runner().run_once()
    flaky_world.restart()
    flaky_world.run_to_the_end(minutes=4)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies(NPC)) == 2


def test_a_crash_between_the_note_and_the_post_sends_it_after_looking(
    flaky_world: World, service: FlakyService, clock: Clock, tmp_path: Path
) -> None:
    flaky_world.database = database_in(tmp_path)
    flaky_world.restart()
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    [outgoing] = flaky_world.engine.outbox.open()
    flaky_world.engine.outbox.attempt(outgoing)  # and here the process ends
    flaky_world.restart()
    clock.forward(minutes=4)
    runner = flaky_world.runner()
    assert _sent(runner) == 1
    assert [method for method, path in service.calls[-2:]] == ["GET", "POST"]


def test_looking_for_much_holds_up_neither_what_is_new_nor_the_polls(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    runner = _sent_with_unknown_outcome(flaky_world, service, 25)
    clock.forward(minutes=4)
    _with_a_new_reply(flaky_world, runner)

    def looked() -> tuple[str, int]:
        calls = len(service.calls)
        runner.send_once()
        new = service.calls[calls:]
        return new[0][0], sum(method == "GET" for method, _ in new)

    assert looked() == ("POST", 20)
    assert looked() == ("GET", 5)
    assert flaky_world.engine.outbox.open() == []


@pytest.mark.parametrize("looks_first", [True, False])
@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_transaction_of_the_sites_own_is_begun_once(
    flaky_world: World, service: FlakyService, clock: Clock, fault: Fault, looks_first: bool
) -> None:
    ids: Any = NotifyPersonIDs(PersonID="u1001", PrimaryPersonID="u1001", PersonIDList=["u1001"])
    handle = flaky_world.engine.start(ids)
    runner = flaky_world.runner()
    service.fail("POST", fault)
    runner.run_once()
    clock.forward(minutes=4)
    _sent(runner) if looks_first else runner.poll_once()
    assert (flaky_world.engine.history(handle.stream).trans_rec_id is not None) == (
        looks_first or fault == AFTER
    )

    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.sandbox.transactions()) == 1
    [started] = flaky_world.engine.transactions()
    assert started.stream == handle.stream


# A refusal is the service's last word


def _refuse(status: int, body: bytes = b'{"message": "GrantNumber of Robin Example"}') -> Fault:
    return (status, body, "application/json")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "service-validation"),
        (404, "service-not-found"),
        (409, "service-conflict"),
        (413, "service-error"),
        (422, "service-validation"),
    ],
)
def test_a_refused_reply_is_shown_and_mended_by_a_new_one(
    flaky_world: World,
    service: FlakyService,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str,
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", _refuse(status))
    runner.run_once()
    clock.forward(hours=3)
    runner.run_once()

    assert _posts(service) == 1  # it is not sent again
    [shown] = flaky_world.engine.transactions()
    assert shown.problem == f"notify_project_create rejected: {code}"
    assert "Robin Example" not in caplog.text
    assert "was refused" in caplog.text
    story = flaky_world.engine.history(shown.stream, documents=True)
    assert "GrantNumber of Robin Example" in story.entries[-1].document["message"]

    due = flaky_world.engine.expected_reply(shown.stream)
    reply: Any = due.packet
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    flaky_world.engine.reply(shown.stream, reply)
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert flaky_world.engine.transactions()[0].problem is None


# Sending again what was refused


def _refused(world: World, service: FlakyService, fault: Fault) -> Runner:
    """A project request whose reply the service refused."""
    world.client.start_scenario(RPC)
    runner = world.runner()
    service.fail("POST", fault)
    runner.run_once()
    assert len(world.engine.outbox.rejected()) == 1
    return runner


def test_a_mended_reply_arrives_once_and_the_transaction_goes_on(
    flaky_world: World, service: FlakyService
) -> None:
    runner = _refused(flaky_world, service, _refuse(400))
    [refusal] = flaky_world.engine.outbox.rejected()
    flaky_world.engine.resend(refusal.stream, {"PiRemoteSiteLogin": "mended"}, actor="help desk")
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    [arrived] = flaky_world.replies(NPC)
    assert arrived["body"]["PiRemoteSiteLogin"] == "mended"


def test_another_tool_that_answered_meanwhile_is_found_before_it_is_sent(
    flaky_world: World, service: FlakyService
) -> None:
    runner = _refused(flaky_world, service, _refuse(400))
    [refusal] = flaky_world.engine.outbox.rejected()
    assert refusal.packet is not None
    flaky_world.engine.resend(refusal.stream, {"PiRemoteSiteLogin": "mended"}, actor="help desk")
    flaky_world.client.send_packet(refusal.packet, skip_validation=True)
    posts = _posts(service)
    assert _sent(runner) == 0
    assert _posts(service) == posts
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies(NPC)) == 1


def test_what_the_service_does_not_know_any_more_may_be_refused_once_more(
    flaky_world: World, service: FlakyService, sandbox: Sandbox
) -> None:
    runner = _refused(flaky_world, service, _refuse(400))
    [refusal] = flaky_world.engine.outbox.rejected()
    sandbox.reset()
    flaky_world.engine.resend(refusal.stream, actor="help desk")
    assert _sent(runner) == 0
    assert flaky_world.engine.outbox.open() == []
    assert len(flaky_world.engine.outbox.rejected()) == 1


def _refused_and_there(world: World, service: FlakyService) -> Runner:
    """A start that the service has, though a gateway before it said no, and that is to be sent again."""
    world.engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"]))
    runner = world.runner()
    service.fail("POST", _refuse(400))
    runner.send_once()
    [refusal] = world.engine.outbox.rejected()
    assert refusal.packet is not None
    world.client.send_packet(refusal.packet)
    world.engine.resend(refusal.stream, actor="help desk")
    return runner


def test_a_start_that_is_there_all_the_same_is_not_sent_again(
    flaky_world: World, service: FlakyService
) -> None:
    runner = _refused_and_there(flaky_world, service)
    assert _sent(runner) == 1
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.engine.transactions()) == 1


def test_what_cannot_be_looked_for_is_not_sent_again_since_a_proxy_does_not_find_it(
    flaky_world: World, service: FlakyService
) -> None:
    runner = _refused_and_there(flaky_world, service)
    posts = _posts(service)
    service.fail("GET", (404, b"<html>nginx</html>", "text/html"))
    assert _sent(runner) == 0
    assert _posts(service) == posts


@pytest.mark.parametrize("fault", [NO_KEY, TOO_MANY])
def test_what_surely_came_to_nothing_is_sent_again_after_a_pause_without_looking(
    flaky_world: World, service: FlakyService, clock: Clock, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    flaky_world.client.start_scenario("request_project_reactivate")  # two replies
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.calls.clear()
    service.fail("POST", fault, fault)
    seconds = []
    for attempt in (1, 2, 3):
        waited = 0
        while _posts(service) < attempt:
            _sent(runner)
            clock.forward(seconds=1)
            waited += 1
        seconds.append(waited)
    assert seconds == [1, 15, 30]  # the pauses begin with the call
    assert "was not sent" in caplog.text
    assert "is not known" not in caplog.text
    assert [method for method, _ in service.calls] == ["POST"] * 4  # the last two in one go
    assert flaky_world.engine.outbox.open() == []


def test_what_surely_came_to_nothing_tells_nothing_of_an_attempt_before_it(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """The first one, of which nothing is known, arrives late: after the look that did not find it."""
    outgoing = _begun(flaky_world.engine)
    packet = flaky_world.engine.outbox.attempt(outgoing)  # a call that is under way for long
    assert packet is not None
    runner = flaky_world.runner()
    service.fail("POST", TOO_MANY)
    clock.forward(minutes=4)
    assert _sent(runner) == 0
    flaky_world.client.send_packet(packet)
    for _ in range(20):
        clock.forward(minutes=1)
        _sent(runner)
    assert len(flaky_world.sandbox.transactions()) == 1
    assert flaky_world.engine.outbox.open() == []


def test_one_that_is_always_forbidden_holds_up_no_other(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """By a filter before the service, say, that does not like what is in it; polls are answered."""
    forbidden: Fault = (403, b'{"message": "Forbidden"}', "application/json")
    flaky_world.client.start_scenario("request_project_reactivate")  # two replies
    runner = flaky_world.runner()
    service.fail("POST", forbidden)
    round_ = runner.run_once()
    assert not round_.key_is_refused
    clock.forward(seconds=15)
    service.fail("POST", None, forbidden)
    assert _sent(runner) == 1
    assert [outgoing.attempts for outgoing in flaky_world.engine.outbox.open()] == [2]


def test_one_that_is_forbidden_between_two_polls_tells_nothing_of_the_key(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    forbidden: Fault = (403, b'{"message": "Forbidden"}', "application/json")
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner(interval=3600.0)
    service.fail("POST", *[forbidden] * 2)
    runner.tick()
    clock.forward(seconds=15)
    round_, _ = runner.tick()
    assert [type(error) for error in round_.errors] == [ServiceAuthenticationError]
    assert not round_.polled
    assert not round_.key_is_refused
    assert flaky_world.engine.status().service.state == "answers"
    clock.forward(seconds=30)
    runner.tick()
    assert flaky_world.engine.outbox.open() == []


def test_a_key_that_is_refused_between_two_polls_is_told_of(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner(interval=3600.0)
    service.fail("POST", TOO_MANY, NO_KEY)
    runner.tick()
    clock.forward(seconds=15)
    round_, _ = runner.tick()
    assert (round_.polled, round_.key_is_refused) == (False, True)
    assert flaky_world.engine.status().service.state == "refuses_key"


@pytest.mark.parametrize("page", [403, 429])
def test_a_proxys_page_may_hide_that_the_service_has_acted(
    flaky_world: World, service: FlakyService, clock: Clock, page: int
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", (page, b"<html>Blocked</html>", "text/html"))
    runner.run_once()
    clock.forward(minutes=3, seconds=59)
    assert _sent(runner) == 0
    assert _posts(service) == 1
    clock.forward(seconds=1)
    assert _sent(runner) == 1


def test_an_attempt_in_the_future_is_looked_for_after_the_usual_time(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """A host whose clock was ahead has written to the log, whose time never goes back: what is sent now is
    on record for then. Another process must not look, and send it again, while the call is under way."""
    clock.forward(minutes=30)
    flaky_world.engine.start(
        NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"])
    )
    clock.forward(minutes=-30)
    [outgoing] = flaky_world.engine.outbox.open()
    packet = flaky_world.engine.outbox.attempt(outgoing)
    assert packet is not None
    other = flaky_world.runner()
    for _ in range(16):
        assert _sent(other) == 0
        clock.forward(seconds=14)
    assert service.calls == []
    flaky_world.client.send_packet(packet)  # only now it arrives
    clock.forward(seconds=16)
    assert _sent(other) == 1
    assert len(flaky_world.sandbox.transactions()) == 1


@pytest.mark.parametrize("days", [2, 365])
def test_a_clock_that_was_ahead_once_has_nothing_begun_twice_later(
    flaky_world: World, service: FlakyService, clock: Clock, days: int
) -> None:
    """The log's time stays there; what is sent now is looked for since now."""
    clock.now = datetime.now(UTC) + timedelta(days=days)  # the service's is right
    flaky_world.sandbox.start_scenario(RPC)
    flaky_world.runner().poll_once()
    clock.now = datetime.now(UTC)
    start = NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"])
    stream = flaky_world.engine.start(start).stream
    runner = flaky_world.runner()
    service.fail("POST", AFTER)
    _sent(runner)
    for _ in range(4):
        clock.forward(hours=30)
        _sent(runner)
    assert [one.type for one in flaky_world.sandbox.transactions()].count("notify_user_modify") == 1
    assert stream not in [outgoing.stream for outgoing in flaky_world.engine.outbox.open()]


def test_also_where_it_was_refused_and_is_sent_again_later(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """The service had acted, and a gateway before it said no."""
    clock.now = datetime.now(UTC) + timedelta(days=3)
    flaky_world.sandbox.start_scenario(RPC)
    flaky_world.runner().poll_once()
    clock.now = datetime.now(UTC)
    flaky_world.engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"]))
    runner = flaky_world.runner()
    service.fail("POST", _refuse(400))
    _sent(runner)
    [refusal] = [one for one in flaky_world.engine.outbox.rejected() if one.packet is not None]
    assert refusal.packet is not None
    flaky_world.client.send_packet(refusal.packet)
    clock.forward(days=4)
    flaky_world.engine.resend(refusal.stream, actor="help desk")
    _sent(runner)
    assert [one.type for one in flaky_world.sandbox.transactions()].count("notify_user_modify") == 1


def test_a_look_among_all_takes_in_nothing_of_what_another_tool_began(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    for person in ("u7", "u8"):
        flaky_world.client.send_packet(
            NotifyUserModify(ActionType="add", PersonID=person, DnList=["/CN=Robin Example"])
        )
    clock.now = datetime.now(UTC) + timedelta(hours=3)
    flaky_world.engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"]))
    [outgoing] = flaky_world.engine.outbox.open()
    assert flaky_world.engine.outbox.attempt(outgoing) is not None
    clock.now = datetime.now(UTC)
    runner = flaky_world.runner()
    _sent(runner)
    clock.forward(minutes=5)
    assert _sent(runner) == 1
    assert len(flaky_world.engine.transactions()) == 1
    assert len(flaky_world.sandbox.transactions()) == 3


def test_clocks_that_differ_by_a_minute_make_no_look_longer(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    clock.now = datetime.now(UTC) + timedelta(minutes=1)
    flaky_world.engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"]))
    [outgoing] = flaky_world.engine.outbox.open()
    flaky_world.engine.outbox.attempt(outgoing)
    clock.now = datetime.now(UTC)
    flaky_world.runner().reconcile()
    listings = [path for method, path in service.calls if "/packets/NCSA" in path and "states" in path]
    assert listings
    assert all("update_time" in path for path in listings)


def test_what_was_attempted_by_a_clock_that_was_ahead_is_looked_for_among_all(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    clock.now = datetime.now(UTC) + timedelta(days=9)
    flaky_world.engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"]))
    [outgoing] = flaky_world.engine.outbox.open()
    packet = flaky_world.engine.outbox.attempt(outgoing)
    clock.now = datetime.now(UTC)
    assert packet is not None
    flaky_world.client.send_packet(packet)
    runner = flaky_world.runner()
    clock.forward(days=3)  # nothing ran for so long
    assert _sent(runner) == 0
    clock.forward(minutes=5)
    assert _sent(runner) == 1
    assert len(flaky_world.sandbox.transactions()) == 1


def test_a_process_that_was_stopped_right_before_sending_looks_first(
    flaky_world: World, service: FlakyService, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, or its host, for so long that another process has looked, and sent it."""
    engine = flaky_world.engine
    engine.start(NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"]))
    attempt = engine.outbox.attempt
    other = flaky_world.runner()

    def attempt_and_stop(outgoing: Outgoing) -> Packet | None:
        packet = attempt(outgoing)
        monkeypatch.setattr(engine.outbox, "attempt", attempt)
        clock.forward(minutes=5)
        assert _sent(other) == 1
        return packet

    monkeypatch.setattr(engine.outbox, "attempt", attempt_and_stop)
    assert _sent(flaky_world.runner()) == 0
    assert len(flaky_world.sandbox.transactions()) == 1
    assert engine.outbox.open() == []


def test_at_a_wrong_url_no_transaction_is_set_failed(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    [transaction] = {packet.trans_rec_id for packet in flaky_world.client.list_packets()}
    flaky_world.engine.fail(str(transaction), "the grant is unknown")
    service.fail("PUT", NOTHING_HERE)
    assert _sent(runner) == 0
    assert [outgoing.status for outgoing in flaky_world.engine.outbox.open()] == ["attempting"]
    clock.forward(minutes=1)
    assert _sent(runner) == 1
    assert [one.state for one in flaky_world.sandbox.transactions()] == ["failed"]


def test_the_service_says_how_long_to_wait(flaky_world: World, service: FlakyService, clock: Clock) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.retry_after = 120
    service.fail("POST", TOO_MANY)
    assert len(runner.run_once().errors) == 1
    clock.forward(seconds=119)
    assert _sent(runner) == 0
    assert _posts(service) == 1
    clock.forward(seconds=1)
    assert _sent(runner) == 1


def test_a_service_that_is_not_there_has_done_nothing(world: World, sandbox: Sandbox, clock: Clock) -> None:
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with client_for(f"http://127.0.0.1:{port}{urlsplit(world.url).path}") as client:
            runner = Runner(world.engine, client, tiny_site(), jitter=lambda: 1.0)
            runner.work_once()
            with pytest.raises(ServiceUnreachable) as caught:
                runner.send_once()
            assert caught.value.nothing_done
            taken.close()
            with SandboxServer(sandbox, port=port):
                clock.forward(seconds=14)
                assert runner.send_once() == 0
                clock.forward(seconds=1)
                assert runner.send_once() == 1
    assert len(world.replies(NPC)) == 1


def test_a_wrong_url_makes_no_transaction_unknown(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """Whoever answers there says in good JSON that nothing is there."""
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.fail("POST", NOTHING_HERE)
    service.fail("GET", NOTHING_HERE, NOTHING_HERE)
    assert _sent(runner) == 0
    assert [outgoing.status for outgoing in flaky_world.engine.outbox.open()] == ["attempting"]
    clock.forward(minutes=4)
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413])
def test_a_proxys_page_refuses_nothing_for_good(
    flaky_world: World, service: FlakyService, clock: Clock, status: int
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    service.fail("POST", (status, b"<html>Not here</html>", "text/html"))
    assert len(runner.run_once().errors) == 1
    clock.forward(minutes=4)
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()


def test_what_another_process_has_on_its_way_is_not_sent_a_second_time(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    """Nobody would find it at the service yet, and a start that is sent twice is two transactions."""
    outgoing = _begun(flaky_world.engine)
    packet = flaky_world.engine.outbox.attempt(outgoing)  # by the other, whose call takes a while
    assert packet is not None
    for _ in range(7):
        clock.forward(seconds=15)
        assert _sent(flaky_world.runner()) == 0
        assert service.calls == []
    flaky_world.client.send_packet(packet)  # now it arrives; and there that process ends
    clock.forward(minutes=4)
    flaky_world.run_to_the_end()
    flaky_world.assert_all_completed()
    assert len(flaky_world.sandbox.transactions()) == 1


def test_a_client_that_waits_long_for_an_answer_is_given_longer(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    patient = AMIEClient(NAME, KEY, flaky_world.client.amie_url, timeout=(10.0, 590.0))
    flaky_world.client, impatient = patient, flaky_world.client
    outgoing = _begun(flaky_world.engine)
    assert flaky_world.engine.outbox.attempt(outgoing) is not None
    clock.forward(minutes=29)
    assert _sent(flaky_world.runner()) == 0
    assert service.calls == []
    clock.forward(minutes=1)
    assert _sent(flaky_world.runner()) == 1
    patient.close()
    flaky_world.client = impatient


def test_a_conflict_because_the_first_attempt_had_arrived_is_no_refusal(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    [outgoing] = flaky_world.engine.outbox.open()
    packet = flaky_world.engine.outbox.attempt(outgoing)
    assert packet is not None
    empty: Fault = _of_the_transaction(flaky_world)
    flaky_world.client.send_packet(packet)
    clock.forward(minutes=4)
    service.fail("GET", empty)  # a look that is behind: the packet is not there yet

    assert _sent(runner) == 1
    assert flaky_world.engine.transactions()[0].problem is None
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.replies(NPC)) == 1


def _of_the_transaction(world: World) -> Fault:
    [one] = world.sandbox.transactions()
    document = {"message": None, "result": world.sandbox.transaction(one.trans_rec_id)}
    return (200, json.dumps(document).encode(), "application/json")


# Failing a transaction at the service


def test_setting_a_transaction_failed_is_a_call_of_its_own_that_may_be_repeated(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.run_once()  # the reply has gone out
    [one] = flaky_world.sandbox.transactions()
    flaky_world.engine.fail(one.trans_rec_id, "The disk is full.")
    service.fail("PUT", AFTER, AFTER)
    broken = runner.run_once()
    assert [error.code for error in broken.errors] == ["service-unreachable"]
    assert flaky_world.sandbox.transactions()[0].state == "failed"

    clock.forward(minutes=4)
    assert _sent(runner) == 1
    assert flaky_world.states() == {str(one.trans_rec_id): "failed"}
    assert flaky_world.engine.outbox.open() == []


def test_a_handler_that_fails_a_transaction_ends_it_on_both_sides(flaky_world: World) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner(handling(RPC, lambda packet, work: work.fail("No such machine here.")))
    runner.run_once()
    [one] = flaky_world.sandbox.transactions()
    assert one.state == "failed"
    assert flaky_world.states() == {str(one.trans_rec_id): "failed"}


def test_two_starts_with_the_same_content_are_two_transactions(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    def modify() -> Packet:
        return NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"])

    flaky_world.engine.start(modify())
    flaky_world.engine.start(modify())
    runner = flaky_world.runner()
    service.fail("POST", AFTER, AFTER)
    for _ in range(4):
        runner.run_once()
        clock.forward(minutes=5)
    flaky_world.run_to_the_end(runner)
    flaky_world.assert_all_completed()
    assert len(flaky_world.sandbox.transactions()) == 2


# Two processes with one log


def test_two_loops_on_one_log_send_each_reply_once(world: World, tmp_path: Path) -> None:
    world.database = database_in(tmp_path)
    world.restart()
    world.client.start_scenario(RPC)
    stop = threading.Event()
    errors: list[str] = []
    barrier = threading.Barrier(2)

    def loop() -> None:
        with Engine(world.database, site=NAME, hub="sandbox", clock=world.clock) as engine:
            client = client_for(world.url)
            barrier.wait(20)

            def on_round(done: Round) -> None:
                errors.extend(error.code for error in done.errors)
                if world.sandbox.idle and not done.moved:
                    stop.set()

            Runner(engine, client, tiny_site(), interval=0.01).run(stop, on_round=on_round)
            client.close()

    loops = [threading.Thread(target=loop) for _ in range(2)]
    for one in loops:
        one.start()
    for one in loops:
        one.join(40)
    assert not any(one.is_alive() for one in loops)
    assert errors == []
    world.assert_all_completed()
    assert len(world.replies(NPC)) == 1
