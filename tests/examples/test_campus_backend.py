"""What holds for all the operations of the example site's back end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from campus.backend import Campus
from campus.model import Applicant, CampusError, PersonDetails
from tests.examples.campus_cases import GRANT, KIM, LEE, OAK, ROBIN, award, everything

OPERATIONS: dict[str, Callable[[Campus, str], Any]] = {
    "award": lambda campus, key: award(campus, "supplement", "5", key=key),
    "inactivate_project": lambda campus, key: campus.inactivate_project(
        grant_number=GRANT, resource=OAK, key=key
    ),
    "reactivate_project": lambda campus, key: campus.reactivate_project(
        grant_number=GRANT, resource=OAK, key=key
    ),
    "add_account": lambda campus, key: campus.add_account(LEE, grant_number=GRANT, resource=OAK, key=key),
    "inactivate_account": lambda campus, key: campus.inactivate_account(
        "u1002", grant_number=GRANT, resource=OAK, key=key
    ),
    "reactivate_account": lambda campus, key: campus.reactivate_account(
        "u1002", grant_number=GRANT, resource=OAK, key=key
    ),
    "find_or_create_person": lambda campus, key: campus.find_or_create_person(
        Applicant(details=LEE.details), key=key
    ),
    "replace_person": lambda campus, key: campus.replace_person(
        "u1002", PersonDetails(last_name="Sample"), dns=("/CN=new",), key=key
    ),
    "add_dns": lambda campus, key: campus.add_dns("u1002", ("/CN=new",), key=key),
    "delete_dns": lambda campus, key: campus.delete_dns("u1001", ROBIN.dns, key=key),
    "merge_people": lambda campus, key: campus.merge_people(
        keep=Applicant(person_id="u1001"), merged=Applicant(person_id="u1002"), key=key
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_key_returns_the_first_result_and_changes_nothing(campus: Campus, operation: str) -> None:
    call = OPERATIONS[operation]
    award(campus)
    campus.add_account(KIM, grant_number=GRANT, resource=OAK)
    first = call(campus, "k1")
    award(campus, "supplement", "7")
    before = everything(campus)

    assert call(campus, "k1") == first
    assert everything(campus) == before


def test_a_result_outlives_the_process(tmp_path: Path) -> None:
    with Campus(tmp_path / "campus.db") as campus:
        first = award(campus, amount="1000.50", key="k1")
    with Campus(f"sqlite:///{tmp_path}/campus.db") as campus:
        assert award(campus, amount="1000.50", key="k1") == first
        assert campus.project(first.project.project_id) == first.project


def test_a_call_that_failed_can_be_made_again_under_its_key(campus: Campus) -> None:
    with pytest.raises(CampusError):
        campus.add_account(KIM, grant_number=GRANT, resource=OAK, key="k1")
    award(campus)

    assert campus.add_account(KIM, grant_number=GRANT, resource=OAK, key="k1").active


def test_what_is_kept_of_an_operation_names_nobody(campus: Campus) -> None:
    operations = ("award", "find_or_create_person", "replace_person", "add_dns", "delete_dns", "merge_people")
    campus.find_or_create_person(ROBIN)
    campus.find_or_create_person(KIM)
    for operation in operations:
        OPERATIONS[operation](campus, "k1")
    kept = everything(campus)["finished_operations"]

    assert len(kept) == len(operations)
    for personal in ("Robin", "Kim", "Sample", "Lee", "robin@example.edu", "/CN="):
        assert personal not in str(kept)


def test_errors_and_reprs_name_ids_and_no_person(campus: Campus) -> None:
    award(campus)
    kim = campus.find_or_create_person(KIM)
    shown = [repr(ROBIN), repr(ROBIN.details), repr(campus.person("u1001")), repr(campus.accounts("p1001"))]
    attempts: list[Callable[[], Any]] = [
        lambda: campus.inactivate_account(kim, grant_number=GRANT, resource=OAK),
        lambda: campus.add_dns(kim, (), global_id="70"),
        lambda: campus.find_or_create_person(Applicant(person_id=kim, global_id="70", details=ROBIN.details)),
        lambda: award(campus, "transfer", "-9999"),
    ]
    for attempt in attempts:
        with pytest.raises(CampusError) as caught:
            attempt()
        shown.append(str(caught.value))

    for personal in ("Robin", "Kim", "robin@", "/CN=", "555"):
        assert not any(personal in text for text in shown)


def test_threads_can_share_a_campus(tmp_path: Path) -> None:
    with Campus(tmp_path / "campus.db") as campus, ThreadPoolExecutor(4) as threads:
        project_id = award(campus, amount="0").project.project_id
        calls = [threads.submit(award, campus, "supplement", "1", key=str(n % 10)) for n in range(30)]
        results = [call.result() for call in calls]
        allocation = campus.allocation(project_id, OAK)

    assert allocation is not None
    assert allocation.amount == 10
    assert sorted(result.allocation.amount for result in results) == sorted([*range(1, 11)] * 3)


def test_two_campuses_can_share_a_database(tmp_path: Path) -> None:
    path = tmp_path / "campus.db"
    with Campus(path) as one, Campus(path) as other, ThreadPoolExecutor(2) as threads:
        project_id = award(one, amount="0", key="k1").project.project_id
        assert award(other, amount="0", key="k1").project.project_id == project_id

        calls = [threads.submit(award, campus, "supplement", "1") for campus in (one, other) * 10]
        for call in calls:
            call.result()

        assert len(other.allocation_history(project_id, OAK)) == 21
        assert one.allocation(project_id, OAK) == other.allocation(project_id, OAK)


def test_only_sqlite_holds_a_campus() -> None:
    with pytest.raises(ValueError, match="SQLite"):
        Campus("postgresql://nobody:secret@127.0.0.1/campus")
