"""A later release of the schema, for tests of what becomes of logs and their data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine._resources import folder
from amie_engine.log.migrate import revisions

NEXT_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest}"
branch_labels = depends_on = None


def upgrade():
    op.create_table("amie_notes", sa.Column("note", sa.Text))
    op.add_column("amie_work", sa.Column("priority", sa.Integer))
    op.execute("UPDATE amie_work SET priority = 7")
    {in_the_middle}


def downgrade():
    op.drop_column("amie_work", "priority")
    op.drop_table("amie_notes")
"""


def add_revision(into: Path, in_the_middle: str = "pass") -> None:
    """Write the revision that a later release might have."""
    (into / "versions" / "9999_next.py").write_text(
        NEXT_REVISION.format(newest=revisions()[-1], in_the_middle=in_the_middle)
    )


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes the release under test a later one, with one more revision, or this one again."""
    later = tmp_path / "later"
    shutil.copytree(folder("migrations"), later)

    def change(to: str, in_the_middle: str = "pass") -> None:
        monkeypatch.undo()
        if to == "later":
            add_revision(later, in_the_middle)
            monkeypatch.setattr("amie_engine.log.migrate.folder", lambda _name: later)

    return change
