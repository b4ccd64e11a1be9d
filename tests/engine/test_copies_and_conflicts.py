"""Packets that come again: resent under new ids, or other content under ids that are known."""

from __future__ import annotations

import pytest

from amie_engine import Engine
from tests.engine.courses import count_of, forget_document
from tests.engine.playing import (
    answer_project,
    attempt,
    dpc,
    events_of,
    filled,
    inform,
    request,
    rpc,
    send,
    state_of,
)


class TestCopies:
    def test_two_copies_that_wait_are_one_packet_and_its_copy(self, engine: Engine) -> None:
        """The hub resends a data packet before our reply is known to have arrived."""
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        for rec in (12, 22, 32):
            assert engine.receive(dpc(rec=rec)).kind == "held"
        send(engine)
        assert state_of(engine) == "confirmed"
        assert events_of(engine)[-3:] == ["packet_received", "packet_duplicated", "packet_duplicated"]
        assert engine.transactions()[0].held == 0
        assert [row.packet_rec_id for row in engine.work.ready()] == ["12"]

    def test_a_copy_that_says_something_else_is_an_anomaly(self, engine: Engine) -> None:
        engine.receive(rpc())
        outcome = engine.receive(rpc(rec=20, body={"ServiceUnitsAllocated": "5"}))
        assert (outcome.kind, outcome.anomalies) == ("duplicate", ("duplicate-differs",))
        assert engine.receive(rpc(rec=20, body={"ServiceUnitsAllocated": "5"})).kind == "duplicate"
        assert "duplicate-differs" in engine.expected_reply(1).anomalies
        assert events_of(engine) == ["packet_received", "packet_duplicated"]

    @pytest.mark.parametrize(("first", "second"), [(None, None), (None, 1), (1, None)])
    def test_without_its_number_it_is_a_copy_where_it_has_no_other_place(
        self, engine: Engine, first: int | None, second: int | None
    ) -> None:
        engine.receive(rpc(packet_id=first))
        assert engine.receive(rpc(rec=20, packet_id=second)).kind == "duplicate"

    def test_another_number_is_no_copy(self, engine: Engine) -> None:
        engine.receive(rpc(packet_id=1))
        outcome = engine.receive(rpc(rec=20, packet_id=2))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-not-allowed")

    def test_both_sides_may_use_the_same_number(self, engine: Engine) -> None:
        engine.receive(request("request_person_merge", packet_id=1))
        assert engine.receive(inform(packet_id=1, outgoing_flag=0)).kind == "confirmed"


class TestCopiesOfWhatWeFailed:
    @pytest.fixture
    def failed(self, engine: Engine) -> Engine:
        """A project request that we failed by an inform."""
        engine.receive(rpc())
        asked = engine.expected_reply(1).request
        assert asked is not None
        engine.reply(1, asked.reply_with_failure())
        send(engine)
        assert state_of(engine) == "failed"
        return engine

    def test_the_new_copy_is_what_is_answered(self, failed: Engine) -> None:
        assert failed.receive(rpc(rec=20, body={"PfosNumber": "999"})).kind == "accepted"
        assert state_of(failed) == "requested"
        assert [row.packet_rec_id for row in failed.work.ready()] == ["20"]
        draft = filled(failed, 1, PiRemoteSiteLogin="rex")
        assert draft.as_dict()["body"]["PfosNumber"] == "999"
        failed.reply(1, draft)
        send(failed)
        failed.receive(dpc())
        failed.reply(1, filled(failed, 1))
        send(failed)
        assert state_of(failed) == "completed"
        assert "in place of packet 10" in failed.history(1).entries[4].sentence

    def test_also_where_neither_tells_its_number(self, engine: Engine) -> None:
        engine.receive(rpc(packet_id=None))
        engine.fail(1, "why")
        send(engine)
        assert engine.receive(rpc(rec=20, packet_id=None)).kind == "accepted"
        assert state_of(engine) == "requested"

    def test_it_can_be_failed_again(self, engine: Engine) -> None:
        for rec in (10, 20, 30):
            assert engine.receive(rpc(rec=rec)).kind == "accepted"
            engine.fail(1, "why")
            send(engine)
            assert state_of(engine) == "failed"

    def test_the_older_copy_stays_what_it_was(self, failed: Engine) -> None:
        failed.receive(rpc(rec=20))
        assert failed.receive(rpc(rec=10)).kind == "already_there"
        assert state_of(failed) == "requested"

    def test_the_inform_of_another_tool_ends_it_then(self, failed: Engine) -> None:
        """It is neither our inform that failed the first copy, nor a copy of that."""
        failed.receive(rpc(rec=20))
        answer_project(failed)
        failed.receive(dpc())
        assert failed.receive(inform(rec=33, packet_id=None, outgoing_flag=0)).kind == "confirmed"
        assert state_of(failed) == "completed"

    def test_only_the_packet_that_we_failed_comes_again(self, engine: Engine) -> None:
        engine.receive(rpc())
        answer_project(engine)
        engine.receive(dpc())
        engine.fail(1, "why")
        send(engine)
        assert engine.receive(rpc(rec=20)).kind == "duplicate"
        assert engine.receive(dpc(rec=22)).kind == "accepted"
        assert state_of(engine) == "confirmed"


class TestConflicts:
    def test_an_id_that_a_held_packet_had_first_stays_with_who_was_accepted(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        assert engine.receive(dpc(trans=1, rec=12)).kind == "held"
        assert engine.receive(request("request_person_merge", trans=2, rec=12)).kind == "accepted"
        send(engine)
        assert state_of(engine) == "notified"
        assert "has taken its record id" in engine.history(1).entries[-1].sentence
        assert engine.receive(dpc(trans=1, rec=12)).kind == "conflict"
        assert state_of(engine, 2) == "requested"

    def test_each_content_is_kept_once_also_of_a_packet_that_waits(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.receive(dpc())
        for _ in range(3):
            for person in ("a", "b"):
                assert engine.receive(dpc(body={"PersonID": person})).kind == "conflict"
        assert events_of(engine).count("packet_conflicted") == 2
        assert engine.receive(dpc()).kind == "held"
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        send(engine)
        waiting = engine.expected_reply(1).request
        assert waiting is not None
        assert waiting.as_dict()["body"] == dpc()["body"]

    def test_of_an_erased_packet_only_the_type_can_be_compared(self, engine: Engine) -> None:
        engine.receive(rpc())
        forget_document(engine, 1, "10", "packet_received")
        assert engine.receive(rpc(body={"PiCity": "Elsewhere"})).kind == "already_there"
        assert engine.receive(request("request_person_merge", rec=10)).kind == "conflict"

    def test_it_is_never_acted_on(self, engine: Engine) -> None:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        attempt(engine)
        engine.receive(inform())
        written = count_of(engine)
        assert engine.receive(inform(body={"StatusCode": "Failure"})).kind == "conflict"
        assert (state_of(engine), count_of(engine)) == ("completed", written + 1)
