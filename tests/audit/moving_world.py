"""All that a database holds of a log, to compare two of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amie_engine.audit import export
from amie_engine.log.database import Database
from amie_engine.log.whole import STORED_COLUMNS, Head, WholeLog
from tests.log.rebuilding import projection_rows

Everything = tuple[list[tuple[Any, ...]], Head, dict[str, list[tuple[Any, ...]]]]


def everything(database: Database) -> Everything:
    """Every column of every event, the counter but for the log's name, and every row of the projections."""
    log = WholeLog(database)
    return list(log.rows()), log.head(), projection_rows(database)


def everything_at(url: str) -> Everything:
    """The same of the database with a URL."""
    database = Database(url)
    try:
        return everything(database)
    finally:
        database.close()


def exported(database: Database, file: Path, **options: Any) -> list[dict[str, Any]]:
    """Export a log as JSON Lines; return the lines."""
    export(database, file, **options)
    return lines_of(file)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines of an export."""
    return [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]


def rows_of(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The events of an export, as rows of the table."""
    return [tuple(line[name] for name in STORED_COLUMNS) for line in lines[1:-1]]
