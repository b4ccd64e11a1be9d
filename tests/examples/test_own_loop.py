"""The examples of a site's own loop play every official scenario against a service."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from amie_engine import Engine, Runner, Site, Work
from amie_engine.errors import ServiceUnreachable
from amie_engine.site import load_site, stopping_on_signals
from amie_engine.site.worker import Worker
from own_loop import scheduled, ticking, without_handlers
from own_loop.opening import database_url, opened
from own_loop.scheduled import Job
from tests.examples.watching import KEY, NAME, Watched, agreed, assert_played_to_the_end, watched_service
from tests.site.site_packets import request
from tests.site.site_world import handling

BOTH_GRANTS = 2 * 4
"""Each of the four scenarios has a grant on each of the two resources."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.chdir(tmp_path)
    with watched_service() as (hub, url):
        settings = {"API_KEY": KEY, "URL": url, "HUB": "sandbox", "DATABASE": "sqlite:///amie.db"}
        for name, value in settings.items():
            monkeypatch.setenv(f"AMIE_ENGINE_{name}", value)
        hub.start_all()
        yield hub


def _ends(hub: Watched, engine: Engine) -> Any:
    """A duty of the site's own that ends the program, as somebody would, once all is done."""

    def duty() -> None:
        if agreed(hub, engine):
            os.kill(os.getpid(), signal.SIGTERM)

    return duty


def test_ticks(hub: Watched) -> None:
    stop = threading.Event()
    with opened(NAME) as (engine, client), stopping_on_signals(stop):
        ticking.loop(Runner(engine, client, load_site("campus.site:site")), stop, _ends(hub, engine))
        assert_played_to_the_end(hub, engine)


def test_a_schedule_of_its_own(hub: Watched) -> None:
    stop = threading.Event()
    with opened(NAME) as (engine, client), stopping_on_signals(stop):
        jobs = scheduled.jobs_of(Runner(engine, client, load_site("campus.site:site")))
        for job in jobs:
            job.every = 0.0
        scheduled.loop([*jobs, Job("ending", 0.0, _ends(hub, engine))], stop)
        assert_played_to_the_end(hub, engine)


def test_a_job_that_fails_is_told_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    stop, done = threading.Event(), []

    def unreachable() -> None:
        raise ServiceUnreachable("Robin Example's packet")

    def broken() -> None:
        raise ZeroDivisionError

    def last() -> None:
        done.append(1)
        stop.set()

    scheduled.loop([Job("a", 60.0, unreachable), Job("b", 60.0, broken), Job("c", 60.0, last)], stop)
    assert done == [1]
    assert "a: service-unreachable. Check the network" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "Robin" not in caplog.text


def test_a_job_waits_for_its_time() -> None:
    stop = threading.Event()
    done: list[str] = []

    def now_and_then() -> None:
        done.append("a")
        if done.count("a") == 3:
            stop.set()

    scheduled.loop([Job("a", 0.0, now_and_then), Job("b", 3600.0, lambda: done.append("b"))], stop)
    assert done == ["a", "b", "a", "a"]


def test_a_problem_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken(packet: Any, work: Work) -> Any:
        raise ZeroDivisionError

    with Engine("sqlite://", site=NAME, hub="sandbox") as engine:
        engine.receive(request())
        Worker(engine, handling("request_project_create", broken)).work_once()
        caplog.clear()
        told: set[tuple[str, str]] = set()
        for _ in range(2):
            ticking.tell_of_problems(engine, told)
    assert caplog.record_tuples == [("own_loop", logging.ERROR, "Transaction 5001: ZeroDivisionError.")]


# Without handlers


@pytest.fixture
def tables(hub: Watched) -> Iterator[sqlalchemy.Engine]:
    """The site's tables, in the log's database."""
    Engine(database_url(), site=NAME, hub="sandbox").close()
    database = sqlalchemy.create_engine(database_url())
    without_handlers.metadata.create_all(database)
    yield database
    database.dispose()


def _round(engine: Engine, runner: Runner, database: sqlalchemy.Engine) -> None:
    runner.poll_once()
    without_handlers.answer_all(engine, database)
    runner.send_once()


def _count(database: sqlalchemy.Engine, table: sqlalchemy.Table) -> int:
    with database.connect() as connection:
        return int(connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)) or 0)


def test_without_handlers(
    hub: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program as it is run by hand, but for the pauses."""
    with Engine(database_url(), site=NAME, hub="sandbox") as watching:

        def job(name: str, every: float, do: Any) -> Job:
            return Job(name, 0.0, lambda: (do(), _ends(hub, watching)()))

        monkeypatch.setattr(without_handlers, "Job", job)
        without_handlers.main()
        assert_played_to_the_end(hub, watching)
    database = sqlalchemy.create_engine(database_url())
    assert _count(database, without_handlers.projects) == BOTH_GRANTS
    database.dispose()


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after_commit", [False, True])
def test_rows_and_reply_are_there_together_or_not_at_all(
    hub: Watched, tables: sqlalchemy.Engine, after_commit: bool
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    with opened(NAME) as (engine, client):
        runner = Runner(engine, client, Site(NAME))
        runner.poll_once()
        event = "commit" if not after_commit else "checkin"
        where: Any = tables if not after_commit else tables.pool
        sqlalchemy.event.listen(where, event, crash, once=True)
        with pytest.raises(Crash):
            without_handlers.answer_all(engine, tables)

    rows = _count(tables, without_handlers.projects)
    assert rows == (1 if after_commit else 0)
    with opened(NAME) as (engine, client):  # another process
        assert len(engine.outbox.open()) == rows
        runner = Runner(engine, client, Site(NAME))
        while not agreed(hub, engine):
            _round(engine, runner, tables)
        assert_played_to_the_end(hub, engine)
    assert _count(tables, without_handlers.projects) == BOTH_GRANTS


def test_an_account_for_an_unknown_grant_fails_the_transaction(tables: sqlalchemy.Engine) -> None:
    with Engine(database_url(), site=NAME, hub="sandbox") as engine:
        engine.receive(request(1, "request_account_create"))
        without_handlers.answer_all(engine, tables)
        [outgoing] = engine.outbox.open()
        assert outgoing.packet_type == "inform_transaction_complete"
    assert _count(tables, without_handlers.accounts) == 0


def test_a_reply_that_can_not_be_given_is_told_and_leaves_no_rows(
    tables: sqlalchemy.Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgets(connection: Any, request: Any, reply: Any) -> Any:
        done(connection, request, reply)
        reply.PiRemoteSiteLogin = None
        return reply

    done = without_handlers._DOES["request_project_create"]
    monkeypatch.setitem(without_handlers._DOES, "request_project_create", forgets)
    with Engine(database_url(), site=NAME, hub="sandbox") as engine:
        engine.receive(request())
        without_handlers.answer_all(engine, tables)
        assert engine.outbox.open() == []
        assert len(engine.work.ready()) == 1
    assert "Transaction 5001: reply-incomplete." in caplog.text
    assert _count(tables, without_handlers.projects) == 0
