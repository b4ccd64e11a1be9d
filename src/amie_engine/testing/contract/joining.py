"""Guarantee 10: a call commits and rolls back with the rows of the site's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.orm import Session

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import ConnectionNotJoinable, ReplyAlreadyDecided
from amie_engine.testing.contract.appending import child
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.fixtures import Fixtures, OpenEngine
from amie_engine.testing.contract.story import (
    data_packet,
    project_reply,
    project_request,
    site_packet,
)

__all__ = [
    "CALLS",
    "Call",
    "JoiningContract",
    "JoiningFixtures",
    "add_user",
    "joined_in_savepoint",
    "lock_user",
    "users",
    "with_begin_listeners",
]

Call = Callable[[Engine, Connection], object]


CALLS: dict[str, Call] = {
    "receive": lambda engine, connection: engine.receive(project_request(2), connection=connection),
    "reply": lambda engine, connection: engine.reply(1001, project_reply(1), connection=connection),
    "start": lambda engine, connection: engine.start(site_packet(), connection=connection),
    "fail": lambda engine, connection: engine.fail(1001, "no", connection=connection),
}
"""Each call that can be staged, on a log with the request for project 1."""


def with_begin_listeners(engine: sqlalchemy.Engine) -> sqlalchemy.Engine:
    """Have the driver of SQLite begin real transactions, as SQLAlchemy's documentation shows."""

    @event.listens_for(engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


class JoiningFixtures(Fixtures):
    """What the tests of guarantee 10 begin with."""

    @pytest.fixture(params=["as it comes", "strict"])
    def site_engine(self, request: pytest.FixtureRequest, sql: Sql) -> Iterator[sqlalchemy.Engine]:
        """An engine of the site's, with a table of its own: plain, and with the strictest transactions."""
        sql.run("CREATE TABLE site_users (name VARCHAR(40))")
        url = sql.engine.url
        if request.param != "strict":
            engine = create_engine(url)
        elif sql.is_postgresql:
            engine = create_engine(url, isolation_level="SERIALIZABLE")
        else:
            engine = with_begin_listeners(create_engine(url))
        yield engine
        engine.dispose()

    @pytest.fixture
    def asked(self, engine: Engine) -> Engine:
        """An engine on a log with the request for project 1."""
        engine.receive(project_request(1))
        return engine


def add_user(connection: Connection, name: str) -> None:
    """Write a row of the site's own."""
    connection.execute(text("INSERT INTO site_users VALUES (:name)"), {"name": name})


def lock_user(connection: Connection, name: str) -> None:
    """Lock one on PostgreSQL."""
    connection.execute(text("SELECT name FROM site_users WHERE name = :name FOR UPDATE"), {"name": name})


def users(sql: Sql) -> list[str]:
    """Return the rows of the site's own."""
    return [row[0] for row in sql.rows("SELECT name FROM site_users ORDER BY name")]


def joined_in_savepoint(call: Call, engine: Engine, connection: Connection) -> None:
    """Call in a savepoint, or be refused: SQLite's driver, as it comes, begins no transaction around it."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and driver.isolation_level is not None:
        with pytest.raises(ConnectionNotJoinable, match="inside a savepoint"):
            call(engine, connection)
    else:
        call(engine, connection)


class JoiningContract(JoiningFixtures):
    """Guarantee 10: what was staged happens once, or not at all."""

    def test_10_a_call_commits_with_the_sites_rows(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        for done, (name, call) in enumerate(CALLS.items(), 1):
            before = sql.everything()
            with site_engine.begin() as connection:
                add_user(connection, name)
                call(asked, connection)
                assert sql.everything() == before
            assert sql.rows("SELECT call FROM amie_staged") == [(name,)]
            assert asked.carry_out_staged() == 1
            assert sql.rows("SELECT call FROM amie_staged") == []
            assert len(check_log(sql)) == done + 1
        assert users(sql) == sorted(CALLS)

    def test_10_a_call_rolls_back_with_the_sites_rows(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        before = sql.everything()
        for call in CALLS.values():
            with site_engine.connect() as connection:
                add_user(connection, "robin")
                call(asked, connection)
                connection.rollback()
            assert asked.carry_out_staged() == 0
            assert sql.everything() == before
        assert users(sql) == []

    def test_10_a_call_rolls_back_to_the_sites_savepoint(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        before = sql.everything()
        for call in CALLS.values():
            with site_engine.begin() as connection:
                add_user(connection, "robin")
                with suppress(ZeroDivisionError), connection.begin_nested():
                    add_user(connection, "sam")
                    joined_in_savepoint(call, asked, connection)
                    raise ZeroDivisionError
            assert asked.carry_out_staged() == 0
            assert sql.everything() == before
        assert users(sql) == ["robin"] * len(CALLS)

    def test_10_a_call_in_a_savepoint_rolls_back_with_the_transaction_around_it(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        before = sql.everything()
        for call in CALLS.values():
            with suppress(ZeroDivisionError), site_engine.begin() as connection:
                with connection.begin_nested():
                    joined_in_savepoint(call, asked, connection)
                add_user(connection, "robin")
                raise ZeroDivisionError
            assert asked.carry_out_staged() == 0
            assert sql.everything() == before
        assert users(sql) == []

    def test_10_the_next_call_of_any_engine_carries_it_out_first(
        self, asked: Engine, open_engine: OpenEngine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with site_engine.begin() as connection:
            asked.reply(1001, project_reply(1), connection=connection)
        with pytest.raises(ReplyAlreadyDecided):
            open_engine().reply(1001, project_reply(1))
        with Session(site_engine) as session:
            asked.receive(project_request(2), connection=session.connection())
            session.commit()
        assert open_engine().expected_reply(1002).state == "requested"
        assert len(check_log(sql)) == 3

    def test_10_the_order_within_a_transaction_is_kept(
        self, engine: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with site_engine.begin() as connection:
            outcome = engine.receive(project_request(1), connection=connection)
            engine.reply(1001, project_reply(1), connection=connection)
            engine.receive(data_packet(7), connection=connection)
            engine.fail(1001, "after all", connection=connection)
            begun = engine.start(site_packet(), connection=connection)
            engine.fail(begun.stream, "after all", connection=connection)
        assert outcome.kind is OutcomeKind.STAGED
        assert engine.history(begun.stream).state == "failed"
        assert [row["type"] for row in check_log(sql)] == [
            *("packet_received", "packet_decided", "packet_held"),
            *("failure_decided", "packet_decided", "transaction_failed", "packet_rejected"),
        ]

    def test_10_what_was_committed_before_a_crash_is_carried_out_once(
        self, database_url: str, open_engine: OpenEngine, sql: Sql
    ) -> None:
        with child(database_url, "stage and commit"):
            pass
        assert sql.events() == []
        engines = [open_engine() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            assert sum(pool.map(Engine.carry_out_staged, engines)) == 1
        assert [row["type"] for row in check_log(sql)] == ["packet_received"]

    def test_10_a_connection_may_be_set_to_whatever_queries_need(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        options: dict[str, Any] = {
            "stream_results": True,
            "yield_per": 5,
            "schema_translate_map": {None: "x"},
        }
        for call in CALLS.values():
            with site_engine.connect().execution_options(**options) as connection:
                call(asked, connection)
                connection.commit()
        assert asked.carry_out_staged() == 4
        assert len(check_log(sql)) == 5

    def test_10_staging_waits_for_nobody_and_nobody_for_it(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        if not sql.is_postgresql:  # one writer at a time is all that SQLite has
            with site_engine.begin() as connection:
                asked.receive(project_request(2), connection=connection)
                assert asked.expected_reply(1001).state == "requested"
            return
        for name in ("robin", "sam"):
            sql.run("INSERT INTO site_users VALUES (:name)", name=name)
        with site_engine.connect() as one, site_engine.connect() as two:
            for connection, name in ((one, "robin"), (two, "sam")):
                connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
                lock_user(connection, name)
            asked.reply(1001, project_reply(1), connection=one)
            asked.receive(project_request(2), connection=two)
            asked.receive(project_request(3))  # while both are under way
            two.commit()
            lock_user(one, "sam")
            one.commit()
        asked.carry_out_staged()
        assert sorted(row["type"] for row in check_log(sql)) == ["packet_decided", *["packet_received"] * 3]
