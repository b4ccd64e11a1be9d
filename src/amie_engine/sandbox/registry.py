"""What the hub knows of persons, projects and accounts: what it made up, and what the site's packets told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from amie_engine.packet import RequestUserModify
from amie_engine.sandbox.people import UNPREFIXED_DETAILS, Person, Project, distinguished_name

__all__ = ["Account", "Registry"]

Body = dict[str, Any]

_PI, _USER = "Pi", "User"
_DETAILS = frozenset(RequestUserModify._fields) - {"ActionType", "DnList", "PersonID"}
"""What a request_user_modify can change is what the hub knows of a person."""


@dataclass(slots=True)
class Account:
    """A person's account in a project on a resource."""

    person: Person
    project_id: str
    resource: str
    login: str
    active: bool = True


class Registry:
    """The hub's records about one site.

    They follow the packets that the hub accepts: `learn` is called with each. A person is known by the
    hub's own global id, a project by its grant and resource.
    """

    def __init__(self, first_serial: int = 1) -> None:
        self._serial = first_serial
        self._persons: dict[str, Person] = {}
        self._persons_by_site_id: dict[str, Person] = {}
        self._projects: dict[tuple[str, str], Project] = {}
        self._projects_by_id: dict[tuple[str, str], Project] = {}
        self._project_ids: dict[str, str] = {}
        self._accounts: dict[tuple[str, str], dict[str, Account]] = {}
        self._lessons: dict[str, Callable[[Body, Body], None]] = {
            "notify_project_create": self._learn_project,
            "notify_account_create": self._learn_account,
            "notify_project_inactivate": self._learn_project_inactive,
            "notify_project_reactivate": self._learn_project_active,
            "notify_account_inactivate": lambda body, _: self._learn_account_activity(body, False),
            "notify_account_reactivate": lambda body, _: self._learn_account_activity(body, True),
            "notify_user_modify": self._learn_user,
            "notify_person_ids": self._learn_person_ids,
        }

    def next_serial(self) -> int:
        """Return a number that was not given before."""
        self._serial += 1
        return self._serial - 1

    # What is asked of it

    def persons(self) -> Iterator[Person]:
        """The persons, the newest first."""
        return reversed(self._persons.values())

    def projects(self) -> Iterator[Project]:
        """The projects, the newest first."""
        return reversed(self._projects.values())

    def accounts(self) -> Iterator[Account]:
        """The accounts, those of the newest projects first."""
        for accounts in reversed(self._accounts.values()):
            yield from reversed(accounts.values())

    def project_id(self, project: Project) -> str | None:
        """Return the site's id for a project, at least the one that it has for the grant elsewhere."""
        return project.project_id or self._project_ids.get(project.grant)

    def grant(self, account: Account) -> str | None:
        """Return the grant of an account's project, where the hub knows it."""
        project = self._projects_by_id.get((account.project_id, account.resource))
        return project.grant if project is not None else None

    def account(self, person: Person, project: Project) -> Account | None:
        """Return a person's account in a project, if the site has made one."""
        accounts = self._accounts.get((self.project_id(project) or "", project.resource), {})
        return accounts.get(person.global_id)

    def person_told_of(self, packet_type: str, body: Body, request: Body) -> Person:
        """Return the person that a notify_project_create or notify_account_create is about.

        The global id of the request tells, else the packet's own, else the site's id for the person. One who
        is new to the hub gets a global id.
        """
        prefix = _PI if packet_type == "notify_project_create" else _USER
        global_id = request.get(f"{prefix}GlobalID") or body.get(f"{prefix}GlobalID")
        person = self._persons.get(global_id) if global_id else None
        if person is None:
            person = self._persons_by_site_id.get(body[f"{prefix}PersonID"])
        if person is None or (global_id and person.global_id != global_id):
            person = Person(global_id or self.new_global_id(), _details_in(body, prefix))
            self.add_person(person)
        return person

    def new_global_id(self) -> str:
        """Return a global id for a person who is new to the hub."""
        while (global_id := str(70000 + self.next_serial())) in self._persons:
            pass
        return global_id

    def add_person(self, person: Person) -> None:
        """Keep a person."""
        self._persons[person.global_id] = person

    def add_project(self, project: Project) -> None:
        """Keep a project."""
        self._projects[project.grant, project.resource] = project

    def issue_dn(self, person: Person) -> None:
        """Give a person one more DN, as the hub does when it records a project or an account."""
        authority = len(person.dns) + 1
        while (name := distinguished_name(person, authority)) in person.dns:
            authority += 1
        person.add_dns([name])

    # What it is told

    def learn(self, packet_type: str, body: Body, request: Body) -> None:
        """Take in a packet that the site sent and the hub accepted.

        Args:
            packet_type: The packet's type.
            body: Its body, with what the hub inferred.
            request: The body of the request that its transaction began with; empty if the site began it.
        """
        lesson = self._lessons.get(packet_type)
        if lesson is not None:
            lesson(body, request)

    def merge(self, request: Body) -> None:
        """Take in that the site is done with a request_person_merge."""
        deleted = self._persons.pop(request["DeleteGlobalID"], None)
        kept = self._persons.get(request["KeepGlobalID"])
        if deleted is None or kept is None:
            return
        kept.add_dns(deleted.dns)
        for person_id in deleted.person_ids:
            self._add_person_id(kept, person_id)
        for project in self._projects.values():
            if project.pi is deleted:
                project.pi = kept
        for accounts in self._accounts.values():
            account = accounts.pop(deleted.global_id, None)
            if account is not None and kept.global_id not in accounts:
                account.person = kept
                accounts[kept.global_id] = account

    def _add_person_id(self, person: Person, person_id: str) -> None:
        if person_id not in person.person_ids:
            person.person_ids.append(person_id)
        self._persons_by_site_id[person_id] = person

    def _learn_project(self, body: Body, request: Body) -> None:
        pi = self.person_told_of("notify_project_create", body, request)
        self._add_person_id(pi, body["PiPersonID"])
        pi.add_dns(body.get("PiDnList") or [])
        grant, resource, project_id = body["GrantNumber"], body["ResourceList"][0], body["ProjectID"]
        project = self._projects.get((grant, resource))
        if project is None:
            told = ("EndDate", "PfosNumber", "ProjectTitle", "ServiceUnitsAllocated", "StartDate")
            project = Project(grant, resource, pi, {name: body[name] for name in told if body.get(name)})
            self.add_project(project)
        project.pi, project.project_id, project.active = pi, project_id, True
        self._projects_by_id[project_id, resource] = project
        self._project_ids[grant] = project_id
        self._open_account(pi, project_id, resource, body["PiRemoteSiteLogin"])

    def _learn_account(self, body: Body, request: Body) -> None:
        user = self.person_told_of("notify_account_create", body, request)
        self._add_person_id(user, body["UserPersonID"])
        user.add_dns(body.get("UserDnList") or [])
        self._open_account(user, body["ProjectID"], body["ResourceList"][0], body["UserRemoteSiteLogin"])

    def _open_account(self, person: Person, project_id: str, resource: str, login: str) -> None:
        project = self._projects_by_id.get((project_id, resource))
        active = project is None or project.active
        account = Account(person, project_id, resource, login, active)
        self._accounts.setdefault((project_id, resource), {})[person.global_id] = account

    def _learn_project_inactive(self, body: Body, request: Body) -> None:
        key = body["ProjectID"], body["ResourceList"][0]
        if key in self._projects_by_id:
            self._projects_by_id[key].active = False
        for account in self._accounts.get(key, {}).values():
            account.active = False

    def _learn_project_active(self, body: Body, request: Body) -> None:
        key = body["ProjectID"], body["ResourceList"][0]
        project = self._projects_by_id.get(key)
        if project is not None:
            project.active = True
            account = self.account(project.pi, project)
            if account is not None:
                account.active = True

    def _learn_account_activity(self, body: Body, active: bool) -> None:
        accounts = self._accounts.get((body["ProjectID"], body["ResourceList"][0]), {})
        for account in accounts.values():
            if body["PersonID"] in account.person.person_ids:
                account.active = active

    def _learn_user(self, body: Body, request: Body) -> None:
        person = self._persons_by_site_id.get(body["PersonID"])
        if person is None:
            return
        told = {name: value for name, value in body.items() if name in _DETAILS}
        if body["ActionType"] == "delete":
            person.dns = [name for name in person.dns if name not in (body.get("DnList") or [])]
            for name in told:
                person.details.pop(name, None)
        else:
            person.details |= told
            person.add_dns(body.get("DnList") or [])

    def _learn_person_ids(self, body: Body, request: Body) -> None:
        person = self._persons_by_site_id.get(body["PersonID"])
        if person is None:
            return
        for person_id in person.person_ids:
            self._persons_by_site_id.pop(person_id, None)
        person.person_ids = []
        listed = body.get("PersonIDList") or body.get("PersonIdList") or []
        for person_id in (body["PrimaryPersonID"], *listed):
            self._add_person_id(person, person_id)


def _details_in(body: Body, prefix: str) -> dict[str, Any]:
    """The details of a person that a packet with this prefix tells."""
    wire_names = {name: name if name in UNPREFIXED_DETAILS else prefix + name for name in sorted(_DETAILS)}
    return {name: body[wire_name] for name, wire_name in wire_names.items() if wire_name in body}
