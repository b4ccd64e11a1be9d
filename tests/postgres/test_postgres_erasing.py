"""Audits and erasures on PostgreSQL: the same as on SQLite, and beside other writers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from amie_engine.audit import audit, finding, verify
from amie_engine.engine import Engine
from amie_engine.engine.views import as_json
from amie_engine.errors import ErasureRefused
from amie_engine.log.erasing import Leftovers
from amie_engine.testing import Clock
from tests.audit.test_audit import about, take_up, transactions
from tests.audit.test_erasing import documents, erase, of, states
from tests.log.busy_site import personal, play, project_request, sample, whole_project
from tests.log.rebuilding import projection_rows, rebuild

ASKED = [
    {"person": "u1"},
    {"person": "robin"},
    {"person": "nobody"},
    {"grant": "PHY000001"},
    {"project": "project-1"},
    {"resource": "hc.ncsa.xsede"},
    {"person": "u1", "project": "project-1"},
    {"person": "u20"},
]


def numbered(url: str, clock: Clock) -> Engine:
    """An engine whose streams are numbered, so that two logs can be equal."""
    numbers = count(1)
    return Engine(url, site="NCSA", clock=clock, new_id=lambda: f"stream-{next(numbers)}")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def engine(migrated: str, clock: Clock) -> Iterator[Engine]:
    """An engine on a fresh log."""
    with numbered(migrated, clock) as engine:
        yield engine


def test_an_audit_tells_the_same_as_on_sqlite(
    engine: Engine, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(engine, clock)
    others_clock = Clock()
    with numbered(f"sqlite:///{tmp_path / 'amie.db'}", others_clock) as other:
        play(other, others_clock)
        for asked in ASKED:
            found = about(engine, asked)
            assert as_json(found) == as_json(about(other, asked))
            assert found.differences == ()
            assert found.is_empty == (asked == {"person": "nobody"})
    whole = about(engine, ASKED[0])
    for name, value in (("WINDOW", 7), ("_FEW", 0), ("MOST_PATTERNS", 0)):
        monkeypatch.setattr(finding, name, value)
        assert about(engine, ASKED[0]) == whole


@pytest.mark.parametrize("name", ["a%b", "a_b", "a!b", 'a"b', "a\\b", "Zoë", "李", "a'b", "%s", ":name_0"])
def test_names_may_be_of_any_characters(engine: Engine, name: str) -> None:
    take_up(engine, "request_account_create", 8, person=name, login="x", project=f"p{name}", grant="G9")
    take_up(engine, "request_account_create", 9, person="aXb", login="y", project="paXb", grant="G9")
    assert transactions(audit(engine, person=name)) == ["8"]
    assert transactions(audit(engine, project=f"p{name}")) == ["8"]
    assert audit(engine, person=f"{name}\x00").is_empty


def test_the_documents_of_a_person_go_and_all_else_stays(
    engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    play(engine, clock)
    whole_project(engine, clock, 30, **personal(30))
    engine.receive(b"\xff mail30@example.org")
    before, told = documents(engine), (states(engine), projection_rows(engine.database))
    theirs = of(engine, 50_030)
    erasure = erase(engine, "global-30")
    assert theirs < set(erasure.positions)
    assert (len(erasure.quarantined), erasure.leftovers) == (1, Leftovers.OLD_ROWS)
    assert documents(engine) == {at: text for at, text in before.items() if at not in erasure.positions}
    assert (states(engine), projection_rows(engine.database)) == told
    with Engine(f"sqlite:///{tmp_path / 'rebuilt.db'}", site="NCSA") as second:
        assert rebuild(engine.log, second.database) == told[1]
    assert verify(engine.database).problems == ()
    assert engine.history(50_030).entries[-1].event == "documents_erased"
    head = engine.log.whole.head()
    assert erase(engine, "u30").positions == ()
    assert engine.log.whole.head() == head
    request = sample("spec/request_account_inactivate", transaction=60_100, packet=60_101)
    engine.receive({**request, "body": request["body"] | {"PersonID": "u30"}})
    with pytest.raises(ErasureRefused, match="60100"):
        erase(engine, "u30")


def test_erasures_and_other_writers_do_not_disturb_each_other(migrated: str, clock: Clock) -> None:
    people = range(1, 7)
    with Engine(migrated, site="NCSA", clock=clock) as first:
        for number in people:
            whole_project(first, clock, number, **personal(number))

        def receive(number: int) -> Any:
            return first.receive(project_request(100 + number, **personal(100 + number)))

        with Engine(migrated, site="NCSA", clock=clock) as second, ThreadPoolExecutor(4) as pool:
            erasing = [pool.submit(erase, second, f"u{number}") for number in people]
            receiving = [pool.submit(receive, number) for number in range(20)]
            assert all(one.result().positions for one in erasing)
            assert {one.result().kind for one in receiving} == {"accepted"}
        assert verify(first.database).problems == ()
        left = documents(first).values()
        assert not any(f'Lastname{number}"' in text for number in people for text in left)
        assert all(any(f'Lastname{100 + number}"' in text for text in left) for number in range(20))
