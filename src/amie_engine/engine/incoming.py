"""Reading what comes in: from bytes, text, a document or a packet to what a decision needs of it.

Nothing here raises on bad input: what can't be a packet becomes `Unusable`, with the bytes as they came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from amie_engine.errors import PacketError, PacketInvalidType
from amie_engine.log.canonical import canonical_json
from amie_engine.packet.base import Packet
from amie_engine.packet.header import format_timestamp, read_expected_replies
from amie_engine.protocol import Move, Party, move_of

__all__ = ["INFORM", "Incoming", "Unusable", "fact_fields", "read_incoming"]

INFORM = "inform_transaction_complete"

# What changes between two listings of one packet, and so is no part of what the packet says.
_MUTABLE_HEADER_KEYS = frozenset(
    {"client_state", "client_json", "packet_state", "transaction_state", "outgoing_flag", "in_reply_to"}
)
_ASK_THE_SERVICE = "Ask the service's operators to mend it; then release it from quarantine."


@dataclass(frozen=True, slots=True)
class Incoming:
    """A packet as a decision sees it: ids as text, the facts, and who sent it."""

    packet_rec_id: str
    trans_rec_id: str
    transaction_id: str | None
    packet_id: str | None
    packet_type: str
    originator: Party | None
    """Who began the transaction, where the header tells."""
    sender: Party | None
    """None where neither the header nor the type tells: an inform without a flag."""
    status: str | None
    """``success`` or ``failure`` of an inform, else None."""
    expected: tuple[tuple[str, int], ...]
    """The replies that it expects, with their timeouts in minutes."""
    timestamp: str | None
    fields: Mapping[str, Any]
    """The fields of its body that are facts."""
    anomalies: tuple[str, ...]
    identity: str
    """The canonical text of all in it that never changes."""
    document: Mapping[str, Any]

    @property
    def move(self) -> str:
        """The move that it makes in its transaction's machine."""
        return inform_move(self.status) if self.packet_type == INFORM else self.packet_type


@dataclass(frozen=True, slots=True)
class Unusable:
    """What can't be a packet of this site: its bytes as they came, a code, a sentence and a hint."""

    code: str
    reason: str
    hint: str
    raw: bytes
    sha256: str
    trans_rec_id: str | None = None
    packet_rec_id: str | None = None
    packet_type: str | None = None


def inform_move(status: str | None) -> str:
    """The move of an inform, by its ``success`` or ``failure``."""
    return Move.INFORM_SUCCESS if status == "success" else Move.INFORM_FAILURE


def fact_fields(packet: Packet) -> dict[str, Any]:
    """Return the fields of a packet's body that the log may keep for ever: ids, resources, amounts, dates."""
    body = packet.as_dict()["body"]
    facts = {}
    for name, field in packet._fields.items():
        if field.fact:
            value = next((body[key] for key in (name, *field.also) if body.get(key) is not None), None)
            if value is not None:
                facts[name] = value
    return facts


def read_incoming(source: Any, site: str) -> Incoming | Unusable:
    """Return what a decision needs of a packet, or why it can't be one.

    Args:
        source: A `Packet`, a wire document, JSON text, or bytes.
        site: The site's own AMIE name.
    """
    try:
        document, raw = _document(source)
        text = canonical_json(document)
        _check_text(document, text)
    except (ValueError, TypeError, RecursionError, UnicodeError) as error:
        return _unusable("packet-unreadable", _sentence(error), _ASK_THE_SERVICE, _raw(source))
    raw = text.encode("ascii") if raw is None else raw
    try:
        packet = Packet.from_dict(document)
    except PacketInvalidType as error:
        return _unusable("packet-type-unknown", error.message, error.hint, raw, document)
    except PacketError as error:
        return _unusable("packet-unreadable", error.message, error.hint or _ASK_THE_SERVICE, raw, document)
    if packet.packet_rec_id is None or packet.trans_rec_id is None:
        reason = f"This {packet.packet_type} names no packet_rec_id or no trans_rec_id: it has no place."
        return _unusable("packet-unreadable", reason, _ASK_THE_SERVICE, raw, document)
    names = {packet.local_site_name, packet.remote_site_name} - {None}
    if names and site not in names:
        reason = f"This {packet.packet_type} is between other sites; this one is {site}."
        return _unusable("packet-other-site", reason, "Check the site's name in the settings.", raw, document)
    return _incoming(packet, document, site)


