"""What a caller gives the client, checked and in the form in which it goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests

from amie_engine.errors import PacketInvalidData, SettingsError
from amie_engine.packet.base import Packet
from amie_engine.packet.jsonvalue import parse_json
from amie_engine.transaction import Transaction

__all__ = [
    "comma_list",
    "flag",
    "header_text",
    "json_again",
    "json_text",
    "path_segment",
    "record_id",
    "service_url",
    "time_range",
    "timeouts",
]


_EXAMPLE_URL = "https://amieclient.xsede.org/v0.10/"


def header_text(value: object, what: str) -> str:
    """Return a text that goes into an HTTP header, without white space at its ends, which no header keeps.

    Raises:
        SettingsError: It is empty, or has a character that a header can't carry. The text is not shown.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text or not (text.isascii() and text.isprintable()):
        raise SettingsError(f"The {what} is no text, is empty, or has characters that no header can carry.")
    return text


def service_url(url: object) -> tuple[str, tuple[str, str] | None]:
    """Return a base URL with a slash at its end, and the user's name and password that were in it.

    Raises:
        SettingsError: It is no http or https URL, or has a query. It is not shown: it may hold a password.
    """
    found = _read_url(url.strip()) if isinstance(url, str) else None
    if found is None:
        raise SettingsError(
            "The service's URL is no http or https URL, or has a query.", hint=f"Give one as {_EXAMPLE_URL}"
        )
    return found


def _read_url(url: str) -> tuple[str, tuple[str, str] | None] | None:
    try:
        parts = urlsplit(url)
        # Left in the URL, the password would be in every response, and in exceptions.
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/")
        requests.PreparedRequest().prepare_url(bare.geturl(), None)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        return None
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    return bare.geturl(), login if any(login) else None


def timeouts(value: tuple[float, float] | float) -> tuple[float, float]:
    """Return the seconds to wait for a connection and for the next part of an answer.

    Raises:
        SettingsError: They are not two positive numbers, or one for both.
    """
    pair = (value, value) if isinstance(value, int | float) else value
    try:
        connect, read = (float(seconds) for seconds in pair)
    except (TypeError, ValueError):
        connect = read = 0.0
    if not (connect > 0 and read > 0):
        raise SettingsError("A timeout is a positive number of seconds, or two: to connect and to read.")
    return connect, read


def record_id(value: Packet | Transaction | int | str, attribute: str) -> int | str:
    """Return the service's record id that a packet, a transaction or an id stands for.

    Raises:
        PacketInvalidData: The packet or transaction has none.
    """
    if not isinstance(value, Packet | Transaction):
        return value
    found: int | str | None = getattr(value, attribute, None)
    if found is None:
        raise PacketInvalidData(
            f"{value!r} has no {attribute}.", hint="The service gives it: take it from a listing."
        )
    return found


def path_segment(value: int | str, what: str) -> str:
    """Return an id, a name or a state as one percent-encoded segment of a URL's path.

    Raises:
        PacketInvalidData: It is neither a number nor text, or no segment can carry it.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PacketInvalidData(f"The {what} is neither a number nor text.")
    text = str(value)
    # The dots would be taken for steps in the path, percent-encoded or not.
    if text in ("", ".", ".."):
        raise PacketInvalidData(f"The {what} is empty or consists of dots, which a URL's path can't carry.")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise PacketInvalidData(f"The {what} has a character that is no text.") from None


def comma_list(values: Iterable[int | str] | int | str | None, name: str) -> str | None:
    """Return a query's list, joined with commas; None for None and for an empty list.

    Raises:
        PacketInvalidData: A value is neither a number nor text.
    """
    if values is None:
        return None
    entries: list[object] = [values] if isinstance(values, int | str) else list(values)
    if not all(isinstance(entry, int | str) and not isinstance(entry, bool) for entry in entries):
        raise PacketInvalidData(f"{name} has something that is neither a number nor text.")
    return ",".join(str(entry) for entry in entries) or None


def flag(value: bool | None, name: str) -> str | None:
    """Return a query's flag as JSON writes it; None for None.

    Raises:
        PacketInvalidData: It is neither true nor false.
    """
    if value is None:
        return None
    if value not in (True, False):
        raise PacketInvalidData(f"{name} is neither True nor False.")
    return "true" if value else "false"


def time_range(start: datetime | None, until: datetime | None) -> str | None:
    """Return a query's range of time, ``start,until`` with either empty; None where both are None.

    Raises:
        PacketInvalidData: A value is no datetime, or has no zone.
    """
    if start is None and until is None:
        return None
    return f"{_moment(start, 'update_time_start')},{_moment(until, 'update_time_until')}"


def _moment(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise PacketInvalidData(
            f"{name} is no datetime with a time zone.",
            hint="Use datetime.now(UTC), or attach the zone that is meant.",
        )
    return value.isoformat()


def json_text(value: Any, wrong: str) -> bytes:
    """Return a value as JSON text to send, which never has NaN or an infinity.

    Raises:
        PacketInvalidData: JSON has no form for it; ``wrong`` says so.
    """
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        failure = PacketInvalidData(wrong, hint="NaN, an infinity, a set or a date has no form in JSON.")
    raise failure  # out here, since the encoder's own error names the value


def json_again(text: str | bytes, wrong: str) -> bytes:
    """Return a JSON text as this library writes it.

    Raises:
        PacketInvalidData: It is no JSON; ``wrong`` says so.
    """
    try:
        value = parse_json(text)
    except ValueError:
        failure = PacketInvalidData(wrong)
    else:
        return json_text(value, wrong)
    raise failure  # out here, since the parser's own error holds the text
