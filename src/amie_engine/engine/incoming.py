"""What a decision needs of a packet that comes in: its ids, its facts, who sent it, what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amie_engine.engine.source import (
    ASK_THE_SERVICE,
    Source,
    Unusable,
    header_digests,
    identity_of,
    read_source,
    unusable,
)
from amie_engine.errors import PacketError, PacketInvalidType
from amie_engine.log.canonical import canonical_json
from amie_engine.packet.base import Packet
from amie_engine.packet.header import format_timestamp, read_expected_replies
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.protocol import Move, Party, move_of

__all__ = ["INFORM", "Incoming", "fact_fields", "inform_move", "is_plain", "read_incoming"]

INFORM = "inform_transaction_complete"

_LONGEST_FACT = 1000
"""Characters of canonical JSON. Facts are small: they are never erased, every fold reads them, and the
projections index them. What is longer stays in the document."""

_SURELY_SHORT = _LONGEST_FACT // 12 - 1
"""Characters of a text that is short, whatever they are: in canonical JSON one takes up to six, or twelve as
a pair. Most values need not be written to be found short."""

_FACTS_OF = {
    name: tuple((field_name, bool(spec.also)) for field_name, spec in found._fields.items() if spec.fact)
    for name, found in PACKET_TYPES.items()
}
"""By packet type the fields that are facts, and whether each has other spellings."""

_PLAIN = frozenset({str, int, float, bool})
"""What a fact may be, alone or in a list. An object in its place may hold anything, about anybody."""

_CHECK_THE_SITE = "Check the site's name in the settings."


@dataclass(frozen=True, slots=True)
class Incoming:
    """A packet as a decision sees it."""

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
    header: Mapping[str, str]
    """A short digest of each header key that never changes."""
    identity: str = field(repr=False)
    """The canonical text of all in it that never changes."""
    document: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    """The canonical text of the document."""
    raw: bytes = field(repr=False)
    """Its bytes as they came."""

    @property
    def move(self) -> str:
        """The move that it makes in its transaction's machine."""
        return inform_move(self.status) if self.packet_type == INFORM else self.packet_type


def inform_move(status: str | None) -> str:
    """The move of an inform, by its ``success`` or ``failure``."""
    return Move.INFORM_SUCCESS if status == "success" else Move.INFORM_FAILURE


def fact_fields(packet: Packet) -> dict[str, Any]:
    """Return the fields of a packet's body that the log may keep for ever: ids, resources, amounts, dates."""
    return _facts(packet)[0]


def read_incoming(source: Any, site: str) -> Incoming | Unusable:
    """Return what a decision needs of a packet, or why it can't be one.

    Args:
        source: A `Packet`, a wire document, JSON text, or bytes.
        site: The site's own AMIE name.
    """
    read = read_source(source)
    if isinstance(read, Unusable):
        return read
    try:
        packet = Packet.from_dict(read.document)
    except PacketInvalidType as error:
        return _refused("packet-type-unknown", error.message, error.hint, read)
    except PacketError as error:
        return _refused("packet-unreadable", error.message, error.hint or ASK_THE_SERVICE, read)
    packet_rec_id, trans_rec_id = packet.packet_rec_id, packet.trans_rec_id
    if packet_rec_id is None or trans_rec_id is None:
        reason = f"This {packet.packet_type} names no packet_rec_id or no trans_rec_id: it has no place."
        return _refused("packet-unreadable", reason, ASK_THE_SERVICE, read)
    names = (packet.local_site_name, packet.remote_site_name)
    if all(names) and site not in names:  # one name alone may be the hub's
        reason = f"This {packet.packet_type} is between other sites; this one is {site}."
        return _refused("packet-other-site", reason, _CHECK_THE_SITE, read)
    return _incoming(packet, str(packet_rec_id), str(trans_rec_id), read, site)


def _refused(code: str, reason: str, hint: str, read: Source) -> Unusable:
    return unusable(code, reason, hint, read.raw, read.document)


def _incoming(packet: Packet, packet_rec_id: str, trans_rec_id: str, read: Source, site: str) -> Incoming:
    facts, odd = _facts(packet)
    anomalies = [f"missing-item:{name}" for name in _missing(packet)]
    anomalies += odd
    anomalies += _odd(packet)
    status = None
    if packet.packet_type == INFORM:
        code = packet._body.get("StatusCode")
        status = "success" if move_of(INFORM, code) == Move.INFORM_SUCCESS else "failure"
        if str(code).strip().lower() not in ("success", "failure"):
            anomalies.append("status-code-unknown")
    listed = read.document["header"].get("expected_reply_list")
    if listed is not None and read_expected_replies(listed) is None:
        anomalies.append("expected-replies-unreadable")
    expected = [] if packet.packet_type == INFORM else packet.expected_reply
    timestamp = _timestamp(packet)
    return Incoming(
        packet_rec_id=packet_rec_id,
        trans_rec_id=trans_rec_id,
        transaction_id=_id_text(packet.transaction_id),
        packet_id=_id_text(packet.packet_id),
        packet_type=packet.packet_type,
        originator=_originator(packet, site),
        sender=_sender(packet, site),
        status=status,
        # What is no packet type can't be due: an unknown name of any length is no fact.
        expected=tuple(
            (reply["type"], reply["timeout"]) for reply in expected if reply["type"] in PACKET_TYPES
        ),
        timestamp=timestamp,
        header=header_digests(read.document, timestamp),
        fields=facts,
        anomalies=tuple(anomalies),
        identity=identity_of(read.document, read.body),
        document=read.document,
        text=read.text,
        raw=read.raw,
    )


