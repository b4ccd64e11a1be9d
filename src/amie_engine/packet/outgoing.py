"""The document that goes to the service for a packet: what a site sends is tidier than what it may hold."""

from __future__ import annotations

from typing import Any

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.base import Packet

__all__ = ["outgoing_document"]

_LEFT_OUT = object()

_SENT_AS = {"notify_person_ids": {"PersonIdList": "PersonIDList", "ResourceLoginList": "ResourceLogin"}}
"""The spellings of AMIE's documents, and those of the public client, which is what is sent."""


def outgoing_document(packet: Packet) -> dict[str, Any]:
    """Return the wire document to send for a packet, which shares nothing with the packet.

    Text in it has no white space at its ends. In the body an optional text that is then empty is left out,
    as is an empty text in a list, and a list or an object that has nothing left by that. A required field
    stays even if it is empty, so that validation can name it. Of a field with two spellings the public
    client's is sent. The header keeps its keys, and ``client_json``
    is the site's own document, kept to the letter.

    Raises:
        PacketInvalidData: A value is nested too deeply for JSON.

    Source: "Implementing AMIE", packet structure.
    """
    try:
        return _tidied_document(packet)
    except RecursionError:
        raise PacketInvalidData(f"{packet!r} has a value that is nested too deeply.") from None


def _tidied_document(packet: Packet) -> dict[str, Any]:
    document = packet.as_dict()
    document["header"] = {
        key: value if key == "client_json" else _without_edges(value)
        for key, value in document["header"].items()
    }
    required = packet._data_keys_required
    body = {}
    for name, value in document["body"].items():
        tidied = _tidied(value)
        if tidied is not _LEFT_OUT:
            body[name] = tidied
        elif name in required:
            body[name] = type(value)()
    for name, sent_as in _SENT_AS.get(packet.packet_type, {}).items():
        if name in body:
            body.setdefault(sent_as, body.pop(name))
    document["body"] = body
    return document


def _without_edges(value: Any) -> Any:
    """The value without white space at the ends of its texts, and with everything still in it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return {key: _without_edges(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_edges(item) for item in value]
    return value


def _tidied(value: Any) -> Any:
    """The value as it is sent, or _LEFT_OUT. A list or an object that was empty before stays: that is what
    the caller said."""
    if isinstance(value, str):
        return value.strip() or _LEFT_OUT
    if isinstance(value, dict):
        items = {key: tidied for key, item in value.items() if (tidied := _tidied(item)) is not _LEFT_OUT}
        return items if items or not value else _LEFT_OUT
    if isinstance(value, list | tuple):
        entries = [tidied for item in value if (tidied := _tidied(item)) is not _LEFT_OUT]
        return entries if entries or not value else _LEFT_OUT
    return value
