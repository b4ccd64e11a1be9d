"""The tables. All their names begin with ``amie_``, so that a site can keep them in its own database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import BigInteger

__all__ = ["VERSION_TABLE", "events", "log_head", "metadata", "staged"]

metadata = MetaData()

VERSION_TABLE = "amie_schema_version"
"""Where alembic keeps the schema's revision, apart from that of a site's own migrations."""

# SQLite gives its fast row id only to a column that is declared INTEGER.
_position = BigInteger().with_variant(Integer, "sqlite")


def _partial(name: str, where: str, *columns: Column[Any], unique: bool = False) -> None:
    """An index of the rows that a condition holds for; a query that states the same condition uses it."""
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


events = Table(
    "amie_events",
    metadata,
    Column("position", _position, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("trans_rec_id", Text),
    Column("packet_rec_id", Text),
    Column("packet_type", Text),
    Column("sender", Text),
    Column("status", Text),
    Column("actor", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("facts_digest", Text, nullable=False),
    Column("document", Text),
    Column("document_salt", Text),
    Column("document_digest", Text),
    Column("hash", Text, nullable=False),
    UniqueConstraint("stream", "version", name="amie_events_stream_version"),
)
_partial(
    "amie_events_accepted",
    "type IN ('packet_received', 'packet_confirmed', 'packet_adopted') AND packet_rec_id IS NOT NULL",
    events.c.hub,
    events.c.site,
    events.c.packet_rec_id,
    unique=True,
)
_partial(
    "amie_events_erasures",
    "type = 'documents_erased'",
    events.c.hub,
    events.c.site,
    events.c.position,
)

log_head = Table(
    "amie_log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", _position, nullable=False),
    Column("hash", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("log_id", Text, nullable=False),
    CheckConstraint("id = 1", name="amie_log_head_one_row"),
)
"""The counter: the newest position, its hash and time. One row. ``log_id`` is a random name of this log with
its check digits, and the secret of its pseudonyms: it never leaves the database."""

staged = Table(
    "amie_staged",
    metadata,
    Column("id", _position, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("trans_rec_id", Text),
    Column("arguments", Text, nullable=False),
    Column("staged_at", Text, nullable=False),
)
"""What a site staged in a transaction of its own, until it is carried out; mostly empty."""

leases = Table(
    "amie_leases",
    metadata,
    Column("stream", Text, nullable=False),
    Column("packet_rec_id", Text, nullable=False),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("taken_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("stream", "packet_rec_id", name="amie_leases_pkey"),
)
"""Who is at work on what, and until when it is theirs alone. No event tells of it, and nothing derives from
it; mostly empty."""

subscriptions = Table(
    "amie_subscriptions",
    metadata,
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", _position, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text),
    Column("not_before", Text),
    Column("skipped", _position),
    Column("skipped_by", Text),
    Column("holder", Text),
    Column("token", Text),
    Column("expires_at", Text),
    PrimaryKeyConstraint("hub", "site", "name", name="amie_subscriptions_pkey"),
)
"""How far each of a site's own subscribers has followed the log, what keeps it, and who delivers to it just
now. No event tells of it, and nothing derives from it."""

daemons = Table(
    "amie_daemons",
    metadata,
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("seen_at", Text, nullable=False),
    Column("stopped_at", Text),
    Column("polled_at", Text),
    Column("succeeded_at", Text),
    Column("next_poll_at", Text),
    Column("failures", Integer, nullable=False),
    Column("error_code", Text),
    Column("error_at", Text),
    PrimaryKeyConstraint("hub", "site", "process", name="amie_daemons_pkey"),
)
"""Which processes poll the service, and how that goes. No event tells of it, and nothing derives from it; a
row for each."""

transactions = Table(
    "amie_transactions",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("trans_rec_id", Text),
    Column("transaction_id", Text),
    Column("type", Text),
    Column("originator", Text),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("turn", Text),
    Column("due", Text, nullable=False),
    Column("deadline", Text),
    Column("deadline_noted", Text),
    Column("opened_at", Text, nullable=False),
    Column("opened_position", _position, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("grant_number", Text),
    Column("project_id", Text),
    Column("resource", Text),
    Column("record_id", Text),
    Column("held", Integer, nullable=False),
    Column("anomalies", Text, nullable=False),
    Column("first_packet", Text),
    Column("names", Text, nullable=False),
    UniqueConstraint("hub", "site", "trans_rec_id", name="amie_transactions_wire_id"),
)
_partial(
    "amie_transactions_open",
    "state NOT IN ('completed', 'failed')",
    transactions.c.hub,
    transactions.c.site,
    transactions.c.opened_position,
)
Index("amie_transactions_record_id", transactions.c.hub, transactions.c.site, transactions.c.record_id)

outbox = Table(
    "amie_outbox",
    metadata,
    Column("stream", Text, nullable=False),
    Column("answers", Text, nullable=False),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("packet_type", Text),
    Column("status", Text, nullable=False),
    Column("decided_version", Integer, nullable=False),
    Column("decided_at", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", Text),
    Column("error_code", Text),
    PrimaryKeyConstraint("stream", "answers", name="amie_outbox_pkey"),
)
"""One logical packet for each packet answered: ``answers`` is its record id; ``start`` for the first packet
of a transaction that the site begins, ``failed`` for the call that sets a transaction failed."""
_partial("amie_outbox_open", "status IN ('pending', 'attempting')", outbox.c.hub, outbox.c.site)

work = Table(
    "amie_work",
    metadata,
    Column("stream", Text, nullable=False),
    Column("packet_rec_id", Text, nullable=False),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("packet_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Text),
    Column("reason", Text),
    Column("may_pass", Integer, nullable=False),
    Column("opened_at", Text, nullable=False),
    PrimaryKeyConstraint("stream", "packet_rec_id", name="amie_work_pkey"),
)
_partial("amie_work_open", "status <> 'done'", work.c.hub, work.c.site)

directory_projects = Table(
    "amie_directory_projects",
    metadata,
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("grant_number", Text),
    Column("pi_person_id", Text),
    Column("active", Integer, nullable=False),
    PrimaryKeyConstraint("hub", "site", "project_id", "resource", name="amie_directory_projects_pkey"),
)
Index(
    "amie_directory_projects_grant",
    directory_projects.c.hub,
    directory_projects.c.site,
    directory_projects.c.grant_number,
)

directory_persons = Table(
    "amie_directory_persons",
    metadata,
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("global_id", Text),
    Column("merged_into", Text),
    PrimaryKeyConstraint("hub", "site", "person_id", name="amie_directory_persons_pkey"),
)
Index(
    "amie_directory_persons_global_id",
    directory_persons.c.hub,
    directory_persons.c.site,
    directory_persons.c.global_id,
)

directory_accounts = Table(
    "amie_directory_accounts",
    metadata,
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("login", Text),
    Column("active", Integer, nullable=False),
    PrimaryKeyConstraint(
        "hub", "site", "project_id", "resource", "person_id", name="amie_directory_accounts_pkey"
    ),
)
Index(
    "amie_directory_accounts_person",
    directory_accounts.c.hub,
    directory_accounts.c.site,
    directory_accounts.c.person_id,
)

quarantine = Table(
    "amie_quarantine",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_size", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("trans_rec_id", Text),
    Column("packet_rec_id", Text),
    Column("packet_type", Text),
    Column("status", Text, nullable=False),
    Column("quarantined_at", Text, nullable=False),
    Column("size", Integer, nullable=False),
)
Index("amie_quarantine_content_size", quarantine.c.hub, quarantine.c.site, quarantine.c.content_size)
_partial("amie_quarantine_open", "status = 'quarantined'", quarantine.c.hub, quarantine.c.site)

PROJECTIONS = (
    transactions,
    outbox,
    work,
    directory_projects,
    directory_persons,
    directory_accounts,
    quarantine,
)
"""The tables that derive from the events' facts."""
