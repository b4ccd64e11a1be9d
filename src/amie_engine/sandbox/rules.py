"""What the hub accepts from a site: when a packet may come, what it must carry, what the hub fills in.

Source: "Implementing AMIE", packet tables; "The AMIE Model", transactions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from amie_engine.errors import PacketInvalidData, SandboxRefusal
from amie_engine.packet.header import read_record_id
from amie_engine.protocol import FINAL_STATES, TRANSACTION_TYPES, Move, Party, State, move_of, opened_by, step
from amie_engine.sandbox.ledger import INFORM, PacketRecord, TransactionRecord
from amie_engine.sandbox.values import body_problems, check_json, fields_of, is_blank, wire_body

__all__ = [
    "Posted",
    "acknowledges",
    "check_first",
    "check_turn",
    "complete_reply",
    "next_state",
    "read_posted",
]

_ONLY_THE_SITE_KNOWS = {
    "notify_project_create": frozenset({"ProjectID", "PiPersonID", "PiRemoteSiteLogin"}),
    "notify_account_create": frozenset({"ProjectID", "UserPersonID", "UserRemoteSiteLogin"}),
    "notify_account_reactivate": frozenset({"ProjectID", "PersonID"}),
}
"""Items that the hub never infers, though the request may have one of the same name."""

_SAME_AS_REQUESTED = {
    "notify_project_create": ("GrantNumber", "ResourceList"),
    "notify_account_create": ("GrantNumber", "ResourceList"),
    "notify_project_inactivate": ("ProjectID", "ResourceList"),
    "notify_project_reactivate": ("ProjectID", "ResourceList"),
    "notify_account_inactivate": ("PersonID", "ProjectID", "ResourceList"),
    "notify_account_reactivate": ("PersonID", "ProjectID", "ResourceList"),
}
"""Items of a reply that repeat the request's."""

_FIRST_TYPES = tuple(name for name, kind in TRANSACTION_TYPES.items() if kind.originator is Party.SITE)


@dataclass(frozen=True, slots=True)
class Posted:
    """A packet that a site posted: what the hub takes from its document."""

    type: str
    body: dict[str, Any] = field(repr=False)
    in_reply_to: int | None
    trans_rec_id: int | None

    @property
    def move(self) -> str:
        """The move that the packet makes in its transaction."""
        return move_of(self.type, self.body.get("StatusCode"))


def read_posted(document: Any, in_reply_to: int | None = None) -> Posted:
    """Return what a posted document says, its body in the wire's form.

    Args:
        document: The packet's document; a header is only needed for what it has to say.
        in_reply_to: The packet that the call itself names as answered.

    Raises:
        SandboxRefusal: The document is no packet, or names another packet as answered than the call.
    """
    check_json(document, "The packet")
    if not isinstance(document, dict):
        raise SandboxRefusal(400, "A packet is an object with a type and a body.")
    packet_type, header, body = document.get("type"), document.get("header"), document.get("body")
    if not isinstance(packet_type, str):
        raise SandboxRefusal(400, "The packet names no type.")
    fields_of(packet_type)
    if not isinstance(body, dict):
        raise SandboxRefusal(400, f"This {packet_type} has no body; an empty one is {{}}.")
    if not (header is None or isinstance(header, dict)):
        raise SandboxRefusal(400, f"The header of this {packet_type} is no object.")
    named = _record_id(header, "in_reply_to")
    if in_reply_to is not None and named not in (None, in_reply_to):
        raise SandboxRefusal(400, f"The header's in_reply_to is not {in_reply_to}, which the call answers.")
    answered = named if in_reply_to is None else in_reply_to
    return Posted(packet_type, wire_body(body), answered, _record_id(header, "trans_rec_id"))


def _record_id(header: dict[str, Any] | None, name: str) -> int | None:
    try:
        return read_record_id((header or {}).get(name), name)
    except PacketInvalidData as error:
        raise SandboxRefusal(400, error.message) from None


def check_first(posted: Posted) -> None:
    """Refuse a packet that can't begin a transaction, or lacks what a first packet must carry.

    Raises:
        SandboxRefusal: The packet does not answer anything and can't begin anything either, or is incomplete.
    """
    if posted.trans_rec_id is not None:
        raise SandboxRefusal(
            400,
            f"This {posted.type} is for transaction {posted.trans_rec_id}, but its header does not name the"
            " packet that it answers in in_reply_to.",
        )
    if opened_by(posted.type, Party.SITE) is None:
        raise SandboxRefusal(
            400,
            f"A site can't begin a transaction with {posted.type}, only with {', '.join(_FIRST_TYPES)}."
            " A reply names the packet that it answers in header.in_reply_to.",
        )
    fields = fields_of(posted.type)
    required = [name for name in fields if fields[name].originating_required]
    _check_content(posted.type, posted.body, required)


