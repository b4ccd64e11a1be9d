"""What AMIE demands of a packet that a site sends, beyond what the packet's class checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amie_engine.packet.base import Packet

__all__ = ["missing_to_start", "missing_to_reply", "problems"]  # noqa: RUF022 # in the order of their definition

_REPEATED = ("GrantNumber", "ResourceList", "ProjectID", "PersonID", "PfosNumber")
"""What a reply repeats from its request, where both have it."""


def missing_to_start(packet: Packet) -> tuple[str, ...]:
    """Return the items that a packet lacks to begin a transaction with it.

    An empty text is no value here.

    Source: "Implementing AMIE", required tags of packets that a site originates.
    """
    missing = set(packet.missing_attributes()) - set(packet._data_keys_not_required_in_reply)
    return tuple(
        name
        for name, field in packet._fields.items()
        if name in missing or ((field.originating_required or field.required) and _blank(packet, name))
        if field.originating_required or not field.inferable
    )


def missing_to_reply(packet: Packet) -> tuple[str, ...]:
    """Return the items that a reply lacks: what its class requires and the service can't infer, and what a
    reply must carry in the end. An empty text is no value here.

    Source: "Implementing AMIE", required tags of replies.
    """
    missing = set(packet.missing_attributes())
    return tuple(
        name
        for name, field in packet._fields.items()
        if name in missing or ((field.reply_required or _needed(field)) and _blank(packet, name))
    )


def _needed(field: Any) -> bool:
    return bool(field.required and not field.inferable)


def _blank(packet: Packet, name: str) -> bool:
    value = packet._body.get(name)
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def problems(packet: Packet, request: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return what AMIE forbids in a packet that a site is about to send; sentences without personal data.

    Args:
        packet: The packet.
        request: The fields of the packet that it answers, where it is a reply.

    Source: "Implementing AMIE", packet tables; the ACCESS AMIE page.
    """
    found = [] if request is None else _differing(packet, request)
    found += _phone_numbers(packet)
    if packet.packet_type == "notify_user_modify":
        action = packet._body.get("ActionType")
        if action == "delete" and not _blank(packet, "LastName"):
            found.append("LastName can't be deleted")
        if action == "replace" and not _blank(packet, "DnList"):
            found.append("DnList can't be replaced: add or delete DNs")
    if packet.packet_type == "inform_transaction_complete":
        found += _inform(packet)
    return tuple(found)


def _differing(packet: Packet, request: Mapping[str, Any]) -> list[str]:
    """A reply repeats what its request says, to the letter."""
    found = []
    for name in _REPEATED:
        own, asked = packet._body.get(name), request.get(name)
        if name in packet._fields and own is not None and asked not in (None, "", []) and own != asked:
            if name == "ProjectID" and packet.packet_type == "notify_project_create":
                continue  # the site assigns it
            found.append(f"{name} is not the one of the request")
    return found


def _phone_numbers(packet: Packet) -> list[str]:
    found = []
    for name in packet._fields:
        if name.endswith("PhoneNumber") and _blank(packet, name):
            base = name.removesuffix("Number")
            given = [
                f"{base}{part}" for part in ("Extension", "Comment") if f"{base}{part}" in packet._fields
            ]
            given = [other for other in given if not _blank(packet, other)]
            if given:
                found.append(f"{name} is required where {given[0]} is given")
    return found


def _inform(packet: Packet) -> list[str]:
    found = []
    if packet._body.get("StatusCode") not in (None, "Success", "Failure"):
        found.append("StatusCode must be Success or Failure")
    code = packet._body.get("DetailCode")
    if code is not None and not (str(code).isascii() and str(code).isdigit() and int(str(code)) > 0):
        found.append("DetailCode must be a positive whole number")
    return found
