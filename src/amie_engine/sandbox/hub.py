"""The hub's side of AMIE for one site: what the sandbox's service does, without HTTP."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, NamedTuple

from amie_engine.errors import SettingsError
from amie_engine.packet.jsonvalue import copy_json
from amie_engine.sandbox.conduct import Conduct
from amie_engine.sandbox.ledger import COMPLETED, INFORM, Ledger
from amie_engine.sandbox.listing import PacketQuery
from amie_engine.sandbox.rules import read_posted
from amie_engine.sandbox.values import check_json

__all__ = ["AnsweredPacket", "Sandbox", "ScenarioProgress", "TransactionSummary"]

MAXIMUM_SITE_NAME = 16
"""Characters in a site's name ("Implementing AMIE", packet header)."""

MAXIMUM_LATENCY = 86_400
"""Seconds: no hub takes more than a day in a test."""


class TransactionSummary(NamedTuple):
    """One transaction at the hub; ``state`` is ``in-progress``, ``completed`` or ``failed``."""

    trans_rec_id: int
    type: str
    state: str


class AnsweredPacket(NamedTuple):
    """A packet of the hub's that the site has answered. ``replies`` is how many the site has posted: the one
    that was accepted, and each that came after it, whether the hub took it or not."""

    trans_rec_id: int
    packet_rec_id: int
    type: str
    replies: int


