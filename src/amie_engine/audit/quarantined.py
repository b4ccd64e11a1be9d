"""What in quarantine concerns a person: by its transaction, an id in it, an e-mail address or a DN."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from amie_engine.audit.finding import body_of
from amie_engine.audit.subject import Person
from amie_engine.log.events import read_document
from amie_engine.log.statements import Cursor, Statement
from amie_engine.packet.naming import NAMING_FIELDS, Kind
from amie_engine.packet.registry import PACKET_TYPES

__all__ = ["Concern", "Quarantined", "Traces", "has_word", "quarantined_documents", "traces_in"]

_ITEMS = Statement(
    "SELECT q.stream, q.trans_rec_id, q.packet_rec_id, e.position, e.document FROM amie_quarantine q"
    " JOIN amie_events e ON e.stream = q.stream AND e.version = 1"
    " WHERE q.hub = :hub AND q.site = :site AND e.document IS NOT NULL AND q.stream > :after"
    " AND e.position > :since"
    " ORDER BY q.stream LIMIT 100"
)
_SHORTEST_TRACE = 6
_OTHER_FACTS = frozenset(
    name
    for packet_class in PACKET_TYPES.values()
    for name, spec in packet_class._fields.items()
    if spec.fact and NAMING_FIELDS.get(name, (None,))[0] not in (Kind.LOCAL_ID, Kind.GLOBAL_ID)
)
"""Fields that AMIE has for something else: an amount that reads like somebody's id is none."""


class Concern(Enum):
    """Whether something in quarantine concerns a person."""

    THEIRS = "theirs"
    NOT_THEIRS = "not theirs"
    UNREADABLE = "unreadable"
    """It is no JSON, and has no address or DN of theirs that is known: a person has to look."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something in quarantine whose bytes are there."""

    quarantine_id: str
    trans_rec_id: str | None
    packet_rec_id: str | None
    position: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Traces:
    """What tells that something in quarantine concerns a person.

    Attributes:
        person: The person.
        trans_rec_ids: The transactions that concern them.
        packet_rec_ids: The packets of these.
        words: The person's e-mail addresses and DNs, in lower case.
    """

    person: Person
    trans_rec_ids: Collection[str]
    packet_rec_ids: Collection[str]
    words: Collection[str] = field(repr=False)

    def concern(self, item: Quarantined) -> Concern:
        """Return whether something concerns the person."""
        if item.trans_rec_id in self.trans_rec_ids or item.packet_rec_id in self.packet_rec_ids:
            return Concern.THEIRS
        try:
            document = json.loads(item.content)
        except (ValueError, RecursionError):
            text = item.content.decode("utf-8", "replace").lower()
            return Concern.THEIRS if any(word in text for word in self.words) else Concern.UNREADABLE
        names = self.person.names
        ids = names[Kind.LOCAL_ID] | names[Kind.GLOBAL_ID]
        told = body_of(document) or document
        if any(text in ids and name not in _OTHER_FACTS for name, text in _items(told)):
            return Concern.THEIRS
        return Concern.THEIRS if has_word(told, self.words) else Concern.NOT_THEIRS


def has_word(document: Any, words: Collection[str]) -> bool:
    """Whether an e-mail address or a DN, in lower case, stands anywhere in a document."""
    return any(word in text.lower() for _, text in _items(document) for word in words)


def traces_in(document: Any) -> Iterator[str]:
    """Yield the e-mail addresses and DNs in a document of a person's, in lower case."""
    for name, value in _items(document):
        text = value.strip().lower()
        is_address = name.endswith("Email") and "@" in text
        if len(text) >= _SHORTEST_TRACE and (is_address or (name.endswith("DnList") and "=" in text)):
            yield text


def quarantined_documents(
    read: Callable[[], AbstractContextManager[Cursor]], key: Mapping[str, str], *, since: int = 0
) -> Iterator[Quarantined]:
    """Yield what is in quarantine, or was there, as far as it has not been erased.

    Args:
        read: Gives a transaction to read in; each reads a part.
        key: The hub and the site.
        since: Leave out what was there at this position.
    """
    after = ""
    while True:
        with read() as cursor:
            rows = cursor.all(_ITEMS, {**key, "after": after, "since": since})
        for stream, trans_rec_id, packet_rec_id, position, document in rows:
            content = base64.b64decode(read_document(position, document)["base64"])
            yield Quarantined(stream, trans_rec_id, packet_rec_id, position, content)
        if not rows:
            return
        after = rows[-1][0]


def _items(document: Any) -> Iterator[tuple[str, str]]:
    """Every text and number in a JSON value, as text, with its name, or that of the list that it is in."""
    waiting = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((name, item) for item in value)
        elif isinstance(value, str | int | float):
            yield name, str(value)
