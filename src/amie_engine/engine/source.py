"""What comes in, as a JSON value: from bytes, text, an object or a packet.

Nothing here raises on bad input: what can't be used becomes `Unusable`, with the bytes as they came.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any

from amie_engine.log.canonical import canonical_json, digest
from amie_engine.packet.base import Packet
from amie_engine.packet.registry import reads_like_a_type

__all__ = [
    "ASK_THE_SERVICE",
    "Source",
    "Unusable",
    "header_digests",
    "identity_of",
    "read_source",
    "text_problem",
    "unusable",
]

ASK_THE_SERVICE = "Ask the service's operators to mend it; then release it from quarantine."

_DEEPEST = 100
"""Lists and objects in each other: far more than any packet has, far less than Python's stack can take."""

_PARTIES = ("local_site_name", "remote_site_name", "originating_site_name")
_LONGEST_ID = 38
"""Digits ("Implementing AMIE", packet header)."""


@dataclass(frozen=True, slots=True)
class Source:
    """A JSON value that came, its canonical text, and the bytes as they came."""

    document: Any = field(repr=False)
    text: str = field(repr=False)
    body: str | None = field(repr=False)
    """The canonical text of its body, where it has one."""
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unusable:
    """What can't be a packet of this site: its bytes as they came, a code, a sentence and a hint."""

    code: str
    reason: str
    hint: str
    raw: bytes = field(repr=False)
    identity: str = field(repr=False)
    """All in it that stays the same however often it is listed, as ASCII text."""
    trans_rec_id: str | None = None
    packet_rec_id: str | None = None
    packet_type: str | None = None


def read_source(source: Any) -> Source | Unusable:
    """Return the JSON value in what came, or why there is none.

    Args:
        source: A `Packet`, a wire document, JSON text, or bytes.
    """
    raw = document = None
    try:
        raw = _bytes_of(source)
        document = _parsed(source) if raw is not None else _plain(source)
        text, body = _canonical(document)
        problem = text_problem(document, text)
    except Exception as error:  # noqa: BLE001 # an object from outside may raise anything when it is read
        problem = _sentence(error)
    if problem is not None:
        raw = _written(document if document is not None else source) if raw is None else raw
        return unusable("packet-unreadable", problem, ASK_THE_SERVICE, raw, document)
    if raw is None:
        # As text it is the same for whoever reads it again: a tuple is a list, a number as a key its text.
        return Source(json.loads(text), text, body, text.encode("ascii"))
    return Source(document, text, body, raw)


def text_problem(document: Any, text: str) -> str | None:
    """Return why a JSON value can't be kept, in a sentence, or None where it can.

    No database and no other program could hold half a character or a NUL, and what is nested without end no
    reader takes.

    Args:
        document: The value.
        text: Its canonical text.
    """
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(document):
        return "It is nested too deeply."
    if "\\ud" in text:
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return "It holds half of a character (a lone surrogate)."
    if "\\u0000" in text and _has_nul(document):
        return "It holds a NUL character."
    return None


def unusable(code: str, reason: str, hint: str, raw: bytes, document: Any = None) -> Unusable:
    """Return what can't be used, with what its document, if it is one, tells of its place."""
    # A subclass of dict could answer anything, or raise.
    header = document.get("header") if type(document) is dict else None
    header = header if type(header) is dict else {}
    packet_type = document.get("type") if type(document) is dict else None
    return Unusable(
        code=code,
        reason=reason,
        hint=hint,
        raw=raw,
        identity=_stable(document, raw),
        trans_rec_id=_shown_id(header.get("trans_rec_id")),
        packet_rec_id=_shown_id(header.get("packet_rec_id")),
        packet_type=_shown_type(packet_type),
    )


def identity_of(document: Mapping[str, Any], body: str | None) -> str:
    """Return what says which packet a document is, and what it says, as canonical text: its type, its record
    ids and its body. An id is the same as a number and as text.

    Args:
        document: The packet's document.
        body: The canonical text of its body, where that is known.
    """
    *first, last = _identity(document)
    return f"{canonical_json(first)[:-1]},{canonical_json(last) if body is None else body}]"


def _identity(document: Mapping[str, Any]) -> list[Any]:
    header = document["header"]
    kept = {key: _normal_id(header.get(key)) for key in ("packet_rec_id", "trans_rec_id")}
    return [document.get("type"), kept, document.get("body")]


