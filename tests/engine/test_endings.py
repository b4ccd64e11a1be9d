"""How transactions end, and what the end leaves: nothing to send, nothing to do, nothing that waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amie_engine import Engine, OutcomeKind, Packet
from amie_engine.errors import ReplyAlreadyDecided, ReplyNotDue, TransactionClosed
from amie_engine.packet import InformTransactionComplete, NotifyUserModify
from amie_engine.testing import Clock
from tests.engine.courses import count_of, course, documents
from tests.engine.playing import (
    Document,
    answer_project,
    attempt,
    complete_project,
    dpc,
    events_of,
    filled,
    inform,
    npc,
    request,
    rpc,
    send,
    state_of,
)

STATES = ["requested", "notified", "confirmed"]


def bring_to(engine: Engine, state: str) -> None:
    """Bring a project request to a state that is not final."""
    engine.receive(rpc())
    if state != "requested":
        answer_project(engine)
    if state == "confirmed":
        engine.receive(dpc())


class TestFailures:
    @pytest.mark.parametrize("state", STATES)
    def test_the_hub_may_fail_it_at_any_time(self, engine: Engine, state: str) -> None:
        bring_to(engine, state)
        engine.receive(inform(body={"StatusCode": "Failure"}))
        assert state_of(engine) == "failed"
        assert (engine.work.open(), engine.outbox.open()) == ([], [])

    @pytest.mark.parametrize("state", ["requested", "confirmed"])
    def test_the_site_may_fail_it_in_reply_to_any_packet(self, engine: Engine, state: str) -> None:
        bring_to(engine, state)
        asked = engine.expected_reply(1).request
        assert asked is not None
        engine.reply(1, asked.reply_with_failure())
        assert state_of(engine) == state
        send(engine)
        assert state_of(engine) == "failed"

    def test_where_it_is_the_hub_s_turn_the_call_is_the_way(self, engine: Engine) -> None:
        bring_to(engine, "notified")
        named = Packet.from_dict(rpc()).reply_with_failure()
        unnamed = InformTransactionComplete(StatusCode="Failure", DetailCode="2", Message="no")
        for failure in (named, unnamed):
            with pytest.raises(ReplyNotDue, match=r"Engine\.fail"):
                engine.reply(1, failure)
        engine.fail(1, "why")
        send(engine)
        assert state_of(engine) == "failed"

    @pytest.mark.parametrize("state", STATES)
    def test_the_call_works_at_any_time_and_is_made_once(self, engine: Engine, state: str) -> None:
        bring_to(engine, state)
        engine.fail(1, "why")
        with pytest.raises(ReplyAlreadyDecided):
            engine.fail(1, "again")
        assert state_of(engine) == state
        assert engine.work.open() == []
        send(engine)
        with pytest.raises(TransactionClosed):
            engine.fail(1, "again")

    def test_a_call_that_the_end_overtook_is_not_made(self, engine: Engine) -> None:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        engine.fail(1, "why")
        engine.receive(inform())
        assert (state_of(engine), engine.outbox.open()) == ("completed", [])
        assert "Took the call that sets it failed out" in engine.history(1).entries[-1].sentence


class TestDeadlines:
    def test_an_overdue_reply_fails_nothing_by_itself(self, engine: Engine, clock: Clock) -> None:
        engine.receive(rpc())
        clock.forward(days=400)
        engine.receive(rpc())
        assert state_of(engine) == "requested"

    def test_it_runs_from_the_packet_s_own_time(self, engine: Engine) -> None:
        listed = [{"type": "notify_project_create", "timeout": 90}]
        engine.receive(rpc(packet_timestamp="2026-01-15T12:00:00.000Z", expected_reply_list=listed))
        deadline = engine.expected_reply(1).deadline
        assert deadline is not None
        assert deadline.isoformat() == "2026-01-15T13:30:00+00:00"

    def test_the_hub_s_turn_has_one_too(self, engine: Engine, clock: Clock) -> None:
        bring_to(engine, "notified")
        due = engine.expected_reply(1)
        assert (due.turn, due.packet_types) == ("hub", ("data_project_create",))
        assert due.deadline is not None
        assert due.deadline > clock()
        clock.forward(days=22)
        engine.confirm_deadline(1, actor="operator")
        assert state_of(engine) == "failed"

    def test_confirmed_it_leaves_nothing_to_send_or_to_do(self, engine: Engine, clock: Clock) -> None:
        engine.receive(rpc())
        engine.receive(dpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        clock.forward(days=400)
        engine.confirm_deadline(1, actor="operator")
        assert (engine.work.open(), engine.outbox.open()) == ([], [])
        assert engine.transactions()[0].held == 0
        assert [item.packet_rec_id for item in engine.quarantine()] == ["12"]
        assert "confirmed by operator" in "".join(entry.sentence for entry in engine.history(1).entries)

    @pytest.mark.parametrize("listed", [[], None])
    def test_where_there_is_none_or_it_has_not_passed_nothing_is_confirmed(
        self, engine: Engine, listed: list[Document] | None
    ) -> None:
        engine.receive(rpc(expected_reply_list=listed))
        written = count_of(engine)
        with pytest.raises(ReplyNotDue):
            engine.confirm_deadline(1, actor="operator")
        assert count_of(engine) == written

    def test_nor_after_the_end(self, engine: Engine, clock: Clock) -> None:
        complete_project(engine)
        clock.forward(days=400)
        with pytest.raises(TransactionClosed):
            engine.confirm_deadline(1, actor="operator")


class TestAfterTheEnd:
    @pytest.fixture
    def ended(self, engine: Engine) -> Engine:
        complete_project(engine)
        return engine

    def test_what_was_part_of_it_is_already_there(self, ended: Engine) -> None:
        written = count_of(ended)
        assert [ended.receive(packet).kind for packet in (rpc(), dpc())] == ["already_there"] * 2
        assert count_of(ended) == written

    def test_our_packets_are_put_on_record_and_change_nothing(self, ended: Engine) -> None:
        assert ended.receive(npc()).kind == "confirmed"
        assert ended.receive(inform(outgoing_flag=0)).kind == "confirmed"
        assert state_of(ended) == "completed"
        assert ended.outbox.open() == []

    def test_a_packet_of_the_hub_s_comes_too_late(self, ended: Engine) -> None:
        outcome = ended.receive(request("request_person_merge", rec=40, packet_id=7))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-not-allowed")
        assert "had completed" in (outcome.reason or "")

    def test_many_informs_only_acknowledge(self, ended: Engine) -> None:
        for rec, code in ((41, "Success"), (42, "Failure"), (43, "99")):
            late = inform(rec=rec, packet_id=rec, body={"StatusCode": code})
            assert ended.receive(late).kind == "accepted"
        assert state_of(ended) == "completed"
        assert "inform-contradicts-end" in ended.expected_reply(1).anomalies
        assert ended.expected_reply(1).turn is None

    def test_nothing_more_can_be_said(self, ended: Engine) -> None:
        failure = Packet.from_dict(dpc()).reply_with_failure()
        with pytest.raises(TransactionClosed):
            ended.reply(1, failure)
        assert ended.expected_reply(1).packet is None


class TestAcknowledging:
    """Answering the hub's informs, which some services list for ever otherwise."""

    def settled(self, engine: Engine) -> None:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        engine.receive(inform())

    def linger(self, engine: Engine, *documents: Document) -> int:
        return engine.note_full_listing([Packet.from_dict(document) for document in documents])

    def test_one_that_lingers_is_answered_after_minutes(self, engine: Engine, clock: Clock) -> None:
        self.settled(engine)
        clock.forward(minutes=4)
        assert self.linger(engine, inform()) == 0
        clock.forward(minutes=2)
        written = count_of(engine)
        assert self.linger(engine, inform(), rpc(2, 20), inform(trans=9, rec=99)) == 1
        assert count_of(engine) == written + 1

    def test_the_answer_is_a_success_that_answers_it_and_expects_nothing(
        self, engine: Engine, clock: Clock
    ) -> None:
        self.settled(engine)
        clock.forward(minutes=6)
        self.linger(engine, inform())
        [outgoing] = engine.outbox.open()
        packet = engine.outbox.attempt(outgoing)
        assert packet is not None
        document = packet.as_dict()
        assert (document["header"]["in_reply_to"], document["header"]["expected_reply_list"]) == (13, [])
        assert document["body"]["StatusCode"] == "Success"
        engine.outbox.confirm(outgoing)
        assert state_of(engine) == "completed"

    def test_no_loop_can_start(self, engine: Engine, clock: Clock) -> None:
        """The hub answers our answer, before or after it is known to have arrived."""
        self.settled(engine)
        clock.forward(minutes=6)
        self.linger(engine, inform())
        attempt(engine)
        for rec in (51, 52):
            engine.receive(inform(rec=rec, packet_id=rec))
            clock.forward(days=1)
            assert self.linger(engine, inform(rec=rec, packet_id=rec)) == 0
        send(engine)
        assert self.linger(engine, inform(rec=52, packet_id=52)) == 0
        assert engine.outbox.open() == []

    def test_one_that_the_service_refuses_is_not_sent_again(self, engine: Engine, clock: Clock) -> None:
        self.settled(engine)
        clock.forward(minutes=6)
        self.linger(engine, inform())
        engine.outbox.reject(attempt(engine), code="service-conflict", message="no")
        clock.forward(days=1)
        assert self.linger(engine, inform()) == 0
        assert engine.transactions()[0].problem is None

    def test_where_another_tool_answers_ours_is_not_sent(self, engine: Engine, clock: Clock) -> None:
        self.settled(engine)
        clock.forward(minutes=6)
        self.linger(engine, inform())
        theirs = inform(rec=60, outgoing_flag=0, body={"Message": "another tool"})
        assert engine.receive(theirs).kind == "confirmed"
        assert engine.outbox.open() == []

    def test_always_answers_each_at_once_and_one_that_waited_too(self, engine: Engine, clock: Clock) -> None:
        eager = Engine(engine.database.engine, site="NCSA", clock=clock, acknowledge_inform="always")
        eager.receive(request("request_project_inactivate"))
        assert eager.receive(inform()).kind == "held"
        eager.reply(1, filled(eager, 1))
        send(eager)
        assert state_of(eager) == "completed"
        [outgoing] = eager.outbox.open()
        assert (outgoing.packet_type, outgoing.answers) == ("inform_transaction_complete", "13")

    def test_always_also_answers_what_it_finds_listed_of_the_past(self, engine: Engine, clock: Clock) -> None:
        eager = Engine(engine.database.engine, site="NCSA", clock=clock, acknowledge_inform="always")
        packets = documents(course("request_project_inactivate"))
        eager.adopt({"DATA": packets})
        assert self.linger(eager, packets[-1]) == 1

    def test_a_failure_of_the_hub_s_is_answered_too(self, engine: Engine, clock: Clock) -> None:
        engine.receive(rpc())
        engine.receive(inform(body={"StatusCode": "Failure"}))
        clock.forward(minutes=6)
        assert self.linger(engine, inform(body={"StatusCode": "Failure"})) == 1
        send(engine)
        assert state_of(engine) == "failed"


