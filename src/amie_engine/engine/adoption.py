"""Taking in the whole history of a transaction, in one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amie_engine.engine.failures import decide_set_failed
from amie_engine.engine.following import follow
from amie_engine.engine.incoming import Incoming, read_incoming
from amie_engine.engine.receiving import Receiver
from amie_engine.engine.unit import UnitOfWork
from amie_engine.engine.views import Outcome
from amie_engine.transaction import Transaction

__all__ = ["History"]


class History:
    """A transaction's history as the service tells it, read and in order.

    Args:
        transaction: The transaction.
        site: The site's own AMIE name.
    """

    def __init__(self, transaction: Transaction, site: str) -> None:
        ordered = sorted(transaction.packets, key=lambda packet: packet.packet_rec_id or 0)
        documents = [packet.as_dict() for packet in ordered]
        documents += [entry.document for entry in transaction.unreadable]
        self._packets = [
            read_incoming(_placed(document, transaction.trans_rec_id), site) for document in documents
        ]
        self._has_failed = transaction.state == "failed"

    def adopt(self, unit: UnitOfWork, receiver: Receiver) -> list[Outcome]:
        """Receive every packet, and only then do what follows: nothing in between is a state to act on.

        Returns:
            An outcome for each packet, in their order.
        """
        complete = all(isinstance(packet, Incoming) for packet in self._packets)
        outcomes = [
            receiver.receive(unit, packet, fetched=True, complete=complete) for packet in self._packets
        ]
        for trans_rec_id in dict.fromkeys(p.trans_rec_id for p in self._packets if isinstance(p, Incoming)):
            stream = unit.find(trans_rec_id)
            if stream is not None:
                self._follow(unit, receiver, stream)
        return outcomes

    def _follow(self, unit: UnitOfWork, receiver: Receiver, stream: str) -> None:
        state = unit.state(stream)
        failure = decide_set_failed(state) if self._has_failed else None
        if failure is not None:
            state = unit.append(state, [failure])
        state = receiver.settle(unit, state, fetched=True)
        follow(unit, state, receiver.now())


def _placed(document: Any, trans_rec_id: int | None) -> Any:
    """The document with the transaction's record id, where its header leaves it out."""
    header = document.get("header") if isinstance(document, Mapping) else None
    if trans_rec_id is None or not isinstance(header, Mapping) or header.get("trans_rec_id") is not None:
        return document
    return {**document, "header": {**header, "trans_rec_id": trans_rec_id}}
