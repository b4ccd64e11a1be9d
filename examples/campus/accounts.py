"""Logins and accounts.

A login is a person's name on a resource and is kept for ever; an account is a login's place in a project, and
is active or not. After a merge a person can have two logins on a resource: their accounts in a project act as
one then, and the one that is reported is active before inactive, and the preferred login before the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, insert, select, update

from .model import Account, CampusError
from .schema import accounts, logins, people

__all__ = ["ensure", "find", "inactivate_all", "members", "require", "set_active"]

_VALID_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_RESERVED_LOGINS = frozenset(
    {"adm", "admin", "bin", "daemon", "guest", "mail", "nobody", "operator", "root", "sshd", "sys", "test"}
)
_STEM_LENGTH = 16


def find(connection: Connection, project_id: str, resource: str, person_id: str) -> Account | None:
    """Return a person's account in a project on a resource, or None."""
    query = _accounts().where(_in_project(project_id, resource), logins.c.person_id == person_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else Account(**row)


def require(connection: Connection, project_id: str, resource: str, person_id: str) -> Account:
    """Return a person's account in a project on a resource.

    Raises:
        CampusError: There is none.
    """
    account = find(connection, project_id, resource, person_id)
    if account is None:
        raise CampusError(f"Person {person_id} has no account in project {project_id} on {resource}.")
    return account


def members(connection: Connection, project_id: str) -> tuple[Account, ...]:
    """Return all of a project's accounts, the active ones first."""
    query = _accounts().where(accounts.c.project_id == project_id)
    return tuple(Account(**row) for row in connection.execute(query).mappings())


def ensure(
    connection: Connection,
    *,
    project_id: str,
    resource: str,
    person_id: str,
    requested_logins: Iterable[str] = (),
    active: bool,
) -> Account:
    """Return a person's account in a project on a resource, made if need be, and active or inactive as told.

    A person who has a login on the resource keeps it, whatever is requested.
    """
    if find(connection, project_id, resource, person_id) is None:
        login = _login(connection, resource, person_id, requested_logins)
        connection.execute(
            insert(accounts).values(project_id=project_id, resource=resource, login=login, active=active)
        )
    return set_active(connection, project_id, resource, person_id, active=active)


def set_active(
    connection: Connection, project_id: str, resource: str, person_id: str, *, active: bool
) -> Account:
    """Make a person's account in a project on a resource active or inactive.

    Raises:
        CampusError: There is none.
    """
    theirs = select(logins.c.login).where(logins.c.resource == resource, logins.c.person_id == person_id)
    connection.execute(
        update(accounts)
        .where(_in_project(project_id, resource), accounts.c.login.in_(theirs))
        .values(active=active)
    )
    return require(connection, project_id, resource, person_id)


def inactivate_all(connection: Connection, project_id: str, resource: str) -> None:
    """Make all of a project's accounts on a resource inactive. None is deleted, and every login stays."""
    connection.execute(update(accounts).where(_in_project(project_id, resource)).values(active=False))


def _login(connection: Connection, resource: str, person_id: str, requested: Iterable[str]) -> str:
    """The person's login on a resource: the one they have, else the first requested one that is valid and
    free, else one made from their name."""
    on_resource = logins.c.resource == resource
    own: str | None = connection.scalar(
        select(logins.c.login).where(on_resource, logins.c.person_id == person_id, logins.c.preferred)
    )
    if own is not None:
        return own
    for login in chain(filter(_is_valid, requested), _derived(connection, person_id)):
        if connection.scalar(select(logins.c.person_id).where(on_resource, logins.c.login == login)) is None:
            break
    connection.execute(
        insert(logins).values(resource=resource, login=login, person_id=person_id, preferred=True)
    )
    return login


def _is_valid(login: str) -> bool:
    return _VALID_LOGIN.fullmatch(login) is not None and login not in _RESERVED_LOGINS


def _derived(connection: Connection, person_id: str) -> Iterator[str]:
    """Logins made from a name, as rexample, rexample2 and so on; from the id where the name gives none."""
    names = select(people.c.first_name, people.c.last_name).where(people.c.person_id == person_id)
    first_name, last_name = connection.execute(names).one()
    name = (first_name or "").strip()[:1] + (last_name or "")
    stem = next(filter(_is_valid, map(_letters, (name, person_id, f"u{person_id}"))))
    yield stem
    for number in count(2):
        yield f"{stem}{number}"


def _letters(text: str) -> str:
    """What of a text can stand in a login, without accents and in lower case."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())[:_STEM_LENGTH]


def _in_project(project_id: str, resource: str) -> ColumnElement[bool]:
    return and_(accounts.c.project_id == project_id, accounts.c.resource == resource)


def _accounts() -> Select[Any]:
    """Accounts with the person whose each is, the one to report first."""
    of_login = and_(accounts.c.resource == logins.c.resource, accounts.c.login == logins.c.login)
    return (
        select(accounts, logins.c.person_id)
        .join(logins, of_login)
        .order_by(accounts.c.active.desc(), logins.c.preferred.desc(), accounts.c.resource, accounts.c.login)
    )
