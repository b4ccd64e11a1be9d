"""The example site's projects, accounts and logins."""

from __future__ import annotations

import pytest

from campus.backend import Campus
from campus.model import Applicant, CampusError, Grant, PersonDetails
from tests.examples.campus_cases import ELM, GRANT, KIM, LEE, OAK, ROBIN, active_people, award

# Projects


def test_the_first_award_makes_the_project_the_pi_and_the_account(campus: Campus) -> None:
    made = award(campus, grant=Grant(grant_number=GRANT, title="Planetary Motion", field_of_science="120"))

    assert made.project.project_id == "p1001"
    assert made.project.pi_person_id == made.account.person_id == "u1001"
    assert made.account.login == "robin"
    assert made.account.active
    assert made.project.is_active(OAK)
    assert campus.project(grant_number=GRANT) == campus.project("p1001") == made.project
    assert made.project.title == "Planetary Motion"


def test_a_grant_has_one_project_on_all_its_resources(campus: Campus) -> None:
    first = award(campus, resource=OAK)
    second = award(campus, resource=ELM)

    assert second.project.project_id == first.project.project_id
    assert second.account.person_id == first.account.person_id
    assert second.project.resources == (ELM, OAK)


def test_a_pi_without_any_id_is_the_one_the_project_has(campus: Campus) -> None:
    nameless = Applicant(details=ROBIN.details)

    first = award(campus, resource=OAK, pi=nameless)
    second = award(campus, resource=ELM, pi=nameless)

    assert second.account.person_id == first.account.person_id


def test_another_name_without_any_id_is_another_pi(campus: Campus) -> None:
    first = award(campus, pi=Applicant(details=ROBIN.details))
    second = award(campus, "supplement", pi=Applicant(details=KIM.details))

    assert second.project.pi_person_id != first.project.pi_person_id


def test_a_project_id_that_the_hub_knows_from_earlier_is_honoured(campus: Campus) -> None:
    made = award(campus, grant=Grant(grant_number=GRANT, project_id="afm"))

    assert made.project.project_id == "afm"


def test_a_project_id_of_another_grant_is_refused(campus: Campus) -> None:
    project_id = award(campus).project.project_id

    with pytest.raises(CampusError, match=project_id):
        award(campus, grant=Grant(grant_number="PHY990001", project_id=project_id))
    with pytest.raises(CampusError, match="PHY990001"):
        campus.project(grant_number="PHY990001")


def test_new_ids_avoid_those_that_the_hub_knows_from_earlier(campus: Campus) -> None:
    award(campus, grant=Grant(grant_number=GRANT, project_id="p1001"), pi=Applicant(person_id="u1001"))

    other = award(campus, grant="PHY990001", pi=KIM)

    assert other.project.project_id == "p1002"
    assert other.account.person_id == "u1002"


def test_a_field_of_science_numbered_zero_means_none(campus: Campus) -> None:
    made = award(
        campus, grant=Grant(grant_number=GRANT, other_fields_of_science=("0", "122", "", "124", "00"))
    )

    assert made.project.other_fields_of_science == ("122", "124")


def test_inactivation_takes_in_every_account_of_the_project_on_that_resource(campus: Campus) -> None:
    project_id = award(campus, resource=OAK).project.project_id
    award(campus, resource=ELM)
    campus.add_account(KIM, resource=OAK, project_id=project_id)

    project = campus.inactivate_project(project_id=project_id, resource=OAK)

    assert not project.is_active(OAK)
    assert active_people(campus, project_id, OAK) == set()
    assert project.is_active(ELM)
    assert len(active_people(campus, project_id, ELM)) == 1


@pytest.mark.parametrize("how", ["reactivation", "supplement", "extension", "renewal"])
def test_reactivation_takes_in_only_the_pis_account(campus: Campus, how: str) -> None:
    made = award(campus)
    project_id = made.project.project_id
    kim = campus.add_account(KIM, resource=OAK, project_id=project_id)
    campus.inactivate_project(project_id=project_id, resource=OAK)

    if how == "reactivation":
        campus.reactivate_project(project_id=project_id, resource=OAK)
    else:
        award(campus, how, "10")

    assert campus.project(project_id).is_active(OAK)
    assert active_people(campus, project_id) == {made.account.person_id}
    assert campus.account(project_id, OAK, kim.person_id) is not None


def test_a_new_pi_takes_the_place_of_the_old_one(campus: Campus) -> None:
    old = award(campus, pi=ROBIN)
    new = award(campus, "renewal", pi=KIM)
    project_id = new.project.project_id
    campus.inactivate_project(project_id=project_id, resource=OAK)

    campus.reactivate_project(project_id=project_id, resource=OAK)

    assert active_people(campus, project_id) == {new.account.person_id} != {old.account.person_id}


def test_a_project_is_known_only_where_it_was_awarded(campus: Campus) -> None:
    project_id = award(campus, resource=OAK).project.project_id

    for attempt in (campus.inactivate_project, campus.reactivate_project):
        with pytest.raises(CampusError, match=f"{project_id} has no allocation on {ELM}"):
            attempt(project_id=project_id, resource=ELM)
    with pytest.raises(CampusError, match="no allocation"):
        campus.add_account(KIM, project_id=project_id, resource=ELM)


