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
from amie_engine.packet.fields import Field
from amie_engine.packet.header import HEADER_KEYS, Header, read_record_id
from amie_engine.packet.jsonvalue import copy_json, json_value, parse_json
from amie_engine.packet.registry import PACKET_TYPES, find_packet_type, unreadable
from amie_engine.packet.replies import INFORM, Replies
from amie_engine.packet.validation import Validation

__all__ = ["Packet", "PacketInvalidData", "PacketInvalidType"]


class Packet(Replies, Validation):
    """An AMIE packet: a type, a header and a body.

    ``Packet.from_dict`` and ``Packet.from_json`` give an object of the class for the document's type. What
    came in is kept to the letter: a parsed packet that nobody touched gives back the same document, and
    after an assignment only that field differs.

    Args:
        packet_rec_id: The service's record id of the packet: an int, or its digits.
        trans_rec_id: The service's record id of the transaction.
        packet_id: The packet's number within its transaction, counted for each direction.
        transaction_id: The transaction's id at the site that began it.
        packet_timestamp: When the packet was made: a datetime, or ISO 8601 text, with zone.
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
        PacketInvalidData: An id is no number, a time has no zone, or a value has no form in JSON.

    Source: "Implementing AMIE", packet header; the public client's documentation of ``Packet``.
    """

    _assignable: ClassVar[frozenset[str]] = frozenset()
    _types: ClassVar[dict[str, type[Packet]]] = PACKET_TYPES

    __slots__ = ("__weakref__", "_body", "_document", "_emptied", "_header", "_original_data", "_owned")

    _document: dict[str, Any]
    """The rest of the document: DATA_TYPE, type_id and what else came; ``type`` only if one came."""
    _original_data: Any
    """The document that the packet was made from, or None."""
    _owned: set[str]
    """The lists and objects of the body that are this packet's own copies."""

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
            PACKET_TYPES.setdefault(cls._packet_type, cls)

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
            self.type_id = type_id
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
        ids = {
            "packet_rec_id": self.packet_rec_id,
            "trans_rec_id": self.trans_rec_id,
            "in_reply_to": self.in_reply_to_id,
        }
        shown = "".join(f" {name}={value}" for name, value in ids.items() if value is not None)
        return f"<{type(self).__name__}{shown}>"

    def __copy__(self) -> Packet:
        # A packet owns its body: a copy that shared it would change with it.
        copied: Packet = object.__new__(type(self))
        copied._header = copy_json(self._header)
        copied._body = copy_json(self._body)
        copied._document = copy_json(self._document)
        copied._original_data = self._original_data
        copied._emptied = self._emptied.copy()
        copied._owned = self._owned.copy()
        return copied

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
            self._body[name] = json_value(value, name)
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
        AdditionalData(self).become(value)

    # The wire

    @property
    def packet_type(self) -> str:
        """AMIE's name of the packet's type."""
        return self._packet_type

    @property
    def type_id(self) -> int | None:
        """The service's number for the packet's type, or None where the document has none."""
        try:
            return read_record_id(self._document.get("type_id"), "type_id")
        except PacketInvalidData:
            return None

    @type_id.setter
    def type_id(self, value: int | str | None) -> None:
        if value is None:
            self._document.pop("type_id", None)
        else:
            self._document["type_id"] = read_record_id(value, "type_id")

    @classmethod
    def _find_packet_type(cls, packet_or_packet_type: Packet | type[Packet] | str) -> type[Packet]:
        """Return the class for a packet type's name, or for a packet.

        Raises:
            PacketInvalidType: There is no such type.
        """
        return find_packet_type(packet_or_packet_type)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Packet:
        """Return the packet that a wire document describes, as an object of the class for its type.

        Header keys that the service leaves out are tolerated; items that no table names are kept. Lists and
        objects are copied when they are first read, which makes parsing four times faster: leave the document
        as it is.

        Raises:
            PacketInvalidType: The document's type is unknown.
            PacketInvalidData: The document is not an object with a header and a body, or an id is no number.
        """
        try:
            found = PACKET_TYPES[data["type"]]
            header, body = data["header"], data["body"]
        except (KeyError, TypeError, IndexError):
            raise unreadable(data) from None
        if type(header) is not dict or type(body) is not dict or type(data) is not dict:
            if not all(isinstance(part, Mapping) for part in (data, header, body)):
                raise unreadable(data)
            data = {**data, "header": dict(header), "body": dict(body)}
            return cls.from_dict(data)
        for key in _RECORD_IDS:
            value = header.get(key)
            if value is not None and not (type(value) is int and 0 <= value < _SMALL_ID):
                Header.packet_rec_id.read(value, key)
        if header.get("in_reply_to") is not None:
            Header.in_reply_to_id.read(header["in_reply_to"], "in_reply_to")
        document, header = data.copy(), header.copy()
        document["header"] = document["body"] = None  # they keep their places, and as_dict fills them
        if header.get("client_json") is not None:
            header["client_json"] = copy_json(header["client_json"])
        packet: Packet = object.__new__(found)
        _set_header(packet, header)
        _set_body(packet, body.copy())
        _set_document(packet, document)
        _set_original(packet, data)
        _set_emptied(packet, set())
        _set_owned(packet, set())
        return packet

    @classmethod
    def from_json(cls, json_string: str | bytes) -> Packet:
        """Return the packet that JSON text describes. As ``from_dict``, and `PacketInvalidData` for text that
        is no JSON."""
        try:
            document = parse_json(json_string)
        except ValueError:
            raise PacketInvalidData("The packet is no JSON text.") from None
        return cls.from_dict(document)

    def as_dict(self) -> dict[str, Any]:
        """Return the packet as a wire document, which shares nothing with the packet."""
        document: dict[str, Any] = copy_json(self._document)
        header: dict[str, Any] = copy_json(self._header)
        if "type" not in document:  # it was made here; what came keeps its absent keys, and its null ones
            document["type"] = self._packet_type
            values = {key: value for key, value in header.items() if value is not None}
            header = dict.fromkeys(HEADER_KEYS) | values
            if "expected_reply_list" not in values:
                # An inform expects no reply; the class attribute says otherwise only for those who ask.
                header["expected_reply_list"] = [] if self._packet_type == INFORM else self.expected_reply
        document["header"] = header
        document["body"] = copy_json(self._body)
        return document

    def json(self, **json_kwargs: Any) -> str:
        """Return the packet as JSON text. The arguments are those of ``json.dumps``.

        Raises:
            PacketInvalidData: The packet came with a value that is nested too deeply to be written.
        """
        try:
            return json.dumps(self.as_dict(), **json_kwargs)
        except RecursionError:
            raise PacketInvalidData(f"{self!r} is nested too deeply to be written.") from None

    def pretty_print(self) -> None:
        """Print the packet as indented JSON."""
        print(self.json(indent=4, sort_keys=True))  # noqa: T201 # that is its purpose


def _settable_names(cls: type[Packet]) -> frozenset[str]:
    """The names that may be assigned on a packet of a class: its slots, fields and settable properties."""
    names = [
        name for base in cls.__mro__ for name, value in vars(base).items() if hasattr(type(value), "__set__")
    ]
    return frozenset(names) - {"__dict__", "__weakref__"}


Packet._assignable = _settable_names(Packet)
_HEADER_ATTRIBUTES = frozenset(name for name in Packet._assignable if not name.startswith("_"))
_RECORD_IDS = ("packet_rec_id", "trans_rec_id", "packet_id", "transaction_id")
_SMALL_ID = 2**63  # most are: the others, and those that come as text, take the slower way

# Packet.__setattr__ checks names, which from_dict has no need of: it is the hot path.
_set_header = vars(Packet)["_header"].__set__
_set_body = vars(Packet)["_body"].__set__
_set_document = vars(Packet)["_document"].__set__
_set_original = vars(Packet)["_original_data"].__set__
_set_emptied = vars(Packet)["_emptied"].__set__
_set_owned = vars(Packet)["_owned"].__set__
