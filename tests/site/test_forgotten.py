"""A service that does not know a transaction any more: noted, not asked for again, ended by a person."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from amie_engine import Runner
from amie_engine.errors import ServiceNotFound
from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.site import Round
from amie_engine.site.worked import Worked
from amie_engine.testing import Clock
from tests.site.site_packets import request
from tests.site.site_world import AFTER, BEFORE, KEY, FlakyService, World, client_for, handling, tiny_site

RPC = "request_project_create"
ANOMALY = "unknown-at-service"


def _asked_for(service: FlakyService, name: str) -> int:
    return sum(path.endswith(f"/transactions/NCSA/{name}/packets") for _, path in service.calls)


def _wait(packet: Any, work: Any) -> Any:
    return work.defer(reason="not today")


def _begun(world: World) -> str:
    """A transaction of which the log has the request."""
    world.client.start_scenario(RPC)
    world.runner().poll_once()
    [one] = world.engine.transactions()
    return one.trans_rec_id or ""


def test_it_is_noted_once_and_never_asked_for_again(
    flaky_world: World, service: FlakyService, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    name = _begun(flaky_world)
    flaky_world.sandbox.reset()
    for _ in range(3):  # also by daemons that are started anew
        runner = flaky_world.runner(handling(RPC, _wait))
        for _ in range(20):
            assert runner.run_once().errors == []
            clock.forward(hours=1)
        flaky_world.restart()
    assert _asked_for(service, name) == 1

    [shown] = flaky_world.engine.transactions(open_only=True)
    assert shown.anomalies == (ANOMALY,)
    assert flaky_world.engine.history(name).entries[-2].event == "transaction_unknown"
    [told] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told == (
        f"The service does not know transaction {name} any more. To end it here: amie-engine fail {name}"
        " --reason ..."
    )


def test_a_transaction_that_the_service_does_not_know_is_failed_all_the_same(
    flaky_world: World, service: FlakyService
) -> None:
    name = _begun(flaky_world)
    flaky_world.sandbox.reset()
    flaky_world.engine.fail(name, "The service was reset.")
    done = flaky_world.runner().run_once()
    assert (done.sent, done.errors) == (1, [])
    assert flaky_world.states() == {name: "failed"}
    assert flaky_world.engine.outbox.open() == []
    assert flaky_world.engine.work.open() == []

    last = flaky_world.engine.history(name).entries[-1]
    assert (last.event, last.facts["call"], last.facts["code"]) == (
        "packet_confirmed",
        "failed",
        "service-not-found",
    )
    assert last.sentence == (
        "The service does not know the transaction (service-not-found), which counts as failed."
    )
    calls = len(service.calls)
    flaky_world.runner().run_once()
    assert [path for _, path in service.calls[calls:]] == ["/v0.10/packets/NCSA"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_reply_into_it_is_refused_and_its_work_parked(
    flaky_world: World, service: FlakyService, clock: Clock, status: int
) -> None:
    name = _begun(flaky_world)
    runner = flaky_world.runner()
    flaky_world.sandbox.reset()
    service.fail("POST", (status, b'{"message": "There is no packet 174700001."}', "application/json"))
    for _ in range(5):
        runner.run_once()
        clock.forward(hours=1)
    posts = [path for method, path in service.calls if method == "POST" and "/packets/" in path]
    assert len(posts) == 1
    assert flaky_world.engine.outbox.open() == []

    [shown] = flaky_world.engine.transactions()
    assert (shown.problem, shown.anomalies) == (
        "notify_project_create rejected: service-not-found",
        (ANOMALY,),
    )
    [row] = flaky_world.engine.work.open()
    assert (row.status, row.reason) == ("parked", "rejected: service-not-found")
    refused = [
        entry
        for entry in flaky_world.engine.history(name, documents=True).entries
        if entry.event == "packet_rejected"
    ]
    assert [entry.document["message"] for entry in refused] == [
        f"The service does not know transaction {name} any more."
    ]

    flaky_world.engine.fail(name, "The service was reset.")
    runner.run_once()
    assert flaky_world.states() == {name: "failed"}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_reply_whose_outcome_is_unknown_is_not_looked_for_for_ever(
    flaky_world: World, service: FlakyService, clock: Clock, fault: str
) -> None:
    name = _begun(flaky_world)
    runner = flaky_world.runner()
    runner.work_once()
    service.fail("POST", fault)
    with pytest.raises(Exception, match="No answer"):
        runner.send_once()
    flaky_world.sandbox.reset()
    for _ in range(10):
        clock.forward(hours=1)
        assert runner.send_once() == 0
    assert _asked_for(service, name) == 1
    assert flaky_world.engine.outbox.open() == []
    assert flaky_world.engine.transactions()[0].anomalies == (ANOMALY,)


def test_a_page_of_a_proxy_ends_and_notes_nothing(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    name = _begun(flaky_world)
    page = (404, b"<html>Not here</html>", "text/html")
    flaky_world.engine.fail(name, "why")
    service.fail("PUT", page)
    broken = flaky_world.runner().run_once()
    assert [type(error) for error in broken.errors] == [ServiceNotFound]
    assert flaky_world.states() == {name: "requested"}
    clock.forward(minutes=4)
    flaky_world.runner().run_once()
    assert flaky_world.states() == {name: "failed"}
    assert {one.state for one in flaky_world.sandbox.transactions()} == {"failed"}

    flaky_world.engine.receive(request(2))
    listing = (200, b'{"message": null, "result": []}', "application/json")
    service.fail("GET", listing, page)
    broken = flaky_world.runner(handling(RPC, _wait)).run_once()
    assert [type(error) for error in broken.errors] == [ServiceNotFound]
    assert flaky_world.engine.transactions(open_only=True)[0].anomalies == ()


def test_a_service_that_remembers_again_goes_on(world: World) -> None:
    world.engine.receive(request())
    [one] = world.engine.transactions()
    name = one.trans_rec_id or ""
    assert world.engine.note_unknown(name)
    assert not world.engine.note_unknown(name)
    assert world.engine.transactions()[0].anomalies == (ANOMALY,)
    inform = request()
    inform["header"] |= {"packet_rec_id": 7999, "packet_id": 2}
    body = {"StatusCode": "Failure", "DetailCode": "1", "Message": "no"}
    world.engine.receive(inform | {"type": "inform_transaction_complete", "body": body})
    [again] = world.engine.transactions()
    assert (again.state, again.anomalies) == ("failed", ())
    assert not world.engine.note_unknown(name)  # it has ended: nobody asks for it any more


def test_all_goes_on_through_restarts_with_and_without_memory(world: World, clock: Clock) -> None:
    sandbox = Sandbox("NCSA", KEY)
    with SandboxServer(sandbox) as server:
        world.client = client_for(server.url)
        runner = world.runner()
        world.client.start_scenario(RPC)
        runner.run_once()
        server.restart()
        rounds = [runner.run_once() for _ in range(3)]
        assert sum(len(done.errors) for done in rounds) == 0
        assert {one.state for one in sandbox.transactions()} == {"completed"}

        world.client.start_scenario(RPC)
        runner.poll_once()
        server.restart(memory=False)
        done = [_end_forgotten(world, runner.run_once()) for _ in range(6)]
        assert done[0].worked[Worked.REPLIED] == 2
        states = world.states()
        ours = [states[str(one.trans_rec_id)] for one in sandbox.transactions()]
        assert ours == ["completed"]
        assert [states[str(one.trans_rec_id)] for one in sandbox.forgotten] == ["completed", "failed"]
        assert set(states.values()) == {"completed", "failed"}


def _end_forgotten(world: World, done: Round) -> Round:
    for one in world.engine.transactions(open_only=True):
        if ANOMALY in one.anomalies and not one.sending:
            world.engine.fail(one.stream, "The service has forgotten it.")
    return done


def test_many_are_noted_a_few_a_poll_without_waiting_for_the_next_full_listing(
    flaky_world: World, service: FlakyService, clock: Clock
) -> None:
    flaky_world.engine.receive_all([request(number) for number in range(1, 121)])
    runner = Runner(flaky_world.engine, flaky_world.client, tiny_site(), full_listing_every=timedelta(days=1))

    def noted() -> int:
        runner.poll_once()
        clock.forward(seconds=1)
        return sum(ANOMALY in one.anomalies for one in flaky_world.engine.transactions())

    assert [noted() for _ in range(4)] == [50, 100, 120, 120]
    asked = [path for _, path in service.calls if "/transactions/" in path]
    assert len(asked) == len(set(asked)) == 120
