"""How the hub conducts its transactions with a site: it asks, takes in what the site says, and answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from amie_engine.errors import SandboxRefusal
from amie_engine.protocol import FINAL_STATES, Move, Party, State, moves_from, step
from amie_engine.sandbox import bodies, rules
from amie_engine.sandbox.ledger import COMPLETED, FAILED, INFORM, Ledger, PacketRecord, TransactionRecord
from amie_engine.sandbox.registry import Registry
from amie_engine.sandbox.scenarios import Chain, begin_scenario

__all__ = ["Conduct"]


class Conduct:
    """The hub's turns in all transactions of one site. Not safe for threads: the sandbox's lock guards it.

    Args:
        ledger: Where transactions and packets are kept.
        resources: The site's resources.
        seed: What is made up depends on it alone.
        latency: After how long the hub's answers and next requests appear.
        clock: Gives the time.
        failures: How likely it is that the hub fails a transaction where it would answer, or any that is
            open where it is asked what there is.
        lingering: How likely it is that an inform of the hub's lingers.
    """

    def __init__(
        self,
        ledger: Ledger,
        resources: tuple[str, ...],
        seed: int,
        latency: timedelta,
        clock: Callable[[], datetime],
        failures: float,
        lingering: float,
    ) -> None:
        self._ledger = ledger
        self._resources = resources
        self._seed = seed
        self._latency = latency
        self._clock = clock
        self.failures = failures
        self._lingering = lingering
        self._chance = Random(f"failures/{seed}")  # noqa: S311 # for tests, not for secrets
        self._registry = Registry()
        self._chain_numbers = count()
        self._later: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._later_numbers = count()
        self.chains: list[Chain] = []
        self.counts: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """Whether no transaction is open and no scenario has further requests."""
        return not self._later and not self._ledger.open_transactions

    def reset(self) -> None:
        """Forget everything but which numbers were given."""
        self._ledger.clear()
        self._later.clear()
        self.chains.clear()
        self._registry = Registry(self._registry.next_serial())

    def catch_up(self) -> datetime:
        """Do what has become due since the last call, each at its own time, and return the time."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, action = heappop(self._later)
            action(due)
        return now

    def _soon(self, now: datetime, action: Callable[[datetime], None]) -> None:
        if self._latency:
            heappush(self._later, (now + self._latency, next(self._later_numbers), action))
        else:
            action(now)

    # What the site says

    def receive(self, posted: rules.Posted, now: datetime, *, is_copy: bool) -> PacketRecord:
        """Take in a packet, and return the hub's record of it.

        Args:
            posted: The packet.
            now: The time.
            is_copy: Whether a fault has made it, and not the site: it is no reply of the site's.

        Raises:
            SandboxRefusal: The packet is not valid (400), or comes when it may not (409).
        """
        if posted.in_reply_to is None:
            return self._receive_first(posted, now)
        try:
            answered = self._ledger.packet(posted.in_reply_to)
        except SandboxRefusal:
            raise SandboxRefusal(
                400, f"The packet {posted.in_reply_to} that in_reply_to names is none of this site."
            ) from None
        try:
            if rules.acknowledges(posted, answered):
                return self._receive_acknowledgement(posted, answered, now)
            return self._receive_reply(posted, answered, now)
        finally:
            if answered.sender is Party.HUB and answered.answered_by is not None and not is_copy:
                answered.replies += 1  # the one that was accepted, or one that came after it

    def fail(self, transaction: TransactionRecord, now: datetime) -> None:
        """Fail a transaction as the site asks; one that has failed stays as it is.

        Raises:
            SandboxRefusal: The transaction has completed (409).
        """
        if transaction.state is not State.FAILED:
            self._end(transaction, rules.next_state(transaction, Party.SITE, Move.SET_FAILED), now)

    def _receive_first(self, posted: rules.Posted, now: datetime) -> PacketRecord:
        rules.check_first(posted)
        transaction = self._ledger.begin(posted.type, Party.SITE)
        record = self._ledger.add(transaction, Party.SITE, posted.type, posted.body, now)
        self._registry.learn(posted.type, posted.body, {})
        transaction.state = rules.next_state(transaction, Party.SITE, posted.move)
        self._soon(now, partial(self._answer, transaction, record))
        return record

    def _receive_acknowledgement(
        self, posted: rules.Posted, answered: PacketRecord, now: datetime
    ) -> PacketRecord:
        record = self._ledger.add(answered.transaction, Party.SITE, posted.type, posted.body, now)
        answered.answered_by = record.packet_rec_id
        self._ledger.settle(record, COMPLETED, now)
        self._ledger.settle(answered, COMPLETED, now)
        return record

    def _receive_reply(self, posted: rules.Posted, answered: PacketRecord, now: datetime) -> PacketRecord:
        rules.check_turn(posted, answered)
        transaction = answered.transaction
        body = rules.complete_reply(posted, transaction, now)
        state = rules.next_state(transaction, Party.SITE, posted.move)
        record = self._ledger.add(transaction, Party.SITE, posted.type, body, now)
        answered.answered_by = record.packet_rec_id
        self._ledger.settle(answered, FAILED if state is State.FAILED else COMPLETED, now)
        self._registry.learn(posted.type, body, transaction.request)
        if state in FINAL_STATES:
            self._ledger.settle(record, COMPLETED, now)
            self._end(transaction, state, now)
        else:
            transaction.state = state
            self._soon(now, partial(self._answer, transaction, record))
        return record

    # What the hub says

    def start(self, scenario: str, now: datetime) -> None:
        """Start a test scenario.

        Raises:
            SandboxRefusal: There is none of this name (400).
        """
        chains = begin_scenario(
            scenario, self._registry, self._resources, self._new_chance, lambda: self._clock().date()
        )
        self.chains += chains
        for chain in chains:
            self._soon(now, partial(self._ask, chain))

    def _new_chance(self) -> Random:
        # Each chain has its own, so that what it makes up does not depend on how fast the others go.
        return Random(f"{self._seed}/{next(self._chain_numbers)}")  # noqa: S311 # for people, not for secrets

    def _ask(self, chain: Chain, now: datetime) -> None:
        """Send the next request of a chain, if it has one."""
        request = next(chain.requests, None)
        if request is None:
            chain.state = "completed"
            return
        packet_type, body = request
        transaction = self._ledger.begin(packet_type, Party.HUB)
        transaction.chain = chain
        chain.trans_rec_ids.append(transaction.trans_rec_id)
        self._send(transaction, packet_type, packet_type, body, now)

    def _answer(self, transaction: TransactionRecord, notice: PacketRecord, now: datetime) -> None:
        """Make the hub's move in answer to the site's packet, unless the transaction failed meanwhile."""
        if transaction.state in FINAL_STATES:
            return
        (move,) = moves_from(transaction.type, transaction.state, Party.HUB)
        if self._chance.random() < self.failures:
            move = Move.INFORM_FAILURE
        self._ledger.settle(notice, COMPLETED, now)
        notice.answered_by = self._send(
            transaction, move, *self._packet_for(move, notice, transaction), now
        ).packet_rec_id

    def fail_by_chance(self, now: datetime) -> None:
        """Now and then fail a transaction that is open, whosever turn it is."""
        if self._chance.random() >= self.failures or not (in_progress := self._ledger.in_progress):
            return
        transaction = self._chance.choice(in_progress)
        move = Move.INFORM_FAILURE
        if step(transaction.type, transaction.state, Party.HUB, move) is not None:
            self._send(transaction, move, INFORM, bodies.inform_failure(), now)

    def _packet_for(
        self, move: str, notice: PacketRecord, transaction: TransactionRecord
    ) -> tuple[str, dict[str, Any]]:
        if move == Move.INFORM_SUCCESS:
            return INFORM, bodies.inform_success()
        if move == Move.INFORM_FAILURE:
            return INFORM, bodies.inform_failure()
        person = self._registry.person_told_of(notice.type, notice.body, transaction.request)
        self._registry.issue_dn(person)
        make = bodies.project_data if move == "data_project_create" else bodies.account_data
        return move, make(notice.body, person)

    def _send(
        self, transaction: TransactionRecord, move: str, packet_type: str, body: dict[str, Any], now: datetime
    ) -> PacketRecord:
        state = rules.next_state(transaction, Party.HUB, move)
        record = self._ledger.add(transaction, Party.HUB, packet_type, body, now)
        if packet_type == INFORM:
            record.lingers = self._chance.random() < self._lingering
            self.counts.update(
                lingering_inform=int(record.lingers), hub_failure=int(move == Move.INFORM_FAILURE)
            )
        if state in FINAL_STATES:
            self._end(transaction, state, now)
        else:
            transaction.state = state
        return record

    def _end(self, transaction: TransactionRecord, state: State, now: datetime) -> None:
        """End a transaction; its chain goes on if it completed, and ends if it failed."""
        self._ledger.end(transaction, state, now)
        if state is State.COMPLETED and transaction.type == "request_person_merge":
            self._registry.merge(transaction.request)
        chain = transaction.chain
        if chain is None:
            return
        if state is State.COMPLETED:
            self._soon(now, partial(self._ask, chain))
        else:
            chain.state = "failed"
            chain.requests.close()
