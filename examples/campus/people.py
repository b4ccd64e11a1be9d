"""People: who is meant by which id, what is known of them, their DNs, and what a merge does.

A person is named by an id of this site or by the hub's global id. Any number of ids can name one person; one
of this site's is the primary id, under which the person is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from .model import Applicant, CampusError, Degree, Person, PersonDetails
from .schema import distinguished_names, logins, people, person_ids, projects
from .store import next_id

__all__ = [
    "add_dns",
    "delete_dns",
    "find",
    "find_or_create",
    "merge",
    "note_global_id",
    "present",
    "read",
    "replace",
    "require",
]


def present(value: str | None) -> str | None:
    """Return a text as it stands, or None where it is absent or blank."""
    return value if value is not None and value.strip() else None


def find(connection: Connection, *, person_id: str | None = None, global_id: str | None = None) -> str | None:
    """Return the primary id of the person whom an id names, this site's before the hub's, or None."""
    return _named(connection, "site", person_id) or _named(connection, "hub", global_id)


def require(connection: Connection, person_id: str | None) -> str:
    """Return the primary id of the person whom an id of this site names.

    Raises:
        CampusError: It names nobody.
    """
    found = _named(connection, "site", person_id)
    if found is None:
        raise CampusError(
            f"Person {person_id} is not known here." if present(person_id) else "No person is named."
        )
    return found


def read(connection: Connection, person_id: str | None) -> Person:
    """Return the person whom an id of this site names.

    Raises:
        CampusError: It names nobody.
    """
    primary = require(connection, person_id)
    row = connection.execute(select(people).where(people.c.person_id == primary)).mappings().one()
    ids = connection.scalars(
        select(person_ids.c.id)
        .where(person_ids.c.scope == "site", person_ids.c.person_id == primary, person_ids.c.id != primary)
        .order_by(person_ids.c.id)
    )
    details = {detail.name: row[detail.name] for detail in fields(PersonDetails)}
    details["degrees"] = tuple(Degree(*degree) for degree in row["degrees"] or ())
    details["citizenships"] = tuple(row["citizenships"] or ())
    return Person(
        person_id=primary,
        global_id=row["global_id"],
        other_ids=tuple(ids),
        details=PersonDetails(**details),
        dns=tuple(_dns(connection, primary)),
    )


def find_or_create(connection: Connection, applicant: Applicant) -> str:
    """Return the primary id of the person whom a request names; one whom no id names is entered anew.

    Details that the request has are taken over, those that it lacks stay, and its DNs are added. An id of
    this site that the hub knows, but these tables don't, is honoured: the hub has it from this site.

    Raises:
        CampusError: The request's two ids name two people.
    """
    primary = find(connection, person_id=applicant.person_id, global_id=applicant.global_id)
    columns = _columns(applicant.details)
    if primary is None:
        primary = present(applicant.person_id) or next_id(connection, "u", person_ids.c.id)
        connection.execute(insert(people).values(person_id=primary, **columns))
        _point(connection, "site", primary, primary)
    else:
        known = {name: value for name, value in columns.items() if value is not None}
        if known:
            connection.execute(update(people).where(people.c.person_id == primary).values(**known))
        if present(applicant.person_id):
            _point(connection, "site", applicant.person_id, primary)
    note_global_id(connection, primary, applicant.global_id)
    add_dns(connection, primary, applicant.dns)
    return primary


def note_global_id(connection: Connection, person_id: str, global_id: str | None) -> None:
    """Record the hub's id of a person; one that names them already, as after a merge, changes nothing.

    Raises:
        CampusError: The hub's id names somebody else.
    """
    if not present(global_id):
        return
    holder = _named(connection, "hub", global_id)
    if holder is None:
        _point(connection, "hub", global_id, person_id)
        connection.execute(update(people).where(people.c.person_id == person_id).values(global_id=global_id))
    elif holder != person_id:
        raise CampusError(f"Global id {global_id} is that of person {holder} here, not of {person_id}.")


def replace(connection: Connection, person_id: str | None, details: PersonDetails, dns: Iterable[str]) -> str:
    """Put details in the place of a person's, delete those that are absent, and add DNs.

    Source: "Implementing AMIE", request_user_modify, replace.
    """
    primary = require(connection, person_id)
    connection.execute(update(people).where(people.c.person_id == primary).values(**_columns(details)))
    add_dns(connection, primary, dns)
    return primary


def add_dns(connection: Connection, person_id: str, dns: Iterable[str]) -> None:
    """Add DNs to a person's, to the letter; those that are there already, and blank ones, change nothing."""
    for dn in dns:
        if present(dn):
            connection.execute(
                insert_or(distinguished_names).values(person_id=person_id, dn=dn).on_conflict_do_nothing()
            )