# Accounts


def test_an_account_is_added_by_grant_number_where_the_hub_knows_no_project_id(campus: Campus) -> None:
    project_id = award(campus).project.project_id

    account = campus.add_account(KIM, resource=OAK, grant_number=GRANT)

    assert account.project_id == project_id
    assert account.login == "ksample"
    assert account.active


def test_an_account_for_an_unknown_project_is_refused_and_leaves_no_person(campus: Campus) -> None:
    with pytest.raises(CampusError, match="grant PHY990001"):
        campus.add_account(Applicant(person_id="x1"), resource=OAK, grant_number="PHY990001")
    with pytest.raises(CampusError, match="x1"):
        campus.person("x1")


def test_inactivating_an_account_keeps_the_id_and_the_login(campus: Campus) -> None:
    project_id = award(campus).project.project_id
    kim = campus.add_account(KIM, resource=OAK, project_id=project_id)

    gone = campus.inactivate_account(kim.person_id, project_id=project_id, resource=OAK)
    back = campus.add_account(KIM, resource=OAK, project_id=project_id)

    assert not gone.active
    assert (gone.person_id, gone.login) == (kim.person_id, kim.login)
    assert back == kim


def test_an_account_can_be_reactivated(campus: Campus) -> None:
    project_id = award(campus).project.project_id
    kim = campus.add_account(KIM, resource=OAK, project_id=project_id)
    campus.inactivate_account(kim.person_id, project_id=project_id, resource=OAK)

    assert campus.reactivate_account(kim.person_id, project_id=project_id, resource=OAK) == kim


def test_a_user_of_an_inactive_project_is_added_inactive(campus: Campus) -> None:
    project_id = award(campus).project.project_id
    campus.add_account(KIM, resource=OAK, project_id=project_id)
    campus.inactivate_project(project_id=project_id, resource=OAK)

    assert not campus.add_account(LEE, resource=OAK, project_id=project_id).active
    assert not campus.add_account(KIM, resource=OAK, project_id=project_id).active


def test_no_account_of_an_inactive_project_can_be_reactivated(campus: Campus) -> None:
    made = award(campus)
    project_id = made.project.project_id
    campus.inactivate_project(project_id=project_id, resource=OAK)

    with pytest.raises(CampusError, match="inactive"):
        campus.reactivate_account(made.account.person_id, project_id=project_id, resource=OAK)


def test_an_account_that_is_not_there_can_be_neither_inactivated_nor_reactivated(campus: Campus) -> None:
    project_id = award(campus).project.project_id
    stranger = campus.find_or_create_person(KIM)

    for attempt in (campus.inactivate_account, campus.reactivate_account):
        with pytest.raises(CampusError, match=f"{stranger} has no account"):
            attempt(stranger, project_id=project_id, resource=OAK)
        with pytest.raises(CampusError, match="nobody"):
            attempt("nobody", project_id=project_id, resource=OAK)


# Logins


@pytest.mark.parametrize(
    ("requested", "login"),
    [
        ((), "lplaceholder"),
        (("", "  ", "lee"), "lee"),
        (("robin", "lee"), "lee"),
        (("root", "Lee", "9lee", "lee placeholder", "l" * 40, "lee_p"), "lee_p"),
        (("robin",), "lplaceholder"),
    ],
)
def test_the_first_requested_login_that_is_valid_and_free_is_taken(
    campus: Campus, requested: tuple[str, ...], login: str
) -> None:
    award(campus, pi=ROBIN)
    lee = Applicant(global_id="72", details=LEE.details, logins=requested)

    assert campus.add_account(lee, resource=OAK, grant_number=GRANT).login == login


def test_logins_are_unique_on_a_resource_and_free_on_another(campus: Campus) -> None:
    award(campus, resource=OAK)
    award(campus, resource=ELM)
    namesakes = [Applicant(global_id=str(number), details=KIM.details) for number in range(3)]

    on_oak = [campus.add_account(user, resource=OAK, grant_number=GRANT).login for user in namesakes]
    on_elm = campus.add_account(namesakes[2], resource=ELM, grant_number=GRANT).login

    assert on_oak == ["ksample", "ksample2", "ksample3"]
    assert on_elm == "ksample"


@pytest.mark.parametrize(
    ("first_name", "last_name", "login"),
    [
        ("Zoë", "Müller-Beispiel", "zmullerbeispiel"),
        ("李", "例", "u1002"),
        (None, None, "u1002"),
        ("R", "oot", "u1002"),
    ],
)
def test_a_login_can_be_made_of_any_name(
    campus: Campus, first_name: str | None, last_name: str | None, login: str
) -> None:
    award(campus)
    user = Applicant(details=PersonDetails(first_name=first_name, last_name=last_name))

    assert campus.add_account(user, resource=OAK, grant_number=GRANT).login == login


def test_a_person_keeps_their_login_whatever_is_requested_later(campus: Campus) -> None:
    first = award(campus, pi=ROBIN)
    again = award(campus, grant="PHY990001", pi=Applicant(global_id="70", logins=("other",)))

    assert again.account.login == first.account.login
    assert again.project.project_id != first.project.project_id
