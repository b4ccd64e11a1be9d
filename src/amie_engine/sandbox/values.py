"""The values of what a site posts: brought into the wire's form, and held against each field's kind."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from amie_engine.errors import PacketInvalidType, SandboxRefusal
from amie_engine.packet import Packet
from amie_engine.packet.fields import Field, parse_date

__all__ = ["body_problems", "check_json", "fields_of", "is_blank", "wire_body"]

_MAXIMUM_DEPTH = 32


def check_json(value: Any, what: str) -> None:
    """Refuse what is no JSON value, or one that is nested too deeply to be handled.

    Raises:
        SandboxRefusal: It holds NaN, an infinity, something that JSON has not, or more than 32 levels.
    """
    level = [value]
    for _ in range(_MAXIMUM_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    raise SandboxRefusal(400, f"{what} has a name that is no text.")
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, float) and not math.isfinite(item):
                raise SandboxRefusal(400, f"{what} has a number that is not finite.")
            elif not (item is None or isinstance(item, str | bool | int | float)):
                raise SandboxRefusal(400, f"{what} has a value that is no JSON.")
        if not deeper:
            return
        level = deeper
    raise SandboxRefusal(400, f"{what} is nested more than {_MAXIMUM_DEPTH} levels deep.")


def fields_of(packet_type: str) -> dict[str, Field[Any]]:
    """Return the declared fields of a packet type.

    Raises:
        SandboxRefusal: There is no such type.
    """
    try:
        return Packet._find_packet_type(packet_type)._fields
    except PacketInvalidType as error:
        raise SandboxRefusal(400, f"{error.message} {error.hint}".rstrip()) from None


def is_blank(value: Any) -> bool:
    """Tell whether a value says nothing: absent, empty text, an empty list, or a list of such values."""
    if isinstance(value, list):
        return all(is_blank(item) for item in value)
    return value is None or value == {} or (isinstance(value, str) and not value.strip())


def wire_body(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as the service keeps it: every scalar as text, and nothing that is null."""
    return {name: _wire_value(value) for name, value in body.items() if value is not None}


def _wire_value(value: Any) -> Any:
    if isinstance(value, dict):
        return wire_body(value)
    if isinstance(value, list):
        return [_wire_value(item) for item in value if item is not None]
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else str(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and parse_date(value) is not None


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value.strip()).tzinfo is not None
    except ValueError:
        return False


def _is_amount(value: Any) -> bool:
    try:
        return isinstance(value, str) and Decimal(value.strip()).is_finite()
    except InvalidOperation:
        return False


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and all(isinstance(part, str) for part in item.values()) for item in value
    )


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "text": (_is_text, "must be text"),
    "date": (_is_date, "must be a date, YYYY-MM-DD"),
    "datetime": (_is_moment, "must be an ISO 8601 time with a zone"),
    "amount": (_is_amount, "must be a decimal number"),
    "list": (_is_list, "must be a list of text"),
    "objects": (_is_objects, "must be a list of flat objects"),
}


def body_problems(packet_type: str, body: dict[str, Any]) -> list[str]:
    """Return what is wrong with the values of a body, in the wire's form; nothing about what is missing.

    Source: "Implementing AMIE", packet tables and field types.
    """
    problems = []
    for name, field in fields_of(packet_type).items():
        value = body.get(name)
        fits, demand = _KINDS[field.kind]
        if value is not None and value != "" and not fits(value):
            problems.append(f"{name} {demand}")
    resources = body.get("ResourceList")
    if isinstance(resources, list) and (len(resources) != 1 or is_blank(resources)):
        problems.append("ResourceList must be a list of exactly one resource")
    if packet_type == "notify_user_modify":
        problems += _user_modify_problems(body)
    if packet_type == "notify_person_duplicate":
        problems += [
            f"GlobalID{number} or PersonID{number} must be given"
            for number in ("1", "2")
            if is_blank(body.get(f"GlobalID{number}")) and is_blank(body.get(f"PersonID{number}"))
        ]
    if packet_type == "inform_transaction_complete":
        problems += _inform_problems(body)
    if body.get("ActionType") != "delete":
        problems += _phone_problems(body)
    return problems


def _user_modify_problems(body: dict[str, Any]) -> list[str]:
    action = body.get("ActionType")
    if is_blank(action):
        return []
    if action not in ("add", "delete", "replace"):
        return ["ActionType must be add, delete or replace"]
    if action == "delete" and "LastName" in body:
        return ["LastName can't be deleted"]
    if action == "replace" and "DnList" in body:
        return ["DnList can't be replaced"]
    return []


def _inform_problems(body: dict[str, Any]) -> list[str]:
    problems = []
    status, detail = body.get("StatusCode"), body.get("DetailCode")
    if not is_blank(status) and str(status).strip().lower() not in ("success", "failure"):
        problems.append("StatusCode must be Success or Failure")
    if not is_blank(detail) and not re.fullmatch(r"0*[1-9][0-9]*", str(detail)):
        problems.append("DetailCode must be a positive integer")
    return problems


def _phone_problems(body: dict[str, Any]) -> list[str]:
    problems = []
    for name, value in body.items():
        stem = name.removesuffix("PhoneExtension").removesuffix("PhoneComment")
        if stem != name and not is_blank(value) and is_blank(body.get(f"{stem}PhoneNumber")):
            problems.append(f"{stem}PhoneNumber must be given where {name} is")
    return problems
