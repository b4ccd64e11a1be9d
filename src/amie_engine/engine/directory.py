"""The directory: what the site and the hub have agreed, from confirmed packets.

Grants with their project ids and resources, persons with their global and local ids, accounts with their
logins, and whether they are active. It holds no names and no DNs: those stay in the documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amie_engine.engine.state import PacketEntry, TransactionState
from amie_engine.log.events import Event, EventType
from amie_engine.log.statements import Cursor, Statement
from amie_engine.protocol import Party

__all__ = ["Directory", "directory_changes"]

_PROJECT = Statement(
    "SELECT project_id FROM amie_directory_projects"
    " WHERE hub = :hub AND site = :site AND grant_number = :grant_number"
    " ORDER BY CASE WHEN resource = :resource THEN 0 ELSE 1 END, project_id LIMIT 1"
)
_PERSON = Statement(
    "SELECT COALESCE(merged_into, person_id) FROM amie_directory_persons"
    " WHERE hub = :hub AND site = :site AND global_id = :global_id"
    " ORDER BY CASE WHEN merged_into IS NULL THEN 0 ELSE 1 END, person_id LIMIT 1"
)
_LOGIN = Statement(
    "SELECT login FROM amie_directory_accounts"
    " WHERE hub = :hub AND site = :site AND person_id = :person_id AND resource = :resource"
    " AND login IS NOT NULL ORDER BY active DESC, project_id LIMIT 1"
)

_PUT_PROJECT = Statement(
    "INSERT INTO amie_directory_projects"
    " (hub, site, project_id, resource, grant_number, pi_person_id, active)"
    " VALUES (:hub, :site, :project_id, :resource, :grant_number, :person_id, 1)"
    " ON CONFLICT (hub, site, project_id, resource) DO UPDATE SET active = 1,"
    " grant_number = COALESCE(excluded.grant_number, amie_directory_projects.grant_number),"
    " pi_person_id = COALESCE(excluded.pi_person_id, amie_directory_projects.pi_person_id)"
)
_PUT_PERSON = Statement(
    "INSERT INTO amie_directory_persons (hub, site, person_id, global_id, merged_into)"
    " VALUES (:hub, :site, :person_id, :global_id, NULL)"
    " ON CONFLICT (hub, site, person_id) DO UPDATE SET"
    " global_id = COALESCE(excluded.global_id, amie_directory_persons.global_id)"
)
_PUT_ACCOUNT = Statement(
    "INSERT INTO amie_directory_accounts (hub, site, project_id, resource, person_id, login, active)"
    " VALUES (:hub, :site, :project_id, :resource, :person_id, :login, :active)"
    " ON CONFLICT (hub, site, project_id, resource, person_id) DO UPDATE SET active = excluded.active,"
    " login = COALESCE(excluded.login, amie_directory_accounts.login)"
)
_LEARN_PROJECT = Statement(
    "INSERT INTO amie_directory_projects"
    " (hub, site, project_id, resource, grant_number, pi_person_id, active)"
    " VALUES (:hub, :site, :project_id, :resource, :grant_number, NULL, 1)"
    " ON CONFLICT (hub, site, project_id, resource) DO UPDATE SET"
    " grant_number = COALESCE(amie_directory_projects.grant_number, excluded.grant_number)"
)
_PUT_ACCOUNT_AS_PROJECT = Statement(
    "INSERT INTO amie_directory_accounts (hub, site, project_id, resource, person_id, login, active)"
    " SELECT :hub, :site, :project_id, :resource, :person_id, :login, active FROM amie_directory_projects"
    " WHERE hub = :hub AND site = :site AND project_id = :project_id AND resource = :resource"
    " ON CONFLICT (hub, site, project_id, resource, person_id) DO UPDATE SET active = excluded.active,"
    " login = COALESCE(excluded.login, amie_directory_accounts.login)"
)
_PROJECT_ACTIVE = Statement(
    "UPDATE amie_directory_projects SET active = :active"
    " WHERE hub = :hub AND site = :site AND project_id = :project_id AND resource = :resource"
)
_ACCOUNTS_INACTIVE = Statement(
    "UPDATE amie_directory_accounts SET active = 0"
    " WHERE hub = :hub AND site = :site AND project_id = :project_id AND resource = :resource"
)
_PI_ACTIVE = Statement(
    "UPDATE amie_directory_accounts SET active = 1"
    " WHERE hub = :hub AND site = :site AND project_id = :project_id AND resource = :resource"
    " AND person_id = (SELECT pi_person_id FROM amie_directory_projects WHERE hub = :hub AND site = :site"
    " AND project_id = :project_id AND resource = :resource)"
)
# Where the person has no account of their own there, that of one who was merged into them is meant.
_ACCOUNT_ACTIVE = Statement(
    "UPDATE amie_directory_accounts SET active = 1 WHERE hub = :hub AND site = :site"
    " AND project_id = :project_id AND resource = :resource"
    " AND (person_id = :person_id OR person_id IN (SELECT merged.person_id FROM amie_directory_persons merged"
    " WHERE merged.hub = :hub AND merged.site = :site AND merged.merged_into = :person_id)"
    " AND NOT EXISTS (SELECT 1 FROM amie_directory_accounts had WHERE had.hub = :hub AND had.site = :site"
    " AND had.project_id = :project_id AND had.resource = :resource AND had.person_id = :person_id))"
)
# A person who was merged into another keeps an account where both had one: their site may keep both. Where
# one is to have none any more, neither is active.
_ACCOUNT_INACTIVE = Statement(
    "UPDATE amie_directory_accounts SET active = 0 WHERE hub = :hub AND site = :site"
    " AND project_id = :project_id AND resource = :resource"
    " AND (person_id = :person_id OR person_id IN (SELECT merged.person_id FROM amie_directory_persons merged"
    " WHERE merged.hub = :hub AND merged.site = :site AND merged.merged_into = :person_id))"
)
# Whom the kept person was merged into before, if so: that one is kept.
_KEPT = (
    "(SELECT COALESCE(kept.merged_into, kept.person_id) FROM amie_directory_persons kept"
    " WHERE kept.hub = :hub AND kept.site = :site AND kept.person_id = :keep)"
)
_MERGE = tuple(
    Statement(sql.replace("{kept}", _KEPT))
    for sql in (
        # Where it was merged into the very one that goes now, the later word counts.
        "UPDATE amie_directory_persons SET merged_into = NULL"
        " WHERE hub = :hub AND site = :site AND person_id = :keep AND merged_into = :gone",
        # Where both have an account, each stays as it is.
        "UPDATE amie_directory_accounts SET person_id = {kept}"
        " WHERE hub = :hub AND site = :site AND person_id = :gone"
        " AND NOT EXISTS (SELECT 1 FROM amie_directory_accounts had WHERE had.hub = :hub AND had.site = :site"
        " AND had.person_id = {kept} AND had.project_id = amie_directory_accounts.project_id"
        " AND had.resource = amie_directory_accounts.resource)",
        "UPDATE amie_directory_projects SET pi_person_id = {kept}"
        " WHERE hub = :hub AND site = :site AND pi_person_id = :gone",
        "UPDATE amie_directory_persons SET merged_into = {kept}"
        " WHERE hub = :hub AND site = :site AND (person_id = :gone OR merged_into = :gone)",
    )
)

Change = tuple[Statement, dict[str, Any]]


class Directory:
    """What can be asked of the directory inside one transaction."""

    def __init__(self, cursor: Cursor, hub: str, site: str) -> None:
        self._cursor = cursor
        self._key = {"hub": hub, "site": site}

    def project_of(self, grant_number: str, resource: str | None) -> str | None:
        """Return the project id of a grant, that on this resource first."""
        values = self._key | {"grant_number": grant_number, "resource": resource or ""}
        return self._first(_PROJECT, values)

    def person_of(self, global_id: str) -> str | None:
        """Return the local id of the person with a global id; after a merge, the kept one's."""
        return self._first(_PERSON, self._key | {"global_id": global_id})

    def login_of(self, person_id: str, resource: str) -> str | None:
        """Return a person's login on a resource."""
        return self._first(_LOGIN, self._key | {"person_id": person_id, "resource": resource})

    def _first(self, statement: Statement, values: Mapping[str, Any]) -> str | None:
        row = self._cursor.one(statement, values)
        return None if row is None else row[0]


