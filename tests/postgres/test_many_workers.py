"""Several workers on one PostgreSQL log."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amie_engine import Engine
from amie_engine.engine.leases import renew_lease
from amie_engine.errors import CommitInDoubt
from amie_engine.testing import Clock
from amie_engine.testing.contract.story import SITE, project_request
from tests.engine.taken_over import TakenOverCases
from tests.log.busy_site import leased
from tests.postgres.proxy import Proxy
from tests.site.many_workers import (
    check,
    check_that_others_items_are_passed_by,
    check_that_trouble_with_the_log_keeps_no_lease,
    work_off,
)


def test_each_item_is_worked_on_once(migrated: str) -> None:
    check(migrated, work_off(migrated, 60, 4), 60)


def test_what_others_have_is_passed_by(migrated: str) -> None:
    check_that_others_items_are_passed_by(migrated)


def test_trouble_with_the_log_keeps_no_lease(migrated: str) -> None:
    check_that_trouble_with_the_log_keeps_no_lease(migrated)


def test_whoever_takes_over_does_not_wait_for_whoever_ends_it_just_now(migrated: str) -> None:
    """Else the one would have the work and want the lease, the other the other way round."""
    clock = Clock()
    with Engine(migrated, site=SITE, clock=clock) as late, Engine(migrated, site=SITE, clock=clock) as other:
        late.receive(project_request(1))
        [row] = late.work.ready()
        lease = leased(late, row)
        clock.forward(hours=2)
        with late.database.write() as cursor:
            renew_lease(cursor, lease, clock())
            assert other.work.take_first([row], lasts=timedelta(minutes=5)) is None
        assert late.work.begin(lease) is not None


class TestALeaseIsLost(TakenOverCases):
    @pytest.fixture
    def url(self, migrated: str) -> str:
        return migrated


@pytest.mark.parametrize("lost", ["lose_answers", "lose_commits"])
def test_a_lease_whose_commit_is_in_doubt_keeps_nobody_from_the_work(proxy: Proxy, lost: str) -> None:
    """Whether it was taken or not, this process is at work on nothing."""
    with Engine(proxy.url, site=SITE) as engine:
        engine.receive(project_request(1))
        [row] = engine.work.ready()
        setattr(proxy, lost, 1)
        with pytest.raises(CommitInDoubt):
            leased(engine, row)
        assert engine.work.ready() == [row]
        assert leased(engine, row).token
