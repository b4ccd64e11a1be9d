"""What the campus deals in: projects, people, accounts and allocations, as plain values.

Names, addresses and DNs are in no ``repr``, so that none gets into a log by accident.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

__all__ = [
    "Account",
    "Allocation",
    "AllocationChange",
    "AllocationType",
    "Applicant",
    "Award",
    "CampusError",
    "Degree",
    "Grant",
    "Person",
    "PersonDetails",
    "Project",
]


class CampusError(Exception):
    """The campus can't do what it was asked, and has changed nothing. The message names ids, never people."""


class AllocationType(StrEnum):
    """What an award does to a project's allocation on a resource.

    Source: "Implementing AMIE", request_project_create, AllocationType.
    """

    NEW = "new"
    RENEWAL = "renewal"
    SUPPLEMENT = "supplement"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"
    EXTENSION = "extension"
    ADVANCE = "advance"

    @classmethod
    def read(cls, text: str | None) -> AllocationType:
        """Return the type that a text names, in any case.

        Raises:
            CampusError: It names none.
        """
        try:
            return cls((text or "").strip().lower())
        except ValueError:
            raise CampusError(f"There is no allocation type {text!r}.") from None


@dataclass(frozen=True, slots=True)
class Degree:
    """An academic degree, and its field where that is known."""

    degree: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PersonDetails:
    """What is known of a person beside ids and DNs. An empty text counts as absent, as None does."""

    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    title: str | None = None
    email: str | None = None
    organization: str | None = None
    organization_code: str | None = None
    department: str | None = None
    street_address: str | None = None
    street_address2: str | None = None
    city: str | None = None
    state: str | None = None
    zip_code: str | None = None
    country: str | None = None
    business_phone_number: str | None = None
    business_phone_extension: str | None = None
    business_phone_comment: str | None = None
    home_phone_number: str | None = None
    home_phone_extension: str | None = None
    home_phone_comment: str | None = None
    fax: str | None = None
    nsf_status_code: str | None = None
    degrees: tuple[Degree, ...] = ()
    citizenships: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<PersonDetails>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """A person as a request names them.

    Args:
        person_id: The id that the person has at this site, if the hub knows one.
        global_id: The hub's own id of the person.
        details: What the request says of the person.
        dns: Distinguished names, to the letter.
        logins: The logins that the person would like, the dearest first.
    """

    person_id: str | None = None
    global_id: str | None = None
    details: PersonDetails = field(default=PersonDetails(), repr=False)
    dns: tuple[str, ...] = field(default=(), repr=False)
    logins: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant as an award names it.

    Args:
        grant_number: The hub's key of the project.
        project_id: The id that the project has at this site, if the hub knows one.
        title: The project's title.
        field_of_science: The number of the primary field of science.
        other_fields_of_science: The numbers of the others; 0 means none.
    """

    grant_number: str
    project_id: str | None = None
    title: str | None = None
    field_of_science: str | None = None
    other_fields_of_science: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person: the id at this site, the hub's, and what is known of them.

    ``other_ids`` are further ids that name the same person here, those of merged persons among them.
    """

    person_id: str
    global_id: str | None
    other_ids: tuple[str, ...]
    details: PersonDetails = field(repr=False)
    dns: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project, and the resources on which it is active and inactive."""

    project_id: str
    grant_number: str
    pi_person_id: str
    title: str | None
    field_of_science: str | None
    other_fields_of_science: tuple[str, ...]
    active_on: tuple[str, ...]
    inactive_on: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """All the resources that the project has ever had an allocation on."""
        return tuple(sorted(self.active_on + self.inactive_on))

    def is_active(self, resource: str) -> bool:
        """Tell whether the project is active on a resource."""
        return resource in self.active_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person's account in a project on a resource."""

    project_id: str
    resource: str
    person_id: str
    login: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a project may use of a resource in one period.

    Args:
        allocation_id: The period's number at this site.
        project_id: The project.
        resource: The resource.
        amount: Service units, never negative.
        start_date: The first day.
        end_date: The last day.
        superseded_from: The day from which another period holds in this one's place, if one does.
    """

    allocation_id: int
    project_id: str
    resource: str
    amount: Decimal
    start_date: date
    end_date: date
    superseded_from: date | None = None

    def holds_on(self, day: date) -> bool:
        """Tell whether the allocation is in force on a day."""
        in_period = self.start_date <= day <= self.end_date
        return in_period and (self.superseded_from is None or day < self.superseded_from)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationChange:
    """One line of an allocation's history: what was asked, and what stood afterwards.

    The changes of an allocation add up to its amount.
    """

    allocation_id: int
    allocation_type: AllocationType
    change: Decimal
    amount: Decimal
    end_date: date
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Award:
    """What came of an award: the project, the PI's account, and the allocation that was made or changed."""

    project: Project
    account: Account
    allocation: Allocation
