"""The revisions of the schema on PostgreSQL are those that were released: their snapshots tell."""

from __future__ import annotations

from contextlib import closing

import pytest

from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate, revisions
from tests.log.snapshots import snapshot, snapshot_file


@pytest.mark.parametrize("revision", revisions())
def test_a_revision_still_makes_what_it_made_when_it_was_released(url: str, revision: str) -> None:
    with closing(Database(url)) as database:
        migrate(database, revision)
        assert snapshot(database) == snapshot_file(revision, "postgresql").read_text(encoding="utf-8")
