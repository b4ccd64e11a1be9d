"""What AMIE allows: the rows of each transaction type, the machines, and the rules for what a site sends."""

from amie_engine.protocol.machine import legal_later, machine_for, move_of, moves_from, opened_by, step
from amie_engine.protocol.rows import (
    FINAL_STATES,
    TRANSACTION_TYPES,
    Move,
    Party,
    Row,
    State,
    TransactionType,
)

__all__ = [
    "FINAL_STATES",
    "TRANSACTION_TYPES",
    "Move",
    "Party",
    "Row",
    "State",
    "TransactionType",
    "legal_later",
    "machine_for",
    "move_of",
    "moves_from",
    "opened_by",
    "step",
]
