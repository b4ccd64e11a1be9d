"""What the campus knows, for those who only ask."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

from . import accounts, allocations, people, projects
from .model import Account, Allocation, AllocationChange, Person, Project
from .store import Store

__all__ = ["Records"]


class Records:
    """A resource provider's own records, in an SQLite database. Each method sees one state of it.

    Args:
        database: A path, ``:memory:``, or a URL such as ``sqlite:///campus.db``.

    Raises:
        ValueError: The URL is of another kind of database.
    """

    def __init__(self, database: str | Path) -> None:
        self._store = Store(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. The campus is of no use afterwards."""
        self._store.close()

    def project(self, project_id: str | None = None, *, grant_number: str | None = None) -> Project:
        """Return a project.

        Raises:
            CampusError: There is no such project.
        """
        with self._store.transaction() as connection:
            found = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return projects.read(connection, found)

    def allocation(self, project_id: str, resource: str, *, on: date | None = None) -> Allocation | None:
        """Return a project's allocation on a resource: the newest, or the one in force on a day.

        Raises:
            CampusError: There is no such project.
        """
        with self._store.transaction() as connection:
            found = projects.require(connection, project_id=project_id)
            periods = allocations.periods(connection, found, resource)
        return next((period for period in reversed(periods) if on is None or period.holds_on(on)), None)

    def allocation_history(self, project_id: str, resource: str) -> tuple[AllocationChange, ...]:
        """Return every change to a project's allocations on a resource, the oldest first.

        Raises:
            CampusError: There is no such project.
        """
        with self._store.transaction() as connection:
            found = projects.require(connection, project_id=project_id)
            return allocations.history(connection, found, resource)

    def account(self, project_id: str, resource: str, person_id: str) -> Account | None:
        """Return a person's account in a project on a resource, or None where there is none.

        Raises:
            CampusError: There is no such person or project.
        """
        with self._store.transaction() as connection:
            person = people.require(connection, person_id)
            project = projects.require(connection, project_id=project_id)
            return accounts.find(connection, project, resource, person)

    def accounts(self, project_id: str) -> tuple[Account, ...]:
        """Return all of a project's accounts, the active ones first.

        Raises:
            CampusError: There is no such project.
        """
        with self._store.transaction() as connection:
            return accounts.members(connection, projects.require(connection, project_id=project_id))

    def person(self, person_id: str | None) -> Person:
        """Return the person whom an id of this site names, a merged one too.

        Raises:
            CampusError: There is no such person.
        """
        with self._store.transaction() as connection:
            return people.read(connection, person_id)
