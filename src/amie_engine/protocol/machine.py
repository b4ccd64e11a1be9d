"""One state machine a transaction type, and the table compiled from it.

The ``transitions`` machines are for introspection and diagrams; the table is for speed. Both are built from
the same rows, and a test over all states and moves proves them equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from transitions.extensions import GraphMachine

from amie_engine.errors import ProtocolTableError
from amie_engine.protocol.rows import FINAL_STATES, TRANSACTION_TYPES, Move, Party, State, TransactionType

__all__ = [
    "COMPILED",
    "compile_table",
    "legal_later",
    "machine_for",
    "move_of",
    "moves_from",
    "opened_by",
    "step",
    "trigger_name",
]

StepKey = tuple[str, str, str]
"""State, sender and move: what a step of one transaction type depends on."""


def trigger_name(sender: str, move: str) -> str:
    """Return the name under which a machine knows a move of one party."""
    return f"{sender}_{move}"


@cache
def machine_for(transaction_type: str) -> GraphMachine:
    """Return the ``transitions`` machine of a transaction type; one for all, never one a transaction.

    It has no model: ask it for its transitions, or draw it.
    """
    transaction = TRANSACTION_TYPES[transaction_type]
    return GraphMachine(
        model=None,
        states=[{"name": state.value, "final": state in FINAL_STATES} for state in transaction.states],
        transitions=[
            {
                "trigger": trigger_name(row.sender, row.move),
                "source": row.state.value,
                "dest": row.next_state.value,
            }
            for row in transaction.rows
        ],
        initial=State.START.value,
        auto_transitions=False,
        send_event=False,
        name=transaction.name,
        graph_engine="mermaid",
    )


def compile_table(transaction: TransactionType) -> Mapping[StepKey, State]:
    """Return the table of a transaction type: (state, sender, move) to the next state.

    Raises:
        ProtocolTableError: Two rows are about the same state, sender and move.
    """
    table: dict[StepKey, State] = {}
    for row in transaction.rows:
        key = (str(row.state), str(row.sender), str(row.move))
        if key in table:
            raise ProtocolTableError(
                f"{transaction.name} has two rows for {row.move} from the {row.sender} in state {row.state}.",
                hint="Remove one of them.",
            )
        table[key] = row.next_state
    return MappingProxyType(table)


COMPILED: dict[str, Mapping[StepKey, State]] = {
    name: compile_table(transaction) for name, transaction in TRANSACTION_TYPES.items()
}

_STEPS = {(name, *key): state for name, table in COMPILED.items() for key, state in table.items()}


def step(transaction_type: str, state: str, sender: str, move: str) -> State | None:
    """Return the next state, or None where the move is not allowed."""
    return _STEPS.get((transaction_type, state, sender, move))


@cache
def legal_later(transaction_type: str, state: str, sender: str, move: str) -> bool:
    """Tell whether a move may become legal in a state that can be reached from this one."""
    table = COMPILED[transaction_type]
    reached, frontier = set(), {State(state)}
    while frontier:
        current = frontier.pop()
        reached.add(current)
        frontier |= {end for (start, _, _), end in table.items() if start == current} - reached
    return any((later, sender, move) in table for later in reached if later != state)


@cache
def moves_from(transaction_type: str, state: str, sender: str) -> tuple[str, ...]:
    """Return the moves, but for failures, that a party may make in a state."""
    failures = {Move.INFORM_FAILURE, Move.SET_FAILED, Move.DEADLINE_CONFIRMED}
    return tuple(
        str(move)
        for (start, party, move) in COMPILED[transaction_type]
        if start == state and party == sender and move not in failures
    )


def move_of(packet_type: str, status: str | None) -> str:
    """Return the move that a packet makes: its type, or for an inform whether it tells of success.

    Args:
        packet_type: AMIE's name of the packet's type.
        status: An inform's ``StatusCode``; ``success`` in any case succeeds, anything else fails.

    Source: "Implementing AMIE", inform_transaction_complete.
    """
    if packet_type != "inform_transaction_complete":
        return packet_type
    succeeded = isinstance(status, str) and status.strip().lower() == "success"
    return Move.INFORM_SUCCESS if succeeded else Move.INFORM_FAILURE


def opened_by(packet_type: str, sender: str) -> str | None:
    """Return the transaction type that a packet begins when this party sends it first, or None."""
    transaction = TRANSACTION_TYPES.get(packet_type)
    return transaction.name if transaction is not None and transaction.originator == Party(sender) else None
