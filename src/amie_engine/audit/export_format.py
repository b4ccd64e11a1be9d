"""What an export of events consists of, whatever the form of its file: a header, the events, and an end.

The header says what comes, the end what came: an export that was cut off anywhere is told from a whole one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from amie_engine.errors import ExportUnreadable
from amie_engine.log.whole import STORED_COLUMNS

__all__ = ["END", "FORMAT", "INTEGERS", "VERSION", "End", "Header", "row_problem"]

FORMAT: Final = "amie-engine-events"
END: Final = "amie-engine-events-end"
VERSION: Final = 1

INTEGERS: Final = frozenset({"position", "version", "schema_version"})
"""The columns that are integers; all others are text."""

_MAY_BE_NULL: Final = frozenset(
    {
        "trans_rec_id",
        "packet_rec_id",
        "packet_type",
        "sender",
        "status",
        "document",
        "document_salt",
        "document_digest",
    }
)
_TYPES: Final[tuple[tuple[type, ...], ...]] = tuple(
    (int,) if name in INTEGERS else (str, type(None)) if name in _MAY_BE_NULL else (str,)
    for name in STORED_COLUMNS
)


@dataclass(frozen=True, slots=True)
class Header:
    """What an export begins with.

    Attributes:
        first_position: The first event's position, where there is one.
        last_position: The last one's; less than the first where there is none.
        redacted: Whether it has pseudonyms in place of what is personal.
    """

    first_position: int
    last_position: int
    redacted: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as the export has it."""
        return {"format": FORMAT, "version": VERSION, "columns": list(STORED_COLUMNS)} | asdict(self)

    @classmethod
    def read(cls, value: Any, name: str) -> Self:
        """Return the header in what an export begins with.

        Args:
            value: The JSON value.
            name: What is read.

        Raises:
            ExportUnreadable: It is none, or one that this release can't read.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ExportUnreadable(f"{name} is no export of amie-engine.")
        version = value.get("version")
        if type(version) is int and version > VERSION:
            raise ExportUnreadable(
                f"{name} is an export of version {version}, which this release does not know.",
                hint="Install the release that made it, or a later one.",
            )
        header = cls(
            value.get("first_position", 0), value.get("last_position", 0), value.get("redacted", True)
        )
        positions = (header.first_position, header.last_position)
        if version != VERSION or value.get("columns") != list(STORED_COLUMNS):
            raise ExportUnreadable(f"{name} has other columns than an export of amie-engine.")
        if any(type(position) is not int for position in positions) or type(header.redacted) is not bool:
            raise ExportUnreadable(f"The header of {name} is damaged.")
        return header


@dataclass(frozen=True, slots=True)
class End:
    """What an export ends with.

    Attributes:
        count: How many events it has.
        last_position: The last one's position, and
        last_hash: its hash; both None where there is none.
    """

    count: int
    last_position: int | None
    last_hash: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the export has it."""
        return {"format": END} | asdict(self)

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """Return the end of an export, or None for what is none."""
        if not isinstance(value, dict) or value.get("format") != END:
            return None
        return cls(value.get("count", -1), value.get("last_position"), value.get("last_hash"))


def row_problem(row: tuple[Any, ...]) -> str | None:
    """Return why no row of the table can have these values (`STORED_COLUMNS`), in a phrase; else None."""
    for name, value, types in zip(STORED_COLUMNS, row, _TYPES, strict=True):
        if type(value) not in types:
            return f"its {name} is no {'number' if name in INTEGERS else 'text'}"
    text = "".join([value for value in row if type(value) is str])
    if "\x00" in text or not _is_encodable(text):
        return "it holds a character that no database can hold"
    return None


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