def _missing(packet: Packet) -> list[str]:
    """What an incoming packet should carry and does not: of a request or data packet all that is required,
    of a notify, as a reply, what the service can't infer."""
    missing = packet.missing_attributes()
    if packet.packet_type.startswith("notify_"):
        missing = [name for name in missing if name not in packet._data_keys_not_required_in_reply]
    return missing


def _facts(packet: Packet) -> tuple[dict[str, Any], list[str]]:
    """The facts in a packet's body, and the anomalies of what can't be any: that stays in the document."""
    facts, odd = {}, []
    body = packet._body
    for name, has_other_spellings in _FACTS_OF[packet.packet_type]:
        value = _value(packet, name) if has_other_spellings else body.get(name)
        if value is None:
            continue
        if type(value) is str and len(value) <= _SURELY_SHORT:
            facts[name] = value
        elif not is_plain(value):
            odd.append(f"odd-item:{name}")
        elif _is_long(value):
            odd.append(f"item-too-long:{name}")
        else:
            facts[name] = value
    return facts, odd


def is_plain(value: Any) -> bool:
    """Whether a value of a field that is a fact may be one: a text, a number, a truth value, or a list of
    these."""
    return type(value) in _PLAIN or (type(value) is list and all(type(item) in _PLAIN for item in value))


def _odd(packet: Packet) -> list[str]:
    """What the class finds wrong with the items that are there; what is missing is told by name."""
    odd = []
    resources = packet._body.get("ResourceList") if "ResourceList" in packet._fields else None
    if resources is not None and not (isinstance(resources, list) and len(resources) == 1):
        odd.append("resource-list-not-single")
    if "ActionType" in packet._fields and _value(packet, "ActionType") not in (
        None,
        "add",
        "delete",
        "replace",
    ):
        odd.append("action-type-unknown")
    return odd


def _value(packet: Packet, name: str) -> Any:
    """An item of the body as it came, under its name or another spelling of it."""
    value = packet._body.get(name)
    for spelling in packet._fields[name].also:
        if value is None:
            value = packet._body.get(spelling)
    return value


def _is_long(value: Any) -> bool:
    if isinstance(value, str):
        shortest = len(value)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        shortest = sum(len(item) + 1 for item in value)
    else:
        return len(canonical_json(value)) > _LONGEST_FACT
    return shortest > _SURELY_SHORT and len(canonical_json(value)) > _LONGEST_FACT


def _timestamp(packet: Packet) -> str | None:
    """When the packet was made; None where it does not say, or names a time that UTC does not have."""
    moment = packet.packet_timestamp
    try:
        return None if moment is None else format_timestamp(moment)
    except OverflowError:
        return None


def _sender(packet: Packet, site: str) -> Party | None:
    """Who sent a packet: by its header; without a flag by its type; an inform's alone stays open.

    Source: "The AMIE Model", packets.
    """
    outgoing = _flag(packet)
    if outgoing is not None:
        local, remote = packet.local_site_name, packet.remote_site_name
        sender, receiver = (local, remote) if outgoing else (remote, local)
        if sender:
            return Party.SITE if sender == site else Party.HUB
        if receiver:
            return Party.HUB if receiver == site else Party.SITE
    kind = packet.packet_type.partition("_")[0]
    return {"request": Party.HUB, "data": Party.HUB, "notify": Party.SITE}.get(kind)


def _flag(packet: Packet) -> bool | None:
    """Whether the packet goes from local to remote: a number or a truth value, at times as text."""
    flag = packet.outgoing_flag
    if isinstance(flag, str):
        return {"1": True, "true": True, "0": False, "false": False}.get(flag.lower())
    return bool(flag) if isinstance(flag, int | float) and flag in (0, 1) else None


def _originator(packet: Packet, site: str) -> Party | None:
    name = packet.originating_site_name
    if not name:
        return None
    return Party.SITE if name == site else Party.HUB


def _id_text(value: int | None) -> str | None:
    return None if value is None else str(value)
