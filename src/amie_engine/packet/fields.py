"""The kinds of field that a packet's body has, declared once in each packet class.

A declaration says all that is known of a field, and everything else derives from it: the documented
``_data_keys_*`` tables, validation, the facts that the log keeps for ever, what redaction hides, the test
strategies and the reference page.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.jsonvalue import without_zone

if TYPE_CHECKING:
    from amie_engine.packet.base import Packet

__all__ = [
    "AmountField",
    "DateField",
    "DateTimeField",
    "Field",
    "ListField",
    "ObjectsField",
    "TextField",
    "parse_date",
    "parse_datetime",
    "read_datetime",
]

T = TypeVar("T")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].+)?", re.ASCII)


def parse_date(text: str) -> date | None:
    """Return the date that ``YYYY-MM-DD`` text (a time may follow) names, or None where it names none."""
    text = text.strip()
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        return None


def parse_datetime(text: str) -> datetime | None:
    """Return the moment that ISO 8601 text names, or None. Without a zone it is taken as UTC."""
    moment = read_datetime(text)
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def read_datetime(text: str) -> datetime | None:
    """Return the date and time that ISO 8601 text names, with a zone where one stands there; or None."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


class Field(Generic[T]):
    """One field of a packet's body: a typed attribute of the packet.

    Reading gives the value, or None where there is none. Assigning None, or ``del``, empties the field.

    Args:
        required: The packet must carry it (the public client's ``_data_keys_required``).
        inferable: In a reply the service can fill it in (``_data_keys_not_required_in_reply``).
        reply_required: A reply must carry it in the end, from the site or filled in from the log.
        originating_required: The packet must carry it when a site begins a transaction with it.
        fact: Folds and projections may use it, and erasing a person leaves it.
        personal: Redaction hides it, and erasing a person removes it.
        beyond_client: The public client's tables don't name it.
        items: The keys of a list's objects.
        also: Other spellings of the name that real services use; read where the name itself is absent.
    """

    kind: ClassVar[str]

    __slots__ = (
        "also",
        "beyond_client",
        "fact",
        "inferable",
        "items",
        "name",
        "originating_required",
        "personal",
        "reply_required",
        "required",
    )

    def __init__(
        self,
        *,
        required: bool = False,
        inferable: bool = False,
        reply_required: bool = False,
        originating_required: bool = False,
        fact: bool = False,
        personal: bool = False,
        beyond_client: bool = False,
        items: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
    ) -> None:
        self.name = ""
        self.required = required
        self.inferable = inferable
        self.reply_required = reply_required
        self.originating_required = originating_required
        self.fact = fact
        self.personal = personal
        self.beyond_client = beyond_client
        self.items = items
        self.also = also

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @overload
    def __get__(self, packet: None, owner: type) -> Self: ...
    @overload
    def __get__(self, packet: Packet, owner: type) -> T | None: ...
    def __get__(self, packet: Packet | None, owner: type) -> Self | T | None:
        if packet is None:
            return self
        value = packet._body_value(self.name)
        for spelling in self.also:
            if value is None:
                value = packet._body_value(spelling)
        return self.read(value)

    def __set__(self, packet: Packet, value: T | None) -> None:
        packet._set_body_value(self.name, None if value is None else self.write(value))
        for spelling in self.also:  # else an old value would go out beside the new one, or in place of none
            packet._body.pop(spelling, None)

    def __delete__(self, packet: Packet) -> None:
        self.__set__(packet, None)

    def read(self, value: Any) -> T | None:
        """Return the Python value for a value as it stands in the body."""
        return value  # type: ignore[no-any-return] # the wire's own types are the field's

    def write(self, value: Any) -> Any:
        """Return the value to put into the body for a value that the caller assigned."""
        return value


class TextField(Field[str]):
    """Text. The service sends every scalar as text, numbers too."""

    kind = "text"
    __slots__ = ()


class DateField(Field[date | str]):
    """A date, ``YYYY-MM-DD`` on the wire. Text that is no date stays text."""

    kind = "date"
    __slots__ = ()

    def read(self, value: Any) -> date | str | None:
        if type(value) is str:
            return parse_date(value) or value
        return value  # type: ignore[no-any-return] # an odd value is shown as it came

    def write(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.date().isoformat()
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, str):
            parsed = parse_date(value)
            return parsed.isoformat() if parsed else value
        return value


class DateTimeField(Field[str]):
    """A moment, ISO 8601 with zone on the wire. It reads as it stands there; a datetime may be assigned."""

    kind = "datetime"
    __slots__ = ()

    def __set__(self, packet: Packet, value: str | datetime | None) -> None:
        super().__set__(packet, value)  # type: ignore[arg-type] # write() turns a datetime into text

    def write(self, value: Any) -> Any:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise without_zone(self.name)
            return value.isoformat()
        if isinstance(value, date):
            raise PacketInvalidData(
                f"{self.name} was given a date, and it is a time.", hint="Give a datetime with its zone."
            )
        return value


class AmountField(Field[str | int | Decimal]):
    """A decimal amount, which may be negative. It reads as it stands on the wire, mostly as text; a number
    may be assigned."""

    kind = "amount"
    __slots__ = ()


class ListField(Field[list[str]]):
    """A list of text."""

    kind = "list"
    __slots__ = ()


class ObjectsField(Field[list[dict[str, Any]]]):
    """A list of flat objects, whose keys are ``items``."""

    kind = "objects"
    __slots__ = ()
