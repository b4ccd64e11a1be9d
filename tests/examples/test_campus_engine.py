"""The example site in an engine: what the protocol asks of a site for each packet, request to reply."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from amie_engine import Site, Work
from campus.backend import Campus
from campus.site import build_site
from tests.examples.campus_cases import ELM, GRANT, OAK, active_people
from tests.examples.campus_hub import Hub

PROJECT, PI, USER = "p1001", "u1001", "u1002"
DN, USER_DN = "/C=US/O=Example/CN=Robin Example", "/C=US/O=Example/CN=Kim Sample"

_RECORDS = count(1)


@pytest.fixture
def hub(campus: Campus) -> Iterator[Hub]:
    made = Hub(build_site(campus))
    yield made
    made.close()


def _project(allocation_type: str = "new", amount: str = "1000", **more: Any) -> dict[str, Any]:
    """The body of a request for a project; every scalar is a text, as the hub sends it."""
    return {
        "AllocationType": allocation_type,
        "GrantNumber": GRANT,
        "RecordID": f"record-{next(_RECORDS)}",
        "ResourceList": [OAK],
        "ServiceUnitsAllocated": amount,
        "StartDate": "2025-01-01",
        "EndDate": "2025-12-31",
        "PfosNumber": "120",
        "ProjectTitle": "Planetary Motion",
        "PiGlobalID": "70",
        "PiFirstName": "Robin",
        "PiLastName": "Example",
        "PiOrganization": "Example University",
        "PiOrgCode": "0017756",
        "PiEmail": "",
        "PiDnList": [DN],
        "PiRequestedLoginList": ["", "robin"],
        "Sfos": [{"Number": "0"}],
        **more,
    }


def _user(**more: Any) -> dict[str, Any]:
    return {
        "GrantNumber": GRANT,
        "ResourceList": [OAK],
        "UserGlobalID": "71",
        "UserFirstName": "Kim",
        "UserLastName": "Sample",
        "UserOrganization": "Example University",
        "UserOrgCode": "0017756",
        "UserDnList": [USER_DN],
        **more,
    }


def _create(hub: Hub, **more: Any) -> None:
    """A project and its PI's account, to the transaction's end."""
    hub.ask("request_project_create", **_project(**more))
    done = hub.follow_up("data_project_create", PersonID=PI, ProjectID=PROJECT, DnList=[DN])
    assert (done.StatusCode, hub.state) == ("Success", "completed")


def _add(hub: Hub, **more: Any) -> Any:
    """A user's account, to the transaction's end."""
    reply = hub.ask("request_account_create", **_user(**more))
    done = hub.follow_up("data_account_create", PersonID=reply.UserPersonID, ProjectID=PROJECT)
    assert (done.StatusCode, hub.state) == ("Success", "completed")
    return reply


def _assert_failed(hub: Hub, answer: Any, reason: str) -> None:
    assert answer.packet_type == "inform_transaction_complete"
    assert answer.StatusCode == "Failure"
    assert reason in answer.Message
    assert hub.state == "failed"


# request_project_create


def test_a_project_is_created_and_the_reply_repeats_what_the_request_says(hub: Hub, campus: Campus) -> None:
    reply = hub.ask("request_project_create", **_project())

    assert reply.packet_type == "notify_project_create"
    assert (reply.GrantNumber, reply.ResourceList, reply.PfosNumber) == (GRANT, [OAK], "120")
    assert (reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin) == (PROJECT, PI, "robin")
    assert reply.PiDnList == [DN]
    assert hub.state == "notified"
    allocation = campus.allocation(PROJECT, OAK)
    assert allocation is not None
    assert allocation.amount == 1000
    assert campus.project(PROJECT).is_active(OAK)


def test_every_dn_that_the_site_has_is_in_the_reply_and_those_of_a_data_packet_are_added(
    hub: Hub, campus: Campus
) -> None:
    _create(hub)
    hub.ask("request_project_create", **_project("new", ResourceList=[ELM], PiDnList=["/CN=second"]))
    done = hub.follow_up("data_project_create", ProjectID=PROJECT, GlobalID="70", DnList=[DN, "/CN=third"])

    assert (done.StatusCode, done.packet_type) == ("Success", "inform_transaction_complete")
    assert campus.person(PI).dns == (DN, "/CN=second", "/CN=third")
    reply = hub.ask("request_project_create", **_project("supplement", "1"))
    assert reply.PiDnList == [DN, "/CN=second", "/CN=third"]


def test_each_resource_of_a_grant_has_a_request_and_an_allocation_of_its_own(
    hub: Hub, campus: Campus
) -> None:
    _create(hub)
    reply = hub.ask("request_project_create", **_project(amount="77", ResourceList=[ELM]))
    assert (reply.ProjectID, reply.PiPersonID, reply.ResourceList) == (PROJECT, PI, [ELM])
    assert [campus.allocation(PROJECT, name).amount for name in (OAK, ELM)] == [1000, 77]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "amount", "after"),
    [
        ("supplement", "500", 1500),
        ("Supplement", "0.5", Decimal("1000.5")),
        ("transfer", "250", 1250),
        ("transfer", "-250", 750),
        ("adjustment", "-1000", 0),
        ("adjustment", "10", 1010),
        ("advance", "100", 1100),
    ],
)
def test_units_are_added_to_an_allocation_or_taken_away_and_its_dates_stay(
    hub: Hub, campus: Campus, kind: str, amount: str, after: Decimal
) -> None:
    _create(hub)
    dates = {"StartDate": "2025-06-01", "EndDate": "2026-05-31"}
    reply = hub.ask("request_project_create", **_project(kind, amount, **dates))

    assert reply.packet_type == "notify_project_create"
    allocation = campus.allocation(PROJECT, OAK)
    assert allocation is not None
    assert allocation.amount == after
    assert (str(allocation.start_date), str(allocation.end_date)) == ("2025-01-01", "2025-12-31")


def test_an_extension_moves_the_end_and_nothing_else(hub: Hub, campus: Campus) -> None:
    _create(hub)
    hub.ask("request_project_create", **_project("extension", "0", EndDate="2026-03-31"))
    allocation = campus.allocation(PROJECT, OAK)
    assert allocation is not None
    assert (int(allocation.amount), str(allocation.end_date)) == (1000, "2026-03-31")


def test_a_renewal_takes_the_place_of_last_years_allocation_from_its_start(hub: Hub, campus: Campus) -> None:
    _create(hub)
    year = {"StartDate": "2025-11-01", "EndDate": "2026-10-31"}
    reply = hub.ask("request_project_create", **_project("renewal", "2000", **year))
    assert reply.ProjectID == PROJECT
    before, after = (campus.allocation(PROJECT, OAK, on=date(2025, month, 15)) for month in (10, 11))
    assert before is not None
    assert after is not None
    assert [int(before.amount), int(after.amount)] == [1000, 2000]


@pytest.mark.parametrize("kind", ["renewal", "supplement", "transfer", "advance", "adjustment"])
def test_on_a_resource_that_is_new_to_the_project_it_is_handled_as_new(
    hub: Hub, campus: Campus, kind: str
) -> None:
    first = hub.ask("request_project_create", **_project(kind, "300"))
    assert first.ProjectID == PROJECT
    allocation = campus.allocation(PROJECT, OAK)
    assert allocation is not None
    assert (int(allocation.amount), str(allocation.end_date)) == (300, "2025-12-31")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (_project("transfer", "-1"), "transfer"),
        (_project("adjustment", "-1"), "adjustment"),
        (_project("extension"), "extension"),
        (_project("gift"), "allocation type"),
        (_project(ServiceUnitsAllocated="many"), "many"),
        (_project(StartDate="soon"), "soon"),
        (_project(ResourceList=[OAK, ELM]), "resources"),
        (_project(GrantNumber=""), "no grant"),
    ],
)
def test_a_request_that_cannot_be_met_fails_the_transaction_with_the_reason(
    hub: Hub, campus: Campus, body: dict[str, Any], reason: str
) -> None:
    _assert_failed(hub, hub.ask("request_project_create", **body), reason)
    assert hub.engine.outbox.open() == []


def test_more_units_than_there_are_cannot_be_taken_away(hub: Hub, campus: Campus) -> None:
    _create(hub)
    _assert_failed(hub, hub.ask("request_project_create", **_project("transfer", "-1001")), "1000")
    assert len(campus.allocation_history(PROJECT, OAK)) == 1


def test_a_record_that_was_processed_is_answered_with_the_first_answer_and_not_processed_again(
    hub: Hub, campus: Campus
) -> None:
    body = _project()
    first = hub.ask("request_project_create", **body)
    again = hub.ask("request_project_create", **body)

    names = ("ProjectID", "PiPersonID", "PiRemoteSiteLogin", "PiDnList", "GrantNumber", "ResourceList")
    assert [getattr(again, name) for name in names] == [getattr(first, name) for name in names]
    assert len(campus.allocation_history(PROJECT, OAK)) == 1


def test_a_crash_after_the_work_repeats_nothing(campus: Campus) -> None:
    """The back end has done it, and the process ends before the reply is in the log."""
    inner, site = build_site(campus), Site("NCSA")
    crashes = iter([True, False])

    def crashing(packet: Any, work: Work) -> Any:
        handler = inner.handler_for("request_project_create")
        assert handler is not None
        answer = handler(packet, work)
        if next(crashes):
            raise KeyboardInterrupt
        return answer

    site.handles("request_project_create")(crashing)
    hub = Hub(site)
    hub.receive("request_project_create", **_project())
    with pytest.raises(KeyboardInterrupt):
        hub.worker.work_once()
    reply = hub.reply()
    assert (reply.ProjectID, reply.PiPersonID) == (PROJECT, PI)
    assert len(campus.allocation_history(PROJECT, OAK)) == 1
    hub.close()


# request_account_create


def test_an_account_is_added_to_the_project_of_the_grant(hub: Hub, campus: Campus) -> None:
    _create(hub)
    reply = hub.ask("request_account_create", **_user())

    assert reply.packet_type == "notify_account_create"
    assert (reply.ProjectID, reply.UserPersonID, reply.UserRemoteSiteLogin) == (PROJECT, USER, "ksample")
    assert (reply.ResourceList, reply.UserDnList) == ([OAK], [USER_DN])
    assert reply.AccountActivityTime is not None
    done = hub.follow_up("data_account_create", PersonID=USER, ProjectID=PROJECT, DnList=["/CN=of the hub"])
    assert (done.StatusCode, hub.state) == ("Success", "completed")
    assert campus.person(USER).dns == (USER_DN, "/CN=of the hub")
    assert active_people(campus, PROJECT) == {PI, USER}


def test_an_account_is_made_active_again_with_the_same_person_and_login(hub: Hub, campus: Campus) -> None:
    _create(hub)
    first = _add(hub)
    hub.ask("request_account_inactivate", ProjectID=PROJECT, PersonID=USER, ResourceList=[OAK])
    assert hub.inform() == "completed"
    assert active_people(campus, PROJECT) == {PI}

    again = _add(hub, ProjectID=PROJECT)
    assert (again.UserPersonID, again.UserRemoteSiteLogin) == (first.UserPersonID, first.UserRemoteSiteLogin)
    assert active_people(campus, PROJECT) == {PI, USER}


def test_in_an_inactive_project_a_user_is_added_inactive(hub: Hub, campus: Campus) -> None:
    _create(hub)
    hub.ask("request_project_inactivate", ProjectID=PROJECT, ResourceList=[OAK])
    _add(hub)
    account = campus.account(PROJECT, OAK, USER)
    assert account is not None
    assert not account.active


def test_a_user_of_an_unknown_grant_fails_the_transaction(hub: Hub) -> None:
    _assert_failed(hub, hub.ask("request_account_create", **_user()), GRANT)


# Inactive and active again


def test_an_inactive_project_has_no_active_account_and_only_the_pis_comes_back(
    hub: Hub, campus: Campus
) -> None:
    _create(hub)
    _add(hub)
    project = {"ProjectID": PROJECT, "GrantNumber": GRANT, "ResourceList": [OAK]}

    inactivated = hub.ask("request_project_inactivate", **project)
    assert inactivated.packet_type == "notify_project_inactivate"
    assert (inactivated.ProjectID, inactivated.ResourceList) == (PROJECT, [OAK])
    assert hub.inform() == "completed"
    assert active_people(campus, PROJECT) == set()
    assert not campus.project(PROJECT).is_active(OAK)

    reactivated = hub.ask("request_project_reactivate", **project)
    assert reactivated.packet_type == "notify_project_reactivate"
    assert (reactivated.ProjectID, reactivated.ResourceList) == (PROJECT, [OAK])
    assert hub.inform() == "completed"
    assert active_people(campus, PROJECT) == {PI}
    assert campus.project(PROJECT).is_active(OAK)


def test_a_request_for_an_inactive_project_reactivates_it_and_only_the_pis_account(
    hub: Hub, campus: Campus
) -> None:
    _create(hub)
    _add(hub)
    hub.ask("request_project_inactivate", ProjectID=PROJECT, ResourceList=[OAK])
    hub.inform()
    hub.ask("request_project_create", **_project("renewal", "10"))
    assert campus.project(PROJECT).is_active(OAK)
    assert active_people(campus, PROJECT) == {PI}


def test_an_account_is_inactivated_and_reactivated_and_never_deleted(hub: Hub, campus: Campus) -> None:
    _create(hub)
    _add(hub)
    before = campus.account(PROJECT, OAK, USER)
    account = {"ProjectID": PROJECT, "PersonID": USER, "ResourceList": [OAK]}

    inactivated = hub.ask("request_account_inactivate", **account)
    assert inactivated.packet_type == "notify_account_inactivate"
    assert {name: getattr(inactivated, name) for name in account} == account
    assert hub.inform() == "completed"
    assert active_people(campus, PROJECT) == {PI}

    reactivated = hub.ask("request_account_reactivate", **account)
    assert reactivated.packet_type == "notify_account_reactivate"
    assert {name: getattr(reactivated, name) for name in account} == account
    assert hub.inform() == "completed"
    assert campus.account(PROJECT, OAK, USER) == before


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("request_project_inactivate", {"ProjectID": "none"}),
        ("request_project_reactivate", {"ProjectID": "none"}),
        ("request_account_inactivate", {"ProjectID": PROJECT, "PersonID": "u9"}),
        ("request_account_reactivate", {"ProjectID": PROJECT, "PersonID": "u9"}),
    ],
)
def test_what_is_not_there_can_be_made_neither_inactive_nor_active(
    hub: Hub, kind: str, body: dict[str, Any]
) -> None:
    _create(hub)
    _assert_failed(hub, hub.ask(kind, ResourceList=[OAK], **body), "known here")


# People


def test_replacing_takes_over_what_is_there_deletes_what_is_not_and_only_adds_dns(
    hub: Hub, campus: Campus
) -> None:
    _create(hub, PiEmail="robin@example.edu", PiCity="Champaign")
    answer = hub.ask(
        "request_user_modify",
        ActionType="replace",
        PersonID=PI,
        FirstName="Robin",
        LastName="Sample",
        Email="new@example.edu",
        City="",
        DnList=["/CN=new"],
    )

    assert (answer.StatusCode, hub.state) == ("Success", "completed")
    person = campus.person(PI)
    assert (person.details.first_name, person.details.last_name) == ("Robin", "Sample")
    assert (person.details.email, person.details.city, person.details.organization) == (
        "new@example.edu",
        None,
        None,
    )
    assert person.dns == (DN, "/CN=new")


def test_deleting_removes_exactly_the_dns_that_are_named(hub: Hub, campus: Campus) -> None:
    _create(hub, PiDnList=[DN, "/CN=other"])
    answer = hub.ask(
        "request_user_modify", ActionType="delete", PersonID=PI, LastName="Ignored", DnList=[DN, DN.lower()]
    )
    assert (answer.StatusCode, hub.state) == ("Success", "completed")
    person = campus.person(PI)
    assert (person.dns, person.details.last_name) == (("/CN=other",), "Example")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"ActionType": "add", "PersonID": PI}, "'add' is neither"),
        ({"ActionType": "delete", "PersonID": "u9"}, "Person u9 is not known here."),
    ],
)
def test_a_change_that_is_none_or_of_nobody_fails_the_transaction(
    hub: Hub, body: dict[str, Any], reason: str
) -> None:
    _create(hub)
    _assert_failed(hub, hub.ask("request_user_modify", **body), reason)


def test_merged_people_are_one_and_both_ids_name_them(hub: Hub, campus: Campus) -> None:
    _create(hub)
    _add(hub)
    answer = hub.ask(
        "request_person_merge",
        KeepGlobalID="70",
        KeepPersonID=PI,
        DeleteGlobalID="71",
        DeletePersonID=USER,
    )

    assert (answer.StatusCode, hub.state) == ("Success", "completed")
    assert campus.person(USER) == campus.person(PI)
    assert campus.person(PI).dns == (DN, USER_DN)
    assert active_people(campus, PROJECT) == {PI}
    again = hub.ask("request_account_create", **_user())
    assert again.UserPersonID == PI


def test_people_whom_nobody_knows_cannot_be_merged(hub: Hub) -> None:
    answer = hub.ask("request_person_merge", KeepPersonID="u8", DeletePersonID="u9", KeepGlobalID="8")
    _assert_failed(hub, answer, "u8")


def test_a_data_packet_about_somebody_unknown_fails_the_transaction(hub: Hub, campus: Campus) -> None:
    _create(hub)
    hub.ask("request_account_create", **_user())
    _assert_failed(hub, hub.follow_up("data_account_create", PersonID="u9", ProjectID=PROJECT), "u9")
