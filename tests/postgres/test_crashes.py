"""On PostgreSQL, too, nothing is lost and nothing done twice, wherever the process is killed."""

from __future__ import annotations

import psycopg

from amie_engine.testing.crashes import try_every_point
from amie_engine.testing.crashes.courses import COURSES


def test_nothing_is_lost_and_nothing_done_twice(server: str) -> None:
    [course] = [course for course in COURSES if course.name == "the site fails it"]
    report = try_every_point(course, server=server, jobs=2, lasting_only=True)
    assert not report.failures, str(report)
    with psycopg.connect(server) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'crashes%'"
        ).fetchone()
    assert left == (0,)
