"""A log in memory: for tests and trials, within one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.testing import Clock
from tests.log.busy_site import project_request, whole_project
from tests.log.writers import append_often

URLS = [
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///file::memory:?uri=true",
    "sqlite:///file:trial?mode=memory&uri=true",
    "sqlite:///file:trial?mode=memory&cache=shared&uri=true",
]


@pytest.mark.parametrize("url", URLS)
def test_it_works_as_a_file_does(url: str, clock: Clock) -> None:
    with Engine(url, site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
        assert [transaction.state for transaction in engine.transactions()] == ["completed"]


@pytest.mark.parametrize("url", URLS)
def test_threads_share_it(url: str, clock: Clock) -> None:
    with Engine(url, site="NCSA", clock=clock) as engine, ThreadPoolExecutor(3) as pool:
        work = [pool.submit(append_often, engine.log, f"writer {number}", 10) for number in range(3)]
        kinds = pool.map(lambda number: engine.receive(project_request(number)).kind, range(5))
        assert list(kinds) == [OutcomeKind.ACCEPTED] * 5
        for item in work:
            item.result()
        assert [event.position for event in engine.log.whole.events(page=10)] == list(range(1, 66))


def test_two_engines_have_two_logs(clock: Clock) -> None:
    with Engine("sqlite://", site="NCSA", clock=clock) as one, Engine("sqlite://", site="NCSA") as other:
        one.receive(project_request(1))
        assert other.transactions() == []
        assert len(one.transactions()) == 1
