"""Joining a site's transaction on PostgreSQL: old snapshots, isolation, schemas, and what must not block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import (
    ConnectionLost,
    ConnectionNotJoinable,
    DatabaseUnavailable,
    ReplyAlreadyDecided,
    TransactionNotFound,
)
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.joining import CALLS, add_user, users
from amie_engine.testing.contract.story import SITE, project_reply, project_request
from tests.postgres.failing import end_all_others, types

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
OLD_SNAPSHOTS = LEVELS[1:]


@pytest.fixture(autouse=True)
def site_table(sql: Sql) -> None:
    """A table of the site's own."""
    sql.run("CREATE TABLE site_users (name TEXT)")


@contextmanager
def site_transaction(sql: Sql, level: str) -> Iterator[Connection]:
    """A transaction of the site's that has its snapshot already; the block commits."""
    engine = create_engine(sql.engine.url, isolation_level=level)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM site_users")).scalar() == 0
        yield connection
    engine.dispose()


class TestACallerWithAnOldSnapshot:
    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("call", CALLS)
    def test_joins_whatever_was_committed_since(self, asked: Engine, sql: Sql, level: str, call: str) -> None:
        with site_transaction(sql, level) as connection:
            for number in range(3, 6):
                asked.receive(project_request(number))
            CALLS[call](asked, connection)
            asked.receive(project_request(6))
            add_user(connection, "robin")
        assert asked.carry_out_staged() == 1
        assert len(types(sql)) == 6
        assert users(sql) == ["robin"]

    @pytest.mark.parametrize("level", LEVELS)
    def test_replies_to_what_came_since(self, asked: Engine, sql: Sql, level: str) -> None:
        with site_transaction(sql, level) as connection:
            asked.receive(project_request(2))
            handle = asked.reply(1002, project_reply(2), connection=connection)
        assert handle.trans_rec_id == "1002"
        assert asked.history(1002).entries[-1].event == "packet_decided"
        assert types(sql) == ["packet_received", "packet_received", "packet_decided"]

    @pytest.mark.parametrize("level", LEVELS)
    def test_replies_to_what_somebody_else_staged_since(self, asked: Engine, sql: Sql, level: str) -> None:
        with site_transaction(sql, level) as connection:
            with sql.engine.begin() as other:
                asked.receive(project_request(2), connection=other)
            asked.reply(1002, project_reply(2), connection=connection)
        assert asked.carry_out_staged() == 2
        assert types(sql) == ["packet_received", "packet_received", "packet_decided"]

    @pytest.mark.parametrize("level", LEVELS)
    def test_is_refused_what_is_forbidden_now(self, asked: Engine, sql: Sql, level: str) -> None:
        asked.receive(project_request(2))
        asked.reply(1002, project_reply(2))
        with site_transaction(sql, level) as connection:
            with pytest.raises(ReplyAlreadyDecided):
                asked.reply(1002, project_reply(2), connection=connection)
            with pytest.raises(TransactionNotFound):
                asked.reply(1009, project_reply(2), connection=connection)
            add_user(connection, "robin")
        assert asked.carry_out_staged() == 0
        assert users(sql) == ["robin"]

    @pytest.mark.parametrize("level", OLD_SNAPSHOTS)
    def test_may_learn_only_afterwards_what_became_forbidden_since(
        self, asked: Engine, sql: Sql, level: str
    ) -> None:
        with site_transaction(sql, level) as connection:
            asked.reply(1001, project_reply(1))
            asked.reply(1001, project_reply(1), connection=connection)
        assert asked.carry_out_staged() == 1
        assert types(sql) == ["packet_received", "packet_decided", "staged_refused"]
        assert len(asked.outbox.open()) == 1

    def test_is_refused_at_once_where_it_sees_every_commit(self, asked: Engine, sql: Sql) -> None:
        with site_transaction(sql, "READ COMMITTED") as connection:
            asked.reply(1001, project_reply(1))
            with pytest.raises(ReplyAlreadyDecided):
                asked.reply(1001, project_reply(1), connection=connection)
        assert types(sql) == ["packet_received", "packet_decided"]


