"""In which order transactions are worked on: rules as data, and what they make of the open transactions.

A transaction comes before another if its first packet has the lower record id at the service. So nothing ever
waits for what comes after it, and no two transactions wait for each other. There are two exceptions. While a
worker is at work on one, what a rule keeps apart from it does not begin, be it earlier or later. And a merge
waits for what the site begins while that has no record id yet. Both end by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from amie_engine.packet.naming import Kind
from amie_engine.protocol import TRANSACTION_TYPES

__all__ = [
    "ORDER_RULES",
    "RUNNING_FIRST",
    "Blocker",
    "KnownTransaction",
    "OpenTransaction",
    "OrderRule",
    "Shared",
    "StartOnItsWay",
    "Until",
    "blockers",
    "looks_at_starts",
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
    SENT = "sent"
    """While the site's first packet in it is on its way, without a record id at the service."""
    IDLE = "idle"
    """While somebody is at work on it."""


@dataclass(frozen=True, slots=True)
class OrderRule:
    """One rule of order.

    Attributes:
        name: What the operator sees.
        later: The transaction types that wait; empty for all.
        earlier: Those that they wait for; empty for all. Of a rule until they are sent, what the site begins.
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
        return self.until is not Until.SENT and any(
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
    OrderRule("start-before-merge", _MERGE, _ALL, Shared.PERSON, Until.SENT),
    OrderRule("same-grant", _ALL, _ALL, Shared.GRANT, Until.ANSWERED),
    OrderRule("same-project", _ALL, _ALL, Shared.PROJECT, Until.ANSWERED),
    OrderRule("same-person", _ALL, _ALL, Shared.PERSON, Until.ANSWERED),
)
"""The rules; the first that makes a transaction wait is the one that is told."""

for _rule in ORDER_RULES:
    assert (_rule.later | _rule.earlier) <= set(TRANSACTION_TYPES)  # noqa: S101 # a misspelt type would wait never


@dataclass(frozen=True, slots=True)
class KnownTransaction:
    """What all rules need to know of a transaction.

    Attributes:
        opened: Where in the log it was opened.
        names: Whom and what it names, by kind, with what the directory knows them as besides.
    """

    stream: str
    trans_rec_id: str | None
    type: str
    opened: int
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


_Known = TypeVar("_Known", bound=KnownTransaction)


@dataclass(frozen=True, slots=True)
class StartOnItsWay(KnownTransaction):
    """What the rules need to know of a transaction that the site begins, and whose first packet has no record
    id at the service yet.

    Attributes:
        opened: Where in the log that packet was decided.
        behind: The highest record id of the first packets that it waits for itself: 0 where it waits for
            nothing, None where one of them has none.
    """

    behind: int | None

    def holds_up(self, other: OpenTransaction) -> bool:
        """Whether one with which it shares something waits for it. It was decided before that came; and what
        it waits for itself comes before that, too: else the two could wait for each other for ever."""
        return self.opened < other.opened and self.behind is not None and self.behind < other.first_packet


@dataclass(frozen=True, slots=True)
class OpenTransaction(KnownTransaction):
    """What the rules need to know of an open transaction.

    Attributes:
        first_packet: The record id of its first packet.
        is_sites_turn: Whether something of the site's is still to arrive.
    """

    first_packet: int
    is_sites_turn: bool


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
    starts: Iterable[StartOnItsWay] = (),
    ended: Iterable[OpenTransaction] = (),
) -> dict[str, Blocker]:
    """Return by stream which of the open transactions have to wait, and for what.

    It takes time proportional to their number.

    Args:
        transactions: All open transactions of a site, in any order.
        rules: The rules.
        running: The streams of those that somebody is at work on.
        starts: What the site begins, on its way to the service.
        ended: Those that have ended, and that somebody is at work on all the same.
    """
    rules, transactions = tuple(rules), sorted(transactions, key=lambda each: each.first_packet)
    found: dict[str, Blocker] = {}
    first: dict[tuple[OrderRule, str], OpenTransaction] = {}
    on_their_way = _by_what_they_share(starts)
    at_work = _by_what_they_share([*(each for each in transactions if each.stream in running), *ended])
    for transaction in transactions:
        shared = {what: transaction.shared(what) for what in Shared}
        for rule in rules:
            if rule.later and transaction.type not in rule.later:
                continue
            earlier: KnownTransaction | None = (
                _start_before(transaction, shared[rule.shared], on_their_way[rule.shared], rule)
                if rule.until is Until.SENT
                else next(
                    (first[rule, name] for name in sorted(shared[rule.shared]) if (rule, name) in first), None
                )
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
            holds_up = transaction.is_sites_turn or rule.until is not Until.ANSWERED
            if holds_up and (not rule.earlier or transaction.type in rule.earlier):
                for name in shared[rule.shared]:
                    first.setdefault((rule, name), transaction)
    return found


def looks_at_starts(transactions: Iterable[OpenTransaction], rules: Iterable[OrderRule]) -> bool:
    """Whether any of the transactions may wait for what the site begins."""
    rules = [rule for rule in rules if rule.until is Until.SENT]
    return any(not rule.later or each.type in rule.later for each in transactions for rule in rules)


def _start_before(
    transaction: OpenTransaction,
    names: frozenset[str],
    on_their_way: Mapping[str, Sequence[StartOnItsWay]],
    rule: OrderRule,
) -> StartOnItsWay | None:
    """The first of those that the site begins which were in the log before a transaction."""
    before = [
        start
        for name in names
        for start in on_their_way.get(name, ())
        if start.holds_up(transaction) and (not rule.earlier or start.type in rule.earlier)
    ]
    return min(before, key=lambda each: each.opened, default=None)


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


def _by_what_they_share(transactions: Iterable[_Known]) -> dict[Shared, dict[str, list[_Known]]]:
    found: dict[Shared, dict[str, list[_Known]]] = {what: {} for what in Shared}
    for transaction in transactions:
        for what, names in found.items():
            for name in transaction.shared(what):
                names.setdefault(name, []).append(transaction)
    return found
