"""The draft of the reply that is due: what the log knows is in it, what is missing is the site's to say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from amie_engine.engine.directory import Directory
from amie_engine.engine.due import turn_of
from amie_engine.engine.incoming import INFORM
from amie_engine.engine.record_id import first_answer
from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.engine.unit import View
from amie_engine.packet.base import Packet
from amie_engine.protocol import Party
from amie_engine.protocol.rules import missing_to_reply

__all__ = ["draft_for", "request_of"]

_PERSON_FIELDS = {
    "notify_project_create": ("PiPersonID", "PiGlobalID", "PiRemoteSiteLogin"),
    "notify_account_create": ("UserPersonID", "UserGlobalID", "UserRemoteSiteLogin"),
}
_BLANKS: tuple[Any, ...] = (None, "", [])


def request_of(view: View, state: TransactionState, entry: PacketEntry) -> Packet:
    """Return a packet of the transaction as it came, or, once it was erased, what its facts still tell."""
    document = view.reader.document(state.stream, entry.version)
    if document is not None and "header" in document:
        return Packet.from_dict(document)
    return Packet._find_packet_type(entry.packet_type)(
        packet_rec_id=entry.packet_rec_id,
        trans_rec_id=state.trans_rec_id,
        packet_id=entry.packet_id,
        **entry.fields,
    )


def draft_for(view: View, state: TransactionState, now: datetime) -> tuple[Packet, Packet] | None:
    """Return the packet that waits for the site and a draft of its reply; None where none waits.

    Args:
        view: Where to read.
        state: The transaction.
        now: The time to state where the reply tells when the account became active.
    """
    turn = turn_of(state)
    if turn.party is not Party.SITE or turn.answers is None:
        return None
    request = request_of(view, state, turn.answers)
    draft = _draft(request, turn.packet_types[0], view.directory, now)
    _fill_from_first_request(draft, state)
    repeated = first_answer(view, state)
    if repeated is not None:
        _repeat(draft, repeated.body)
    return request, draft


def _draft(request: Packet, packet_type: str, directory: Directory, now: datetime) -> Packet:
    """A reply made with ``reply_packet()`` and filled with what its request and the directory tell."""
    reply = request.reply_packet(packet_type=packet_type, force=True)
    if packet_type == INFORM:
        reply._body |= {"StatusCode": "Success", "DetailCode": "1", "Message": "OK"}
        return reply
    asked = request.as_dict()["body"]
    for name, field in reply._fields.items():
        wanted = field.reply_required or (field.required and not field.personal)
        if wanted and asked.get(name) not in _BLANKS:
            setattr(reply, name, asked[name])
    if "AccountActivityTime" in reply._fields and reply._fields["AccountActivityTime"].reply_required:
        setattr(reply, "AccountActivityTime", now)  # noqa: B010 # a field of some reply types only
    _fill_project(reply, asked, directory)
    _fill_person(reply, asked, directory)
    return reply


def _fill_project(reply: Packet, asked: Mapping[str, Any], directory: Directory) -> None:
    grant = asked.get("GrantNumber")
    if "ProjectID" in reply._fields and reply._body.get("ProjectID") is None and grant not in _BLANKS:
        _set(reply, "ProjectID", directory.project_of(str(grant), _resource(asked)))


def _fill_person(reply: Packet, asked: Mapping[str, Any], directory: Directory) -> None:
    names = _PERSON_FIELDS.get(reply.packet_type)
    if names is None:
        return
    person_field, global_field, login_field = names
    if reply._body.get(person_field) is None and asked.get(global_field) not in _BLANKS:
        _set(reply, person_field, directory.person_of(str(asked[global_field])))
    person, resource = reply._body.get(person_field), _resource(asked)
    if reply._body.get(login_field) is None and person and resource:
        _set(reply, login_field, directory.login_of(str(person), resource))


def _set(reply: Packet, name: str, value: str | None) -> None:
    if value is not None:
        setattr(reply, name, value)


def _resource(asked: Mapping[str, Any]) -> str | None:
    resources = asked.get("ResourceList")
    if isinstance(resources, list) and resources and isinstance(resources[0], str):
        return resources[0]
    return None


def _fill_from_first_request(draft: Packet, state: TransactionState) -> None:
    """What the packet that is answered does not name, its transaction's first request may: a reply to a
    data packet, say. Only what a reply must carry is taken."""
    request = state.request
    for name in missing_to_reply(draft):
        value = None if request is None else request.fields.get(name)
        if value not in _BLANKS:
            setattr(draft, name, value)


def _repeat(draft: Packet, answer: Mapping[str, Any]) -> None:
    """Take over the answer to an earlier request with the same RecordID; its grant and resource are the same,
    and stay as this request writes them."""
    for name in draft._fields:
        if answer.get(name) is not None and name not in ("GrantNumber", "ResourceList"):
            setattr(draft, name, answer[name])
