"""The packet: what every AMIE packet type has in common.

The names and meanings are those that the public AMIE client documents for its ``Packet``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from amie_engine.errors import PacketInvalidData, PacketInvalidType
from amie_engine.packet.additional import AdditionalData
from amie_engine.packet.fields import Field, copy_json
from amie_engine.packet.header import (
    HEADER_KEYS,
    ExpectedReply,
    flag_field,
    json_field,
    moment_field,
    read_expected_replies,
    read_record_id,
    record_id_field,
    reply_reference_field,
    text_field,
)

__all__ = ["Packet", "PacketInvalidData", "PacketInvalidType"]

_INFORM = "inform_transaction_complete"


class _ExpectedReplies:
    """``expected_reply``: of a packet, what its header says, else its class; of a class, the class's own."""

    def __get__(self, packet: Packet | None, owner: type[Packet]) -> list[ExpectedReply]:
        if packet is not None and "expected_reply_list" in packet._header:
            replies = read_expected_replies(packet._header["expected_reply_list"])
            if replies is not None:
                return replies
        return [dict(reply) for reply in owner._expected_reply]

    def __set__(self, packet: Packet, value: list[ExpectedReply]) -> None:
        replies = read_expected_replies(value)
        if replies is None:
            raise PacketInvalidData(
                "expected_reply is no list of replies.",
                hint='Give [{"type": "...", "timeout": minutes}, ...].',
            )
        packet._header["expected_reply_list"] = replies


