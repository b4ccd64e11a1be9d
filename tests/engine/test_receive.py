"""What becomes of a packet: every outcome of Engine.receive."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine import Engine, Packet
from amie_engine.log.whole import read_events
from amie_engine.testing import Clock
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
    rac,
    request,
    rpc,
    send,
    state_of,
)


class TestAccepted:
    def test_a_request_moves_its_transaction_and_makes_work(self, engine: Engine) -> None:
        outcome = engine.receive(rpc())
        assert (outcome.kind, outcome.state) == ("accepted", "requested")
        assert [row.packet_rec_id for row in engine.work.ready()] == ["10"]

    @pytest.mark.parametrize("form", ["document", "packet", "text", "bytes"])
    def test_a_packet_in_any_form_is_the_same_packet(self, engine: Engine, form: str) -> None:
        packet = Packet.from_dict(rpc())
        text = packet.json()
        forms: dict[str, Any] = {"document": rpc(), "packet": packet, "text": text, "bytes": text.encode()}
        assert engine.receive(forms[form]).kind == "accepted"
        assert [engine.receive(other).kind for other in forms.values()] == ["already_there"] * 4

    def test_what_is_missing_in_a_body_is_an_anomaly_and_no_reason_to_refuse(self, engine: Engine) -> None:
        document = rpc()
        del document["body"]["PiLastName"]
        outcome = engine.receive(document)
        assert outcome.kind == "accepted"
        assert "missing-item:PiLastName" in outcome.anomalies
        assert "missing-item:PiLastName" in engine.expected_reply(1).anomalies

    def test_unknown_items_are_kept(self, engine: Engine) -> None:
        engine.receive(rpc(body={"SomethingNew": {"deep": [1, None]}}))
        kept = engine.expected_reply(1).request
        assert kept is not None
        assert kept.additional_data["SomethingNew"] == {"deep": [1, None]}

    @pytest.mark.parametrize(
        "name",
        [
            "request_account_create",
            "request_account_inactivate",
            "request_account_reactivate",
            "request_person_merge",
            "request_project_create",
            "request_project_inactivate",
            "request_project_reactivate",
            "request_user_modify.replace",
        ],
    )
    def test_every_request_opens_its_transaction(self, engine: Engine, name: str) -> None:
        assert engine.receive(request(name)).state == "requested"
        assert engine.expected_reply(1).transaction_type == name.partition(".")[0]

    @pytest.mark.parametrize("code", ["Success", "success", " SUCCESS "])
    def test_an_inform_of_success_completes(self, engine: Engine, code: str) -> None:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        assert engine.receive(inform(body={"StatusCode": code})).state == "completed"

    @pytest.mark.parametrize("code", ["Failure", 99, "99", None, "", ["Success"]])
    def test_anything_else_in_an_inform_fails(self, engine: Engine, code: object) -> None:
        engine.receive(rpc())
        outcome = engine.receive(inform(body={"StatusCode": code}))
        assert outcome.state == "failed"
        assert ("status-code-unknown" in outcome.anomalies) == (code != "Failure")

    def test_an_inform_without_a_flag_is_the_party_s_whose_turn_it_is(self, engine: Engine) -> None:
        engine.receive(request("request_project_inactivate"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        assert engine.receive(inform(outgoing_flag=None)).state == "completed"


class TestAlreadyThere:
    @pytest.mark.parametrize(
        "changed",
        [
            {"client_state": "taken"},
            {"client_json": {"a": 1}},
            {"packet_state": "completed"},
            {"transaction_state": "completed"},
            {"packet_rec_id": "10"},
            {"trans_rec_id": "1"},
            {"outgoing_flag": True},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_what_changes_between_polls_is_no_difference(self, engine: Engine, changed: Document) -> None:
        engine.receive(rpc())
        assert engine.receive(rpc(**changed)).kind == "already_there"
        assert events_of(engine) == ["packet_received"]

    @pytest.mark.parametrize(
        "key",
        [
            "packet_timestamp",
            "expected_reply_list",
            "local_site_name",
            "remote_site_name",
            "originating_site_name",
            "packet_id",
            "transaction_id",
        ],
    )
    @pytest.mark.parametrize("absent_first", [True, False])
    def test_a_key_that_one_listing_leaves_out_is_no_difference(
        self, engine: Engine, key: str, absent_first: bool
    ) -> None:
        without = rpc()
        del without["header"][key]
        copies = [without, rpc()] if absent_first else [rpc(), without]
        assert [engine.receive(copy).kind for copy in copies] == ["accepted", "already_there"]

    def test_the_same_moment_spelled_otherwise_is_no_difference(self, engine: Engine) -> None:
        engine.receive(rpc(packet_timestamp="2026-01-15T12:00:00.000Z"))
        assert engine.receive(rpc(packet_timestamp="2026-01-15T12:00:00+00:00")).kind == "already_there"

    def test_a_byte_order_mark_is_no_part_of_a_packet(self, engine: Engine) -> None:
        text = Packet.from_dict(rpc()).json()
        assert engine.receive(b"\xef\xbb\xbf" + text.encode()).kind == "accepted"
        assert engine.receive(text).kind == "already_there"

    def test_a_poll_with_nothing_new_writes_nothing(self, engine: Engine) -> None:
        engine.receive(rpc())
        with engine.log.read() as reader:
            before = len(read_events(reader.cursor, 0, 100))
        for _ in range(5):
            engine.receive(rpc())
        with engine.log.read() as reader:
            assert len(read_events(reader.cursor, 0, 100)) == before


class TestConflict:
    def test_the_same_id_with_other_content_is_kept_once_and_never_acted_on(self, engine: Engine) -> None:
        engine.receive(rpc())
        other, third = rpc(body={"GrantNumber": "OTHER"}), rpc(body={"GrantNumber": "THIRD"})
        assert [engine.receive(d).kind for d in (other, third, other, third)] == ["conflict"] * 4
        assert events_of(engine) == ["packet_received", "packet_conflicted", "packet_conflicted"]
        due = engine.expected_reply(1)
        assert "packet-conflict" in due.anomalies
        assert due.packet is not None
        assert due.packet.as_dict()["body"]["GrantNumber"] == "AST040002"
        kept = [entry.document for entry in engine.history(1, documents=True).entries]
        assert [document["body"]["GrantNumber"] for document in kept] == ["AST040002", "OTHER", "THIRD"]

    def test_a_packet_that_waits_can_conflict_too(self, engine: Engine) -> None:
        engine.receive(rpc())
        assert engine.receive(dpc()).kind == "held"
        assert engine.receive(dpc(body={"PersonID": "other"})).kind == "conflict"

    def test_a_conflict_across_transactions_belongs_to_the_packet_that_is_known(self, engine: Engine) -> None:
        engine.receive(rpc(trans=1, rec=10))
        assert engine.receive(rpc(trans=2, rec=10)).kind == "conflict"
        assert [transaction.trans_rec_id for transaction in engine.transactions()] == ["1"]
        assert "packet_conflicted" in events_of(engine, 1)


class TestHeld:
    def test_what_comes_too_early_waits_and_goes_on_by_itself(self, engine: Engine) -> None:
        engine.receive(rpc())
        assert [engine.receive(dpc()).kind for _ in range(3)] == ["held"] * 3
        assert engine.transactions()[0].held == 1
        answer_project(engine)
        assert state_of(engine) == "confirmed"
        assert engine.transactions()[0].held == 0
        assert events_of(engine).count("packet_held") == 1

    def test_a_reply_that_is_only_decided_proves_nothing(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        assert engine.receive(dpc()).kind == "held"

    def test_a_reply_under_way_is_proved_by_what_answers_it(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        attempt(engine)
        assert engine.receive(dpc()).state == "confirmed"
        assert events_of(engine)[-2:] == ["packet_confirmed", "packet_received"]
        assert engine.outbox.open() == []

    def test_what_waits_and_is_overtaken_by_the_hub_s_own_failure_moves_nothing(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.receive(dpc(rec=12))
        engine.receive(inform(rec=13, body={"StatusCode": "Failure"}))
        [ended] = engine.transactions()
        assert (ended.state, ended.held) == ("failed", 0)
        assert events_of(engine)[-1] == "packet_received"
        assert engine.quarantine() == []

    def test_what_waits_for_a_transaction_that_ends_goes_into_quarantine(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.receive(dpc(rec=14))
        engine.receive(inform(rec=13, body={"StatusCode": "Failure"}))
        assert engine.transactions()[0].held == 0
        assert [item.code for item in engine.quarantine()] == ["packet-not-allowed"]


class TestDuplicate:
    def test_a_copy_under_a_new_id_is_noted_once(self, engine: Engine) -> None:
        engine.receive(rpc(rec=10))
        assert [engine.receive(rpc(rec=20)).kind for _ in range(3)] == ["duplicate"] * 3
        assert events_of(engine) == ["packet_received", "packet_duplicated"]

    def test_a_copy_of_what_we_failed_takes_its_place(self, engine: Engine) -> None:
        engine.receive(rpc(rec=10))
        asked = engine.expected_reply(1).request
        assert asked is not None
        engine.reply(1, asked.reply_with_failure(message="no such resource"))
        send(engine)
        assert state_of(engine) == "failed"
        assert engine.receive(rpc(rec=20)).state == "requested"
        assert [row.packet_rec_id for row in engine.work.ready()] == ["20"]
        answer_project(engine)
        assert state_of(engine) == "notified"

    def test_a_copy_of_what_the_hub_failed_is_only_a_copy(self, engine: Engine) -> None:
        engine.receive(rpc(rec=10))
        engine.receive(inform(body={"StatusCode": "Failure"}))
        assert engine.receive(rpc(rec=20)).kind == "duplicate"
        assert state_of(engine) == "failed"

    def test_packet_id_zero_is_an_id(self, engine: Engine) -> None:
        engine.receive(rpc(rec=10, packet_id=0))
        assert engine.receive(rpc(rec=20, packet_id=0)).kind == "duplicate"


class TestOwnPackets:
    def test_a_listing_of_our_packet_settles_the_outbox(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiPersonID="6751", PiRemoteSiteLogin="rexample", ProjectID="afm"))
        attempt(engine)
        assert engine.receive(npc()).kind == "confirmed"
        assert state_of(engine) == "notified"
        assert engine.outbox.open() == []
        assert engine.receive(npc()).kind == "already_there"

    def test_the_record_id_that_the_answer_did_not_bring_comes_with_the_listing(self, engine: Engine) -> None:
        engine.receive(rpc())
        answer_project(engine)
        listed = npc(body={"PiPersonID": "u42", "PiRemoteSiteLogin": "rex", "ProjectID": "p1"})
        assert [engine.receive(listed).kind for _ in range(2)] == ["confirmed", "already_there"]
        assert state_of(engine) == "notified"

    def test_what_another_tool_of_the_site_sent_is_adopted_and_ours_is_not_sent(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="ours"))
        assert engine.receive(npc()).kind == "confirmed"
        assert engine.outbox.open() == []
        assert events_of(engine)[-2:] == ["packet_rejected", "packet_adopted"]
        assert engine.work.open() == []
        assert engine.receive(dpc()).state == "confirmed"


class TestLate:
    def test_an_inform_after_the_end_only_acknowledges(self, engine: Engine) -> None:
        engine.receive(request("request_person_merge"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        outcome = engine.receive(inform())
        assert (outcome.kind, outcome.state) == ("accepted", "completed")
        assert engine.outbox.open() == []

    def test_an_inform_that_contradicts_the_end_is_an_anomaly(self, engine: Engine) -> None:
        engine.receive(request("request_person_merge"))
        engine.reply(1, filled(engine, 1))
        send(engine)
        engine.receive(inform(body={"StatusCode": "Failure"}))
        assert state_of(engine) == "completed"
        assert "inform-contradicts-end" in engine.expected_reply(1).anomalies

    def test_anything_else_after_the_end_goes_into_quarantine(self, engine: Engine) -> None:
        engine.receive(rpc())
        engine.receive(inform(body={"StatusCode": "Failure"}))
        outcome = engine.receive(dpc(rec=40))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-not-allowed")


class TestUnderWay:
    def test_a_transaction_that_began_before_the_log_is_adopted_with_its_history(
        self, engine: Engine
    ) -> None:
        outcome = engine.receive(dpc())
        assert (outcome.kind, outcome.history_needed) == ("held", True)
        engine.adopt(history_of(dpc(), npc(), rpc()))
        assert state_of(engine) == "confirmed"
        due = engine.expected_reply(1)
        assert (due.turn, due.packet_types, due.missing) == ("site", ("inform_transaction_complete",), ())
        engine.reply(1, filled(engine, 1))
        send(engine)
        assert state_of(engine) == "completed"

    def test_a_reply_of_ours_in_a_listing_is_no_beginning(self, engine: Engine) -> None:
        outcome = engine.receive(npc())
        assert (outcome.kind, outcome.history_needed) == ("held", True)

    def test_one_that_has_ended_is_adopted_as_ended(self, engine: Engine) -> None:
        done = inform(outgoing_flag=0, packet_id=2)
        engine.adopt(history_of(rpc(), npc(), dpc(), done))
        assert state_of(engine) == "completed"
        assert engine.work.open() == []

    def test_one_that_the_site_began_is_adopted(self, engine: Engine) -> None:
        first = request("notify_user_modify.add", originating_site_name="NCSA", outgoing_flag=0)
        engine.adopt(history_of(first, inform()))
        assert state_of(engine) == "completed"

    def test_an_unreadable_packet_in_a_history_hides_nothing(self, engine: Engine) -> None:
        outcomes = engine.adopt(history_of(rpc(), {"type": "nonsense"}, npc(), dpc()))
        assert sorted(outcome.kind for outcome in outcomes) == [
            "accepted",
            "accepted",
            "confirmed",
            "quarantined",
        ]
        assert state_of(engine) == "confirmed"

    def test_a_history_without_the_beginning_is_asked_for_once(self, engine: Engine) -> None:
        assert engine.receive(dpc()).history_needed
        engine.adopt(history_of(dpc()))
        outcome = engine.receive(dpc())
        assert (outcome.kind, outcome.history_needed) == ("quarantined", False)
        assert len(engine.quarantine()) == 1

    def test_the_order_of_arrival_does_not_matter(self, engine: Engine) -> None:
        engine.adopt(history_of(dpc(rec=3), npc(rec=2), rpc(rec=1)))
        assert state_of(engine) == "confirmed"


def test_the_same_numbers_at_two_hubs_are_two_transactions(engine: Engine, clock: Clock) -> None:
    engine.receive(rpc())
    with Engine(engine.database.engine, site="NCSA", hub="test", clock=clock) as other:
        assert other.receive(rac()).kind == "accepted"
        assert [t.type for t in other.transactions()] == ["request_account_create"]
    assert [t.type for t in engine.transactions()] == ["request_project_create"]
