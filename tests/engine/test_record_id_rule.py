"""The RecordID rule: what was processed once is answered again, and never processed again."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.log.whole import read_events
from tests.engine.playing import (
    Document,
    answer_project,
    dpc,
    events_of,
    filled,
    history_of,
    npc,
    rpc,
    send,
    state_of,
)
from tests.log.busy_site import assignment_of


def requested(trans: int, **body: Any) -> Document:
    return rpc(trans, trans * 10, body={"RecordID": "record-1", **body})


def begun(engine: Engine) -> list[str]:
    """The transactions whose work a handler would be given now, if it were the only one of its grant."""
    rows = engine.work.open()
    return [row.trans_rec_id for row in rows if assignment_of(engine, row) is not None]


def answer(engine: Engine, trans: int, **values: str) -> None:
    given = {"PiRemoteSiteLogin": "rex", "PiPersonID": "u42", "ProjectID": "p1", **values}
    engine.reply(trans, filled(engine, trans, **given))


def sent(engine: Engine) -> list[Document]:
    """What is in the outbox, oldest first; all of it is sent and accepted."""
    documents = []
    for outgoing in engine.outbox.open():
        packet = engine.outbox.attempt(outgoing)
        engine.outbox.confirm(outgoing)
        assert packet is not None
        documents.append(packet.as_dict())
    return documents


def test_three_copies_are_processed_once(engine: Engine) -> None:
    for trans in (1, 2, 3):
        engine.receive(requested(trans))
    assert begun(engine) == ["1"]
    answer(engine, 1)
    assert engine.work.open() == []
    bodies = [document["body"] for document in sent(engine)]
    assert [(body["ProjectID"], body["PiRemoteSiteLogin"]) for body in bodies] == [("p1", "rex")] * 3
    assert [state_of(engine, trans) for trans in (1, 2, 3)] == ["notified"] * 3


def test_the_answers_are_decided_together(engine: Engine) -> None:
    """A crash in between would leave the second request to the handler."""
    for trans in (1, 2):
        engine.receive(requested(trans))
    before = engine.log.read
    with before() as reader:
        position = len(read_events(reader.cursor, 0, 100))
    answer(engine, 1)
    decided = list(engine.log.whole.events(after=position))
    assert [event.type for event in decided] == ["packet_decided", "packet_decided"]
    assert [event.trans_rec_id for event in decided] == ["1", "2"]


def test_which_is_the_first_the_service_s_numbers_tell(engine: Engine) -> None:
    """As for the rules of order: else neither would be processed."""
    for trans in (2, 1):
        engine.receive(requested(trans))
    assert begun(engine) == ["1"]
    answer(engine, 1)
    assert [document["body"]["ProjectID"] for document in sent(engine)] == ["p1", "p1"]


def test_a_person_lets_the_second_be_processed(engine: Engine) -> None:
    """The first waits for a person who does not come."""
    for trans in (1, 2):
        engine.receive(requested(trans))
    engine.work.let_pass(2, actor="ops")
    assert begun(engine) == ["1", "2"]


def test_if_the_first_fails_the_next_is_processed_and_the_third_waits_for_it(engine: Engine) -> None:
    for trans in (1, 2, 3):
        engine.receive(requested(trans))
    engine.fail(1, "why")
    send(engine)
    assert begun(engine) == ["2"]
    answer(engine, 2)
    assert [document["body"]["ProjectID"] for document in sent(engine)] == ["p1", "p1"]


def test_an_answer_in_a_transaction_that_failed_later_is_not_repeated(engine: Engine) -> None:
    engine.receive(requested(1))
    answer(engine, 1)
    send(engine)
    engine.fail(1, "why")
    send(engine)
    engine.receive(requested(2))
    assert begun(engine) == ["2"]
    assert engine.outbox.open() == []


def test_an_answer_that_the_service_refused_is_not_repeated(engine: Engine) -> None:
    engine.receive(requested(1))
    answer(engine, 1)
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="no")
    engine.receive(requested(2))
    assert begun(engine) == []
    answer(engine, 1)
    assert len(sent(engine)) == 2


def test_another_tool_s_answer_is_repeated_too(engine: Engine) -> None:
    for trans in (1, 2):
        engine.receive(requested(trans))
    engine.receive(npc(1, 11, body={"ProjectID": "theirs"}))
    [document] = sent(engine)
    assert (document["body"]["ProjectID"], document["header"]["in_reply_to"]) == ("theirs", 20)
    assert engine.work.open() == []


@pytest.mark.parametrize(
    "other", [{"GrantNumber": "PHY000002"}, {"ResourceList": ["other.example"]}, {"ResourceList": []}]
)
def test_for_another_grant_or_resource_it_is_another_request(engine: Engine, other: Document) -> None:
    """To answer it with the first one's project would give the wrong people the wrong machine."""
    engine.receive(requested(1))
    answer(engine, 1)
    outcome = engine.receive(requested(2, **other))
    assert "record-id-reused" in outcome.anomalies
    assert begun(engine) == ["2"]
    assert "PiRemoteSiteLogin" in engine.expected_reply(2).missing
    assert len(engine.outbox.open()) == 1