class Packet:
    """An AMIE packet: a type, a header and a body.

    ``Packet.from_dict`` and ``Packet.from_json`` give an object of the class for the document's type. What
    came in is kept to the letter: a parsed packet that nobody touched gives back the same document, and
    after an assignment only that field differs.

    Args:
        packet_rec_id: The service's record id of the packet: an int, or its digits.
        trans_rec_id: The service's record id of the transaction.
        packet_id: The packet's number within its transaction, counted for each direction.
        transaction_id: The transaction's id at the site that began it.
        packet_timestamp: When the packet was made: a datetime with zone, or ISO 8601 text.
        additional_data: Items of the body that AMIE's documents don't name.
        in_reply_to: What this packet answers: a packet, its record id as int or text, its wire document, or
            None. It reads back as ``in_reply_to_id``.
        client_state: The site's own note on the packet, kept by the service.
        client_json: The same as a JSON document; text is parsed.
        remote_site_name: As the header has it: written from the hub's side, so the site.
        local_site_name: As the header has it: the hub.
        originating_site_name: Which of the two began the transaction.
        outgoing_flag: 1 where the packet goes from local to remote, else 0.
        transaction_state: ``in-progress``, ``completed`` or ``failed``.
        packet_state: The packet's own state at the service.
        type_id: The service's number for the packet's type.
        kwargs: The fields of the body by their AMIE names; a name that is no field goes to
            ``additional_data``.

    Raises:
        PacketInvalidData: An id is no number, or a time has no zone.

    Source: "Implementing AMIE", packet header; the public client's documentation of ``Packet``.
    """

    _packet_type: ClassVar[str] = ""
    _expected_reply: ClassVar[list[ExpectedReply]] = []
    _fields: ClassVar[dict[str, Field[Any]]] = {}
    _data_keys_required: ClassVar[list[str]] = []
    _data_keys_not_required_in_reply: ClassVar[list[str]] = []
    _data_keys_allowed: ClassVar[list[str]] = []
    _assignable: ClassVar[frozenset[str]] = frozenset()
    _types: ClassVar[dict[str, type[Packet]]] = {}

    __slots__ = ("__weakref__", "_body", "_document", "_emptied", "_header", "_original_data", "_owned")

    _body: dict[str, Any]
    """The body as it goes on the wire."""
    _document: dict[str, Any]
    """The rest of the document: DATA_TYPE, type_id and what else came."""
    _emptied: set[str]
    """The fields that were assigned None or deleted: an item set and then emptied counts as missing."""
    _header: dict[str, Any]
    """The header as it goes on the wire."""
    _original_data: Any
    """The document that the packet was made from, or None."""
    _owned: set[str]
    """The lists and objects of the body that are this packet's own copies."""

    packet_rec_id = record_id_field()
    packet_id = record_id_field()
    trans_rec_id = record_id_field()
    transaction_id = record_id_field()
    packet_timestamp = moment_field()
    in_reply_to_id = reply_reference_field()
    local_site_name = text_field()
    remote_site_name = text_field()
    originating_site_name = text_field()
    outgoing_flag = flag_field()
    transaction_state = text_field()
    packet_state = text_field()
    client_state = text_field()
    client_json = json_field()
    expected_reply = _ExpectedReplies()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        cls._fields = {**cls._fields, **fields}
        declared = cls._fields.values()
        cls._data_keys_required = [f.name for f in declared if f.required]
        cls._data_keys_not_required_in_reply = [f.name for f in declared if f.inferable]
        cls._data_keys_allowed = [f.name for f in declared if not (f.required or f.beyond_client)]
        cls._assignable = _settable_names(cls)
        if "_packet_type" in vars(cls):
            Packet._types.setdefault(cls._packet_type, cls)

    def __init__(
        self,
        packet_rec_id: int | str | None = None,
        trans_rec_id: int | str | None = None,
        packet_id: int | str | None = None,
        transaction_id: int | str | None = None,
        packet_timestamp: datetime | str | None = None,
        additional_data: Mapping[str, Any] | None = None,
        in_reply_to: Packet | int | str | Mapping[str, Any] | None = None,
        client_state: str | None = None,
        client_json: Any = None,
        remote_site_name: str | None = None,
        local_site_name: str | None = None,
        originating_site_name: str | None = None,
        outgoing_flag: int | bool | None = None,
        transaction_state: str | None = None,
        packet_state: str | None = None,
        type_id: int | str | None = None,
        _original_data: Any = None,
        **kwargs: Any,
    ) -> None:
        self._header = {}
        self._body = {}
        self._document = {"DATA_TYPE": "Packet"}
        self._emptied = set()
        self._owned = set()
        self._original_data = _original_data
        header = {
            "packet_rec_id": packet_rec_id,
            "trans_rec_id": trans_rec_id,
            "packet_id": packet_id,
            "transaction_id": transaction_id,
            "packet_timestamp": packet_timestamp,
            "in_reply_to_id": in_reply_to,
            "client_state": client_state,
            "client_json": client_json,
            "remote_site_name": remote_site_name,
            "local_site_name": local_site_name,
            "originating_site_name": originating_site_name,
            "outgoing_flag": outgoing_flag,
            "transaction_state": transaction_state,
            "packet_state": packet_state,
        }
        for name, value in header.items():
            if value is not None:
                setattr(self, name, value)
        if type_id is not None:
            self.type_id = read_record_id(type_id, "type_id")
        if additional_data is not None:
            self.additional_data = additional_data
        for name, value in kwargs.items():
            if name in self._fields:
                setattr(self, name, value)
            else:
                self._set_body_value(name, value)

    if not TYPE_CHECKING:  # a type checker must go on refusing names that are no fields

        def __setattr__(self, name: str, value: Any) -> None:
            if name in self._assignable:
                object.__setattr__(self, name, value)
            else:
                raise AttributeError(self._no_such_field(name))

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            raise AttributeError(self._no_such_field(name))

    def __repr__(self) -> str:
        # No field of the body: most of them are personal.
        header = self._header
        ids = "".join(
            f" {key}={header[key]!r}"
            for key in ("packet_rec_id", "trans_rec_id", "in_reply_to")
            if key in header
        )
        return f"<{type(self).__name__}{ids}>"

    def _no_such_field(self, name: str) -> str:
        names = {known.lower(): known for known in sorted(self._fields.keys() | _HEADER_ATTRIBUTES)}
        nearest = [names[near] for near in difflib.get_close_matches(name.lower(), names, n=1)]
        did_you_mean = f" Did you mean {nearest[0]}?" if nearest else ""
        return (
            f"{type(self).__name__} has no field {name!r}.{did_you_mean} What AMIE does not name goes into"
            f" additional_data: packet.additional_data[{name!r}] = ..."
        )

    # The body

    def _body_value(self, name: str) -> Any:
        """Return an item of the body; a list or an object as this packet's own, so that changing it in place
        changes this packet and not the document that it came from."""
        value = self._body.get(name)
        if type(value) in (list, dict) and name not in self._owned:
            value = copy_json(value)
            self._body[name] = value
            self._owned.add(name)
        return value

    def _set_body_value(self, name: str, value: Any) -> None:
        if value is None:
            self._body.pop(name, None)
            self._emptied.add(name)
        else:
            self._body[name] = value
            self._emptied.discard(name)
            self._owned.add(name)

    @property
    def additional_data(self) -> AdditionalData:
        """The items of the body that the public client's tables don't name; a dict that writes through.

        A field that only AMIE's documents name (``DataProjectCreate.GlobalID``, say) is both an attribute and
        an item here, since with the public client it is found here.
        """
        return AdditionalData(self)

    @additional_data.setter
    def additional_data(self, value: Mapping[str, Any]) -> None:
        current = AdditionalData(self)
        current.clear()
        current.update(value)

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

    # The wire

    @property
    def packet_type(self) -> str:
        """AMIE's name of the packet's type."""
        return self._packet_type

    @property
    def type_id(self) -> int | None:
        """The service's number for the packet's type."""
        return read_record_id(self._document.get("type_id"), "type_id")

    @type_id.setter
    def type_id(self, value: int | str | None) -> None:
        self._document["type_id"] = read_record_id(value, "type_id")

    @property
    def sender_name(self) -> str | None:
        """The name of the party that sent the packet, or None where the header does not tell.

        Source: "The AMIE Model"; it is ``local_site_name`` if ``outgoing_flag`` is true, else
        ``remote_site_name``, whichever side wrote the header.
        """
        flag = self._header.get("outgoing_flag")
        if flag is None or flag == "":
            return None
        outgoing = flag in (1, "1") or (isinstance(flag, str) and flag.lower() == "true")
        return self.local_site_name if outgoing else self.remote_site_name

    @classmethod
    def _find_packet_type(cls, packet_or_packet_type: Packet | type[Packet] | str) -> type[Packet]:
        """Return the class for a packet type's name, or for a packet.

        Raises:
            PacketInvalidType: There is no such type.
        """
        found: type[Packet] | None = None
        if isinstance(packet_or_packet_type, str):
            found = Packet._types.get(packet_or_packet_type)
        elif isinstance(packet_or_packet_type, Packet):
            found = type(packet_or_packet_type)
        elif isinstance(packet_or_packet_type, type):
            found = packet_or_packet_type
        if found is None or not found._packet_type:
            name = packet_or_packet_type if isinstance(packet_or_packet_type, str) else None
            nearest = difflib.get_close_matches(name, Packet._types, n=1) if name and len(name) < 100 else []
            shown = repr(name[:60]) if name else "what was given"
            raise PacketInvalidType(
                f"No AMIE packet type is named {shown}.",
                hint=f"Did you mean {nearest[0]!r}?"
                if nearest
                else "See docs/packets.md for those that there are.",
            )
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Packet:
        """Return the packet that a wire document describes, as an object of the class for its type.

        Header keys that the service leaves out are tolerated; items that no table names are kept.

        Raises:
            PacketInvalidType: The document's type is unknown.
            PacketInvalidData: The document is not an object with a header and a body, or an id is no number.
        """
        try:
            packet_type, header, body = data["type"], data["header"], data["body"]
            found = Packet._types[packet_type]
        except (KeyError, TypeError, IndexError):
            raise _unreadable(data) from None
        if type(header) is not dict or type(body) is not dict or type(data) is not dict:
            raise _unreadable(data)
        for key in ("packet_rec_id", "trans_rec_id", "packet_id", "transaction_id", "in_reply_to"):
            value = header.get(key)
            if value is not None and not (type(value) is int and 0 <= value < _SMALL_ID):
                header_field = getattr(Packet, "in_reply_to_id" if key == "in_reply_to" else key)
                header_field.read(value, key)
        packet = object.__new__(found)
        _set_header(packet, header.copy())
        _set_body(packet, body.copy())
        _set_document(packet, data.copy())
        _set_original(packet, data)
        _set_emptied(packet, set())
        _set_owned(packet, set())
        return packet

    @classmethod
    def from_json(cls, json_string: str | bytes) -> Packet:
        """Return the packet that JSON text describes. As ``from_dict``, and `PacketInvalidData` for text that
        is no JSON."""
        try:
            document = json.loads(json_string)
        except ValueError:
            raise PacketInvalidData("The packet is no JSON text.") from None
        return cls.from_dict(document)

    def as_dict(self) -> dict[str, Any]:
        """Return the packet as a wire document, which shares nothing with the packet."""
        document: dict[str, Any] = copy_json(self._document)
        if "type" in document:  # it came from a document: absent header keys stay absent
            document["header"] = copy_json(self._header)
        else:
            document["type"] = self._packet_type
            document["header"] = dict.fromkeys(HEADER_KEYS) | copy_json(self._header)
            if "expected_reply_list" not in self._header:
                # An inform expects no reply; the class attribute says otherwise only for those who ask.
                document["header"]["expected_reply_list"] = (
                    [] if self._packet_type == _INFORM else self.expected_reply
                )
        document["body"] = copy_json(self._body)
        return document

    def json(self, **json_kwargs: Any) -> str:
        """Return the packet as JSON text. The arguments are those of ``json.dumps``."""
        return json.dumps(self.as_dict(), **json_kwargs)

    def pretty_print(self) -> None:
        """Print the packet as indented JSON."""
        print(self.json(indent=4, sort_keys=True))  # noqa: T201 # that is its purpose

    # Replies

    def reply_packet(
        self, packet_rec_id: int | str | None = None, packet_type: str | None = None, force: bool = False
    ) -> Packet:
        """Return a new packet of the type that this one expects as its reply, with ``in_reply_to`` set.

        Args:
            packet_rec_id: The record id of the reply, if it has one.
            packet_type: Which type, where several are expected.
            force: Take ``packet_type`` even if it is not expected.

        Raises:
            PacketInvalidType: No reply is expected, several are and none was named, or the one named is not.

        For an inform, whose header expects nothing, the class's own list is used, for callers who ask.
        """
        expected = self.expected_reply
        if not expected and self._packet_type == _INFORM:
            expected = type(self).expected_reply
        names = [reply["type"] for reply in expected]
        if not (packet_type and force):
            if not names:
                raise PacketInvalidType(f"{self!r} expects no reply.")
            if packet_type is None:
                if len(names) > 1:
                    raise PacketInvalidType(
                        f"{self!r} expects one of several replies: {', '.join(names)}.",
                        hint="Name one: reply_packet(packet_type=...).",
                    )
                packet_type = names[0]
            elif packet_type not in names:
                raise PacketInvalidType(
                    f"{self!r} does not expect {packet_type!r}, but {' or '.join(names)}.",
                    hint="Take that, or say force=True.",
                )
        found = self._find_packet_type(packet_type)
        return found(packet_rec_id=packet_rec_id, in_reply_to=self.packet_rec_id)

    def reply_with_failure(self, detail_code: str = "2", message: str = "fail transaction") -> Packet:
        """Return an inform with ``StatusCode`` Failure: sent in reply, it fails the transaction.

        Source: "Implementing AMIE", inform_transaction_complete.
        """
        return self._find_packet_type(_INFORM)(
            in_reply_to=self.packet_rec_id, StatusCode="Failure", DetailCode=detail_code, Message=message
        )

    # Validation

    def missing_attributes(self) -> list[str]:
        """Return the required items without a value; in a reply, less those that the service can infer."""
        body = self._body
        missing = [
            name
            for name in self._data_keys_required
            if body.get(name) is None and not any(body.get(other) for other in self._fields[name].also)
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
        body = self._body
        missing = None
        for name in self._data_keys_required:
            if body.get(name) is None:
                missing = self._missing_here() if missing is None else missing
        problems = [f"missing {', '.join(missing)}"] if missing else []
        if "ResourceList" in self._fields:
            resources = body.get("ResourceList")
            if resources is not None and (type(resources) is not list or len(resources) != 1):
                problems.append("ResourceList must be a list of exactly one resource")
        return problems

    def _missing_here(self) -> list[str]:
        """The required items that count as missing, by the rule for replies or the one for first packets."""
        missing = self.missing_attributes()
        if self.in_reply_to_id is not None:
            missing = [name for name in missing if name in self._emptied or name in self._body]
        return missing


def _settable_names(cls: type[Packet]) -> frozenset[str]:
    """The names that may be assigned on a packet of a class: its slots, fields and settable properties."""
    names = [
        name for base in cls.__mro__ for name, value in vars(base).items() if hasattr(type(value), "__set__")
    ]
    return frozenset(names) - {"__dict__", "__weakref__"}


Packet._assignable = _settable_names(Packet)
_HEADER_ATTRIBUTES = frozenset(name for name in Packet._assignable if not name.startswith("_"))
_SMALL_ID = 10**38

# Packet.__setattr__ checks names, which from_dict has no need of: it is the hot path.
_set_header = vars(Packet)["_header"].__set__
_set_body = vars(Packet)["_body"].__set__
_set_document = vars(Packet)["_document"].__set__
_set_original = vars(Packet)["_original_data"].__set__
_set_emptied = vars(Packet)["_emptied"].__set__
_set_owned = vars(Packet)["_owned"].__set__


def _unreadable(data: Any) -> PacketInvalidData | PacketInvalidType:
    """The error that says why a document is no packet."""
    if not isinstance(data, dict):
        return PacketInvalidData("A packet's document is an object, and this is none.")
    packet_type = data.get("type")
    if not isinstance(packet_type, str):
        return PacketInvalidData("The packet's document names no type.")
    if packet_type not in Packet._types:
        try:
            Packet._find_packet_type(packet_type)
        except PacketInvalidType as error:
            return error
    for part in ("header", "body"):
        if not isinstance(data.get(part), dict):
            state = "is no object" if data.get(part) is not None else "is missing"
            return PacketInvalidData(f"The {part} of this {packet_type} {state}.")
    return PacketInvalidData(f"The document of this {packet_type} is no packet.")
