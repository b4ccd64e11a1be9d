"""A site's subscribers on PostgreSQL, also where a connection is lost."""

from __future__ import annotations

import pytest

from amie_engine import Engine, RecordedEvent
from tests.postgres.proxy import Proxy
from tests.site.following import ALL, SITE, FollowingCases, note, row


class TestOnPostgreSQL(FollowingCases):
    @pytest.fixture
    def url(self, migrated: str) -> str:
        return migrated


@pytest.mark.parametrize("lost", ["lose_answers", "lose_commits"])
@pytest.mark.parametrize("at", [1, 5])
def test_a_checkpoint_whose_commit_is_in_doubt_delivers_nothing_twice(
    proxy: Proxy, lost: str, at: int
) -> None:
    got: list[int] = []

    def subscriber(event: RecordedEvent) -> None:
        got.append(event.position)
        if event.position == at:
            setattr(proxy, lost, 1)

    with Engine(proxy.url, site=SITE) as engine:
        note(engine, "one", 0, 5)
        assert engine.subscriptions.deliver("mail", subscriber, since=ALL).count == 5
        assert engine.subscriptions.deliver("mail", subscriber).count == 0
        assert got == [1, 2, 3, 4, 5]
        assert (row(engine).holder, row(engine).failures, row(engine).behind) == (None, 0, 0)
