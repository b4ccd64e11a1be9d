"""What the site begins waits until what creates its project, or merges its persons, has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_engine import Engine
from amie_engine.engine.ordering import Blocker, Until
from amie_engine.engine.views import Handle
from amie_engine.errors import WorkNotFound
from amie_engine.packet import NotifyPersonDuplicate, NotifyUserModify
from amie_engine.packet.naming import Kind
from tests.engine import waiting
from tests.engine.playing import filled, inform, request, rpc, send
from tests.site.site_packets import begin_account, begin_project
from tests.site.site_world import AFTER, FlakyService, World, database_in

NPC, NAC = "notify_project_create", "notify_account_create"


def awaited(engine: Engine) -> dict[str | None, str | None]:
    """What the outbox has, by type, and what each waits for."""
    return {entry.packet_type: entry.waits_for for entry in engine.outbox.open()}


def began(world: World) -> list[str]:
    return [one.type for one in world.sandbox.transactions()]


def test_an_account_goes_by_itself_once_its_project_is_complete(world: World) -> None:
    project, account = begin_project(world.engine), begin_account(world.engine)
    assert awaited(world.engine) == {NPC: None, NAC: project.stream}
    runner = world.runner()
    runner.send_once()
    runner.send_once()
    assert began(world) == [NPC]
    [number] = world.sandbox.transactions()
    assert awaited(world.engine) == {NAC: str(number.trans_rec_id)}
    assert world.engine.expected_reply(account.stream).waits_for == str(number.trans_rec_id)
    assert [one.waits_for for one in world.engine.transactions()] == [None, str(number.trans_rec_id)]
    world.run_to_the_end(runner)
    assert began(world) == [NPC, NAC]
    world.run_to_the_end(runner)
    world.assert_all_completed()


def test_one_that_waits_is_late_for_nobody(world: World) -> None:
    """Whoever watches how old the outbox is would be called for nothing."""
    begin_project(world.engine)
    begin_account(world.engine)
    status = world.engine.status()
    assert (status.pending, status.waiting, status.outbox_since) == (1, 1, world.clock())
    world.runner().send_once()
    world.clock.forward(days=2)
    status = world.engine.status()
    assert (status.pending, status.waiting, status.attempting, status.outbox_since) == (0, 1, 0, None)


def test_one_whose_outcome_is_not_known_is_waited_for(flaky_world: World, service: FlakyService) -> None:
    begin_project(flaky_world.engine)
    begin_account(flaky_world.engine)
    service.fail("POST", AFTER)
    flaky_world.runner()._parts._sender.send_once()
    assert began(flaky_world) == [NPC]


def test_with_no_such_transaction_open_it_goes_at_once(world: World) -> None:
    begin_account(world.engine)
    begin_project(world.engine, "another")
    world.runner().send_once()
    assert sorted(began(world)) == [NAC, NPC]


def test_it_goes_where_its_project_failed(world: World) -> None:
    project = begin_project(world.engine)
    begin_account(world.engine)
    world.engine.fail(project.stream, "made by hand")
    world.runner().send_once()
    assert began(world) == [NAC]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(database_in(tmp_path), site="NCSA") as engine:
        yield engine


class TestTheHubsRequest:
    """A project that is being created in answer to the hub."""

    def test_its_account_waits(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": ""}))
        engine.reply(1, filled(engine, 1, ProjectID="p9", PiRemoteSiteLogin="rex"))
        send(engine)
        begin_account(engine)
        assert awaited(engine) == {NAC: "1"}
        engine.receive(inform(trans=1, rec=13, body={"StatusCode": "Failure"}))
        assert awaited(engine) == {NAC: None}

    def test_it_waits_for_a_reply_that_is_to_be_sent(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": ""}))
        begin_account(engine)
        assert awaited(engine) == {NAC: None}  # nobody has said yet that the project is to be p9
        engine.reply(1, filled(engine, 1, ProjectID="p9", PiRemoteSiteLogin="rex"))
        assert awaited(engine) == {NPC: None, NAC: "1"}

    def test_a_project_that_the_request_names_is_there_already(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"ProjectID": "p9", "AllocationType": "supplement"}))
        begin_account(engine)
        assert awaited(engine) == {NAC: None}


def receive_merge(engine: Engine, number: int = 1, *, rec: int | None = None) -> None:
    """The hub asks for the merge of u8 into u7, or of others."""
    persons = {1: ("u7", "u8"), 2: ("u1", "u2")}.get(number, ("u8", f"u{number}0"))
    packet = request("request_person_merge", trans=number, rec=rec or number * 10)
    ids = {"KeepPersonID": persons[0], "DeletePersonID": persons[1]}
    worldwide = {"KeepGlobalID": f"{number}1", "DeleteGlobalID": f"{number}2"}
    engine.receive({**packet, "body": packet["body"] | ids | worldwide})


def begin_modify(engine: Engine, person: str = "u8") -> Handle:
    return engine.start(NotifyUserModify(ActionType="add", PersonID=person, DnList=["/CN=Robin"]))


class TestMerges:
    """A merge of persons is a barrier for what the site begins, too."""

    def blocker(self, engine: Engine, trans_rec_id: int) -> Blocker | None:
        return next(r.blocked_by for r in engine.work.open() if r.trans_rec_id == str(trans_rec_id))

    @pytest.mark.parametrize("person", ["u7", "u8"])
    def test_what_names_one_of_its_persons_waits_until_it_has_ended(
        self, engine: Engine, person: str
    ) -> None:
        receive_merge(engine)
        begun = begin_modify(engine, person)
        assert [one.waits_for for one in engine.outbox.open()] == ["1"]
        assert engine.expected_reply(begun.stream).waits_for == "1"
        assert [one.waits_for for one in engine.transactions()] == [None, "1"]
        assert (engine.status().pending, engine.status().waiting) == (0, 1)
        assert [row.trans_rec_id for row in engine.work.ready()] == ["1"]
        engine.reply(1, filled(engine, 1))
        [reply] = [one for one in engine.outbox.open() if one.waits_for is None]
        engine.outbox.attempt(reply)
        engine.outbox.confirm(reply)
        assert [one.waits_for for one in engine.outbox.open()] == [None]

    def test_others_do_not_wait(self, engine: Engine) -> None:
        receive_merge(engine)
        begin_modify(engine, "u9")
        assert [one.waits_for for one in engine.outbox.open()] == [None]

    def test_a_person_is_the_same_under_every_id(self, engine: Engine) -> None:
        asked = waiting.merge(1, opened=1, names={Kind.GLOBAL_ID: ["71"]})
        start = waiting.Start("notify_user_modify", 2, {Kind.LOCAL_ID: ["gone"]}, "pending")
        persons = [waiting.Person("kept", "71", None), waiting.Person("gone", "72", "kept")]
        waiting.put(engine, [asked], [start, *persons])
        assert [one.waits_for for one in engine.outbox.open()] == ["1"]
        waiting.put(engine, [asked], [start])
        assert [one.waits_for for one in engine.outbox.open()] == [None]

    def test_a_merge_waits_for_what_is_on_its_way(self, engine: Engine) -> None:
        begun = begin_modify(engine)
        receive_merge(engine)
        receive_merge(engine, 2)
        for _ in range(2):
            [sending] = engine.outbox.open()
            assert sending.waits_for is None
            found = self.blocker(engine, 1)
            assert found is not None
            assert (found.rule, found.until, found.stream) == ("start-before-merge", Until.SENT, begun.stream)
            assert engine.work.ready_in(1) == []
            assert [row.trans_rec_id for row in engine.work.ready()] == ["2"]
            if sending.status == "pending":
                engine.outbox.attempt(sending)
        answer = {"result": {"header": {"packet_rec_id": 90, "trans_rec_id": 9}}}
        engine.outbox.confirm(sending, answer)
        assert self.blocker(engine, 1) is None
        assert [row.trans_rec_id for row in engine.work.ready_in(1)] == ["1"]

    def test_it_waits_no_longer_once_that_was_refused(self, engine: Engine) -> None:
        begin_modify(engine)
        receive_merge(engine)
        [sending] = engine.outbox.open()
        engine.outbox.attempt(sending)
        engine.outbox.reject(sending, code="service-validation", message="no")
        assert self.blocker(engine, 1) is None

    def test_what_was_refused_waits_for_a_merge_that_has_come_since(self, engine: Engine) -> None:
        """Its handler may be at work by now."""
        begun = begin_modify(engine)
        receive_merge(engine)
        [sending] = engine.outbox.open()
        engine.outbox.attempt(sending)
        engine.outbox.reject(sending, code="service-validation", message="no")
        engine.resend(begun.stream, actor="ops")
        assert [one.waits_for for one in engine.outbox.open()] == ["1"]
        assert self.blocker(engine, 1) is None

    def test_a_person_lets_what_the_site_begins_be_sent(self, engine: Engine) -> None:
        receive_merge(engine)
        begun = begin_modify(engine)
        engine.work.let_pass(begun.stream, actor="ops", reason="they are no relatives")
        assert [one.waits_for for one in engine.outbox.open()] == [None]
        told = engine.history(begun.stream).entries[-1]
        assert (told.event, told.actor) == ("start_let_pass", "ops")
        assert "they are no relatives" in told.sentence
        with pytest.raises(WorkNotFound):
            engine.work.let_pass(begun.stream, actor="ops")

    def test_a_person_lets_it_pass(self, engine: Engine) -> None:
        begin_modify(engine)
        receive_merge(engine)
        engine.work.let_pass(1, actor="ops")
        assert [row.trans_rec_id for row in engine.work.ready()] == ["1"]

    def test_a_merge_waits_for_what_waits_for_an_earlier_merge(self, engine: Engine) -> None:
        """Else what the site begins would go out while the later merge is at work."""
        receive_merge(engine, 1)
        begun = engine.start(NotifyPersonDuplicate(PersonID1="u8", PersonID2="u2"))
        receive_merge(engine, 2)
        assert [one.waits_for for one in engine.outbox.open()] == ["1"]
        found = self.blocker(engine, 2)
        assert found is not None
        assert (found.rule, found.stream) == ("start-before-merge", begun.stream)
        engine.reply(1, filled(engine, 1))
        [reply] = [one for one in engine.outbox.open() if one.waits_for is None]
        engine.outbox.attempt(reply)
        engine.outbox.confirm(reply)
        assert [one.waits_for for one in engine.outbox.open()] == [None]
        assert engine.work.ready() == []

    def test_what_waits_itself_holds_up_none_that_it_may_wait_for(self, engine: Engine) -> None:
        """Else a merge that comes late, with a lower number, would wait for what waits for it."""
        receive_merge(engine, 1, rec=50)
        begin_modify(engine)
        receive_merge(engine, 3, rec=30)
        assert [one.waits_for for one in engine.outbox.open()] == ["1"]
        found = self.blocker(engine, 1)
        assert found is not None
        assert (found.rule, found.trans_rec_id) == ("merge-last", "3")
        assert [row.trans_rec_id for row in engine.work.ready()] == ["3"]
