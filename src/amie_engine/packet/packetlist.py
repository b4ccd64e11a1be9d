"""A list of packets, as the service answers a query with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amie_engine.errors import PacketError
from amie_engine.packet.base import Packet, PacketInvalidData
from amie_engine.packet.jsonvalue import parse_json

__all__ = ["PacketList", "UnreadableDocument"]


@dataclass(frozen=True, slots=True)
class UnreadableDocument:
    """A document of a list that is no packet: as it came, with the reason. Hand it to ``Engine.receive``,
    which keeps it in quarantine."""

    document: Any
    reason: PacketError

    def __repr__(self) -> str:
        return f"<UnreadableDocument {self.reason.code}>"  # the document may hold personal data


class PacketList:
    """The packets of a listing, and apart from them what in it could not be read.

    One unreadable document never hides the others: ``packets`` has the good ones, ``unreadable`` the rest.

    Args:
        message: What the service said with the list.
        packets: The packets.
        unreadable: The documents that are no packets.
    """

    def __init__(
        self,
        message: str | None = None,
        packets: Iterable[Packet] | None = None,
        unreadable: Iterable[UnreadableDocument] | None = None,
    ) -> None:
        self.message = message
        self.packets = list(packets or ())
        self.unreadable = list(unreadable or ())

    def __iter__(self) -> Iterator[Packet]:
        return iter(self.packets)

    def __len__(self) -> int:
        return len(self.packets)

    def __repr__(self) -> str:
        return f"<PacketList of {len(self.packets)} packets, {len(self.unreadable)} unreadable>"

    @classmethod
    def from_dict(cls, dict_in: Mapping[str, Any] | list[Any]) -> PacketList:
        """Return the list that the service's answer holds: ``{"message", "result"}``, or the bare array.

        Raises:
            PacketInvalidData: The answer is neither.
        """
        message, documents = _parts(dict_in)
        packets, unreadable = [], []
        for document in documents:
            try:
                packets.append(Packet.from_dict(document))
            except PacketError as error:
                unreadable.append(UnreadableDocument(document, error))
        return cls(message, packets, unreadable)

    @classmethod
    def from_json(cls, json_in: str | bytes) -> PacketList:
        """As ``from_dict``, from JSON text; `PacketInvalidData` also for text that is no JSON."""
        try:
            answer = parse_json(json_in)
        except ValueError:
            raise PacketInvalidData("The answer is no JSON text.") from None
        return cls.from_dict(answer)

    def as_dict(self) -> dict[str, Any]:
        """Return the list as the service writes it, the unreadable documents at its end."""
        documents = [packet.as_dict() for packet in self.packets]
        return {"message": self.message, "result": documents + [entry.document for entry in self.unreadable]}

    def json(self, **json_kwargs: Any) -> str:
        """Return the list as JSON text. The arguments are those of ``json.dumps``."""
        return json.dumps(self.as_dict(), **json_kwargs)

    def pretty_print(self) -> None:
        """Print the list as indented JSON."""
        print(self.json(indent=4, sort_keys=True))  # noqa: T201 # that is its purpose


def _parts(answer: Any) -> tuple[str | None, list[Any]]:
    """The message and the documents of an answer, which is an object or the bare array."""
    if isinstance(answer, list):
        return "", answer
    documents = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(documents, list):
        raise PacketInvalidData("The answer is no list of packets.")
    return answer.get("message", ""), documents
