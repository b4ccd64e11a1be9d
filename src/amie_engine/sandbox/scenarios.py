"""What the hub asks of the site: the four official test scenarios, and single requests of any type.

A scenario is a chain of requests for each of the site's resources. Each chain is a generator: it is asked
for its next request when the transaction before it has completed, so that it knows what the site answered.

Source: "AMIE API Testing", the test scenarios.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from random import Random
from typing import Any, Literal

from amie_engine.errors import SandboxRefusal
from amie_engine.protocol import TRANSACTION_TYPES, Party
from amie_engine.sandbox import bodies
from amie_engine.sandbox.people import Person, Project, invent_person, invent_project
from amie_engine.sandbox.registry import Account, Registry

__all__ = ["OFFICIAL_SCENARIOS", "REQUEST_TYPES", "Chain", "Request", "begin_scenario"]

Request = tuple[str, dict[str, Any]]
"""A request's packet type and body."""

Requests = Generator[Request, None, None]

REQUEST_TYPES = tuple(name for name, kind in TRANSACTION_TYPES.items() if kind.originator is Party.HUB)
"""The packet types with which the hub begins a transaction."""

_SINGLE = "single:"


@dataclass(slots=True)
class Chain:
    """The requests of one scenario for one resource, and how far it has come."""

    scenario: str
    resource: str
    requests: Requests = field(repr=False)
    state: Literal["running", "completed", "failed"] = "running"
    trans_rec_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Requester:
    """Makes the requests of one chain, from what the hub knows and, where it knows nothing, from chance."""

    registry: Registry
    chance: Random
    resource: str
    today: Callable[[], date]

    def new_person(self) -> Person:
        person = invent_person(self.chance, self.registry.new_global_id())
        self.registry.add_person(person)
        return person

    def new_project(self, pi: Person) -> Project:
        return invent_project(self.chance, self.registry.next_serial(), self.resource, pi, self.today())

    def made_up_id(self) -> str:
        return f"made-up-{self.registry.next_serial()}"

    def project_id(self, project: Project) -> str:
        return self.registry.project_id(project) or self.made_up_id()

    def project_create(self, project: Project) -> Request:
        return "request_project_create", bodies.project_create(project)

    def account_create(self, project: Project, user: Person) -> Request:
        account = self.registry.account(user, project)
        body = bodies.account_create(
            project,
            user,
            project_id=self.registry.project_id(project),
            login=account.login if account is not None else None,
        )
        return "request_account_create", body

    def project_inactivate(self, project: Project) -> Request:
        return "request_project_inactivate", bodies.project_inactivate(project, self.project_id(project))

    def project_reactivate(self, project: Project) -> Request:
        return "request_project_reactivate", bodies.project_reactivate(project, self.project_id(project))

    def account_inactivate(self, project: Project, user: Person) -> Request:
        body = bodies.account_inactivate(
            project.grant, self.resource, self.project_id(project), user.person_id or self.made_up_id()
        )
        return "request_account_inactivate", body

    def user_delete(self, person: Person, person_id: str) -> Request:
        if not person.dns:
            self.registry.issue_dn(person)
        return "request_user_modify", bodies.user_delete(person_id, [person.dns.pop(0)])

    def user_replace(self, person: Person, person_id: str) -> Request:
        person.details["BusinessPhoneNumber"] = f"(555) 012-{self.chance.randrange(10000):04}"
        person.details["Department"] = "Department of Further Examples"
        self.registry.issue_dn(person)
        return "request_user_modify", bodies.user_replace(person, person_id)

    def person_merge(self, keep: Person, delete: Person) -> Request:
        body = bodies.person_merge(
            keep, delete, keep.person_id or self.made_up_id(), delete.person_id or self.made_up_id()
        )
        return "request_person_merge", body


def _begin_project(make: _Requester) -> Generator[Request, None, Project]:
    project = make.new_project(make.new_person())
    make.registry.add_project(project)
    yield make.project_create(project)
    return project


def _project_reactivate(make: _Requester) -> Requests:
    project = yield from _begin_project(make)
    yield make.project_inactivate(project)
    yield make.project_reactivate(project)


def _account_reactivate(make: _Requester) -> Requests:
    project = yield from _begin_project(make)
    user = make.new_person()
    yield make.account_create(project, user)
    yield make.account_inactivate(project, user)
    yield make.account_create(project, user)


