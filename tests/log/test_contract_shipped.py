"""A site runs the contract in a project of its own, with its own pytest and nothing of this checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import amie_engine.testing.contract

PACKAGE = Path(amie_engine.testing.contract.__file__).parent
PROJECT = """
import contextlib
import sqlite3

import pytest

from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.testing.contract import LogContract


class TestOurLog(LogContract):
    script = ""

    @pytest.fixture
    def database_url(self, tmp_path):
        file = tmp_path / "log.db"
        with contextlib.closing(Database(f"sqlite:///{file}")) as database:
            migrate(database)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.executescript(self.script)
        yield f"sqlite:///{file}"


class TestALogWithoutATrigger(TestOurLog):
    script = "DROP TRIGGER amie_events_no_delete"


class TestNoDatabase(LogContract):
    pass
"""


def test_it_passes_and_fails_there_as_it_does_here(tmp_path: Path) -> None:
    (tmp_path / "test_our_log.py").write_text(PROJECT, encoding="utf-8")
    options = ("-p", "no:cacheprovider", "-rA", "-k", "test_05_no_event_is_ever_deleted")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    told = " ".join(done.stdout.split())
    assert re.search(r"1 failed, 1 passed, \d+ deselected, 1 error", told), done.stdout + done.stderr
    assert "PASSED test_our_log.py::TestOurLog::" in told
    assert "FAILED test_our_log.py::TestALogWithoutATrigger::" in told
    assert "where False = refuses('DELETE FROM amie_events')" in told.replace(" E ", " ")  # with its values
    assert "Give a fixture database_url" in told


def test_it_takes_nothing_from_the_tests_of_this_checkout() -> None:
    assert not any(
        re.search(r"^\s*(from|import) tests\b", file.read_text(encoding="utf-8"), re.MULTILINE)
        for file in PACKAGE.glob("*.py")
    )
