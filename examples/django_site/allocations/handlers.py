"""What the center does with each request, and what it answers. What its tables do not know fails the
transaction."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist

from amie_engine import Site, Work

from .models import Account, Person, Project
from .steps import in_django, step

__all__ = ["site"]

site = Site(settings.AMIE["SITE"])

Handler = Callable[[Any, Work], Any]


def handles(*packet_types: str) -> Callable[[Handler], Handler]:
    """Register a handler that works with Django's models."""

    def register(handler: Handler) -> Handler:
        @wraps(handler)
        def answering(request: Any, work: Work) -> Any:
            try:
                return handler(request, work)
            except ObjectDoesNotExist:
                return work.fail("We know no such project, person or account.")

        return site.handles(*packet_types)(in_django(answering))

    return register


@handles("request_project_create")
def create_project(request: Any, work: Work) -> Any:
    names = request.PiFirstName or "", request.PiLastName or ""
    made = step(
        work,
        "create project",
        _make_project,
        request.GrantNumber,
        _resource(request),
        request.PiGlobalID,
        *names,
    )
    reply: Any = work.reply
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = (
        made["project"],
        made["person"],
        made["login"],
    )
    return reply


@handles("request_account_create")
def create_account(request: Any, work: Work) -> Any:
    names = request.UserFirstName or "", request.UserLastName or ""
    made = step(
        work,
        "create account",
        _make_account,
        request.GrantNumber,
        _resource(request),
        request.UserGlobalID,
        *names,
    )
    reply: Any = work.reply
    reply.ProjectID, reply.UserPersonID = made["project"], made["person"]
    reply.UserRemoteSiteLogin = made["login"]
    return reply


@handles("request_project_inactivate")
def inactivate_project(request: Any, work: Work) -> Any:
    step(work, "inactivate", _switch, request.ProjectID, None, _resource(request), False)
    return work.reply


@handles(
    "request_project_reactivate",  # AMIE: of the accounts, only the PI's
    "request_account_inactivate",
    "request_account_reactivate",
)
def switch_account(request: Any, work: Work) -> Any:
    active = request.packet_type.endswith("_reactivate")
    step(work, "switch", _switch, request.ProjectID, request.PersonID, _resource(request), active)
    return work.reply


@handles("request_user_modify")
def modify_user(request: Any, work: Work) -> Any:
    if (request.ActionType or "").lower() == "replace":  # this center keeps no DNs that could be deleted
        step(work, "rename", _rename, request.PersonID, request.FirstName, request.LastName)
    return work.reply


@handles("request_person_merge")
def merge_persons(request: Any, work: Work) -> Any:
    step(work, "merge", _merge, request.KeepPersonID, request.DeletePersonID)
    return work.reply


# What the steps do, each in the transaction of `step`. They return ids, and nobody's name.


def _make_project(grant: str, resource: str, global_id: str, first: str, last: str) -> dict[str, str]:
    names = {"first_name": first, "last_name": last}
    pi, _ = Person.objects.get_or_create(global_id=global_id, defaults=names)
    project, _ = Project.objects.get_or_create(grant_number=grant, defaults={"pi": pi})
    return _account(project, pi, resource)


def _make_account(grant: str, resource: str, global_id: str, first: str, last: str) -> dict[str, str]:
    project = Project.objects.get(grant_number=grant)
    names = {"first_name": first, "last_name": last}
    person, _ = Person.objects.get_or_create(global_id=global_id, defaults=names)
    return _account(project, person, resource)


def _account(project: Any, person: Any, resource: str) -> dict[str, str]:
    Account.objects.update_or_create(
        project=project, person=person, resource=resource, defaults={"active": True}
    )
    return {"project": f"p{project.pk}", "person": f"u{person.pk}", "login": f"xu{person.pk}"}


def _switch(project_id: str, person_id: str | None, resource: str, active: bool) -> None:
    accounts = Account.objects.filter(project__pk=_number(project_id), resource=resource)
    if person_id is not None:
        accounts = accounts.filter(person__pk=_number(person_id))
    if not accounts.update(active=active):
        raise Account.DoesNotExist


def _rename(person_id: str, first: str | None, last: str | None) -> None:
    person = Person.objects.get(pk=_number(person_id))
    person.first_name, person.last_name = first or person.first_name, last or person.last_name
    person.save()


def _merge(keep_id: str, delete_id: str) -> None:
    keep, delete = (Person.objects.get(pk=_number(name)) for name in (keep_id, delete_id))
    for account in Account.objects.filter(person=delete):
        _account(account.project, keep, account.resource)
        account.delete()
    delete.merged_into = keep
    delete.save()


def _resource(request: Any) -> str:
    [resource] = request.ResourceList
    return str(resource)


def _number(name: str | None) -> int:
    """The number in an id of ours such as p7; 0, which none has, where it is no id of ours."""
    digits = (name or "")[1:]
    return int(digits) if digits.isdecimal() else 0
