"""Guarantee 10: what can't be staged, or be carried out any more, is told, and spoils nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from amie_engine.engine import Engine
from amie_engine.errors import (
    AMIEEngineError,
    ConnectionNotJoinable,
    ReplyAlreadyDecided,
    ReplyIncomplete,
    TransactionClosed,
    TransactionNotFound,
)
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.joining import CALLS, Call, JoiningFixtures, add_user, users
from amie_engine.testing.contract.reading import append_later
from amie_engine.testing.contract.story import (
    answer,
    project_reply,
    project_request,
    site_packet,
)

__all__ = ["RefusingContract"]


class RefusingContract(JoiningFixtures):
    """Guarantee 10: refusals."""

    def test_10_what_is_forbidden_already_is_refused_at_once_and_the_transaction_goes_on(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        asked.receive(project_request(2))
        answer(asked, 1002, ProjectID="p", PiPersonID="u1", PiRemoteSiteLogin="robin")
        asked.receive(project_request(3))
        asked.fail(1003, "no")
        incomplete: Any = project_reply(1)
        incomplete.ProjectID = None
        forbidden: list[tuple[type[AMIEEngineError], Call]] = [
            (ReplyIncomplete, lambda e, c: e.reply(1001, incomplete, connection=c)),
            (TransactionNotFound, lambda e, c: e.reply(4711, project_reply(1), connection=c)),
            (ReplyAlreadyDecided, lambda e, c: e.reply(1002, project_reply(2), connection=c)),
            (ReplyAlreadyDecided, lambda e, c: e.fail(1003, "no", connection=c)),
            (TransactionNotFound, lambda e, c: e.fail(4711, "no", connection=c)),
        ]
        before = sql.everything()
        with site_engine.begin() as connection:
            for error, call in forbidden:
                add_user(connection, "robin")
                with pytest.raises(error):
                    call(asked, connection)
        assert sql.everything() == before
        assert users(sql) == ["robin"] * len(forbidden)

    def test_10_nothing_begins_on_a_connection_where_a_call_was_refused(
        self, asked: Engine, site_engine: sqlalchemy.Engine
    ) -> None:
        with site_engine.connect() as connection:
            with pytest.raises(TransactionNotFound):
                asked.fail(4711, "no", connection=connection)
            assert not connection.in_transaction()

    def test_10_what_became_impossible_before_the_commit_is_put_on_record_and_nothing_else_happens(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with site_engine.begin() as connection:
            for actor in ("first", "second"):
                asked.reply(1001, project_reply(1), actor=actor, connection=connection)
            asked.receive(project_request(2), connection=connection)
        assert asked.carry_out_staged() == 3
        rows = check_log(sql)
        assert [row["type"] for row in rows] == [
            *("packet_received", "packet_decided", "staged_refused", "packet_received"),
        ]
        assert rows[2]["stream"] == rows[0]["stream"]
        assert (rows[2]["actor"], rows[2]["facts"]) == (
            "second",
            '{"call":"reply","code":"reply-already-decided"}',
        )
        assert asked.expected_reply(1001).anomalies[0] == "staged-call-refused"
        assert len(asked.outbox.open()) == 1

    def test_10_what_was_refused_for_a_transaction_that_never_came_is_listed(
        self, asked: Engine, sql: Sql, caplog: pytest.LogCaptureFixture
    ) -> None:
        sql.run(
            "INSERT INTO amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"
            " VALUES ('access', 'EXAMPLE', 'fail', '1002', :arguments, 'now')",
            arguments='{"actor": "site", "reason": "no"}',
        )
        assert asked.carry_out_staged() == 1
        assert "staged for transaction 1002" in caplog.text
        listed = {entry.trans_rec_id: entry.anomalies for entry in asked.transactions(open_only=True)}
        assert listed == {"1001": (), "1002": ("staged-call-refused",)}
        asked.receive(project_request(2))
        assert [entry.state for entry in asked.transactions()] == ["requested", "requested"]
        check_log(sql)

    def test_10_a_closed_transaction_takes_nothing_more(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with site_engine.begin() as connection:
            begun = asked.start(site_packet(), connection=connection)
        asked.fail(begun.stream, "no")
        with site_engine.begin() as connection, pytest.raises(TransactionClosed):
            asked.fail(begun.stream, "no", connection=connection)
        check_log(sql)

    def test_10_what_nobody_can_read_holds_up_nothing(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        bad = [
            *((call, "no JSON") for call in CALLS),
            *((call, "[]") for call in CALLS),
            *((call, '{"actor": 5, "packet": {"type": []}, "reason": NaN}') for call in CALLS),
            ("reply", '{"actor": "x", "packet": {"type": "no_such_type"}, "work": null}'),
            ("teleport", "{}"),
        ]
        for call, arguments in bad:
            sql.run(
                "INSERT INTO amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"
                " VALUES ('access', 'EXAMPLE', :call, '1001', :arguments, 'now')",
                call=call,
                arguments=arguments,
            )
        with site_engine.begin() as connection:
            asked.receive(project_request(2), connection=connection)
        assert asked.carry_out_staged() == len(bad)
        rows = check_log(sql)
        assert [row["type"] for row in rows[1:]] == ["staged_refused"] * (len(bad) - 1) + ["packet_received"]
        assert sql.rows("SELECT call FROM amie_staged") == [("teleport",)]  # a later release may know it
        asked.receive(project_request(3))
        assert asked.history(1001).entries[1].event == "staged_refused"

    def test_10_an_event_of_a_later_release_holds_up_its_own_transaction_alone(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        with site_engine.begin() as connection:
            asked.fail(1001, "no", connection=connection)
            asked.receive(project_request(2), connection=connection)
        append_later(sql, schema_version=99)
        assert asked.carry_out_staged() == 1
        assert asked.expected_reply(1002).state == "requested"
        assert sql.rows("SELECT call FROM amie_staged") == [("fail",)]

    def test_10_a_connection_that_can_not_be_joined_is_refused_and_nothing_is_written(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql, tmp_path: Path
    ) -> None:
        before = sql.everything()
        other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")

        def refused(connection: Any) -> None:
            for call in CALLS.values():
                with pytest.raises(ConnectionNotJoinable):
                    call(asked, connection)

        with site_engine.connect() as connection:
            refused(connection.connection.dbapi_connection)
            refused(connection.connection)
            with Session(connection) as session:
                refused(session)
        refused(connection)  # it is closed
        refused(site_engine)
        with other.begin() as connection:
            refused(connection)
        with site_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if sql.is_postgresql:
                refused(connection)
        with site_engine.connect() as connection, connection.begin() as transaction:
            transaction.rollback()
            refused(connection)
        other.dispose()
        assert sql.everything() == before
        assert sql.rows("SELECT name FROM site_users") == []

    def test_10_a_transaction_goes_on_after_a_refusal(
        self, asked: Engine, site_engine: sqlalchemy.Engine, sql: Sql
    ) -> None:
        hide, show = "ALTER TABLE amie_staged RENAME TO amie_x", "ALTER TABLE amie_x RENAME TO amie_staged"
        with site_engine.begin() as connection:
            add_user(connection, "robin")
            connection.execute(text(hide))
            for call in CALLS.values():
                with pytest.raises(ConnectionNotJoinable, match="other tables"):
                    call(asked, connection)
            add_user(connection, "sam")
            connection.execute(text(show))
        assert users(sql) == ["robin", "sam"]
        assert asked.carry_out_staged() == 0