def directory_changes(state: TransactionState, event: Event) -> Iterator[Change]:
    """Yield what an event changes in the directory, given the state after it."""
    arrived = event.type in (
        EventType.PACKET_CONFIRMED,
        EventType.PACKET_ADOPTED,
        EventType.PACKET_RECEIVED,
    )
    packet = state.packets[-1] if arrived and state.packets else None
    if packet is None or packet.version != event.version or not packet.moved:
        return
    change = _CHANGES.get(packet.packet_type)
    if change is None and _confirms_merge(state, event, packet):
        change = _merge
    if change is not None:
        yield from change({"hub": state.hub, "site": state.site}, _fields(state, packet))


def _confirms_merge(state: TransactionState, event: Event, packet: PacketEntry) -> bool:
    return state.type == "request_person_merge" and event.status == "success" and packet.sender is Party.SITE


def _fields(state: TransactionState, packet: PacketEntry) -> dict[str, str | None]:
    """The facts that count: the packet's own, then its request's; the one resource of its list."""
    merged: dict[str, Any] = {}
    for source in (state.request.fields if state.request else {}, packet.fields):
        merged |= {name: value for name, value in source.items() if value not in (None, "", [])}
    resources = merged.get("ResourceList")
    merged["resource"] = resources[0] if isinstance(resources, list) and resources else None
    return {name: str(value) for name, value in merged.items() if isinstance(value, str | int | float)}


