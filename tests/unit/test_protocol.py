"""What AMIE allows: the rows, the machines, and the table that is compiled from them."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transitions import MachineError

from amie_engine.errors import ProtocolTableError
from amie_engine.protocol import (
    FINAL_STATES,
    TRANSACTION_TYPES,
    Move,
    Party,
    Row,
    State,
    TransactionType,
    legal_later,
    machine_for,
    move_of,
    moves_from,
    opened_by,
    step,
)
from amie_engine.protocol.machine import COMPILED, compile_table, trigger_name
from amie_engine.testing.strategies import transactions
from tests.unit.samples import PACKET_TABLE, property_test

ABBREVIATIONS = {
    "RPC": "request_project_create",
    "NPC": "notify_project_create",
    "DPC": "data_project_create",
    "RAC": "request_account_create",
    "NAC": "notify_account_create",
    "DAC": "data_account_create",
    "RPI": "request_project_inactivate",
    "NPI": "notify_project_inactivate",
    "RPR": "request_project_reactivate",
    "NPR": "notify_project_reactivate",
    "RAI": "request_account_inactivate",
    "NAI": "notify_account_inactivate",
    "RAR": "request_account_reactivate",
    "NAR": "notify_account_reactivate",
    "RUM": "request_user_modify",
    "NUM": "notify_user_modify",
    "RPM": "request_person_merge",
    "NPD": "notify_person_duplicate",
    "NPIDs": "notify_person_ids",
    "ITC": "inform_success",
}

SEQUENCES = {
    "request_project_create": "> RPC, < NPC, > DPC, < ITC",
    "request_account_create": "> RAC, < NAC, > DAC, < ITC",
    "request_project_inactivate": "> RPI, < NPI, > ITC",
    "request_project_reactivate": "> RPR, < NPR, > ITC",
    "request_account_inactivate": "> RAI, < NAI, > ITC",
    "request_account_reactivate": "> RAR, < NAR, > ITC",
    "request_user_modify": "> RUM, < ITC",
    "request_person_merge": "> RPM, < ITC",
    "notify_project_create": "< NPC, > DPC, < ITC",
    "notify_account_create": "< NAC, > DAC, < ITC",
    "notify_project_inactivate": "< NPI, > ITC",
    "notify_project_reactivate": "< NPR, > ITC",
    "notify_account_inactivate": "< NAI, > ITC",
    "notify_account_reactivate": "< NAR, > ITC",
    "notify_user_modify": "< NUM, > ITC",
    "notify_person_duplicate": "< NPD, > ITC",
    "notify_person_ids": "< NPIDs, > ITC",
}
"""The seventeen transaction types as AMIE's documents have them: ``>`` is hub to site, ``<`` site to hub, ITC
an inform of success."""

MOVES = sorted({*PACKET_TABLE, *Move})
FAILURES = [
    (Party.HUB, Move.INFORM_FAILURE),
    (Party.SITE, Move.INFORM_FAILURE),
    (Party.HUB, Move.SET_FAILED),
    (Party.SITE, Move.SET_FAILED),
    (Party.SITE, Move.DEADLINE_CONFIRMED),
]
STATE_AFTER = {"request": State.REQUESTED, "notify": State.NOTIFIED, "data": State.CONFIRMED}

Path = tuple[tuple[Party, str], ...]


def sequence(transaction_type: str) -> Path:
    """A sequence of the table as (sender, move) pairs."""
    path = []
    for part in SEQUENCES[transaction_type].split(", "):
        arrow, abbreviation = part.split(" ")
        path.append((Party.HUB if arrow == ">" else Party.SITE, ABBREVIATIONS[abbreviation]))
    return tuple(path)


def open_states(transaction_type: str) -> list[State]:
    """The states between the packets of a sequence of the table."""
    kinds = [move.partition("_")[0] for _, move in sequence(transaction_type)]
    return [State.START, *(STATE_AFTER[kind] for kind in kinds if kind in STATE_AFTER)]


def paths_to(transaction_type: str, end: State) -> set[Path]:
    """Every way from the start to a state, over all moves of both parties."""
    found: set[Path] = set()
    frontier: list[tuple[State, Path]] = [(State.START, ())]
    while frontier:
        state, path = frontier.pop()
        if state == end:
            found.add(path)
        for sender, move in product(Party, MOVES):
            following = step(transaction_type, state, sender, move)
            if following is not None:
                frontier.append((following, (*path, (sender, str(move)))))
    return found


class Model:
    """A throw-away model for a machine."""


@pytest.mark.parametrize("name", SEQUENCES)
class TestEachType:
    def test_the_machine_and_the_table_agree_on_every_move_in_every_state(self, name: str) -> None:
        machine = machine_for(name)
        legal = 0
        assert set(machine.states) == {*open_states(name), *FINAL_STATES}
        for state, sender, move in product(State, Party, MOVES):
            drawn = state in machine.states and [
                transition.dest
                for transition in machine.get_transitions(trigger_name(sender, move), source=state.value)
            ]
            compiled = step(name, state, sender, move)
            assert (drawn or []) == ([] if compiled is None else [compiled])
            assert COMPILED[name].get((state, sender, move)) is compiled
            legal += compiled is not None
        assert legal == len(COMPILED[name]) == len(machine.get_transitions())
        assert set(machine.events) == {
            trigger_name(row.sender, row.move) for row in TRANSACTION_TYPES[name].rows
        }
        assert {state for state in machine.states if machine.get_state(state).final} == FINAL_STATES

    def test_a_model_driven_by_transitions_goes_where_the_table_says(self, name: str) -> None:
        machine = machine_for.__wrapped__(name)  # a machine of this test's own: models stay in a machine
        model: Any = Model()
        machine.add_model(model)
        for state, sender, move in product([*open_states(name), *FINAL_STATES], Party, MOVES):
            following = step(name, state, sender, move)
            trigger = trigger_name(sender, move)
            machine.set_state(state.value, model)
            if following is not None:
                assert model.trigger(trigger) is True
                assert model.state == following
            elif trigger in machine.events:
                with pytest.raises(MachineError):
                    model.trigger(trigger)
                assert model.state == state
        assert machine_for(name).models == []

    def test_its_sequence_and_nothing_else_leads_to_completed(self, name: str) -> None:
        assert paths_to(name, State.COMPLETED) == {sequence(name)}

    def test_what_leads_to_failed_is_a_part_of_its_sequence_and_then_a_failure(self, name: str) -> None:
        expected = {
            (*sequence(name)[:length], (sender, str(failure)))
            for length in range(len(sequence(name)))
            for sender, failure in FAILURES
        }
        assert paths_to(name, State.FAILED) == expected

    def test_from_every_state_that_is_not_final_a_failure_leads_to_failed(self, name: str) -> None:
        for state, (sender, failure) in product(open_states(name), FAILURES):
            assert step(name, state, sender, failure) is State.FAILED
        for state in open_states(name):
            assert step(name, state, Party.HUB, Move.DEADLINE_CONFIRMED) is None

    def test_no_way_leads_out_of_a_final_state(self, name: str) -> None:
        for state, sender, move in product(FINAL_STATES, Party, MOVES):
            assert step(name, state, sender, move) is None
            assert not legal_later(name, state, sender, move)
        for state, sender in product(FINAL_STATES, Party):
            assert moves_from(name, state, sender) == ()

    def test_a_bare_inform_is_no_move(self, name: str) -> None:
        for state, sender in product(State, Party):
            assert step(name, state, sender, "inform_transaction_complete") is None

    def test_moves_from_each_state_of_its_sequence(self, name: str) -> None:
        state = State.START
        for sender, move in sequence(name):
            assert moves_from(name, state, sender) == (move,)
            assert moves_from(name, state, sender.other) == ()
            following = step(name, state, sender, move)
            assert following is not None
            state = following

    def test_what_comes_further_on_is_legal_later_and_what_is_past_is_not(self, name: str) -> None:
        path = sequence(name)
        state = State.START
        for position, (sender, move) in enumerate(path):
            for earlier_sender, earlier in path[:position]:
                assert not legal_later(name, state, earlier_sender, earlier)
            assert not legal_later(name, state, sender, move)  # it is legal now
            for later_sender, later in path[position + 1 :]:
                assert legal_later(name, state, later_sender, later)
                assert not legal_later(name, state, later_sender.other, later)
            following = step(name, state, sender, move)
            assert following is not None
            state = following
        assert not legal_later(name, State.START, Party.HUB, "request_nothing")

    def test_who_begins_it(self, name: str) -> None:
        originator = sequence(name)[0][0]
        assert TRANSACTION_TYPES[name].name == name
        assert ABBREVIATIONS[TRANSACTION_TYPES[name].abbreviation] == name
        assert TRANSACTION_TYPES[name].originator is originator
        assert opened_by(name, originator) == name
        assert opened_by(name, originator.other) is None
        assert opened_by(name, originator.value) == name


class TestAllTypes:
    def test_there_are_seventeen(self) -> None:
        assert set(TRANSACTION_TYPES) == set(COMPILED) == set(SEQUENCES)
        assert len(TRANSACTION_TYPES) == 17
        assert len({transaction.abbreviation for transaction in TRANSACTION_TYPES.values()}) == 17

    def test_every_packet_type_occurs(self) -> None:
        used = {row.move for transaction in TRANSACTION_TYPES.values() for row in transaction.rows}
        assert used == {*PACKET_TABLE, *Move} - {"inform_transaction_complete"}

    def test_what_only_continues_a_transaction_begins_none(self) -> None:
        for packet_type, party in product(PACKET_TABLE, Party):
            begins = packet_type in SEQUENCES and sequence(packet_type)[0][0] is party
            assert opened_by(packet_type, party) == (packet_type if begins else None)

    def test_each_party_has_the_other(self) -> None:
        assert Party.HUB.other is Party.SITE
        assert Party.SITE.other is Party.HUB

    def test_one_machine_for_all_transactions_of_a_type(self) -> None:
        assert machine_for("request_project_create") is machine_for("request_project_create")

    def test_the_tables_can_not_be_changed(self) -> None:
        table: Any = COMPILED["request_project_create"]
        with pytest.raises(TypeError):
            table["start", "hub", "request_project_create"] = State.COMPLETED

    def test_an_unknown_type_has_no_step(self) -> None:
        assert step("request_nothing", State.START, Party.HUB, "request_nothing") is None

    @property_test
    @given(
        st.sampled_from(sorted(TRANSACTION_TYPES)),
        st.lists(st.tuples(st.sampled_from(list(Party)), st.sampled_from(MOVES)), max_size=12),
    )
    def test_any_moves_leave_a_transaction_in_a_defined_state(
        self, name: str, moves: list[tuple[Party, str]]
    ) -> None:
        state = State.START
        for sender, move in moves:
            following = step(name, state, sender, move)
            if following is None:
                continue
            assert following in set(State)
            assert state not in FINAL_STATES
            state = following

    @property_test
    @given(transactions())
    def test_a_legal_course_never_comes_back(self, course: list[Row]) -> None:
        states = [row.state for row in course]
        assert len(set(states)) == len(states)


class TestCompiling:
    START_TWICE = (
        Row(State.START, Party.HUB, "request_user_modify", State.REQUESTED),
        Row(State.START, Party.SITE, "request_user_modify", State.NOTIFIED),
        Row(State.START, Party.HUB, "request_user_modify", State.CONFIRMED),
    )

    def test_two_rows_for_one_move_are_refused(self) -> None:
        with pytest.raises(ProtocolTableError, match="two rows for request_user_modify") as raised:
            compile_table(TransactionType("request_user_modify", "RUM", Party.HUB, self.START_TWICE))
        assert raised.value.code == "protocol-table"

    def test_even_if_they_say_the_same(self) -> None:
        rows = (self.START_TWICE[0], self.START_TWICE[0])
        with pytest.raises(ProtocolTableError):
            compile_table(TransactionType("request_user_modify", "RUM", Party.HUB, rows))

    def test_the_same_move_by_the_two_parties_is_two_moves(self) -> None:
        table = compile_table(TransactionType("request_user_modify", "RUM", Party.HUB, self.START_TWICE[:2]))
        assert dict(table) == {
            ("start", "hub", "request_user_modify"): State.REQUESTED,
            ("start", "site", "request_user_modify"): State.NOTIFIED,
        }


class TestMoveOf:
    @pytest.mark.parametrize("packet_type", sorted(set(PACKET_TABLE) - {"inform_transaction_complete"}))
    def test_a_packet_moves_by_its_type(self, packet_type: str) -> None:
        assert move_of(packet_type, None) == packet_type
        assert move_of(packet_type, "Failure") == packet_type

    @pytest.mark.parametrize("status", ["Success", "success", "SUCCESS", " Success "])
    def test_an_inform_of_success(self, status: str) -> None:
        assert move_of("inform_transaction_complete", status) == Move.INFORM_SUCCESS

    @pytest.mark.parametrize(
        "status",
        ["Failure", "failure", "", " ", "99", "Succeeded", "Success!", None, 99, 1, True, ["Success"], {}],
    )
    def test_anything_else_fails_the_transaction(self, status: Any) -> None:
        assert move_of("inform_transaction_complete", status) == Move.INFORM_FAILURE
