"""Which class reads which packet type, and why a document that is no packet is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amie_engine.errors import PacketInvalidData, PacketInvalidType

if TYPE_CHECKING:
    from amie_engine.packet.base import Packet

__all__ = ["PACKET_TYPES", "find_packet_type", "reads_like_a_type", "unreadable"]

PACKET_TYPES: dict[str, type[Packet]] = {}
"""The packet classes by AMIE's names of their types. A class enters itself when it is defined."""

_TYPE_NAME = re.compile("[A-Za-z_]{1,40}", re.ASCII)


def find_packet_type(packet_or_packet_type: Packet | type[Packet] | str) -> type[Packet]:
    """Return the class for a packet type's name, or for a packet.

    Raises:
        PacketInvalidType: There is no such type.
    """
    if isinstance(packet_or_packet_type, str):
        named = PACKET_TYPES.get(packet_or_packet_type)
        if named is None:
            raise _unknown_type(packet_or_packet_type)
        return named
    found = packet_or_packet_type if isinstance(packet_or_packet_type, type) else type(packet_or_packet_type)
    if getattr(found, "_packet_type", None) not in PACKET_TYPES:
        raise PacketInvalidType("What was given is no AMIE packet, nor the name of a packet type.")
    return found


def reads_like_a_type(name: str) -> bool:
    """Whether a text may be a packet type's name. What comes from outside in the place of one can be of any
    length, and about anybody: then it is not shown."""
    return _TYPE_NAME.fullmatch(name) is not None


def _unknown_type(name: str) -> PacketInvalidType:
    if not reads_like_a_type(name):
        return PacketInvalidType(
            "What stands in the place of the packet's type does not read like one.",
            hint="See docs/packets.md for those that there are.",
        )
    nearest = difflib.get_close_matches(name, PACKET_TYPES, n=1)
    return PacketInvalidType(
        f"No AMIE packet type is named {name!r}.",
        hint=f"Did you mean {nearest[0]!r}?" if nearest else "See docs/packets.md for those that there are.",
    )


def unreadable(document: Any) -> PacketInvalidData | PacketInvalidType:
    """Return the error that says why a document is no packet."""
    if not isinstance(document, Mapping):
        return PacketInvalidData("A packet's document is an object, and this is none.")
    packet_type = document.get("type")
    if not isinstance(packet_type, str):
        return PacketInvalidData("The packet's document names no type.")
    if packet_type not in PACKET_TYPES:
        return _unknown_type(packet_type)
    part = "body" if isinstance(document.get("header"), Mapping) else "header"
    state = "is missing" if document.get(part) is None else "is no object"
    return PacketInvalidData(f"The {part} of this {packet_type} {state}.")
