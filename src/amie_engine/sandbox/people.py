"""Made-up persons and projects, from a seeded source of chance: the same seed makes the same ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

__all__ = ["Person", "Project", "distinguished_name", "invent_person", "invent_project"]

_FIRST_NAMES = ("Robin", "Alex", "Sam", "Kim", "Jo", "Chris", "Pat", "Lee", "Terry", "Dana", "Zoë", "Ñico")
_LAST_NAMES = ("Example", "Sample", "Specimen", "Placeholder", "Pattern", "Fictive", "Invented", "Template")
_PLACES = (
    ("Example State University", "0099901", "Exampleton", "IL"),
    ("University of Sample City", "0099902", "Sample City", "CA"),
    ("Placeholder Institute of Technology", "0099903", "Placeholder Falls", "PA"),
    ("Specimen College", "0099904", "Port Specimen", "TX"),
)
_DEPARTMENTS = ("Astronomy", "Biology", "Chemistry", "Computer Science", "Mathematics", "Physics")
_FIELDS_OF_SCIENCE = (("AST", "120"), ("BIO", "301"), ("CHE", "211"), ("MAT", "105"), ("PHY", "131"))
_SUBJECTS = ("Planetary Motion", "Protein Folding", "Lattice Gauges", "Graph Colouring", "Turbulent Mixing")
_SERVICE_UNITS = ("1", "99999", "1234.5", "250000", "50000")

UNPREFIXED_DETAILS = frozenset({"AcademicDegree", "CitizenshipList", "NsfStatusCode"})
"""The details that packets name alike for a PI, a user and a person."""


@dataclass(slots=True)
class Person:
    """A person as the hub knows them.

    ``details`` are named as in request_user_modify; ``person_ids`` are the site's ids for the person, the
    primary one first.
    """

    global_id: str
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    dns: list[str] = field(default_factory=list, repr=False)
    person_ids: list[str] = field(default_factory=list)
    requested_logins: list[str] = field(default_factory=list, repr=False)

    @property
    def person_id(self) -> str | None:
        """The site's primary id for the person, where the hub knows it."""
        return self.person_ids[0] if self.person_ids else None

    def details_for(self, prefix: str) -> dict[str, Any]:
        """Return the details under the names that a packet has for them: ``Pi...``, ``User...`` or bare."""
        return {
            name if name in UNPREFIXED_DETAILS else prefix + name: value
            for name, value in self.details.items()
        }

    def add_dns(self, names: list[str]) -> None:
        """Add the DNs that are new; DNs are never removed by adding."""
        self.dns += [name for name in dict.fromkeys(names) if name and name not in self.dns]


@dataclass(slots=True)
class Project:
    """A grant's project on one resource, as the hub knows it. Without ``project_id`` the site has not said
    its own id yet."""

    grant: str
    resource: str
    pi: Person
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    project_id: str | None = None
    active: bool = True


def distinguished_name(person: Person, authority: int) -> str:
    """Return the DN that the made-up certificate authority of this number gives a person."""
    names = [str(person.details.get(part) or "") for part in ("FirstName", "LastName")]
    return f"/C=US/O=Sandbox Authority {authority}/CN={' '.join(filter(None, names))} {person.global_id}"


def invent_person(chance: Random, global_id: str) -> Person:
    """Return a made-up person with everything that a request tells of one."""
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    organization, organization_code, city, state = chance.choice(_PLACES)
    department = chance.choice(_DEPARTMENTS)
    login = f"{first[0]}{last}{global_id}".lower().encode("ascii", "ignore").decode()
    details: dict[str, Any] = {
        "AcademicDegree": [
            {"Degree": chance.choice(("MS", "PhD")), "Field": chance.choice((department, ""))}
        ],
        "BusinessPhoneComment": "Office",
        "BusinessPhoneExtension": f"{chance.randrange(100, 1000)}",
        "BusinessPhoneNumber": f"(555) 010-{chance.randrange(10000):04}",
        "CitizenshipList": ["US"],
        "City": city,
        "Country": "9US",
        "Department": department,
        "Email": f"{login}@example.edu",
        "Fax": "",
        "FirstName": first,
        "HomePhoneComment": "",
        "HomePhoneExtension": "",
        "HomePhoneNumber": f"(555) 011-{chance.randrange(10000):04}",
        "LastName": last,
        "MiddleName": chance.choice(("", "Quentin", "Xenia")),
        "NsfStatusCode": chance.choice(("GS", "PD", "F")),
        "OrgCode": organization_code,
        "Organization": organization,
        "State": state,
        "StreetAddress": f"{chance.randrange(1, 1000)} Example Street",
        "StreetAddress2": "",
        "Title": chance.choice(("Dr.", "")),
        "Zip": f"{chance.randrange(100000):05}",
    }
    person = Person(global_id, details, requested_logins=chance.choice(([login], ["", login])))
    person.add_dns([distinguished_name(person, authority) for authority in (1, 2)])
    return person


def invent_project(chance: Random, serial: int, resource: str, pi: Person, start: date) -> Project:
    """Return a made-up project on a resource.

    Args:
        chance: Where what is not given comes from.
        serial: A number that no other grant of this hub has.
        resource: The resource's name.
        pi: Who leads it.
        start: Its first day; it lasts a year.
    """
    letters, field_of_science = chance.choice(_FIELDS_OF_SCIENCE)
    grant = f"{letters}{900000 + serial}"
    title = f"{chance.choice(_SUBJECTS)}, an example"
    details: dict[str, Any] = {
        "Abstract": f"{title} that no telescope has seen and no laboratory has made.",
        "AllocatedResource": resource,
        "BoardType": "Discover",
        "ChargeNumber": f"TG-{grant}",
        "EndDate": (start + timedelta(days=364)).isoformat(),
        "GrantType": "Research",
        "PfosNumber": field_of_science,
        "ProjectTitle": title,
        "ProposalNumber": grant,
        "RecordID": f"SANDBOX-{serial}-{resource}",
        "RequestType": "new",
        "ServiceUnitsAllocated": chance.choice(_SERVICE_UNITS),
        "Sfos": [{"Number": chance.choice(("0", "122", "124"))}],
        "StartDate": start.isoformat(),
    }
    return Project(grant, resource, pi, details)
