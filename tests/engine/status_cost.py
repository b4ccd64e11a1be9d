"""What looking at how things stand reads of the database, with very much in it that has ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.log.statements import Cursor, Statement

ENDED = 20_000

_BIG = ("amie_events", "amie_transactions", "amie_outbox", "amie_work", "amie_quarantine")
_NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
    " INSERT INTO {table} SELECT {values} FROM numbers"
)
_VALUES = {
    "amie_events": "n + 1000000, 's' || n, 1, 'packet_received', 1, '2026-01-01T00:00:00Z', '{hub}',"
    " '{site}', '' || (900000 + n), '' || (5000000 + n), 'request_project_create', 'hub', NULL, 'service',"
    " '{{}}', 'd', NULL, NULL, NULL, 'h'",
    "amie_transactions": "'s' || n, '{hub}', '{site}', '' || (900000 + n), '' || n,"
    " 'request_project_create', 'hub', 'completed', 9, NULL, '', '2026-01-01T00:00:00Z', NULL,"
    " '2026-01-01T00:00:00Z', n, '2026-01-01T00:00:00Z', NULL, NULL, NULL, NULL, 0, '[\"packet-conflict\"]',"
    " '1', '{{}}'",
    "amie_outbox": "'s' || n, '1', '{hub}', '{site}', 'packet', 'notify_project_create',"
    " CASE n % 2 WHEN 0 THEN 'confirmed' ELSE 'rejected' END, 1, '2026-01-01T00:00:00Z', 1, NULL,"
    " 'service-validation'",
    "amie_work": "'s' || n, '1', '{hub}', '{site}', 'request_project_create', 'done', 0, NULL, NULL, 0,"
    " '2026-01-01T00:00:00Z'",
    "amie_quarantine": "'q' || n, '{hub}', '{site}', 'c', n, 'code', 'reason', 'hint', NULL, NULL, NULL,"
    " 'released', '2026-01-01T00:00:00Z', n",
}


def fill(engine: Engine) -> None:
    """Put very much that has ended into the projections."""
    with engine.database.write() as cursor:
        for table, values in _VALUES.items():
            told = values.format(hub=engine.hub, site=engine.site)
            cursor.run(Statement(_NUMBERS.format(count=ENDED, table=table, values=told)))
        if cursor.is_postgresql:
            cursor.run(Statement("ANALYZE"))


def plans(engine: Engine, monkeypatch: pytest.MonkeyPatch, look: Callable[[], Any]) -> str:
    """Return how the database carries out every query of a look."""
    asked: list[tuple[Statement, Any]] = []
    run = Cursor.run

    def noted(self: Cursor, statement: Statement, values: Any = None) -> int:
        if statement.sql.startswith("SELECT"):
            asked.append((statement, values))
        return run(self, statement, values)

    with monkeypatch.context() as patched:
        patched.setattr(Cursor, "run", noted)
        look()
    lines = []
    explain = "EXPLAIN QUERY PLAN " if engine.database.is_sqlite else "EXPLAIN "
    with engine.database.read() as cursor:
        for statement, values in asked:
            lines += [str(row[-1]) for row in cursor.all(Statement(explain + statement.sql), values)]
    return "\n".join(lines)


def reads_what_has_ended(plan: str) -> list[str]:
    """Return the lines of plans by which a whole table, or all rows of a site, would be read."""
    tables = "|".join(_BIG)
    found = re.findall(rf"^.*(?:Seq Scan on|SCAN) (?:{tables})\b.*$", plan, re.MULTILINE)
    found += re.findall(r"^.*SEARCH.*\(hub=\? AND site=\?\)$", plan, re.MULTILINE)
    return [line for line in found if not re.search(r"amie_\w+_open\b|amie_daemons|amie_subscriptions", line)]
