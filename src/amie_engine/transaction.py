"""A transaction as the service tells it: who takes part, its state, and its packets.

The names and meanings are those that the public AMIE client documents for its ``Transaction``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.base import Packet
from amie_engine.packet.header import read_record_id
from amie_engine.packet.jsonvalue import parse_json
from amie_engine.packet.packetlist import PacketList, UnreadableDocument

__all__ = ["Transaction"]


class Transaction:
    """A transaction of the service, with its packets.

    One unreadable document never hides the others: ``packets`` has the good ones, ``unreadable`` the rest.

    Args:
        transaction_id: The transaction's id at the site that began it, as the service writes it.
        state: ``in-progress``, ``completed`` or ``failed``.
        originating_site: The party that began the transaction.
        local_site: As the service has it: the hub.
        remote_site: As the service has it: the site.
        packets: The packets, in the service's order.
        trans_rec_id: The service's record id of the transaction; without it, that of the packets is used.
        unreadable: The documents of the transaction that are no packets.

    Raises:
        PacketInvalidData: ``trans_rec_id`` is no id.

    Source: "The AMIE Model", transactions; the public client's documentation of ``Transaction``.
    """

    def __init__(
        self,
        transaction_id: int | str | None = None,
        state: str | None = None,
        originating_site: str | None = None,
        local_site: str | None = None,
        remote_site: str | None = None,
        packets: Iterable[Packet] | None = None,
        *,
        trans_rec_id: int | str | None = None,
        unreadable: Iterable[UnreadableDocument] | None = None,
    ) -> None:
        self.id = transaction_id
        self.state = state
        self.originating_site = originating_site
        self.local_site = local_site
        self.remote_site = remote_site
        self.packets = list(packets or ())
        self.unreadable = list(unreadable or ())
        self._trans_rec_id = read_record_id(trans_rec_id, "trans_rec_id")

    def __repr__(self) -> str:
        return (
            f"<Transaction trans_rec_id={self.trans_rec_id} state={self.state!r}"
            f" of {len(self.packets)} packets, {len(self.unreadable)} unreadable>"
        )

    @property
    def trans_rec_id(self) -> int | None:
        """The service's record id of the transaction: its own, else that of the first packet that has one."""
        if self._trans_rec_id is not None:
            return self._trans_rec_id
        return next((found for packet in self.packets if (found := packet.trans_rec_id) is not None), None)

    @trans_rec_id.setter
    def trans_rec_id(self, value: int | str | None) -> None:
        self._trans_rec_id = read_record_id(value, "trans_rec_id")

    @classmethod
    def from_dict(cls, dict_in: Mapping[str, Any]) -> Transaction:
        """Return the transaction that a wire document describes. Absent keys are tolerated.

        Raises:
            PacketInvalidData: The document is no object, its ``DATA`` is no list, or its ``trans_rec_id`` is
                no id.
        """
        if not isinstance(dict_in, Mapping):
            raise PacketInvalidData("A transaction's document is an object, and this is none.")
        documents = dict_in.get("DATA")
        if documents is not None and not isinstance(documents, list):
            raise PacketInvalidData("The transaction's DATA is no list of packets.")
        listed = PacketList.from_dict(documents or [])
        return cls(
            # The public client writes this key in another case than the service.
            transaction_id=dict_in.get("transaction_id", dict_in.get("transaction_ID")),
            state=dict_in.get("state"),
            originating_site=dict_in.get("originating_site_name"),
            local_site=dict_in.get("local_site_name"),
            remote_site=dict_in.get("remote_site_name"),
            packets=listed.packets,
            trans_rec_id=dict_in.get("trans_rec_id"),
            unreadable=listed.unreadable,
        )

    @classmethod
    def from_json(cls, json_in: str | bytes) -> Transaction:
        """As ``from_dict``, from JSON text. `PacketInvalidData` for text that is no JSON."""
        try:
            document = parse_json(json_in)
        except ValueError:
            raise PacketInvalidData("The transaction is no JSON text.") from None
        return cls.from_dict(document)

    def as_dict(self) -> dict[str, Any]:
        """Return the transaction as a wire document, the unreadable documents at the end of its ``DATA``."""
        document: dict[str, Any] = {
            "DATA_TYPE": "Transaction",
            "transaction_id": self.id,
            "originating_site_name": self.originating_site,
            "local_site_name": self.local_site,
            "remote_site_name": self.remote_site,
            "state": self.state,
            "DATA": [packet.as_dict() for packet in self.packets]
            + [entry.document for entry in self.unreadable],
        }
        if self._trans_rec_id is not None:
            document["trans_rec_id"] = self._trans_rec_id
        return document

    def json(self, **json_kwargs: Any) -> str:
        """Return the transaction as JSON text. The arguments are those of ``json.dumps``."""
        return json.dumps(self.as_dict(), **json_kwargs)