def delete_dns(connection: Connection, person_id: str | None, dns: Iterable[str]) -> str:
    """Remove exactly these of a person's DNs, compared to the letter.

    Source: "Implementing AMIE", request_user_modify, delete.
    """
    primary = require(connection, person_id)
    connection.execute(
        delete(distinguished_names).where(
            distinguished_names.c.person_id == primary, distinguished_names.c.dn.in_(list(dns))
        )
    )
    return primary


def merge(connection: Connection, keep: Applicant, merged: Applicant) -> str:
    """Make one person of all whom the four ids name, and return the primary id, which is ``keep``'s.

    Logins (and so accounts), DNs, projects and ids move to the kept person, whose details stay. Where the
    kept id is not known here, the other person goes on under it. The merged ids go on naming the person.

    Raises:
        CampusError: None of the ids names anybody here.

    Source: "Implementing AMIE", request_person_merge.
    """
    kept = find(connection, person_id=keep.person_id, global_id=keep.global_id)
    source = kept or find(connection, person_id=merged.person_id, global_id=merged.global_id)
    if source is None:
        raise CampusError(f"Neither person {keep.person_id} nor person {merged.person_id} is known here.")
    primary = present(keep.person_id) or source
    everybody = {
        name
        for person in (keep, merged)
        for name in (
            _named(connection, "site", person.person_id),
            _named(connection, "hub", person.global_id),
        )
        if name is not None
    }
    if primary not in everybody:
        _copy(connection, source, primary)
    for other in sorted(everybody - {primary}):
        _absorb(connection, other, primary)
    for person in (merged, keep):
        if present(person.person_id):
            _point(connection, "site", person.person_id, primary)
        if present(person.global_id):
            _point(connection, "hub", person.global_id, primary)
    if present(keep.global_id):
        row = update(people).where(people.c.person_id == primary)
        connection.execute(row.values(global_id=keep.global_id))
    return primary


def _named(connection: Connection, scope: Literal["site", "hub"], name: str | None) -> str | None:
    query = select(person_ids.c.person_id).where(person_ids.c.scope == scope, person_ids.c.id == name)
    return connection.scalar(query) if present(name) else None


def _point(
    connection: Connection, scope: Literal["site", "hub"], name: str | None, person_id: str | None
) -> None:
    """Let an id name a person from now on."""
    row = insert_or(person_ids).values(scope=scope, id=name, person_id=person_id)
    connection.execute(row.on_conflict_do_update(set_={"person_id": person_id}))


def _dns(connection: Connection, person_id: str) -> list[str]:
    table = distinguished_names
    return list(
        connection.scalars(select(table.c.dn).where(table.c.person_id == person_id).order_by(table.c.entry))
    )


def _columns(details: PersonDetails) -> dict[str, Any]:
    """The values of the columns for a person's details, None for those that are absent."""
    columns: dict[str, Any] = {
        detail.name: present(getattr(details, detail.name))
        for detail in fields(PersonDetails)
        if detail.default is None
    }
    degrees = [astuple(Degree(d.degree, present(d.field))) for d in details.degrees if present(d.degree)]
    columns["degrees"] = degrees or None
    columns["citizenships"] = [name for name in details.citizenships if present(name)] or None
    return columns


def _copy(connection: Connection, source: str, person_id: str) -> None:
    """Enter a person with another's details."""
    row = connection.execute(select(people).where(people.c.person_id == source)).mappings().one()
    values = {**row, "person_id": person_id, "global_id": None}
    connection.execute(insert(people).values(values))
    _point(connection, "site", person_id, person_id)


def _absorb(connection: Connection, other: str, person_id: str) -> None:
    """Move all that another person has to this one, and let the other's ids name this one."""
    own = select(logins.c.resource).where(logins.c.person_id == person_id, logins.c.preferred)
    resources = list(connection.scalars(own))
    theirs = logins.c.person_id == other
    connection.execute(update(logins).where(theirs, logins.c.resource.in_(resources)).values(preferred=False))
    connection.execute(update(logins).where(theirs).values(person_id=person_id))
    add_dns(connection, person_id, _dns(connection, other))
    connection.execute(delete(distinguished_names).where(distinguished_names.c.person_id == other))
    for table, column in ((person_ids, person_ids.c.person_id), (projects, projects.c.pi_person_id)):
        connection.execute(update(table).where(column == other).values({column.name: person_id}))
    global_id = connection.scalar(select(people.c.global_id).where(people.c.person_id == other))
    connection.execute(delete(people).where(people.c.person_id == other))
    connection.execute(
        update(people)
        .where(people.c.person_id == person_id, people.c.global_id.is_(None))
        .values(global_id=global_id)
    )
