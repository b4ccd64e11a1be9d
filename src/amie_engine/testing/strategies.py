"""Hypothesis strategies for AMIE's packets and transactions, for a site's tests of its own handlers.

::

    from hypothesis import given
    from amie_engine.testing.strategies import packets

    @given(packets("request_project_create", site="EXAMPLE"))
    def test_every_request_is_understood(request): ...

`packets` and `bodies` make what AMIE's documents describe; `documents` makes what real services send besides:
everything in it is readable, and nothing in it can be relied on. All are derived from the declarations of the
packet classes, so a field that is added there is in here.

Needs hypothesis: ``pip install 'amie-engine[testing]'``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from amie_engine.errors import DependencyMissing
from amie_engine.packet import Packet
from amie_engine.packet.fields import Field
from amie_engine.packet.header import format_timestamp
from amie_engine.packet.registry import PACKET_TYPES, find_packet_type
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party, Row, State

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as error:
    raise DependencyMissing(
        "amie_engine.testing.strategies needs hypothesis, which is not installed.",
        hint="Install it: pip install 'amie-engine[testing]'.",
    ) from error

__all__ = [
    "amounts",
    "bodies",
    "dates",
    "documents",
    "json_values",
    "packets",
    "record_ids",
    "transactions",
]

HUB = "TGCDB"
"""The central service's name in the headers that these strategies make, as captures have it."""

_LARGEST_ID = 10**38 - 1
_INFORM = "inform_transaction_complete"
_FAILURES = frozenset({Move.INFORM_FAILURE, Move.SET_FAILED, Move.DEADLINE_CONFIRMED})

_SET_VALUES = {
    "AllocationType": st.sampled_from(
        ("new", "renewal", "supplement", "transfer", "adjustment", "extension", "advance")
    ),
    "DetailCode": st.sampled_from(("1", "2")),
    "StatusCode": st.sampled_from(("Success", "Failure")),
    "UserPasswordAccessEnable": st.sampled_from(("0", "1")),
}
"""The text fields that have a set of values. Source: "Implementing AMIE", packet tables."""

_ACTION_TYPES = {
    "request_user_modify": ("replace", "delete"),
    "notify_user_modify": ("replace", "delete", "add"),
}

_EITHER_OF = {"notify_person_duplicate": (("GlobalID1", "PersonID1"), ("GlobalID2", "PersonID2"))}
"""Of each group of fields a body has at least one."""

_RECEIVED_ONLY = frozenset({"PersonIdList", "ResourceLoginList"})
"""Second names of fields that some sites use: they occur in `documents`, not in `bodies`."""

_texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12),
    st.sampled_from(("Example", "Example Robin", "0017756", "example.edu", "(555) 010-0001")),
)
_blanks = st.sampled_from(("", " ", "\t "))
_moments = st.integers(946_684_800_000, 4_102_444_799_999).map(  # milliseconds: from 2000 to 2099
    lambda moment: format_timestamp(datetime.fromtimestamp(moment / 1000, UTC))
)


