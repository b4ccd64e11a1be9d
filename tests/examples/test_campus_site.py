"""The example site's handlers: from the packet that comes in to the packet that answers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amie_engine.packet import (
    DataAccountCreate,
    DataProjectCreate,
    InformTransactionComplete,
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
from amie_engine.site import Site, Work, load_site
from amie_engine.site.handlers import HANDLED_TYPES
from campus.backend import Campus
from campus.model import Applicant
from campus.site import build_site
from tests.examples.campus_cases import GRANT, OAK, active_people

PROJECT, PI, USER = "p1001", "u1001", "u1002"

RPC = RequestProjectCreate(
    packet_rec_id=1,
    AllocationType="New",
    GrantNumber=GRANT,
    PfosNumber="120",
    PiFirstName="Robin",
    PiLastName="Example",
    PiOrganization="Example University",
    PiOrgCode="0017756",
    PiGlobalID="70",
    PiDnList=["/C=US/O=Example/CN=Robin Example"],
    PiRequestedLoginList=["", "robin"],
    RecordID="r-1",
    ResourceList=[OAK],
    ServiceUnitsAllocated="1234.5",
    Sfos=[{"Number": "0"}],
    StartDate="2025-01-01",
    EndDate="2025-12-31",
)
RAC = RequestAccountCreate(
    packet_rec_id=2,
    GrantNumber=GRANT,
    ResourceList=[OAK],
    UserFirstName="Kim",
    UserLastName="Sample",
    UserOrganization="Example University",
    UserOrgCode="0017756",
)


@pytest.fixture
def site(campus: Campus) -> Site:
    return build_site(campus)


def _answer(site: Site, packet: Packet, request: Packet | None = None, key: str | None = None) -> Any:
    """What a site's handler answers to a packet, given the draft of the reply that the packet expects."""
    handler = site.handler_for(packet.packet_type)
    assert handler is not None
    work = Work(
        key=key or f"work-{packet!r}",
        reply=packet.reply_packet(),
        request=request or packet,
        trans_rec_id="1",
        packet=packet,
    )
    answer = handler(packet, work)
    assert answer is work.reply or answer.StatusCode == "Failure"
    return answer


def test_the_site_has_a_handler_for_everything_that_the_hub_sends(campus: Campus) -> None:
    site = build_site(campus, "PSC")

    assert site.name == "PSC"
    assert set(site._handlers) == HANDLED_TYPES


def test_a_project_is_created_and_confirmed(campus: Campus, site: Site) -> None:
    campus.add_dns(campus.find_or_create_person(Applicant(global_id="70")), ["/CN=known before"])

    created = _answer(site, RPC)
    data = DataProjectCreate(packet_rec_id=3, ProjectID=PROJECT, GlobalID="70", DnList=["/CN=from the hub"])
    _answer(site, data, request=RPC)

    assert isinstance(created, NotifyProjectCreate)
    assert (created.ProjectID, created.PiPersonID, created.PiRemoteSiteLogin) == (PROJECT, PI, "robin")
    assert created.PiDnList == ["/CN=known before", "/C=US/O=Example/CN=Robin Example"]
    assert campus.person(PI).dns == (*created.PiDnList, "/CN=from the hub")
    assert campus.project(PROJECT).other_fields_of_science == ()


def test_an_account_is_created_and_confirmed(campus: Campus, site: Site) -> None:
    _answer(site, RPC)

    created = _answer(site, RAC)
    data = DataAccountCreate(packet_rec_id=3, ProjectID=PROJECT, PersonID=USER, DnList=["/CN=from the hub"])
    _answer(site, data, request=RAC)

    assert isinstance(created, NotifyAccountCreate)
    assert (created.ProjectID, created.UserPersonID, created.UserRemoteSiteLogin) == (
        PROJECT,
        USER,
        "ksample",
    )
    assert created.UserDnList is None
    assert campus.person(USER).dns == ("/CN=from the hub",)
    assert active_people(campus, PROJECT) == {PI, USER}


def test_the_hubs_global_ids_come_with_its_data_packets(campus: Campus, site: Site) -> None:
    document = RPC.as_dict()
    del document["body"]["PiGlobalID"]
    request = Packet.from_dict(document)
    _answer(site, request)
    _answer(site, RAC)

    _answer(site, DataProjectCreate(packet_rec_id=3, ProjectID=PROJECT, GlobalID="70"), request=request)
    _answer(site, DataAccountCreate(packet_rec_id=4, PersonID=USER, GlobalID="71"), request=RAC)

    assert (campus.person(PI).global_id, campus.person(USER).global_id) == ("70", "71")


