"""The story of a transaction, and the lists that an operator looks at."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from amie_engine import Engine
from amie_engine.engine.views import as_json
from amie_engine.errors import ReplyIncomplete, TransactionNotFound
from amie_engine.log.events import EventType
from amie_engine.packet import NotifyUserModify
from amie_engine.testing import Clock
from tests.engine.playing import attempt, complete_project, dpc, filled, inform, rpc, send
from tests.log.busy_site import do_in_steps, leased


def test_a_story_tells_who_did_what_in_order(engine: Engine) -> None:
    complete_project(engine)
    story = engine.history(1)
    assert (story.trans_rec_id, story.type, story.state) == ("1", "request_project_create", "completed")
    assert [(entry.who, entry.event, entry.state) for entry in story.entries] == [
        ("hub", "packet_received", "requested"),
        ("site", "packet_decided", "requested"),
        ("site", "packet_attempted", "requested"),
        ("site", "packet_confirmed", "notified"),
        ("hub", "packet_received", "confirmed"),
        ("site", "packet_decided", "confirmed"),
        ("site", "packet_attempted", "confirmed"),
        ("site", "packet_confirmed", "completed"),
    ]
    assert [entry.time for entry in story.entries] == sorted(entry.time for entry in story.entries)
    assert all(entry.sentence.endswith(".") for entry in story.entries)


def test_documents_are_told_only_where_they_are_asked_for(engine: Engine) -> None:
    engine.receive(rpc(body={"PiLastName": "Zzyzx"}))
    assert "Zzyzx" not in str(as_json(engine.history(1)))
    told = engine.history(1, documents=True).entries[0].document
    assert told["body"]["PiLastName"] == "Zzyzx"


def test_a_transaction_of_another_hub_or_site_is_told_of(engine: Engine) -> None:
    engine.receive(rpc())
    [there] = engine.transactions()
    beside = Engine(engine.database.engine, site="NCSA", hub="another")
    for name in (1, there.stream):
        with pytest.raises(TransactionNotFound, match="of site NCSA at hub another") as caught:
            beside.history(name)
        assert f"--hub {engine.hub} --site {engine.site}: name these" in caught.value.hint
    with pytest.raises(TransactionNotFound) as caught:
        beside.history(2)
    assert caught.value.hint == TransactionNotFound.default_hint


def test_every_kind_of_event_has_its_sentence(engine: Engine, clock: Clock) -> None:
    engine.receive(rpc(trans=1))
    engine.receive(rpc(trans=1, rec=20))
    engine.receive(rpc(trans=1, body={"Abstract": "other"}))
    engine.receive(dpc(trans=1))
    [row] = engine.work.ready()
    do_in_steps(engine, row, clock)
    engine.work.record.failed(
        leased(engine, row), "ValueError", 1, retry_at=clock.now, details="secret", actor="handler h"
    )
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    engine.outbox.reject(attempt(engine), code="service-validation", message="secret")
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    send(engine)
    engine.fail(1, "why")
    send(engine)
    engine.receive(inform(trans=1))
    engine.receive(rpc(trans=2, rec=200))
    deadline = engine.expected_reply(2).deadline
    assert deadline is not None
    clock.now = deadline - timedelta(days=1)
    engine.note_deadlines()
    clock.forward(days=40)
    engine.note_deadlines()
    engine.confirm_deadline(2, actor="operator")
    begun = engine.start(NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin"]))
    engine.work.let_pass(begun.stream, actor="operator")
    stories = [engine.history(1), engine.history(2), engine.history(begun.stream)]
    told = {entry.event for story in stories for entry in story.entries}
    elsewhere = {
        EventType.PACKET_QUARANTINED,
        EventType.PACKET_RELEASED,
        EventType.PACKET_ADOPTED,
        EventType.TRANSACTION_UNKNOWN,
        EventType.STAGED_REFUSED,
        EventType.DOCUMENTS_ERASED,
    }
    assert told >= {str(event) for event in EventType if event not in elsewhere}
    assert "secret" not in str([as_json(story) for story in stories])


def test_the_list_tells_turn_deadline_and_what_needs_a_person(engine: Engine) -> None:
    engine.receive(rpc(packet_timestamp="2026-01-15T12:00:00.000Z"))
    [listed] = engine.transactions()
    assert (listed.type, listed.grant_number, listed.state) == (
        "request_project_create",
        "AST040002",
        "requested",
    )
    assert (listed.turn, listed.due, listed.sending) == ("site", ("notify_project_create",), False)
    assert listed.deadline is not None
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    assert engine.transactions()[0].sending
    assert engine.transactions(open_only=True) == engine.transactions()


def test_work_that_failed_waits_and_says_why(engine: Engine, clock: Clock) -> None:
    engine.receive(rpc())
    [row] = engine.work.ready()
    retry_at = clock.now + timedelta(minutes=5)
    engine.work.record.failed(
        leased(engine, row), "KeyError", 1, retry_at=retry_at, details="...", actor="handler h"
    )
    assert engine.work.ready() == []
    assert engine.transactions()[0].problem == "KeyError"
    clock.forward(minutes=6)
    [again] = engine.work.ready()
    assert again.attempts == 1


def test_errors_survive_a_task_queue() -> None:
    error = ReplyIncomplete("It lacks A.", missing=("A",))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own
    assert (str(again), again.missing, again.code) == (str(error), ("A",), "reply-incomplete")