@pytest.mark.parametrize("level", LEVELS)
def test_callers_at_once_do_not_depend_on_each_other(asked: Engine, sql: Sql, level: str) -> None:
    """Both stage what follows from the other's as well as from their own: none has to be done again."""
    engine = create_engine(sql.engine.url, isolation_level=level)
    with engine.connect() as one, engine.connect() as two:
        for connection, number in ((one, 2), (two, 3)):
            add_user(connection, f"user {number}")
            asked.receive(project_request(number), connection=connection)
        for connection, number in ((two, 3), (one, 2)):
            asked.reply(1000 + number, project_reply(number), connection=connection)
            asked.fail(1000 + number, "no", connection=connection)
        one.commit()
        two.commit()
    engine.dispose()
    assert asked.carry_out_staged() == 6
    assert sorted(types(sql)) == ["failure_decided"] * 2 + ["packet_decided"] * 2 + ["packet_received"] * 3
    assert users(sql) == ["user 2", "user 3"]


@pytest.mark.parametrize("call", CALLS)
def test_staging_takes_no_lock_that_somebody_could_wait_for(asked: Engine, sql: Sql, call: str) -> None:
    locks = (
        "SELECT relation::regclass::text, mode FROM pg_locks WHERE pid = :pid AND locktype = 'relation'"
        " AND relation::regclass::text LIKE 'amie%' AND mode NOT IN ('AccessShareLock', 'RowExclusiveLock')"
    )
    with sql.engine.begin() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        CALLS[call](asked, connection)
        assert sql.rows(locks, pid=pid) == []
        assert sql.rows("SELECT 1 FROM amie_log_head FOR UPDATE NOWAIT") == [(1,)]
        assert sql.rows("SELECT 1 FROM amie_transactions FOR UPDATE NOWAIT") == [(1,)]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_takes_no_connection_but_the_callers(migrated: str, sql: Sql, call: str) -> None:
    site_engine = create_engine(sql.engine.url, pool_size=1, max_overflow=0, pool_timeout=0)
    asked = Engine(site_engine, site=SITE)
    asked.receive(project_request(1))
    with site_engine.begin() as connection:
        CALLS[call](asked, connection)
        with pytest.raises(TransactionNotFound):
            asked.fail(4711, "no", connection=connection)
    assert asked.carry_out_staged() == 1
    site_engine.dispose()


