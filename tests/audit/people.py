"""Whole transactions about given persons, projects and resources, as the service tells of them afterwards."""

from __future__ import annotations

from typing import Any

from amie_engine.packet.registry import PACKET_TYPES
from tests.engine.courses import course, documents
from tests.engine.playing import Document, history_of

FIELDS = {
    "person": ("PiPersonID", "UserPersonID", "PersonID", "PrimaryPersonID", "KeepPersonID"),
    "global_id": ("PiGlobalID", "UserGlobalID", "GlobalID", "KeepGlobalID"),
    "login": ("PiRemoteSiteLogin", "UserRemoteSiteLogin"),
    "project": ("ProjectID",),
    "grant": ("GrantNumber",),
    "gone": ("DeletePersonID",),
    "gone_global_id": ("DeleteGlobalID",),
}
NEVER_SAID = ("PersonIDList", "SitePersonId", "AllocatedResource", "RecordID")


def history(kind: str, trans: int, *, resource: str = "r1", **names: str | None) -> Document:
    """The history of a transaction that has ended well, whose packets name what is given and nothing else.

    Args:
        kind: The type of its first packet.
        trans: Its record id; those of its packets follow from it.
        resource: The resource that its packets name.
        names: By the keys of `FIELDS`, what else they name; None where they are to leave it out.
    """
    packets = documents(course(kind), trans=trans, first=trans * 10)
    for packet in packets:
        packet["body"] = named(packet["type"], packet["body"], resource, names)
    return history_of(*packets)


def named(kind: str, body: Document, resource: str, names: dict[str, str | None]) -> Document:
    """A body that names what is given and nothing else."""
    fields = PACKET_TYPES[kind]._fields
    body = {name: value for name, value in body.items() if name not in NEVER_SAID}
    for what, candidates in FIELDS.items():
        for name in candidates:
            if name in fields:
                body.pop(name, None)
                if names.get(what) is not None and _says(kind, name):
                    body[name] = names[what]
    if "ResourceList" in fields:
        body["ResourceList"] = [resource]
    return body


def _says(kind: str, name: str) -> bool:
    """A request does not know the site's ids of what it asks for."""
    new = {
        "request_project_create": ("PiPersonID", "ProjectID"),
        "request_account_create": ("UserPersonID", "UserRemoteSiteLogin"),
    }
    return name not in new.get(kind, ())


def without_personal(document: Any) -> Any:
    """A body without its personal fields."""
    fields = PACKET_TYPES[document["type"]]._fields
    kept = {n: v for n, v in document["body"].items() if n not in fields or not fields[n].personal}
    return {**document, "body": kept}
