"""Erasing the documents of a person: all of theirs go, nobody else's do, and the log goes on as before."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from amie_engine.audit import Erasure, audit, erasing
from amie_engine.audit.finding import find_streams
from amie_engine.audit.quarantined import Quarantined, Traces
from amie_engine.engine import Engine
from amie_engine.engine.evolve import fold
from amie_engine.engine.state import TransactionState
from amie_engine.engine.unit import in_unit
from amie_engine.errors import ErasureRefused, PersonNotFound, QuarantineNotFound, TransactionNotFound
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Statement
from amie_engine.log.store import EventLog
from amie_engine.log.whole import STORED_COLUMNS
from amie_engine.testing import Clock
from tests.audit.test_audit import take_up
from tests.log.busy_site import answer, leased, personal, project_request, sample, send, whole_project
from tests.log.chain_check import broken_at, read_rows
from tests.log.rebuilding import projection_rows

Connect = Callable[[], sqlite3.Connection]

_STAGE = Statement(
    "INSERT INTO amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"
    " VALUES (:hub, :site, :call, :trans_rec_id, :arguments, '')"
)


def erase(engine: Engine, person: str, **options: Any) -> Erasure:
    """Erase somebody's documents."""
    return engine.erase(person=person, actor="privacy office", reason="request 17", **options)


def documents(engine: Engine) -> dict[int, str]:
    """The documents of a log, by position."""
    rows = engine.log.whole.rows()
    column = STORED_COLUMNS.index("document")
    return {row[0]: row[column] for row in rows if row[column] is not None}


def of(engine: Engine, trans: int | str) -> set[int]:
    """The positions of a transaction's documents."""
    story = engine.history(trans, documents=True)
    return {entry.position for entry in story.entries if entry.document is not None}


def states(engine: Engine) -> list[TransactionState]:
    """The state of every transaction."""
    streams = [transaction.stream for transaction in engine.transactions()]
    with engine.log.read() as reader:
        return [fold(stream, reader.stream(stream)) for stream in streams]


@pytest.fixture
def two(engine: Engine, clock: Clock) -> Engine:
    """A log with two projects of two PIs, both at their end."""
    for number in (1, 2):
        whole_project(engine, clock, number, **personal(number))
    return engine


