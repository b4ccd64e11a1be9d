"""The example site is no installed package: its tests find it in examples/."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

EXAMPLES = str(Path(__file__).parents[2] / "examples")
if EXAMPLES not in sys.path:
    sys.path.insert(0, EXAMPLES)

from campus.backend import Campus  # noqa: E402 # found only after the path is set
from campus.schema import metadata  # noqa: E402

NOW = datetime(2025, 5, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def empty_campus() -> Iterator[Callable[[], Campus]]:
    """A function that returns a campus with nothing in it: one campus for all, emptied, which is much faster
    than a new one for each test and each example of a property."""
    with Campus(clock=lambda: NOW) as campus:

        def emptied() -> Campus:
            with campus._store.transaction() as connection:
                for table in reversed(metadata.sorted_tables):
                    connection.execute(table.delete())
            return campus

        yield emptied


@pytest.fixture
def campus(empty_campus: Callable[[], Campus]) -> Campus:
    """A campus with nothing in it, whose clock stands at noon of 5 May 2025."""
    return empty_campus()
