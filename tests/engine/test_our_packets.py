"""Packets of our own in a listing: by our outbox, by another tool, and first ones that we began with."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine, Packet
from amie_engine.engine.outbox import Outgoing
from amie_engine.errors import ReplyNotDue
from amie_engine.packet import NotifyProjectCreate, NotifyProjectInactivate, NotifyUserModify
from tests.engine.playing import (
    Document,
    answer_project,
    attempt,
    dpc,
    events_of,
    filled,
    history_of,
    inform,
    npc,
    request,
    rpc,
    sample,
    state_of,
)

SAMPLE = {
    "notify_user_modify": "notify_user_modify.add",
    "notify_project_inactivate": "notify_project_inactivate.originating",
}


def change(**fields: Any) -> NotifyUserModify:
    return NotifyUserModify(ActionType="replace", PersonID="u42", **fields)


def ending() -> NotifyProjectInactivate:
    return NotifyProjectInactivate(
        ProjectID="p1", ResourceList=["r1.example"], AccountActivityTime="2026-01-15T12:00:00Z"
    )


def listed(packet: Packet, trans: int, rec: int, **body: Any) -> Document:
    """A first packet of ours as the service lists it."""
    document = sample(f"spec/{SAMPLE[packet.packet_type]}", trans_rec_id=trans, packet_rec_id=rec)
    document["body"] = packet.as_dict()["body"] | body
    return document


def attempt_all(engine: Engine) -> list[Outgoing]:
    for outgoing in engine.outbox.open():
        engine.outbox.attempt(outgoing)
    return engine.outbox.open()


def wire_id(engine: Engine, stream: str) -> str | None:
    return engine.history(stream).trans_rec_id


class TestTransactionsThatWeBegan:
    @pytest.mark.parametrize("narrow_first", [True, False])
    def test_one_whose_body_is_part_of_another_s_is_not_taken_for_it(
        self, engine: Engine, narrow_first: bool
    ) -> None:
        narrow, wide = change(Email="r@example.edu"), change(Email="r@example.edu", City="Champaign")
        packets = [narrow, wide] if narrow_first else [wide, narrow]
        streams = {packet: engine.start(packet).stream for packet in packets}
        attempt_all(engine)
        engine.receive(listed(wide, 8, 80))
        assert [wire_id(engine, streams[packet]) for packet in (narrow, wide)] == [None, "8"]
        engine.receive(listed(narrow, 7, 70, Fax="filled in by the service"))
        assert [wire_id(engine, streams[packet]) for packet in (narrow, wide)] == ["7", "8"]
        assert engine.outbox.open() == []

    def test_two_that_say_the_same_are_found_one_after_the_other(self, engine: Engine) -> None:
        handles = [engine.start(change(City="A")) for _ in range(2)]
        attempt_all(engine)
        engine.receive(listed(change(City="A"), 7, 70))
        engine.receive(listed(change(City="A"), 8, 80))
        assert [wire_id(engine, handle.stream) for handle in handles] == ["7", "8"]

    def test_one_that_was_refused_is_not_preferred(self, engine: Engine) -> None:
        refused, again = engine.start(change(City="A")), engine.start(change(City="A"))
        outgoing, _ = attempt_all(engine)
        engine.outbox.reject(outgoing, code="service-validation", message="no")
        engine.receive(listed(change(City="A"), 7, 70))
        assert [wire_id(engine, handle.stream) for handle in (refused, again)] == [None, "7"]

    def test_one_that_was_never_sent_is_not_found(self, engine: Engine) -> None:
        handle = engine.start(change(City="A"))
        engine.receive(listed(change(City="A"), 7, 70))
        assert wire_id(engine, handle.stream) is None
        assert state_of(engine, 7) == "notified"  # another tool of the site sent that

    def test_a_reply_of_ours_in_the_hub_s_transaction_is_none_that_we_began(self, engine: Engine) -> None:
        body = sample("spec/notify_project_create.originating")["body"]
        handle = engine.start(NotifyProjectCreate(**body))
        attempt_all(engine)
        assert engine.receive({**npc(), "body": body}).kind == "held"
        assert wire_id(engine, handle.stream) is None

    def test_the_answer_that_comes_before_our_packet_is_listed_finds_it_too(self, engine: Engine) -> None:
        """The service's answer to the POST was lost, and the hub was quick."""
        handle = engine.start(ending())
        attempt_all(engine)
        early = inform(trans=9, rec=91, originating_site_name="NCSA")
        outcome = engine.receive(early)
        assert (outcome.kind, outcome.history_needed) == ("held", True)
        outcomes = engine.adopt(history_of(listed(ending(), 9, 90), early))
        assert [found.kind for found in outcomes] == ["confirmed", "already_there"]
        assert engine.expected_reply(handle.stream).state == "completed"
        assert [transaction.stream for transaction in engine.transactions()] == [handle.stream]
        assert engine.outbox.open() == []

    def test_so_does_the_late_answer_to_the_post(self, engine: Engine) -> None:
        handle = engine.start(ending())
        [outgoing] = attempt_all(engine)
        engine.receive(inform(trans=9, rec=91, originating_site_name="NCSA"))
        engine.outbox.confirm(outgoing, {"result": listed(ending(), 9, 90)})
        assert state_of(engine, 9) == "completed"
        assert [transaction.stream for transaction in engine.transactions()] == [handle.stream]

    def test_what_was_held_tells_where_it_went(self, engine: Engine) -> None:
        engine.start(ending())
        [outgoing] = attempt_all(engine)
        engine.receive(inform(trans=9, rec=91, originating_site_name="NCSA"))
        [holding] = [transaction for transaction in engine.transactions() if transaction.held]
        engine.outbox.confirm(outgoing, {"result": listed(ending(), 9, 90)})
        story = engine.history(holding.stream)
        assert "one that the site had begun" in story.entries[-1].sentence
        assert story.trans_rec_id is None

    def test_one_that_the_service_changed_past_knowing_is_not_sent_again(self, engine: Engine) -> None:
        """It was adopted as another tool's before the answer to the POST came."""
        handle = engine.start(ending())
        [outgoing] = attempt_all(engine)
        engine.receive(listed(ending(), 9, 90, ProjectID="renamed"))
        assert state_of(engine, 9) == "notified"
        engine.outbox.confirm(outgoing, {"result": listed(ending(), 9, 90)})
        assert engine.outbox.open() == []
        assert engine.history(handle.stream).entries[-1].facts["code"] == "superseded"

    def test_an_answer_without_ids_leaves_it_to_the_listing(self, engine: Engine) -> None:
        handle = engine.start(ending())
        [outgoing] = attempt_all(engine)
        engine.outbox.confirm(outgoing, {"message": "ok", "result": None})
        assert [entry.status for entry in engine.outbox.open()] == ["attempting"]
        assert engine.receive(listed(ending(), 9, 90)).kind == "confirmed"
        assert engine.expected_reply(handle.stream).trans_rec_id == "9"

    def test_one_that_the_service_refused_can_be_given_up(self, engine: Engine) -> None:
        handle = engine.start(ending())
        [outgoing] = attempt_all(engine)
        engine.outbox.reject(outgoing, code="service-validation", message="no")
        [summary] = engine.transactions(open_only=True)
        assert summary.problem == "notify_project_inactivate rejected: service-validation"
        engine.fail(handle.stream, "not wanted any more")
        assert engine.transactions(open_only=True) == []
        assert "Given up" in engine.history(handle.stream).entries[-1].sentence

    def test_so_can_one_that_is_still_to_be_sent(self, engine: Engine) -> None:
        handle = engine.start(ending())
        engine.fail(handle.stream, "not wanted any more")
        assert engine.outbox.open() == []
        assert engine.expected_reply(handle.stream).state == "failed"

    def test_one_that_may_have_arrived_can_not(self, engine: Engine) -> None:
        handle = engine.start(ending())
        attempt_all(engine)
        with pytest.raises(ReplyNotDue, match="not known yet"):
            engine.fail(handle.stream, "not wanted any more")