class TestWhatGoes:
    def test_their_documents_go_and_nobody_else_s_do(self, two: Engine) -> None:
        before, theirs = documents(two), of(two, 50_001)
        erasure = erase(two, "u1")
        assert set(erasure.positions) == theirs
        assert (erasure.transactions, erasure.is_done) == (("50001",), True)
        assert documents(two) == {at: text for at, text in before.items() if at not in theirs}
        assert len(theirs) >= 4

    @pytest.mark.parametrize("name", ["u1", "global-1"])
    def test_whatever_id_names_them(self, two: Engine, name: str) -> None:
        theirs = of(two, 50_001)
        assert set(erase(two, name).positions) == theirs

    def test_the_event_tells_who_did_it_and_why_and_of_which_events(self, two: Engine) -> None:
        erasure = erase(two, "global-1")
        [event] = [event for event in two.log.whole.events() if event.type == "documents_erased"]
        assert event.facts == {
            "person": "global-1",
            "positions": sorted(erasure.positions),
            "reason": "request 17",
        }
        assert (event.version, event.actor, event.hub, event.site) == (1, "privacy office", "access", "NCSA")
        assert (event.trans_rec_id, event.packet_rec_id, event.packet_type) == (None, None, None)
        assert event.stream not in {transaction.stream for transaction in two.transactions()}

    def test_many_documents_are_told_of_by_several_events(
        self, two: Engine, monkeypatch: pytest.MonkeyPatch, bare: Connect
    ) -> None:
        monkeypatch.setattr(erasing, "POSITIONS_AN_EVENT", 2)
        erasure = erase(two, "u1")
        events = [event for event in two.log.whole.events() if event.type == "documents_erased"]
        told = [event.facts["positions"] for event in events]
        assert [len(positions) for positions in told[:-1]] == [2] * (len(told) - 1)
        assert [position for positions in told for position in positions] == list(erasure.positions)
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        assert len({event.stream for event in events}) == 1
        assert broken_at(read_rows(bare())) == []
        assert [entry.event for entry in two.history(50_001).entries].count("documents_erased") == len(events)

    def test_what_is_said_of_it_beforehand_is_what_is_done(self, two: Engine) -> None:
        before, head = documents(two), two.log.whole.head()
        plan = erase(two, "u1", dry_run=True)
        assert (plan.is_done, plan.leftovers) == (False, None)
        assert (documents(two), two.log.whole.head()) == (before, head)
        erasure = erase(two, "u1")
        assert erasure.positions == plan.positions
        assert (erasure.transactions, erasure.quarantined) == (plan.transactions, plan.quarantined)

    def test_a_second_time_nothing_is_left_and_nothing_is_written(self, two: Engine) -> None:
        erase(two, "u1")
        head = two.log.whole.head()
        again = erase(two, "u1")
        assert (again.positions, again.quarantined) == ((), ())
        assert again.transactions == ("50001",)
        assert two.log.whole.head() == head

    def test_later_only_what_is_new_goes(self, two: Engine, clock: Clock) -> None:
        erase(two, "u1")
        take_up(two, "request_user_modify", 70_000, person="u1")
        new = of(two, 70_000)
        assert set(erase(two, "u1").positions) == new

    def test_persons_who_were_merged_go_together(self, two: Engine) -> None:
        take_up(two, "request_person_merge", 60_000, person="u2", gone="u1")
        everything = of(two, 50_001) | of(two, 50_002) | of(two, 60_000)
        erasure = erase(two, "u1")
        assert erasure.person.local_ids == ("u1", "u2")
        assert set(erasure.positions) == everything

    def test_a_traceback_and_what_was_refused_go_too(self, engine: Engine, clock: Clock) -> None:
        engine.receive(project_request(1, **personal(1)))
        [row] = engine.work.open()
        details = "no home for Lastname1"
        engine.work.record.failed(
            leased(engine, row), "RuntimeError", 1, retry_at=clock(), details=details, actor="handler x"
        )
        for _ in range(2):
            answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
            [outgoing] = engine.outbox.open()
            engine.outbox.attempt(outgoing)
            engine.outbox.reject(outgoing, code="service-validation", message="Lastname1 is no name")
        copy = project_request(1, **personal(1))
        copy["body"]["PiCity"] = "Elsewhere"
        assert engine.receive(copy).kind == "conflict"
        engine.fail(50_001, "Lastname1 is unknown here")
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.confirm(outgoing, {"result": {"message": "Lastname1"}})
        assert len(of(engine, 50_001)) >= 8
        erase(engine, "u1")
        assert documents(engine) == {}

    def test_somebody_else_with_the_same_login_stays(self, engine: Engine) -> None:
        take_up(engine, "request_account_create", 1, person="u1", login="sam", project="p1", grant="G1")
        take_up(
            engine,
            "request_account_create",
            2,
            person="u2",
            login="sam",
            project="p2",
            grant="G2",
            resource="r2",
        )
        theirs = of(engine, 1)
        assert set(erase(engine, "u1").positions) == theirs

    def test_a_login_of_one_person_names_them(self, engine: Engine) -> None:
        take_up(engine, "request_account_create", 1, person="u1", login="sam", project="p1", grant="G1")
        theirs = of(engine, 1)
        assert set(erase(engine, "sam").positions) == theirs


