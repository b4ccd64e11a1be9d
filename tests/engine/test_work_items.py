"""Work: one item for each packet that waits for the site, and what is done stays done."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from amie_engine import Engine
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import LeaseLost
from amie_engine.testing import Clock
from tests.engine.courses import count_of
from tests.engine.playing import dpc, events_of, filled, inform, npc, request, rpc, send
from tests.engine.taken_over import TakenOverCases
from tests.log.busy_site import assignment_of, leased


@pytest.fixture
def row(engine: Engine) -> WorkRow:
    """The work of a project request."""
    engine.receive(rpc())
    [found] = engine.work.open()
    return found


def end_by_reply(engine: Engine) -> None:
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))


def end_by_the_hub(engine: Engine) -> None:
    engine.receive(inform(body={"StatusCode": "Failure"}))


def end_by_another_tool(engine: Engine) -> None:
    engine.receive(npc())


def end_by_call(engine: Engine) -> None:
    engine.fail(1, "why")


ENDS = [end_by_reply, end_by_the_hub, end_by_another_tool, end_by_call]


@pytest.mark.parametrize("end", ENDS)
def test_a_handler_that_comes_too_late_changes_nothing(
    engine: Engine, row: WorkRow, clock: Clock, end: object
) -> None:
    """The transaction moved on while it was at work."""
    assert callable(end)
    lease = leased(engine, row)
    end(engine)
    assert engine.work.open() == []
    written = count_of(engine)
    later = clock() + timedelta(hours=1)
    engine.work.record.deferred(lease, until=later, reason="later", actor="handler x")
    with pytest.raises(LeaseLost):
        engine.work.record.failed(lease, "X", 1, retry_at=later, details="x", actor="handler x")
    assert engine.work.open() == []
    assert assignment_of(engine, row) is None
    assert count_of(engine) == written


def test_it_waits_until_the_time_that_was_asked_for(engine: Engine, row: WorkRow, clock: Clock) -> None:
    engine.work.record.deferred(
        leased(engine, row), until=clock() + timedelta(hours=1), reason="maintenance", actor="handler x"
    )
    assert engine.work.ready() == []
    [waiting] = engine.work.open()
    assert (waiting.status, waiting.reason) == ("waiting", "maintenance")
    clock.forward(hours=2)
    [ready] = engine.work.ready()
    assert assignment_of(engine, ready) is not None


def test_without_a_time_it_is_ready_at_once(engine: Engine, row: WorkRow) -> None:
    engine.work.record.deferred(leased(engine, row), until=None, reason="not yet", actor="handler x")
    assert len(engine.work.ready()) == 1


@pytest.mark.parametrize("reason", ["a\x00b", "caf\udce9"])
def test_any_reason_can_be_kept(engine: Engine, row: WorkRow, reason: str) -> None:
    """The name of an odd file, say."""
    engine.work.record.deferred(leased(engine, row), until=None, reason=reason, actor=reason)
    [waiting] = engine.work.open()
    assert waiting.reason in ("a?b", "caf?")


def test_what_a_handler_is_given(engine: Engine) -> None:
    engine.receive(request("request_project_create"))
    [row] = engine.work.ready()
    assignment = assignment_of(engine, row)
    assert assignment is not None
    assert assignment.key == "access/NCSA/10"
    assert assignment.request.packet_rec_id == assignment.first.packet_rec_id == 10
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    send(engine)
    engine.receive(dpc())
    [row] = engine.work.ready()
    assignment = assignment_of(engine, row)
    assert assignment is not None
    assert (assignment.request.packet_rec_id, assignment.first.packet_rec_id) == (12, 10)
    assert assignment.first.as_dict()["body"]["ResourceList"] == ["hc.ncsa.xsede"]
    assert assignment.key == "access/NCSA/12"


def test_the_oldest_packet_is_first_by_its_number(engine: Engine) -> None:
    for rec in (100, 9, 20):
        engine.receive(rpc(rec, rec, body={"RecordID": f"r{rec}"}))
    assert [row.packet_rec_id for row in engine.work.open()] == ["9", "20", "100"]


def test_after_the_service_refused_a_reply_a_person_decides(engine: Engine, row: WorkRow) -> None:
    end_by_reply(engine)
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="no")
    [parked] = engine.work.open()
    assert (parked.status, parked.reason) == ("parked", "rejected: service-validation")
    assert engine.work.ready() == []
    assert engine.transactions()[0].problem == "notify_project_create rejected: service-validation"
    end_by_reply(engine)
    send(engine)
    assert events_of(engine)[-1] == "packet_confirmed"
    assert engine.transactions()[0].problem is None


class TestALeaseIsLost(TakenOverCases):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'amie.db'}"
