"""The log's contract, on PostgreSQL: in this project, and as docs/log.md has it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from amie_engine.testing.contract import LogContract


class TestOnPostgreSQL(LogContract):
    """The contract, in a schema of the log's own."""

    @pytest.fixture
    def database_url(self, migrated: str) -> str:
        """A fresh schema with the tables."""
        return migrated


def test_the_pages_own_fixture_makes_a_database_for_a_test_and_throws_it_away(
    server: str, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "log.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```py\n(import psycopg\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert "@db.example.edu" in code
    code = code.replace("amie_owner@db.example.edu", "postgres@")
    (tmp_path / "test_our_log.py").write_text(code, encoding="utf-8")
    [socket] = parse_qs(urlsplit(server).query)["host"]
    options = ("-p", "no:cacheprovider", "-q", "-k", "test_05")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=tmp_path,
            env={**os.environ, "PGHOST": socket},
            capture_output=True,
            text=True,
            check=False,
        )
        assert re.search(r"5 passed, \d+ deselected", done.stdout), done.stdout + done.stderr
