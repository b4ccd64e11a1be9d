"""The smallest complete site: a handler for each of the hub's requests, and dictionaries for a back end.

A real site keeps this in its own database. Run it with ``amie-engine run --site first_site:site``.
"""

from typing import Any

from amie_engine import Site

site = Site("NCSA")

projects: dict[str, str] = {}  # this site's project of each grant
people: dict[str, str] = {}  # this site's id of each person that the hub names
active: dict[tuple[str, str], bool] = {}  # each project, and each person's account in it


@site.handles("request_project_create")
def create_project(request: Any, work: Any) -> Any:
    project = projects.setdefault(request.GrantNumber, f"p{1001 + len(projects)}")
    person = people.setdefault(request.PiGlobalID, f"u{1001 + len(people)}")
    active[project, "project"] = active[project, person] = True
    reply = work.reply
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = project, person, f"x{person}"
    return reply


@site.handles("request_account_create")
def create_account(request: Any, work: Any) -> Any:
    if request.GrantNumber not in projects:
        return work.fail("We have no project for this grant.")
    project = projects[request.GrantNumber]
    person = people.setdefault(request.UserGlobalID, f"u{1001 + len(people)}")
    active[project, person] = active[project, "project"]
    reply = work.reply
    reply.ProjectID, reply.UserPersonID, reply.UserRemoteSiteLogin = project, person, f"x{person}"
    return reply


@site.handles("request_project_inactivate", "request_project_reactivate")
def switch_project(request: Any, work: Any) -> Any:
    active[request.ProjectID, "project"] = request.packet_type.endswith("reactivate")
    return work.reply


@site.handles("request_account_inactivate", "request_account_reactivate")
def switch_account(request: Any, work: Any) -> Any:
    active[request.ProjectID, request.PersonID] = request.packet_type.endswith("reactivate")
    return work.reply


@site.handles("request_user_modify", "request_person_merge")
def agree(request: Any, work: Any) -> Any:
    return work.reply  # this site keeps no data of persons that could change
