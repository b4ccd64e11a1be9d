"""Redaction: personal fields as pseudonyms, the same one for the same value everywhere in a log.

Which field is personal, the packet classes declare. A pseudonym is a keyed digest, and the key is the log's
secret name: without it nobody can test a guess of what a pseudonym stands for.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amie_engine.audit.timeline import Story
from amie_engine.engine.incoming import is_plain
from amie_engine.log.canonical import canonical_json
from amie_engine.log.whole import STORED_COLUMNS
from amie_engine.packet.fields import Field
from amie_engine.packet.registry import PACKET_TYPES

__all__ = ["Redaction", "kind_of"]

_DOMAIN = "amie-engine pseudonym 1"
"""Keeps these digests apart from any other that the log's name may ever be a key of."""

_DIGITS = 16
"""Hexadecimal digits of a pseudonym: among ten million values, two alike are a millionth likely."""

_FREE_TEXT = frozenset({"Abstract", "Comment", "Message"})
"""Fields in which people write what they like, about whom they like: hidden, though declared as no personal
ones."""

_ROLE = re.compile(r"(?:Pi|User|Delete|Keep)(?=[A-Z])")
"""Whose field it is, at the beginning of its name."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}", re.ASCII)
"""What the name of a field looks like. Any other key may be a value itself."""

_ID = re.compile("[0-9]{1,38}", re.ASCII)
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}", re.ASCII)
_STATE = re.compile("[a-z]+(?:[-_][a-z]+){0,3}", re.ASCII)
_KEPT_IN_HEADER = {
    **dict.fromkeys(("packet_rec_id", "packet_id", "transaction_id", "trans_rec_id", "in_reply_to"), _ID),
    **dict.fromkeys(("local_site_name", "remote_site_name", "originating_site_name"), _SITE),
    **dict.fromkeys(("transaction_state", "packet_state"), _STATE),
    "outgoing_flag": re.compile("(?i:[01]|true|false)", re.ASCII),
    "packet_timestamp": re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}[T ][0-9:.]{5,15}(?:Z|[+-][0-9:]{2,6})?"),
}
"""Ids, the names of the sites, times and states, as long as they look like that: anything else may stand in
their place. The site's own notes (``client_state``, ``client_json``) are hidden, and so is whatever AMIE does
not name."""

_EXPECTED_REPLY = {"type": re.compile("|".join(sorted(PACKET_TYPES))), "timeout": _ID}
_KEPT_IN_DOCUMENT = {"DATA_TYPE": re.compile("(?i:packet)"), "type_id": _ID}

_EMBEDS = frozenset({"result", "arguments", "packet"})
"""Under which keys a document that is no packet may hold one: a service's answer, a call that was staged."""

_KEPT_BESIDE = frozenset({"actor", "stream"})
"""What else of such a document is an id of the log's own, or free of personal data by its definition."""

_DOCUMENT, _SALT = (STORED_COLUMNS.index(name) for name in ("document", "document_salt"))


def kind_of(name: str) -> str:
    """Return what kind of value a field has, whosever it is: ``Email`` for ``PiEmail`` and ``UserEmail``."""
    if _NAME.fullmatch(name) is None:
        return "Other"
    return _ROLE.sub("", name, count=1).removesuffix("List") or name


