"""Joining a site's transaction on SQLite: what the contract does not ask of every database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session

from amie_engine.engine import Engine
from amie_engine.errors import (
    ConcurrencyConflict,
    ConnectionNotJoinable,
    DatabaseUnavailable,
    ReplyIncomplete,
    TransactionNotFound,
)
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.log.store import EventLog
from amie_engine.packet import Packet
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.joining import CALLS, add_user, users, with_begin_listeners
from amie_engine.testing.contract.story import SITE, project_reply, project_request

NO_WAIT = "?timeout=0"


@pytest.fixture
def sql(file: Path) -> Iterator[Sql]:
    """The site's way into its database, in which the log is."""
    sql = Sql(f"sqlite:///{file}{NO_WAIT}")
    sql.run("CREATE TABLE site_users (name TEXT)")
    yield sql
    sql.close()


@pytest.fixture
def asked(file: Path, sql: Sql) -> Iterator[Engine]:
    """An engine on a log with the request for project 1."""
    with Engine(f"sqlite:///{file}{NO_WAIT}", site=SITE) as engine:
        engine.receive(project_request(1))
        yield engine


@pytest.fixture
def strict(sql: Sql) -> Iterator[sqlalchemy.Engine]:
    """An engine of the site's with real transactions."""
    engine = with_begin_listeners(create_engine(sql.engine.url))
    yield engine
    engine.dispose()


