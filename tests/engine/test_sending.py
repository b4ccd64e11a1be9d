"""The outbox: each thing is attempted, confirmed and refused once, whoever sends it."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine, Packet
from amie_engine.errors import ReplyAlreadyDecided, ReplyIncomplete, ReplyInvalid
from tests.engine.courses import count_of, forget_document
from tests.engine.playing import attempt, dpc, events_of, filled, inform, npc, rpc, send, state_of


@pytest.fixture
def replied(engine: Engine) -> Engine:
    """A project request whose reply is in the outbox."""
    engine.receive(rpc())
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    return engine


def attempted_body(engine: Engine) -> dict[str, Any]:
    """The body of the one thing in the outbox, which is attempted."""
    [listed] = engine.outbox.open()
    packet = engine.outbox.attempt(listed)
    assert packet is not None
    return dict(packet.as_dict()["body"])


def test_the_state_moves_when_the_packet_has_arrived_and_not_before(replied: Engine) -> None:
    assert state_of(replied) == "requested"
    outgoing = attempt(replied)
    assert state_of(replied) == "requested"
    replied.outbox.confirm(outgoing)
    assert state_of(replied) == "notified"


def test_two_that_send_do_not_send_the_same(replied: Engine) -> None:
    [listed] = replied.outbox.open()
    replied.outbox.attempt(listed)
    written = count_of(replied)
    with pytest.raises(ReplyAlreadyDecided, match="attempting, after 1 attempts"):
        replied.outbox.attempt(listed)
    assert count_of(replied) == written


def test_what_has_arrived_is_never_attempted_again(replied: Engine) -> None:
    [listed] = replied.outbox.open()
    replied.outbox.confirm(attempt(replied))
    with pytest.raises(ReplyAlreadyDecided, match="confirmed"):
        replied.outbox.attempt(listed)
    assert replied.outbox.open() == []


def test_an_attempt_that_came_to_nothing_is_made_again(replied: Engine) -> None:
    attempt(replied)
    attempt(replied)
    [outgoing] = replied.outbox.open()
    assert (outgoing.status, outgoing.attempts) == ("attempting", 2)


def test_a_second_word_on_what_has_arrived_changes_nothing(replied: Engine) -> None:
    outgoing = attempt(replied)
    replied.outbox.confirm(outgoing)
    written = count_of(replied)
    replied.outbox.confirm(outgoing)
    replied.outbox.reject(outgoing, code="service-conflict", message="there already")
    assert count_of(replied) == written


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        "ok",
        {"result": None},
        {"result": {"header": None}},
        {"result": {"header": {"packet_rec_id": "x", "trans_rec_id": {}}}},
        {"result": {"header": {"packet_rec_id": float("nan")}}},
        {"result": {1, 2}},
    ],
    ids=repr,
)
def test_any_answer_of_the_service_will_do(replied: Engine, answer: Any) -> None:
    replied.outbox.confirm(attempt(replied), answer)
    assert state_of(replied) == "notified"


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"result": npc()}, True),
        (npc(), True),
        ({"result": {"header": {"packet_rec_id": "11", "trans_rec_id": "1"}}}, True),
        ({"error": "Scheduled maintenance"}, False),
        ({"message": "Packet accepted", "result": None}, False),
        ({"result": {"header": {"trans_rec_id": 1}}}, False),
        ({"result": rpc()}, False),  # what it answers
        ({"result": npc(trans=2)}, False),  # of another transaction
        (None, False),
    ],
    ids=repr,
)
def test_an_answer_names_the_packet_by_the_ids_it_was_given(
    replied: Engine, answer: Any, names: bool
) -> None:
    assert attempt(replied).is_named_in(answer) is names


def test_an_answer_that_names_another_packet_s_id_gives_none(replied: Engine) -> None:
    """A service might answer with the packet that was answered."""
    replied.outbox.confirm(attempt(replied), {"result": rpc()})
    assert replied.receive(npc(rec=11)).kind == "confirmed"
    assert replied.receive(dpc()).kind == "accepted"


def test_after_the_end_nothing_more_is_sent(replied: Engine) -> None:
    [listed] = replied.outbox.open()
    replied.receive(inform(body={"StatusCode": "Failure"}))
    assert (state_of(replied), replied.outbox.open()) == ("failed", [])
    with pytest.raises(ReplyAlreadyDecided, match="rejected"):
        replied.outbox.attempt(listed)
    assert "the transaction had ended" in replied.history(1).entries[-1].sentence


def test_what_had_arrived_before_the_end_is_put_on_record(replied: Engine) -> None:
    outgoing = attempt(replied)
    replied.receive(inform(body={"StatusCode": "Failure"}))
    replied.outbox.confirm(outgoing, {"result": npc()})
    assert (state_of(replied), events_of(replied)[-1]) == ("failed", "packet_confirmed")


def test_that_may_come_in_a_listing(replied: Engine) -> None:
    body = attempted_body(replied)
    replied.receive(inform(body={"StatusCode": "Failure"}))
    assert replied.receive(npc(body=body)).kind == "confirmed"
    assert (state_of(replied), events_of(replied)[-1]) == ("failed", "packet_confirmed")


def test_what_was_erased_before_it_was_sent_is_refused(replied: Engine) -> None:
    forget_document(replied, 1, None, "packet_decided")
    [listed] = replied.outbox.open()
    with pytest.raises(ReplyInvalid, match="erased"):
        replied.outbox.attempt(listed)
    assert replied.outbox.open() == []
    replied.reply(1, filled(replied, 1, PiRemoteSiteLogin="rex"))
    send(replied)
    assert state_of(replied) == "notified"


def test_a_call_that_was_refused_is_shown_and_may_be_made_again(engine: Engine) -> None:
    engine.receive(rpc())
    engine.fail(1, "why")
    engine.outbox.reject(attempt(engine), code="service-conflict", message="no")
    [summary] = engine.transactions()
    assert summary.problem == "the call that sets it failed rejected: service-conflict"
    engine.fail(1, "why")
    send(engine)
    assert state_of(engine) == "failed"


def test_the_oldest_decision_is_first(engine: Engine) -> None:
    for trans in (3, 1, 2):
        engine.receive(rpc(trans, trans * 10))
    for trans in (2, 3, 1):
        engine.reply(trans, filled(engine, trans, PiRemoteSiteLogin="rex"))
    assert [outgoing.trans_rec_id for outgoing in engine.outbox.open()] == ["2", "3", "1"]


class TestWhatIsRefused:
    """What can't be written to the wire or to the log never gets into the outbox."""

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("\ud800", "half of a character"),
            ("a\x00", "NUL"),
            ([float("nan")], "no JSON"),
            ([{1, 2}], "no JSON"),
        ],
        ids=["surrogate", "NUL", "NaN", "set"],
    )
    def test_what_no_database_can_hold(self, engine: Engine, value: Any, told: str) -> None:
        engine.receive(rpc())
        with pytest.raises(ReplyInvalid, match=told):
            engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex", ProjectTitle=value))
        assert engine.outbox.open() == []

    @pytest.mark.parametrize("value", ["", " ", "\t", []], ids=["empty", "blank", "tab", "empty list"])
    def test_an_empty_value_for_a_required_item(self, engine: Engine, value: Any) -> None:
        engine.receive(rpc())
        with pytest.raises(ReplyIncomplete) as refused:
            engine.reply(1, filled(engine, 1, PiRemoteSiteLogin=value))
        assert refused.value.missing == ("PiRemoteSiteLogin",)

    @pytest.mark.parametrize("code", ["0", "00", "-1", "1.5", "x", "¹", True])
    def test_a_detail_code_that_is_no_positive_number(self, engine: Engine, code: Any) -> None:
        engine.receive(rpc())
        failure = Packet.from_dict(rpc()).reply_with_failure(detail_code=code)
        with pytest.raises(ReplyInvalid, match="DetailCode"):
            engine.reply(1, failure)

    @pytest.mark.parametrize("code", ["1", 7, "9" * 5000], ids=["text", "number", "long"])
    def test_a_detail_code_that_is_one_is_taken(self, engine: Engine, code: Any) -> None:
        engine.receive(rpc())
        failure = Packet.from_dict(rpc()).reply_with_failure(detail_code=code)
        assert engine.reply(1, failure).answers == "10"

    def test_while_it_is_being_set_failed_nothing_is_replied(self, engine: Engine) -> None:
        engine.receive(rpc())
        draft = filled(engine, 1, PiRemoteSiteLogin="rex")
        engine.fail(1, "why")
        with pytest.raises(ReplyAlreadyDecided, match="being set failed"):
            engine.reply(1, draft)
        assert engine.work.open() == []

    def test_white_space_and_numbers_for_text_are_no_difference_to_the_request(self, engine: Engine) -> None:
        asked = {"GrantNumber": " AST040002 ", "ResourceList": ["hc.ncsa.xsede "], "PfosNumber": 120}
        engine.receive(rpc(body=asked))
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex", PfosNumber="120"))
        body = attempted_body(engine)
        assert (body["GrantNumber"], body["ResourceList"]) == ("AST040002", ["hc.ncsa.xsede"])

    def test_an_inform_never_asks_for_a_reply(self, engine: Engine) -> None:
        engine.receive(rpc())
        failure = Packet.from_dict(rpc()).reply_with_failure()
        failure.expected_reply = [{"type": "inform_transaction_complete", "timeout": 5}]
        engine.reply(1, failure)
        [outgoing] = engine.outbox.open()
        packet = engine.outbox.attempt(outgoing)
        assert packet is not None
        assert packet.as_dict()["header"]["expected_reply_list"] == []
