"""Whom and what a packet names: persons, projects, grants and resources.

Which fields do so derives from the packet classes: AMIE spells them alike in every packet. Only facts count,
so that what is found does not change when documents are erased.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from amie_engine.packet.registry import PACKET_TYPES

__all__ = ["NAMING_FIELDS", "Kind", "Naming", "named"]


class Kind(StrEnum):
    """What a field holds a name of."""

    LOCAL_ID = "local id"
    GLOBAL_ID = "global id"
    LOGIN = "login"
    PROJECT = "project"
    GRANT = "grant"
    RESOURCE = "resource"


_PERSON = re.compile(
    r"(?P<role>[A-Za-z]*?)(?:Primary)?(?P<kind>PersonI[Dd]|GlobalID|RemoteSiteLogin)(?:List)?(?P<number>\d?)"
)
_PERSON_KINDS = {
    "PersonID": Kind.LOCAL_ID,
    "PersonId": Kind.LOCAL_ID,
    "GlobalID": Kind.GLOBAL_ID,
    "RemoteSiteLogin": Kind.LOGIN,
}
_THINGS = {
    "ProjectID": Kind.PROJECT,
    "GrantNumber": Kind.GRANT,
    "AllocatedResource": Kind.RESOURCE,
    "ResourceList": Kind.RESOURCE,
    "RemoveResourceList": Kind.RESOURCE,
}


def _naming_fields() -> dict[str, tuple[Kind, str]]:
    fields: dict[str, tuple[Kind, str]] = {}
    for packet_class in PACKET_TYPES.values():
        for name, field in packet_class._fields.items():
            person = _PERSON.fullmatch(name) if field.fact else None
            if person is not None:
                fields[name] = _PERSON_KINDS[person["kind"]], person["role"] + person["number"]
            elif field.fact and name in _THINGS:
                fields[name] = _THINGS[name], ""
    return fields


NAMING_FIELDS = _naming_fields()
"""The fields that name something: what kind of thing, and in which role (``Pi``, ``User``, ``1``)."""


@dataclass(frozen=True, slots=True)
class Naming:
    """A name that a packet has for something."""

    kind: Kind
    role: str
    name: str


def named(fields: Mapping[str, Any]) -> Iterator[Naming]:
    """Yield every name in a packet's facts, or in its body, as text."""
    for field, value in fields.items():
        if field in NAMING_FIELDS:
            kind, role = NAMING_FIELDS[field]
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, str | int | float) and item != "":
                    yield Naming(kind, role, str(item))
