"""The revisions of the schema on SQLite are those that were released: their snapshots tell."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate, revisions
from tests.log.snapshots import snapshot, snapshot_file


@pytest.mark.parametrize("revision", revisions())
def test_a_revision_still_makes_what_it_made_when_it_was_released(tmp_path: Path, revision: str) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'log.db'}")) as database:
        migrate(database, revision)
        assert snapshot(database) == snapshot_file(revision, "sqlite").read_text(encoding="utf-8")


def test_there_is_no_snapshot_without_its_revision() -> None:
    kept = {file.name for file in snapshot_file("", "").parent.iterdir()}
    assert kept == {
        f"{revision}.{dialect}.sql" for revision in revisions() for dialect in ("sqlite", "postgresql")
    }