@pytest.mark.parametrize("again", [7, "7"])
def test_a_number_is_its_text(engine: Engine, again: Any) -> None:
    engine.receive(requested(1, RecordID=7))
    answer(engine, 1)
    sent(engine)
    engine.receive(requested(2, RecordID=again))
    assert len(sent(engine)) == 1


def test_a_supplement_has_a_record_id_of_its_own(engine: Engine) -> None:
    engine.receive(requested(1))
    answer(engine, 1)
    sent(engine)
    outcome = engine.receive(requested(2, RecordID="record-2", AllocationType="supplement"))
    assert outcome.anomalies == ()
    assert begun(engine) == ["2"]


def test_the_answer_s_own_record_id_says_nothing(engine: Engine) -> None:
    engine.receive(requested(1, RecordID="record-9"))
    answer(engine, 1, RecordID="record-1")
    sent(engine)
    engine.receive(requested(2))
    assert begun(engine) == ["2"]


def test_what_the_first_answer_lacks_is_the_handler_s_to_say(engine: Engine) -> None:
    """Another tool gave it before anything demanded the item that is missing."""
    engine.adopt(history_of(requested(1), npc(1, 11, body={"PiRemoteSiteLogin": None})))
    engine.receive(requested(2))
    assert begun(engine) == ["2"]
    assert engine.expected_reply(2).missing == ("PiRemoteSiteLogin",)
    answer(engine, 2)
    assert len(sent(engine)) == 1


def test_a_history_is_no_request_to_repeat_an_answer(engine: Engine) -> None:
    """The repeated request was answered before the log began."""
    engine.receive(requested(1))
    answer(engine, 1)
    sent(engine)
    engine.adopt(history_of(requested(2), npc(2, 21), dpc(2, 22)))
    assert engine.outbox.open() == []
    assert state_of(engine, 2) == "confirmed"
    assert "packet_decided" not in events_of(engine, 2)


def test_a_history_that_waits_for_the_answer_gets_it(engine: Engine) -> None:
    engine.receive(requested(1))
    answer(engine, 1)
    sent(engine)
    engine.adopt(history_of(requested(2)))
    assert [document["body"]["ProjectID"] for document in sent(engine)] == ["p1"]


def test_after_the_first_is_completed_it_is_still_known(engine: Engine) -> None:
    engine.receive(requested(1))
    answer_project(engine, 1)
    engine.receive(dpc(1, 12))
    engine.reply(1, filled(engine, 1))
    send(engine)
    assert state_of(engine, 1) == "completed"
    engine.receive(requested(2))
    assert [document["body"]["ProjectID"] for document in sent(engine)] == ["p1"]
