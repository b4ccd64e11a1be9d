"""Projects: which grant is which project, where it runs, and what requests do to it and its accounts.

A project is active or inactive on each of its resources by itself, because every packet about a project names
one resource: a project out of funds on one machine goes on working on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from . import accounts, allocations, people
from .model import Account, Applicant, Award, CampusError, Grant, PersonDetails, Project
from .schema import project_fields_of_science, project_resources, projects
from .store import next_id

__all__ = [
    "add_account",
    "award",
    "find",
    "inactivate",
    "reactivate",
    "reactivate_account",
    "read",
    "require",
]


def find(
    connection: Connection, *, project_id: str | None = None, grant_number: str | None = None
) -> str | None:
    """Return the id of the project that an id and a grant number name, or None where neither does.

    An id that the hub knows, but these tables don't, is no contradiction: the grant decides.

    Raises:
        CampusError: They name two projects.
    """
    by_id = _named(connection, projects.c.project_id, project_id)
    by_grant = _named(connection, projects.c.grant_number, grant_number)
    if by_id is not None and by_grant is not None and by_id != by_grant:
        raise CampusError(f"Project {by_id} is not that of grant {grant_number}, which is {by_grant}.")
    return by_id or by_grant


def require(connection: Connection, *, project_id: str | None = None, grant_number: str | None = None) -> str:
    """Return the id of a project, as `find` does.

    Raises:
        CampusError: There is no such project, or the two name two.
    """
    found = find(connection, project_id=project_id, grant_number=grant_number)
    if found is None:
        named = (("project", project_id), ("grant", grant_number))
        names = [f"{kind} {name}" for kind, name in named if people.present(name)]
        raise CampusError(f"Nothing is known here of {' or '.join(names) or 'a project without an id'}.")
    return found


def read(connection: Connection, project_id: str) -> Project:
    """Return a project that exists."""
    row = connection.execute(select(projects).where(projects.c.project_id == project_id)).mappings().one()
    science = project_fields_of_science.c
    numbers = connection.scalars(
        select(science.number).where(science.project_id == project_id).order_by(science.entry)
    )
    where = project_resources.c
    runs_on = connection.execute(
        select(where.resource, where.active).where(where.project_id == project_id).order_by(where.resource)
    ).all()
    return Project(
        project_id=project_id,
        grant_number=row["grant_number"],
        pi_person_id=row["pi_person_id"],
        title=row["title"],
        field_of_science=row["field_of_science"],
        other_fields_of_science=tuple(numbers),
        active_on=tuple(resource for resource, active in runs_on if active),
        inactive_on=tuple(resource for resource, active in runs_on if not active),
    )


def award(
    connection: Connection, grant: Grant, resource: str, pi: Applicant, change: allocations.Change
) -> Award:
    """Carry out an award: the project, the PI and their account, and the allocation.

    It makes the project active on the resource, and of its accounts only the PI's.

    Raises:
        CampusError: The grant's project has another id than the one named; the PI's ids contradict each
            other; or the allocation can't be changed so.

    Source: "Implementing AMIE", request_project_create.
    """
    if not people.present(grant.grant_number):
        raise CampusError("The award names no grant.")
    _demand_resource(resource)
    project_id = _named(connection, projects.c.grant_number, grant.grant_number)
    by_id = _named(connection, projects.c.project_id, grant.project_id)
    if by_id is not None and by_id != project_id:
        raise CampusError(f"Project {by_id} is not that of grant {grant.grant_number}.")
    pi_person_id = _the_pi(connection, project_id, pi) or people.find_or_create(connection, pi)
    if project_id is None:
        project_id = people.present(grant.project_id) or next_id(connection, "p", projects.c.project_id)
        connection.execute(
            insert(projects).values(
                project_id=project_id, grant_number=grant.grant_number, pi_person_id=pi_person_id
            )
        )
    _describe(connection, project_id, grant, pi_person_id)
    row = insert_or(project_resources).values(project_id=project_id, resource=resource, active=True)
    connection.execute(row.on_conflict_do_update(set_={"active": True}))
    allocation = allocations.apply(connection, project_id, resource, change)
    account = accounts.ensure(
        connection,
        project_id=project_id,
        resource=resource,
        person_id=pi_person_id,
        requested_logins=pi.logins,
        active=True,
    )
    return Award(project=read(connection, project_id), account=account, allocation=allocation)


def add_account(connection: Connection, project_id: str, resource: str, user: Applicant) -> Account:
    """Add a person's account to a project, or make it active again. Where the project is inactive, so is the
    account.

    Raises:
        CampusError: The project has no allocation on the resource, or the person's ids contradict each other.

    Source: "Implementing AMIE", request_account_create.
    """
    active = _is_active(connection, project_id, resource)
    return accounts.ensure(
        connection,
        project_id=project_id,
        resource=resource,
        person_id=people.find_or_create(connection, user),
        requested_logins=user.logins,
        active=active,
    )


def inactivate(connection: Connection, project_id: str, resource: str) -> Project:
    """Make a project and all its accounts inactive on a resource.

    Raises:
        CampusError: The project has no allocation on the resource.

    Source: "Implementing AMIE", request_project_inactivate.
    """
    _set_active(connection, project_id, resource, active=False)
    accounts.inactivate_all(connection, project_id, resource)
    return read(connection, project_id)


def reactivate(connection: Connection, project_id: str, resource: str) -> Project:
    """Make a project active again on a resource, and of its accounts only the PI's.

    Raises:
        CampusError: The project has no allocation on the resource.

    Source: "Implementing AMIE", request_project_reactivate.
    """
    _set_active(connection, project_id, resource, active=True)
    project = read(connection, project_id)
    accounts.ensure(
        connection,
        project_id=project_id,
        resource=resource,
        person_id=project.pi_person_id,
        active=True,
    )
    return project


def reactivate_account(connection: Connection, project_id: str, resource: str, person_id: str) -> Account:
    """Make a person's account active again.

    Raises:
        CampusError: There is no such account, or its project is inactive.
    """
    accounts.require(connection, project_id, resource, person_id)
    if not _is_active(connection, project_id, resource):
        raise CampusError(f"Project {project_id} is inactive on {resource}, and so its accounts must be.")
    return accounts.set_active(connection, project_id, resource, person_id, active=True)


def _named(connection: Connection, column: ColumnElement[Any], name: str | None) -> str | None:
    query = select(projects.c.project_id).where(column == name)
    return connection.scalar(query) if people.present(name) else None


def _the_pi(connection: Connection, project_id: str | None, pi: Applicant) -> str | None:
    """A known project's PI, where the request names that person by no id, but by the same name.

    Requests for several resources of one grant can come before the hub has heard of any id, and must not
    make several people of the PI.
    """
    if project_id is None or people.present(pi.person_id) or people.present(pi.global_id):
        return None
    present_pi = read(connection, project_id).pi_person_id
    if _full_name(people.read(connection, present_pi).details) != _full_name(pi.details):
        return None
    known = Applicant(person_id=present_pi, details=pi.details, dns=pi.dns)
    return people.find_or_create(connection, known)


def _full_name(details: PersonDetails) -> tuple[str, str]:
    return (details.first_name or "").casefold(), (details.last_name or "").casefold()


def _describe(connection: Connection, project_id: str, grant: Grant, pi_person_id: str) -> None:
    """Take over what an award says of the project; what it does not say stays."""
    values = {"pi_person_id": pi_person_id}
    for name in ("title", "field_of_science"):
        text = people.present(getattr(grant, name))
        if text is not None:
            values[name] = text
    connection.execute(update(projects).where(projects.c.project_id == project_id).values(values))
    numbers = dict.fromkeys(_real_numbers(grant.other_fields_of_science))
    if numbers:
        table = project_fields_of_science
        connection.execute(delete(table).where(table.c.project_id == project_id))
        for number in numbers:
            connection.execute(insert(table).values(project_id=project_id, number=number))


def _real_numbers(fields_of_science: Iterable[str]) -> Iterator[str]:
    """The numbers that name a field of science: 0 means none."""
    return (number for number in map(str.strip, fields_of_science) if number.strip("0"))


def _demand_resource(resource: str) -> None:
    if not people.present(resource):
        raise CampusError("No resource is named.")


def _is_active(connection: Connection, project_id: str, resource: str) -> bool:
    where = project_resources.c
    active: bool | None = connection.scalar(
        select(where.active).where(where.project_id == project_id, where.resource == resource)
    )
    if active is None:
        raise CampusError(f"Project {project_id} has no allocation on {resource}.")
    return active


def _set_active(connection: Connection, project_id: str, resource: str, *, active: bool) -> None:
    _is_active(connection, project_id, resource)
    where = project_resources.c
    connection.execute(
        update(project_resources)
        .where(where.project_id == project_id, where.resource == resource)
        .values(active=active)
    )
