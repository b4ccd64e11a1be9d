"""In which order transactions are worked on: rules as data, and what they make of the open transactions.

A transaction comes before another if its first packet has the lower record id at the service. So nothing ever
waits for what comes after it, and no two transactions wait for each other. There is one exception: while a
worker is at work on one, what a rule keeps apart from it does not begin, be it earlier or later. That ends by
itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from amie_engine.packet.naming import Kind
from amie_engine.protocol import TRANSACTION_TYPES

__all__ = [
    "ORDER_RULES",
    "RUNNING_FIRST",
    "Blocker",
    "OpenTransaction",
    "OrderRule",
    "Shared",
    "Until",
    "blockers",
]

RUNNING_FIRST = "running-first"
"""What the operator sees where somebody is at work on another transaction, and no other rule counts."""


class Shared(StrEnum):
    """What two transactions have in common, so that their order counts."""

    GRANT = "grant"
    GRANT_ON_RESOURCE = "grant on resource"
    PROJECT = "project"
    PERSON = "person"


class Until(StrEnum):
    """How long a transaction waits for another."""

    ANSWERED = "answered"
    """While it is the site's turn in it: until what the site has to say has arrived."""
    ENDED = "ended"
    """Until it has completed or failed."""
    IDLE = "idle"
    """While somebody is at work on it."""


@dataclass(frozen=True, slots=True)
class OrderRule:
    """One rule of order.

    Attributes:
        name: What the operator sees.
        later: The transaction types that wait; empty for all.
        earlier: Those that they wait for; empty for all.
        shared: What the two must have in common.
        until: How long they wait.
    """

    name: str
    later: frozenset[str]
    earlier: frozenset[str]
    shared: Shared
    until: Until

    def keeps_apart(self, one: OpenTransaction, other: OpenTransaction) -> bool:
        """Whether one of two transactions that share what it asks for would wait for the other."""
        return any(
            (not self.later or later.type in self.later)
            and (not self.earlier or earlier.type in self.earlier)
            for later, earlier in ((one, other), (other, one))
        )


_ALL: frozenset[str] = frozenset()
_MERGE = frozenset({"request_person_merge"})

_ACCOUNT, _PROJECT = frozenset({"request_account_create"}), frozenset({"request_project_create"})

ORDER_RULES = (
    OrderRule("project-first", _ACCOUNT, _PROJECT, Shared.GRANT_ON_RESOURCE, Until.ENDED),
    OrderRule("same-project-first", _ACCOUNT, _PROJECT, Shared.PROJECT, Until.ENDED),
    OrderRule("merge-last", _MERGE, _ALL, Shared.PERSON, Until.ENDED),
    OrderRule("merge-first", _ALL, _MERGE, Shared.PERSON, Until.ENDED),
    OrderRule("same-grant", _ALL, _ALL, Shared.GRANT, Until.ANSWERED),
    OrderRule("same-project", _ALL, _ALL, Shared.PROJECT, Until.ANSWERED),
    OrderRule("same-person", _ALL, _ALL, Shared.PERSON, Until.ANSWERED),
)
"""The rules; the first that makes a transaction wait is the one that is told."""

for _rule in ORDER_RULES:
    assert (_rule.later | _rule.earlier) <= set(TRANSACTION_TYPES)  # noqa: S101 # a misspelt type would wait never


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """What the rules need to know of an open transaction.

    Attributes:
        first_packet: The record id of its first packet.
        is_sites_turn: Whether something of the site's is still to arrive.
        names: Whom and what it names, by kind, with what the directory knows them as besides.
    """

    stream: str
    trans_rec_id: str | None
    type: str
    first_packet: int
    is_sites_turn: bool
    names: Mapping[str, frozenset[str]]

    def shared(self, what: Shared) -> frozenset[str]:
        """Return what of a kind others may have in common with it."""
        if what is Shared.PERSON:
            local, worldwide = self._named(Kind.LOCAL_ID), self._named(Kind.GLOBAL_ID)
            return frozenset({f"local/{name}" for name in local} | {f"global/{name}" for name in worldwide})
        if what is Shared.PROJECT:
            return self._named(Kind.PROJECT)
        if what is Shared.GRANT:
            return self._named(Kind.GRANT)
        resources = self._named(Kind.RESOURCE)
        return frozenset(
            f"{grant}\n{resource}" for grant in self._named(Kind.GRANT) for resource in resources
        )

    def _named(self, kind: Kind) -> frozenset[str]:
        return self.names.get(kind, frozenset())


@dataclass(frozen=True, slots=True)
class Blocker:
    """What a transaction waits for: another one, and the rule."""

    rule: str
    until: str
    stream: str
    trans_rec_id: str | None


def blockers(
    transactions: Iterable[OpenTransaction],
    rules: Iterable[OrderRule] = ORDER_RULES,
    running: Collection[str] = (),
) -> dict[str, Blocker]:
    """Return by stream which of the open transactions have to wait, and for what.

    It takes time proportional to their number.

    Args:
        transactions: All open transactions of a site, in any order.
        rules: The rules.
        running: The streams of those that somebody is at work on.
    """
    rules, transactions = tuple(rules), sorted(transactions, key=lambda each: each.first_packet)
    found: dict[str, Blocker] = {}
    first: dict[tuple[OrderRule, str], OpenTransaction] = {}
    at_work = _by_what_they_share(each for each in transactions if each.stream in running)
    for transaction in transactions:
        shared = {what: transaction.shared(what) for what in Shared}
        for rule in rules:
            if rule.later and transaction.type not in rule.later:
                continue
            earlier = next(
                (first[rule, name] for name in sorted(shared[rule.shared]) if (rule, name) in first), None
            )
            if earlier is not None:
                found[transaction.stream] = Blocker(
                    rule.name, rule.until, earlier.stream, earlier.trans_rec_id
                )
                break
        else:
            beside = _running_beside(transaction, shared, at_work, rules)
            if beside is not None:
                found[transaction.stream] = Blocker(
                    RUNNING_FIRST, Until.IDLE, beside.stream, beside.trans_rec_id
                )
        for rule in rules:
            holds_up = rule.until is Until.ENDED or transaction.is_sites_turn
            if holds_up and (not rule.earlier or transaction.type in rule.earlier):
                for name in shared[rule.shared]:
                    first.setdefault((rule, name), transaction)
    return found


def _running_beside(
    transaction: OpenTransaction,
    shared: Mapping[Shared, frozenset[str]],
    at_work: Mapping[Shared, Mapping[str, Sequence[OpenTransaction]]],
    rules: Iterable[OrderRule],
) -> OpenTransaction | None:
    """The first of those that somebody is at work on which a rule keeps apart from a transaction."""
    for rule in rules:
        running = at_work[rule.shared]
        for name in sorted(shared[rule.shared] & running.keys()):
            for other in running[name]:
                if other is not transaction and rule.keeps_apart(transaction, other):
                    return other
    return None


def _by_what_they_share(
    transactions: Iterable[OpenTransaction],
) -> dict[Shared, dict[str, list[OpenTransaction]]]:
    found: dict[Shared, dict[str, list[OpenTransaction]]] = {what: {} for what in Shared}
    for transaction in transactions:
        for what, names in found.items():
            for name in transaction.shared(what):
                names.setdefault(name, []).append(transaction)
    return found
