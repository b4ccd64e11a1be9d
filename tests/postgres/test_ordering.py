"""The order across transactions on PostgreSQL, where one of them is looked at alone."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings

from amie_engine import Engine
from tests.engine import waiting


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@waiting.any_open_transactions
def test_one_transaction_is_looked_at_as_all_are(
    open_engine: Callable[..., Engine], listed: list[waiting.Asked], known: list[waiting.Person]
) -> None:
    with open_engine() as engine:
        waiting.put(engine, listed, known)
        waiting.assert_one_by_one_as_all_together(engine, listed)
