"""Reconciling: what service and log each say of every open transaction, and what to do where they differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.errors import ServiceAuthenticationError, ServiceUnreachable
from amie_engine.packet import NotifyUserModify
from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.site import Reconciler, Reconciliation, Verdict
from amie_engine.site.standing import TAKE_IN
from amie_engine.testing import Clock
from tests.engine.courses import count_of
from tests.site.site_packets import begin_account, begin_project, request
from tests.site.site_world import (
    AFTER,
    BEFORE,
    KEY,
    NO_KEY,
    UNKNOWN_FAULT,
    FlakyService,
    World,
    client_for,
    write_as_a_later_release,
)

RPC, NPC, ITC = "request_project_create", "notify_project_create", "inform_transaction_complete"
REFUSED = (400, b'{"message": "no"}', "application/json")


def reconcile(world: World) -> Reconciliation:
    """Compare; that changes nothing."""
    written = count_of(world.engine)
    found = Reconciler(world.engine, world.client).reconcile()
    assert count_of(world.engine) == written
    assert found.taken_in == ()
    return found


def verdicts(found: Reconciliation) -> list[str]:
    return [str(standing.verdict) for standing in found.standings]


def take_in(world: World) -> Reconciliation:
    return world.runner().reconcile(take_in=True)


def send_with_unknown_outcome(world: World, service: FlakyService) -> None:
    """Take in a request and answer it; the answer arrives, and the service's word on it does not."""
    world.client.start_scenario(RPC)
    runner = world.runner()
    runner.poll_once()
    runner.work_once()
    service.fail("POST", AFTER)
    with pytest.raises(ServiceUnreachable):
        runner.send_once()


def test_where_nothing_is_open_all_agree(world: World) -> None:
    assert reconcile(world) == Reconciliation(())
    assert reconcile(world).agrees


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_at_every_turn_of_a_transaction_both_agree(world: World, steps: int) -> None:
    world.client.start_scenario(RPC)
    runner = world.runner()
    for _ in range(steps):
        runner.poll_once()
        assert set(verdicts(reconcile(world))) <= {"agrees", "lingers"}
        runner.work_once()
        assert reconcile(world).agrees
        runner.send_once()


def test_a_transaction_that_the_log_does_not_have_is_taken_in(world: World) -> None:
    world.client.start_scenario(RPC)
    found = reconcile(world)
    [standing] = found.standings
    assert (standing.verdict, standing.differs, standing.can_be_taken_in) == (Verdict.NOT_HERE, True, True)
    assert (standing.theirs, standing.ours, standing.type) == ("in-progress", "unknown", RPC)
    assert standing.commands == (TAKE_IN,)
    assert not found.agrees

    after = take_in(world)
    assert (verdicts(after), after.taken_in) == (["agrees"], (standing.trans_rec_id,))
    assert world.states() == {standing.trans_rec_id: "requested"}
    assert take_in(world).taken_in == ()


@pytest.mark.parametrize("has_ended", [False, True])
def test_one_that_the_log_cannot_read_is_named_and_the_others_are_compared(
    world: World, has_ended: bool
) -> None:
    for _ in range(2):
        world.client.start_scenario(RPC)
    world.runner().poll_once()
    first = min(name or "" for name in world.states())
    if has_ended:
        world.engine.fail(first, "not here", actor="help desk")
    write_as_a_later_release(world.engine, first)
    world.client.start_scenario(RPC)
    found = reconcile(world)
    assert verdicts(found) == ["unreadable", "agrees", "not-here"]
    assert found.standings[0].trans_rec_id == first
    assert "which this release does not know" in found.standings[0].sentence
    assert found.standings[0].commands == ("amie-engine verify",)
    after = take_in(world)
    assert verdicts(after) == ["unreadable", "agrees", "agrees"]
    assert first not in after.taken_in


def test_a_packet_that_did_not_come_is_named(world: World) -> None:
    world.client.start_scenario(RPC)
    world.runner().run_once()  # the hub has answered the reply
    [standing] = reconcile(world).standings
    assert standing.verdict is Verdict.NOT_HERE
    assert "They have data_project_create (1747" in standing.sentence
    assert verdicts(take_in(world)) == ["agrees"]