def _person_merge(make: _Requester) -> Requests:
    project = yield from _begin_project(make)
    keep, delete = make.new_person(), make.new_person()
    yield make.account_create(project, keep)
    yield make.account_create(project, delete)
    yield make.person_merge(keep, delete)


def _user_modify(make: _Requester) -> Requests:
    project = yield from _begin_project(make)
    pi = project.pi
    for person_id in tuple(pi.person_ids):
        yield make.user_delete(pi, person_id)
        yield make.user_replace(pi, person_id)


_OFFICIAL: dict[str, Callable[[_Requester], Requests]] = {
    "request_project_reactivate": _project_reactivate,
    "request_account_reactivate": _account_reactivate,
    "request_person_merge": _person_merge,
    "request_user_modify": _user_modify,
}

OFFICIAL_SCENARIOS = tuple(_OFFICIAL)
"""The names of the service's own test scenarios."""


def _single(make: _Requester, packet_type: str) -> Requests:
    if packet_type == "request_project_create":
        yield from _begin_project(make)
    elif packet_type == "request_account_create":
        yield make.account_create(_some_project(make, active=True), make.new_person())
    elif packet_type == "request_project_inactivate":
        yield make.project_inactivate(_some_project(make, active=True))
    elif packet_type == "request_project_reactivate":
        yield make.project_reactivate(_some_project(make, active=False))
    elif packet_type == "request_account_inactivate":
        yield packet_type, bodies.account_inactivate(*_some_account(make, active=True))
    elif packet_type == "request_account_reactivate":
        yield packet_type, bodies.account_reactivate(*_some_account(make, active=False))
    elif packet_type == "request_user_modify":
        person = _some_persons(make, 1)[0]
        yield make.user_replace(person, person.person_id or make.made_up_id())
    else:
        yield make.person_merge(*_some_persons(make, 2))


def _some_project(make: _Requester, *, active: bool) -> Project:
    """The newest project that the site has, rather one of this activity; else one that nobody knows."""
    known = [project for project in make.registry.projects() if project.project_id is not None]
    fitting = [project for project in known if project.active == active]
    found = next(iter(fitting or known), None)
    return found if found is not None else make.new_project(make.new_person())


def _some_account(make: _Requester, *, active: bool) -> tuple[str | None, str, str, str]:
    """Grant, resource, project id and person id of the newest account, rather one of this activity."""
    known = list(make.registry.accounts())
    fitting = [account for account in known if account.active == active]
    found: Account | None = next(iter(fitting or known), None)
    if found is None:
        return None, make.resource, make.made_up_id(), make.made_up_id()
    return (
        make.registry.grant(found),
        found.resource,
        found.project_id,
        found.person.person_id or make.made_up_id(),
    )


def _some_persons(make: _Requester, count: int) -> list[Person]:
    """The newest persons whom the site has, and made-up ones where there are too few."""
    known = (person for person in make.registry.persons() if person.person_ids)
    persons = list(islice(known, count))
    return persons + [make.new_person() for _ in range(count - len(persons))]


def begin_scenario(
    name: str,
    registry: Registry,
    resources: tuple[str, ...],
    chances: Callable[[], Random],
    today: Callable[[], date],
) -> list[Chain]:
    """Return the chains of a scenario, none of them begun.

    Args:
        name: An official scenario; or ``single:`` and a request's packet type, or that type alone where no
            official scenario has its name, for one request of that type.
        registry: What the hub knows.
        resources: The site's resources; an official scenario has a chain for each, a single request is
            about the first where it begins something new.
        chances: Gives a new source of chance for each chain.
        today: The first day of the projects that are made up.

    Raises:
        SandboxRefusal: There is no such scenario.
    """
    official = _OFFICIAL.get(name)
    if official is not None:
        return [
            Chain(name, resource, official(_Requester(registry, chances(), resource, today)))
            for resource in resources
        ]
    packet_type = name.removeprefix(_SINGLE)
    if packet_type not in REQUEST_TYPES:
        singles = ", ".join(kind for kind in REQUEST_TYPES if kind not in OFFICIAL_SCENARIOS)
        raise SandboxRefusal(
            400,
            f"There is no such test scenario. The scenarios are {', '.join(OFFICIAL_SCENARIOS)};"
            f" single requests are {singles}, and {_SINGLE} before any request's type.",
        )
    make = _Requester(registry, chances(), resources[0], today)
    return [Chain(name, resources[0], _single(make, packet_type))]
