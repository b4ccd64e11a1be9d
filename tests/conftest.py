"""What tests of every folder use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_engine.testing.contract.checks import Sql


@pytest.fixture
def sql(file: Path) -> Iterator[Sql]:
    """A way into a log's file that passes by the log and whatever limits it."""
    sql = Sql(f"sqlite:///{file}")
    yield sql
    sql.close()