class TestWhatStays:
    def test_chain_states_projections_and_facts_are_as_before(
        self, busy: Engine, bare: Connect, clock: Clock
    ) -> None:
        whole_project(busy, clock, 30, **personal(30))
        before = (states(busy), projection_rows(busy.database))
        facts = [event.facts_json for event in busy.log.whole.events()]
        assert erase(busy, "u30").positions
        assert (states(busy), projection_rows(busy.database)) == before
        assert [event.facts_json for event in busy.log.whole.events()][:-1] == facts
        rows = read_rows(bare())
        assert broken_at(rows) == []
        head = bare().execute("SELECT position, hash FROM amie_log_head").fetchone()
        assert head == (rows[-1]["position"], rows[-1]["hash"])

    def test_what_is_listed_again_is_already_there(self, two: Engine) -> None:
        packets = [
            entry.document
            for entry in two.history(50_001, documents=True).entries
            if entry.event == "packet_received"
        ]
        erase(two, "u1")
        head = two.log.whole.head()
        for packet in packets:
            assert two.receive(packet).kind == "already_there"
        changed = {**packets[0], "body": packets[0]["body"] | {"PiCity": "Elsewhere"}}
        for _ in range(2):
            assert two.receive(changed).kind == "already_there"  # only the type is left to compare
        assert two.log.whole.head() == head

    def test_a_repeated_request_is_answered_from_the_facts(self, two: Engine) -> None:
        erase(two, "u1")
        again = project_request(1, **personal(1))
        again["header"] |= {"trans_rec_id": 51_001, "transaction_id": 51_001, "packet_rec_id": 71_001}
        assert two.receive(again).kind == "accepted"
        assert two.work.open() == []
        [outgoing] = two.outbox.open()
        packet = two.outbox.attempt(outgoing)
        assert packet is not None
        body = packet.as_dict()["body"]
        assert (body["ProjectID"], body["PiPersonID"], body["PiRemoteSiteLogin"]) == (
            "project-1",
            "u1",
            "robin",
        )
        two.outbox.confirm(outgoing)
        data = sample("spec/data_project_create", transaction=51_001, packet=81_001)
        data["body"] |= {"ProjectID": "project-1", "PersonID": "u1"}
        assert two.receive(data).kind == "accepted"
        answer(two, 51_001)
        send(two)
        assert {transaction.state for transaction in two.transactions()} == {"completed"}

    def test_the_story_is_told_as_before_and_tells_of_the_erasing(self, two: Engine, clock: Clock) -> None:
        before = two.history(50_001)
        clock.forward(days=1)
        erasure = erase(two, "u1")
        after = two.history(50_001, documents=True)
        *entries, last = after.entries
        assert [entry.sentence for entry in entries] == [entry.sentence for entry in before.entries]
        assert all(entry.document is None for entry in after.entries)
        assert last.sentence == (
            f"Erased the documents of {len(erasure.positions)} of these events, by privacy office: request 17"
        )
        assert (last.event, last.who, last.actor) == ("documents_erased", "site", "privacy office")
        assert (last.time, last.state) == (clock(), "completed")
        assert last.facts["positions"] == list(erasure.positions)
        assert [entry.event for entry in two.history(50_002).entries].count("documents_erased") == 0

    def test_it_stands_in_its_place_among_what_came_later(self, two: Engine) -> None:
        erase(two, "u1")
        listed = sample("spec/inform_transaction_complete.success.in", transaction=50_001, packet=99_001)
        listed["header"]["outgoing_flag"] = 1
        assert two.receive(listed).kind == "accepted"
        events = [entry.event for entry in two.history(50_001).entries]
        assert events[-2:] == ["documents_erased", "packet_received"]

    def test_an_audit_lists_everything_and_the_erasing(self, two: Engine) -> None:
        before = audit(two, person="u1")
        erase(two, "u1")
        after = audit(two, person="u1")
        assert after.entries[:-1] == before.entries
        assert after.entries[-1].event == "documents_erased"
        assert (after.entries[-1].trans_rec_id, after.entries[-1].state) == (None, "")
        assert (after.accounts, after.persons) == (before.accounts, before.persons)
        assert (after.transactions, after.differences) == (before.transactions, ())
        assert all(entry.event != "documents_erased" for entry in audit(two, person="u2").entries)
        late = audit(two, person="u1", until=before.entries[0].time)
        assert all(entry.event != "documents_erased" for entry in late.entries)

    def test_the_story_of_a_transaction_finds_its_erasures_by_an_index(self, bare: Connect) -> None:
        query = (
            "EXPLAIN QUERY PLAN SELECT position FROM amie_events WHERE hub = ? AND site = ?"
            " AND type = 'documents_erased' AND position <= ? ORDER BY position"
        )
        [plan] = bare().execute(query, ("a", "b", 1)).fetchall()
        assert "amie_events_erasures" in plan[3]
        assert "TEMP B-TREE" not in plan[3]