def test_a_reply_whose_arrival_is_unknown_is_found_there(flaky_world: World, service: FlakyService) -> None:
    send_with_unknown_outcome(flaky_world, service)
    [standing] = reconcile(flaky_world).standings
    assert standing.verdict is Verdict.ARRIVED
    assert standing.sentence == f"Our {NPC} has arrived, and the log does not know it yet."
    assert take_in(flaky_world).agrees
    assert flaky_world.engine.outbox.open() == []
    assert len(flaky_world.replies(NPC)) == 1


def test_one_that_has_not_arrived_is_no_difference(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    assert verdicts(reconcile(flaky_world)) == ["sending"]
    service.fail("POST", UNKNOWN_FAULT)
    runner.run_once()
    [standing] = reconcile(flaky_world).standings
    assert (standing.verdict, standing.differs) == (Verdict.SENDING, False)
    assert "is not there yet" in standing.sentence


def test_one_that_was_refused_is_told_with_what_to_do(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    service.fail("POST", REFUSED)
    flaky_world.runner().run_once()
    [standing] = reconcile(flaky_world).standings
    assert (standing.verdict, standing.differs) == (Verdict.REFUSED, False)
    assert standing.commands == (f"amie-engine resend {standing.trans_rec_id}",)
    assert standing.sentence == f"They refused our {NPC}: service-validation."


def test_another_tools_reply_is_taken_in(world: World) -> None:
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    [one] = world.sandbox.transactions()
    reply: Any = world.engine.expected_reply(one.trans_rec_id).packet
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    world.client.send_packet(reply)
    assert verdicts(reconcile(world)) == ["not-here"]
    assert take_in(world).agrees
    assert world.states() == {str(one.trans_rec_id): "confirmed"}


def test_what_failed_there_is_taken_in(world: World) -> None:
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    [one] = world.sandbox.transactions()
    world.client.set_transaction_failed(one.trans_rec_id)
    [standing] = reconcile(world).standings
    assert (standing.verdict, standing.theirs, standing.ours) == (Verdict.ENDED_THERE, "failed", "requested")
    assert standing.sentence == "It has failed there, and is open here."
    assert take_in(world).standings == ()
    assert world.states() == {str(one.trans_rec_id): "failed"}


def test_what_ended_here_alone_is_told(world: World, clock: Clock) -> None:
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    [one] = world.sandbox.transactions()
    clock.forward(days=400)
    world.engine.confirm_deadline(one.trans_rec_id, actor="operator")
    [standing] = reconcile(world).standings
    assert (standing.verdict, standing.commands) == (Verdict.ENDED_HERE, ())
    assert standing.sentence == "It has failed here, and goes on there. Ask the service's operators."


def test_an_inform_that_lingers_is_normal(clock: Clock) -> None:
    sandbox = Sandbox(api_key=KEY, lingering_informs=True)
    with SandboxServer(sandbox) as server:
        world = World(sandbox, server.url, clock)
        world.client.start_scenario("request_project_inactivate")
        runner = world.runner()
        for _ in range(4):
            runner.run_once()
        assert world.states() == {"87100001": "completed"}
        found = reconcile(world)
        [standing] = found.standings
        assert (standing.verdict, standing.ours) == (Verdict.LINGERS, "completed")
        assert found.agrees
        world.close()


def test_what_a_test_service_forgot_is_unknown_there(world: World, sandbox: Sandbox) -> None:
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    sandbox.reset()
    [standing] = reconcile(world).standings
    assert (standing.verdict, standing.theirs) == (Verdict.UNKNOWN_THERE, "unknown")
    name = standing.trans_rec_id
    assert standing.commands == (f'amie-engine fail {name} --reason "unknown at the service"',)
    assert verdicts(take_in(world)) == ["unknown-there"]


Answer = Callable[[dict[str, Any]], None]


def answering(
    world: World, service: FlakyService, change: Answer, *, listing: list[Any] | None = None
) -> None:
    """Have the service answer the next listing, and the next call for the transaction, otherwise than it
    would."""
    [one] = world.sandbox.transactions()
    history = deepcopy(world.sandbox.transaction(one.trans_rec_id))
    change(history)
    listed = [] if listing is None else listing
    for result in (listed, history):
        body = json.dumps({"message": None, "result": result}).encode()
        service.fail("GET", (200, body, "application/json"))


@pytest.fixture
def notified(flaky_world: World) -> World:
    """A project whose request was answered; the hub has said nothing yet."""
    flaky_world.client.start_scenario(RPC)
    flaky_world.runner().run_once()
    assert set(flaky_world.states().values()) == {"notified"}
    return flaky_world


def test_our_reply_that_they_do_not_have_is_told(notified: World, service: FlakyService) -> None:
    def forget(history: dict[str, Any]) -> None:
        history["DATA"] = history["DATA"][:1]

    answering(notified, service, forget)
    [standing] = reconcile(notified).standings
    assert (standing.verdict, standing.can_be_taken_in) == (Verdict.NOT_THERE, False)
    assert standing.sentence == f"Our {NPC} had arrived, and they don't have it. Ask the service's operators."
    assert standing.commands == (f"amie-engine show {standing.trans_rec_id} --documents",)


def test_other_content_is_a_conflict(notified: World, service: FlakyService) -> None:
    def change(history: dict[str, Any]) -> None:
        history["DATA"] = history["DATA"][:2]
        history["DATA"][0]["body"]["PfosNumber"] = "999"

    answering(notified, service, change)
    [standing] = reconcile(notified).standings
    assert standing.verdict is Verdict.CONFLICT
    assert f"{RPC} (1747" in standing.sentence
    assert "has other content there" in standing.sentence


def test_completed_there_with_no_packet_that_says_so(notified: World, service: FlakyService) -> None:
    def complete(history: dict[str, Any]) -> None:
        history["DATA"] = history["DATA"][:2]
        history["state"] = "completed"

    answering(notified, service, complete)
    [standing] = reconcile(notified).standings
    assert (standing.verdict, standing.can_be_taken_in) == (Verdict.ENDED_THERE, False)
    assert "no packet of theirs tells so" in standing.sentence


def test_a_packet_that_waits_for_one_which_they_do_not_have_is_told(
    flaky_world: World, service: FlakyService
) -> None:
    flaky_world.client.start_scenario(RPC)
    flaky_world.runner().poll_once()
    [one] = flaky_world.sandbox.transactions()
    data = request(1, "data_project_create")
    data["header"] |= {"trans_rec_id": one.trans_rec_id, "packet_rec_id": 999_999_999}

    def skip_our_reply(history: dict[str, Any]) -> None:
        history["DATA"].append(data)

    answering(flaky_world, service, skip_our_reply)
    assert verdicts(reconcile(flaky_world)) == ["not-here"]
    flaky_world.engine.receive(data)
    answering(flaky_world, service, skip_our_reply)
    [standing] = reconcile(flaky_world).standings
    assert (standing.verdict, standing.can_be_taken_in) == (Verdict.HELD, False)
    assert "data_project_create (999999999) waits here for one before it" in standing.sentence


def test_an_empty_history_is_told(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    listed = flaky_world.sandbox.list_packets()

    def empty(history: dict[str, Any]) -> None:
        history["DATA"] = []

    answering(flaky_world, service, empty, listing=listed)
    assert verdicts(reconcile(flaky_world)) == ["not-here"]


def test_what_is_in_quarantine_here_is_told(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    flaky_world.runner().poll_once()
    [one] = flaky_world.sandbox.transactions()

    def add(history: dict[str, Any]) -> None:
        odd = deepcopy(history["DATA"][0])
        odd["header"]["packet_rec_id"] = 999
        odd["type"] = "no_such_type"
        history["DATA"].append(odd)

    answering(flaky_world, service, add)
    [new] = reconcile(flaky_world).standings
    assert (new.verdict, new.commands) == (Verdict.QUARANTINED, (TAKE_IN,))

    history = deepcopy(flaky_world.sandbox.transaction(one.trans_rec_id))
    add(history)
    flaky_world.engine.adopt(history)
    [item] = flaky_world.engine.quarantine()
    answering(flaky_world, service, add)
    [known] = reconcile(flaky_world).standings
    assert known.verdict is Verdict.QUARANTINED
    assert known.sentence == "no_such_type (999) is in quarantine here: packet-type-unknown."
    assert known.commands == (f"amie-engine quarantine {item.quarantine_id[:12]}",)


def test_a_document_of_no_transaction_is_told(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    answering(flaky_world, service, lambda _: None, listing=[{"type": 7}])
    service.faults["GET"].pop()
    [standing] = reconcile(flaky_world).standings
    assert (standing.trans_rec_id, standing.verdict) == (None, Verdict.QUARANTINED)
    assert standing.commands == (TAKE_IN,)
    flaky_world.engine.receive({"type": 7})
    answering(flaky_world, service, lambda _: None, listing=[{"type": 7}])
    service.faults["GET"].pop()
    [standing] = reconcile(flaky_world).standings
    assert "is in quarantine here" in standing.sentence


def test_a_transaction_that_cannot_be_told_hides_no_other(flaky_world: World, service: FlakyService) -> None:
    for _ in range(2):
        flaky_world.client.start_scenario(RPC)
    service.fail("GET", *[(200, the_listing(flaky_world), "application/json"), UNKNOWN_FAULT, UNKNOWN_FAULT])
    assert verdicts(reconcile(flaky_world)) == ["untold", "not-here"]


def test_one_connection_that_is_cut_hides_no_other_transaction(
    flaky_world: World, service: FlakyService
) -> None:
    for _ in range(2):
        flaky_world.client.start_scenario(RPC)
    listing = (200, the_listing(flaky_world), "application/json")
    service.fail("GET", listing, BEFORE, BEFORE)  # the client tries it twice
    assert verdicts(reconcile(flaky_world)) == ["untold", "not-here"]


@pytest.mark.parametrize("faults", [[BEFORE] * 4, [UNKNOWN_FAULT, UNKNOWN_FAULT, NO_KEY]])
def test_where_it_is_away_or_refuses_the_key_halfway_what_was_compared_is_told(
    flaky_world: World, service: FlakyService, faults: list[Any]
) -> None:
    for _ in range(3):
        flaky_world.client.start_scenario(RPC)
    flaky_world.runner().poll_once()
    for _ in range(3):
        flaky_world.client.start_scenario(RPC)
    listing = (200, the_listing(flaky_world), "application/json")
    service.fail("GET", listing, *faults)
    # The service would answer again; but it is asked for nothing more.
    assert verdicts(reconcile(flaky_world)) == ["agrees"] * 3 + ["untold", "untold", "not-asked"]


def the_listing(world: World) -> bytes:
    return json.dumps({"message": None, "result": world.sandbox.list_packets()}).encode()


def test_a_proxys_page_makes_no_transaction_unknown(flaky_world: World, service: FlakyService) -> None:
    send_with_unknown_outcome(flaky_world, service)
    service.fail("GET", None, (404, b"<html>404 Not Found</html>", "text/html"))
    [standing] = reconcile(flaky_world).standings
    assert (standing.verdict, standing.commands) == (Verdict.UNTOLD, ())
    assert standing.sentence == "The service could not tell of it: service-not-found."


def test_an_odd_state_of_one_hides_no_other(flaky_world: World, service: FlakyService) -> None:
    flaky_world.client.start_scenario(RPC)
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner()
    runner.poll_once()
    runner.work_once()
    service.fail("POST", BEFORE, BEFORE)
    with pytest.raises(ServiceUnreachable):
        runner.send_once()
    first, _ = flaky_world.sandbox.transactions()
    odd = flaky_world.sandbox.transaction(first.trans_rec_id) | {"state": {"name": "in-progress"}}
    answer = json.dumps({"message": "", "result": odd}).encode()
    service.fail("GET", None, (200, answer, "application/json"))
    assert len(reconcile(flaky_world).standings) == 2


class _WhileADaemonWorks:
    """A client; between each of its looks at a transaction and the log's, a daemon goes on."""

    def __init__(self, world: World, rounds: int) -> None:
        self._client = world.client
        self._daemon = world.runner()
        self._rounds = rounds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_transaction(self, name: str) -> Any:
        found = self._client.get_transaction(name)
        if self._rounds:
            self._rounds -= 1
            self._daemon.poll_once()
            self._daemon.work_once()
            self._daemon.send_once()
        return found


def test_beside_a_daemon_at_work_what_it_has_just_sent_is_not_missed(world: World) -> None:
    world.client.start_scenario(RPC)
    runner = world.runner()
    runner.run_once()
    client: Any = _WhileADaemonWorks(world, 1)
    [standing] = Reconciler(world.engine, client).reconcile().standings
    assert not standing.differs


def test_one_that_never_stands_still_is_compared_another_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client.start_scenario(RPC)
    world.runner().run_once()
    get_transaction = world.client.get_transaction

    def meanwhile(name: str) -> Any:
        found = get_transaction(name)
        world.engine.fail(name, "on and on", actor="tests")
        [outgoing] = world.engine.outbox.open()
        world.engine.outbox.attempt(outgoing)
        world.engine.outbox.reject(outgoing, code="service-validation", message="no")
        return found

    monkeypatch.setattr(world.client, "get_transaction", meanwhile)
    [standing] = Reconciler(world.engine, world.client).reconcile().standings
    assert (standing.verdict, standing.is_told) == (Verdict.MOVING, False)
    assert standing.sentence == "It goes on just now, as often as it is asked for: compare it again."


def test_a_start_that_waits_is_told_with_what_it_waits_for(world: World) -> None:
    project = begin_project(world.engine)
    begin_account(world.engine)
    first, second = reconcile(world).standings
    assert first.sentence.startswith("Our notify_project_create is to be sent")
    assert (second.verdict, second.differs) == (Verdict.SENDING, False)
    told = f"Our notify_account_create is sent once transaction {project.stream} has ended."
    assert second.sentence == told


def test_without_the_service_it_is_an_error(flaky_world: World, service: FlakyService) -> None:
    service.down = True
    with pytest.raises(ServiceUnreachable):
        reconcile(flaky_world)


def test_with_a_wrong_key_too(world: World) -> None:
    with client_for(world.url, "another") as client, pytest.raises(ServiceAuthenticationError):
        Reconciler(world.engine, client).reconcile()


class TestStarts:
    @pytest.fixture
    def begun(self, flaky_world: World) -> str:
        """A transaction that the site began."""
        packet = NotifyUserModify(ActionType="add", PersonID="u1001", DnList=["/CN=Robin Example"])
        return flaky_world.engine.start(packet).stream

    def test_one_that_waits_to_be_sent_is_no_difference(self, flaky_world: World, begun: str) -> None:
        [standing] = reconcile(flaky_world).standings
        assert (standing.stream, standing.trans_rec_id, standing.verdict) == (begun, None, Verdict.SENDING)

    def test_one_that_was_refused_is_mended(
        self, flaky_world: World, service: FlakyService, begun: str
    ) -> None:
        service.fail("POST", REFUSED)
        flaky_world.runner().send_once()
        [standing] = reconcile(flaky_world).standings
        assert (standing.verdict, standing.commands) == (
            Verdict.REFUSED,
            (f"amie-engine resend {begun[:8]}",),
        )

    def test_one_that_has_arrived_is_found_though_the_hub_has_gone_on(
        self, flaky_world: World, service: FlakyService, begun: str, clock: Clock
    ) -> None:
        service.fail("POST", AFTER)
        with pytest.raises(ServiceUnreachable):
            flaky_world.runner().send_once()
        [standing] = reconcile(flaky_world).standings
        assert standing.stream == begun
        assert standing.verdict in (Verdict.ARRIVED, Verdict.ENDED_THERE)
        after = take_in(flaky_world)
        assert after.agrees
        assert set(flaky_world.states().values()) == {"completed"}
        assert len(flaky_world.engine.transactions()) == 1

    def test_one_that_has_not_arrived_waits(
        self, flaky_world: World, service: FlakyService, begun: str
    ) -> None:
        service.fail("POST", UNKNOWN_FAULT)
        flaky_world.runner().run_once()
        [standing] = reconcile(flaky_world).standings
        assert (standing.stream, standing.verdict) == (begun, Verdict.SENDING)


def test_packets_that_wait_here_are_compared_too(world: World) -> None:
    early = request(1, "data_project_create")
    world.engine.receive(early)
    assert verdicts(reconcile(world)) == ["unknown-there"]


def test_a_daemon_at_work_is_not_disturbed(world: World, tmp_path: Any) -> None:
    """What is rehearsed holds the log for a moment, in a transaction of its own."""
    world.client.start_scenario(RPC)
    with (
        Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", hub="sandbox") as one,
        Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", hub="sandbox") as other,
    ):
        for packet in world.client.list_packets():
            one.receive(packet)
        [waits] = one.work.ready()
        assert one.work.take_first([waits], lasts=timedelta(minutes=1)) is not None
        assert Reconciler(other, world.client).reconcile().agrees
        assert [row.status for row in one.work.open()] == ["running"]
        assert count_of(other) == 1
