"""The loop over a real socket: every scenario to its end, and bad packets that hide no others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from amie_engine import AMIEClient, Engine, OutcomeKind, Runner, Site, Work
from amie_engine.engine.receiving import Receiver
from amie_engine.errors import SettingsError
from amie_engine.packet import NotifyPersonIDs
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Sandbox, SandboxServer
from amie_engine.site.worked import Worked
from amie_engine.testing import Clock
from tests.site.site_packets import request
from tests.site.site_world import KEY, NAME, FlakyService, World, handling, tiny_site

RPC = "request_project_create"
TWO = "request_project_reactivate"
"""It begins with a request for a project on each of the two resources."""


@pytest.mark.parametrize("scenario", OFFICIAL_SCENARIOS)
def test_every_official_scenario_is_played_to_its_end(world: World, scenario: str) -> None:
    world.client.start_scenario(scenario)
    world.run_to_the_end()
    world.assert_all_completed()
    assert [chain.state for chain in world.sandbox.scenarios()] == ["completed", "completed"]
    assert world.engine.quarantine() == []
    assert world.engine.outbox.open() == []
    assert world.engine.work.open() == []


def test_a_round_says_what_it_did(world: World) -> None:
    world.client.start_scenario(RPC)
    runner = world.runner()

    first = runner.run_once()
    assert first.received[OutcomeKind.ACCEPTED] == first.worked[Worked.REPLIED] == first.sent == 1
    assert first.errors == []
    assert first.moved
    assert runner.run_once().moved
    nothing = runner.run_once()
    assert not nothing.moved
    assert sum(nothing.received.values()) == nothing.sent == 0


def test_polling_takes_in_and_calls_no_handler(world: World) -> None:
    def handler(packet: Any, work: Work) -> Any:
        raise AssertionError("called")

    world.client.start_scenario(TWO)
    runner = world.runner(handling(RPC, handler))
    assert runner.poll_once()[OutcomeKind.ACCEPTED] == 2
    assert runner.poll_once() == {**dict.fromkeys(OutcomeKind, 0), OutcomeKind.ALREADY_THERE: 2}
    assert runner.send_once() == 0
    assert len(world.engine.work.ready()) == 2


def test_each_step_can_be_done_on_its_own(world: World) -> None:
    world.client.start_scenario(TWO)
    runner = world.runner()
    runner.poll_once()
    assert runner.work_once()[Worked.REPLIED] == 2
    assert len(world.engine.outbox.open()) == 2
    assert runner.send_once() == 2
    assert len(world.replies("notify_project_create")) == 2


def test_engine_client_and_handlers_must_be_of_one_site(world: World) -> None:
    with pytest.raises(SettingsError, match="the handlers for PSC"):
        Runner(world.engine, world.client, Site("PSC"))
    with (
        AMIEClient("PSC", KEY, world.url) as client,
        pytest.raises(SettingsError, match="the client for PSC"),
    ):
        Runner(world.engine, client, Site(NAME))


# What can't be used


class Listing(Sandbox):
    """A service that lists, beside its own packets, documents that are none."""

    def __init__(self) -> None:
        super().__init__(NAME, KEY)
        self.more: list[Any] = []

    def list_packets(self, query: Any = None) -> list[Any]:
        return [*self.more, *super().list_packets(query)]


@pytest.fixture
def listing(clock: Clock) -> Iterator[tuple[Listing, World]]:
    sandbox = Listing()
    with SandboxServer(sandbox) as server:
        world = World(sandbox, server.url, clock)
        yield sandbox, world
        world.close()


def test_what_cannot_be_used_hides_no_other_packet_and_is_in_quarantine_once(
    listing: tuple[Listing, World], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox, world = listing
    unknown = request(50)
    unknown["type"] = "request_coffee"
    elsewhere = request(51)
    elsewhere["header"] |= {"remote_site_name": "PSC"}
    nameless = request(52)
    nameless["header"] |= {"packet_rec_id": None}
    late = request(53, "data_project_create")
    late["header"] |= {"originating_site_name": "TGCDB"}
    sandbox.more = [unknown, "Robin Example", 7, None, {}, {"type": 3}, elsewhere, nameless]
    world.client.start_scenario(TWO)

    runner = world.runner()
    first = runner.run_once()
    assert first.received[OutcomeKind.QUARANTINED] == len(sandbox.more)
    assert first.received[OutcomeKind.ACCEPTED] == 2
    assert first.errors == []
    unknown["header"] |= {"client_state": "seen", "packet_state": "failed"}  # no part of what it says
    world.run_to_the_end(runner)

    world.assert_all_completed()
    found = world.engine.quarantine()
    assert len(found) == len(sandbox.more)
    assert {item.code for item in found} == {
        "packet-type-unknown",
        "packet-unreadable",
        "packet-other-site",
    }
    assert caplog.text.count("Packet 7050 of transaction 5050 is in quarantine.") == 1
    assert "Robin Example" not in caplog.text
    assert NAME in caplog.text or "transaction unknown" in caplog.text


def test_a_defect_with_one_packet_hides_no_other_and_ends_no_loop(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = Receiver.receive

    def defective(self: Receiver, unit: Any, packet: Any, **options: Any) -> Any:
        if packet.trans_rec_id == broken:
            raise KeyError("Robin Example")
        return receive(self, unit, packet, **options)

    monkeypatch.setattr(Receiver, "receive", defective)
    world.client.start_scenario(TWO)
    broken = str(world.sandbox.transactions()[0].trans_rec_id)
    with Engine("sqlite://", site=NAME, hub="sandbox", clock=world.clock) as engine:
        done = Runner(engine, world.client, tiny_site()).run_once()

    assert done.received[OutcomeKind.ACCEPTED] == done.sent == 1
    assert [error.code for error in done.errors] == ["internal-error"]
    assert "KeyError while receiving a packet, at test_runner.py:" in caplog.text
    assert "Robin Example" not in caplog.text


# Transactions that the loop has not seen from their start


def test_the_history_of_a_transaction_under_way_is_fetched(world: World, clock: Clock) -> None:
    world.client.start_scenario(TWO)
    with Engine("sqlite://", site=NAME, hub="old", clock=clock) as before:
        old = Runner(before, world.client, tiny_site())
        old.run_once()  # replies: what is listed next are the data packets

    first = world.runner().run_once()
    assert first.errors == []
    assert world.states() == {str(one.trans_rec_id): "completed" for one in world.sandbox.transactions()[:2]}
    world.run_to_the_end()
    world.assert_all_completed()
    assert len(world.replies("notify_project_create")) == 2


def _reply_by_hand(world: World) -> None:
    """What another tool of the site does."""
    by_hand: Any = world.client.list_packets().packets[0]
    reply = by_hand.reply_packet()
    reply.ProjectID = f"p-{by_hand.GrantNumber}"
    reply.PiPersonID, reply.PiRemoteSiteLogin = "u1", "robin"
    world.client.send_packet(reply)


def test_a_reply_of_another_tool_of_the_site_supersedes_the_one_in_the_outbox(world: World) -> None:
    world.client.start_scenario("request_person_merge")
    runner = world.runner()
    runner.poll_once()
    runner.work_once()
    _reply_by_hand(world)

    world.run_to_the_end(runner)
    world.assert_all_completed()
    assert len(world.replies("notify_project_create")) == 2
    story = world.engine.history(world.sandbox.transactions()[0].trans_rec_id)
    assert any("another tool of the site had answered" in entry.sentence for entry in story.entries)


def test_what_follows_another_tools_reply_is_not_left_waiting(world: World) -> None:
    world.client.start_scenario(RPC)
    runner = world.runner(handling(RPC, lambda packet, work: work.defer(reason="somebody does it by hand")))
    runner.run_once()
    _reply_by_hand(world)

    world.run_to_the_end(runner)  # the data packet comes, and its predecessor is not in the log
    world.assert_all_completed()
    assert world.engine.work.open() == []


def test_a_transaction_of_the_sites_own_gets_its_wire_id(world: World) -> None:
    ids: Any = NotifyPersonIDs(PersonID="u1001", PrimaryPersonID="u1001", PersonIDList=["u1001", "old1"])
    handle = world.engine.start(ids)
    assert handle.trans_rec_id is None

    runner = world.runner()
    assert runner.run_once().sent == 1

    [started] = world.engine.transactions()
    assert started.stream == handle.stream
    assert started.trans_rec_id == str(world.sandbox.transactions()[0].trans_rec_id)
    world.run_to_the_end(runner)
    world.assert_all_completed()


# Informs that linger


@pytest.fixture
def lingering(clock: Clock) -> Iterator[World]:
    sandbox = Sandbox(NAME, KEY, lingering_informs=True)
    with SandboxServer(sandbox) as server:
        world = World(sandbox, server.url, clock)
        yield world
        world.close()


def test_an_inform_that_lingers_is_acknowledged_once_and_only_after_minutes(
    lingering: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = lingering.runner()
    lingering.client.start_scenario(TWO)
    for _ in range(20):
        runner.run_once()
    listed = [packet.packet_type for packet in lingering.client.list_packets()]
    assert listed.count("inform_transaction_complete") == 4  # of RPI and RPR, on two resources
    assert len(lingering.replies("inform_transaction_complete")) == 4 + 2  # the site's own end the two RPC

    clock.forward(minutes=6)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            runner.run_once()
    assert caplog.text.count("Acknowledging 4 informs") == 1
    assert list(lingering.client.list_packets()) == []
    clock.forward(minutes=60)
    runner.run_once()
    assert len(lingering.replies("inform_transaction_complete")) == 4 + 2 + 4
    lingering.assert_all_completed()


# A process that ends anywhere


@pytest.mark.parametrize("scenario", OFFICIAL_SCENARIOS)
def test_a_restart_between_any_two_steps_loses_and_repeats_nothing(world: World, scenario: str) -> None:
    world.client.start_scenario(scenario)
    site = tiny_site()

    for _ in range(60):
        if world.sandbox.idle:
            break
        for step in ("poll_once", "work_once", "send_once"):
            getattr(world.runner(site), step)()
            world.restart()
    world.runner(site).poll_once()

    world.assert_all_completed()
    requests = [one for one in world.sandbox.transactions() if one.type == "request_project_create"]
    assert len(world.replies("notify_project_create")) == len(requests)


def test_an_answer_that_was_lost_on_its_way_is_found_in_the_history(world: World) -> None:
    """An inform leaves the service's list once it was listed, even if that listing never reached the log."""
    world.client.start_scenario("request_project_reactivate")
    runner = world.runner()
    for _ in range(12):
        runner.run_once()
        world.client.list_packets()  # somebody else takes what is listed once
        world.clock.forward(minutes=2)
    world.assert_all_completed()


def test_a_transaction_that_somebody_else_set_failed_is_found_failed(world: World) -> None:
    world.client.start_scenario(RPC)
    runner = world.runner()
    runner.poll_once()
    [transaction] = world.engine.transactions()
    world.client.set_transaction_failed(transaction.trans_rec_id or "")
    runner.run_once()
    assert set(world.states().values()) == {"failed"}
    assert world.engine.work.open() == []


def test_a_transaction_without_news_is_asked_for_again_later_and_later(
    flaky_world: World, service: FlakyService
) -> None:
    flaky_world.client.start_scenario(RPC)
    runner = flaky_world.runner(handling(RPC, lambda packet, work: work.defer(reason="not today")))
    runner.poll_once()
    asked = []
    for minute in range(100):
        service.fail("GET", (200, b'{"message": null, "result": []}', "application/json"))
        calls = len(service.calls)
        assert runner.run_once().errors == []
        if any("/transactions/" in path for _, path in service.calls[calls:]):
            asked.append(minute)
        flaky_world.clock.forward(minutes=1)
    assert asked == [0, 1, 3, 7, 15, 31, 63]
