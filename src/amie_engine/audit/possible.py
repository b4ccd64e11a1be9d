"""Transactions that may concern a person though no id says so: by an e-mail address or a DN in a document.

Addresses are shared and change hands: whether such a transaction is the person's, somebody has to look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

from amie_engine.audit.finding import MOST_PATTERNS, WINDOW, escaped, packet_given
from amie_engine.audit.quarantined import has_word
from amie_engine.log.events import EventType, read_document
from amie_engine.log.statements import Cursor, Statement

__all__ = ["find_mentions"]

_QUOTED = '"\\'


def find_mentions(
    read: Callable[[], AbstractContextManager[Cursor]],
    key: dict[str, str],
    words: Collection[str],
    *,
    after: int,
    until: int,
) -> set[str]:
    """Return the streams of the transactions that have one of some words in a document.

    Args:
        read: Gives a transaction to read in; each reads a part.
        key: The hub and the site.
        words: E-mail addresses and DNs, in lower case.
        after: The newest event not to look at.
        until: The newest event to look at.
    """
    found: set[str] = set()
    if not words:
        return found
    patterns = {f"word_{n}": _pattern(word) for n, word in enumerate(sorted(words))}
    if len(patterns) > MOST_PATTERNS:
        patterns = {}
    statement = _mentioning(patterns)
    for start in range(after, until, WINDOW):
        values = {**key, **patterns, "after": start, "until": min(start + WINDOW, until)}
        with read() as cursor:
            rows = cursor.all(statement, values)
        for stream, event_type, position, document in rows:
            if stream in found:
                continue
            if has_word(_told(event_type, read_document(position, document)), words):
                found.add(stream)
    return found


def _mentioning(patterns: Collection[str]) -> Statement:
    any_word = " OR ".join(f"LOWER(document) LIKE :{name} ESCAPE '!'" for name in patterns) or "1 = 1"
    return Statement(
        "SELECT stream, type, position, document FROM amie_events"  # noqa: S608 # the values are bound
        " WHERE position > :after AND position <= :until AND hub = :hub AND site = :site"
        f" AND document IS NOT NULL AND type <> '{EventType.PACKET_QUARANTINED}'"
        f" AND ({any_word} OR type = '{EventType.STAGED_REFUSED}')"  # its packet may be there as base64
    )


def _pattern(word: str) -> str:
    """The pattern for a word in canonical JSON, which writes some characters in another way."""
    characters = (escaped(c) if c.isascii() and c.isprintable() and c not in _QUOTED else "%" for c in word)
    return f"%{''.join(characters)}%"


def _told(event_type: str, document: Any) -> Any:
    if event_type != EventType.STAGED_REFUSED or not isinstance(document, dict):
        return document
    return [document, packet_given(document.get("arguments"))]