class TestRefusals:
    def test_an_open_transaction_refuses_it(self, two: Engine) -> None:
        request = sample("spec/request_account_inactivate", transaction=60_000, packet=60_001)
        two.receive({**request, "body": request["body"] | {"PersonID": "u1"}})
        before = documents(two)
        for dry_run in (True, False):
            with pytest.raises(ErasureRefused, match="60000") as caught:
                erase(two, "u1", dry_run=dry_run)
            assert "fail" in caught.value.hint
        assert documents(two) == before
        assert erase(two, "u2").positions
        two.fail(60_000, "not here")
        send(two)
        assert erase(two, "u1").positions

    def test_many_open_transactions_are_counted(self, two: Engine) -> None:
        request = sample("spec/request_account_inactivate")
        for number in range(1, 9):
            header = request["header"] | {"trans_rec_id": 60_000 + number, "packet_rec_id": 61_000 + number}
            two.receive({**request, "header": header, "body": request["body"] | {"PersonID": "u1"}})
        with pytest.raises(ErasureRefused, match="60001, 60002, 60003, 60004, 60005 and 3 more"):
            erase(two, "u1")

    def test_a_held_packet_refuses_it(self, two: Engine) -> None:
        data = sample("spec/data_project_create", transaction=60_000, packet=60_001)
        two.receive({**data, "body": {"PersonID": "u1", "ProjectID": "p1", "DnList": []}})
        with pytest.raises(ErasureRefused, match="60000"):
            erase(two, "u1")

    def test_what_is_still_to_be_sent_refuses_it(self, two: Engine) -> None:
        request = sample("spec/request_account_inactivate", transaction=60_000, packet=60_001)
        inform = sample("spec/inform_transaction_complete.success.in", transaction=60_000, packet=60_002)
        with Engine(str(two.database.engine.url), site="NCSA", acknowledge_inform="always") as engine:
            engine.receive({**request, "body": request["body"] | {"PersonID": "u1"}})
            engine.receive({**inform, "body": inform["body"] | {"StatusCode": "Failure"}})
            assert {transaction.state for transaction in engine.transactions()} == {"completed", "failed"}
            assert engine.outbox.open()
            with pytest.raises(ErasureRefused, match="60000") as caught:
                erase(engine, "u1")
            assert "send" in caught.value.hint
            send(engine)
            assert erase(engine, "u1").transactions == ("50001", "60000")

    @pytest.mark.parametrize(
        "staged",
        [
            {"call": "receive", "packet": {"body": {"UserPersonID": "u1"}}},
            {"call": "receive", "packet": {"body": {"PiGlobalID": "global-1"}}},
            {"call": "receive", "packet": {"header": {"trans_rec_id": 50_001}, "body": {}}},
            {"call": "start", "arguments": {"packet": {"body": {"PersonID": "u1"}}, "actor": "x"}},
            {"call": "fail", "trans_rec_id": "50001", "arguments": {"reason": "x", "actor": "x"}},
            {"call": "fail", "text": '{"PersonID": "u1"'},
        ],
    )
    def test_a_staged_call_that_mentions_them_refuses_it(self, two: Engine, staged: dict[str, Any]) -> None:
        def stage(engine: Engine) -> None:
            arguments = staged.get("arguments")
            if "packet" in staged:
                encoded = base64.b64encode(json.dumps(staged["packet"]).encode()).decode()
                arguments = {"base64": encoded}
            text = staged.get("text", canonical_json(arguments))
            with engine.database.write() as cursor:
                cursor.run(
                    _STAGE,
                    {
                        "hub": engine.hub,
                        "site": engine.site,
                        "call": staged["call"],
                        "trans_rec_id": staged.get("trans_rec_id"),
                        "arguments": text,
                    },
                )

        stage(two)
        before = documents(two)
        with pytest.raises(ErasureRefused, match="staged"):
            erasing.erase_person(two.log, lambda: "x", person="u1", actor="a", reason="b")
        assert documents(two) == before
        assert erasing.erase_person(two.log, lambda: "x", person="u2", actor="a", reason="b").positions

    def test_who_is_in_no_transaction_is_not_found(self, two: Engine) -> None:
        for name in ("u9", "Lastname1", "mail1@example.org"):
            with pytest.raises(PersonNotFound) as caught:
                erase(two, name)
            assert name not in str(caught.value)
            assert isinstance(caught.value, LookupError)

    def test_a_login_of_several_is_refused(self, engine: Engine) -> None:
        for trans, person in ((1, "u1"), (2, "u2")):
            take_up(
                engine, "request_account_create", trans, person=person, login="sam", project="p1", grant="G1"
            )
        with pytest.raises(ErasureRefused, match="u1, u2"):
            erase(engine, "sam")

    def test_a_login_of_nobody_s_takes_nobody_s_documents(self, engine: Engine) -> None:
        engine.receive(project_request(1, **personal(1)))
        answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
        engine.receive(project_request(2, **personal(2)))
        answer(engine, 50_002, ProjectID="p2", PiPersonID="u2", PiRemoteSiteLogin="robin")
        with pytest.raises(PersonNotFound):
            erase(engine, "robin")

    @pytest.mark.parametrize("lacking", ["person", "actor", "reason"])
    def test_who_and_why_must_be_said(self, two: Engine, lacking: str) -> None:
        given: dict[str, Any] = {"person": "u1", "actor": "x", "reason": "y"} | {lacking: " "}
        with pytest.raises(ErasureRefused):
            two.erase(**given)

    def test_what_came_between_the_search_and_the_erasing_counts(
        self, two: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search = find_streams

        def search_and_be_overtaken(*arguments: Any, **named: Any) -> Any:
            found = search(*arguments, **named)
            monkeypatch.setattr(erasing, "find_streams", search)
            take_up(two, "request_user_modify", 70_000, person="u1")
            take_up(two, "request_person_merge", 60_000, person="u1", gone="u2")
            return found

        monkeypatch.setattr(erasing, "find_streams", search_and_be_overtaken)
        erasure = erase(two, "u1")
        assert erasure.transactions == ("50001", "50002", "60000", "70000")
        assert documents(two) == {}

    def test_a_transaction_that_began_meanwhile_refuses_it(
        self, two: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search = find_streams

        def search_and_be_overtaken(*arguments: Any, **named: Any) -> Any:
            found = search(*arguments, **named)
            request = sample("spec/request_account_inactivate", transaction=60_000, packet=60_001)
            two.receive({**request, "body": request["body"] | {"PersonID": "u1"}})
            return found

        monkeypatch.setattr(erasing, "find_streams", search_and_be_overtaken)
        with pytest.raises(ErasureRefused, match="60000"):
            erase(two, "u1")


class TestWhatIsPossiblyTheirs:
    """A request that never named an id of theirs: the site refused it before it gave one."""

    @pytest.fixture
    def refused(self, two: Engine) -> Engine:
        """A log with such a request, at its end, besides the person's project and somebody else's."""
        two.receive(self.request("MAIL1@example.org"))
        two.fail(50_003, "no")
        send(two)
        return two

    def request(self, address: str, number: int = 3) -> dict[str, Any]:
        names = dict.fromkeys(("PiGlobalID", "PiDnList", "PiPersonID"))
        return project_request(number, **(personal(number) | names | {"PiEmail": address}))

    def test_it_is_told_and_stays_unless_it_is_named(self, refused: Engine) -> None:
        planned = erase(refused, "u1", dry_run=True)
        assert (planned.transactions, planned.possible) == (("50001",), ("50003",))
        with_it = erase(refused, "u1", transactions=[50_003], dry_run=True)
        assert (with_it.transactions, with_it.possible) == (("50001", "50003"), ())
        assert set(with_it.positions) == {*planned.positions, *of(refused, 50_003)}
        assert erase(refused, "u1").possible == ("50003",)
        assert of(refused, 50_003)
        erased = erase(refused, "u1", transactions=["50003"])
        assert "50003" in erased.transactions
        assert of(refused, 50_003) == set()
        assert of(refused, 50_002)

    def test_a_dn_in_any_alphabet_leads_to_it(self, engine: Engine, clock: Clock) -> None:
        name = '/C=ES/CN="José_100%" \\ Öztürk'
        whole_project(engine, clock, 1, **personal(1) | {"PiDnList": [name]})
        engine.receive(self.request("x@example.org"))
        other = self.request("other@example.org", 4)
        other["body"]["PiDnList"] = [name.upper()]
        engine.receive(other)
        for number in (50_003, 50_004):
            engine.fail(number, "no")
        send(engine)
        assert erase(engine, "u1", dry_run=True).possible == ("50004",)

    def test_while_it_is_open_it_refuses_the_erasure(self, two: Engine) -> None:
        two.receive(self.request("mail1@example.org"))
        before = documents(two)
        for named in ((), (50_003,)):
            with pytest.raises(ErasureRefused, match="50003"):
                erase(two, "u1", transactions=named)
        assert documents(two) == before

    def test_who_is_known_by_no_id_is_erased_by_the_transaction(self, refused: Engine) -> None:
        with pytest.raises(PersonNotFound):
            erase(refused, "mail1@example.org", transactions=[50_003])  # it would be on record for ever
        erasure = erase(refused, "case-17", transactions=[50_003])
        assert (erasure.transactions, erasure.possible) == (("50003",), ("50001",))
        assert of(refused, 50_003) == set()

    def test_a_transaction_that_is_none_is_told(self, two: Engine) -> None:
        with pytest.raises(TransactionNotFound):
            erase(two, "u1", transactions=[4711])

    def test_one_that_came_after_the_search_is_told(
        self, two: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def after_the_search(log: EventLog, work: Any) -> Any:
            two.receive(self.request("mail1@example.org"))
            return in_unit(log, work)

        monkeypatch.setattr(erasing, "in_unit", after_the_search)
        with pytest.raises(ErasureRefused, match="50003"):
            erase(two, "u1")


class TestQuarantine:
    def put(self, engine: Engine, content: Any) -> str:
        outcome = engine.receive(content)
        assert outcome.quarantine_id is not None
        return outcome.quarantine_id

    @pytest.mark.parametrize(
        "content",
        [
            {"type": "no_such_type", "header": {"trans_rec_id": 50_001}, "body": {}},
            {"type": "no_such_type", "header": {"packet_rec_id": 70_001}, "body": {}},
            {"type": "no_such_type", "header": {}, "body": {"Anything": [{"Deep": "u1"}]}},
            {"type": "no_such_type", "header": {}, "body": {"Owner": "global-1"}},
            {"type": "no_such_type", "header": {}, "body": {"Note": "write to MAIL1@example.org"}},
            {"type": "no_such_type", "body": {"Dn": ["/C=US/O=Example/CN=Certificate1"]}},
            ["u1"],
            b'{"broken": "mail1@example.org"',
            b"\xff /c=us/o=example/cn=certificate1 \xfe",
        ],
    )
    def test_what_concerns_them_goes(self, two: Engine, content: Any) -> None:
        name = self.put(two, content)
        erasure = erase(two, "u1")
        assert erasure.quarantined == (name,)
        assert two.quarantined(name).content is None
        assert [item.erased for item in two.quarantine()] == [True]
        with pytest.raises(QuarantineNotFound, match="erased"):
            two.release(name)
        assert self.put(two, content) == name  # and it is not kept again when the service lists it again

    @pytest.mark.parametrize(
        "content",
        [
            {"type": "no_such_type", "header": {"trans_rec_id": 50_002}, "body": {}},
            {"type": "no_such_type", "header": {}, "body": {"Anything": "u11"}},
            {"type": "no_such_type", "header": {}, "body": {"Anything": "U1"}},
            {"type": "no_such_type", "header": {}, "body": {"PfosNumber": "u1", "GrantNumber": "u1"}},
            {"type": "no_such_type", "header": {}, "body": {"UserRemoteSiteLogin": "robin"}},
            {"type": "no_such_type", "header": {"note": "u1"}, "body": {"Mail": "mail2@example.org"}},
            ["u2"],
        ],
    )
    def test_what_does_not_stays(self, two: Engine, content: Any) -> None:
        name = self.put(two, content)
        erasure = erase(two, "u1")
        assert (erasure.quarantined, erasure.unread) == ((), ())
        assert two.quarantined(name).content is not None

    def test_what_is_there_at_the_search_is_not_read_while_writers_wait(
        self, two: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = self.put(two, {"type": "no_such_type", "header": {}, "body": {"Owner": "u1"}})
        looked_at: list[str] = []
        concern = Traces.concern

        def counted(traces: Traces, item: Quarantined) -> Any:
            looked_at.append(item.quarantine_id)
            return concern(traces, item)

        def after_the_search(log: EventLog, work: Any) -> Any:
            assert looked_at == [before]
            looked_at.append(self.put(two, {"type": "no_such_type", "header": {}, "body": {"Is": "u1"}}))
            return in_unit(log, work)

        monkeypatch.setattr(Traces, "concern", counted)
        monkeypatch.setattr(erasing, "in_unit", after_the_search)
        erasure = erase(two, "u1")
        assert looked_at == [before, looked_at[1], looked_at[1]]
        assert sorted(erasure.quarantined) == sorted(set(looked_at))

    def test_what_nobody_can_read_is_listed_and_goes_when_it_is_named(self, two: Engine) -> None:
        first, second = self.put(two, b"\xff Lastname1"), self.put(two, b"{ mail2@example.org")
        third = self.put(two, ["u2"])
        assert sorted(erase(two, "u1").unread) == sorted([first, second])
        erasure = erase(two, "u1", quarantine=[first, third])
        assert (set(erasure.quarantined), erasure.unread) == ({first, third}, (second,))
        assert two.quarantined(first).content is None
        assert two.quarantined(second).content is not None

    def test_what_has_left_it_goes_too(self, engine: Engine, clock: Clock) -> None:
        data = sample("spec/data_project_create", transaction=50_001, packet=80_001)
        data["body"] |= {"PersonID": "u1", "ProjectID": "project-1"}
        [outcome] = engine.adopt({"DATA": [data]})
        assert outcome.quarantine_id is not None
        engine.receive(project_request(1, **personal(1)))
        answer(engine, 50_001, ProjectID="project-1", PiPersonID="u1", PiRemoteSiteLogin="robin")
        send(engine)
        engine.release(outcome.quarantine_id)
        answer(engine, 50_001)
        send(engine)
        assert erase(engine, "u1").quarantined == (outcome.quarantine_id,)
        assert documents(engine) == {}

    def test_who_is_nowhere_else_is_found_there_by_an_id(self, engine: Engine) -> None:
        name = self.put(engine, {"type": "no_such_type", "header": {}, "body": {"Owner": "u77"}})
        assert erase(engine, "u77").quarantined == (name,)

    def test_a_name_is_not_put_on_record_for_one_who_is_nowhere(self, engine: Engine) -> None:
        name = self.put(engine, b"\xff Robin Example")
        for person in ("Robin Example", "robin@example.org", "/CN=Robin"):
            with pytest.raises(PersonNotFound):
                erase(engine, person, quarantine=[name])
        assert erase(engine, "u77", quarantine=[name]).quarantined == (name,)

    def test_an_id_that_is_none_is_told(self, two: Engine) -> None:
        before = documents(two)
        with pytest.raises(QuarantineNotFound):
            erase(two, "u1", quarantine=["nothing"])
        assert documents(two) == before

    def test_deep_nesting_is_no_trouble(self, two: Engine) -> None:
        name = self.put(two, b"[" * 900 + b'"u1"' + b"]" * 900)
        unread = self.put(two, b"[" * 100_000)
        erasure = erase(two, "u1")
        assert (erasure.quarantined, erasure.unread) == ((name,), (unread,))
