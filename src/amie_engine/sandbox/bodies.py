"""The bodies of the packets that the hub sends.

Every scalar is text and a blank optional value is ``""``, as captures show it.
Source: "Implementing AMIE", packet tables.
"""

from __future__ import annotations

from typing import Any

from amie_engine.packet.jsonvalue import copy_json
from amie_engine.sandbox.people import Person, Project

__all__ = [
    "account_create",
    "account_data",
    "account_inactivate",
    "account_reactivate",
    "inform_failure",
    "inform_success",
    "person_merge",
    "project_create",
    "project_data",
    "project_inactivate",
    "project_reactivate",
    "user_delete",
    "user_replace",
]

Body = dict[str, Any]


def _made(*parts: Body) -> Body:
    """One body of several parts, in the order of names and without what has no value."""
    whole = {name: value for part in parts for name, value in part.items() if value is not None}
    return {name: copy_json(whole[name]) for name in sorted(whole)}


def project_create(project: Project) -> Body:
    """RPC: create the project and its PI's account."""
    pi = project.pi
    return _made(
        project.details,
        pi.details_for("Pi"),
        {
            "AllocationType": "new",
            "GrantNumber": project.grant,
            "PiDnList": pi.dns,
            "PiGlobalID": pi.global_id,
            "PiPersonID": pi.person_id,
            "PiRequestedLoginList": pi.requested_logins,
            "ProjectID": project.project_id,
            "ResourceList": [project.resource],
            "RoleList": ["allocation_manager"],
        },
    )


def account_create(project: Project, user: Person, *, project_id: str | None, login: str | None) -> Body:
    """RAC: make the user's account, or make it active again. ``project_id`` and ``login`` where known."""
    return _made(
        user.details_for("User"),
        {
            "AllocatedResource": project.details.get("AllocatedResource"),
            "GrantNumber": project.grant,
            "ProjectID": project_id,
            "ResourceList": [project.resource],
            "RoleList": ["co_pi"],
            "UserDnList": user.dns,
            "UserGlobalID": user.global_id,
            "UserPasswordAccessEnable": "1",
            "UserPersonID": user.person_id,
            "UserRemoteSiteLogin": login,
            "UserRequestedLoginList": user.requested_logins,
        },
    )


def _project_change(project: Project, project_id: str, comment: str) -> Body:
    names = ("AllocatedResource", "EndDate", "ServiceUnitsAllocated", "StartDate")
    return _made(
        {name: project.details.get(name) for name in names},
        {
            "Comment": comment,
            "GrantNumber": project.grant,
            "ProjectID": project_id,
            "ResourceList": [project.resource],
        },
    )


def project_inactivate(project: Project, project_id: str) -> Body:
    """RPI: make the project and all its accounts inactive."""
    return _project_change(project, project_id, "Project out of funds") | {"ServiceUnitsRemaining": "-12.5"}


def project_reactivate(project: Project, project_id: str) -> Body:
    """RPR: make the project and its PI's account active again."""
    body = _project_change(project, project_id, "Project funded again")
    return body | {"PersonID": project.pi.person_id} if project.pi.person_id else body


def _account_change(grant: str | None, resource: str, project_id: str, person_id: str, comment: str) -> Body:
    return _made(
        {
            "Comment": comment,
            "GrantNumber": grant,
            "PersonID": person_id,
            "ProjectID": project_id,
            "ResourceList": [resource],
        }
    )


def account_inactivate(grant: str | None, resource: str, project_id: str, person_id: str) -> Body:
    """RAI: make the account inactive."""
    return _account_change(grant, resource, project_id, person_id, "Off the project")


def account_reactivate(grant: str | None, resource: str, project_id: str, person_id: str) -> Body:
    """RAR: make the account active again."""
    return _account_change(grant, resource, project_id, person_id, "Back on the project")


def user_delete(person_id: str, names: list[str]) -> Body:
    """RUM, delete: exactly these DNs are removed."""
    return _made({"ActionType": "delete", "DnList": names, "PersonID": person_id})


def user_replace(person: Person, person_id: str) -> Body:
    """RUM, replace: all that the hub knows of the person; the DNs are added."""
    return _made(
        person.details_for(""), {"ActionType": "replace", "DnList": person.dns or None, "PersonID": person_id}
    )


def person_merge(keep: Person, delete: Person, keep_id: str, delete_id: str) -> Body:
    """RPM: the hub has merged the one person into the other."""
    return _made(
        {
            "DeleteGlobalID": delete.global_id,
            "DeletePersonID": delete_id,
            "DeletePortalLogin": next(filter(None, delete.requested_logins), ""),
            "KeepGlobalID": keep.global_id,
            "KeepPersonID": keep_id,
            "KeepPortalLogin": next(filter(None, keep.requested_logins), ""),
        }
    )


def project_data(notice: Body, pi: Person) -> Body:
    """DPC: the answer to a notify_project_create."""
    return _data(notice["PiPersonID"], notice["ProjectID"], pi)


def account_data(notice: Body, user: Person) -> Body:
    """DAC: the answer to a notify_account_create."""
    return _data(notice["UserPersonID"], notice["ProjectID"], user)


def _data(person_id: str, project_id: str, person: Person) -> Body:
    return _made(
        {
            "DnList": person.dns,
            "GlobalID": person.global_id,
            "PersonID": person_id,
            "ProjectID": project_id,
        }
    )


def inform_success() -> Body:
    """ITC: the transaction is complete."""
    return {"DetailCode": "1", "Message": "OK", "StatusCode": "Success"}


def inform_failure() -> Body:
    """ITC: the transaction has failed."""
    return {
        "DetailCode": "2",
        "Message": "The hub could not go on with this transaction",
        "StatusCode": "Failure",
    }
