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
        super().__setitem__(name, value)
        self._packet._set_body_value(name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._packet._set_body_value(name, None)

    def __ior__(self, other: Any) -> AdditionalData:  # type: ignore[override,misc] # as dict's, writing through
        self.update(other)
        return self

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **items: Any) -> None:  # type: ignore[override] # dict's overloads, in one signature
        for name, value in {**dict(other), **items}.items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        value = super().pop(name, *default)
        self._packet._set_body_value(name, None)
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = super().popitem()
        self._packet._set_body_value(name, None)
        return name, value

    def clear(self) -> None:
        for name in list(self):
            del self[name]