def test_a_transaction_that_the_site_began_ends_as_the_hub_says(engine: Engine) -> None:
    for trans, code in ((70, "Success"), (80, "Failure")):
        engine.start(NotifyUserModify(ActionType="replace", PersonID=f"u{trans}", City="Champaign"))
        send(engine, {"header": {"packet_rec_id": trans, "trans_rec_id": trans}})
        engine.receive(inform(trans=trans, rec=trans + 1, body={"StatusCode": code}))
    assert [state_of(engine, trans) for trans in (70, 80)] == ["completed", "failed"]
    assert events_of(engine, 70)[-1] == "packet_received"


def test_time_that_runs_backwards_does_not_disturb(engine: Engine, clock: Clock) -> None:
    engine.receive(rpc())
    clock.now -= timedelta(days=1)
    answer_project(engine)
    times = [entry.time for entry in engine.history(1).entries]
    assert times == sorted(times)


def test_a_packet_that_the_hub_s_own_failure_has_overtaken_moves_nothing(engine: Engine) -> None:
    engine.receive(rpc())
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    send(engine)
    failure = inform(rec=13, body={"StatusCode": "Failure"})
    assert engine.receive(failure).kind is OutcomeKind.ACCEPTED
    late = engine.receive(dpc(rec=12))
    assert (late.kind, late.state) == (OutcomeKind.ACCEPTED, "failed")
    assert engine.receive(dpc(rec=12)).kind is OutcomeKind.ALREADY_THERE
    assert engine.history(1).entries[-1].sentence == (
        "Received data_project_create as packet 12: it came after the end, and moves nothing."
    )
    assert engine.receive(dpc(rec=14, packet_id=9)).kind is OutcomeKind.QUARANTINED  # it came after all
    assert engine.work.open() == []
