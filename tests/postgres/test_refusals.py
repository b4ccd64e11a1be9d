"""PostgreSQL refuses: for a lock, for want of room, for a role or a server that may only read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import (
    ConnectionLost,
    DatabaseUnavailable,
    LogError,
)
from amie_engine.log.events import EventType, NewEvent
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.story import SITE, project_request
from tests.postgres.failing import (
    CALLS,
    FULL_DISK,
    server_that,
    types,
    with_settings,
)


class TestSomebodyElseHoldsTheLog:
    def test_for_longer_than_the_connection_waits(
        self, asked: Engine, open_engine: Callable[..., Engine], sql: Sql
    ) -> None:
        engine = open_engine(lock_timeout="50ms")
        before = sql.everything()
        with sql.engine.begin() as holder:
            holder.execute(text("SELECT 1 FROM amie_log_head FOR UPDATE"))
            for call in CALLS.values():
                with pytest.raises(DatabaseUnavailable, match="lock timeout") as caught:
                    call(engine)
                assert caught.value.retryable
                assert "Another process holds it" in caught.value.hint
            assert engine.expected_reply(1001).state == "requested"
        assert sql.everything() == before
        CALLS["reply"](engine)
        assert len(types(sql)) == 2

    def test_a_role_may_say_how_long(self, asked: Engine, migrated: str, sql: Sql) -> None:
        def patience(engine: Engine) -> str:
            with engine.log.write() as writer:
                writer.cursor._cursor.execute("SHOW lock_timeout")
                return str(writer.cursor._cursor.fetchone()[0])

        assert patience(asked) == "30s"
        with psycopg.connect(migrated) as connection:
            assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)
        name = f"patient_{sql.rows('SELECT current_schema()')[0][0]}"
        sql.run(f"CREATE ROLE {name} SUPERUSER LOGIN")
        sql.run(f"ALTER ROLE {name} SET lock_timeout = '7s'")
        with Engine(migrated.replace("postgres:@", f"{name}:@"), site=SITE) as engine:
            assert patience(engine) == "7s"
        sql.run(f"DROP ROLE {name}")

    def test_a_deadlock_with_locks_of_somebody_elses_is_undone_and_done_again(
        self, asked: Engine, open_engine: Callable[..., Engine], sql: Sql
    ) -> None:
        engine = open_engine(deadlock_timeout="10ms")  # so that it is the engine's transaction that is undone
        until_both_wait = (
            "PERFORM pg_advisory_xact_lock(1);"
            " LOOP EXIT WHEN EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted); END LOOP"
        )
        with (
            server_that(sql, until_both_wait, times=1),
            ThreadPoolExecutor(1) as pool,
            sql.engine.begin() as holder,
        ):
            holder.execute(text("SET LOCAL deadlock_timeout = '30s'"))
            holder.execute(text("SELECT 1 FROM amie_transactions FOR UPDATE"))
            replying = pool.submit(CALLS["reply"], engine)
            while not sql.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
                pass  # until the engine holds the counter
            holder.execute(text("SELECT 1 FROM amie_log_head FOR UPDATE"))  # it is given up by the engine
            assert not replying.done()
            holder.rollback()
            replying.result()
        assert types(sql) == ["packet_received", "packet_decided"]


class TestTheServerRefuses:
    @pytest.mark.parametrize("table", ["amie_events", "amie_transactions", "amie_outbox", "amie_work"])
    def test_for_want_of_room(self, asked: Engine, sql: Sql, table: str) -> None:
        before = sql.everything()
        call = CALLS["reply" if table == "amie_outbox" else "receive"]
        with server_that(sql, FULL_DISK, times=2, at=f"AFTER INSERT ON {table}"):
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable, match="No space left") as caught:
                    call(asked)
                assert caught.value.retryable
                assert caught.value.hint == "Make room on the disk of the database, and call again."
                assert sql.everything() == before
            call(asked)
        assert len(types(sql)) == 2

    def test_for_want_of_room_what_is_staged_waits(self, asked: Engine, sql: Sql) -> None:
        with sql.engine.begin() as connection:
            asked.receive(project_request(2), connection=connection)
        with server_that(sql, FULL_DISK, times=3):
            with pytest.raises(DatabaseUnavailable):
                asked.carry_out_staged()
            with pytest.raises(DatabaseUnavailable):
                asked.receive(project_request(3))
            assert len(asked.transactions()) == 1  # reading goes on
        asked.receive(project_request(3))
        assert [row["packet_rec_id"] for row in check_log(sql)] == ["2001", "2002", "2003"]

    def test_to_be_written(self, asked: Engine, open_engine: Callable[..., Engine], sql: Sql) -> None:
        engine = open_engine(default_transaction_read_only="on")
        with sql.engine.begin() as connection:
            asked.receive(project_request(2), connection=connection)
        before = sql.everything()
        assert len(engine.transactions()) == 1
        for call in CALLS.values():
            with pytest.raises(DatabaseUnavailable, match="read-only transaction") as caught:
                call(engine)
            assert caught.value.retryable
            assert "the server that can be written" in caught.value.hint
        assert sql.everything() == before
        assert len(asked.transactions()) == 2
        check_log(sql)

    def test_to_take_that_long(self, asked: Engine, sql: Sql) -> None:
        def take_long() -> None:
            with asked.log.write() as writer:
                writer.append("lost", 0, [NewEvent(EventType.WORK_DEFERRED)])
                writer.cursor._cursor.execute("SET LOCAL statement_timeout = '10ms'")
                writer.cursor._cursor.execute("SELECT pg_sleep(60)")

        with pytest.raises(DatabaseUnavailable, match="statement timeout") as caught:
            take_long()
        assert "statement_timeout" in caught.value.hint
        assert "pg_cancel_backend" in caught.value.hint  # the server tells both by one code
        assert len(types(sql)) == 1

    def test_a_transaction_that_is_idle_for_too_long(self, asked: Engine, sql: Sql) -> None:
        def do_nothing_for_long() -> None:
            with asked.log.write() as writer:
                writer.append("lost", 0, [NewEvent(EventType.WORK_DEFERRED)])
                writer.cursor._cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '10ms'")
                while sql.rows("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'"):
                    pass
                writer.cursor._cursor.execute("SELECT 1")

        with pytest.raises(ConnectionLost, match="idle-in-transaction timeout"):
            do_nothing_for_long()
        CALLS["reply"](asked)
        assert types(sql) == ["packet_received", "packet_decided"]

    def test_a_connection(self, migrated: str) -> None:
        for url in (
            migrated.replace("/postgres?", "/no_such_database?"),
            with_settings(migrated, no_such="x"),
        ):
            with pytest.raises(DatabaseUnavailable) as caught:
                Engine(url, site=SITE)
            assert caught.value.retryable

    def test_a_statement_for_another_reason(self, asked: Engine, sql: Sql) -> None:
        with server_that(sql, "RAISE EXCEPTION 'no'", times=1), pytest.raises(LogError) as caught:
            CALLS["receive"](asked)
        assert type(caught.value) is LogError
        assert not caught.value.retryable
        assert asked.receive(project_request(2)).kind is OutcomeKind.ACCEPTED
        assert len(types(sql)) == 2