class TestWhatCanNotBeJoined:
    def refuse(self, engine: Engine, connection: Any, match: str) -> None:
        for call in CALLS.values():
            with pytest.raises(ConnectionNotJoinable, match=match):
                call(engine, connection)

    def test_a_transaction_that_has_failed(self, asked: Engine, sql: Sql) -> None:
        with sql.engine.connect() as connection:
            with pytest.raises(sqlalchemy.exc.ProgrammingError):
                connection.execute(text("SELECT * FROM no_such_table"))
            self.refuse(asked, connection, "has failed, or has ended")
            connection.rollback()
            asked.receive(project_request(2), connection=connection)
            connection.commit()
        assert asked.carry_out_staged() == 1

    def test_another_schema(
        self, asked: Engine, sql: Sql, new_schema: Callable[[], str], migrated: str
    ) -> None:
        before = sql.everything()
        empty = new_schema().rpartition("search_path%3D")[2]
        with sql.engine.begin() as connection:
            add_user(connection, "robin")
            connection.execute(text(f"SET LOCAL search_path = {empty}"))
            self.refuse(asked, connection, "other tables")
            connection.execute(text("RESET search_path"))
            add_user(connection, "sam")
        assert sql.everything() == before
        assert users(sql) == ["robin", "sam"]

    def test_another_log(self, asked: Engine, other_log: str) -> None:
        other = Sql(other_log)
        with other.engine.begin() as connection:
            self.refuse(asked, connection, "another database")
        assert other.rows("SELECT * FROM amie_staged") == []
        other.close()

    @pytest.fixture
    def other_log(self, new_schema: Callable[[], str]) -> str:
        """The URL of another log."""
        from amie_engine.log.database import Database
        from amie_engine.log.migrate import migrate

        url = new_schema()
        database = Database(url)
        migrate(database)
        database.close()
        return url

    def test_a_copy_of_the_schema(self, asked: Engine, sql: Sql, new_schema: Callable[[], str]) -> None:
        [(schema,)] = sql.rows("SELECT current_schema()")
        copy = Sql(new_schema())
        for (table,) in sql.rows("SELECT tablename FROM pg_tables WHERE schemaname = :name", name=schema):
            copy.run(f"CREATE TABLE {table} (LIKE {schema}.{table} INCLUDING ALL)")
            copy.run(f"INSERT INTO {table} SELECT * FROM {schema}.{table}")
        with copy.engine.begin() as connection:
            self.refuse(asked, connection, "another database")
        assert copy.rows("SELECT * FROM amie_staged") == []
        copy.close()

    @pytest.mark.parametrize("kind", ["TEMPORARY TABLE", "TABLE own."])
    def test_a_table_of_the_same_name_that_hides_the_logs(
        self, asked: Engine, sql: Sql, new_schema: Callable[[], str], kind: str
    ) -> None:
        [(schema,)] = sql.rows("SELECT current_schema()")
        own = new_schema().rpartition("search_path%3D")[2]
        with sql.engine.begin() as connection:
            connection.execute(text(f"SET LOCAL search_path = {own}, {schema}"))
            hiding = (
                f"CREATE {kind.removesuffix('own.')} amie_staged (LIKE {schema}.amie_staged INCLUDING ALL)"
            )
            connection.execute(text(hiding))
            self.refuse(asked, connection, "other tables")
            assert connection.execute(text("SELECT count(*) FROM amie_staged")).scalar() == 0

    def test_one_that_commits_at_once_whoever_has_set_it_so(self, asked: Engine, sql: Sql) -> None:
        before = sql.everything()
        by_driver = create_engine(sql.engine.url, connect_args={"autocommit": True})
        for engine in (by_driver, sql.engine.execution_options(isolation_level="AUTOCOMMIT")):
            with engine.connect() as connection:
                self.refuse(asked, connection, "autocommit")
                assert not connection.in_transaction()
        by_driver.dispose()
        assert sql.everything() == before

    def test_a_transaction_that_is_prepared(self, asked: Engine, sql: Sql) -> None:
        with sql.engine.connect() as connection, connection.begin_twophase() as transaction:
            add_user(connection, "robin")
            asked.receive(project_request(2), connection=connection)
            transaction.prepare()
            self.refuse(asked, connection, "has ended")
            transaction.commit()
        assert asked.carry_out_staged() == 1
        assert users(sql) == ["robin"]
        assert types(sql) == ["packet_received", "packet_received"]

    def test_the_drivers_own_connection(self, asked: Engine, sql: Sql) -> None:
        with sql.engine.connect() as connection:
            self.refuse(
                asked, connection.connection.dbapi_connection, r"psycopg\.Connection is no SQLAlchemy"
            )


