"""Adopting a transaction's history: in one commit, in any order, and nothing in it is done again."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from amie_engine import Engine, Transaction
from amie_engine.errors import PacketInvalidData
from amie_engine.protocol import TRANSACTION_TYPES, Party, State
from amie_engine.testing import Clock
from tests.engine.courses import count_of, course, documents, rows_of
from tests.engine.playing import (
    Document,
    attempt,
    dpc,
    events_of,
    filled,
    history_of,
    inform,
    npc,
    request,
    rpc,
    send,
    state_of,
)
from tests.log.busy_site import assignment_of


@pytest.mark.parametrize("transaction_type", TRANSACTION_TYPES)
@pytest.mark.parametrize("form", ["document", "transaction"])
def test_as_far_as_it_has_come(engine: Engine, transaction_type: str, form: str) -> None:
    rows = course(transaction_type)
    for length in range(1, len(rows) + 1):
        packets = documents(rows, trans=length, first=length * 100)[:length]
        for packet in packets:
            packet["body"].pop("RecordID", None)
        history: Any = history_of(*packets)
        outcomes = engine.adopt(Transaction.from_dict(history) if form == "transaction" else history)
        assert {outcome.kind for outcome in outcomes} <= {"accepted", "confirmed"}
        due = engine.expected_reply(length)
        assert (due.transaction_type, due.state) == (transaction_type, rows[length - 1].next_state)
        waits = rows[length - 1].sender is Party.HUB and due.state != State.COMPLETED
        here = [row for row in engine.work.open() if row.trans_rec_id == str(length)]
        assert len(here) == waits
    assert engine.outbox.open() == []


def test_the_order_in_the_document_does_not_matter(engine: Engine) -> None:
    for trans, order in enumerate(permutations(range(4)), 1):
        packets = documents(course("request_project_create"), trans=trans, first=trans * 100)
        engine.adopt(history_of(*(packets[number] for number in order)))
        assert state_of(engine, trans) == "completed"
    assert engine.quarantine() == []


def test_what_was_answered_long_ago_is_done_from_the_beginning(engine: Engine) -> None:
    """It is one commit: no worker sees the request in between, open."""
    engine.receive(dpc())
    engine.adopt(history_of(rpc(), npc(), dpc()))
    assert rows_of(engine, "SELECT status FROM amie_work WHERE packet_rec_id = '10'") == [("done",)]
    assert state_of(engine) == "confirmed"


def test_again_changes_nothing(engine: Engine) -> None:
    history = history_of(*documents(course("request_account_create")))
    engine.adopt(history)
    written = count_of(engine)
    assert {outcome.kind for outcome in engine.adopt(history)} == {"already_there"}
    assert count_of(engine) == written


def test_what_the_service_says_has_failed_is_not_worked_on(engine: Engine) -> None:
    """It was set failed by a call: no packet tells."""
    engine.adopt(history_of(rpc()) | {"state": "failed"})
    assert state_of(engine) == "failed"
    assert engine.work.open() == []
    assert "set failed" in engine.history(1).entries[-1].sentence


def test_that_proves_the_call_of_ours_that_was_under_way(engine: Engine) -> None:
    engine.receive(rpc())
    engine.fail(1, "why")
    attempt(engine)
    engine.adopt(history_of(rpc()) | {"state": "failed"})
    assert (state_of(engine), engine.outbox.open()) == ("failed", [])
    assert events_of(engine)[-1] == "packet_confirmed"


def test_a_header_without_the_transaction_s_id_takes_that_of_the_history(engine: Engine) -> None:
    outcomes = engine.adopt(history_of(rpc(trans_rec_id=None)) | {"trans_rec_id": 77})
    assert [outcome.kind for outcome in outcomes] == ["accepted"]
    assert state_of(engine, 77) == "requested"


def test_an_ended_one_is_not_acknowledged(engine: Engine, clock: Clock) -> None:
    eager = Engine(engine.database.engine, site="NCSA", clock=clock, acknowledge_inform="always")
    eager.adopt(history_of(*documents(course("request_project_inactivate"))))
    assert (state_of(eager), eager.outbox.open()) == ("completed", [])


class TestUnreadablePackets:
    def test_without_the_beginning_the_others_wait_until_it_is_mended(self, engine: Engine) -> None:
        outcomes = engine.adopt(history_of({**rpc(), "body": None}, npc(), dpc()))
        assert [outcome.kind for outcome in outcomes] == ["held", "held", "quarantined"]
        engine.receive(rpc())
        assert state_of(engine) == "confirmed"
        assert [row.packet_rec_id for row in engine.work.ready()] == ["12"]
        assert engine.quarantine() == []

    def test_where_our_own_answer_is_unreadable_the_request_is_not_worked_on_again(
        self, engine: Engine
    ) -> None:
        engine.adopt(history_of(rpc(), {**npc(), "body": None}, dpc()))
        assert state_of(engine) == "requested"
        [row] = engine.work.ready()
        assert assignment_of(engine, row) is None
        assert "answered-elsewhere" in engine.expected_reply(1).anomalies
        engine.receive(npc())
        assert state_of(engine) == "confirmed"
        assert [assignment_of(engine, row) is not None for row in engine.work.ready()] == [True]

    def test_where_the_hub_s_is_unreadable_ours_after_it_waits(self, engine: Engine) -> None:
        broken = dpc(packet_id="x")
        engine.adopt(history_of(rpc(), npc(), broken, inform(outgoing_flag=0)))
        assert (state_of(engine), engine.transactions()[0].held) == ("notified", 1)
        engine.receive(dpc())
        assert state_of(engine) == "completed"


class TestWithoutTheBeginning:
    NOBODY_TOLD: Document = {"originating_site_name": None}

    def test_a_history_that_lacks_it_is_asked_for_once(self, engine: Engine) -> None:
        assert engine.receive(dpc()).history_needed
        [outcome] = engine.adopt(history_of(dpc()))
        assert outcome.kind == "quarantined"
        assert engine.transactions() == []
        written = count_of(engine)
        for _ in range(3):
            again = engine.receive(dpc())
            assert (again.kind, again.history_needed) == ("quarantined", False)
        assert count_of(engine) == written

    def test_it_goes_on_when_the_beginning_comes_after_all(self, engine: Engine) -> None:
        engine.adopt(history_of(dpc(), npc()))
        engine.receive(rpc())
        assert engine.receive(npc()).kind == "confirmed"
        assert engine.receive(dpc()).kind == "accepted"
        assert state_of(engine) == "confirmed"
        assert engine.quarantine() == []

    def test_our_packet_begins_a_history_in_which_it_is_the_first(self, engine: Engine) -> None:
        """Nothing in its header tells who began it."""
        packets = [npc(rec=11, **self.NOBODY_TOLD), dpc(rec=12, **self.NOBODY_TOLD)]
        assert [engine.receive(packet).kind for packet in packets] == ["held", "held"]
        engine.adopt(history_of(*packets))
        due = engine.expected_reply(1)
        assert (due.transaction_type, due.state) == ("notify_project_create", "confirmed")

    def test_it_is_a_reply_in_a_history_in_which_it_is_not(self, engine: Engine) -> None:
        engine.receive(npc(rec=11, **self.NOBODY_TOLD))
        engine.adopt(history_of(rpc(rec=10, **self.NOBODY_TOLD), npc(rec=11, **self.NOBODY_TOLD)))
        assert engine.expected_reply(1).transaction_type == "request_project_create"


@pytest.mark.parametrize("document", [None, [], {"DATA": {}}, {"trans_rec_id": "x"}])
def test_what_is_no_transaction_is_told_so(engine: Engine, document: Any) -> None:
    with pytest.raises(PacketInvalidData):
        engine.adopt(document)
    assert count_of(engine) == 0


def test_an_empty_history_is_none(engine: Engine) -> None:
    assert engine.adopt({"DATA": []}) == []


def test_a_reply_that_is_under_way_is_confirmed_by_the_history(engine: Engine) -> None:
    engine.receive(request("request_account_inactivate"))
    engine.reply(1, filled(engine, 1))
    [outgoing] = engine.outbox.open()
    packet = engine.outbox.attempt(outgoing)
    assert packet is not None
    listed = request("notify_account_inactivate.reply", rec=11)
    listed["body"] = packet.as_dict()["body"] | {"Comment": "filled in"}
    engine.adopt(history_of(request("request_account_inactivate"), listed))
    assert (state_of(engine), engine.outbox.open()) == ("notified", [])


def test_a_reply_that_is_not_in_the_history_stays_under_way(engine: Engine) -> None:
    engine.receive(rpc())
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    attempt(engine)
    engine.adopt(history_of(rpc()))
    assert [outgoing.status for outgoing in engine.outbox.open()] == ["attempting"]
    send(engine)
    assert state_of(engine) == "notified"
