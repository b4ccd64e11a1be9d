"""The log, its triggers, and the projections.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from hashlib import sha256
from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

POSITION = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ACCEPTED = "type IN ('packet_received', 'packet_confirmed', 'packet_adopted') AND packet_rec_id IS NOT NULL"
ERASURES = "type = 'documents_erased'"
OPEN = "state NOT IN ('completed', 'failed')"
COLUMNS = [
    "position",
    "stream",
    "version",
    "type",
    "schema_version",
    "recorded_at",
    "hub",
    "site",
    "trans_rec_id",
    "packet_rec_id",
    "packet_type",
    "sender",
    "status",
    "actor",
    "facts",
    "facts_digest",
    "document_digest",
    "hash",
]

NOTHING_ELSE_CHANGED = " AND ".join(f"OLD.{column} IS {{same}} NEW.{column}" for column in COLUMNS)
ERASED = "OLD.document IS NOT NULL AND NEW.document IS NULL AND NEW.document_salt IS NULL AND "

# REPLACE deletes the row in its way without firing a DELETE trigger, so that an INSERT must look for itself.
SQLITE_TRIGGERS = (
    f"""
    CREATE TRIGGER amie_events_no_update BEFORE UPDATE ON amie_events
    WHEN NOT ({ERASED}{NOTHING_ELSE_CHANGED.format(same="")})
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never changed'); END
    """,
    """
    CREATE TRIGGER amie_events_no_delete BEFORE DELETE ON amie_events
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never deleted'); END
    """,
    """
    CREATE TRIGGER amie_events_no_replace BEFORE INSERT ON amie_events
    WHEN EXISTS (SELECT 1 FROM amie_events WHERE position = NEW.position)
      OR EXISTS (SELECT 1 FROM amie_events WHERE stream = NEW.stream AND version = NEW.version)
      OR (NEW.type IN ('packet_received', 'packet_confirmed', 'packet_adopted')
          AND NEW.packet_rec_id IS NOT NULL
          AND EXISTS (SELECT 1 FROM amie_events
                      WHERE hub = NEW.hub AND site = NEW.site AND packet_rec_id = NEW.packet_rec_id
                        AND type IN ('packet_received', 'packet_confirmed', 'packet_adopted')
                        AND packet_rec_id IS NOT NULL))
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never replaced'); END
    """,
)

POSTGRESQL_TRIGGERS = (
    f"""
    CREATE FUNCTION amie_events_append_only() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF {ERASED}{NOTHING_ELSE_CHANGED.format(same="NOT DISTINCT FROM")} THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'amie_events is append-only: % is refused', TG_OP
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER amie_events_no_change BEFORE UPDATE OR DELETE ON amie_events
    FOR EACH ROW EXECUTE FUNCTION amie_events_append_only()
    """,
    """
    CREATE TRIGGER amie_events_no_truncate BEFORE TRUNCATE ON amie_events
    FOR EACH STATEMENT EXECUTE FUNCTION amie_events_append_only()
    """,
)


def text(name: str, *, null: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def partial_index(table: str, name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(
        f"{table}_{name}",
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    op.create_table(
        "amie_events",
        sa.Column("position", POSITION, primary_key=True, autoincrement=False),
        text("stream", null=False),
        integer("version"),
        text("type", null=False),
        integer("schema_version"),
        text("recorded_at", null=False),
        text("hub", null=False),
        text("site", null=False),
        text("trans_rec_id"),
        text("packet_rec_id"),
        text("packet_type"),
        text("sender"),
        text("status"),
        text("actor", null=False),
        text("facts", null=False),
        text("facts_digest", null=False),
        text("document"),
        text("document_salt"),
        text("document_digest"),
        text("hash", null=False),
        sa.UniqueConstraint("stream", "version", name="amie_events_stream_version"),
    )
    partial_index("amie_events", "accepted", ["hub", "site", "packet_rec_id"], ACCEPTED, unique=True)
    partial_index("amie_events", "erasures", ["hub", "site", "position"], ERASURES)
    op.create_table(
        "amie_log_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", POSITION, nullable=False),
        text("hash", null=False),
        text("recorded_at", null=False),
        text("log_id", null=False),
        sa.CheckConstraint("id = 1", name="amie_log_head_one_row"),
    )
    name = token_hex(16)
    log_id = name + sha256(name.encode("ascii")).hexdigest()[:16]
    op.execute(f"INSERT INTO amie_log_head VALUES (1, 0, '', '', '{log_id}')")  # noqa: S608 # our own
    op.create_table(
        "amie_staged",
        sa.Column("id", POSITION, primary_key=True),
        text("hub", null=False),
        text("site", null=False),
        text("call", null=False),
        text("trans_rec_id"),
        text("arguments", null=False),
        text("staged_at", null=False),
    )
    op.create_table(
        "amie_leases",
        text("stream", null=False),
        text("packet_rec_id", null=False),
        text("hub", null=False),
        text("site", null=False),
        text("holder", null=False),
        text("token", null=False),
        text("taken_at", null=False),
        text("expires_at", null=False),
        sa.PrimaryKeyConstraint("stream", "packet_rec_id", name="amie_leases_pkey"),
    )
    op.create_table(
        "amie_subscriptions",
        text("hub", null=False),
        text("site", null=False),
        text("name", null=False),
        sa.Column("position", POSITION, nullable=False),
        text("updated_at", null=False),
        integer("failures"),
        text("error"),
        text("not_before"),
        sa.Column("skipped", POSITION),
        text("skipped_by"),
        text("holder"),
        text("token"),
        text("expires_at"),
        sa.PrimaryKeyConstraint("hub", "site", "name", name="amie_subscriptions_pkey"),
    )
    op.create_table(
        "amie_daemons",
        text("hub", null=False),
        text("site", null=False),
        text("process", null=False),
        text("started_at", null=False),
        text("seen_at", null=False),
        text("stopped_at"),
        text("polled_at"),
        text("succeeded_at"),
        text("next_poll_at"),
        integer("failures"),
        text("error_code"),
        text("error_at"),
        sa.PrimaryKeyConstraint("hub", "site", "process", name="amie_daemons_pkey"),
    )
    for trigger in POSTGRESQL_TRIGGERS if op.get_bind().dialect.name == "postgresql" else SQLITE_TRIGGERS:
        op.execute(trigger)
    create_projections()


def create_projections() -> None:
    op.create_table(
        "amie_transactions",
        sa.Column("stream", sa.Text, primary_key=True),
        text("hub", null=False),
        text("site", null=False),
        text("trans_rec_id"),
        text("transaction_id"),
        text("type"),
        text("originator"),
        text("state", null=False),
        integer("version"),
        text("turn"),
        text("due", null=False),
        text("deadline"),
        text("deadline_noted"),
        text("opened_at", null=False),
        sa.Column("opened_position", POSITION, nullable=False),
        text("updated_at", null=False),
        text("grant_number"),
        text("project_id"),
        text("resource"),
        text("record_id"),
        integer("held"),
        text("anomalies", null=False),
        text("first_packet"),
        text("names", null=False),
        sa.UniqueConstraint("hub", "site", "trans_rec_id", name="amie_transactions_wire_id"),
    )
    partial_index("amie_transactions", "open", ["hub", "site", "opened_position"], OPEN)
    op.create_index("amie_transactions_record_id", "amie_transactions", ["hub", "site", "record_id"])
    op.create_table(
        "amie_outbox",
        text("stream", null=False),
        text("answers", null=False),
        text("hub", null=False),
        text("site", null=False),
        text("kind", null=False),
        text("packet_type"),
        text("status", null=False),
        integer("decided_version"),
        text("decided_at", null=False),
        integer("attempts"),
        text("attempted_at"),
        text("error_code"),
        sa.PrimaryKeyConstraint("stream", "answers", name="amie_outbox_pkey"),
    )
    partial_index("amie_outbox", "open", ["hub", "site"], "status IN ('pending', 'attempting')")
    op.create_table(
        "amie_work",
        text("stream", null=False),
        text("packet_rec_id", null=False),
        text("hub", null=False),
        text("site", null=False),
        text("packet_type", null=False),
        text("status", null=False),
        integer("attempts"),
        text("not_before"),
        text("reason"),
        integer("may_pass"),
        text("opened_at", null=False),
        sa.PrimaryKeyConstraint("stream", "packet_rec_id", name="amie_work_pkey"),
    )
    partial_index("amie_work", "open", ["hub", "site"], "status <> 'done'")
    op.create_table(
        "amie_directory_projects",
        text("hub", null=False),
        text("site", null=False),
        text("project_id", null=False),
        text("resource", null=False),
        text("grant_number"),
        text("pi_person_id"),
        integer("active"),
        sa.PrimaryKeyConstraint("hub", "site", "project_id", "resource", name="amie_directory_projects_pkey"),
    )
    op.create_index(
        "amie_directory_projects_grant", "amie_directory_projects", ["hub", "site", "grant_number"]
    )
    op.create_table(
        "amie_directory_persons",
        text("hub", null=False),
        text("site", null=False),
        text("person_id", null=False),
        text("global_id"),
        text("merged_into"),
        sa.PrimaryKeyConstraint("hub", "site", "person_id", name="amie_directory_persons_pkey"),
    )
    op.create_index(
        "amie_directory_persons_global_id", "amie_directory_persons", ["hub", "site", "global_id"]
    )
    op.create_table(
        "amie_directory_accounts",
        text("hub", null=False),
        text("site", null=False),
        text("project_id", null=False),
        text("resource", null=False),
        text("person_id", null=False),
        text("login"),
        integer("active"),
        sa.PrimaryKeyConstraint(
            "hub", "site", "project_id", "resource", "person_id", name="amie_directory_accounts_pkey"
        ),
    )
    op.create_index("amie_directory_accounts_person", "amie_directory_accounts", ["hub", "site", "person_id"])
    op.create_table(
        "amie_quarantine",
        sa.Column("stream", sa.Text, primary_key=True),
        text("hub", null=False),
        text("site", null=False),
        text("content", null=False),
        integer("content_size"),
        text("code", null=False),
        text("reason", null=False),
        text("hint", null=False),
        text("trans_rec_id"),
        text("packet_rec_id"),
        text("packet_type"),
        text("status", null=False),
        text("quarantined_at", null=False),
        integer("size"),
    )
    op.create_index("amie_quarantine_content_size", "amie_quarantine", ["hub", "site", "content_size"])
    partial_index("amie_quarantine", "open", ["hub", "site"], "status = 'quarantined'")


def downgrade() -> None:
    for table in (
        "amie_quarantine",
        "amie_directory_accounts",
        "amie_directory_persons",
        "amie_directory_projects",
        "amie_work",
        "amie_outbox",
        "amie_transactions",
        "amie_daemons",
        "amie_subscriptions",
        "amie_leases",
        "amie_staged",
        "amie_log_head",
        "amie_events",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION amie_events_append_only()")
