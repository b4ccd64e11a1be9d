"""The log's contract, on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from amie_engine.testing.contract import LogContract


class TestOnSQLite(LogContract):
    """The contract, in a file of the log's own."""

    @pytest.fixture
    def database_url(self, file: Path) -> str:
        """A fresh file with the schema."""
        return f"sqlite:///{file}?timeout=10"
