"""The rows of the directory that an audit shows: of the log's own, or of one that events have made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from amie_engine.audit.causes import Cause
from amie_engine.audit.subject import Subject
from amie_engine.log.statements import Cursor, Statement

__all__ = ["AccountRow", "DirectoryRow", "PersonRow", "ProjectRow", "read_rows"]

_ACCOUNTS = "FROM amie_directory_accounts a WHERE a.hub = t.hub AND a.site = t.site"
_IN_PROJECT = "a.project_id = t.project_id AND a.resource = t.resource"


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person's local id in the directory, and why it is there."""

    kind: ClassVar[str] = "person"

    person_id: str
    global_id: str | None
    merged_into: str | None
    causes: tuple[Cause, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the other persons."""
        return (self.person_id,)

    @property
    def says(self) -> tuple[Any, ...]:
        """What the directory says of it."""
        return self.global_id, self.merged_into


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project on a resource, and why it is as it is: first whether it is active."""

    kind: ClassVar[str] = "project"

    project_id: str
    resource: str
    grant_number: str | None
    pi_person_id: str | None
    active: bool
    accounts: int
    active_accounts: int
    causes: tuple[Cause, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the other projects."""
        return self.project_id, self.resource

    @property
    def says(self) -> tuple[Any, ...]:
        """What the directory says of it."""
        return self.grant_number, self.pi_person_id, self.active


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A person's account in a project on a resource, and why it is as it is: first whether it is active."""

    kind: ClassVar[str] = "account"

    project_id: str
    resource: str
    person_id: str
    login: str | None
    active: bool
    causes: tuple[Cause, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the other accounts."""
        return self.project_id, self.resource, self.person_id

    @property
    def says(self) -> tuple[Any, ...]:
        """What the directory says of it."""
        return self.login, self.active


DirectoryRow = PersonRow | ProjectRow | AccountRow


def read_rows(
    cursor: Cursor, subject: Subject, hub: str, site: str, *, numbered: bool = False
) -> list[tuple[DirectoryRow, int]]:
    """Return the rows of a directory that concern a subject: persons, then projects, then accounts.

    Args:
        cursor: In a transaction on the database that it is in.
        subject: What is asked for; where it is several things, a row concerns all of them.
        hub: Whose directory.
        site: Likewise.
        numbered: Whether to give SQLite's number of each row, too; else it is 0.
    """
    return list(_Reader(cursor, subject, {"hub": hub, "site": site}, numbered=numbered).rows())


class _Reader:
    def __init__(self, cursor: Cursor, subject: Subject, values: dict[str, Any], *, numbered: bool) -> None:
        self._cursor = cursor
        self._subject = subject
        self._number = "t.rowid" if numbered else "0"
        person = subject.person
        ids = () if person is None else person.local_ids
        self._values = values | {f"person_{number}": local_id for number, local_id in enumerate(ids)}
        self._values |= {"grant": subject.grant, "project": subject.project, "resource": subject.resource}
        self._is_theirs = f"IN ({', '.join(f':person_{number}' for number in range(len(ids)))})"

    def rows(self) -> Iterator[tuple[DirectoryRow, int]]:
        if self._subject.person is not None:
            yield from self._persons()
        yield from self._projects()
        if self._subject.person is not None or self._subject.project is not None:
            yield from self._accounts()

    def _persons(self) -> Iterator[tuple[DirectoryRow, int]]:
        columns = "t.person_id, t.global_id, t.merged_into"
        for number, *row in self._select("persons", columns, [f"t.person_id {self._is_theirs}"]):
            yield PersonRow(*row), number

    def _projects(self) -> Iterator[tuple[DirectoryRow, int]]:
        count = f"(SELECT count(*) {_ACCOUNTS} AND {_IN_PROJECT}"
        columns = (
            "t.project_id, t.resource, t.grant_number, t.pi_person_id, t.active,"
            f" {count}), {count} AND a.active = 1)"
        )
        conditions = self._places()
        if self._subject.grant is not None:
            conditions.append("t.grant_number = :grant")
        if self._subject.person is not None:
            theirs = f"t.pi_person_id {self._is_theirs}"
            if self._subject.project is not None or self._subject.grant is not None:
                has_account = f"SELECT 1 {_ACCOUNTS} AND {_IN_PROJECT} AND a.person_id {self._is_theirs}"
                theirs = f"({theirs} OR EXISTS ({has_account}))"
            conditions.append(theirs)
        for number, *row in self._select("projects", columns, conditions):
            project_id, resource, grant, pi, active, accounts, active_accounts = row
            yield (
                ProjectRow(project_id, resource, grant, pi, bool(active), accounts, active_accounts),
                number,
            )

    def _accounts(self) -> Iterator[tuple[DirectoryRow, int]]:
        conditions = self._places()
        if self._subject.person is not None:
            conditions.append(f"t.person_id {self._is_theirs}")
        if self._subject.grant is not None:
            of_project = "FROM amie_directory_projects a WHERE a.hub = t.hub AND a.site = t.site"
            conditions.append(f"EXISTS (SELECT 1 {of_project} AND {_IN_PROJECT} AND a.grant_number = :grant)")
        columns = "t.project_id, t.resource, t.person_id, t.login, t.active"
        for number, project_id, resource, person_id, login, active in self._select(
            "accounts", columns, conditions
        ):
            yield AccountRow(project_id, resource, person_id, login, bool(active)), number

    def _places(self) -> list[str]:
        """The conditions that projects and accounts have in common."""
        conditions = []
        if self._subject.project is not None:
            conditions.append("t.project_id = :project")
        if self._subject.resource is not None:
            conditions.append("t.resource = :resource")
        return conditions

    def _select(self, table: str, columns: str, conditions: list[str]) -> list[Any]:
        where = " AND ".join(["t.hub = :hub", "t.site = :site", *conditions])
        sql = f"SELECT {self._number}, {columns} FROM amie_directory_{table} t WHERE {where}"  # noqa: S608 # the values are bound
        return sorted(self._cursor.all(Statement(sql), self._values), key=lambda row: row[1:4])
