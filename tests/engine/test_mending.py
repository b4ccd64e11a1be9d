"""What the service refused: shown with what is wrong, mended by a person, and sent again in its own place."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.errors import (
    ChangeInvalid,
    EngineError,
    NothingRefused,
    ReplyAlreadyDecided,
    ReplyIncomplete,
    ReplyInvalid,
    TransactionClosed,
)
from amie_engine.packet import NotifyUserModify
from tests.engine.courses import count_of, forget_document
from tests.engine.playing import attempt, dpc, events_of, filled, inform, npc, rpc, send, state_of

WORDS = "PiRemoteSiteLogin: Robin Example is known under another login."


def refuse(engine: Engine, code: str = "service-validation") -> None:
    engine.outbox.reject(attempt(engine), code=code, message=WORDS)


@pytest.fixture
def refused(engine: Engine) -> Engine:
    """A project request whose reply the service refused."""
    engine.receive(rpc())
    engine.reply(1, filled(engine, 1, PiPersonID="u42", PiRemoteSiteLogin="rex", ProjectID="p1"))
    refuse(engine)
    return engine


def pending_body(engine: Engine) -> dict[str, Any]:
    """The body of the one thing in the outbox, which is attempted."""
    [listed] = engine.outbox.open()
    packet = engine.outbox.attempt(listed)
    assert packet is not None
    return dict(packet.as_dict()["body"])


def resend(engine: Engine, **changes: Any) -> None:
    engine.resend(1, changes, actor="help desk", reason="they said so")


def test_what_was_refused_is_shown_with_the_services_words_and_our_own_findings(refused: Engine) -> None:
    [refusal] = refused.outbox.rejected(1)
    assert [each.stream for each in refused.outbox.rejected()] == [refusal.stream]
    assert (refusal.answers, refusal.packet_type) == ("10", "notify_project_create")
    assert (refusal.code, refusal.message) == ("service-validation", WORDS)
    assert refusal.packet is not None
    assert refusal.packet.as_dict()["body"]["PiRemoteSiteLogin"] == "rex"
    assert (refusal.missing, refusal.problems, refusal.is_erased) == ((), (), False)
    assert "Robin" not in repr(refusal)


def test_a_value_of_another_kind_than_its_field_is_found(engine: Engine) -> None:
    engine.receive(rpc())
    odd: Any = ["Q"]
    engine.reply(
        1, filled(engine, 1, PiPersonID="u42", PiRemoteSiteLogin="r", ProjectID="p", PiMiddleName=odd)
    )
    refuse(engine)
    assert engine.outbox.rejected(1)[0].problems == ("PiMiddleName takes one text or number",)


def test_a_mended_reply_takes_the_place_of_the_one_that_was_refused(refused: Engine) -> None:
    handle = refused.resend(1, {"PiRemoteSiteLogin": "rex2"}, actor="help desk", reason="they said so")
    assert (handle.trans_rec_id, handle.answers) == ("1", "10")
    assert refused.outbox.rejected() == []
    assert refused.work.open() == []
    assert refused.transactions()[0].problem is None
    body = pending_body(refused)
    assert (body["PiRemoteSiteLogin"], body["PiPersonID"]) == ("rex2", "u42")
    [outgoing] = refused.outbox.open()
    refused.outbox.confirm(outgoing)
    assert state_of(refused) == "notified"
    assert events_of(refused).count("packet_confirmed") == 1


def test_who_changed_which_fields_is_on_record_and_no_value_is(refused: Engine) -> None:
    resend(refused, PiRemoteSiteLogin="rex2", PiMiddleName="Secretname", PiOrgCode=None)
    entry = refused.history(1).entries[-1]
    assert entry.actor == "help desk"
    assert set(entry.facts["changed"]) >= {"PiRemoteSiteLogin", "PiMiddleName"}
    assert (entry.facts["resends"], entry.facts["reason"]) == (2, "they said so")
    assert "once more, with " in entry.sentence
    assert "by help desk: they said so." in entry.sentence
    assert "Secretname" not in str(entry.facts) + entry.sentence


def test_a_change_to_what_is_there_already_is_none(refused: Engine) -> None:
    packet: Any = refused.outbox.rejected(1)[0].packet
    with pytest.raises(ChangeInvalid, match="has these values already"):
        refused.resend(1, {"PiRemoteSiteLogin": packet.PiRemoteSiteLogin}, actor="help desk")
    assert refused.outbox.open() == []


def test_as_it_is_nothing_has_changed(refused: Engine) -> None:
    before = refused.outbox.rejected(1)[0].packet
    refused.resend(1, actor="help desk")
    assert before is not None
    assert pending_body(refused) == before.as_dict()["body"]
    entry = refused.history(1).entries[-2]
    assert entry.facts["changed"] == []
    assert "once more, as it was, by help desk." in entry.sentence


def test_a_second_time_there_is_nothing_to_resend(refused: Engine) -> None:
    resend(refused)
    written = count_of(refused)
    with pytest.raises(NothingRefused, match="its notify_project_create is pending"):
        resend(refused)
    assert count_of(refused) == written


def test_refused_again_it_is_mended_again_from_the_newest(refused: Engine) -> None:
    resend(refused, PiRemoteSiteLogin="rex2")
    refuse(refused)
    assert [row.status for row in refused.work.open()] == ["parked"]
    resend(refused, PiPersonID="u43")
    [listed] = refused.outbox.open()
    assert listed.attempts == 2  # whoever sends it knows that it was sent before, and looks
    body = pending_body(refused)
    assert (body["PiRemoteSiteLogin"], body["PiPersonID"]) == ("rex2", "u43")


def test_the_handler_may_still_decide_anew(refused: Engine) -> None:
    refused.work.retry(1, actor="operator")
    assert [row.status for row in refused.work.open()] == ["ready"]
    refused.reply(1, filled(refused, 1, PiPersonID="u42", PiRemoteSiteLogin="r", ProjectID="p1"))
    with pytest.raises(NothingRefused):
        resend(refused)
    send(refused)
    assert state_of(refused) == "notified"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"PiRemoteSiteLogn": "x"}, "Did you mean PiRemoteSiteLogin"),
        ({"piremotesitelogin": "x"}, "Did you mean PiRemoteSiteLogin"),
        ({"Nonsense": None}, "has no field 'Nonsense'"),
        ({"ResourceList": "x"}, "ResourceList takes a list of texts"),
        ({"PiRemoteSiteLogin": ["x"]}, "PiRemoteSiteLogin takes one text or number"),
        ({"PiRemoteSiteLogin": True}, "PiRemoteSiteLogin takes one text or number"),
        ({"Sfos": [{"No": "1"}]}, "Sfos takes a list of objects with Number"),
    ],
)
def test_a_change_that_fits_no_field_changes_nothing(
    refused: Engine, changes: dict[str, Any], told: str
) -> None:
    written = count_of(refused)
    with pytest.raises(ChangeInvalid) as error:
        refused.resend(1, changes, actor="help desk")
    assert told in str(error.value)
    assert count_of(refused) == written


def test_what_is_mended_is_checked_like_any_reply(refused: Engine) -> None:
    with pytest.raises(ReplyIncomplete) as incomplete:
        resend(refused, PiRemoteSiteLogin=None)
    assert incomplete.value.missing == ("PiRemoteSiteLogin",)
    with pytest.raises(ReplyInvalid, match="ResourceList is not the one of the request"):
        resend(refused, ResourceList=["another"])
    assert len(refused.outbox.rejected(1)) == 1


def test_an_item_that_amie_does_not_name_can_be_left_out(engine: Engine) -> None:
    engine.receive(rpc())
    reply = filled(engine, 1, PiPersonID="u42", PiRemoteSiteLogin="rex", ProjectID="p1")
    reply.additional_data["Robins own"] = "x"
    engine.reply(1, reply)
    refuse(engine)
    engine.resend(1, {"Robins own": None}, actor="help desk")
    assert engine.history(1).entries[-1].facts["changed"] == ["additional_data"]
    assert "Robins own" not in pending_body(engine)


def test_when_another_tool_has_answered_meanwhile_nothing_waits_to_be_mended(refused: Engine) -> None:
    assert refused.receive(npc()).kind == "confirmed"
    assert refused.outbox.rejected() == []
    assert refused.transactions()[0].problem is None
    with pytest.raises(NothingRefused):
        resend(refused)


def test_nor_is_it_sent_where_that_comes_after_it_was_mended(refused: Engine) -> None:
    resend(refused, PiRemoteSiteLogin="rex2")
    assert refused.receive(npc()).kind == "confirmed"
    assert refused.outbox.open() == []
    assert (state_of(refused), events_of(refused)[-2:]) == ("notified", ["packet_rejected", "packet_adopted"])


def test_what_the_service_has_all_the_same_is_confirmed(refused: Engine) -> None:
    body = dict(refused.history(1, documents=True).entries[1].document["body"])
    refused.resend(1, actor="help desk")
    assert refused.receive(npc(body=body)).kind == "confirmed"
    assert (state_of(refused), events_of(refused)[-1]) == ("notified", "packet_confirmed")
    assert refused.outbox.open() == []
    assert refused.receive(dpc()).kind == "accepted"


def test_after_the_end_nothing_is_resent(refused: Engine) -> None:
    refused.receive(inform(body={"StatusCode": "Failure"}))
    assert refused.outbox.rejected() == []
    with pytest.raises(TransactionClosed):
        resend(refused)


def test_while_the_transaction_is_being_set_failed_nothing_is_resent(refused: Engine) -> None:
    refused.fail(1, "the grant was withdrawn")
    with pytest.raises(ReplyAlreadyDecided, match="being set failed"):
        resend(refused)


def test_what_was_erased_is_shown_as_such_and_cannot_be_resent(refused: Engine) -> None:
    forget_document(refused, 1, None, "packet_decided")
    forget_document(refused, 1, None, "packet_rejected")
    [refusal] = refused.outbox.rejected(1)
    assert (refusal.is_erased, refusal.message, refusal.packet) == (True, None, None)
    for changes in ({}, {"PiRemoteSiteLogin": "rex2"}):
        with pytest.raises(ReplyInvalid, match="was erased"):
            refused.resend(1, changes, actor="help desk")


def test_a_failure_inform_can_be_resent(engine: Engine) -> None:
    engine.receive(rpc())
    request = engine.expected_reply(1).request
    assert request is not None
    engine.reply(1, request.reply_with_failure())
    refuse(engine)
    engine.resend(1, {"Message": "The grant is unknown."}, actor="help desk")
    send(engine)
    assert state_of(engine) == "failed"


def test_the_call_that_sets_a_transaction_failed_is_resent_as_it_is(refused: Engine) -> None:
    refused.fail(1, "the grant was withdrawn", actor="allocations")
    refuse(refused, "service-conflict")
    assert [each.answers for each in refused.outbox.rejected(1)] == ["failed", "10"]
    refused.resend(1, actor="help desk")
    entry = refused.history(1, documents=True).entries[-1]
    assert entry.document == {"reason": "the grant was withdrawn"}
    assert entry.sentence == "Decided to set the transaction failed once more, as it was, by help desk."
    send(refused)
    assert state_of(refused) == "failed"


def test_a_call_has_no_fields(engine: Engine) -> None:
    engine.receive(rpc())
    engine.fail(1, "no")
    refuse(engine)
    with pytest.raises(ChangeInvalid, match="it has no fields"):
        resend(engine, ProjectID="p1")


class TestStart:
    @pytest.fixture
    def stream(self, engine: Engine) -> str:
        """A transaction that the site began with a packet that was refused."""
        handle = engine.start(NotifyUserModify(ActionType="add", PersonID="u1", Email="robin@example.edu"))
        refuse(engine)
        return handle.stream

    def test_it_is_mended_in_its_own_transaction(self, engine: Engine, stream: str) -> None:
        assert [each.answers for each in engine.outbox.rejected(stream)] == ["start"]
        handle = engine.resend(stream, {"PersonID": "u2"}, actor="help desk")
        assert (handle.stream, handle.trans_rec_id, handle.answers) == (stream, None, "start")
        assert pending_body(engine)["PersonID"] == "u2"
        assert len(engine.transactions()) == 1
        [outgoing] = engine.outbox.open()
        engine.outbox.confirm(outgoing, {"result": {"header": {"packet_rec_id": 70, "trans_rec_id": 7}}})
        assert state_of(engine, 7) == "notified"

    def test_one_that_was_given_up_is_not(self, engine: Engine, stream: str) -> None:
        engine.fail(stream, "not wanted any more")
        with pytest.raises(TransactionClosed):
            engine.resend(stream, actor="help desk")

    def test_it_is_checked_as_a_first_packet(self, engine: Engine, stream: str) -> None:
        with pytest.raises(EngineError, match="lacks PersonID"):
            engine.resend(stream, {"PersonID": None}, actor="help desk")
