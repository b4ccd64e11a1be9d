"""What a handler can say besides a reply."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amie_engine import Packet, Site, Work
from amie_engine.errors import HandlerInvalid
from amie_engine.packet import (
    DataProjectCreate,
    InformTransactionComplete,
    NotifyProjectCreate,
    RequestProjectCreate,
)
from amie_engine.testing import Clock
from tests.site.site_world import NAME, World

RPC = "request_project_create"


@pytest.fixture
def work() -> Work:
    return Work(
        key="sandbox/NCSA/2",
        reply=NotifyProjectCreate(),
        request=RequestProjectCreate(packet_rec_id=1),
        trans_rec_id="7",
        packet=DataProjectCreate(packet_rec_id=2),
    )


def test_failing_answers_the_packet_at_hand_with_a_failure_inform(work: Work) -> None:
    inform: Any = work.fail("No such grant here.")
    assert isinstance(inform, InformTransactionComplete)
    assert (inform.StatusCode, inform.Message, inform.in_reply_to_id) == ("Failure", "No such grant here.", 2)


def test_deferring_says_until_when_and_why(work: Work) -> None:
    until = datetime(2026, 1, 16, tzinfo=UTC)
    assert work.defer(until=until, reason="home folders are being made").until == until
    assert work.defer(reason="nightly backup").until is None


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_reason_must_say_something(work: Work, reason: Any) -> None:
    with pytest.raises(HandlerInvalid, match=r"fail\(\) was given no reason"):
        work.fail(reason)
    with pytest.raises(HandlerInvalid, match=r"defer\(\) was given no reason"):
        work.defer(reason=reason)


@pytest.mark.parametrize(
    ("until", "told"),
    [
        (datetime(2026, 1, 16), "a time without a zone"),  # noqa: DTZ001 # that is the mistake
        ("tomorrow", "a str for when"),
        (60, "a int for when"),
        (timedelta(minutes=1), "a timedelta for when"),
    ],
)
def test_a_time_must_be_one_and_have_a_zone(work: Work, until: Any, told: str) -> None:
    with pytest.raises(HandlerInvalid, match=told) as caught:
        work.defer(until=until, reason="later")
    assert "work.now()" in caught.value.hint


def test_a_handler_goes_by_the_clock_of_the_engine(world: World, clock: Clock) -> None:
    site = Site(NAME)
    told: list[datetime] = []

    @site.handles(RPC)
    def create(request: Packet, work: Work) -> Any:
        told.append(work.now())
        return work.defer(until=work.now() + timedelta(hours=1), reason="not yet")

    world.client.start_scenario(RPC)
    runner = world.runner(site)
    runner.run_once()
    clock.forward(minutes=59)
    runner.run_once()
    assert set(told) == {clock() - timedelta(minutes=59)}
    clock.forward(minutes=1)
    runner.run_once()
    assert max(told) == clock()
