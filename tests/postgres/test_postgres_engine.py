"""The engine on PostgreSQL: the same log, to the last hash, as on SQLite; and many writers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import create_engine, text

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import ConcurrencyConflict, DatabaseUnavailable
from amie_engine.log.database import Database
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import EventLog
from tests.log.busy_site import Clock, play, project_request, sample, whole_project
from tests.log.rebuilding import projection_rows, rebuild


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Clock], Engine]:
    """A function that opens an engine whose ids and salts are numbers, so that two logs can be equal."""

    def open_engine(url: str, clock: Clock) -> Engine:
        salts, streams = count(1), count(1)
        for module in ("amie_engine.log.store", "amie_engine.engine.receiving"):
            monkeypatch.setattr(f"{module}.token_hex", lambda size: f"{next(salts):0{2 * size}x}")
        return Engine(url, site="NCSA", clock=clock, new_id=lambda: f"stream-{next(streams)}")

    return open_engine


@pytest.fixture
def engine(migrated: str, clock: Clock) -> Iterator[Engine]:
    """An engine on a fresh log."""
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        yield engine


def all_columns(engine: Engine) -> list[tuple[Any, ...]]:
    """Every event with all of its columns, and the counter row."""
    with engine.database.connection(writing=False) as connection:
        events = connection.execute(text("SELECT * FROM amie_events ORDER BY position")).fetchall()
        head = connection.execute(text("SELECT * FROM amie_log_head")).fetchall()
    return [tuple(row) for row in (*events, *head)]


@pytest.mark.parametrize("act", [lambda engine, clock: whole_project(engine, clock, 1), play])
def test_what_is_done_to_both_makes_the_same_log_and_projections(
    migrated: str,
    tmp_path: Path,
    numbered: Callable[[str, Clock], Engine],
    act: Callable[[Engine, Clock], None],
) -> None:
    logs = []
    for url in (migrated, f"sqlite:///{tmp_path / 'amie.db'}"):
        clock = Clock()
        with numbered(url, clock) as engine:
            act(engine, clock)
            summaries = [transaction.state for transaction in engine.transactions()]
            logs.append((all_columns(engine), projection_rows(engine.database), summaries))
    on_postgresql, on_sqlite = logs
    assert on_postgresql == on_sqlite
    assert on_postgresql[2][0] == "completed"


def test_rebuilt_from_facts_alone_every_projection_is_the_same(
    engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    play(engine, clock)
    with Engine(f"sqlite:///{tmp_path / 'rebuilt.db'}", site="NCSA") as second:
        assert rebuild(engine.log, second.database) == projection_rows(engine.database)


def test_threads_that_receive_the_same_packets_accept_each_once(migrated: str, clock: Clock) -> None:
    packets = [project_request(number) for number in range(10)]

    def receive_all(engine: Engine) -> list[OutcomeKind]:
        return [engine.receive(packet).kind for packet in packets]

    engines = [Engine(migrated, site="NCSA", clock=clock) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        outcomes = [work.result() for work in [pool.submit(receive_all, engine) for engine in engines]]
    for kinds in zip(*outcomes, strict=True):
        assert sorted(kinds) == [OutcomeKind.ACCEPTED, *[OutcomeKind.ALREADY_THERE] * 2]
    assert [event.position for event in engines[0].log.events(page=4)] == list(range(1, 11))
    for engine in engines:
        engine.close()


def test_threads_that_receive_packets_of_one_new_transaction_put_them_into_one(
    migrated: str, clock: Clock
) -> None:
    with Engine(migrated, site="NCSA", clock=clock) as engine, ThreadPoolExecutor(2) as pool:
        for number in range(5):
            early = sample("spec/data_project_create", transaction=50_000 + number, packet=80_000 + number)
            list(pool.map(engine.receive, (early, project_request(number))))
        assert [transaction.held for transaction in engine.transactions()] == [1] * 5


def append(log: EventLog, stream: str, version: int, event: NewEvent) -> None:
    """Append in a transaction of its own."""
    with log.write() as writer:
        writer.append(stream, version, [event])


def test_conflicts_are_found_and_nothing_is_written(engine: Engine) -> None:
    accepted = NewEvent(EventType.PACKET_RECEIVED, packet_rec_id="7")
    append(engine.log, "s", 0, accepted)
    for stream, version in (("s", 0), ("s", 1), ("t", 0)):
        with pytest.raises(ConcurrencyConflict):
            append(engine.log, stream, version, accepted)
    append(engine.log, "s", 1, NewEvent(EventType.PACKET_HELD, packet_rec_id="7"))
    assert [event.position for event in engine.log.events()] == [1, 2]


def test_a_writer_waits_for_the_one_before_it_and_then_sees_its_events(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        with engine.log.write() as first:
            second = pool.submit(append, engine.log, "s", 1, NewEvent(EventType.WORK_DEFERRED))
            first.append("s", 0, [NewEvent(EventType.WORK_DEFERRED)])
        second.result()
    assert [event.version for event in engine.log.events()] == [1, 2]


def test_a_reader_sees_one_state_however_long_it_reads(engine: Engine) -> None:
    with engine.log.read() as reader:
        assert reader.page(0, 10) == []
        append(engine.log, "s", 0, NewEvent(EventType.WORK_DEFERRED))
        assert reader.page(0, 10) == []
    assert len(list(engine.log.events())) == 1


def test_a_connection_that_the_server_has_closed_costs_no_call(engine: Engine, migrated: str) -> None:
    engine.receive(project_request(1))
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert engine.receive(project_request(2)).kind is OutcomeKind.ACCEPTED


def lose_the_connection(engine: Engine) -> None:
    """Have the server end the connection in the middle of a transaction."""
    with engine.log.write() as writer:
        writer.append("s", 0, [NewEvent(EventType.WORK_DEFERRED)])
        writer.cursor._cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_connection_that_is_lost_in_a_transaction_loses_it_whole(engine: Engine) -> None:
    with pytest.raises(DatabaseUnavailable, match="terminat"):
        lose_the_connection(engine)
    assert list(engine.log.events()) == []
    append(engine.log, "s", 0, NewEvent(EventType.WORK_DEFERRED))


def deadlock(engine: Engine) -> None:
    """Have the server undo a transaction in favour of another."""
    with engine.log.write() as writer:
        writer.cursor._cursor.execute(
            "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"
        )


def test_a_transaction_that_the_server_undid_may_be_tried_again(engine: Engine) -> None:
    with pytest.raises(ConcurrencyConflict, match="deadlock") as caught:
        deadlock(engine)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "options", [{}, {"isolation_level": "AUTOCOMMIT"}, {"isolation_level": "SERIALIZABLE"}]
)
def test_a_sites_engine_keeps_its_isolation_and_the_log_has_its_own(
    migrated: str, clock: Clock, options: dict[str, Any]
) -> None:
    url = migrated.replace("postgresql:", "postgresql+psycopg:")
    site_engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=5, **options)

    def level() -> tuple[str, bool]:
        with site_engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            return connection.get_isolation_level(), driver.autocommit

    before = level()
    engine = Engine(site_engine, site="NCSA", clock=clock)
    whole_project(engine, clock, 1)
    assert level() == before
    with pytest.raises(ZeroDivisionError):
        fail_after_an_append(engine)
    assert level() == before
    assert all(event.stream != "lost" for event in engine.log.events())
    engine.close()
    assert level() == before
    site_engine.dispose()


def fail_after_an_append(engine: Engine) -> None:
    """A transaction that must not be written."""
    with engine.log.write() as writer:
        writer.append("lost", 0, [NewEvent(EventType.WORK_DEFERRED)])
        raise ZeroDivisionError


def test_a_transaction_of_the_sites_on_another_connection_is_not_disturbed(
    migrated: str, clock: Clock
) -> None:
    site_engine: sqlalchemy.Engine = create_engine(migrated.replace("postgresql:", "postgresql+psycopg:"))
    engine = Engine(site_engine, site="NCSA", clock=clock)
    with site_engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    with site_engine.begin() as connection:
        connection.execute(text("INSERT INTO users VALUES ('robin')"))
        whole_project(engine, clock, 1)
        connection.execute(text("INSERT INTO users VALUES ('sam')"))
    with site_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM users")).scalar() == 2
    assert [transaction.state for transaction in engine.transactions()] == ["completed"]
    site_engine.dispose()


def test_the_database_is_named_without_its_password(migrated: str) -> None:
    with Engine(migrated.replace("postgres:@", "postgres:correct-horse@"), site="NCSA") as engine:
        assert "correct-horse" not in repr(engine)
    assert isinstance(engine.database, Database)
