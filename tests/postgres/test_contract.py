"""The log's contract, on PostgreSQL."""

from __future__ import annotations

import pytest

from amie_engine.testing.contract import LogContract


class TestOnPostgreSQL(LogContract):
    """The contract, in a schema of the log's own."""

    @pytest.fixture
    def database_url(self, migrated: str) -> str:
        """A fresh schema with the tables."""
        return migrated
