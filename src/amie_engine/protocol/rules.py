"""What AMIE demands of a packet that a site sends, beyond what the packet's class checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import Field, parse_date

__all__ = ["missing_to_start", "missing_to_reply", "problems"]  # noqa: RUF022 # in the order of their definition

_REPEATED = ("GrantNumber", "ResourceList", "ProjectID", "PersonID", "PfosNumber")
"""What a reply repeats from its request, where both have it."""

_ASSIGNED_BY_THE_SITE = {"notify_project_create": "ProjectID"}
"""What a reply has in common with its request by name, and the site is free to say."""


def missing_to_start(packet: Packet) -> tuple[str, ...]:
    """Return the items that a packet lacks to begin a transaction with it, in the class's order.

    An empty text is no value here. What the class requires and a service could infer in a reply is demanded
    only where the documents name it for first packets.

    Source: "Implementing AMIE", required tags of packets that a site originates.
    """
    return _blanks(packet, lambda field: field.originating_required or _needed(field))


def missing_to_reply(packet: Packet) -> tuple[str, ...]:
    """Return the items that a reply lacks, in the class's order: what its class requires and the service
    can't infer, and what a reply must carry in the end. An empty text is no value here.

    Source: "Implementing AMIE", required tags of replies.
    """
    return _blanks(packet, lambda field: field.reply_required or _needed(field))


def problems(packet: Packet, request: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return what AMIE forbids in a packet that a site is about to send; phrases without personal data.

    Args:
        packet: The packet.
        request: The fields of the packet that it answers, where it is a reply.

    Source: "Implementing AMIE", packet tables; the ACCESS AMIE page.
    """
    found = [] if request is None else _differing(packet, request)
    found += _phone_numbers(packet)
    found += _forms(packet, request or {})
    if packet.packet_type == "notify_user_modify":
        action = packet._body.get("ActionType")
        if action == "delete" and not _is_blank(packet, "LastName"):
            found.append("LastName can't be deleted")
        if action == "replace" and not _is_blank(packet, "DnList"):
            found.append("DnList can't be replaced: add or delete DNs")
    if packet.packet_type == "inform_transaction_complete":
        found += _inform(packet)
    return tuple(found + packet._wrong_values())


def _blanks(packet: Packet, is_demanded: Callable[[Field[Any]], bool]) -> tuple[str, ...]:
    return tuple(
        name for name, field in packet._fields.items() if is_demanded(field) and _is_blank(packet, name)
    )


def _needed(field: Field[Any]) -> bool:
    return field.required and not field.inferable


def _is_blank(packet: Packet, name: str) -> bool:
    value = packet._body.get(name)
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def _differing(packet: Packet, request: Mapping[str, Any]) -> list[str]:
    """A reply repeats what its request says; what we send has no white space around it."""
    return [
        f"{name} is not the one of the request"
        for name in _REPEATED
        if name in packet._fields
        and name != _ASSIGNED_BY_THE_SITE.get(packet.packet_type)
        and not _is_blank(packet, name)
        and request.get(name) not in (None, "", [])
        and _plain(packet._body[name]) != _plain(request[name])
    ]


def _plain(value: Any) -> Any:
    """A value to compare by: the service takes numbers for text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, Mapping) else str(value).strip()


def _phone_numbers(packet: Packet) -> list[str]:
    """A phone's number is required where its extension or comment is present."""
    found = []
    for name in packet._fields:
        if not name.endswith("PhoneNumber") or not _is_blank(packet, name):
            continue
        base = name.removesuffix("Number")
        for other in (f"{base}Extension", f"{base}Comment"):
            if other in packet._fields and not _is_blank(packet, other):
                found.append(f"{name} is required where {other} is given")
                break
    return found


def _forms(packet: Packet, request: Mapping[str, Any]) -> list[str]:
    """Dates, times and amounts have one form on the wire; what repeats the request's words may be as odd."""
    found = []
    for name, field in packet._fields.items():
        value = packet._body.get(name)
        form = _FORMS.get(field.kind)
        if form is None or _is_blank(packet, name) or value == request.get(name):
            continue
        if not form[0](value):
            found.append(f"{name} must be {form[1]}")
    return found


def _is_date(value: Any) -> bool:
    parsed = parse_date(value) if isinstance(value, str) else None
    return parsed is not None and parsed.isoformat() == value.strip()


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value.strip()).tzinfo is not None
    except ValueError:
        return False


def _is_amount(value: Any) -> bool:
    try:
        return type(value) in (str, int, float) and Decimal(str(value).strip()).is_finite()
    except InvalidOperation:
        return False


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "date": (_is_date, "a date, YYYY-MM-DD"),
    "datetime": (_is_moment, "a time with its zone, in the form of ISO 8601"),
    "amount": (_is_amount, "a decimal number"),
}


def _inform(packet: Packet) -> list[str]:
    found = []
    if packet._body.get("StatusCode") not in (None, "Success", "Failure"):
        found.append("StatusCode must be Success or Failure")
    code = packet._body.get("DetailCode")
    digits = str(code)
    if code is not None and not (digits.isascii() and digits.isdigit() and digits.strip("0")):
        found.append("DetailCode must be a positive whole number")
    return found
