"""The queries of docs/exporting.md, run as they stand there by DuckDB, on exports of a real log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from amie_engine import Engine
from amie_engine.audit import Redaction, export
from amie_engine.log.whole import STORED_COLUMNS
from amie_engine.testing import Clock
from tests.log.busy_site import leased, personal, project_request, whole_project

PAGE = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")
ACCOUNTS, WAITS, QUARANTINE, GRANTS, ERRORS = re.findall(
    r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Two projects of one PI in January, one of another in February, a handler that fails twice, and two
    things that nobody can use."""
    clock = Clock()
    with Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        whole_project(engine, clock, 2)
        clock.forward(days=31)
        whole_project(engine, clock, 3, **personal(3))
        engine.receive(project_request(4))
        for _ in range(2):
            [row] = engine.work.open()
            lease, until = leased(engine, row), clock() + timedelta(hours=1)
            engine.work.record.failed(lease, "KeyError", 1, retry_at=until, details="x", actor="test")
            engine.work.retry(row.trans_rec_id, actor="test")
        engine.receive("[]")
        engine.receive(b"\xff")
        yield engine


def run(
    query: str, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> list[Any]:
    export(engine.database, folder / "events.parquet", **options)
    monkeypatch.chdir(folder)
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (ACCOUNTS, [("2026-01", 2), ("2026-02", 1)]),
        (WAITS, [("request_project_create", 3, timedelta(minutes=3))]),
        (QUARANTINE, [("packet-unreadable", 2)]),
        (ERRORS, [("request_project_create", "KeyError", 2)]),
    ],
    ids=["accounts", "waits", "quarantine", "errors"],
)
def test_the_queries_answer_what_they_say(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    rows: list[Any],
    redact: bool,
) -> None:
    assert run(query, engine, tmp_path, monkeypatch, redact=redact) == rows


def test_persons_can_be_counted_without_their_names(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(GRANTS, engine, tmp_path, monkeypatch)
    [(first, three), (second, one)] = found
    assert (three, second, one) == (3, "mail3@example.org", 1)
    hidden = run(GRANTS, engine, tmp_path, monkeypatch, redact=True, replace=True)
    redaction = Redaction(engine.log.log_id)
    assert hidden == [(redaction.pseudonym("Email", first), 3), (redaction.pseudonym("Email", second), 1)]


def test_duckdb_sees_the_columns_in_their_order(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = run("DESCRIBE SELECT * FROM 'events.parquet'", engine, tmp_path, monkeypatch)
    assert [row[0] for row in described] == list(STORED_COLUMNS)
    integers = ("position", "version", "schema_version")
    assert {row[0]: row[1] for row in described} == {
        name: "BIGINT" if name in integers else "VARCHAR" for name in STORED_COLUMNS
    }