class TestReplies:
    def test_one_that_was_refused_and_is_there_all_the_same_is_confirmed(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        outgoing = attempt(engine)
        engine.outbox.reject(outgoing, code="service-conflict", message="answered already")
        decided = engine.history(1, documents=True).entries[1].document
        assert engine.receive(npc(body=decided["body"])).kind == "confirmed"
        assert (state_of(engine), events_of(engine)[-1]) == ("notified", "packet_confirmed")

    def test_a_second_one_at_the_service_is_a_copy(self, engine: Engine) -> None:
        """What posting the same reply twice does, nobody says."""
        engine.receive(rpc())
        answer_project(engine)
        assert engine.receive(npc(rec=11)).kind == "confirmed"
        for packet_id in (1, 2, None):
            assert engine.receive(npc(rec=20 + (packet_id or 0), packet_id=packet_id)).kind == "duplicate"
        assert engine.quarantine() == []

    def test_only_the_reply_to_the_same_packet_is_superseded(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.fail(1, "the grant is unknown")
        assert engine.receive(npc()).kind == "confirmed"
        assert [entry.kind for entry in engine.outbox.open()] == ["set_failed"]

    def test_a_reply_that_another_tool_s_overtook_is_no_problem(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        engine.receive(npc(body={"ProjectID": "another"}))
        [summary] = engine.transactions()
        assert (summary.sending, summary.problem) == (False, None)

    def test_a_success_inform_without_a_flag_is_of_the_party_that_has_the_last_word(
        self, engine: Engine
    ) -> None:
        """It proves our reply, though by the state it would be our turn."""
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        attempt(engine)
        assert engine.receive(inform(outgoing_flag=None)).kind == "accepted"
        assert state_of(engine) == "completed"

    def test_our_inform_without_a_flag_is_known_by_what_it_says(self, engine: Engine) -> None:
        engine.receive(rpc())
        failure = Packet.from_dict(rpc()).reply_with_failure(message="no such field of science")
        engine.reply(1, failure)
        attempt(engine)
        listing = inform(outgoing_flag=None, body=failure.as_dict()["body"])
        assert engine.receive(listing).kind == "confirmed"
        assert (state_of(engine), engine.outbox.open()) == ("failed", [])

    def test_an_inform_that_answers_our_own_proves_it(self, engine: Engine) -> None:
        engine.receive(request("request_person_merge"))
        engine.reply(1, filled(engine, 1))
        attempt(engine)
        assert engine.receive(inform()).kind == "accepted"
        assert events_of(engine)[-2:] == ["packet_confirmed", "packet_received"]
        assert (state_of(engine), engine.outbox.open()) == ("completed", [])

    def test_a_packet_of_the_hub_s_that_waits_asks_for_the_history(self, engine: Engine) -> None:
        """It follows an answer of the site's that this log does not know: another tool sent it."""
        engine.receive(rpc())
        for _ in range(2):
            assert engine.receive(dpc()).history_needed
        assert "answered-elsewhere" in engine.expected_reply(1).anomalies
        outcomes = engine.adopt(history_of(rpc(), npc(), dpc()))
        assert [outcome.kind for outcome in outcomes] == ["already_there", "confirmed", "already_there"]
        assert state_of(engine) == "confirmed"
        assert [row.packet_rec_id for row in engine.work.ready()] == ["12"]
