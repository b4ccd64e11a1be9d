"""What a handler can say besides a reply."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from amie_engine import Work
from amie_engine.errors import HandlerInvalid
from amie_engine.packet import (
    DataProjectCreate,
    InformTransactionComplete,
    NotifyProjectCreate,
    RequestProjectCreate,
)


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


@pytest.mark.parametrize("until", [datetime(2026, 1, 16), "tomorrow"])  # noqa: DTZ001 # that is the mistake
def test_a_time_must_have_a_zone(work: Work, until: Any) -> None:
    with pytest.raises(HandlerInvalid, match="without a zone"):
        work.defer(until=until, reason="later")