class TestACallerThatHasReadBefore:
    @pytest.mark.parametrize("call", CALLS)
    def test_joins_where_nobody_wrote_meanwhile(
        self, asked: Engine, strict: sqlalchemy.Engine, sql: Sql, call: str
    ) -> None:
        with strict.begin() as connection:
            assert read_users(connection) == 0
            CALLS[call](asked, connection)
            add_user(connection, "robin")
        assert asked.carry_out_staged() == 1
        assert len(check_log(sql)) == 2

    @pytest.mark.parametrize("call", CALLS)
    def test_is_told_where_somebody_did_and_can_begin_again(
        self, asked: Engine, strict: sqlalchemy.Engine, sql: Sql, call: str
    ) -> None:
        with strict.connect() as connection:
            assert read_users(connection) == 0
            sql.run("INSERT INTO site_users VALUES ('sam')")
            before = sql.everything()
            with pytest.raises(ConcurrencyConflict, match="has read what another has changed") as caught:
                CALLS[call](asked, connection)
            assert "Roll it back" in caught.value.hint
            assert read_users(connection) == 0
            connection.rollback()
            assert sql.everything() == before
            CALLS[call](asked, connection)
            connection.commit()
        assert asked.carry_out_staged() == 1
        check_log(sql)

    def test_joins_in_the_drivers_own_mode_which_keeps_no_transaction_for_reading(
        self, asked: Engine, sql: Sql
    ) -> None:
        with sql.engine.begin() as connection:
            assert read_users(connection) == 0
            sql.run("INSERT INTO site_users VALUES ('sam')")
            asked.receive(project_request(2), connection=connection)
        assert asked.carry_out_staged() == 1

    def test_waits_for_another_that_writes_no_longer_than_its_own_connection_does(
        self, asked: Engine, strict: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with sql.engine.begin() as other, strict.connect() as connection:
            add_user(other, "sam")
            with pytest.raises(DatabaseUnavailable, match="locked"):
                asked.receive(project_request(2), connection=connection)
            assert not connection.in_transaction()
        assert asked.carry_out_staged() == 0


def read_users(connection: Connection) -> int:
    return len(connection.execute(text("SELECT * FROM site_users")).all())


@pytest.mark.parametrize("pool_size", [1, 2])
def test_a_call_takes_no_connection_but_the_callers(file: Path, sql: Sql, pool_size: int) -> None:
    site_engine = create_engine(sql.engine.url, pool_size=pool_size, max_overflow=0, pool_timeout=0)
    asked = Engine(site_engine, site=SITE)
    asked.receive(project_request(1))
    others = [site_engine.connect() for _ in range(pool_size - 1)]
    for call in CALLS.values():
        with site_engine.begin() as connection:
            call(asked, connection)
    for other in others:
        other.close()
    assert asked.carry_out_staged() == len(CALLS)
    check_log(sql)
    site_engine.dispose()


BEGINS: dict[str, Callable[[Connection], object]] = {
    "nothing": lambda connection: None,
    "by hand": lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"),
}


@pytest.mark.parametrize("begin", BEGINS)
def test_autocommit_is_refused_but_where_the_caller_has_begun_a_transaction_by_hand(
    asked: Engine, sql: Sql, begin: str
) -> None:
    before = sql.everything()
    engine = create_engine(sql.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        BEGINS[begin](connection)
        if begin == "nothing":
            with pytest.raises(ConnectionNotJoinable, match="autocommit"):
                asked.receive(project_request(2), connection=connection)
            assert not connection.in_transaction()
        else:
            asked.receive(project_request(2), connection=connection)
            connection.exec_driver_sql("ROLLBACK")
    engine.dispose()
    assert sql.everything() == before


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("autocommit", [True, False])
    def test_the_drivers_newer_modes(asked: Engine, sql: Sql, autocommit: bool) -> None:
        engine = create_engine(sql.engine.url, connect_args={"autocommit": autocommit})
        with engine.connect() as connection:
            if autocommit:
                with pytest.raises(ConnectionNotJoinable, match="autocommit"):
                    asked.receive(project_request(2), connection=connection)
            else:
                asked.receive(project_request(2), connection=connection)
                connection.commit()
        engine.dispose()
        assert asked.carry_out_staged() == (0 if autocommit else 1)


def test_a_database_in_memory_has_nobody_to_join(sql: Sql) -> None:
    site_engine = create_engine("sqlite://")
    migrate(Database(site_engine))
    engine = Engine(site_engine, site=SITE)
    with site_engine.connect() as connection:
        with pytest.raises(ConnectionNotJoinable, match="in memory"):
            engine.receive(project_request(1), connection=connection)
        assert connection.execute(text("SELECT count(*) FROM amie_staged")).scalar() == 0
    site_engine.dispose()


def test_another_log_is_not_the_log(asked: Engine, sql: Sql, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with Engine(url, site=SITE) as other:
        engine = create_engine(url)
        with engine.begin() as connection, pytest.raises(ConnectionNotJoinable, match="another database"):
            asked.receive(project_request(2), connection=connection)
        engine.dispose()
        assert other.carry_out_staged() == 0


def test_a_copy_of_the_log_is_not_the_log(asked: Engine, sql: Sql, file: Path) -> None:
    copy = file.with_name("copy.db")
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    other = Sql(f"sqlite:///{copy}")
    before = other.everything()
    for call in CALLS.values():
        with (
            other.engine.begin() as connection,
            pytest.raises(ConnectionNotJoinable, match="another database"),
        ):
            call(asked, connection)
    assert other.everything() == before
    other.close()


def test_the_logs_file_is_known_under_another_path(asked: Engine, sql: Sql, file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    engine = create_engine(f"sqlite:///{link}")
    with engine.begin() as connection:
        asked.receive(project_request(2), connection=connection)
    engine.dispose()
    assert asked.carry_out_staged() == 1


def test_a_refused_call_leaves_no_lock_behind(asked: Engine, sql: Sql) -> None:
    with sql.engine.connect() as connection:
        assert read_users(connection) == 0
        with pytest.raises(TransactionNotFound):
            asked.fail(4711, "no", connection=connection)
        asked.receive(project_request(2))  # nobody waits for the caller
        assert connection.in_transaction()
        add_user(connection, "robin")
        connection.commit()
    assert users(sql) == ["robin"]
    assert asked.carry_out_staged() == 0


class TestInASavepointOfTheCallers:
    def test_a_driver_that_begins_nothing_around_it_is_refused(self, asked: Engine, sql: Sql) -> None:
        by_hand = create_engine(sql.engine.url, connect_args={"isolation_level": None})
        autocommit = sql.engine.execution_options(isolation_level="AUTOCOMMIT")
        before = sql.everything()
        for engine in (sql.engine, by_hand, autocommit):
            with engine.connect() as connection:
                outer = connection.begin()
                with (
                    connection.begin_nested(),
                    pytest.raises(ConnectionNotJoinable, match="inside a savepoint") as caught,
                ):
                    asked.receive(project_request(2), connection=connection)
                outer.rollback()
            assert "begin_nested()" in caught.value.hint
        by_hand.dispose()
        assert sql.everything() == before

    if sys.version_info >= (3, 12):

        def test_the_drivers_newest_mode_always_has_a_transaction_around_it(
            self, asked: Engine, sql: Sql
        ) -> None:
            engine = create_engine(sql.engine.url, connect_args={"autocommit": False})
            with engine.begin() as connection, connection.begin_nested():
                asked.receive(project_request(2), connection=connection)
            engine.dispose()
            assert asked.carry_out_staged() == 1


def test_a_log_that_is_attached_to_another_database_is_not_joined(
    asked: Engine, sql: Sql, file: Path, tmp_path: Path
) -> None:
    before = sql.everything()
    engine = create_engine(f"sqlite:///{tmp_path / 'site.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ATTACH '{file}' AS log")
        assert connection.exec_driver_sql("SELECT count(*) FROM amie_events").scalar() == 1
        with pytest.raises(ConnectionNotJoinable, match="another database"):
            asked.receive(project_request(2), connection=connection)
    engine.dispose()
    assert sql.everything() == before


def test_a_session_of_the_orm_commits_and_rolls_back(
    asked: Engine, strict: sqlalchemy.Engine, sql: Sql
) -> None:
    with Session(strict) as session:
        session.execute(text("INSERT INTO site_users VALUES ('robin')"))
        asked.reply(1001, project_reply(1), connection=session.connection())
        session.rollback()
        with session.begin_nested():
            session.execute(text("INSERT INTO site_users VALUES ('sam')"))
            asked.receive(project_request(2), connection=session.connection())
        session.commit()
    assert asked.carry_out_staged() == 1
    assert users(sql) == ["sam"]
    assert [row["type"] for row in check_log(sql)] == ["packet_received", "packet_received"]


def test_a_call_that_is_interrupted_leaves_nothing_staged(
    asked: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amie_engine.engine.staging.decide_reply", interrupted)
    with sql.engine.begin() as connection:
        add_user(connection, "robin")
        with pytest.raises(KeyboardInterrupt):
            asked.reply(1001, project_reply(1), connection=connection)
    assert asked.carry_out_staged() == 0
    assert users(sql) == ["robin"]


def test_what_the_site_does_with_its_packet_afterwards_does_not_reach_what_is_staged(
    asked: Engine, sql: Sql
) -> None:
    reply: Any = project_reply(1)
    with sql.engine.begin() as connection:
        asked.reply(1001, reply, connection=connection)
        reply.ProjectID = None
        with pytest.raises(ReplyIncomplete):
            asked.reply(1001, reply, connection=connection)
    [outgoing] = asked.outbox.open()
    sent = asked.outbox.attempt(outgoing)
    assert isinstance(sent, Packet)
    assert sent.as_dict()["body"]["ProjectID"] == "project-1"


def test_many_are_carried_out_in_few_commits(
    asked: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sql.engine.begin() as connection:
        for number in range(2, 252):
            asked.receive(project_request(number), connection=connection)
    commits: list[EventLog] = []
    write = EventLog.write

    def counted(self: EventLog) -> Any:
        commits.append(self)
        return write(self)

    monkeypatch.setattr(EventLog, "write", counted)
    assert asked.carry_out_staged() == 250
    assert len(commits) == 3
    assert [row["packet_rec_id"] for row in check_log(sql)] == [f"{2000 + n}" for n in range(1, 252)]


def test_who_may_only_read_sees_the_log_without_what_is_staged(asked: Engine, sql: Sql, file: Path) -> None:
    with sql.engine.begin() as connection:
        asked.receive(project_request(2), connection=connection)
    with Engine(f"sqlite:///file:{file}?mode=ro&uri=true", site=SITE) as reader:
        assert [entry.trans_rec_id for entry in reader.transactions()] == ["1001"]
        with pytest.raises(DatabaseUnavailable, match="readonly"):
            reader.carry_out_staged()
    assert [entry.trans_rec_id for entry in asked.transactions()] == ["1001", "1002"]


def test_what_is_staged_for_another_site_or_hub_is_left_to_its_engine(asked: Engine, sql: Sql) -> None:
    url = str(asked.database.engine.url)
    with Engine(url, site="OTHER") as other, Engine(url, site=SITE, hub="test") as test:
        for engine in (other, test):
            with sql.engine.begin() as connection:
                engine.receive(b"[]", connection=connection)
        assert asked.carry_out_staged() == 0
        assert (other.carry_out_staged(), test.carry_out_staged()) == (1, 1)
    assert [(row["hub"], row["site"]) for row in check_log(sql)][1:] == [("access", "OTHER"), ("test", SITE)]


def test_a_row_that_was_handled_does_not_hide_one_that_got_its_id(asked: Engine, sql: Sql) -> None:
    sql.run("INSERT INTO amie_staged VALUES (1, 'access', 'EXAMPLE', 'teleport', NULL, '{}', 'then')")
    assert asked.carry_out_staged() == 0
    sql.run("DELETE FROM amie_staged")
    with sql.engine.begin() as connection:
        asked.receive(project_request(2), connection=connection)
    assert sql.rows("SELECT id FROM amie_staged") == [(1,)]
    assert asked.carry_out_staged() == 1


def test_the_drivers_own_connection_is_named_in_the_refusal(asked: Engine, file: Path) -> None:
    driver: Any = sqlite3.connect(file)
    with pytest.raises(ConnectionNotJoinable, match=r"sqlite3\.Connection is no SQLAlchemy Connection"):
        asked.receive(project_request(2), connection=driver)
    driver.close()