def test_a_request_that_is_handled_again_is_answered_the_same(campus: Campus, site: Site) -> None:
    first = _answer(site, RPC, key="k1")
    again = _answer(site, RPC, key="k1")

    assert again.as_dict() == first.as_dict()
    assert len(campus.allocation_history(PROJECT, OAK)) == 1


def test_projects_and_accounts_come_and_go(campus: Campus, site: Site) -> None:
    _answer(site, RPC)
    _answer(site, RAC)
    project: dict[str, Any] = {"ProjectID": PROJECT, "ResourceList": [OAK]}
    account = project | {"PersonID": USER}

    _answer(site, RequestProjectInactivate(packet_rec_id=10, **project))
    assert active_people(campus, PROJECT) == set()
    _answer(site, RequestProjectReactivate(packet_rec_id=11, **project))
    assert active_people(campus, PROJECT) == {PI}
    _answer(site, RequestAccountReactivate(packet_rec_id=12, **account))
    assert active_people(campus, PROJECT) == {PI, USER}
    _answer(site, RequestAccountInactivate(packet_rec_id=13, **account))
    assert active_people(campus, PROJECT) == {PI}


def test_a_persons_data_are_replaced_and_dns_deleted(campus: Campus, site: Site) -> None:
    _answer(site, RPC)
    replace = RequestUserModify(
        packet_rec_id=10, ActionType="replace", PersonID=PI, LastName="Example", Email="", DnList=["/CN=new"]
    )
    delete = Packet.from_dict(
        {
            "DATA_TYPE": "Packet",
            "type": "request_user_modify",
            "header": {"packet_rec_id": 11},
            "body": {"Actiontype": "delete", "PersonID": PI, "DnList": ["/C=US/O=Example/CN=Robin Example"]},
        }
    )

    _answer(site, replace)
    _answer(site, delete)

    person = campus.person(PI)
    assert (person.details.first_name, person.details.last_name) == (None, "Example")
    assert person.dns == ("/CN=new",)


def test_people_are_merged(campus: Campus, site: Site) -> None:
    _answer(site, RPC)
    _answer(site, RAC)

    _answer(
        site,
        RequestPersonMerge(
            packet_rec_id=10, KeepGlobalID="70", KeepPersonID=PI, DeleteGlobalID="71", DeletePersonID=USER
        ),
    )

    assert campus.person(USER).person_id == PI
    assert active_people(campus, PROJECT) == {PI}


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (RAC, f"grant {GRANT}"),
        (RequestProjectCreate(packet_rec_id=1, GrantNumber=GRANT, ResourceList=[OAK]), "allocation type"),
        (RequestProjectCreate(packet_rec_id=1, AllocationType="new", ResourceList=[OAK]), "no grant"),
        (RequestProjectInactivate(packet_rec_id=1, ProjectID="afm", ResourceList=[OAK]), "project afm"),
        (RequestProjectReactivate(packet_rec_id=1, ResourceList=[OAK]), "without an id"),
        (RequestAccountInactivate(packet_rec_id=1, PersonID="x1"), "resources"),
        (RequestUserModify(packet_rec_id=1, ActionType="add", PersonID="x1"), "add"),
        (RequestUserModify(packet_rec_id=1, ActionType="replace", PersonID="x1"), "x1"),
        (RequestPersonMerge(packet_rec_id=1, KeepPersonID="x1", DeletePersonID="x2"), "x1"),
        (DataAccountCreate(packet_rec_id=1, ProjectID="afm"), "No person"),
        (DataProjectCreate(packet_rec_id=1, ProjectID="afm"), "afm"),
    ],
)
def test_what_the_campus_cannot_do_fails_the_transaction_and_says_why(
    site: Site, packet: Packet, reason: str
) -> None:
    answer = _answer(site, packet)

    assert isinstance(answer, InformTransactionComplete)
    assert answer.StatusCode == "Failure"
    assert reason in (answer.Message or "")
    assert answer.in_reply_to_id == packet.packet_rec_id


def test_the_command_line_finds_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPUS_DATABASE", str(tmp_path / "campus.db"))
    monkeypatch.setenv("CAMPUS_SITE", "PSC")
    assert not (tmp_path / "campus.db").exists()

    site = load_site("campus.site:site")

    assert site.name == "PSC"
    assert (tmp_path / "campus.db").exists()
    assert isinstance(_answer(site, RPC), NotifyProjectCreate)
