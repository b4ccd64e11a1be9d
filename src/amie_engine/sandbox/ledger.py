"""The hub's books: transactions and packets under their record ids, and which packets are still open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from amie_engine.errors import SandboxRefusal
from amie_engine.packet import Packet
from amie_engine.packet.header import ExpectedReply, format_timestamp
from amie_engine.packet.jsonvalue import copy_json
from amie_engine.protocol import FINAL_STATES, Party, State
from amie_engine.sandbox.scenarios import Chain

__all__ = ["COMPLETED", "FAILED", "INFORM", "IN_PROGRESS", "Ledger", "PacketRecord", "TransactionRecord"]

IN_PROGRESS, COMPLETED, FAILED = "in-progress", "completed", "failed"
INFORM = "inform_transaction_complete"


@dataclass(slots=True, eq=False)
class TransactionRecord:
    """A transaction at the hub."""

    trans_rec_id: int
    transaction_id: int
    type: str
    originator: Party
    state: State = State.START
    chain: Chain | None = None
    packets: list[PacketRecord] = field(default_factory=list, repr=False)

    @property
    def wire_state(self) -> str:
        """The state as the service names it."""
        return str(self.state) if self.state in FINAL_STATES else IN_PROGRESS

    @property
    def request(self) -> dict[str, Any]:
        """The body of the hub's request that began it; empty where the site began it."""
        return self.packets[0].body if self.originator is Party.HUB else {}


@dataclass(slots=True, eq=False)
class PacketRecord:
    """A packet at the hub. ``timestamp`` is when it was made, ``updated`` when its states changed last;
    ``replies`` is how many the site has posted, with those that were refused since there was one already;
    ``lingers`` tells that it is an inform of the hub's that is listed until it is acknowledged."""

    packet_rec_id: int
    packet_id: int
    type: str
    sender: Party
    transaction: TransactionRecord = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    timestamp: datetime
    updated: datetime
    state: str = IN_PROGRESS
    answered_by: int | None = None
    replies: int = 0
    client_state: str | None = None
    client_json: Any = field(default=None, repr=False)
    lingers: bool = False

    @property
    def expected_replies(self) -> list[ExpectedReply]:
        """What may answer it, in the form of the header's list."""
        if self.type == INFORM:
            return []
        return [dict(reply) for reply in Packet._find_packet_type(self.type)._expected_reply]


