"""An account that the site tells the hub of goes out once what creates its project has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_engine import Engine
from tests.engine.playing import filled, inform, rpc, send
from tests.site.site_packets import begin_account, begin_project
from tests.site.site_world import AFTER, FlakyService, World, database_in

NPC, NAC = "notify_project_create", "notify_account_create"


def awaited(engine: Engine) -> dict[str | None, str | None]:
    """What the outbox has, by type, and what each waits for."""
    return {entry.packet_type: entry.waits_for for entry in engine.outbox.open()}


def began(world: World) -> list[str]:
    return [one.type for one in world.sandbox.transactions()]


def test_an_account_goes_by_itself_once_its_project_is_complete(world: World) -> None:
    project, account = begin_project(world.engine), begin_account(world.engine)
    assert awaited(world.engine) == {NPC: None, NAC: project.stream}
    runner = world.runner()
    runner.send_once()
    runner.send_once()
    assert began(world) == [NPC]
    [number] = world.sandbox.transactions()
    assert awaited(world.engine) == {NAC: str(number.trans_rec_id)}
    assert world.engine.expected_reply(account.stream).waits_for == str(number.trans_rec_id)
    assert [one.waits_for for one in world.engine.transactions()] == [None, str(number.trans_rec_id)]
    world.run_to_the_end(runner)
    assert began(world) == [NPC, NAC]
    world.run_to_the_end(runner)
    world.assert_all_completed()


def test_one_that_waits_is_late_for_nobody(world: World) -> None:
    """Whoever watches how old the outbox is would be called for nothing."""
    begin_project(world.engine)
    begin_account(world.engine)
    status = world.engine.status()
    assert (status.pending, status.waiting, status.outbox_since) == (1, 1, world.clock())
    world.runner().send_once()
    world.clock.forward(days=2)
    status = world.engine.status()
    assert (status.pending, status.waiting, status.attempting, status.outbox_since) == (0, 1, 0, None)


def test_one_whose_outcome_is_not_known_is_waited_for(flaky_world: World, service: FlakyService) -> None:
    begin_project(flaky_world.engine)
    begin_account(flaky_world.engine)
    service.fail("POST", AFTER)
    flaky_world.runner()._parts._sender.send_once()
    assert began(flaky_world) == [NPC]


def test_with_no_such_transaction_open_it_goes_at_once(world: World) -> None:
    begin_account(world.engine)
    begin_project(world.engine, "another")
    world.runner().send_once()
    assert sorted(began(world)) == [NAC, NPC]


def test_it_goes_where_its_project_failed(world: World) -> None:
    project = begin_project(world.engine)
    begin_account(world.engine)
    world.engine.fail(project.stream, "made by hand")
    world.runner().send_once()
    assert began(world) == [NAC]


class TestTheHubsRequest:
    """A project that is being created in answer to the hub."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        with Engine(database_in(tmp_path), site="NCSA") as engine:
            yield engine

    def test_its_account_waits(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": ""}))
        engine.reply(1, filled(engine, 1, ProjectID="p9", PiRemoteSiteLogin="rex"))
        send(engine)
        begin_account(engine)
        assert awaited(engine) == {NAC: "1"}
        engine.receive(inform(trans=1, rec=13, body={"StatusCode": "Failure"}))
        assert awaited(engine) == {NAC: None}

    def test_it_waits_for_a_reply_that_is_to_be_sent(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": ""}))
        begin_account(engine)
        assert awaited(engine) == {NAC: None}  # nobody has said yet that the project is to be p9
        engine.reply(1, filled(engine, 1, ProjectID="p9", PiRemoteSiteLogin="rex"))
        assert awaited(engine) == {NPC: None, NAC: "1"}

    def test_a_project_that_the_request_names_is_there_already(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": "p9", "AllocationType": "supplement"}))
        begin_account(engine)
        assert awaited(engine) == {NAC: None}
