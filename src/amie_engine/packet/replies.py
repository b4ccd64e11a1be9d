"""Which replies a packet expects, and making one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from amie_engine.errors import PacketInvalidData, PacketInvalidType
from amie_engine.packet.header import ExpectedReply, Header, read_expected_replies
from amie_engine.packet.registry import find_packet_type

if TYPE_CHECKING:
    from amie_engine.packet.base import Packet

__all__ = ["INFORM", "Replies"]

INFORM = "inform_transaction_complete"


class _ExpectedReplies:
    """``expected_reply``: of a packet, what its header says, else its class; of a class, the class's own."""

    def __get__(self, packet: Replies | None, owner: type[Replies]) -> list[ExpectedReply]:
        if packet is not None and "expected_reply_list" in packet._header:
            replies = read_expected_replies(packet._header["expected_reply_list"])
            if replies is not None:
                return replies
        return [dict(reply) for reply in owner._expected_reply]

    def __set__(self, packet: Replies, value: list[ExpectedReply]) -> None:
        replies = read_expected_replies(value)
        if replies is None:
            raise PacketInvalidData(
                "expected_reply is no list of replies.",
                hint='Give [{"type": "...", "timeout": minutes}, ...].',
            )
        packet._header["expected_reply_list"] = replies


class Replies(Header):
    """The part of a packet that knows its replies."""

    __slots__ = ()

    _packet_type: ClassVar[str] = ""
    _expected_reply: ClassVar[list[ExpectedReply]] = []

    expected_reply = _ExpectedReplies()

    def reply_packet(
        self, packet_rec_id: int | str | None = None, packet_type: str | None = None, force: bool = False
    ) -> Packet:
        """Return a new packet of the type that this one expects as its reply, with ``in_reply_to`` set.

        Args:
            packet_rec_id: The record id of the reply, if it has one.
            packet_type: Which type, where several are expected.
            force: Take ``packet_type`` even if it is not expected.

        Raises:
            PacketInvalidType: No reply is expected, several are and none was named, or the one named is not.

        For an inform, whose header expects nothing, the class's own list is used, for callers who ask.
        """
        if packet_type is None or not force:
            packet_type = self._expected_type(packet_type)
        return find_packet_type(packet_type)(packet_rec_id=packet_rec_id, in_reply_to=self.packet_rec_id)

    def _expected_type(self, packet_type: str | None) -> str:
        """The packet type of the reply: the only one that is expected, or the one named if it is expected."""
        expected = self.expected_reply
        if not expected and self._packet_type == INFORM:
            expected = type(self).expected_reply
        names: list[str] = list(dict.fromkeys(reply["type"] for reply in expected))
        if not names:
            raise PacketInvalidType(f"{self!r} expects no reply.")
        if packet_type is None:
            if len(names) > 1:
                raise PacketInvalidType(
                    f"{self!r} expects one of several replies: {', '.join(names)}.",
                    hint="Name one: reply_packet(packet_type=...).",
                )
            return names[0]
        if packet_type not in names:
            raise PacketInvalidType(
                f"{self!r} does not expect {packet_type!r}, but {' or '.join(names)}.",
                hint="Take that, or say force=True.",
            )
        return packet_type

    def reply_with_failure(self, detail_code: str = "2", message: str = "fail transaction") -> Packet:
        """Return an inform with ``StatusCode`` Failure: sent in reply, it fails the transaction.

        Source: "Implementing AMIE", inform_transaction_complete.
        """
        return find_packet_type(INFORM)(
            in_reply_to=self.packet_rec_id, StatusCode="Failure", DetailCode=detail_code, Message=message
        )