class TestTheDatabaseRefuses:
    def test_what_the_callers_role_may_not(self, asked: Engine, sql: Sql, migrated: str) -> None:
        schema = sql.rows("SELECT current_schema()")[0][0]
        role = f"reader_{schema}"
        sql.run(f"CREATE ROLE {role}")
        sql.run(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        sql.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        sql.run(f"GRANT INSERT ON site_users TO {role}")
        with sql.engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            for call in CALLS.values():
                with pytest.raises(DatabaseUnavailable, match="permission denied"):
                    call(asked, connection)
            add_user(connection, "robin")
        sql.run(f"DROP OWNED BY {role}")
        sql.run(f"DROP ROLE {role}")
        assert users(sql) == ["robin"]
        assert asked.carry_out_staged() == 0

    def test_on_a_connection_that_is_lost(self, asked: Engine, sql: Sql, migrated: str) -> None:
        site = Sql(migrated)
        with site.engine.connect() as connection:
            add_user(connection, "robin")
            end_all_others(sql)
            with pytest.raises(ConnectionLost, match="terminating connection"):
                asked.receive(project_request(2), connection=connection)
            connection.rollback()
            asked.receive(project_request(2), connection=connection)
            connection.commit()
        site.close()
        assert asked.carry_out_staged() == 1
        assert users(sql) == []

    @pytest.mark.parametrize("call", CALLS)
    def test_on_a_connection_that_is_lost_while_staging(
        self, asked: Engine, sql: Sql, migrated: str, call: str
    ) -> None:
        site = Sql(migrated)

        @event.listens_for(site.engine, "before_cursor_execute")
        def end(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "INTO amie_staged" in statement:
                end_all_others(sql)

        with site.engine.connect() as connection:
            add_user(connection, "robin")
            with pytest.raises(ConnectionLost, match="terminating connection") as caught:
                CALLS[call](asked, connection)
            assert caught.value.retryable
            connection.rollback()
        site.close()
        assert asked.carry_out_staged() == 0
        assert users(sql) == []


@pytest.mark.parametrize("level", OLD_SNAPSHOTS)
def test_a_caller_with_an_old_snapshot_waits_for_no_second_connection(
    migrated: str, sql: Sql, level: str
) -> None:
    site_engine = create_engine(
        sql.engine.url, pool_size=1, max_overflow=0, pool_timeout=0, isolation_level=level
    )
    engine, another = Engine(site_engine, site=SITE), Engine(migrated, site=SITE)
    with site_engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM site_users")).scalar() == 0
        another.receive(project_request(1))
        engine.reply(1001, project_reply(1), connection=connection)
        engine.reply(4711, project_reply(1), connection=connection)
    assert engine.carry_out_staged() == 2
    assert types(sql) == ["packet_received", "packet_decided", "staged_refused"]
    another.close()
    site_engine.dispose()


def test_whatever_isolation_the_site_sets_past_sqlalchemy_is_put_back(migrated: str, sql: Sql) -> None:
    site_engine = create_engine(sql.engine.url, pool_size=1, max_overflow=0, pool_timeout=0)

    @event.listens_for(site_engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.isolation_level = 4  # serializable

    engine = Engine(site_engine, site=SITE)
    engine.receive(project_request(1))
    with site_engine.begin() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        engine.reply(1001, project_reply(1), connection=connection)
    assert engine.carry_out_staged() == 1
    with site_engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
    check_log(sql)
    site_engine.dispose()


def test_an_asynchronous_site_joins_inside_run_sync(asked: Engine, sql: Sql) -> None:
    async def stage() -> None:
        engine = create_async_engine(sql.engine.url.set(drivername="postgresql+psycopg_async"))
        async with engine.begin() as connection:
            with pytest.raises(ConnectionNotJoinable, match=r"AsyncConnection is no SQLAlchemy.*run_sync"):
                asked.receive(project_request(2), connection=connection)  # type: ignore[arg-type] # refused
            await connection.execute(text("INSERT INTO site_users VALUES ('robin')"))
            outcome = await connection.run_sync(
                lambda joined: asked.receive(project_request(2), connection=joined)
            )
            assert outcome.kind is OutcomeKind.STAGED
            with pytest.raises(TransactionNotFound):
                await connection.run_sync(lambda joined: asked.fail(4711, "no", connection=joined))
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            with pytest.raises(ConnectionNotJoinable, match="autocommit"):
                await connection.run_sync(lambda joined: asked.receive("[]", connection=joined))
        await engine.dispose()

    asyncio.run(stage())
    assert asked.carry_out_staged() == 1
    assert users(sql) == ["robin"]
    assert types(sql) == ["packet_received", "packet_received"]
