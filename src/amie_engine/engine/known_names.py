"""The other names that the directory knows of whom and what transactions name.

A packet may name a person by any of the ids that the person has, or had before a merge, and may leave out the
grant or the project: AMIE has these as optional in many packets. What it leaves out changes no order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from amie_engine.log.statements import Cursor, ListStatement
from amie_engine.packet.naming import Kind

__all__ = ["KnownNames", "Names", "read_names_around"]

Names = Mapping[str, frozenset[str]]
"""Names by their kind (`Kind`)."""

_Name = tuple[str, str]

# All in one query, whose parts each use an index: a name that is both a person's and a project's finds both.
_KNOWN = ListStatement(
    "SELECT 'person', person_id, global_id, merged_into FROM amie_directory_persons"
    " WHERE hub = :hub AND site = :site AND person_id IN ({each})"
    " UNION SELECT 'person', person_id, global_id, merged_into FROM amie_directory_persons"
    " WHERE hub = :hub AND site = :site AND global_id IN ({each})"
    " UNION SELECT 'project', project_id, resource, grant_number FROM amie_directory_projects"
    " WHERE hub = :hub AND site = :site AND project_id IN ({each})"
    " UNION SELECT 'project', project_id, resource, grant_number FROM amie_directory_projects"
    " WHERE hub = :hub AND site = :site AND grant_number IN ({each})"
)
# No index leads from a kept person to those merged into it: this one is for a few names.
_PERSONS_WITH_MERGED = ListStatement(
    "SELECT person_id, global_id, merged_into FROM amie_directory_persons WHERE hub = :hub AND site = :site"
    " AND (person_id IN ({each}) OR global_id IN ({each}) OR merged_into IN ({each}))"
)
_PersonRow = tuple[str, str | None, str | None]
_ProjectRow = tuple[str, str, str | None]


class KnownNames:
    """What the directory knows of whom and what some transactions name.

    Args:
        cursor: In the transaction that reads them.
        key: The hub and the site.
        named: What each of them names.
    """

    def __init__(self, cursor: Cursor, key: Mapping[str, str], named: Iterable[Names]) -> None:
        names = _of_kinds(named, Kind.LOCAL_ID, Kind.GLOBAL_ID, Kind.PROJECT, Kind.GRANT)
        persons, projects = _known(cursor, key, names)
        self._leads_to: defaultdict[_Name, set[_Name]] = defaultdict(set)
        for person_id, global_id, merged_into in persons:
            local = (Kind.LOCAL_ID, person_id)
            if global_id is not None:
                self._leads_to[local].add((Kind.GLOBAL_ID, global_id))
                self._leads_to[Kind.GLOBAL_ID, global_id].add(local)
            if merged_into is not None:
                self._leads_to[local].add((Kind.LOCAL_ID, merged_into))
        self._grants: defaultdict[str, set[str]] = defaultdict(set)
        self._projects: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for project, resource, grant in projects:
            if grant is not None:
                self._grants[project].add(grant)
                self._projects[grant].add((project, resource))

    def of(self, named: Names) -> dict[str, frozenset[str]]:
        """Return what a transaction names, with what the directory knows besides.

        Of each person, these are the ids that lead to the one that is kept: so any two names of a person lead
        to the same. Of projects they are the grants, where the transaction names none; of grants, where it
        names no project, those on its resources: the grant's project on another one need not be the same.
        """
        found = {**named, **self._of_persons(named)}
        projects, grants = named.get(Kind.PROJECT, frozenset()), named.get(Kind.GRANT, frozenset())
        resources = named.get(Kind.RESOURCE, frozenset())
        if projects and not grants:
            found[Kind.GRANT] = frozenset(grant for each in projects for grant in self._grants[each])
        if grants and not projects:
            found[Kind.PROJECT] = frozenset(
                project
                for each in grants
                for project, resource in self._projects[each]
                if not resources or resource in resources
            )
        return found

    def _of_persons(self, named: Names) -> dict[str, frozenset[str]]:
        persons: dict[str, frozenset[str]] = {
            kind: named.get(kind, frozenset()) for kind in (Kind.LOCAL_ID, Kind.GLOBAL_ID)
        }
        left: list[_Name] = [(kind, name) for kind, names in persons.items() for name in names]
        if not any(name in self._leads_to for name in left):  # most persons are new
            return persons
        found: set[_Name] = set()
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left.extend(self._leads_to.get(name, ()))
        return {kind: frozenset(name for of_kind, name in found if of_kind == kind) for kind in persons}


def read_names_around(cursor: Cursor, key: Mapping[str, str], names: Names) -> set[str]:
    """Return by what other transactions may name the same persons, projects and grants, and maybe more.

    Args:
        cursor: In the transaction that reads them.
        key: The hub and the site.
        names: What a transaction names, with what `KnownNames` knows besides.
    """
    persons = _of_kinds([names], Kind.LOCAL_ID, Kind.GLOBAL_ID)
    projects = _of_kinds([names], Kind.PROJECT, Kind.GRANT)
    found = persons | projects
    for row in _followed(persons, lambda left: _PERSONS_WITH_MERGED.all(cursor, key, left)):
        found |= {name for name in row if name is not None}
    for project, _, grant in _known(cursor, key, projects)[1]:
        found |= {project} if grant is None else {project, grant}
    return found


def _known(
    cursor: Cursor, key: Mapping[str, str], names: set[str]
) -> tuple[set[_PersonRow], set[_ProjectRow]]:
    """The directory's persons of these names, with those of the names that they have besides, and so on; and
    its projects."""
    projects: set[_ProjectRow] = set()

    def look(left: set[str]) -> list[_PersonRow]:
        rows = _KNOWN.all(cursor, key, left)
        projects.update(row[1:] for row in rows if row[0] == "project")
        return [row[1:] for row in rows if row[0] == "person"]

    return _followed(names, look), projects


def _followed(names: set[str], look: Callable[[set[str]], Iterable[_PersonRow]]) -> set[_PersonRow]:
    """What a look for some names finds of persons, and one for the names that they have besides, and so on:
    mostly, the second finds nobody new."""
    found: set[_PersonRow] = set()
    asked: set[str] = set()
    left = names
    while left:
        asked |= left
        found |= set(look(left))
        left = {name for row in found for name in row if name is not None} - asked
    return found


def _of_kinds(named: Iterable[Names], *kinds: Kind) -> set[str]:
    return {name for each in named for kind in kinds for name in each.get(kind, ())}
