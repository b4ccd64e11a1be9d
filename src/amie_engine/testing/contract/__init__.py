"""The log's contract, to be run against a database of the site's own.

::

    import pytest
    from amie_engine.testing.contract import LogContract

    class TestOurLog(LogContract):
        @pytest.fixture
        def database_url(self):
            ...  # make an empty database, run `amie-engine migrate` on it
            yield "postgresql://amie_owner@db.example.edu/amie_test"
            ...  # throw it away

The database is SQLite in a file, or PostgreSQL; another, or an emptied one, for each test. Its role must own
the tables: some tests try what only an owner could. A test is named after the guarantee that it is about:
``test_05_...`` is about number 5 of `GUARANTEES`, which docs/log.md has in full.

Needs pytest: ``pip install 'amie-engine[testing]'``.
"""

from __future__ import annotations

from amie_engine.errors import DependencyMissing

try:
    import pytest
except ImportError as error:
    raise DependencyMissing(
        "amie_engine.testing.contract needs pytest, which is not installed.",
        hint="Install it: pip install 'amie-engine[testing]'.",
    ) from error

# So that a test that fails tells with what values: pytest does that for test files alone unless it is asked.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            *("appending", "checks", "joining", "keeping"),
            *("reading", "receiving", "refusing", "site_engine"),
        )
    )
)

from amie_engine.testing.contract.appending import AppendingContract  # noqa: E402 # rewritten only from here on
from amie_engine.testing.contract.guarantees import GUARANTEES  # noqa: E402
from amie_engine.testing.contract.joining import JoiningContract  # noqa: E402
from amie_engine.testing.contract.keeping import KeepingContract  # noqa: E402
from amie_engine.testing.contract.reading import ReadingContract  # noqa: E402
from amie_engine.testing.contract.receiving import ReceivingContract  # noqa: E402
from amie_engine.testing.contract.refusing import RefusingContract  # noqa: E402
from amie_engine.testing.contract.site_engine import SiteEngineContract  # noqa: E402

__all__ = ["GUARANTEES", "LogContract"]


class LogContract(
    AppendingContract,
    ReceivingContract,
    KeepingContract,
    ReadingContract,
    JoiningContract,
    RefusingContract,
    SiteEngineContract,
):
    """What the log guarantees, as tests. Subclass it, and give it a fixture ``database_url``."""
