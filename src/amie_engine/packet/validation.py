"""Whether a packet has the data that AMIE requires of it."""

from __future__ import annotations

from typing import Any, ClassVar

from amie_engine.errors import PacketInvalidData
from amie_engine.packet.fields import Field
from amie_engine.packet.header import Header

__all__ = ["Validation"]


class Validation(Header):
    """The part of a packet that checks its body. Types with rules of their own add to `_wrong_values`."""

    __slots__ = ()

    _fields: ClassVar[dict[str, Field[Any]]] = {}
    _data_keys_required: ClassVar[list[str]] = []
    _data_keys_not_required_in_reply: ClassVar[list[str]] = []
    _data_keys_allowed: ClassVar[list[str]] = []

    _body: dict[str, Any]
    """The body as it goes on the wire."""
    _emptied: set[str]
    """The fields that were assigned None or deleted: an item set and then emptied counts as missing."""

    @property
    def _required_data(self) -> dict[str, Any]:
        """The required items that were ever set, None for one that was emptied."""
        return self._data_of(self._data_keys_required)

    @property
    def _allowed_data(self) -> dict[str, Any]:
        """The optional items that were ever set, None for one that was emptied."""
        return self._data_of(self._data_keys_allowed)

    def _data_of(self, names: list[str]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if name in self._body or name in self._emptied}

    def missing_attributes(self) -> list[str]:
        """Return the required items without a value; in a reply, less those that the service can infer."""
        body = self._body
        missing = [
            name for name in self._data_keys_required if body.get(name) is None and not self._has_value(name)
        ]
        if self.in_reply_to_id is not None:
            missing = [name for name in missing if name not in self._data_keys_not_required_in_reply]
        return missing

    def validate_data(self, raise_on_invalid: bool = False) -> bool:
        """Tell whether the packet has the data that AMIE requires of it.

        In a packet that begins a transaction every required item must have a value. In a reply, items that
        were never set are assumed to be filled in by the service from the packet that is answered; one that
        was set and then emptied counts as missing, unless the service can infer it.

        Raises:
            PacketInvalidData: With ``raise_on_invalid``, naming what is missing or wrong.
        """
        problems = self._problems()
        if problems and raise_on_invalid:
            raise PacketInvalidData(f"{self!r} is not valid: {'; '.join(problems)}.")
        return not problems

    def _problems(self) -> list[str]:
        """What is missing or wrong, a phrase each, which shows no value: it may be personal."""
        problems = []
        body = self._body
        for name in self._data_keys_required:
            if body.get(name) is None:
                missing = self._missing_here()
                if missing:
                    problems.append(f"missing {', '.join(missing)}")
                break
        return problems + self._wrong_values()

    def _wrong_values(self) -> list[str]:
        """What the packet has and may not have, whatever is missing."""
        resources = self._body.get("ResourceList") if "ResourceList" in self._fields else None
        if resources is not None and (type(resources) is not list or len(resources) != 1):
            return ["ResourceList must be a list of exactly one resource"]
        return []

    def _missing_here(self) -> list[str]:
        """The required items that count as missing, by the rule for replies or the one for first packets."""
        missing = self.missing_attributes()
        if self.in_reply_to_id is not None:
            missing = [name for name in missing if name in self._emptied or name in self._body]
        return missing

    def _has_value(self, name: str) -> bool:
        spellings = (name, *self._fields[name].also)
        return any(self._body.get(spelling) is not None for spelling in spellings)
