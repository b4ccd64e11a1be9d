"""One event whose facts or document are no JSON any more: each command names it, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine import Engine
from amie_engine.testing import Clock
from tests.audit.tampering import drop_triggers
from tests.cli.cli_world import Result, flat
from tests.log.busy_site import personal, whole_project

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"

OF_FACTS = [
    ("replay", "--check"),
    ("replay", "--transaction", "50001"),
    ("rebuild",),
    ("audit", "--project", "project-1"),
    ("show", "50001"),
]
OF_DOCUMENTS = [
    ("show", "50001", "--documents"),
    ("erase", "--person", "u1", "--by", "office", "--reason", "request", "--dry-run"),
]


@pytest.fixture
def whole(folder: Path) -> None:
    """A log with a project."""
    clock = Clock()
    with Engine(URL, site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1, **personal(1))


@pytest.mark.parametrize("damage", ['{"x"', "", "[]", "null", "7", "[" * 100_000])
@pytest.mark.parametrize("arguments", OF_FACTS)
def test_damaged_facts(amie: Amie, whole: None, arguments: tuple[str, ...], damage: str) -> None:
    _damage("facts", damage)
    _refused(amie, arguments, "The event at position 2 was damaged: its facts can't be read.")


@pytest.mark.parametrize("damage", ['{"x"', "", "[" * 100_000])
@pytest.mark.parametrize("arguments", OF_DOCUMENTS)
def test_a_damaged_document(amie: Amie, whole: None, arguments: tuple[str, ...], damage: str) -> None:
    _damage("document", damage)
    _refused(amie, arguments, "The event at position 2 was damaged: its document can't be read.")


def _damage(column: str, text: str) -> None:
    with closing(sqlite3.connect("amie.db", isolation_level=None)) as connection:
        drop_triggers(connection)
        connection.execute(f"UPDATE amie_events SET {column} = ? WHERE position = 2", (text,))


def _refused(amie: Amie, arguments: tuple[str, ...], told: str) -> None:
    before = Path("amie.db").read_bytes()
    result = amie(*arguments)
    assert (result.status, result.out) == (1, "")
    assert told in flat(result.err)
    assert "amie-engine verify" in flat(result.err)
    assert result.err.endswith("  event-unreadable, see docs/errors.md\n")
    assert Path("amie.db").read_bytes() == before
