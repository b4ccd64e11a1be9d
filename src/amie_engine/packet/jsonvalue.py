"""JSON values: reading them from text, copying them, and putting Python's own values into their form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from amie_engine.errors import PacketInvalidData

__all__ = ["copy_json", "json_value", "parse_json", "without_zone"]


def copy_json(value: Any) -> Any:
    """Return a copy of a JSON value that shares no list or object with it, however deeply it is nested."""
    if type(value) is not dict and type(value) is not list:
        return value
    copied = value.copy()
    pending = [copied]  # not by recursion: a document from outside may be nested deeper than Python's stack
    while pending:
        container = pending.pop()
        for key, item in container.items() if type(container) is dict else enumerate(container):
            if type(item) is dict or type(item) is list:
                container[key] = item.copy()
                pending.append(container[key])
    return copied


def parse_json(text: str | bytes) -> Any:
    """Return the value that JSON text holds.

    Raises:
        ValueError: It is no JSON: NaN and the infinities are none, nor is what is nested too deeply to read.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("The text is nested too deeply.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def json_value(value: Any, name: str) -> Any:
    """Return the JSON form of a value that a caller gives to an item of a body.

    Dates become ISO 8601 text, decimals text without an exponent; tuples and sets become lists, a set's
    sorted.

    Raises:
        PacketInvalidData: JSON has no form for the value, or it is a time without a zone.
    """
    if isinstance(value, str | int | list | dict) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, date):
        if isinstance(value, datetime) and value.tzinfo is None:
            raise without_zone(name)
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    raise PacketInvalidData(
        f"{name} was given a value that JSON has no form for.", hint="Give text, a number, a list or a dict."
    )


def without_zone(name: str) -> PacketInvalidData:
    """Return the error that tells of a time without a zone: whoever reads it takes it for another moment."""
    return PacketInvalidData(
        f"{name} was given a time without a zone.",
        hint="AMIE's times carry one: use datetime.now(UTC), or attach the zone that is meant.",
    )
