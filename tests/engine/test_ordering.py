"""The order across transactions: rules as data, and what they make of a site's open transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.engine.open_transactions import read_open_around
from amie_engine.engine.ordering import (
    ORDER_RULES,
    RUNNING_FIRST,
    Blocker,
    OpenTransaction,
    OrderRule,
    Shared,
    Until,
    blockers,
)
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import LeaseLost
from amie_engine.log.statements import Statement
from amie_engine.packet.naming import Kind
from amie_engine.protocol import TRANSACTION_TYPES
from amie_engine.testing import Clock
from tests.engine import waiting
from tests.engine.playing import dpc, filled, inform, rac, request, rpc, send, state_of
from tests.log.busy_site import leased
from tests.site.site_packets import begin_account
from tests.site.site_world import write_as_a_later_release

RPC, RAC, RPM = "request_project_create", "request_account_create", "request_person_merge"
NAMES = {
    "grant": Kind.GRANT,
    "project": Kind.PROJECT,
    "local": Kind.LOCAL_ID,
    "world": Kind.GLOBAL_ID,
    "resource": Kind.RESOURCE,
}


def transaction(
    number: int, kind: str = RPC, *, turn: bool = True, opened: int = 1, **names: Any
) -> OpenTransaction:
    """An open transaction; its number is that of its first packet, too."""
    named: dict[str, frozenset[str]] = {
        NAMES[name]: frozenset(value.split()) for name, value in names.items()
    }
    return OpenTransaction(str(number), str(number), kind, opened, named, number, turn)


def waits(
    *transactions: OpenTransaction, rules: Iterable[OrderRule] = ORDER_RULES, running: Collection[str] = ()
) -> dict[str, tuple[str, str]]:
    """Which transaction waits for which other, and by what rule."""
    found = blockers(transactions, rules, running)
    return {stream: (blocker.stream, blocker.rule) for stream, blocker in found.items()}


class TestRules:
    @pytest.mark.parametrize(
        ("shared", "rule"),
        [
            ({"grant": "G"}, "same-grant"),
            ({"project": "P"}, "same-project"),
            ({"local": "u"}, "same-person"),
            ({"world": "7"}, "same-person"),
        ],
    )
    def test_what_shares_something_waits_for_the_earlier(self, shared: dict[str, Any], rule: str) -> None:
        first, second = transaction(9, **shared), transaction(10, "request_user_modify", **shared)
        assert waits(second, first) == {"10": ("9", rule)}

    def test_what_shares_nothing_goes_on(self) -> None:
        first = transaction(1, grant="G", project="P", local="u", world="7", resource="R")
        second = transaction(2, grant="H", project="Q", local="v", world="8", resource="R")
        assert waits(first, second) == {}

    def test_an_id_of_one_kind_is_not_one_of_another(self) -> None:
        assert waits(transaction(1, local="7"), transaction(2, world="7"), transaction(3, project="7")) == {}

    def test_once_the_site_has_answered_the_next_may_begin(self) -> None:
        first = transaction(1, "request_project_inactivate", turn=False, project="P")
        assert waits(first, transaction(2, "request_project_reactivate", project="P")) == {}

    def test_an_account_waits_until_its_project_is_complete(self) -> None:
        project = transaction(1, RPC, turn=False, grant="G", resource="R")
        assert waits(project, transaction(2, RAC, grant="G", resource="R")) == {"2": ("1", "project-first")}
        assert waits(project, transaction(2, RAC, grant="G", resource="S")) == {}
        assert waits(transaction(2, RAC, grant="G", resource="R")) == {}

    def test_an_account_that_was_asked_for_before_does_not_wait(self) -> None:
        project = transaction(3, RPC, turn=False, grant="G", resource="R")
        assert "2" not in waits(project, transaction(2, RAC, grant="G", resource="R"))

    @pytest.mark.parametrize("person", ["keep", "gone"])
    @pytest.mark.parametrize("turn", [True, False])
    def test_a_merge_is_a_barrier_for_both_persons(self, person: str, turn: bool) -> None:
        before = transaction(1, RPC, turn=turn, local=person)
        merge = transaction(2, RPM, turn=turn, local="keep gone")
        after = transaction(3, RAC, local=person)
        assert waits(before, merge, after) == {"2": ("1", "merge-last"), "3": ("2", "merge-first")}
        assert waits(merge, after) == {"3": ("2", "merge-first")}

    def test_others_are_not_held_up_by_a_merge(self) -> None:
        assert waits(transaction(2, RPM, local="a b"), transaction(3, RAC, local="c")) == {}

    def test_it_waits_for_what_waits_itself(self) -> None:
        first, second = transaction(1, grant="G"), transaction(2, grant="G", local="u")
        assert waits(first, second, transaction(3, local="u")) == {
            "2": ("1", "same-grant"),
            "3": ("2", "same-person"),
        }

    def test_numbers_are_compared_as_numbers(self) -> None:
        assert waits(transaction(100, grant="G"), transaction(20, grant="G")) == {"100": ("20", "same-grant")}

    def test_a_site_may_leave_rules_out(self) -> None:
        rules = [rule for rule in ORDER_RULES if rule.shared is not Shared.GRANT]
        assert waits(transaction(1, grant="G"), transaction(2, grant="G"), rules=rules) == {}

    def test_no_rules_no_order(self) -> None:
        assert waits(transaction(1, grant="G"), transaction(2, grant="G"), rules=()) == {}


class TestRunning:
    """While somebody is at work on one of two, the other does not begin."""

    @pytest.mark.parametrize("shared", [{"grant": "G"}, {"project": "P"}, {"local": "u"}, {"world": "7"}])
    def test_the_earlier_waits_for_the_later_that_runs(self, shared: dict[str, Any]) -> None:
        first, second = transaction(1, **shared), transaction(2, "request_user_modify", **shared)
        assert waits(first, second, running={"2"})["1"] == ("2", RUNNING_FIRST)

    def test_so_does_the_later_where_the_earlier_was_answered(self) -> None:
        first, second = transaction(1, grant="G", turn=False), transaction(2, grant="G")
        assert waits(first, second, running={"1"}) == {"2": ("1", RUNNING_FIRST)}

    def test_a_request_that_comes_late_waits_for_the_merge_that_runs(self) -> None:
        late, merge = transaction(1, RAC, local="gone"), transaction(2, RPM, local="keep gone")
        assert waits(late, merge, running={"2"})["1"] == ("2", RUNNING_FIRST)

    def test_the_rule_that_lasts_longer_is_told(self) -> None:
        first, second, third = (transaction(number, grant="G") for number in (1, 2, 3))
        assert waits(first, second, third, running={"3"})["2"] == ("1", "same-grant")

    def test_what_shares_nothing_goes_on_beside_it(self) -> None:
        assert waits(transaction(1, grant="G"), transaction(2, grant="H"), running={"2"}) == {}

    def test_only_what_a_rule_orders_is_kept_apart(self) -> None:
        rules = [rule for rule in ORDER_RULES if rule.name == "project-first"]
        project, account = (
            transaction(1, RPC, grant="G", resource="R"),
            transaction(2, RAC, grant="G", resource="R"),
        )
        other = transaction(3, "request_project_inactivate", grant="G", resource="R")
        assert waits(project, account, other, rules=rules, running={"2"})["1"] == ("2", RUNNING_FIRST)
        assert waits(project, other, rules=rules, running={"3"}) == {}


few = st.lists(st.sampled_from("abc"), max_size=2).map(" ".join)
transactions = st.builds(
    transaction,
    st.integers(1, 40),
    st.sampled_from([*TRANSACTION_TYPES]),
    turn=st.booleans(),
    grant=few,
    project=few,
    local=few,
    world=few,
    resource=few,
)
many = st.lists(transactions, max_size=12, unique_by=lambda each: each.first_packet)


class TestLaws:
    @given(many, st.randoms())
    def test_the_order_in_which_they_are_listed_does_not_matter(self, listed: list[Any], random: Any) -> None:
        shuffled = list(listed)
        random.shuffle(shuffled)
        assert blockers(shuffled) == blockers(listed)

    @given(many)
    def test_nobody_waits_for_what_comes_later_so_that_something_can_always_begin(
        self, listed: list[Any]
    ) -> None:
        found = blockers(listed)
        numbers = {each.stream: each.first_packet for each in listed}
        assert all(numbers[blocker.stream] < numbers[stream] for stream, blocker in found.items())
        assert not listed or min(listed, key=lambda each: each.first_packet).stream not in found

    @given(many)
    def test_of_two_that_share_something_at_most_one_may_begin(self, listed: list[Any]) -> None:
        found = blockers(listed)
        may_begin = [each for each in listed if each.is_sites_turn and each.stream not in found]
        for what in (Shared.GRANT, Shared.PROJECT, Shared.PERSON):
            names = [name for each in may_begin for name in each.shared(what)]
            assert len(names) == len(set(names))

    @given(many)
    def test_whoever_waits_shares_something_with_what_it_waits_for(self, listed: list[Any]) -> None:
        by_stream = {each.stream: each for each in listed}
        rules = {rule.name: rule for rule in ORDER_RULES}
        for stream, blocker in blockers(listed).items():
            rule, later, earlier = rules[blocker.rule], by_stream[stream], by_stream[blocker.stream]
            assert later.shared(rule.shared) & earlier.shared(rule.shared)
            assert not rule.later or later.type in rule.later
            assert not rule.earlier or earlier.type in rule.earlier
            assert rule.until is Until.ENDED or earlier.is_sites_turn

    @given(many, st.data())
    def test_nothing_begins_beside_what_runs_and_everything_waits_for_what_can_go_on(
        self, listed: list[Any], data: st.DataObject
    ) -> None:
        running = data.draw(st.sets(st.sampled_from([each.stream for each in listed]))) if listed else set()
        found = blockers(listed, running=running)
        for each in listed:
            if each.stream not in found.keys() | running:
                others = [other for other in listed if other.stream in running]
                for what in (Shared.GRANT, Shared.PROJECT, Shared.PERSON):
                    assert not any(each.shared(what) & other.shared(what) for other in others)
        numbers = {each.stream: each.first_packet for each in listed}
        for stream, blocker in found.items():
            assert blocker.stream in running or numbers[blocker.stream] < numbers[stream]
        for stream, blocker in blockers(listed).items():
            assert found[stream] == blocker

    @given(many)
    def test_what_ends_lets_others_begin_and_holds_up_none_more(self, listed: list[Any]) -> None:
        before = blockers(listed)
        for ended in listed:
            rest = [each for each in listed if each is not ended]
            assert set(blockers(rest)) <= set(before)


class TestEngine:
    """What the log's own transactions come to."""

    def begins(self, engine: Engine) -> list[str]:
        return [row.trans_rec_id for row in engine.work.ready()]

    def blocker(self, engine: Engine, trans_rec_id: int) -> Blocker | None:
        return next(r.blocked_by for r in engine.work.open() if r.trans_rec_id == str(trans_rec_id))

    @pytest.fixture
    def account(self) -> dict[str, Any]:
        """An account request for another person than the project's PI."""
        return rac(2, 20, body={"UserGlobalID": "9999", "UserPersonID": ""})

    def test_an_account_request_starts_by_itself_once_its_project_is_complete(
        self, engine: Engine, account: dict[str, Any]
    ) -> None:
        resources = {
            "GrantNumber": account["body"]["GrantNumber"],
            "ResourceList": account["body"]["ResourceList"],
        }
        engine.receive(rpc(1, 10, body=resources))
        engine.receive(account)
        assert self.begins(engine) == ["1"]
        found = self.blocker(engine, 2)
        assert found is not None
        assert (found.rule, found.trans_rec_id) == ("project-first", "1")
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        send(engine)
        assert self.begins(engine) == []
        engine.receive(inform(trans=1, rec=13, body={"StatusCode": "Failure"}))
        assert state_of(engine, 1) == "failed"
        assert self.begins(engine) == ["2"]

    def test_with_no_open_project_request_it_goes_ahead(
        self, engine: Engine, account: dict[str, Any]
    ) -> None:
        engine.receive(account)
        assert self.begins(engine) == ["2"]

    def test_it_does_not_matter_which_came_in_first(self, engine: Engine) -> None:
        for trans in (3, 1, 2):
            engine.receive(request("request_project_inactivate", trans=trans, rec=trans * 10))
        assert self.begins(engine) == ["1"]
        assert [row.status for row in engine.work.open()] == ["ready", "blocked", "blocked"]

    def test_a_person_lets_it_pass(self, engine: Engine) -> None:
        for trans in (1, 2, 3):
            engine.receive(request("request_project_inactivate", trans=trans, rec=trans * 10))
        engine.work.let_pass(3, actor="ops", reason="they are unrelated")
        assert self.begins(engine) == ["1", "3"]
        assert "they are unrelated" in engine.history(3).entries[-1].sentence

    def test_a_person_is_the_same_under_every_name_that_the_directory_has(self, engine: Engine) -> None:
        engine.receive(rpc(1, 10, body={"PiGlobalID": "70", "PiPersonID": "", "GrantNumber": "A"}))
        engine.reply(1, filled(engine, 1, PiPersonID="u42", PiRemoteSiteLogin="rex", ProjectID="p1"))
        send(engine)
        engine.receive(
            rpc(2, 20, body={"PiGlobalID": "70", "PiPersonID": "", "GrantNumber": "B", "RecordID": "b"})
        )
        modify = request("request_user_modify.replace", trans=3, rec=30)
        engine.receive({**modify, "body": modify["body"] | {"PersonID": "u42"}})
        assert self.begins(engine) == ["2"]
        found = self.blocker(engine, 3)
        assert found is not None
        assert (found.rule, found.trans_rec_id) == ("same-person", "2")

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({Kind.LOCAL_ID: ["u2"]}, {Kind.GLOBAL_ID: ["71"]}),
            ({Kind.GLOBAL_ID: ["71"]}, {Kind.LOCAL_ID: ["u2"]}),
            ({Kind.LOCAL_ID: ["u1"]}, {Kind.GLOBAL_ID: ["72"]}),
            ({Kind.GLOBAL_ID: ["72"]}, {Kind.GLOBAL_ID: ["71"]}),
            ({Kind.GLOBAL_ID: ["72"]}, {Kind.GLOBAL_ID: ["73"]}),
            ({Kind.LOCAL_ID: ["u2"]}, {Kind.LOCAL_ID: ["u3"]}),
        ],
    )
    def test_who_was_merged_is_the_person_that_was_kept_under_every_id(
        self, one_by_one: Engine, first: dict[str, list[str]], second: dict[str, list[str]]
    ) -> None:
        merged = [waiting.Person("u1", "71", None), waiting.Person("u2", "72", "u1")]
        asked = waiting.two(first, second)
        waiting.put(one_by_one, asked, [*merged, waiting.Person("u3", "73", "u1")])
        assert self.begins(one_by_one) == ["1"]
        waiting.assert_one_by_one_as_all_together(one_by_one, asked)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({Kind.GRANT: ["G"]}, {Kind.PROJECT: ["p"]}),
            ({Kind.PROJECT: ["p"]}, {Kind.GRANT: ["G"]}),
            ({Kind.PROJECT: ["p"]}, {Kind.PROJECT: ["q"]}),
            ({Kind.PROJECT: ["p"]}, {Kind.GRANT: ["G"], Kind.PROJECT: ["q"]}),
        ],
    )
    def test_a_packet_that_leaves_out_the_grant_or_the_project_keeps_its_place(
        self, one_by_one: Engine, first: dict[str, list[str]], second: dict[str, list[str]]
    ) -> None:
        projects = [waiting.Project("p", "r", "G"), waiting.Project("q", "s", "G")]
        asked = waiting.two(first, second)
        waiting.put(one_by_one, asked, [*projects, waiting.Project("other", "r", "H")])
        assert self.begins(one_by_one) == ["1"]
        waiting.assert_one_by_one_as_all_together(one_by_one, asked)

    def test_the_directory_joins_no_others(self, one_by_one: Engine) -> None:
        projects = [waiting.Project("p", "r", "G"), waiting.Project("q", "r", "H")]
        asked = waiting.two({Kind.PROJECT: ["p"], Kind.RESOURCE: ["r"]}, {Kind.GRANT: ["H"]})
        waiting.put(one_by_one, asked, [*projects, waiting.Person("p", "H", None)])
        assert self.begins(one_by_one) == ["1", "2"]

    def test_an_account_waits_for_no_project_of_its_grant_on_another_resource(
        self, engine: Engine, account: dict[str, Any]
    ) -> None:
        """For what the site has answered, that is: the grant is the same."""
        grant, [resource] = account["body"]["GrantNumber"], account["body"]["ResourceList"]
        engine.receive(rpc(1, 10, body={"GrantNumber": grant, "ResourceList": [resource], "ProjectID": ""}))
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex", ProjectID="p1"))
        send(engine)
        engine.receive(dpc(1, 13))
        engine.reply(1, filled(engine, 1))
        send(engine)
        names = {"GrantNumber": grant, "ResourceList": ["elsewhere"], "ProjectID": "", "RecordID": "b"}
        engine.receive(rpc(3, 14, body=names))
        engine.receive({**account, "body": account["body"] | {"ProjectID": "p1"}})
        found = self.blocker(engine, 2)
        assert found is not None
        assert (found.rule, found.trans_rec_id) == ("same-grant", "3")

    @pytest.fixture
    def beside(self, engine: Engine) -> WorkRow:
        """A supplement that may begin, before the data packet of the first request for its grant comes."""
        return waiting.put_supplement(engine)

    def test_an_earlier_one_whose_turn_it_becomes_waits_for_what_runs(
        self, engine: Engine, beside: WorkRow, clock: Clock
    ) -> None:
        lease = leased(engine, beside)
        engine.receive(dpc(1, 13))
        assert self.begins(engine) == []
        assert engine.work.ready_in(1) == []
        found = self.blocker(engine, 1)
        assert found is not None
        assert (found.rule, found.until, found.trans_rec_id) == (RUNNING_FIRST, Until.IDLE, "2")
        engine.work.record.deferred(lease, until=None, reason="later", actor="handler x")
        assert self.begins(engine) == ["1"]
        assert [row.trans_rec_id for row in engine.work.ready_in(1)] == ["1"]

    @pytest.mark.parametrize("ends", ["the hub fails it", "the site fails it"])
    def test_what_runs_counts_though_its_transaction_has_ended(self, engine: Engine, ends: str) -> None:
        """Its handler is at work all the same."""
        engine.receive(rpc(1, 10, body={"RecordID": "a"}))
        [row] = engine.work.ready()
        lease = leased(engine, row)
        engine.receive(rpc(2, 20, body={"RecordID": "b"}))
        if ends == "the hub fails it":
            engine.receive(inform(trans=1, rec=13, body={"StatusCode": "Failure"}))
        else:
            engine.fail(1, "no")
            send(engine)
        assert engine.transactions()[0].state == "failed"
        assert engine.work.ready() == engine.work.ready_in(2) == []
        found = self.blocker(engine, 2)
        assert found is not None
        assert (found.rule, found.trans_rec_id) == (RUNNING_FIRST, "1")
        engine.leases.give_back(lease)
        assert self.begins(engine) == ["2"]

    def test_what_can_not_be_read_of_what_runs_holds_up_no_other(self, engine: Engine) -> None:
        """A later release has ended it on another host, while its handler is at work here."""
        engine.receive(rpc(1, 10, body={"RecordID": "a"}))
        [row] = engine.work.ready()
        leased(engine, row)
        names = {"GrantNumber": "other", "PiGlobalID": "99", "PiPersonID": "", "ProjectID": ""}
        engine.receive(rpc(2, 20, body=names | {"RecordID": "b"}))
        write_as_a_later_release(engine, 1)
        with engine.database.write() as cursor:
            cursor.run(Statement("UPDATE amie_transactions SET state = 'failed' WHERE trans_rec_id = '1'"))
        [other] = engine.work.ready_in(2)
        assert engine.work.begin(leased(engine, other)) is not None

    def test_what_the_site_has_begun_may_have_no_number_yet(self, engine: Engine) -> None:
        begin_account(engine)
        [sending] = engine.outbox.open()
        engine.outbox.attempt(sending)
        engine.outbox.confirm(sending, {"result": {"header": {"trans_rec_id": 77}}})
        engine.receive(request("data_account_create", trans=77, rec=90))
        [row] = engine.work.ready()
        assert engine.work.begin(leased(engine, row)) is not None

    def test_in_one_transaction_nothing_begins_beside_what_runs(self, engine: Engine) -> None:
        """Its request is answered by hand while its handler is at work, and the hub goes on."""
        engine.receive(rpc(1, 10))
        [row] = engine.work.ready()
        lease = leased(engine, row)
        engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
        send(engine)
        engine.receive(dpc(1, 13))
        [data] = engine.work.open()
        assert (data.status, data.packet_type) == ("blocked", "data_project_create")
        next_lease = leased(engine, data)
        assert engine.work.begin(next_lease) is None
        engine.leases.give_back(lease)
        assert engine.work.begin(next_lease) is not None

    def test_under_a_lease_that_is_over_nothing_begins(
        self, engine: Engine, beside: WorkRow, clock: Clock
    ) -> None:
        """The process stood still in between."""
        lease = leased(engine, beside)
        clock.forward(hours=2)
        with pytest.raises(LeaseLost):
            engine.work.begin(lease)
        assert engine.work.begin(leased(engine, beside)) is not None

    def test_what_hangs_is_not_taken_over_beside_what_comes_before_it(
        self, engine: Engine, beside: WorkRow, clock: Clock
    ) -> None:
        leased(engine, beside)
        engine.receive(dpc(1, 13))
        clock.forward(hours=2)
        row = next(row for row in engine.work.open() if row.trans_rec_id == "2")
        assert (row.status, row.may_begin(clock())) == ("hanging", False)
        assert row.blocked_by is not None
        assert self.begins(engine) == ["1"]

    def test_it_waits_no_longer_than_the_lease_lasts(
        self, engine: Engine, beside: WorkRow, clock: Clock
    ) -> None:
        leased(engine, beside)
        engine.receive(dpc(1, 13))
        clock.forward(hours=2)
        assert self.begins(engine) == ["1"]

    def test_a_person_lets_it_pass_what_runs(self, engine: Engine, beside: WorkRow) -> None:
        leased(engine, beside)
        engine.receive(dpc(1, 13))
        engine.work.let_pass(1, actor="ops")
        [row] = engine.work.ready()
        assert leased(engine, row).stream == row.stream

    def test_a_list_from_before_begins_with_nothing_that_may_not_go_on_beside_what_runs(
        self, engine: Engine, beside: WorkRow
    ) -> None:
        """Two workers began with lists from before and after a packet came; what shares nothing goes on."""
        engine.receive(dpc(1, 13))
        names = {"GrantNumber": "other", "PiGlobalID": "99", "PiPersonID": "", "ProjectID": ""}
        engine.receive(rpc(3, 30, body=names | {"RecordID": "c"}))
        [data, other] = engine.work.ready()
        leased(engine, data)
        assert engine.work.begin(leased(engine, beside)) is None
        assert engine.work.begin(leased(engine, other)) is not None

    def test_a_site_of_its_own_mind(self, new_log: Any) -> None:
        engine = Engine(new_log(), site="NCSA", order=())
        for trans in (1, 2):
            engine.receive(request("request_project_inactivate", trans=trans, rec=trans * 10))
        assert self.begins(engine) == ["1", "2"]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(f"sqlite:///{tmp_path_factory.mktemp('waiting') / 'amie.db'}", site="NCSA") as engine:
        yield engine