def _project_made(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    person = fields.get("PiPersonID")
    yield from _person(key, person, fields.get("PiGlobalID"))
    values = key | _place(fields) | {"person_id": person, "grant_number": fields.get("GrantNumber")}
    if values["project_id"] and values["resource"]:
        yield _PUT_PROJECT, values
        if person:
            yield _PUT_ACCOUNT, values | {"login": fields.get("PiRemoteSiteLogin"), "active": 1}


def _account_made(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    person = fields.get("UserPersonID")
    yield from _person(key, person, fields.get("UserGlobalID"))
    values = key | _place(fields) | {"person_id": person, "grant_number": fields.get("GrantNumber")}
    if values["project_id"] and values["resource"]:
        yield _LEARN_PROJECT, values  # it may be older than the log
        if person:  # in an inactive project, the account is inactive
            yield _PUT_ACCOUNT_AS_PROJECT, values | {"login": fields.get("UserRemoteSiteLogin")}


def _recorded(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    yield from _person(key, fields.get("PersonID"), fields.get("GlobalID"))


def _project_inactive(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    values = key | _place(fields)
    yield _PROJECT_ACTIVE, values | {"active": 0}
    yield _ACCOUNTS_INACTIVE, values


def _project_active(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    values = key | _place(fields)
    yield _PROJECT_ACTIVE, values | {"active": 1}
    yield _PI_ACTIVE, values


def _account_inactive(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    yield _ACCOUNT_INACTIVE, key | _place(fields) | {"person_id": fields.get("PersonID")}


def _account_active(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    yield _ACCOUNT_ACTIVE, key | _place(fields) | {"person_id": fields.get("PersonID")}


def _merge(key: dict[str, str], fields: Mapping[str, str | None]) -> Iterator[Change]:
    keep, gone = fields.get("KeepPersonID"), fields.get("DeletePersonID")
    yield from _person(key, keep, fields.get("KeepGlobalID"))
    yield from _person(key, gone, fields.get("DeleteGlobalID"))
    if keep and gone and keep != gone:
        for statement in _MERGE:
            yield statement, key | {"keep": keep, "gone": gone}


def _person(key: dict[str, str], person_id: str | None, global_id: str | None) -> Iterator[Change]:
    if person_id:
        yield _PUT_PERSON, key | {"person_id": person_id, "global_id": global_id}


def _place(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    return {"project_id": fields.get("ProjectID"), "resource": fields.get("resource")}


_CHANGES = {
    "notify_project_create": _project_made,
    "notify_account_create": _account_made,
    "data_project_create": _recorded,
    "data_account_create": _recorded,
    "notify_project_inactivate": _project_inactive,
    "notify_project_reactivate": _project_active,
    "notify_account_inactivate": _account_inactive,
    "notify_account_reactivate": _account_active,
}