def _incoming(packet: Packet, document: Mapping[str, Any], site: str) -> Incoming:
    anomalies = [f"missing-item:{name}" for name in _missing(packet)]
    status = None
    if packet.packet_type == INFORM:
        code = packet._body_value("StatusCode")
        status = "success" if move_of(INFORM, code) == Move.INFORM_SUCCESS else "failure"
        if str(code).strip().lower() not in ("success", "failure"):
            anomalies.append("status-code-unknown")
    listed = document["header"].get("expected_reply_list")
    if listed is not None and read_expected_replies(listed) is None:
        anomalies.append("expected-replies-unreadable")
    expected = [] if packet.packet_type == INFORM else packet.expected_reply
    moment = packet.packet_timestamp
    return Incoming(
        packet_rec_id=str(packet.packet_rec_id),
        trans_rec_id=str(packet.trans_rec_id),
        transaction_id=_id_text(packet.transaction_id),
        packet_id=_id_text(packet.packet_id),
        packet_type=packet.packet_type,
        originator=_originator(packet, site),
        sender=_sender(packet, site),
        status=status,
        expected=tuple((reply["type"], reply["timeout"]) for reply in expected),
        timestamp=None if moment is None else format_timestamp(moment),
        fields=fact_fields(packet),
        anomalies=tuple(anomalies),
        identity=_identity(document),
        document=document,
    )


def _missing(packet: Packet) -> list[str]:
    """What an incoming packet should carry and does not: of a request or data packet all that is required,
    of a notify, as a reply, what the service can't infer."""
    missing = packet.missing_attributes()
    if packet.packet_type.startswith("notify_"):
        missing = [name for name in missing if name not in packet._data_keys_not_required_in_reply]
    return missing


def _sender(packet: Packet, site: str) -> Party | None:
    """Who sent a packet: by its header; without a flag by its type; an inform's alone stays open."""
    name = packet.sender_name
    if name is not None:
        return Party.SITE if name == site else Party.HUB
    kind = packet.packet_type.partition("_")[0]
    return {"request": Party.HUB, "data": Party.HUB, "notify": Party.SITE}.get(kind)


def _originator(packet: Packet, site: str) -> Party | None:
    name = packet.originating_site_name
    return None if name is None else Party.SITE if name == site else Party.HUB


def _identity(document: Mapping[str, Any]) -> str:
    header = {k: v for k, v in document["header"].items() if k not in _MUTABLE_HEADER_KEYS and v is not None}
    for key in ("packet_rec_id", "trans_rec_id", "packet_id", "transaction_id"):
        if key in header:
            header[key] = str(header[key])
    return canonical_json([document["type"], header, document["body"]])


def _id_text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _document(source: Any) -> tuple[Any, bytes | None]:
    """The JSON value in what came, and its bytes where it came as text or bytes."""
    if isinstance(source, Packet):
        return source.as_dict(), None
    if isinstance(source, bytes | bytearray | memoryview):
        raw = bytes(source)
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant), raw
    if isinstance(source, str):
        return json.loads(source, parse_constant=_refuse_constant), _raw(source)
    return source, None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"It holds {name}, which is no JSON.")


def _check_text(document: Any, text: str) -> None:
    """Refuse text that no database and no other program could hold: lone surrogates and NUL."""
    if "\\ud" in text:
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("It holds half of a character (a lone surrogate).") from None
    if "\\u0000" in text and _has_nul(document):
        raise ValueError("It holds a NUL character.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any("\x00" in key or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


def _sentence(error: Exception) -> str:
    """Why something is unreadable; never a piece of it, which may be personal."""
    if isinstance(error, UnicodeDecodeError):
        return "It is no UTF-8 text."
    if isinstance(error, json.JSONDecodeError):
        return f"It is no JSON text: {error.msg} at character {error.pos}."
    if isinstance(error, RecursionError):
        return "It is nested too deeply."
    if isinstance(error, TypeError):
        return "It holds values that JSON does not know."
    if "Out of range float" in str(error):
        return "It holds NaN or an infinity, which is no JSON."
    return str(error) if str(error).startswith("It holds") else "It is no JSON text."


def _raw(source: Any) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, Packet):
        source = source._original_data if source._original_data is not None else repr(source)
    if isinstance(source, str):
        return source.encode("utf-8", "surrogatepass")
    try:
        return json.dumps(source, ensure_ascii=False, default=repr).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError):
        return f"<{type(source).__name__} that can't be written as JSON>".encode()


def _unusable(code: str, reason: str, hint: str, raw: bytes, document: Any = None) -> Unusable:
    header = document.get("header") if isinstance(document, dict) else None
    header = header if isinstance(header, dict) else {}
    packet_type = document.get("type") if isinstance(document, dict) else None
    return Unusable(
        code=code,
        reason=reason,
        hint=hint,
        raw=raw,
        sha256=sha256(_stable(document, raw)).hexdigest(),
        trans_rec_id=_shown_id(header.get("trans_rec_id")),
        packet_rec_id=_shown_id(header.get("packet_rec_id")),
        packet_type=packet_type[:60] if isinstance(packet_type, str) else None,
    )


def _stable(document: Any, raw: bytes) -> bytes:
    """What stays the same however often a poll lists the document, though its states change."""
    if isinstance(document, dict) and isinstance(document.get("header"), dict):
        header = {k: v for k, v in document["header"].items() if k not in _MUTABLE_HEADER_KEYS}
        return canonical_json({**document, "header": header}).encode("ascii")
    return raw


def _shown_id(value: Any) -> str | None:
    if type(value) in (int, str) and str(value).isascii() and str(value).isdigit() and len(str(value)) <= 38:
        return str(value)
    return None
