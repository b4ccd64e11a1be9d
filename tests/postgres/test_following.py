"""Who follows the log by position misses nothing; who follows a plain identity column does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal

import psycopg
import pytest

from amie_engine.engine import Engine
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import EventLog

WRITERS = 6
EVENTS = 30_000
IN_ONE_COMMIT = 50

Poll = Callable[[], list[int]]


def follower(read_behind: Callable[[int], list[int]]) -> Poll:
    """A function that returns what has come since it was called last: all behind the highest number seen."""
    highest = 0

    def poll() -> list[int]:
        nonlocal highest
        found = read_behind(highest)
        highest = max((highest, *found))
        return found

    return poll


@pytest.fixture
def log(migrated: str) -> Iterator[EventLog]:
    """The log under test."""
    with Engine(migrated, site="NCSA") as engine:
        yield engine.log


def positions_behind(log: EventLog) -> Callable[[int], list[int]]:
    """A function that reads the positions behind one."""
    return lambda highest: [event.position for event in log.whole.events(highest)]


def note(log: EventLog, stream: str, version: int, count: int = 1) -> None:
    """Append events in a transaction of their own."""
    with log.write() as writer:
        writer.append(stream, version, [NewEvent(EventType.WORK_DEFERRED)] * count)


def test_an_identity_column_loses_what_is_committed_out_of_order(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as reading, psycopg.connect(url) as first:
        reading.execute("CREATE TABLE naive (id bigint GENERATED ALWAYS AS IDENTITY)")
        poll = follower(
            lambda highest: [
                row[0] for row in reading.execute("SELECT id FROM naive WHERE id > %s ORDER BY id", [highest])
            ]
        )
        first.execute("INSERT INTO naive DEFAULT VALUES")  # takes 1, and commits late
        reading.execute("INSERT INTO naive DEFAULT VALUES")
        assert poll() == [2]
        first.commit()
        assert poll() == []
        assert reading.execute("SELECT count(*) FROM naive").fetchone() == (2,)


def test_the_log_loses_nothing_in_the_same_order_of_commits(log: EventLog) -> None:
    poll = follower(positions_behind(log))
    with ThreadPoolExecutor(1) as pool:
        with log.write() as first:
            first.append("first", 0, [NewEvent(EventType.WORK_DEFERRED)])  # takes 1, and commits late
            second = pool.submit(note, log, "second", 0)
            assert poll() == []
        second.result()
    assert poll() == [1, 2]
    assert [event.stream for event in log.whole.events()] == ["first", "second"]


def test_six_writers_at_once_and_a_follower_that_misses_none_of_thirty_thousand_events(
    log: EventLog,
) -> None:
    done = Signal()
    seen: list[int] = []
    polls = 0

    def write(name: str) -> None:
        for version in range(0, EVENTS // WRITERS, IN_ONE_COMMIT):
            note(log, name, version, IN_ONE_COMMIT)

    def follow() -> None:
        nonlocal polls
        poll = follower(positions_behind(log))
        finished = False
        while not finished:
            finished = done.wait(0.01)  # as followers do; and the writers get on with it
            seen.extend(poll())
            polls += 1

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow)
        for work in [pool.submit(write, f"writer {number}") for number in range(WRITERS)]:
            work.result()
        done.set()
        following.result()
    assert seen == list(range(1, EVENTS + 1))
    assert polls > 10
