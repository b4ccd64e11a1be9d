"""What an audit is about: a person with all of their names, a grant, a project, a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from amie_engine.engine.unit import View, storable
from amie_engine.log.statements import Statement
from amie_engine.packet.naming import Kind, Naming

__all__ = ["Names", "Person", "Subject", "find_person", "find_subject"]

_HERE = "hub = :hub AND site = :site"
_IS_LOCAL = Statement(
    f"SELECT 1 FROM amie_directory_persons WHERE {_HERE} AND (person_id = :name OR merged_into = :name)"  # noqa: S608 # no value is in it
    f" UNION SELECT 1 FROM amie_directory_accounts WHERE {_HERE} AND person_id = :name"
    f" UNION SELECT 1 FROM amie_directory_projects WHERE {_HERE} AND pi_person_id = :name"
)
_BY_GLOBAL_ID = Statement(
    f"SELECT person_id FROM amie_directory_persons WHERE {_HERE} AND global_id = :name"  # noqa: S608 # as above
)
_BY_LOGIN = Statement(
    f"SELECT DISTINCT person_id FROM amie_directory_accounts WHERE {_HERE} AND login = :name"  # noqa: S608 # as above
)
_ROW = Statement(
    f"SELECT global_id, merged_into FROM amie_directory_persons WHERE {_HERE} AND person_id = :name"  # noqa: S608 # as above
)
_MERGED_INTO = Statement(
    f"SELECT person_id FROM amie_directory_persons WHERE {_HERE} AND merged_into = :name"  # noqa: S608 # as above
)
_LOGINS = Statement(
    f"SELECT DISTINCT login FROM amie_directory_accounts"  # noqa: S608 # as above
    f" WHERE {_HERE} AND person_id = :name AND login IS NOT NULL"
)
_PROJECTS = Statement(
    f"SELECT DISTINCT project_id FROM amie_directory_projects WHERE {_HERE} AND grant_number = :name"  # noqa: S608 # as above
)

Names = Mapping[Kind, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Person:
    """A person by all the names that the directory has for them.

    Local ids count as one person where they were merged, or have the same global id.

    Attributes:
        name: How the caller named them.
        known_by: What kind of name that is; None where the directory does not know it.
        local_ids: Their local ids; where the directory does not know the name, that.
        global_ids: Their global ids.
        logins: Their logins, on whatever resource.
        merged: The local ids that were merged away, each with the one that took its place.
        several: Whether the name is the login of several persons, which then are all meant.
    """

    name: str
    known_by: Kind | None
    local_ids: tuple[str, ...]
    global_ids: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    merged: tuple[tuple[str, str], ...] = ()
    several: bool = False

    @property
    def names(self) -> Names:
        """The person's names, by their kind. One that the directory does not know may be of any kind."""
        if self.known_by is None:
            one = frozenset((self.name,))
            return {Kind.LOCAL_ID: one, Kind.GLOBAL_ID: one, Kind.LOGIN: one}
        return {
            Kind.LOCAL_ID: frozenset(self.local_ids),
            Kind.GLOBAL_ID: frozenset(self.global_ids),
            Kind.LOGIN: frozenset(self.logins),
        }

    def is_identified_by(self, naming: Naming) -> bool:
        """Whether a packet means this person: by an id. A login alone is none: another resource may have
        given the same one to somebody else."""
        return naming.kind in (Kind.LOCAL_ID, Kind.GLOBAL_ID) and naming.name in self.names[naming.kind]

    def may_have(self, naming: Naming) -> bool:
        """Whether a packet has a login that is one of theirs."""
        return naming.kind is Kind.LOGIN and naming.name in self.names[Kind.LOGIN]


