"""The order across transactions on PostgreSQL: one of them looked at alone, and two workers at once."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from amie_engine import Engine
from tests.engine import waiting


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@waiting.any_open_transactions
def test_one_transaction_is_looked_at_as_all_are(
    migrated: str, listed: list[waiting.Asked], known: waiting.Known
) -> None:
    with Engine(migrated, site="NCSA") as engine:
        waiting.put(engine, listed, known)
        waiting.assert_one_by_one_as_all_together(engine, listed)
        waiting.assert_something_can_begin(engine)


def test_two_who_begin_together_are_kept_apart(migrated: str) -> None:
    with Engine(migrated, site="NCSA") as one, Engine(migrated, site="NCSA") as other:
        waiting.assert_two_who_begin_together_are_kept_apart(one, other)