def header_digests(document: Mapping[str, Any], timestamp: str | None) -> dict[str, str]:
    """Return a short digest of each key of a header that never changes from one listing to the next.

    The service leaves out now this key and now that one: two copies differ where both have a key.

    Args:
        document: The packet's document.
        timestamp: Its time, in the one form that the log keeps.
    """
    header = document["header"]
    kept = {key: header.get(key) for key in _PARTIES}
    kept |= {key: _normal_id(header.get(key)) for key in ("packet_id", "transaction_id")}
    kept |= {"packet_timestamp": timestamp, "expected_reply_list": header.get("expected_reply_list")}
    return {key: digest(_text_of(value))[:16] for key, value in kept.items() if value not in (None, "")}


def _text_of(value: Any) -> str:
    """The canonical text of a value; mostly of a text, for which there is a shorter way."""
    return encode_basestring_ascii(value) if type(value) is str else canonical_json(value)


def _canonical(document: Any) -> tuple[str, str | None]:
    """The canonical text of a document, and that of its body, which is needed alone as well."""
    if type(document) is not dict or "body" not in document or not all(type(key) is str for key in document):
        return canonical_json(document), None
    texts = {key: canonical_json(value) for key, value in document.items()}
    text = ",".join(f"{encode_basestring_ascii(key)}:{texts[key]}" for key in sorted(texts))
    return f"{{{text}}}", texts["body"]


def _normal_id(value: Any) -> Any:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= _LONGEST_ID:
        return str(int(value))
    return str(value) if type(value) is int and 0 <= value < 10**_LONGEST_ID else value


def _bytes_of(source: Any) -> bytes | None:
    """The bytes of what came as text or bytes; None for a document or a packet."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str):
        return source.encode("utf-8", "surrogatepass")
    return None


def _parsed(source: Any) -> Any:
    return json.loads(source if isinstance(source, str) else bytes(source).decode("utf-8-sig"))


def _plain(source: Any) -> Any:
    if isinstance(source, Packet):
        return source.as_dict()
    return _as_dict(source) if isinstance(source, Mapping) else source


def _as_dict(source: Mapping[Any, Any]) -> dict[Any, Any]:
    """A mapping as a dict, and so its header and body: what other mappings JSON's encoder does not know."""
    return {key: dict(item) if isinstance(item, Mapping) else item for key, item in source.items()}


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return True


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(_has_nul(item) for item in value)


def _sentence(error: Exception) -> str:
    """Why something is unreadable; never a piece of it, which may be personal."""
    if isinstance(error, UnicodeDecodeError):
        return "It is no UTF-8 text."
    if isinstance(error, json.JSONDecodeError):
        return f"It is no JSON text: {error.msg} at character {error.pos}."
    if isinstance(error, RecursionError):
        return "It is nested too deeply."
    if isinstance(error, ValueError) and "Out of range float" in str(error):
        return "It holds NaN or an infinity, which is no JSON."
    if isinstance(error, ValueError) and "digits" in str(error):
        return "It holds a number of too many digits."
    return "It holds values that JSON does not know."


def _written(source: Any) -> bytes:
    """Something that is no text and no bytes, as bytes to keep: its JSON as far as it has one."""
    text = _dumped(source)
    if text is not None:
        return text.encode("ascii")
    text = _dumped(source, default=lambda value: f"<{type(value).__name__}>", skipkeys=True)
    shown = text or f"<{type(source).__name__}>"
    return f"What can't be written as JSON: {shown}".encode("ascii", "replace")


def _dumped(value: Any, **options: Any) -> str | None:
    try:
        return json.dumps(value, **options)
    except Exception:  # noqa: BLE001 # an object from outside may raise anything when it is read
        return None


def _stable(document: Any, raw: bytes) -> str:
    """What stays the same however often a poll lists a document, though its states change."""
    text = None
    if type(document) is dict and type(document.get("header")) is dict:
        text = _dumped(_identity(document), sort_keys=True, separators=(",", ":"))  # as canonical JSON
    return base64.b64encode(raw).decode("ascii") if text is None else text


def _shown_id(value: Any) -> str | None:
    shown = _normal_id(value)
    is_id = isinstance(shown, str) and shown.isascii() and shown.isdigit() and len(shown) <= _LONGEST_ID
    return shown if is_id else None


def _shown_type(value: Any) -> str | None:
    return value if isinstance(value, str) and reads_like_a_type(value) else None