class Ledger:
    """All transactions and packets of one site. Record ids go on increasing, even after `clear`.

    Args:
        hub: The hub's name, as the headers have it.
        site: The site's.
    """

    def __init__(self, hub: str, site: str) -> None:
        self._names = {Party.HUB: hub, Party.SITE: site}
        self._packet_rec_ids = count(174_700_001)
        self._trans_rec_ids = count(87_100_001)
        self._transaction_ids = count(244_001)
        self._packets: dict[int, PacketRecord] = {}
        self._transactions: dict[int, TransactionRecord] = {}
        self._open_packets: dict[int, PacketRecord] = {}
        self.open_transactions = 0

    def clear(self) -> None:
        """Forget everything but which ids were given."""
        self._packets.clear()
        self._transactions.clear()
        self._open_packets.clear()
        self.open_transactions = 0

    def begin(self, transaction_type: str, originator: Party) -> TransactionRecord:
        """Open a transaction."""
        record = TransactionRecord(
            next(self._trans_rec_ids), next(self._transaction_ids), transaction_type, originator
        )
        self._transactions[record.trans_rec_id] = record
        self.open_transactions += 1
        return record

    def add(
        self,
        transaction: TransactionRecord,
        sender: Party,
        packet_type: str,
        body: dict[str, Any],
        now: datetime,
    ) -> PacketRecord:
        """Enter a packet. It is in progress until `settle`."""
        packet_id = 1 + sum(packet.sender is sender for packet in transaction.packets)
        record = PacketRecord(
            next(self._packet_rec_ids), packet_id, packet_type, sender, transaction, body, now, now
        )
        if sender is Party.SITE:
            record.client_state = IN_PROGRESS
        transaction.packets.append(record)
        self._packets[record.packet_rec_id] = record
        self._open_packets[record.packet_rec_id] = record
        return record

    def settle(self, packet: PacketRecord, state: str, now: datetime) -> None:
        """Note that a packet is done with, if it was still in progress."""
        if self._open_packets.pop(packet.packet_rec_id, None) is not None:
            packet.state = state
            packet.updated = now

    def end(self, transaction: TransactionRecord, state: State, now: datetime) -> None:
        """Complete or fail a transaction, and settle its packets but for an inform of the hub's that the
        site has not seen."""
        transaction.state = state
        self.open_transactions -= 1
        for packet in transaction.packets:
            packet.updated = now
            if not (packet.type == INFORM and packet.sender is Party.HUB):
                self.settle(packet, str(state), now)

    @property
    def in_progress(self) -> list[TransactionRecord]:
        """The transactions that are open and have a packet in progress, in the order of these."""
        found = dict.fromkeys(packet.transaction for packet in self._open_packets.values())
        return [record for record in found if record.state not in FINAL_STATES]

    def packet(self, packet_rec_id: int) -> PacketRecord:
        """Return a packet.

        Raises:
            SandboxRefusal: There is none of this id.
        """
        try:
            return self._packets[packet_rec_id]
        except KeyError:
            raise SandboxRefusal(404, f"There is no packet {packet_rec_id} of this site.") from None

    def transaction(self, trans_rec_id: int) -> TransactionRecord:
        """Return a transaction.

        Raises:
            SandboxRefusal: There is none of this id.
        """
        try:
            return self._transactions[trans_rec_id]
        except KeyError:
            raise SandboxRefusal(404, f"There is no transaction {trans_rec_id} of this site.") from None

    def transactions(self) -> list[TransactionRecord]:
        """Return all transactions, the oldest first."""
        return list(self._transactions.values())

    def packets(self, wanted: Callable[[PacketRecord], bool]) -> list[PacketRecord]:
        """Return those of all packets that are wanted, the oldest first."""
        return [packet for packet in self._packets.values() if wanted(packet)]

    def packets_of(
        self, trans_rec_ids: Iterable[int], wanted: Callable[[PacketRecord], bool]
    ) -> list[PacketRecord]:
        """Return those of some transactions' packets that are wanted, the oldest first."""
        transactions = [self._transactions[key] for key in set(trans_rec_ids) if key in self._transactions]
        found = [packet for record in transactions for packet in record.packets if wanted(packet)]
        return sorted(found, key=lambda packet: packet.packet_rec_id)

    def open_packets(self, wanted: Callable[[PacketRecord], bool]) -> list[PacketRecord]:
        """Return those of the packets in progress that are wanted, the oldest first."""
        return [packet for packet in self._open_packets.values() if wanted(packet)]

    def packet_document(self, packet: PacketRecord) -> dict[str, Any]:
        """Return a packet as the service writes it: from the hub's side, and without ``in_reply_to``."""
        transaction = packet.transaction
        header = {
            "packet_rec_id": packet.packet_rec_id,
            "packet_id": packet.packet_id,
            "trans_rec_id": transaction.trans_rec_id,
            "transaction_id": transaction.transaction_id,
            "expected_reply_list": packet.expected_replies,
            "local_site_name": self._names[Party.HUB],
            "remote_site_name": self._names[Party.SITE],
            "originating_site_name": self._names[transaction.originator],
            "outgoing_flag": 1 if packet.sender is Party.HUB else 0,
            "transaction_state": transaction.wire_state,
            "packet_state": packet.state,
            "client_state": packet.client_state,
            "client_json": copy_json(packet.client_json),
            "packet_timestamp": format_timestamp(packet.timestamp),
        }
        return {"DATA_TYPE": "Packet", "type": packet.type, "header": header, "body": copy_json(packet.body)}

    def transaction_document(self, transaction: TransactionRecord) -> dict[str, Any]:
        """Return a transaction as the service writes it, with all its packets."""
        return {
            "transaction_id": transaction.transaction_id,
            "state": transaction.wire_state,
            "originating_site_name": self._names[transaction.originator],
            "local_site_name": self._names[Party.HUB],
            "remote_site_name": self._names[Party.SITE],
            "DATA": [self.packet_document(packet) for packet in transaction.packets],
        }
