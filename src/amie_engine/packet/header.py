"""The attributes that every packet has from its header, and how each reads from the wire and is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.fields import parse_datetime

if TYPE_CHECKING:
    from amie_engine.packet.base import Packet

__all__ = [
    "DEFAULT_REPLY_TIMEOUT",
    "HEADER_KEYS",
    "ExpectedReply",
    "HeaderField",
    "expects",
    "format_timestamp",
    "read_expected_replies",
    "read_record_id",
]

T = TypeVar("T")

DEFAULT_REPLY_TIMEOUT = 30240
"""Minutes in which a reply is expected where a packet doesn't say: 21 days."""

MAXIMUM_ID_DIGITS = 38
"""A transaction id has up to this many digits ("Implementing AMIE", packet header)."""

ExpectedReply = dict[str, Any]


def expects(packet_type: str, timeout: int = DEFAULT_REPLY_TIMEOUT) -> ExpectedReply:
    """Return one entry of an expected-reply list: a packet type, and the minutes in which it is due."""
    return {"type": packet_type, "timeout": timeout}


def read_record_id(value: Any, name: str) -> int | None:
    """Return an id of a header as a number.

    The service sends integers, at times as text.

    Raises:
        PacketInvalidData: The value is no id: not a whole number of up to 38 digits.
    """
    if value is None:
        return None
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= MAXIMUM_ID_DIGITS:
        return int(value)
    if type(value) is int and 0 <= value < 10**MAXIMUM_ID_DIGITS:
        return value
    raise PacketInvalidData(
        f"The packet's {name} is no id.", hint="An id is a whole number of up to 38 digits."
    )


def read_expected_replies(value: Any) -> list[ExpectedReply] | None:
    """Return a header's expected replies as ``[{"type": str, "timeout": minutes}, ...]``.

    None where the header has no list, or has something that is no list of replies: then the packet class's
    own default applies.
    """
    if not isinstance(value, list):
        return None
    replies = []
    for item in value:
        if isinstance(item, str):
            replies.append(expects(item))
        elif isinstance(item, dict) and isinstance(item.get("type"), str):
            replies.append(expects(item["type"], _read_timeout(item.get("timeout"))))
        else:
            return None
    return replies


def _read_timeout(value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= MAXIMUM_ID_DIGITS:
        return int(value)
    return DEFAULT_REPLY_TIMEOUT


def format_timestamp(moment: datetime) -> str:
    """Return a moment as the service writes it: UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_is(value: Any, name: str) -> Any:
    return value


def _text(value: Any, name: str) -> str | None:
    return None if value is None else str(value)


def _read_json(value: Any, name: str) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _write_json(value: Any, name: str) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise PacketInvalidData("The packet's client_json is text that is no JSON.") from None
    return value


def _read_moment(value: Any, name: str) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else None


def _write_moment(value: Any, name: str) -> str | None:
    if value is None:
        return None
    moment = parse_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise PacketInvalidData(
            f"The packet's {name} is no time.", hint="Give a datetime, or text in the form of ISO 8601."
        )
    if moment.tzinfo is None:
        raise PacketInvalidData(f"The packet's {name} has no time zone.", hint="Use datetime.now(UTC).")
    return format_timestamp(moment)


def _read_reply_reference(value: Any, name: str) -> int | None:
    """Return the id that a packet, an id, a wire document or None stands for."""
    if isinstance(value, dict):
        header = value.get("header")
        value = header.get("packet_rec_id") if isinstance(header, dict) else None
    elif hasattr(value, "packet_rec_id"):
        value = value.packet_rec_id
    return read_record_id(value, name)


class HeaderField(Generic[T]):
    """One attribute from the header: typed, read from the wire's value, written back in the wire's form."""

    __slots__ = ("key", "name", "read", "write")

    def __init__(
        self,
        read: Callable[[Any, str], T | None],
        write: Callable[[Any, str], Any],
        *,
        key: str | None = None,
    ) -> None:
        self.read = read
        self.write = write
        self.key = key or ""
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.key = self.key or name

    @overload
    def __get__(self, packet: None, owner: type) -> Self: ...
    @overload
    def __get__(self, packet: Packet, owner: type) -> T | None: ...
    def __get__(self, packet: Packet | None, owner: type) -> Self | T | None:
        if packet is None:
            return self
        return self.read(packet._header.get(self.key), self.name)

    def __set__(self, packet: Packet, value: Any) -> None:
        packet._header[self.key] = self.write(value, self.name)


def record_id_field() -> HeaderField[int]:
    """An id that the service gives, up to 38 digits."""
    return HeaderField(read_record_id, read_record_id)


def text_field() -> HeaderField[str]:
    """A name or a state."""
    return HeaderField(_text, _text)


def flag_field() -> HeaderField[Any]:
    """1 or 0, at times true or false: read as it stands."""
    return HeaderField(_as_is, _as_is)


def json_field() -> HeaderField[Any]:
    """A JSON document; text is parsed."""
    return HeaderField(_read_json, _write_json)


def moment_field() -> HeaderField[datetime]:
    """A moment with its zone."""
    return HeaderField(_read_moment, _write_moment)


def reply_reference_field() -> HeaderField[int]:
    """The id of the packet that this one answers; a packet, an id or a wire document may be assigned."""
    return HeaderField(_read_reply_reference, _read_reply_reference, key="in_reply_to")


HEADER_KEYS = (
    "packet_rec_id",
    "packet_id",
    "transaction_id",
    "trans_rec_id",
    "expected_reply_list",
    "local_site_name",
    "remote_site_name",
    "originating_site_name",
    "outgoing_flag",
    "transaction_state",
    "packet_state",
    "packet_timestamp",
)
"""The keys that the header of a packet made here always has, with null where there is no value."""
