"""What AMIE allows: the rows of every transaction type.

A transaction type is data. Its states follow the packets alone: a transaction moves when a packet of one of
the two parties has been sent and accepted. Whether a site is busy with a request is no protocol state.

Source: "The AMIE Model", transactions; "Implementing AMIE", packet tables; the ACCESS AMIE page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "FINAL_STATES",
    "TRANSACTION_TYPES",
    "Move",
    "Party",
    "Row",
    "State",
    "TransactionType",
]


class State(StrEnum):
    """The states of a transaction."""

    START = "start"
    REQUESTED = "requested"
    NOTIFIED = "notified"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    FAILED = "failed"


class Party(StrEnum):
    """The two parties of a transaction: the central service, and the site."""

    HUB = "hub"
    SITE = "site"

    @property
    def other(self) -> Party:
        """The other party."""
        return Party.SITE if self is Party.HUB else Party.HUB


class Move(StrEnum):
    """What can move a transaction besides a packet whose type alone tells."""

    INFORM_SUCCESS = "inform_success"
    INFORM_FAILURE = "inform_failure"
    SET_FAILED = "set_failed"
    DEADLINE_CONFIRMED = "deadline_confirmed"


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a transaction type: in ``state``, when ``sender`` makes ``move``, the next state.

    ``move`` is a packet type's name, or a `Move`.
    """

    state: State
    sender: Party
    move: str
    next_state: State


@dataclass(frozen=True, slots=True)
class TransactionType:
    """A transaction type: its name (that of its first packet), who begins it, and its rows."""

    name: str
    abbreviation: str
    originator: Party
    rows: tuple[Row, ...]

    @property
    def states(self) -> tuple[State, ...]:
        """The states that a transaction of this type can be in, in their order."""
        found = {state for row in self.rows for state in (row.state, row.next_state)}
        return tuple(state for state in State if state in found)


_REPLY_STATES = {"request": State.REQUESTED, "notify": State.NOTIFIED, "data": State.CONFIRMED}


def _failures(states: list[State]) -> tuple[Row, ...]:
    """From every state of a type that is not final: a failure inform from either side, ``state/failed`` by
    either, or a passed deadline that the site's operator confirms."""
    rows = []
    for state in states:
        for sender in Party:
            rows.append(Row(state, sender, Move.INFORM_FAILURE, State.FAILED))
            rows.append(Row(state, sender, Move.SET_FAILED, State.FAILED))
        rows.append(Row(state, Party.SITE, Move.DEADLINE_CONFIRMED, State.FAILED))
    return tuple(rows)


def _transaction(abbreviation: str, originator: Party, *packet_types: str) -> TransactionType:
    """A transaction in which the parties take turns, and the last word is a success inform."""
    rows = []
    state, sender = State.START, originator
    states = [state]
    for packet_type in packet_types:
        next_state = _REPLY_STATES[packet_type.partition("_")[0]]
        rows.append(Row(state, sender, packet_type, next_state))
        state, sender = next_state, sender.other
        states.append(state)
    rows.append(Row(state, sender, Move.INFORM_SUCCESS, State.COMPLETED))
    return TransactionType(packet_types[0], abbreviation, originator, (*rows, *_failures(states)))


TRANSACTION_TYPES: dict[str, TransactionType] = {
    transaction.name: transaction
    for transaction in (
        _transaction(
            "RPC", Party.HUB, "request_project_create", "notify_project_create", "data_project_create"
        ),
        _transaction(
            "RAC", Party.HUB, "request_account_create", "notify_account_create", "data_account_create"
        ),
        _transaction("RPI", Party.HUB, "request_project_inactivate", "notify_project_inactivate"),
        _transaction("RPR", Party.HUB, "request_project_reactivate", "notify_project_reactivate"),
        _transaction("RAI", Party.HUB, "request_account_inactivate", "notify_account_inactivate"),
        _transaction("RAR", Party.HUB, "request_account_reactivate", "notify_account_reactivate"),
        _transaction("RUM", Party.HUB, "request_user_modify"),
        _transaction("RPM", Party.HUB, "request_person_merge"),
        _transaction("NPC", Party.SITE, "notify_project_create", "data_project_create"),
        _transaction("NAC", Party.SITE, "notify_account_create", "data_account_create"),
        _transaction("NPI", Party.SITE, "notify_project_inactivate"),
        _transaction("NPR", Party.SITE, "notify_project_reactivate"),
        _transaction("NAI", Party.SITE, "notify_account_inactivate"),
        _transaction("NAR", Party.SITE, "notify_account_reactivate"),
        _transaction("NUM", Party.SITE, "notify_user_modify"),
        _transaction("NPD", Party.SITE, "notify_person_duplicate"),
        _transaction("NPIDs", Party.SITE, "notify_person_ids"),
    )
}
"""The seventeen transaction types by the name of their first packet."""
