"""Made-up people and awards for the tests of the example site."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from campus.backend import Campus
from campus.model import Applicant, Award, Grant, PersonDetails
from campus.schema import metadata

GRANT = "AST040002"
OAK, ELM = "oak.campus.example", "elm.campus.example"
START, END = date(2025, 1, 1), date(2025, 12, 31)

ROBIN = Applicant(
    global_id="70",
    details=PersonDetails(
        first_name="Robin",
        last_name="Example",
        email="robin@example.edu",
        organization="Example University",
        business_phone_number="555-0100",
    ),
    dns=("/C=US/O=Example/CN=Robin Example",),
    logins=("", "robin"),
)
KIM = Applicant(global_id="71", details=PersonDetails(first_name="Kim", last_name="Sample"))
LEE = Applicant(global_id="72", details=PersonDetails(first_name="Lee", last_name="Placeholder"))


def award(
    campus: Campus,
    allocation_type: str = "new",
    amount: str | None = "1000",
    *,
    resource: str = OAK,
    grant: Grant | str = GRANT,
    pi: Applicant = ROBIN,
    start_date: date | None = START,
    end_date: date | None = END,
    key: str | None = None,
) -> Award:
    """Make an award; what a test does not name is of no account to it."""
    return campus.award(
        Grant(grant_number=grant) if isinstance(grant, str) else grant,
        resource=resource,
        pi=pi,
        allocation_type=allocation_type,
        amount=None if amount is None else Decimal(amount),
        start_date=start_date,
        end_date=end_date,
        key=key,
    )


def active_people(campus: Campus, project_id: str, resource: str = OAK) -> set[str]:
    """The ids of those whose account in a project on a resource is active."""
    accounts = campus.accounts(project_id)
    return {account.person_id for account in accounts if account.active and account.resource == resource}


def everything(campus: Campus) -> dict[str, list[Any]]:
    """All that stands in a campus's database, by table."""
    with campus._store.transaction() as connection:
        return {table.name: list(connection.execute(select(table))) for table in metadata.sorted_tables}
