"""AMIE's packets about the end of a transaction.

Source: "Implementing AMIE", the packet tables; the public client's tables; captures.
"""

from __future__ import annotations

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import TextField
from amie_engine.packet.header import expects

__all__ = ["InformTransactionComplete"]


class InformTransactionComplete(Packet):
    """The end of a transaction (ITC): ``StatusCode`` is ``Success`` or ``Failure``.

    It expects no reply, whatever the class attribute says, which is kept for those who read it.
    """

    __slots__ = ()

    _packet_type = "inform_transaction_complete"
    _expected_reply = [expects("inform_transaction_complete")]

    DetailCode = TextField(required=True, reply_required=True, fact=True)
    Message = TextField(required=True, reply_required=True)
    StatusCode = TextField(required=True, reply_required=True, fact=True)