def json_values() -> SearchStrategy[Any]:
    """Any JSON value: null, true and false, numbers, text, and lists and objects of those, nested."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=12)
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )


def dates() -> SearchStrategy[str]:
    """A date as it stands on the wire: ``YYYY-MM-DD``."""
    return st.dates(date(1990, 1, 1), date(2099, 12, 31)).map(date.isoformat)


def amounts() -> SearchStrategy[str]:
    """An amount as it stands on the wire: whole or decimal, at times negative."""
    whole = st.integers(-(10**9), 10**12).map(str)
    decimal = st.decimals(-(10**6), 10**9, allow_nan=False, allow_infinity=False, places=2)
    return whole | decimal.map(lambda amount: format(amount, "f"))


def record_ids() -> SearchStrategy[int]:
    """A record id of the service: mostly of the usual size, at times of up to 38 digits."""
    return st.integers(1, 10**9) | st.integers(0, _LARGEST_ID)


_objects_item = st.dictionaries(st.sampled_from(("RecordID", "Name", "Number")), _texts, min_size=1)

_KINDS: dict[str, Callable[[Field[Any]], SearchStrategy[Any]]] = {
    "text": lambda field: _SET_VALUES.get(field.name, _texts),
    "date": lambda field: dates(),
    "datetime": lambda field: _moments,
    "amount": lambda field: amounts(),
    "list": lambda field: st.lists(
        _texts, min_size=1, max_size=1 if field.name == "ResourceList" else 3, unique=True
    ),
    "objects": lambda field: st.lists(
        st.fixed_dictionaries(dict.fromkeys(field.items, _texts)), min_size=1, max_size=2
    ),
}


@cache
def bodies(packet_type: str) -> SearchStrategy[dict[str, Any]]:
    """A body of a packet type as AMIE's documents describe it.

    It has everything that the packet must carry, as a reply and as the first of a transaction, and some of
    what it may carry. ``Packet.validate_data`` accepts it.

    Raises:
        PacketInvalidType: There is no such type.
    """
    fields = find_packet_type(packet_type)._fields
    values = {name: _KINDS[field.kind](field) for name, field in fields.items()}
    if packet_type in _ACTION_TYPES:
        values["ActionType"] = st.sampled_from(_ACTION_TYPES[packet_type])
    always = {
        name
        for name, field in fields.items()
        if field.required or field.reply_required or field.originating_required
    }

    def with_chosen(chosen: tuple[str, ...]) -> SearchStrategy[dict[str, Any]]:
        required = always.union(chosen)
        return st.fixed_dictionaries(
            {name: values[name] for name in values if name in required},
            optional={
                name: values[name] for name in values if name not in required and name not in _RECEIVED_ONLY
            },
        )

    choices = st.tuples(*(st.sampled_from(group) for group in _EITHER_OF.get(packet_type, ())))
    return choices.flatmap(with_chosen).map(lambda body: _within_rules(packet_type, body))


def _within_rules(packet_type: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body without what AMIE's rules exclude beside the rest of it.

    Source: "Implementing AMIE", packet tables.
    """
    for name in list(body):
        number, is_about_phone, _ = name.partition("PhoneComment")
        if not is_about_phone:
            number, is_about_phone, _ = name.partition("PhoneExtension")
        if is_about_phone and f"{number}PhoneNumber" not in body:
            del body[name]
    if packet_type == "notify_user_modify":
        body.pop({"delete": "LastName", "replace": "DnList"}.get(body["ActionType"], ""), None)
    if "StartDate" in body and "EndDate" in body:
        body["StartDate"], body["EndDate"] = sorted((body["StartDate"], body["EndDate"]))
    return body


def packets(packet_type: str | None = None, *, site: str = "SITE") -> SearchStrategy[Packet]:
    """A packet as the service lists it, of one type or of any: with a full header, and a body of `bodies`.

    Args:
        packet_type: AMIE's name of the type; any type where it is None.
        site: The site's name in the header.

    Raises:
        PacketInvalidType: There is no such type.
    """
    return _types(packet_type).flatmap(lambda name: _regular_documents(name, site)).map(Packet.from_dict)


def _types(packet_type: str | None) -> SearchStrategy[str]:
    if packet_type is None:
        return st.sampled_from(sorted(PACKET_TYPES))
    return st.just(find_packet_type(packet_type)._packet_type)


@cache
def _uses(packet_type: str) -> list[tuple[Party, Party]]:
    """Who begins the transactions in which a packet type occurs, and who sends it there."""
    move = Move.INFORM_SUCCESS if packet_type == _INFORM else packet_type
    uses = {
        (transaction.originator, row.sender)
        for transaction in TRANSACTION_TYPES.values()
        for row in transaction.rows
        if row.move == move
    }
    return sorted(uses)


@st.composite
def _regular_documents(draw: DrawFn, packet_type: str, site: str) -> dict[str, Any]:
    """A document with every key that AMIE's documents name, and a header that fits the packet's type."""
    originator, sender = draw(st.sampled_from(_uses(packet_type)))
    header = {
        "packet_rec_id": draw(record_ids()),
        "packet_id": draw(st.integers(0, 4)),
        "trans_rec_id": draw(record_ids()),
        "transaction_id": draw(record_ids()),
        "expected_reply_list": [] if packet_type == _INFORM else PACKET_TYPES[packet_type].expected_reply,
        "local_site_name": HUB,
        "remote_site_name": site,
        "originating_site_name": HUB if originator is Party.HUB else site,
        "outgoing_flag": 1 if sender is Party.HUB else 0,
        "transaction_state": "in-progress",
        "packet_state": "in-progress",
        "packet_timestamp": draw(_moments),
        "client_state": None,
        "client_json": None,
    }
    return {"DATA_TYPE": "Packet", "type": packet_type, "header": header, "body": draw(bodies(packet_type))}


