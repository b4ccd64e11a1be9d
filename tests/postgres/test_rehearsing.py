"""What taking something in would do is found out in a transaction that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

from amie_engine import Engine, Transaction
from amie_engine.engine.comparing import rehearse
from amie_engine.testing.contract.story import project_request


def test_a_rehearsal_leaves_nothing_and_the_next_event_has_the_next_position(
    asked: Engine, open_engine: Callable[..., Engine]
) -> None:
    other = open_engine()
    found = rehearse(other, Transaction.from_dict({"DATA": [project_request(2)]}))
    assert [str(outcome.kind) for outcome in found.outcomes] == ["accepted"]
    assert found.has_news
    assert found.after is not None
    assert [each.trans_rec_id for each in other.transactions()] == ["1001"]
    assert asked.receive(project_request(3)).kind == "accepted"
    assert [entry.position for entry in other.history(1003).entries] == [2]
