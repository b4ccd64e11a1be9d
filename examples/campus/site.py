"""The handlers: what the campus does with each packet, and what it answers.

A handler reads the request, has the campus do the work under the work's own key, and sets in the reply what
only the site knows. What the campus can't do fails the transaction, with the reason.

Source: "Implementing AMIE", the packet tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from amie_engine import Site
from amie_engine.packet import (
    DataAccountCreate,
    DataProjectCreate,
    NotifyAccountCreate,
    NotifyProjectCreate,
    Packet,
    RequestAccountCreate,
    RequestAccountInactivate,
    RequestAccountReactivate,
    RequestPersonMerge,
    RequestProjectCreate,
    RequestProjectInactivate,
    RequestProjectReactivate,
    RequestUserModify,
)
from amie_engine.site import Work

from .backend import Campus
from .model import Applicant, CampusError, Grant
from .reading import amount, applicant, day, objects, person_details, resource, text, texts

__all__ = ["build_site", "site"]

P = TypeVar("P", bound=Packet)


def site() -> Site:
    """Return the site for ``amie-engine run --site campus.site:site``.

    The environment says where the campus's database is, ``CAMPUS_DATABASE`` (campus.db), and what the site is
    called, ``CAMPUS_SITE`` (NCSA).
    """
    campus = Campus(os.environ.get("CAMPUS_DATABASE", "campus.db"))
    return build_site(campus, os.environ.get("CAMPUS_SITE", "NCSA"))


def build_site(campus: Campus, name: str = "NCSA") -> Site:
    """Return a site whose handlers work on a campus.

    Args:
        campus: The back end.
        name: The site's name, as the hub knows it.
    """
    site = Site(name)
    _handle_projects(site, campus, name)
    _handle_accounts(site, campus, name)
    _handle_people(site, campus)
    return site


def _failing(handler: Callable[[P, Work], Packet]) -> Callable[[P, Work], Packet]:
    """Let what the campus can't do fail the transaction: trying again would not help."""

    @wraps(handler)
    def guarded(packet: P, work: Work) -> Packet:
        try:
            return handler(packet, work)
        except CampusError as error:
            return work.fail(str(error))

    return guarded


def _handle_projects(site: Site, campus: Campus, name: str) -> None:
    @site.handles("request_project_create")
    @_failing
    def create_project(request: RequestProjectCreate, work: Work) -> Packet:
        numbers = (text(entry.get("Number")) for entry in objects(request.Sfos))
        award = campus.award(
            Grant(
                grant_number=text(request.GrantNumber) or "",
                project_id=text(request.ProjectID),
                title=text(request.ProjectTitle),
                field_of_science=text(request.PfosNumber),
                other_fields_of_science=tuple(number for number in numbers if number is not None),
            ),
            resource=resource(request),
            pi=applicant(request, "Pi", name),
            allocation_type=text(request.AllocationType) or "",
            amount=amount(request.ServiceUnitsAllocated),
            start_date=day(request.StartDate),
            end_date=day(request.EndDate),
            key=work.key,
        )
        reply = cast(NotifyProjectCreate, work.reply)
        reply.ProjectID = award.project.project_id
        reply.PiPersonID = award.account.person_id
        reply.PiRemoteSiteLogin = award.account.login
        reply.PiDnList = list(campus.person(award.account.person_id).dns) or None
        return reply

    @site.handles("data_project_create")
    @_failing
    def confirm_project(data: DataProjectCreate, work: Work) -> Packet:
        person_id = text(data.PersonID)
        if person_id is None:  # the hub may leave it out: the packet is about the project's PI
            grant_number = text(getattr(work.request, "GrantNumber", None))
            person_id = campus.project(text(data.ProjectID), grant_number=grant_number).pi_person_id
        campus.add_dns(person_id, texts(data.DnList), global_id=text(data.GlobalID), key=work.key)
        return work.reply

    @site.handles("request_project_inactivate")
    @_failing
    def inactivate_project(request: RequestProjectInactivate, work: Work) -> Packet:
        campus.inactivate_project(
            resource=resource(request),
            project_id=text(request.ProjectID),
            grant_number=text(request.GrantNumber),
            key=work.key,
        )
        return work.reply

    @site.handles("request_project_reactivate")
    @_failing
    def reactivate_project(request: RequestProjectReactivate, work: Work) -> Packet:
        campus.reactivate_project(
            resource=resource(request),
            project_id=text(request.ProjectID),
            grant_number=text(request.GrantNumber),
            key=work.key,
        )
        return work.reply


def _handle_accounts(site: Site, campus: Campus, name: str) -> None:
    @site.handles("request_account_create")
    @_failing
    def create_account(request: RequestAccountCreate, work: Work) -> Packet:
        account = campus.add_account(
            applicant(request, "User", name),
            resource=resource(request),
            project_id=text(request.ProjectID),
            grant_number=text(request.GrantNumber),
            key=work.key,
        )
        reply = cast(NotifyAccountCreate, work.reply)
        reply.ProjectID = account.project_id
        reply.UserPersonID = account.person_id
        reply.UserRemoteSiteLogin = account.login
        reply.UserDnList = list(campus.person(account.person_id).dns) or None
        return reply

    @site.handles("data_account_create")
    @_failing
    def confirm_account(data: DataAccountCreate, work: Work) -> Packet:
        campus.add_dns(text(data.PersonID), texts(data.DnList), global_id=text(data.GlobalID), key=work.key)
        return work.reply

    @site.handles("request_account_inactivate")
    @_failing
    def inactivate_account(request: RequestAccountInactivate, work: Work) -> Packet:
        campus.inactivate_account(
            text(request.PersonID),
            resource=resource(request),
            project_id=text(request.ProjectID),
            grant_number=text(request.GrantNumber),
            key=work.key,
        )
        return work.reply

    @site.handles("request_account_reactivate")
    @_failing
    def reactivate_account(request: RequestAccountReactivate, work: Work) -> Packet:
        campus.reactivate_account(
            text(request.PersonID),
            resource=resource(request),
            project_id=text(request.ProjectID),
            grant_number=text(request.GrantNumber),
            key=work.key,
        )
        return work.reply


def _handle_people(site: Site, campus: Campus) -> None:
    @site.handles("request_user_modify")
    @_failing
    def modify_user(request: RequestUserModify, work: Work) -> Packet:
        person_id, dns = text(request.PersonID), texts(request.DnList)
        match (text(request.ActionType) or "").lower():
            case "replace":
                campus.replace_person(person_id, person_details(request, ""), dns=dns, key=work.key)
            case "delete":
                campus.delete_dns(person_id, dns, key=work.key)
            case action:
                raise CampusError(
                    f"A person's data can be replaced, and DNs deleted, but {action!r} is neither."
                )
        return work.reply

    @site.handles("request_person_merge")
    @_failing
    def merge_people(request: RequestPersonMerge, work: Work) -> Packet:
        campus.merge_people(
            keep=Applicant(person_id=text(request.KeepPersonID), global_id=text(request.KeepGlobalID)),
            merged=Applicant(person_id=text(request.DeletePersonID), global_id=text(request.DeleteGlobalID)),
            key=work.key,
        )
        return work.reply
