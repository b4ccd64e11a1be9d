"""What is due, and what the site may say: drafts, checks, first packets, failures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from amie_engine import Engine, Packet
from amie_engine.errors import (
    EngineError,
    ReplyAlreadyDecided,
    ReplyIncomplete,
    ReplyInvalid,
    ReplyNotDue,
    StartNotAllowed,
    TransactionClosed,
    TransactionNotFound,
)
from amie_engine.log.statements import Statement
from amie_engine.packet import InformTransactionComplete, NotifyAccountCreate, NotifyPersonIDs
from amie_engine.testing import Clock
from tests.engine.playing import (
    answer_project,
    attempt,
    complete_project,
    dpc,
    filled,
    inform,
    rac,
    request,
    rpc,
    sample,
    send,
    state_of,
)
from tests.log.busy_site import assignment_of

ONLY_THE_SITE_KNOWS = {
    "request_project_create": ("PiRemoteSiteLogin",),
    "request_project_create.min": ("PiPersonID", "PiRemoteSiteLogin", "ProjectID"),
    "request_account_create": ("UserRemoteSiteLogin",),
    "request_account_create.no_project_id": ("ProjectID", "UserPersonID", "UserRemoteSiteLogin"),
    "request_project_inactivate": (),
    "request_project_reactivate": (),
    "request_account_inactivate": (),
    "request_account_reactivate": (),
    "request_user_modify.replace": (),
    "request_person_merge": (),
}


class TestDraft:
    @pytest.mark.parametrize(("name", "missing"), ONLY_THE_SITE_KNOWS.items())
    def test_it_lacks_exactly_what_only_the_site_can_say(
        self, engine: Engine, name: str, missing: tuple[str, ...]
    ) -> None:
        engine.receive(request(name))
        due = engine.expected_reply(1)
        assert set(due.missing) == set(missing)
        assert due.packet is not None
        for item in due.missing:
            setattr(due.packet, item, "x")
        assert due.missing == ()
        engine.reply(1, due.packet)
        assert engine.expected_reply(1).sending

    def test_turn_types_and_deadline_come_from_the_packet_s_own_header(self, engine: Engine) -> None:
        listed = [{"type": "notify_project_create", "timeout": 90}]
        engine.receive(rpc(expected_reply_list=listed, packet_timestamp="2026-01-15T12:00:00.000Z"))
        due = engine.expected_reply(1)
        assert (due.turn, due.packet_types) == ("site", ("notify_project_create",))
        assert due.deadline == datetime(2026, 1, 15, 13, 30, tzinfo=UTC)

    def test_without_a_list_the_class_s_default_applies(self, engine: Engine) -> None:
        document = rpc(packet_timestamp="2026-01-15T12:00:00.000Z")
        del document["header"]["expected_reply_list"]
        engine.receive(document)
        assert engine.expected_reply(1).deadline == datetime(2026, 2, 5, 12, tzinfo=UTC)

    @pytest.mark.parametrize("listed", [[], [{"type": "data_project_create", "timeout": 1}]])
    def test_a_list_that_contradicts_the_machine_is_an_anomaly_and_stops_nothing(
        self, engine: Engine, listed: list[Any]
    ) -> None:
        engine.receive(rpc(expected_reply_list=listed))
        due = engine.expected_reply(1)
        assert "expected-replies-contradict" in due.anomalies
        assert due.packet_types == ("notify_project_create",)
        answer_project(engine)
        assert state_of(engine) == "notified"

    def test_the_log_knows_a_grant_s_project_a_person_and_a_login(self, engine: Engine) -> None:
        complete_project(engine)
        user = {"UserGlobalID": "70", "GrantNumber": "AST040002", "ResourceList": ["hc.ncsa.xsede"]}
        document = request("request_account_create.no_project_id", trans=2, rec=20)
        document["body"] |= user
        document["body"].pop("UserPersonID", None)
        engine.receive(document)
        due = engine.expected_reply(2)
        assert due.missing == ()
        assert isinstance(due.packet, NotifyAccountCreate)
        assert (due.packet.ProjectID, due.packet.UserPersonID) == ("p1", "u42")
        assert due.packet.UserRemoteSiteLogin == "rex"

    def test_after_a_merge_it_knows_the_kept_person(self, engine: Engine) -> None:
        complete_project(engine)
        merge = request("request_person_merge", trans=3, rec=30)
        merge["body"] |= {
            "KeepPersonID": "u1",
            "KeepGlobalID": "9",
            "DeletePersonID": "u42",
            "DeleteGlobalID": "70",
        }
        engine.receive(merge)
        engine.reply(3, filled(engine, 3))
        send(engine)
        document = rac(trans=2, rec=20, body={"UserGlobalID": "70"})
        document["body"].pop("UserPersonID", None)
        engine.receive(document)
        draft = engine.expected_reply(2).packet
        assert isinstance(draft, NotifyAccountCreate)
        assert draft.UserPersonID == "u1"

    def test_it_is_the_hub_s_turn_once_the_reply_has_arrived(self, engine: Engine) -> None:
        engine.receive(rpc())
        answer_project(engine)
        due = engine.expected_reply(1)
        assert (due.turn, due.packet_types, due.packet) == ("hub", ("data_project_create",), None)

    def test_an_unknown_transaction_is_told_so(self, engine: Engine) -> None:
        with pytest.raises(TransactionNotFound, match="no transaction 77"):
            engine.expected_reply(77)


class TestReply:
    def test_what_is_missing_is_named_and_nothing_is_written(self, engine: Engine) -> None:
        engine.receive(rpc())
        with pytest.raises(ReplyIncomplete, match="PiRemoteSiteLogin") as caught:
            engine.reply(1, filled(engine, 1))
        assert caught.value.missing == ("PiRemoteSiteLogin",)
        assert engine.outbox.open() == []

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"PiRemoteSiteLogin": "  "}, "PiRemoteSiteLogin"),
            ({"GrantNumber": "OTHER"}, "GrantNumber"),
            ({"ResourceList": ["other.ncsa.xsede"]}, "ResourceList"),
            ({"ResourceList": ["a", "b"]}, "ResourceList"),
            ({"PiBusinessPhoneExtension": "12"}, "PiBusinessPhoneNumber"),
        ],
    )
    def test_what_amie_forbids_is_refused(self, engine: Engine, values: dict[str, Any], told: str) -> None:
        engine.receive(rpc())
        draft = filled(engine, 1, **({"PiRemoteSiteLogin": "rex"} | values))
        with pytest.raises((ReplyIncomplete, ReplyInvalid), match=told):
            engine.reply(1, draft)

    @pytest.mark.parametrize("moment", ["yesterday", "2026-01-15", "2026-01-15T12:00:00"])
    def test_a_time_has_its_zone(self, engine: Engine, moment: str) -> None:
        engine.receive(rac())
        draft = filled(engine, 1, UserRemoteSiteLogin="rex", AccountActivityTime=moment)
        with pytest.raises(ReplyInvalid, match="AccountActivityTime must be a time with its zone"):
            engine.reply(1, draft)

    def test_an_odd_date_of_the_request_may_be_repeated_and_one_of_ours_not(self, engine: Engine) -> None:
        engine.receive(rpc(body={"StartDate": "next spring"}))
        with pytest.raises(ReplyInvalid, match="StartDate must be a date"):
            engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex", StartDate="soon"))
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))

    @pytest.mark.parametrize("thing", [None, {}, "packet"])
    def test_what_is_no_packet_is_told_so(self, engine: Engine, thing: Any) -> None:
        engine.receive(rpc())
        with pytest.raises(ReplyInvalid, match="no packet"):
            engine.reply(1, thing)
        with pytest.raises(ReplyInvalid, match="no packet"):
            engine.start(thing)

    def test_what_is_sent_is_tidy_and_names_what_it_answers(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin=" rex ", PiTitle="", PiPersonID="u1"))
        packet = engine.outbox.attempt(engine.outbox.open()[0])
        assert packet is not None
        document = packet.as_dict()
        assert document["body"]["PiRemoteSiteLogin"] == "rex"
        assert "PiTitle" not in document["body"]
        assert document["header"]["in_reply_to"] == 10

    def test_an_inform_expects_no_reply(self, engine: Engine) -> None:
        engine.receive(request("request_person_merge"))
        engine.reply(1, filled(engine, 1))
        packet = engine.outbox.attempt(engine.outbox.open()[0])
        assert packet is not None
        assert packet.as_dict()["header"]["expected_reply_list"] == []

    def test_there_is_one_reply_to_a_request(self, engine: Engine) -> None:
        engine.receive(rpc())
        draft = filled(engine, 1, PiRemoteSiteLogin="rex")
        engine.reply(1, draft)
        with pytest.raises(ReplyAlreadyDecided):
            engine.reply(1, draft)
        with pytest.raises(EngineError):
            engine.reply(1, InformTransactionComplete(StatusCode="Failure", DetailCode="2", Message="no"))

    @pytest.mark.parametrize("kind", ["inform_transaction_complete", "notify_account_create"])
    def test_a_type_that_is_not_due_is_refused(self, engine: Engine, kind: str) -> None:
        engine.receive(rpc())
        values: dict[str, Any] = (
            {"StatusCode": "Success", "DetailCode": "1", "Message": "OK"} if "inform" in kind else {}
        )
        with pytest.raises(ReplyNotDue, match="notify_project_create is due"):
            engine.reply(1, Packet._find_packet_type(kind)(**values))

    def test_it_is_refused_out_of_turn_and_after_the_end(self, engine: Engine) -> None:
        engine.receive(rpc())
        draft = filled(engine, 1, PiRemoteSiteLogin="rex")
        engine.reply(1, draft)
        send(engine)
        with pytest.raises(ReplyNotDue):
            engine.reply(1, draft)
        engine.receive(inform(body={"StatusCode": "Failure"}))
        with pytest.raises(TransactionClosed):
            engine.reply(1, draft)

    def test_a_reply_to_another_packet_is_refused(self, engine: Engine) -> None:
        engine.receive(rpc())
        draft = filled(engine, 1, PiRemoteSiteLogin="rex")
        draft.in_reply_to_id = 999
        with pytest.raises(ReplyNotDue, match="999"):
            engine.reply(1, draft)

    @pytest.mark.parametrize("code", ["Done", "success"])
    def test_an_inform_with_an_odd_status_is_refused(self, engine: Engine, code: str) -> None:
        engine.receive(request("request_person_merge"))
        odd = InformTransactionComplete(StatusCode=code, DetailCode="1", Message="OK")
        with pytest.raises(ReplyInvalid, match="StatusCode"):
            engine.reply(1, odd)

    def test_a_failure_may_answer_anything(self, engine: Engine) -> None:
        engine.receive(rpc())
        answer_project(engine)
        engine.receive(dpc())
        asked = engine.expected_reply(1).request
        assert asked is not None
        engine.reply(1, asked.reply_with_failure(message="the disk is full"))
        send(engine)
        assert state_of(engine) == "failed"

    def test_the_state_moves_when_the_reply_has_arrived_and_not_before(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        assert state_of(engine) == "requested"
        outgoing = attempt(engine)
        assert state_of(engine) == "requested"
        engine.outbox.confirm(outgoing)
        assert state_of(engine) == "notified"
        engine.outbox.confirm(outgoing)
        assert state_of(engine) == "notified"


class TestOutbox:
    def test_what_the_service_refused_can_be_mended_and_sent_again(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        engine.outbox.reject(attempt(engine), code="service-validation", message="no such login")
        [listed] = engine.transactions()
        assert listed.problem is not None
        assert "service-validation" in listed.problem
        assert engine.outbox.open() == []
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex2"))
        send(engine)
        assert state_of(engine) == "notified"

    def test_there_is_one_row_for_each_packet_answered(self, engine: Engine) -> None:
        complete_project(engine)
        with engine.database.read() as cursor:
            rows = cursor.all(Statement("SELECT answers, status FROM amie_outbox ORDER BY answers"))
        assert rows == [("10", "confirmed"), ("12", "confirmed")]


class TestStart:
    FIRST = {
        "notify_project_create": "originating",
        "notify_account_create": "originating",
        "notify_project_inactivate": "originating",
        "notify_project_reactivate": "originating",
        "notify_account_inactivate": "originating",
        "notify_account_reactivate": "originating",
        "notify_user_modify": "add",
        "notify_person_duplicate": None,
        "notify_person_ids": None,
    }

    @staticmethod
    def first(kind: str) -> Packet:
        variant = TestStart.FIRST[kind]
        name = f"spec/{kind}.{variant}" if variant else f"spec/{kind}"
        packet = Packet._find_packet_type(kind)(**sample(name)["body"])
        field = packet._fields.get("AccountActivityTime")
        if field is not None and field.originating_required and field.name not in packet._body:
            packet._set_body_value(field.name, "2026-01-15T12:00:00Z")
        return packet

    @pytest.mark.parametrize("kind", FIRST)
    def test_a_site_begins_each_of_its_nine_types(self, engine: Engine, kind: str) -> None:
        handle = engine.start(self.first(kind))
        assert handle.trans_rec_id is None
        header = {"packet_rec_id": 700, "trans_rec_id": 70}
        send(engine, {"header": header})
        due = engine.expected_reply(70)
        assert (due.transaction_type, due.state, due.turn) == (kind, "notified", "hub")
        assert engine.history(handle.stream).trans_rec_id == "70"

    @pytest.mark.parametrize("kind", [kind for kind in FIRST if kind != "notify_person_duplicate"])
    def test_a_first_packet_must_carry_what_is_required_of_it(self, engine: Engine, kind: str) -> None:
        required = [f.name for f in Packet._types[kind]._fields.values() if f.originating_required]
        for name in required:
            packet = self.first(kind)
            packet._set_body_value(name, None)
            with pytest.raises((ReplyIncomplete, ReplyInvalid), match=name):
                engine.start(packet)

    def test_the_wire_id_can_come_with_a_listing_and_two_of_a_type_do_not_mix(self, engine: Engine) -> None:
        handles = []
        for login in ("a", "b"):
            packet = self.first("notify_account_create")
            packet._set_body_value("UserRemoteSiteLogin", login)
            handles.append(engine.start(packet))
        for outgoing in engine.outbox.open():
            engine.outbox.attempt(outgoing)
            engine.outbox.confirm(outgoing, None)
        for number, login in ((1, "b"), (2, "a")):
            listed = sample(
                "spec/notify_account_create.originating",
                body={"UserRemoteSiteLogin": login},
                trans_rec_id=number,
                packet_rec_id=number,
            )
            assert engine.receive(listed).kind == "confirmed"
        assert [engine.history(handle.stream).trans_rec_id for handle in handles] == ["2", "1"]

    def test_other_types_begin_nothing(self, engine: Engine) -> None:
        with pytest.raises(StartNotAllowed, match="request_project_create"):
            engine.start(Packet.from_dict(rpc()))

    @pytest.mark.parametrize(
        ("action", "body"), [("delete", {"LastName": "Example"}), ("replace", {"DnList": ["/CN=x"]})]
    )
    def test_notify_user_modify_has_rules_of_its_own(
        self, engine: Engine, action: str, body: dict[str, Any]
    ) -> None:
        packet = Packet._find_packet_type("notify_user_modify")(ActionType=action, PersonID="u1", **body)
        with pytest.raises(ReplyInvalid, match=next(iter(body))):
            engine.start(packet)

    def test_both_spellings_of_a_list_are_taken_and_the_client_s_is_sent(self, engine: Engine) -> None:
        packet = NotifyPersonIDs(PersonID="u1", PrimaryPersonID="u1", PersonIdList=["u2"])
        engine.start(packet)
        sent = engine.outbox.attempt(engine.outbox.open()[0])
        assert sent is not None
        assert sent.as_dict()["body"]["PersonIDList"] == ["u2"]


class TestFailing:
    def test_the_service_is_asked_to_set_it_failed(self, engine: Engine) -> None:
        engine.receive(rpc())
        answer_project(engine)
        engine.fail(1, "the project was a mistake")
        [outgoing] = engine.outbox.open()
        assert (outgoing.kind, engine.outbox.attempt(outgoing)) == ("set_failed", None)
        assert state_of(engine) == "notified"
        engine.outbox.confirm(outgoing)
        assert state_of(engine) == "failed"
        with pytest.raises(TransactionClosed):
            engine.fail(1, "again")

    def test_it_is_asked_once(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.fail(1, "why")
        with pytest.raises(ReplyAlreadyDecided):
            engine.fail(1, "why")

    def test_a_deadline_fails_nothing_until_an_operator_confirms_it(
        self, engine: Engine, clock: Clock
    ) -> None:
        engine.receive(rpc())
        with pytest.raises(ReplyNotDue, match="has not passed"):
            engine.confirm_deadline(1, actor="operator")
        clock.forward(days=30)
        assert state_of(engine) == "requested"
        engine.confirm_deadline(1, actor="operator")
        assert state_of(engine) == "failed"
        assert engine.work.open() == []


class TestRecordID:
    FIRST, AGAIN = "edge/rpc_duplicate_recordid", "edge/rpc_duplicate_recordid_again"

    def test_a_repeated_request_is_answered_with_the_first_answer(self, engine: Engine) -> None:
        engine.receive(sample(self.FIRST))
        answer_project(engine, 5052)
        engine.receive(sample(self.AGAIN))
        assert engine.work.open() == []
        [outgoing] = engine.outbox.open()
        packet = engine.outbox.attempt(outgoing)
        assert packet is not None
        body = packet.as_dict()["body"]
        assert (body["ProjectID"], body["PiPersonID"], body["PiRemoteSiteLogin"]) == ("p1", "u42", "rex")
        assert packet.in_reply_to_id == 7053
        assert "RecordID rule" in engine.history(5053).entries[-2].sentence

    def test_it_waits_while_the_first_is_unanswered_and_is_answered_with_it(self, engine: Engine) -> None:
        engine.receive(sample(self.FIRST))
        engine.receive(sample(self.AGAIN))
        [row] = engine.work.ready()
        assert row.trans_rec_id == "5052"
        engine.reply(5052, filled(engine, 5052, PiRemoteSiteLogin="rex"))
        assert [outgoing.trans_rec_id for outgoing in engine.outbox.open()] == ["5052", "5053"]
        assert engine.work.open() == []

    def test_if_the_first_failed_it_is_a_request_like_any_other(self, engine: Engine) -> None:
        engine.receive(sample(self.FIRST))
        engine.fail(5052, "wrong")
        send(engine)
        engine.receive(sample(self.AGAIN))
        [row] = engine.work.ready()
        assert assignment_of(engine, row) is not None

    def test_a_blank_record_id_is_none(self, engine: Engine) -> None:
        engine.receive(rpc(trans=1, rec=10, body={"RecordID": ""}))
        answer_project(engine, 1)
        engine.receive(rpc(trans=2, rec=20, body={"RecordID": ""}))
        assert [row.trans_rec_id for row in engine.work.ready()] == ["2"]


class TestAcknowledging:
    def settled(self, engine: Engine) -> Packet:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        engine.receive(inform())
        return Packet.from_dict(inform())

    def test_an_inform_is_not_answered(self, engine: Engine) -> None:
        listed = self.settled(engine)
        assert state_of(engine) == "completed"
        assert engine.note_full_listing([listed]) == 0
        assert engine.outbox.open() == []

    def test_one_that_lingers_is_answered_once(self, engine: Engine, clock: Clock) -> None:
        listed = self.settled(engine)
        clock.forward(minutes=6)
        assert [engine.note_full_listing([listed]) for _ in range(3)] == [1, 0, 0]
        send(engine)
        assert state_of(engine) == "completed"
        assert engine.note_full_listing([listed]) == 0

    def test_one_that_answers_ours_is_never_answered(self, engine: Engine, clock: Clock) -> None:
        engine.receive(request("request_person_merge"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        engine.receive(inform())
        clock.forward(days=1)
        assert engine.note_full_listing([Packet.from_dict(inform())]) == 0

    @pytest.mark.parametrize(("setting", "answers"), [("always", 1), ("never", 0)])
    def test_the_setting_decides(self, engine: Engine, clock: Clock, setting: str, answers: int) -> None:
        with Engine(engine.database.engine, site="NCSA", acknowledge_inform=setting, clock=clock) as other:
            listed = self.settled(other)
            assert len(other.outbox.open()) == answers
            clock.forward(days=1)
            assert other.note_full_listing([listed]) == 0
            assert state_of(other) == "completed"
