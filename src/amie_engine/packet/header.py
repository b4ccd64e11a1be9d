"""The attributes that every packet has from its header, and how each reads from the wire and is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar, overload

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.fields import parse_datetime, read_datetime
from amie_engine.packet.jsonvalue import parse_json, without_zone

__all__ = [
    "DEFAULT_REPLY_TIMEOUT",
    "HEADER_KEYS",
    "ExpectedReply",
    "Header",
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
            return parse_json(value)
        except ValueError:
            return value
    return value


def _write_json(value: Any, name: str) -> Any:
    if isinstance(value, str):
        try:
            return parse_json(value)
        except ValueError:
            raise PacketInvalidData("The packet's client_json is text that is no JSON.") from None
    return value


def _read_moment(value: Any, name: str) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else None


def _write_moment(value: Any, name: str) -> str | None:
    if value is None:
        return None
    moment = read_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise PacketInvalidData(
            f"The packet's {name} is no time.", hint="Give a datetime, or text in the form of ISO 8601."
        )
    if moment.tzinfo is None:
        raise without_zone(name)
    try:
        return format_timestamp(moment)
    except OverflowError:  # in UTC it lies before the year 1 or after the year 9999
        raise PacketInvalidData(f"The packet's {name} is no time that UTC has.") from None


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
    def __get__(self, packet: Header, owner: type) -> T | None: ...
    def __get__(self, packet: Header | None, owner: type) -> Self | T | None:
        if packet is None:
            return self
        return self.read(packet._header.get(self.key), self.name)

    def __set__(self, packet: Header, value: Any) -> None:
        packet._header[self.key] = self.write(value, self.name)


def _record_id() -> HeaderField[int]:
    """An id that the service gives, up to 38 digits."""
    return HeaderField(read_record_id, read_record_id)


def _name_or_state() -> HeaderField[str]:
    return HeaderField(_text, _text)


class Header:
    """The part of a packet that has the attributes from its header."""

    __slots__ = ()

    _header: dict[str, Any]
    """The header as it goes on the wire."""

    packet_rec_id = _record_id()
    packet_id = _record_id()
    trans_rec_id = _record_id()
    transaction_id = _record_id()
    packet_timestamp: HeaderField[datetime] = HeaderField(_read_moment, _write_moment)
    in_reply_to_id: HeaderField[int] = HeaderField(
        _read_reply_reference, _read_reply_reference, key="in_reply_to"
    )
    local_site_name = _name_or_state()
    remote_site_name = _name_or_state()
    originating_site_name = _name_or_state()
    outgoing_flag: HeaderField[Any] = HeaderField(_as_is, _as_is)
    transaction_state = _name_or_state()
    packet_state = _name_or_state()
    client_state = _name_or_state()
    client_json: HeaderField[Any] = HeaderField(_read_json, _write_json)

    @property
    def sender_name(self) -> str | None:
        """The name of the party that sent the packet, or None where the header does not tell.

        Source: "The AMIE Model"; it is ``local_site_name`` if ``outgoing_flag`` is true, else
        ``remote_site_name``, whichever side wrote the header.
        """
        flag = self._header.get("outgoing_flag")
        if flag is None or flag == "":
            return None
        outgoing = flag in (1, "1") or (isinstance(flag, str) and flag.lower() == "true")
        return self.local_site_name if outgoing else self.remote_site_name


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
)
"""The keys that the header of a packet made here always has, with null where there is no value. The others
(``packet_timestamp``, ``in_reply_to``, ``client_state``, ``client_json``) are left out where there is none,
as the public client leaves them out of what it sends."""
