"""The example site's people: ids, details, DNs and merges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campus.backend import Campus
from campus.model import Applicant, CampusError, Degree, PersonDetails
from tests.examples.campus_cases import ELM, GRANT, KIM, OAK, ROBIN, award

DNS = st.lists(
    st.sampled_from(
        [
            "/CN=Robin",
            "/CN=robin",
            "/CN=Robin ",
            " /CN=Robin",
            "/CN=Robin/E=r@example.edu",
            "/CN=Ro%bin",
            "/CN=Ł",
        ]
    ),
    max_size=7,
)

# Ids


def test_a_person_is_found_by_either_id(campus: Campus) -> None:
    person_id = campus.find_or_create_person(ROBIN)

    assert campus.find_or_create_person(Applicant(person_id=person_id)) == person_id
    assert campus.find_or_create_person(Applicant(global_id="70")) == person_id
    assert campus.find_or_create_person(Applicant(global_id="99")) != person_id


def test_an_id_that_the_hub_knows_from_earlier_is_honoured(campus: Campus) -> None:
    assert campus.find_or_create_person(Applicant(person_id="6751", global_id="70")) == "6751"


def test_a_second_local_id_names_the_same_person(campus: Campus) -> None:
    person_id = campus.find_or_create_person(ROBIN)

    assert campus.find_or_create_person(Applicant(person_id="6751", global_id="70")) == person_id
    assert campus.person("6751") == campus.person(person_id)
    assert campus.person(person_id).other_ids == ("6751",)


def test_two_ids_of_two_people_are_refused(campus: Campus) -> None:
    robin, kim = campus.find_or_create_person(ROBIN), campus.find_or_create_person(KIM)

    with pytest.raises(CampusError, match=f"70 is that of person {robin} here, not of {kim}"):
        campus.find_or_create_person(Applicant(person_id=kim, global_id="70"))


def test_the_hubs_id_can_come_later(campus: Campus) -> None:
    person_id = campus.find_or_create_person(Applicant(details=ROBIN.details))

    campus.add_dns(person_id, (), global_id="70")

    assert campus.person(person_id).global_id == "70"
    assert campus.find_or_create_person(ROBIN) == person_id


# Details and DNs


def test_a_request_adds_to_what_is_known_and_deletes_nothing(campus: Campus) -> None:
    person_id = campus.find_or_create_person(ROBIN)

    campus.find_or_create_person(
        Applicant(
            global_id="70",
            details=PersonDetails(email="new@example.edu", organization="", degrees=(Degree("PhD", ""),)),
            dns=("/CN=second",),
        )
    )

    person = campus.person(person_id)
    assert person.details.email == "new@example.edu"
    assert person.details.organization == "Example University"
    assert person.details.degrees == (Degree("PhD"),)
    assert person.dns == (*ROBIN.dns, "/CN=second")


def test_replacing_deletes_what_is_absent_or_empty_and_only_adds_dns(campus: Campus) -> None:
    person_id = campus.find_or_create_person(ROBIN)
    details = PersonDetails(first_name="Robyn", last_name="Example", email="", citizenships=("US",))

    campus.replace_person(person_id, details, dns=("/CN=second", ""))

    person = campus.person(person_id)
    assert person.details == PersonDetails(first_name="Robyn", last_name="Example", citizenships=("US",))
    assert person.dns == (*ROBIN.dns, "/CN=second")
    assert person.global_id == "70"


def test_replacing_is_for_people_who_are_known(campus: Campus) -> None:
    for attempt in (
        lambda: campus.replace_person("x1", PersonDetails()),
        lambda: campus.delete_dns("x1", ()),
        lambda: campus.add_dns("x1", ()),
        lambda: campus.person("x1"),
    ):
        with pytest.raises(CampusError, match="Person x1 is not known"):
            attempt()
    with pytest.raises(CampusError, match="No person is named"):
        campus.replace_person(None, PersonDetails())


@settings(max_examples=20, deadline=None)
@given(before=DNS, removed=DNS, added=DNS)
def test_dns_are_compared_and_kept_to_the_letter(
    empty_campus: Callable[[], Campus], before: list[str], removed: list[str], added: list[str]
) -> None:
    campus = empty_campus()
    person_id = campus.find_or_create_person(Applicant(global_id="70", dns=tuple(before)))
    assert campus.person(person_id).dns == tuple(dict.fromkeys(before))

    campus.delete_dns(person_id, removed)
    assert campus.person(person_id).dns == tuple(dn for dn in dict.fromkeys(before) if dn not in removed)

    campus.replace_person(person_id, PersonDetails(), dns=added)
    assert set(campus.person(person_id).dns) == set(before) - set(removed) | set(added)

    campus.add_dns(person_id, removed)
    assert set(campus.person(person_id).dns) == set(before) | set(removed) | set(added)


# Merges


def test_a_merge_moves_everything_to_the_kept_person(campus: Campus) -> None:
    kim_leads = award(campus, pi=KIM, grant="PHY990001")
    robin_leads = award(campus, pi=ROBIN)
    robin, kim = robin_leads.account.person_id, kim_leads.account.person_id
    campus.add_dns(kim, ("/CN=Kim", *ROBIN.dns))

    kept = campus.merge_people(
        keep=Applicant(person_id=robin, global_id="70"), merged=Applicant(person_id=kim, global_id="71")
    )

    assert kept == robin
    person = campus.person(kim)
    assert person == campus.person(robin)
    assert person.details == ROBIN.details
    assert person.other_ids == (kim,)
    assert set(person.dns) == {*ROBIN.dns, "/CN=Kim"}
    assert campus.project(grant_number="PHY990001").pi_person_id == robin
    moved = campus.account(kim_leads.project.project_id, OAK, robin)
    assert moved is not None
    assert (moved.login, moved.active) == (kim_leads.account.login, True)


def test_merged_ids_name_the_kept_person_in_later_requests(campus: Campus) -> None:
    robin, kim = campus.find_or_create_person(ROBIN), campus.find_or_create_person(KIM)
    campus.merge_people(keep=Applicant(person_id=robin), merged=Applicant(person_id=kim))
    award(campus)

    by_global_id = campus.add_account(KIM, resource=OAK, grant_number=GRANT)
    by_local_id = campus.inactivate_account(kim, resource=OAK, grant_number=GRANT)

    assert by_global_id.person_id == by_local_id.person_id == robin
    assert campus.person(robin).global_id == "70"


@pytest.mark.parametrize("first_is_kept", [True, False])
def test_the_kept_persons_login_is_preferred_and_the_other_stays_theirs(
    campus: Campus, first_is_kept: bool
) -> None:
    first = award(campus, pi=ROBIN).account
    second = campus.add_account(KIM, resource=OAK, grant_number=GRANT)
    kept, merged = (first, second) if first_is_kept else (second, first)
    person_id = campus.merge_people(
        keep=Applicant(person_id=kept.person_id), merged=Applicant(person_id=merged.person_id)
    )

    assert {account.login for account in campus.accounts(kept.project_id)} == {kept.login, merged.login}
    assert campus.account(kept.project_id, OAK, person_id) == kept
    campus.inactivate_account(person_id, resource=OAK, grant_number=GRANT)
    assert not any(account.active for account in campus.accounts(kept.project_id))
    elsewhere = award(campus, pi=Applicant(person_id=person_id), grant="PHY990001")
    assert elsewhere.account.login == kept.login


def test_a_merged_persons_global_id_is_kept_where_there_is_no_other(campus: Campus) -> None:
    nameless = campus.find_or_create_person(Applicant(details=ROBIN.details))
    kim = campus.find_or_create_person(KIM)

    campus.merge_people(keep=Applicant(person_id=nameless), merged=Applicant(person_id=kim))

    assert campus.person(nameless).global_id == "71"


def test_a_kept_id_that_is_unknown_here_takes_over_the_other_person(campus: Campus) -> None:
    kim = campus.find_or_create_person(KIM)

    kept = campus.merge_people(
        keep=Applicant(person_id="x1", global_id="70"), merged=Applicant(person_id=kim, global_id="71")
    )

    person = campus.person(kim)
    assert kept == person.person_id == "x1"
    assert person.global_id == "70"
    assert person.details == KIM.details


def test_a_merged_person_who_is_unknown_here_becomes_another_name(campus: Campus) -> None:
    robin = campus.find_or_create_person(ROBIN)

    campus.merge_people(keep=Applicant(person_id=robin), merged=Applicant(person_id="x1", global_id="99"))

    assert campus.person("x1").person_id == robin
    assert campus.find_or_create_person(Applicant(global_id="99")) == robin


def test_nobody_cannot_be_merged_with_nobody(campus: Campus) -> None:
    with pytest.raises(CampusError, match="Neither person x1 nor person x2"):
        campus.merge_people(keep=Applicant(person_id="x1"), merged=Applicant(person_id="x2"))


ENROLMENTS = st.sets(
    st.sampled_from(list(product((0, 1, 2), (GRANT, "PHY990001"), (OAK, ELM), (True, False))))
)


@settings(max_examples=10, deadline=None)
@given(
    enrolments=ENROLMENTS,
    pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=3),
)
def test_a_merge_loses_no_account_and_happens_once(
    empty_campus: Callable[[], Campus],
    enrolments: set[tuple[int, str, str, bool]],
    pairs: list[tuple[int, int]],
) -> None:
    campus = empty_campus()
    people = [
        Applicant(person_id=f"x{n}", global_id=str(n), dns=(f"/CN={n}", "/CN=all"), details=ROBIN.details)
        for n in range(3)
    ]
    for person in people:
        campus.find_or_create_person(person)
    projects = {
        award(campus, grant=grant, resource=resource, pi=KIM).project.project_id
        for grant, resource in product((GRANT, "PHY990001"), (OAK, ELM))
    }
    for n, grant, resource, active in sorted(enrolments):
        account = campus.add_account(people[n], resource=resource, grant_number=grant)
        if not active:
            campus.inactivate_account(account.person_id, resource=resource, grant_number=grant)

    def accounts() -> list[tuple[str, str, str, bool]]:
        return sorted(
            (account.project_id, account.resource, account.login, account.active)
            for project_id in projects
            for account in campus.accounts(project_id)
        )

    before = accounts()
    for keep, merged in pairs:
        campus.merge_people(keep=people[keep], merged=people[merged])
        once = [campus.person(f"x{n}") for n in range(3)], [campus.accounts(p) for p in sorted(projects)]
        campus.merge_people(keep=people[keep], merged=people[merged])

        assert accounts() == before
        assert once == (
            [campus.person(f"x{n}") for n in range(3)],
            [campus.accounts(p) for p in sorted(projects)],
        )
        kept = campus.person(f"x{merged}")
        assert (kept.person_id, kept.global_id) == (f"x{keep}", str(keep))
        assert {f"/CN={keep}", f"/CN={merged}", "/CN=all"} <= set(kept.dns)
