"""The items of a packet's body that the public client's tables don't name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amie_engine.packet.base import Packet

__all__ = ["AdditionalData"]


class AdditionalData(dict[str, Any]):
    """A packet's additional data: a dict whose changes go into the packet."""

    __slots__ = ("_packet",)

    def __init__(self, packet: Packet) -> None:
        documented = {name for name, field in packet._fields.items() if not field.beyond_client}
        super().__init__(
            {name: packet._body_value(name) for name in list(packet._body) if name not in documented}
        )
        self._packet = packet

    def __setitem__(self, name: str, value: Any) -> None:
        field = self._packet._fields.get(name)
        if field is not None:
            field.__set__(self._packet, value)
        else:
            self._packet._set_body_value(name, value)
        super().__setitem__(name, None if value is None else self._packet._body[name])

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._packet._set_body_value(name, None)

    def __ior__(self, other: Any) -> AdditionalData:  # type: ignore[override,misc] # as dict's, writing through
        self.update(other)
        return self

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # a copy belongs to no packet

    def become(self, other: Mapping[str, Any]) -> None:
        """Take the items of another mapping in place of the present ones."""
        for name in self.keys() - other.keys():
            del self[name]
        for name, value in other.items():
            if name not in self or self[name] is not value:
                self[name] = value

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **items: Any) -> None:  # type: ignore[override] # dict's overloads, in one signature
        for name, value in {**dict(other), **items}.items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        if name not in self:
            return super().pop(name, *default)
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = super().popitem()
        self._packet._set_body_value(name, None)
        return name, value

    def clear(self) -> None:
        for name in list(self):
            del self[name]