def acknowledges(posted: Posted, answered: PacketRecord) -> bool:
    """Tell whether a packet is an inform in answer to the hub's own that does not tell of failure: always
    welcome, even without any item, and changing nothing.

    Raises:
        SandboxRefusal: It is one, but has a value that can't be.
    """
    if not (answered.type == posted.type == INFORM and answered.sender is Party.HUB):
        return False
    if posted.move != Move.INFORM_SUCCESS and not is_blank(posted.body.get("StatusCode")):
        return False
    _check_content(posted.type, posted.body, [])
    return True


def check_turn(posted: Posted, answered: PacketRecord) -> None:
    """Refuse a reply that may not come, whatever it carries.

    Raises:
        SandboxRefusal: The packet is not the site's to answer (400), is answered already (409), its
            transaction has ended (409), or this type does not answer it (400).
    """
    transaction, number = answered.transaction, answered.packet_rec_id
    if answered.sender is not Party.HUB:
        raise SandboxRefusal(
            400, f"Packet {number} came from the site itself: it is not the site's to answer."
        )
    if posted.trans_rec_id not in (None, transaction.trans_rec_id):
        raise SandboxRefusal(
            400, f"Packet {number} is of transaction {transaction.trans_rec_id}, not {posted.trans_rec_id}."
        )
    if answered.answered_by is not None:
        raise SandboxRefusal(
            409, f"Packet {number} has been answered already, with packet {answered.answered_by}."
        )
    if transaction.state in FINAL_STATES:
        raise SandboxRefusal(409, f"Transaction {transaction.trans_rec_id} is {transaction.wire_state}.")
    if posted.move == Move.INFORM_FAILURE:
        return
    expected = [reply["type"] for reply in answered.expected_replies]
    if posted.type not in expected:
        raise SandboxRefusal(
            400,
            f"Packet {number} is a {answered.type}: it expects {' or '.join(expected)}, or an {INFORM} that"
            f" tells of failure, and not {posted.type}.",
        )


def complete_reply(posted: Posted, transaction: TransactionRecord, now: datetime) -> dict[str, Any]:
    """Return a reply's body with what the hub infers filled in from the request.

    Raises:
        SandboxRefusal: Items that only the site can tell are missing, a value can't be, or an item that
            repeats the request's differs from it.
    """
    request = transaction.request
    differing = [
        name
        for name in _SAME_AS_REQUESTED.get(posted.type, ())
        if name in request and not is_blank(posted.body.get(name)) and posted.body[name] != request[name]
    ]
    fields = fields_of(posted.type)
    known = {**request, "AccountActivityTime": now.astimezone(UTC).isoformat(timespec="seconds")}
    body = dict(posted.body)
    for name in fields:
        inferred = fields[name].required or fields[name].reply_required
        if inferred and is_blank(body.get(name)) and name not in _ONLY_THE_SITE_KNOWS.get(posted.type, ()):
            value = known.get(name)
            if not is_blank(value):
                body[name] = value
    problems = [f"{', '.join(differing)} must be the request's"] if differing else []
    _check_content(posted.type, body, _required_in_reply(posted.type), problems)
    return body


def next_state(transaction: TransactionRecord, sender: Party, move: str) -> State:
    """Return the state to which a party's move brings a transaction.

    Raises:
        SandboxRefusal: The move is not allowed now.
    """
    state = step(transaction.type, transaction.state, sender, move)
    if state is None:
        raise SandboxRefusal(
            409,
            f"Transaction {transaction.trans_rec_id} is {transaction.state}: it is not the {sender}'s turn.",
        )
    return state


def _required_in_reply(packet_type: str) -> list[str]:
    fields = fields_of(packet_type)
    return [
        name for name, item in fields.items() if item.reply_required or (item.required and not item.inferable)
    ]


def _check_content(
    packet_type: str, body: dict[str, Any], required: list[str], found: list[str] | None = None
) -> None:
    missing = [name for name in required if is_blank(body.get(name))]
    problems = [f"missing {', '.join(missing)}"] if missing else []
    problems += (found or []) + body_problems(packet_type, body)
    if problems:
        raise SandboxRefusal(400, f"This {packet_type} is not valid: {'; '.join(problems)}.")
