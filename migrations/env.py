"""Run by alembic: the revisions in versions/ against the connection that amie_engine.log.migrate gives."""

from __future__ import annotations

from alembic import context

from amie_engine.log.schema import VERSION_TABLE, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # The caller holds one transaction around all revisions: a schema is never half migrated.
    transactional_ddl=False,
)
context.run_migrations()
