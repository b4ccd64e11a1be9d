"""The draft of the reply that is due: what the log knows is in it, what is missing is the site's to say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from amie_engine.engine.directory import Directory
from amie_engine.engine.incoming import INFORM
from amie_engine.packet.base import Packet

__all__ = ["draft_reply"]

_PERSON_FIELDS = {
    "notify_project_create": ("PiPersonID", "PiGlobalID", "PiRemoteSiteLogin"),
    "notify_account_create": ("UserPersonID", "UserGlobalID", "UserRemoteSiteLogin"),
}


def draft_reply(request: Packet, packet_type: str, directory: Directory, now: datetime) -> Packet:
    """Return a reply made with ``reply_packet()`` and filled with what the log knows.

    Args:
        request: The packet that waits for its reply.
        packet_type: The type of the reply.
        directory: What the site and the hub have agreed.
        now: The time to state where the reply tells when the account became active.
    """
    reply = request.reply_packet(packet_type=packet_type, force=True)
    if packet_type == INFORM:
        reply._body |= {"StatusCode": "Success", "DetailCode": "1", "Message": "OK"}
        return reply
    asked = request.as_dict()["body"]
    for name, field in reply._fields.items():
        wanted = field.reply_required or (field.required and not field.personal)
        if wanted and asked.get(name) not in (None, "", []):
            setattr(reply, name, asked[name])
    if "AccountActivityTime" in reply._fields and reply._fields["AccountActivityTime"].reply_required:
        setattr(reply, "AccountActivityTime", now)  # noqa: B010 # a field of some reply types only
    _fill_project(reply, asked, directory)
    _fill_person(reply, asked, directory)
    return reply


def _fill_project(reply: Packet, asked: Mapping[str, Any], directory: Directory) -> None:
    grant = asked.get("GrantNumber")
    if "ProjectID" in reply._fields and reply._body.get("ProjectID") is None and isinstance(grant, str):
        _set(reply, "ProjectID", directory.project_of(grant, _resource(asked)))


def _fill_person(reply: Packet, asked: Mapping[str, Any], directory: Directory) -> None:
    names = _PERSON_FIELDS.get(reply.packet_type)
    if names is None:
        return
    person_field, global_field, login_field = names
    if reply._body.get(person_field) is None and asked.get(global_field):
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
