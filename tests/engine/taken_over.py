"""What a worker can still do whose lease somebody else has taken over, on whatever database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import LeaseLost
from amie_engine.testing import Clock
from tests.engine.playing import filled, rpc, ticking_clock
from tests.log.busy_site import leased

Ending = Callable[[Engine, Lease], Any]


def _replies(engine: Engine, lease: Lease) -> None:
    packet = filled(engine, 1, PiRemoteSiteLogin="rex")
    engine.work.record.replied(lease, packet, work={}, actor="handler x")


def _defers(engine: Engine, lease: Lease) -> None:
    engine.work.record.deferred(lease, until=None, reason="later", actor="handler x")


def _asks(engine: Engine, lease: Lease) -> None:
    engine.work.record.asked(lease, "quota", "Which quota?", [], actor="handler x")


def _fails(engine: Engine, lease: Lease) -> None:
    engine.work.record.failed(lease, "X", 1, retry_at=None, details="x", actor="handler x")


def _is_abandoned(engine: Engine, lease: Lease) -> None:
    engine.work.record.abandoned(lease, is_last=lambda attempt: True)


def _is_alive(engine: Engine, lease: Lease) -> None:
    engine.leases.renew(lease)


ENDINGS = [_replies, _defers, _asks, _fails, _is_abandoned, _is_alive]


class TakenOverCases:
    """The cases; a subclass has the URL of a database. Each of the two workers has an engine of its own."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return ticking_clock()

    @pytest.fixture
    def slow(self, url: str, clock: Clock) -> Iterator[Engine]:
        with Engine(url, site="NCSA", clock=clock) as engine:
            engine.receive(rpc())
            yield engine

    @pytest.fixture
    def other(self, url: str, clock: Clock, slow: Engine) -> Iterator[Engine]:
        with Engine(url, site="NCSA", clock=clock) as engine:
            yield engine

    @pytest.fixture
    def row(self, slow: Engine) -> WorkRow:
        [found] = slow.work.ready()
        return found

    @pytest.fixture
    def lost(self, slow: Engine, row: WorkRow, clock: Clock) -> Lease:
        """A lease whose time is up."""
        lease = leased(slow, row)
        clock.forward(hours=2)
        return lease

    @pytest.fixture
    def held(self, other: Engine, row: WorkRow, lost: Lease) -> Lease:
        """The lease of whoever has taken over, as it is on record."""
        return replace(leased(other, row), taken_over_from=None)

    @pytest.mark.parametrize("ends", ENDINGS)
    def test_nothing_that_it_says_counts(
        self, slow: Engine, other: Engine, lost: Lease, held: Lease, ends: Ending
    ) -> None:
        before = other.history(1).entries
        with pytest.raises(LeaseLost):
            ends(slow, lost)
        assert other.history(1).entries == before
        assert other.outbox.open() == []
        assert self._on_record(other) == [held]
        _replies(other, held)
        assert len(other.outbox.open()) == 1

    @pytest.mark.parametrize("ends", ENDINGS)
    def test_nor_once_the_other_has_ended_it(
        self, slow: Engine, other: Engine, lost: Lease, held: Lease, ends: Ending
    ) -> None:
        _defers(other, held)
        before = other.history(1).entries
        with pytest.raises(LeaseLost):
            ends(slow, lost)
        assert other.history(1).entries == before
        assert [row.status for row in other.work.open()] == ["waiting"]

    def test_a_step_that_it_has_done_is_kept_for_the_other(
        self, slow: Engine, other: Engine, lost: Lease, held: Lease, clock: Clock
    ) -> None:
        with pytest.raises(LeaseLost):
            slow.work.record.step(lost, "create", {"id": 1}, milliseconds=1, actor="handler x")
        assert self._on_record(other) == [held]  # it was no sign of life of the one that holds it
        kept = other.work.record.step(held, "create", {"id": 2}, milliseconds=1, actor="handler x")
        assert kept == {"id": 1}
        assert [entry.event for entry in other.history(1).entries].count("work_step_done") == 1
        [lease] = self._on_record(other)
        assert (lease.token, lease.expires_at > held.expires_at) == (held.token, True)

    def test_a_lease_that_is_over_and_that_nobody_has_taken_is_still_its_own(
        self, slow: Engine, lost: Lease
    ) -> None:
        _replies(slow, lost)
        assert len(slow.outbox.open()) == 1

    def _on_record(self, engine: Engine) -> list[Lease]:
        """The leases that are held."""
        with engine.database.read() as cursor:
            return list(engine.leases.all(cursor).values())