_odd_ids = st.none() | record_ids() | record_ids().map(str)
_odd_moments = st.none() | _blanks | _texts | _moments | st.just("2026-01-15T12:00:00")
_odd_states = st.none() | st.sampled_from(("in-progress", "completed", "failed", "")) | _texts
_odd_names = st.none() | _texts
_odd_replies = (
    st.none()
    | st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(sorted(PACKET_TYPES))},
            optional={"timeout": st.none() | st.integers(0, 10**6) | st.just("30240"), "comment": _texts},
        ),
        max_size=3,
    )
    | st.lists(st.sampled_from(sorted(PACKET_TYPES)), max_size=2)
    | json_values()
)
_odd_values = (
    st.none()
    | _blanks
    | _texts
    | st.integers(-99, 99)
    | st.booleans()
    | _objects_item
    | st.lists(_blanks | _texts, max_size=3)
    | st.lists(_objects_item, max_size=2)
)
_odd_header = st.fixed_dictionaries(
    {},
    optional={
        "packet_rec_id": _odd_ids,
        "packet_id": _odd_ids,
        "trans_rec_id": _odd_ids,
        "transaction_id": _odd_ids,
        "in_reply_to": _odd_ids,
        "expected_reply_list": _odd_replies,
        "local_site_name": _odd_names,
        "remote_site_name": _odd_names,
        "originating_site_name": _odd_names,
        "outgoing_flag": st.sampled_from((1, 0, True, False, "1", "0", "true", "", None)),
        "transaction_state": _odd_states,
        "packet_state": _odd_states,
        "packet_timestamp": _odd_moments,
        "client_state": _odd_states,
        "client_json": st.none() | json_values(),
        "site_note": json_values(),
    },
)
_odd_top = st.fixed_dictionaries(
    {},
    optional={
        "DATA_TYPE": st.sampled_from(("Packet", "", None)),
        "type_id": st.none() | st.integers(0, 99) | st.just("16") | _texts,
        "links": json_values(),
    },
)
_additional_items = st.dictionaries(
    st.sampled_from(("SomeTag", "Actiontype", "UserFavouriteColor", "")) | _texts, json_values(), max_size=3
)


@st.composite
def documents(draw: DrawFn, packet_type: str | None = None) -> dict[str, Any]:
    """A wire document, of one type or of any, with the oddities that real services show.

    Header keys are missing or null; ids come as text; ``outgoing_flag`` is a number, a truth value or text;
    the body lacks required items, has nulls, blanks, numbers and objects in place of text, text that is no
    date, and items that no table names. ``Packet.from_dict`` reads every one of them.

    Args:
        packet_type: AMIE's name of the type; any type where it is None.

    Raises:
        PacketInvalidType: There is no such type.
    """
    name = draw(_types(packet_type))
    body = draw(bodies(name))
    field_names = st.sampled_from(sorted(find_packet_type(name)._fields))
    for missing in draw(st.lists(field_names, max_size=3)):
        body.pop(missing, None)
    body |= draw(st.dictionaries(field_names, _odd_values, max_size=4))
    body |= draw(_additional_items)
    return draw(_odd_top) | {"type": name, "header": draw(_odd_header), "body": body}


@st.composite
def transactions(draw: DrawFn, transaction_type: str | None = None, *, finished: bool = False) -> list[Row]:
    """A legal course of a transaction: rows of its type, each in the state that the one before led to.

    Args:
        transaction_type: The name of the type's first packet; any type where it is None.
        finished: Go on until the transaction has completed or failed; else it may stop anywhere.
    """
    name = transaction_type or draw(st.sampled_from(sorted(TRANSACTION_TYPES)))
    course: list[Row] = []
    state = State.START
    while True:
        legal = [row for row in TRANSACTION_TYPES[name].rows if row.state == state]
        if not legal or (not finished and draw(st.integers(0, 4)) == 4):
            return course
        onward = [row for row in legal if row.move not in _FAILURES]
        goes_wrong = draw(st.integers(0, 4)) == 4
        course.append(draw(st.sampled_from(legal if goes_wrong else onward)))
        state = course[-1].next_state