class ScenarioProgress(NamedTuple):
    """How far a scenario has come on one resource; ``state`` is ``running``, ``completed`` or ``failed``.

    A chain ends as failed with the first transaction that fails: the last of ``trans_rec_ids``.
    """

    scenario: str
    resource: str
    state: str
    trans_rec_ids: tuple[int, ...]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sandbox:
    """An AMIE service for one site, with made-up people and projects. It may be called from many threads.

    Args:
        site: The site's name.
        api_key: The key that the site's calls must carry; made up where None is given.
        hub: The hub's own name, as it stands in headers.
        resources: The site's resources; two made-up ones where None is given.
        seed: What is made up depends on it alone: same seed, same calls, same documents, but for times.
        lingering_informs: How likely it is, from 0 to 1, that an inform_transaction_complete of the hub
            lingers: it stays listed until the site acknowledges it with an inform of its own. Another is
            listed once, and then gone from the list of packets in progress.
        failures: How likely it is, from 0 to 1, that the hub fails a transaction where it would answer; and
            as likely, each time that its packets are listed, that it fails one that is open, at any point.
        latency: Seconds after which the hub's answers and next requests appear; 0 is within the same call.
        clock: Gives the time, with its zone.

    Raises:
        SettingsError: An argument has a value that it can't have.
    """

    def __init__(
        self,
        site: str = "NCSA",
        api_key: str | None = None,
        *,
        hub: str = "ACCESS",
        resources: Sequence[str] | None = None,
        seed: int = 0,
        lingering_informs: float = 0.0,
        failures: float = 0.0,
        latency: float = 0.0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        for name in (site, hub):
            if not re.fullmatch(f"[A-Za-z0-9._-]{{1,{MAXIMUM_SITE_NAME}}}", name):
                raise SettingsError(
                    f"{name[:40]!r} is no site's name.",
                    hint=f"Give 1 to {MAXIMUM_SITE_NAME} letters, digits, dots, hyphens or underscores.",
                )
        if site == hub:
            raise SettingsError("The site and the hub have the same name.", hint="Name the hub otherwise.")
        if not 0 <= latency <= MAXIMUM_LATENCY:
            raise SettingsError(
                "The sandbox's latency is no time.", hint=f"Give seconds, from 0 to {MAXIMUM_LATENCY}."
            )
        for rate, what in ((failures, "failures"), (lingering_informs, "lingering informs")):
            if not 0 <= rate <= 1:
                raise SettingsError(
                    f"The sandbox's rate of {what} is none.", hint="Give a number from 0 to 1."
                )
        slug = re.sub(r"[^a-z0-9]+", "-", site.lower()).strip("-") or "site"
        made_up = [f"{name}.{slug}.access-ci.org" for name in ("delta", "omega")]
        self.site = site
        self.hub = hub
        self.api_key = api_key or secrets.token_urlsafe(24)
        self.resources = tuple(made_up if resources is None else resources)
        if not self.resources or len(set(self.resources)) != len(self.resources) or "" in self.resources:
            raise SettingsError(
                "The sandbox's resources are none, not named, or named twice.",
                hint="Give each resource of the site once, by its full name.",
            )
        self._lock = RLock()
        self._ledger = Ledger(hub, site)
        self._conduct = Conduct(
            self._ledger,
            self.resources,
            seed,
            timedelta(seconds=latency),
            clock,
            failures,
            lingering_informs,
        )
        self._forgotten: dict[int, TransactionSummary] = {}
        self._answered_before: list[AnsweredPacket] = []

    def __repr__(self) -> str:
        return f"<Sandbox of {self.hub} for {self.site}>"

    def knows(self, site: str | None, api_key: str | None) -> bool:
        """Tell whether these are the name and the key of the sandbox's site."""
        given = (api_key or "").encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, self.api_key.encode()) and site == self.site

    # The service's calls

    def list_packets(self, query: PacketQuery | None = None) -> list[dict[str, Any]]:
        """Return the packets that a query is for, the oldest first; without one, those in progress."""
        query = query or PacketQuery()
        with self._lock:
            now = self._conduct.catch_up()
            self._conduct.fail_by_chance(now)
            found = query.find(self._ledger)
            documents = [self._ledger.packet_document(packet) for packet in found]
            if query.is_inbox:
                for packet in found:
                    if packet.type == INFORM and not packet.lingers:
                        self._ledger.settle(packet, COMPLETED, now)
            return documents

    def packet(self, packet_rec_id: int) -> dict[str, Any]:
        """Return a packet's document.

        Raises:
            SandboxRefusal: There is no such packet (404).
        """
        with self._lock:
            self._conduct.catch_up()
            return self._ledger.packet_document(self._ledger.packet(packet_rec_id))

    def post(self, document: Any, in_reply_to: int | None = None, *, is_copy: bool = False) -> dict[str, Any]:
        """Take in a packet from the site, and return its document with the ids that it was given.

        Args:
            document: The packet's document.
            in_reply_to: The packet that it answers; else the header's ``in_reply_to`` tells.
            is_copy: Whether a fault has made it of a call of the site's: it does not count in `answered`.

        Raises:
            SandboxRefusal: The packet is not valid (400), or comes when it may not (409).
        """
        posted = read_posted(document, in_reply_to)
        with self._lock:
            now = self._conduct.catch_up()
            return self._ledger.packet_document(self._conduct.receive(posted, now, is_copy=is_copy))

    def set_client_state(self, packet_rec_id: int, state: str | None) -> None:
        """Keep the site's note on a packet; None clears it.

        Raises:
            SandboxRefusal: There is no such packet (404).
        """
        with self._lock:
            now = self._conduct.catch_up()
            packet = self._ledger.packet(packet_rec_id)
            packet.client_state, packet.updated = state, now

    def set_client_json(self, packet_rec_id: int, document: Any) -> None:
        """Keep the site's JSON document on a packet; None clears it.

        Raises:
            SandboxRefusal: There is no such packet (404), or the document is no JSON (400).
        """
        check_json(document, "The client_json")
        with self._lock:
            now = self._conduct.catch_up()
            packet = self._ledger.packet(packet_rec_id)
            packet.client_json, packet.updated = copy_json(document), now

    def transaction(self, trans_rec_id: int) -> dict[str, Any]:
        """Return a transaction's document, with all its packets.

        Raises:
            SandboxRefusal: There is no such transaction (404).
        """
        with self._lock:
            self._conduct.catch_up()
            return self._ledger.transaction_document(self._ledger.transaction(trans_rec_id))

    def fail(self, trans_rec_id: int) -> None:
        """Fail a transaction, as the call ``state/failed`` does. Failing it again changes nothing.

        Raises:
            SandboxRefusal: There is no such transaction (404), or it has completed (409).
        """
        with self._lock:
            now = self._conduct.catch_up()
            self._conduct.fail(self._ledger.transaction(trans_rec_id), now)

    def start_scenario(self, name: str) -> None:
        """Start a test scenario.

        Args:
            name: ``request_project_reactivate``, ``request_account_reactivate``, ``request_person_merge`` or
                ``request_user_modify``; or the packet type of any other request for a single one of it; or
                ``single:`` and any request's packet type.

        Raises:
            SandboxRefusal: There is no such scenario (400).
        """
        with self._lock:
            self._conduct.start(name, self._conduct.catch_up())

    def reset(self) -> None:
        """Drop the site's transactions, scenarios and all that the hub learned. Ids go on increasing."""
        with self._lock:
            self._conduct.reset()

    def forget(self) -> None:
        """Lose all that `reset` drops, as a service that comes back without its data, and begin the scenarios
        anew that had not ended."""
        with self._lock:
            self._conduct.catch_up()
            self._forgotten |= {one.trans_rec_id: one for one in self.transactions()}
            self._answered_before = self.answered
            unfinished = dict.fromkeys(
                chain.scenario for chain in self._conduct.chains if chain.state == "running"
            )
            self._conduct.reset()
            for name in unfinished:
                self._conduct.start(name, self._conduct.catch_up())

    # For tests and demonstrations

    @property
    def forgotten(self) -> list[TransactionSummary]:
        """The transactions that `forget` has lost, the oldest first, each as it stood then."""
        with self._lock:
            return list(self._forgotten.values())

    @property
    def answered(self) -> list[AnsweredPacket]:
        """The packets that the site has answered, the oldest first, with those that `forget` has lost. A site
        that posts a second reply without having looked for its first one shows here."""
        with self._lock:
            return self._answered_before + [
                AnsweredPacket(one.transaction.trans_rec_id, one.packet_rec_id, one.type, one.replies)
                for one in self._ledger.packets(lambda packet: packet.replies > 0)
            ]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often the hub has failed a transaction (``hub_failure``), and how often an inform of its has
        lingered (``lingering_inform``)."""
        with self._lock:
            return dict(self._conduct.counts)

    def transactions(self) -> list[TransactionSummary]:
        """Return every transaction, the oldest first."""
        with self._lock:
            self._conduct.catch_up()
            return [
                TransactionSummary(record.trans_rec_id, record.type, record.wire_state)
                for record in self._ledger.transactions()
            ]

    def scenarios(self) -> list[ScenarioProgress]:
        """Return how far the scenarios have come, one entry a resource, in the order of their start."""
        with self._lock:
            self._conduct.catch_up()
            return [
                ScenarioProgress(chain.scenario, chain.resource, chain.state, tuple(chain.trans_rec_ids))
                for chain in self._conduct.chains
            ]

    @property
    def lingering(self) -> int:
        """How many informs linger."""
        with self._lock:
            return len(self._ledger.open_packets(lambda packet: packet.lingers))

    @property
    def idle(self) -> bool:
        """Whether no transaction is open and no scenario has further requests."""
        with self._lock:
            self._conduct.catch_up()
            return self._conduct.idle
