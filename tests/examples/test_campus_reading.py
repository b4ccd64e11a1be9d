"""How the example site reads requests, the odd ones that real services send among them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from amie_engine.packet import Packet, RequestAccountCreate, RequestProjectCreate, RequestUserModify
from campus.model import CampusError, Degree, PersonDetails
from campus.reading import amount, applicant, day, objects, person_details, resource, text, texts


def _packet(packet_type: str, body: dict[str, Any]) -> Packet:
    return Packet.from_dict({"DATA_TYPE": "Packet", "type": packet_type, "header": {}, "body": body})


def test_a_request_names_its_person_by_ids_details_dns_and_logins() -> None:
    request = _packet(
        "request_account_create",
        {
            "UserPersonID": "21619",
            "UserGlobalID": 150,
            "UserFirstName": "Robin",
            "UserLastName": "Example",
            "UserOrgCode": "0017756",
            "UserZip": "00000",
            "UserMiddleName": "",
            "UserDnList": ["/C=US/CN=Robin Example", "", " /CN=to the letter "],
            "UserRequestedLoginList": ["", "rexample"],
            "UserRemoteSiteLogin": "robin",
            "AcademicDegree": [{"Degree": "PhD", "Field": ""}, {"Degree": "MS", "Field": "Math"}, {}],
            "CitizenshipList": ["US"],
        },
    )

    user = applicant(request, "User", "NCSA")

    assert (user.person_id, user.global_id) == ("21619", "150")
    assert user.dns == ("/C=US/CN=Robin Example", " /CN=to the letter ")
    assert user.logins == ("robin", "rexample")
    assert user.details == PersonDetails(
        first_name="Robin",
        last_name="Example",
        organization_code="0017756",
        zip_code="00000",
        degrees=(Degree("PhD"), Degree("MS", "Math")),
        citizenships=("US",),
    )


def test_the_list_of_ids_at_all_sites_can_name_this_one() -> None:
    ids = [{"Site": "SDSC", "PersonID": "1"}, {"Site": "NCSA", "PersonID": "2"}]

    assert applicant(RequestProjectCreate(SitePersonId=ids), "Pi", "NCSA").person_id == "2"
    assert applicant(RequestProjectCreate(SitePersonId=ids), "Pi", "PSC").person_id is None
    assert applicant(RequestProjectCreate(SitePersonId=ids, PiPersonID="3"), "Pi", "NCSA").person_id == "3"


@pytest.mark.parametrize(
    ("packet", "prefix"), [(RequestProjectCreate(), "Pi"), (RequestAccountCreate(), "User")]
)
def test_a_request_that_says_nothing_of_its_person_is_read_too(packet: Packet, prefix: str) -> None:
    person = applicant(packet, prefix, "NCSA")

    assert (person.person_id, person.global_id, person.dns, person.logins) == (None, None, (), ())
    assert person.details == PersonDetails()


def test_user_modify_has_the_same_details_without_a_prefix() -> None:
    request = RequestUserModify(
        ActionType="replace", PersonID="21619", FirstName="Robin", Email="", NsfStatusCode="CN", Title="n/a"
    )

    assert person_details(request, "") == PersonDetails(first_name="Robin", nsf_status_code="CN", title="n/a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a ", "a "), (7, "7"), ("", None), ("  ", None), (None, None), (True, None), ({}, None)],
)
def test_text_is_kept_to_the_letter_and_what_is_no_text_is_absent(value: Any, expected: str | None) -> None:
    assert text(value) == expected


def test_lists_are_read_as_far_as_they_are_lists() -> None:
    assert texts(["a", "", None, 7, {"b": "c"}]) == ("a", "7")
    assert texts("alone") == ("alone",)
    assert texts(None) == texts({"a": "b"}) == ()
    assert objects([{"Number": "0"}, "122"]) == ({"Number": "0"},)
    assert objects("122") == objects(None) == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("99999", "99999"),
        ("1234.5", "1234.5"),
        ("-2500", "-2500"),
        (7, "7"),
        (0.5, "0.5"),
        (Decimal("1.10"), "1.10"),
    ],
)
def test_amounts_are_decimal(value: Any, expected: str) -> None:
    assert amount(value) == Decimal(expected)


def test_what_is_no_amount_and_no_date_is_refused_and_what_is_empty_is_absent() -> None:
    assert (amount(""), amount(None)) == (None, None)
    assert (day(""), day(None)) == (None, None)
    assert day(RequestProjectCreate(StartDate="2025-01-31").StartDate) == date(2025, 1, 31)
    with pytest.raises(CampusError, match="1,000"):
        amount("1,000")
    with pytest.raises(CampusError, match="soon"):
        day(RequestProjectCreate(EndDate="soon").EndDate)


@pytest.mark.parametrize("names", [None, [], [""], ["oak", "elm"]])
def test_a_request_is_about_one_resource(names: Any) -> None:
    assert resource(RequestProjectCreate(ResourceList=["oak"])) == "oak"
    with pytest.raises(CampusError, match="resources"):
        resource(RequestProjectCreate(ResourceList=names))
