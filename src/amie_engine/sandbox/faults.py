"""Faults on demand: what networks, proxies and services do to a call, by chance from a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from random import Random

from amie_engine.errors import SettingsError

__all__ = ["HOSTILE", "HUB_FAILS", "INFORMS_LINGER", "Fault", "Faults"]


class Fault(StrEnum):
    """What may happen to a call."""

    DROP_REQUEST = "drop_request"
    """The connection is closed before the service has acted."""
    DROP_ANSWER = "drop_answer"
    """The service acts, and the connection is closed before it answers."""
    CUT_ANSWER = "cut_answer"
    """The service acts, and half of its answer arrives, as if that were all."""
    DELAY = "delay"
    """The call takes a while."""
    DUPLICATE = "duplicate"
    """The call reaches the service twice, and its second answer is the one that arrives."""
    RATE_LIMITED = "rate_limited"
    """429, and nothing is done."""
    FAILED_BEFORE = "failed_before"
    """500, and nothing is done."""
    FAILED_AFTER = "failed_after"
    """500, and yet all is done."""
    UNAVAILABLE = "unavailable"
    """503, and nothing is done."""
    HTML = "html"
    """A page of HTML with status 200, as of a proxy that wants somebody to log in; nothing is done."""
    EXPIRED_KEY = "expired_key"
    """401, though the key is right; nothing is done."""
    RESTART = "restart"
    """The service goes away: every connection is reset, as are the next calls. It comes back as it was."""
    FORGETFUL_RESTART = "forgetful_restart"
    """The same, but it comes back without its transactions, as a test service that was reset."""
    SHUFFLE = "shuffle"
    """Packets are listed in any order."""
    LIST_OLD = "list_old"
    """Packets that are done with are listed as well."""


_OF_LISTINGS = frozenset({Fault.SHUFFLE, Fault.LIST_OLD})
_LONGEST_ABSENCE = 5
"""Calls that a service misses at most while it restarts."""

HOSTILE: Mapping[Fault, float] = dict.fromkeys(Fault, 0.03) | {
    Fault.RESTART: 0.01,
    Fault.FORGETFUL_RESTART: 0.01,
    Fault.SHUFFLE: 0.3,
    Fault.LIST_OLD: 0.2,
}
"""A service that nobody should have to work with: a third of all calls go wrong."""

HUB_FAILS = 0.02
"""How many of its packets such a hub answers by failing the transaction."""

INFORMS_LINGER = 0.3
"""How many of its informs such a service goes on listing."""


class Faults:
    """Chooses what happens to each call. The same seed and the same calls have the same faults.

    Args:
        rates: How likely each fault is, from 0 to 1; their sum is at most 1.
        seed: What is chosen depends on it alone.

    Attributes:
        counts: How often each has happened.

    Raises:
        SettingsError: A rate is none, or they are more than 1 together.
    """

    def __init__(self, rates: Mapping[Fault, float] = HOSTILE, *, seed: int = 0) -> None:
        calls = sum(rate for fault, rate in rates.items() if fault not in _OF_LISTINGS)
        if not all(0 <= rate <= 1 for rate in rates.values()) or calls > 1:
            raise SettingsError(
                "The rates of faults are no probabilities.",
                hint="Give each from 0 to 1, and 1 at most together.",
            )
        self._rates = {Fault(fault): rate for fault, rate in rates.items()}
        self._chance = Random(f"faults/{seed}")  # noqa: S311 # for tests, not for secrets
        self.counts: Counter[Fault] = Counter()

    def of_call(self) -> Fault | None:
        """Return what happens to the next call; None where nothing does."""
        point = self._chance.random()
        for fault, rate in self._rates.items():
            if fault in _OF_LISTINGS:
                continue
            if point < rate:
                self.counts[fault] += 1
                return fault
            point -= rate
        return None

    def of_absence(self) -> int:
        """Return how many further calls a service that restarts does not get."""
        return self._chance.randint(1, _LONGEST_ABSENCE)

    def of_listing(self) -> frozenset[Fault]:
        """Return what happens to the next list of packets."""
        found = frozenset(
            fault for fault in sorted(_OF_LISTINGS) if self._chance.random() < self._rates.get(fault, 0)
        )
        self.counts.update(found)
        return found

    def shuffled(self, packets: list[object]) -> list[object]:
        """Return packets in any order."""
        return self._chance.sample(packets, len(packets))
