"""Headers as no table has them, facts of any length, and the way out of quarantine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.log.statements import Statement
from tests.engine.courses import count_of, rows_of, take
from tests.engine.playing import Document, dpc, rpc, sample


class TestHeaders:
    @pytest.mark.parametrize(
        "moment",
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "", 5, {"a": 1}],
    )
    def test_an_odd_time_is_none(self, engine: Engine, moment: Any) -> None:
        assert take(engine, rpc(packet_timestamp=moment)).kind == "accepted"
        deadline = engine.expected_reply(1).deadline
        assert deadline is not None
        assert deadline > engine.now()  # it is counted from the arrival

    @pytest.mark.parametrize(
        "timeout", [10**37, 10**400, -1, "30240", None, [], 1.5], ids=lambda t: f"{t}"[:9]
    )
    def test_an_odd_timeout(self, engine: Engine, timeout: Any) -> None:
        listed = [{"type": "notify_project_create", "timeout": timeout}]
        assert take(engine, rpc(expected_reply_list=listed)).kind == "accepted"
        assert engine.expected_reply(1).packet_types == ("notify_project_create",)

    def test_an_unknown_type_in_the_expected_replies_is_no_fact(self, engine: Engine) -> None:
        listed = [{"type": "x" * 100_000, "timeout": 5}, {"type": "notify_project_create", "timeout": 10}]
        engine.receive(rpc(expected_reply_list=listed))
        [event] = engine.log.whole.events()
        assert event.facts["expected"] == [["notify_project_create", 10]]
        assert len(event.facts_json) < 2000

    @pytest.mark.parametrize("flag", ["maybe", [], {}, 2, 1.5, None, ""])
    def test_a_flag_that_is_none_leaves_it_to_the_type(self, engine: Engine, flag: Any) -> None:
        assert take(engine, rpc(outgoing_flag=flag)).kind == "accepted"

    @pytest.mark.parametrize(
        "names",
        [
            {"local_site_name": None},
            {"remote_site_name": None},
            {"local_site_name": "NCSA", "remote_site_name": "TGCDB", "outgoing_flag": 0},
            {"local_site_name": "", "remote_site_name": ""},
        ],
    )
    def test_one_name_is_enough_to_tell_the_sender(self, engine: Engine, names: Document) -> None:
        assert take(engine, rpc(**names)).kind == "accepted"
        assert engine.history(1).entries[0].who == "hub"

    @pytest.mark.parametrize("key", ["packet_rec_id", "trans_rec_id"])
    @pytest.mark.parametrize("value", [10**38, "1" * 39, -1, 1.0, True, "x", "", [1], None])
    def test_what_is_no_id_has_no_place(self, engine: Engine, key: str, value: Any) -> None:
        outcome = take(engine, rpc(**{key: value}))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-unreadable")
        shown = rows_of(engine, "SELECT packet_rec_id, trans_rec_id FROM amie_quarantine")
        assert all(found is None or len(found) <= 38 for found in shown[0])

    def test_an_id_with_leading_zeros_is_the_same(self, engine: Engine) -> None:
        assert engine.receive(rpc(trans=1, rec=10)).kind == "accepted"
        assert engine.receive(rpc(packet_rec_id="0010", trans_rec_id="01")).kind == "already_there"

    def test_a_key_that_no_table_names_may_change_from_poll_to_poll(self, engine: Engine) -> None:
        engine.receive(rpc(last_seen="2026-01-15T12:00:00Z"))
        assert engine.receive(rpc(last_seen="2026-01-15T12:01:00Z")).kind == "already_there"

    @pytest.mark.parametrize(
        "changed",
        [
            {"originating_site_name": "OTHER"},
            {"expected_reply_list": []},
            {"packet_timestamp": "2026-01-15T12:00:01.000Z"},
            {"transaction_id": 99},
            {"packet_id": 9},
            {"trans_rec_id": 9},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_a_changed_header_is_a_conflict(self, engine: Engine, changed: Document) -> None:
        engine.receive(rpc())
        assert engine.receive(rpc(**changed)).kind == "conflict"

    def test_what_is_between_other_sites_is_kept_apart(self, engine: Engine) -> None:
        outcome = take(engine, rpc(local_site_name="TGCDB", remote_site_name="ELSEWHERE"))
        assert (outcome.kind, outcome.code) == ("quarantined", "packet-other-site")


def test_what_stands_in_the_place_of_a_fact_and_is_none_stays_in_the_document(engine: Engine) -> None:
    """It may hold anything about anybody, and a fact is never erased."""
    who = "robin@example.edu"
    odd: dict[str, Any] = {
        "ResourceList": [{"PiEmail": who}],
        "GrantNumber": {"who": [who]},
        "PfosNumber": {who: 1},
        "EndDate": [[who]],
    }
    outcome = take(engine, rpc(body=odd))
    assert outcome.kind == "accepted"
    assert {f"odd-item:{name}" for name in odd} <= set(outcome.anomalies)
    [event] = engine.log.whole.events()
    assert who not in event.facts_json
    columns = rows_of(engine, "SELECT grant_number, resource FROM amie_transactions")
    assert columns == [(None, None)]
    request = engine.expected_reply(1).request
    assert request is not None
    assert request.as_dict()["body"]["GrantNumber"] == odd["GrantNumber"]


def test_what_does_not_read_like_a_type_is_not_kept_but_in_the_document(engine: Engine) -> None:
    for name in ("robin@example.edu", "Robin Example", "x" * 41):
        outcome = engine.receive({**rpc(), "type": name})
        assert (outcome.kind, outcome.code, outcome.packet_type) == (
            "quarantined",
            "packet-type-unknown",
            None,
        )
        assert name not in str(outcome.reason)
    assert not any(
        name in event.facts_json for event in engine.log.whole.events() for name in ("obin", "xxx")
    )


def test_a_fact_of_any_length_stays_in_the_document(engine: Engine) -> None:
    """No index and no fold has to carry it."""
    long = {"GrantNumber": "G" * 10_000_000, "RecordID": "R" * 5000, "ResourceList": ["é" * 400]}
    outcome = take(engine, rpc(body=long))
    assert outcome.kind == "accepted"
    assert {f"item-too-long:{name}" for name in long} <= set(outcome.anomalies)
    [event] = engine.log.whole.events()
    assert not set(long) & set(event.facts["fields"])
    assert len(event.facts_json) < 2000
    request = engine.expected_reply(1).request
    assert request is not None
    assert request.as_dict()["body"]["GrantNumber"] == long["GrantNumber"]
    columns = rows_of(engine, "SELECT grant_number, resource, record_id FROM amie_transactions")
    assert columns == [(None, None, None)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"ResourceList": ["a", "b"]}, "resource-list-not-single"),
        ({"ResourceList": "a"}, "resource-list-not-single"),
        ({"ResourceList": []}, "resource-list-not-single"),
    ],
)
def test_a_list_of_other_than_one_resource_is_an_anomaly(engine: Engine, body: Document, told: str) -> None:
    assert told in engine.receive(rpc(body=body)).anomalies


@pytest.mark.parametrize(
    ("action", "odd"), [("replace", False), ("delete", False), ("Replace", True), (1, True)]
)
def test_an_action_that_amie_does_not_know_is_an_anomaly(engine: Engine, action: Any, odd: bool) -> None:
    document = sample("spec/request_user_modify.replace", body={"ActionType": action})
    assert ("action-type-unknown" in engine.receive(document).anomalies) == odd


class TestRelease:
    def test_what_still_can_not_be_used_stays(self, engine: Engine) -> None:
        engine.receive(rpc())
        refused = engine.receive(sample("spec/data_account_create", trans_rec_id=1, packet_rec_id=12))
        assert refused.quarantine_id is not None
        again = engine.release(refused.quarantine_id)
        assert (again.kind, again.quarantine_id) == ("quarantined", refused.quarantine_id)
        assert len(engine.quarantine()) == 1

    def test_twice_is_once(self, engine: Engine) -> None:
        [outcome] = engine.adopt({"DATA": [dpc()]})
        assert outcome.quarantine_id is not None
        engine.receive(rpc())
        assert engine.release(outcome.quarantine_id).kind == "held"
        written = count_of(engine)
        assert engine.release(outcome.quarantine_id).kind == "held"
        assert count_of(engine) == written
        assert engine.quarantine() == []
        assert [item.status for item in engine.quarantine(released=True)] == ["released"]

    def test_what_can_be_used_after_all_leaves_by_itself(self, engine: Engine) -> None:
        [outcome] = engine.adopt({"DATA": [dpc()]})
        assert outcome.kind == "quarantined"
        engine.receive(rpc())
        assert engine.receive(dpc()).kind == "held"
        assert engine.quarantine() == []

    def test_so_does_what_the_service_has_mended(self, engine: Engine) -> None:
        """Its record id is the same, its content is not."""
        assert engine.receive({**rpc(), "body": None}).kind == "quarantined"
        assert engine.receive(rpc()).kind == "accepted"
        assert engine.quarantine() == []

    def test_the_bytes_are_the_service_s_own_also_where_only_the_place_is_wrong(self, engine: Engine) -> None:
        raw = json.dumps(sample("spec/request_person_merge", outgoing_flag=0), indent=3).encode()
        outcome = engine.receive(raw)
        assert (outcome.code, outcome.packet_type) == ("packet-not-allowed", "request_person_merge")
        assert engine.quarantined(outcome.quarantine_id or "").content == raw

    def test_the_beginning_of_an_id_is_enough_where_it_is_one_s_alone(self, engine: Engine) -> None:
        engine.receive(b"a")
        engine.receive(b"b")
        assert engine.quarantined("stream-1").content == b"a"
        for name in ("", "stream-", "stream-3"):
            with pytest.raises(LookupError):
                engine.quarantined(name)

    def test_what_was_erased_can_not_be_released(self, engine: Engine) -> None:
        outcome = engine.receive(b"x")
        with engine.database.write() as cursor:
            cursor.run(Statement("UPDATE amie_events SET document = NULL, document_salt = NULL"), {})
        with pytest.raises(LookupError, match="erased"):
            engine.release(outcome.quarantine_id or "")
        assert len(engine.quarantine()) == 1
