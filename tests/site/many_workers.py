"""Several workers on one log, each with an engine of its own, as on several hosts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from amie_engine import Engine, Packet, Site, Work
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import LogError
from amie_engine.log.statements import Statement
from amie_engine.site.worker import Worker
from tests.site.site_packets import request
from tests.site.site_world import NAME


@dataclass
class Watched:
    """What the handlers of all workers have seen."""

    calls: Counter[str] = field(default_factory=Counter)
    at_work: set[str] = field(default_factory=set)
    twice_at_once: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def watching(self, key: str) -> Iterator[None]:
        """One call of a handler for a piece of work."""
        with self._lock:
            self.calls[key] += 1
            if key in self.at_work:
                self.twice_at_once.append(key)
            self.at_work.add(key)
            self.most_at_once = max(self.most_at_once, len(self.at_work))
        try:
            yield
        finally:
            with self._lock:
                self.at_work.discard(key)


def work_off(url: str, requests: int, workers: int) -> Watched:
    """Receive some requests, and have workers that begin together work on them until all are done."""
    with Engine(url, site=NAME) as engine:
        engine.receive_all([request(number) for number in range(1, requests + 1)])
    watched, together = Watched(), threading.Barrier(workers)
    two_at_work = threading.Barrier(2, timeout=30)

    def handler(packet: Any, work: Work) -> Packet:
        with watched.watching(work.key):
            if sum(watched.calls.values()) <= 2:
                two_at_work.wait()  # two workers are at it at the same time, or this breaks
            number = packet.packet_rec_id
            reply: Any = work.reply
            reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = f"p{number}", f"u{number}", "robin"
            return work.reply

    def run(_: int) -> None:
        site = Site(NAME)
        site.handles("request_project_create")(handler)
        with Engine(url, site=NAME) as engine:
            worker = Worker(engine, site)
            together.wait()
            while engine.work.open():
                worker.work_once()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(workers)))
    return watched


def check(url: str, watched: Watched, requests: int) -> None:
    """All was done, each once, and nothing is left."""
    assert len(watched.calls) == requests
    assert set(watched.calls.values()) == {1}
    assert watched.twice_at_once == []
    assert watched.most_at_once > 1
    with Engine(url, site=NAME) as engine:
        assert len(engine.outbox.open()) == requests
        with engine.database.read() as cursor:
            assert engine.leases.all(cursor) == {}


def check_that_others_items_are_passed_by(url: str) -> None:
    """What others have, or have done, keeps nobody from what comes after it, one call after the other."""
    lasts = timedelta(minutes=5)
    with Engine(url, site=NAME) as one, Engine(url, site=NAME) as other:
        one.receive_all([request(number) for number in range(1, 41)])
        rows = one.work.ready()
        few = rows[:16]

        def taken_by(engine: Engine, some: list[WorkRow]) -> str | None:
            lease = engine.work.take_first(some, lasts=lasts)
            return None if lease is None else lease.packet_rec_id

        first, second, third, fourth = (row.packet_rec_id for row in few[:4])
        assert taken_by(one, few) == first
        assert taken_by(other, few) == second
        assert taken_by(one, few) == third
        assert taken_by(other, few[3:]) == fourth
        for row in few[4:]:
            assert taken_by(one, few) == row.packet_rec_id
        assert taken_by(one, few) is None
        assert taken_by(other, few) is None
        assert taken_by(other, rows[16:17]) == rows[16].packet_rec_id


def check_that_trouble_with_the_log_keeps_no_lease(url: str) -> None:
    """Whoever has taken a lease looks who else is at work: where that fails, nobody is at work under it."""
    site = Site(NAME)
    site.handles("request_project_create")(lambda packet, work: work.reply)
    lasts = timedelta(minutes=5)
    table = "ALTER TABLE {} RENAME TO {}".format
    with Engine(url, site=NAME) as engine:
        engine.receive_all([request(1), request(2)])
        first, second = engine.work.ready()
        assert engine.work.take_first([first], lasts=lasts) is not None
        with engine.database.write() as cursor:
            cursor.run(Statement(table("amie_transactions", "elsewhere")))
        with pytest.raises(LogError):
            Worker(engine, site).work_on(second)
        with engine.database.write() as cursor:
            cursor.run(Statement(table("elsewhere", "amie_transactions")))
        assert [row.status for row in engine.work.open()] == ["running", "ready"]
        assert engine.work.take_first([second], lasts=lasts) is not None
