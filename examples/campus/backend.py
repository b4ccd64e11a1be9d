"""The campus: the back end of a small resource provider.

It knows projects, people, logins, accounts and allocations, and neither packets, nor the engine, nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from . import accounts, allocations, people, projects
from .model import (
    Account,
    AllocationType,
    Applicant,
    Award,
    CampusError,
    Grant,
    PersonDetails,
    Project,
)
from .records import Records

__all__ = ["Campus", "CampusError"]


def _now() -> datetime:
    return datetime.now(UTC)


class Campus(Records):
    """A resource provider's own records, in an SQLite database. Threads and processes may share it.

    Every method is one transaction: it does all that it says, or raises and changes nothing. Those that
    change something take a ``key``: calling one again with the same key changes nothing, and returns what it
    returned the first time. A call that raised has left no key behind, and can be made again.

    A project is named by its id at this site, by its grant number, or by both.

    Args:
        database: A path, ``:memory:``, or a URL such as ``sqlite:///campus.db``; the tables are made if need
            be.
        clock: What tells the time, with its zone, for the allocations' history.

    Raises:
        ValueError: The URL is of another kind of database.
    """

    def __init__(self, database: str | Path = ":memory:", *, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(database)
        self._clock = clock

    # Projects

    def award(
        self,
        grant: Grant,
        *,
        resource: str,
        pi: Applicant,
        allocation_type: AllocationType | str,
        amount: Decimal | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
        key: str | None = None,
    ) -> Award:
        """Make or change a project, its PI's account and its allocation on a resource.

        The project becomes active there if it was not, and of its accounts only the PI's does.

        Args:
            grant: The grant, and what is known of the project.
            resource: Where the service units are for.
            pi: The principal investigator.
            allocation_type: What to do to the allocation, in any case of letters.
            amount: Service units; negative ones only where there are as many to take away.
            start_date: The first day of the allocation.
            end_date: Its last day.
            key: The idempotency key.

        Raises:
            CampusError: The allocation type is unknown, there is no allocation to change, it would fall below
                zero, an amount or a date is missing, or ids contradict each other.
        """

        def carry_out(connection: Connection) -> Award:
            change = allocations.Change(
                grant_number=grant.grant_number,
                allocation_type=AllocationType.read(allocation_type),
                amount=amount,
                start_date=start_date,
                end_date=end_date,
                recorded_at=self._clock(),
            )
            return projects.award(connection, grant, resource, pi, change)

        return self._store.once("award", key, carry_out)

    def inactivate_project(
        self,
        *,
        resource: str,
        project_id: str | None = None,
        grant_number: str | None = None,
        key: str | None = None,
    ) -> Project:
        """Make a project and all its accounts inactive on a resource. Nothing is deleted.

        Raises:
            CampusError: There is no such project, or it has no allocation there.
        """

        def inactivate(connection: Connection) -> Project:
            project = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return projects.inactivate(connection, project, resource)

        return self._store.once("inactivate_project", key, inactivate)

    def reactivate_project(
        self,
        *,
        resource: str,
        project_id: str | None = None,
        grant_number: str | None = None,
        key: str | None = None,
    ) -> Project:
        """Make a project active again on a resource, and of its accounts only the PI's.

        Raises:
            CampusError: There is no such project, or it has no allocation there.
        """

        def reactivate(connection: Connection) -> Project:
            project = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return projects.reactivate(connection, project, resource)

        return self._store.once("reactivate_project", key, reactivate)

    # Accounts

    def add_account(
        self,
        user: Applicant,
        *,
        resource: str,
        project_id: str | None = None,
        grant_number: str | None = None,
        key: str | None = None,
    ) -> Account:
        """Add a person's account to a project, or make it active again.

        Where the project is inactive on the resource, so is the account.

        Raises:
            CampusError: There is no such project, it has no allocation there, or the person's ids contradict
                each other.
        """

        def add(connection: Connection) -> Account:
            project = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return projects.add_account(connection, project, resource, user)

        return self._store.once("add_account", key, add)

    def inactivate_account(
        self,
        person_id: str | None,
        *,
        resource: str,
        project_id: str | None = None,
        grant_number: str | None = None,
        key: str | None = None,
    ) -> Account:
        """Make a person's account in a project inactive. The person's id and login stay.

        Raises:
            CampusError: There is no such person, project or account.
        """

        def inactivate(connection: Connection) -> Account:
            person = people.require(connection, person_id)
            project = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return accounts.set_active(connection, project, resource, person, active=False)

        return self._store.once("inactivate_account", key, inactivate)

    def reactivate_account(
        self,
        person_id: str | None,
        *,
        resource: str,
        project_id: str | None = None,
        grant_number: str | None = None,
        key: str | None = None,
    ) -> Account:
        """Make a person's account in a project active again.

        Raises:
            CampusError: There is no such person, project or account, or the project is inactive there.
        """

        def reactivate(connection: Connection) -> Account:
            person = people.require(connection, person_id)
            project = projects.require(connection, project_id=project_id, grant_number=grant_number)
            return projects.reactivate_account(connection, project, resource, person)

        return self._store.once("reactivate_account", key, reactivate)

    # People

    def find_or_create_person(self, applicant: Applicant, *, key: str | None = None) -> str:
        """Return the id of a person, found by either id or entered anew; details and DNs are taken over.

        Raises:
            CampusError: The two ids name two people.
        """
        return self._store.once(
            "find_or_create_person", key, lambda connection: people.find_or_create(connection, applicant)
        )

    def replace_person(
        self,
        person_id: str | None,
        details: PersonDetails,
        *,
        dns: Iterable[str] = (),
        key: str | None = None,
    ) -> str:
        """Put details in the place of a person's: those that are absent are deleted. DNs are only added.

        Returns the id under which the person is kept.

        Raises:
            CampusError: There is no such person.
        """
        return self._store.once(
            "replace_person", key, lambda connection: people.replace(connection, person_id, details, dns)
        )

    def add_dns(
        self,
        person_id: str | None,
        dns: Iterable[str],
        *,
        global_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Add DNs to a person's, and note the hub's id of them. Returns the id under which they are kept.

        Raises:
            CampusError: There is no such person, or the hub's id is somebody else's.
        """

        def add(connection: Connection) -> str:
            person = people.require(connection, person_id)
            people.note_global_id(connection, person, global_id)
            people.add_dns(connection, person, dns)
            return person

        return self._store.once("add_dns", key, add)

    def delete_dns(self, person_id: str | None, dns: Iterable[str], *, key: str | None = None) -> str:
        """Remove exactly these of a person's DNs. Returns the id under which the person is kept.

        Raises:
            CampusError: There is no such person.
        """
        return self._store.once(
            "delete_dns", key, lambda connection: people.delete_dns(connection, person_id, dns)
        )

    def merge_people(self, *, keep: Applicant, merged: Applicant, key: str | None = None) -> str:
        """Make one person of two, who are named by their ids. Returns the id under which they are kept.

        Accounts, logins, DNs and ids go to the kept person; the merged ids name that person from now on.

        Raises:
            CampusError: Neither is known.
        """
        return self._store.once(
            "merge_people", key, lambda connection: people.merge(connection, keep, merged)
        )
