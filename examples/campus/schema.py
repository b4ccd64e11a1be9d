"""The campus's tables.

A login belongs to a person on a resource, and an account is a login's place in a project: so whose account it
is follows from the login alone, and a merge of two persons need touch no account.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from .model import PersonDetails

__all__ = [
    "accounts",
    "allocation_changes",
    "allocations",
    "counters",
    "distinguished_names",
    "finished_operations",
    "logins",
    "metadata",
    "people",
    "person_ids",
    "project_fields_of_science",
    "project_resources",
    "projects",
]

metadata = MetaData()


class Amount(TypeDecorator[Decimal]):
    """A decimal amount, kept as text: SQLite has no decimal numbers, and a float would round."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


people = Table(
    "people",
    metadata,
    Column("person_id", Text, primary_key=True),
    Column("global_id", Text, unique=True),
    *(
        Column(detail.name, Text if detail.default is None else JSON(none_as_null=True))
        for detail in fields(PersonDetails)
    ),
)
"""A column for every detail: text, or JSON for those that are lists."""

person_ids = Table(
    "person_ids",
    metadata,
    Column("scope", Text, CheckConstraint("scope IN ('site', 'hub')"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("person_id", ForeignKey("people.person_id"), nullable=False, index=True),
)
"""Every id that names a person, this site's and the hub's: those of merged persons stay here for ever."""

distinguished_names = Table(
    "distinguished_names",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("person_id", ForeignKey("people.person_id"), nullable=False),
    Column("dn", Text, nullable=False),
    UniqueConstraint("person_id", "dn"),
)

logins = Table(
    "logins",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("person_id", ForeignKey("people.person_id"), nullable=False),
    Column("preferred", Boolean, nullable=False),
)
"""A person has one preferred login on a resource; only a merge gives them further ones."""
Index(
    "one_preferred_login", logins.c.resource, logins.c.person_id, unique=True, sqlite_where=logins.c.preferred
)

projects = Table(
    "projects",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("grant_number", Text, nullable=False, unique=True),
    Column("pi_person_id", ForeignKey("people.person_id"), nullable=False),
    Column("title", Text),
    Column("field_of_science", Text),
)

project_fields_of_science = Table(
    "project_fields_of_science",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.project_id"), nullable=False),
    Column("number", Text, nullable=False),
    UniqueConstraint("project_id", "number"),
)

project_resources = Table(
    "project_resources",
    metadata,
    Column("project_id", ForeignKey("projects.project_id"), primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("active", Boolean, nullable=False),
)
"""Where a project runs. Each resource has its own allocation, so each is active or inactive by itself."""

accounts = Table(
    "accounts",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("active", Boolean, nullable=False),
    ForeignKeyConstraint(
        ["project_id", "resource"], ["project_resources.project_id", "project_resources.resource"]
    ),
    ForeignKeyConstraint(["resource", "login"], ["logins.resource", "logins.login"]),
)

allocations = Table(
    "allocations",
    metadata,
    Column("allocation_id", Integer, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    Column("superseded_from", Date),
    ForeignKeyConstraint(
        ["project_id", "resource"], ["project_resources.project_id", "project_resources.resource"]
    ),
    CheckConstraint("start_date <= end_date"),
)
"""One row a period. The one that nothing supersedes is the newest, and there is only one."""
Index(
    "one_newest_allocation",
    allocations.c.project_id,
    allocations.c.resource,
    unique=True,
    sqlite_where=allocations.c.superseded_from.is_(None),
)

allocation_changes = Table(
    "allocation_changes",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("allocation_id", ForeignKey("allocations.allocation_id"), nullable=False, index=True),
    Column("allocation_type", Text, nullable=False),
    Column("change", Amount, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("end_date", Date, nullable=False),
    Column("recorded_at", Text, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last", Integer, nullable=False),
)
"""The last number that was given out, for each kind of id."""

finished_operations = Table(
    "finished_operations",
    metadata,
    Column("operation", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("result", JSON, nullable=False),
)
"""What was done under an idempotency key, and what came of it."""