@waiting.any_open_transactions
def test_one_transaction_is_looked_at_as_all_are(
    one_by_one: Engine, listed: list[waiting.Asked], known: waiting.Known
) -> None:
    """Whatever they name, and whatever names the directory knows together."""
    waiting.put(one_by_one, listed, known)
    waiting.assert_one_by_one_as_all_together(one_by_one, listed)
    waiting.assert_something_can_begin(one_by_one)


def test_two_who_begin_together_are_kept_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'amie.db'}"
    with Engine(url, site="NCSA") as one, Engine(url, site="NCSA") as other:
        waiting.assert_two_who_begin_together_are_kept_apart(one, other)


@pytest.mark.parametrize("unknown", [1, "1", "no\x00number", "caf\udce9"])
def test_in_a_transaction_that_the_log_does_not_know_nothing_is_ready(
    engine: Engine, unknown: int | str
) -> None:
    assert engine.work.ready_in(unknown) == []


def test_to_look_at_one_reads_none_that_cannot_hold_it_up(engine: Engine) -> None:
    """They are all on one resource."""
    for number in range(1, 6):
        names = {"GrantNumber": f"G{number % 2}", "PiGlobalID": str(number), "RecordID": str(number)}
        engine.receive(rpc(number, number * 10, body=names | {"PiPersonID": "", "ProjectID": ""}))
    with engine.view() as view:
        stream = view.require(4).stream
        around = read_open_around(view.cursor, engine.hub, engine.site, stream)
    assert sorted(each.first_packet for each in around) == [20, 40]