@dataclass(frozen=True, slots=True)
class Subject:
    """What an audit is about. Where several are given, all of them must hold."""

    grant: str | None = None
    person: Person | None = None
    project: str | None = None
    resource: str | None = None
    grant_projects: frozenset[str] = field(default_factory=frozenset)
    """The ProjectIDs of the grant: most packets about a project do not name its grant."""

    @property
    def things(self) -> dict[str, Names]:
        """The names of all that is asked for but persons."""
        things: dict[str, Names] = {}
        if self.grant is not None:
            things["grant"] = {Kind.GRANT: frozenset((self.grant,)), Kind.PROJECT: self.grant_projects}
        if self.project is not None:
            things["project"] = {Kind.PROJECT: frozenset((self.project,))}
        if self.resource is not None:
            things["resource"] = {Kind.RESOURCE: frozenset((self.resource,))}
        return things

    @property
    def all_names(self) -> Names:
        """Every name that a packet may have for any of it."""
        every: dict[Kind, frozenset[str]] = {}
        for names in (*self.things.values(), *(() if self.person is None else (self.person.names,))):
            every |= {kind: every.get(kind, frozenset()) | group for kind, group in names.items()}
        return every


def find_subject(
    view: View, *, grant: str | None, person: str | None, project: str | None, resource: str | None
) -> Subject:
    """Return what an audit is about, with all the names that the directory has for it."""
    key = {"hub": view.reader.hub, "site": view.reader.site}
    grant = None if grant is None else storable(grant)
    rows = [] if grant is None else view.cursor.all(_PROJECTS, key | {"name": grant})
    return Subject(
        grant,
        None if person is None else find_person(view, person),
        None if project is None else storable(project),
        None if resource is None else storable(resource),
        frozenset(row[0] for row in rows),
    )


def find_person(view: View, name: str) -> Person:
    """Return the person whom a local id, a global id or a login names; the first of these that fits."""
    return _People(view).find(storable(name))


class _People:
    """The persons of the directory, as one state of the log has them."""

    def __init__(self, view: View) -> None:
        self._cursor = view.cursor
        self._key = {"hub": view.reader.hub, "site": view.reader.site}

    def find(self, name: str) -> Person:
        known_by, first = self._named(name)
        if known_by is None:
            return Person(name, None, (name,))
        groups = {self._same_person(local_id) for local_id in first}
        ids = sorted(frozenset().union(*groups))
        rows = {one: self._cursor.one(_ROW, self._key | {"name": one}) for one in ids}
        known = {one: row for one, row in rows.items() if row is not None}
        return Person(
            name,
            known_by,
            tuple(ids),
            _sorted(row[0] for row in known.values()),
            _sorted(login for one in ids for login in self._all(_LOGINS, one)),
            tuple((one, row[1]) for one, row in known.items() if row[1] is not None),
            len(groups) > 1,
        )

    def _named(self, name: str) -> tuple[Kind | None, list[str]]:
        if self._all(_IS_LOCAL, name):
            return Kind.LOCAL_ID, [name]
        for kind, statement in ((Kind.GLOBAL_ID, _BY_GLOBAL_ID), (Kind.LOGIN, _BY_LOGIN)):
            found = self._all(statement, name)
            if found:
                return kind, found
        return None, []

    def _same_person(self, local_id: str) -> frozenset[str]:
        """All local ids that are one person's: merged with each other, or of the same global id."""
        found: set[str] = set()
        waiting = {local_id}
        while waiting:
            one = waiting.pop()
            found.add(one)
            near = set(self._all(_MERGED_INTO, one))
            row = self._cursor.one(_ROW, self._key | {"name": one})
            if row is not None and row[1] is not None:
                near.add(row[1])
            if row is not None and row[0] is not None and row[0].strip():
                near.update(self._all(_BY_GLOBAL_ID, row[0]))
            waiting |= near - found
        return frozenset(found)

    def _all(self, statement: Statement, name: str) -> list[str]:
        return [row[0] for row in self._cursor.all(statement, self._key | {"name": name})]


def _sorted(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name is not None and name.strip()}))