class Redaction:
    """Replaces what is personal in a log's documents.

    Args:
        log_id: The log's secret name. What it makes is the same in every redaction with the same name.
    """

    def __init__(self, log_id: str) -> None:
        self._key = log_id.encode("utf-8")

    def pseudonym(self, kind: str, value: Any) -> str:
        """Return what stands for a value: its kind, and a keyed digest of kind and value.

        Args:
            kind: What kind of value it is, as from `kind_of`.
            value: Any JSON value.
        """
        text = canonical_json([_DOMAIN, kind, value]).encode("ascii")
        return f"{kind}:{hmac.digest(self._key, text, 'sha256').hex()[:_DIGITS]}"

    def document(self, document: Any) -> Any:
        """Return an event's document with pseudonyms in place of what is personal.

        In a packet, that is every field which its class declares as personal or does not declare, and free
        text. Of any other document, packets in it are treated so, and everything else is hidden.
        """
        try:
            return self._document(document)
        except RecursionError:  # a service's answer may be nested as deeply as it likes
            return self.pseudonym("Text", document)

    def row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row of the table of events (`STORED_COLUMNS`) that holds nothing personal.

        It has no salt, so that no guess can be tested against the digests of the document.
        """
        redacted = list(row)
        redacted[_SALT] = None
        if row[_DOCUMENT] is not None:
            redacted[_DOCUMENT] = canonical_json(self.document(_parsed(row[_DOCUMENT])))
        return tuple(redacted)

    def story(self, story: Story) -> Story:
        """Return the story of a transaction with redacted documents."""
        entries = (
            entry if entry.document is None else replace(entry, document=self.document(entry.document))
            for entry in story.entries
        )
        return replace(story, entries=tuple(entries))

    def _document(self, document: Any) -> Any:
        if _is_packet(document):
            return self._packet(document)
        if isinstance(document, dict):
            return {self._key_shown(key): self._beside(key, value) for key, value in document.items()}
        if isinstance(document, list):
            return [self._document(item) for item in document]
        return self._hidden("Text", document)

    def _packet(self, document: Mapping[str, Any]) -> dict[str, Any]:
        fields = _fields(document.get("type"))
        redacted = {}
        for key, value in document.items():
            if key == "header":
                value = {self._key_shown(name): self._in_header(name, item) for name, item in value.items()}
            elif key == "body":
                value = {
                    self._key_shown(name): self._in_body(name, item, fields.get(name))
                    for name, item in value.items()
                }
            elif not _is_known(key, value):
                value = self._hidden(kind_of(key), value)
            redacted[self._key_shown(key)] = value
        return redacted

    def _in_body(self, name: str, value: Any, field: Field[Any] | None) -> Any:
        if field is None:
            return self._hidden(kind_of(name), value)
        if field.personal or name in _FREE_TEXT:
            return self._hidden(kind_of(field.name), value, field.items)
        if field.fact and not is_plain(value):
            return self._hidden(kind_of(field.name), value)
        return self._kept(name, value, field.items)

    def _in_header(self, name: str, value: Any) -> Any:
        if name == "expected_reply_list":
            return self._replies(name, value)
        if _is_packet(value):
            return self._packet(value)  # an in_reply_to may be the packet itself
        return value if _looks_like(value, _KEPT_IN_HEADER.get(name)) else self._hidden(kind_of(name), value)

    def _replies(self, name: str, value: Any) -> Any:
        """The replies that a header expects: of each its type and timeout, as long as they are that."""
        if isinstance(value, list):
            return [self._replies(name, item) for item in value]
        if not isinstance(value, dict):
            return self._hidden(kind_of(name), value)
        return {
            key if key in _EXPECTED_REPLY else self.pseudonym("Key", key): item
            if _looks_like(item, _EXPECTED_REPLY.get(key))
            else self._hidden(kind_of(name), item)
            for key, item in value.items()
        }

    def _beside(self, key: str, value: Any) -> Any:
        if key in _EMBEDS:
            return self._document(value)
        return value if key in _KEPT_BESIDE and isinstance(value, str) else self._hidden(kind_of(key), value)

    def _kept(self, name: str, value: Any, items: tuple[str, ...] = ()) -> Any:
        """A value that is not personal. What stands in it and is not declared is hidden all the same."""
        if isinstance(value, list):
            return [self._kept(name, item, items) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key if key in items else self.pseudonym("Key", key): (
                self._kept(key, item) if key in items else self._hidden(kind_of(name), item)
            )
            for key, item in value.items()
        }

    def _hidden(self, kind: str, value: Any, items: tuple[str, ...] = ()) -> Any:
        """A value of which nothing may be seen but where there is none: each element and each item of it."""
        if isinstance(value, list):
            return [self._hidden(kind, item, items) for item in value]
        if isinstance(value, dict):
            return {
                key if key in items else self.pseudonym("Key", key): self._hidden(
                    kind_of(key) if key in items else kind, item
                )
                for key, item in value.items()
            }
        return value if value in (None, "") else self.pseudonym(kind, value)

    def _key_shown(self, key: str) -> str:
        return key if _NAME.fullmatch(key) else self.pseudonym("Key", key)


def _parsed(text: str) -> Any:
    """The value of a JSON text; the text itself where somebody has put something else into the table."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_packet(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("header"), dict)
        and isinstance(value.get("body"), dict)
    )


def _is_known(key: str, value: Any) -> bool:
    """Whether an item of a document, beside its header and body, is one that AMIE names."""
    if key == "type":
        return isinstance(value, str) and value in PACKET_TYPES
    return _looks_like(value, _KEPT_IN_DOCUMENT.get(key))


def _looks_like(value: Any, shape: re.Pattern[str] | None) -> bool:
    """Whether a text, a number or a truth value has the shape that is expected of it, or there is none."""
    if shape is None or not isinstance(value, str | int | float | None):
        return False
    return value in (None, "") or shape.fullmatch(str(value)) is not None


def _fields(packet_type: Any) -> dict[str, Field[Any]]:
    """The fields of a packet type by all spellings of their names; none where there is no such type."""
    known = PACKET_TYPES.get(packet_type) if isinstance(packet_type, str) else None
    if known is None:
        return {}
    spellings = {spelling: field for field in known._fields.values() for spelling in field.also}
    return spellings | known._fields
