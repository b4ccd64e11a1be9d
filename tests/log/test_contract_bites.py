"""The contract's tests fail on a log that breaks a guarantee: one broken log for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from amie_engine.engine import Engine
from amie_engine.engine.projections import project
from amie_engine.log.chain import event_hash
from amie_engine.log.events import Event
from amie_engine.log.joining import staged
from amie_engine.log.statements import Cursor
from amie_engine.log.store import EventLog, LogWriter
from amie_engine.log.transactions import sqlite_transaction_on_loan
from amie_engine.log.whole import Head, read_head
from amie_engine.testing import Clock
from amie_engine.testing.contract import GUARANTEES, LogContract
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.fixtures import OpenEngine
from amie_engine.testing.contract.joining import JoiningFixtures
from amie_engine.testing.contract.story import tell_story

CONTRACT = LogContract()


@contextmanager
def broken() -> Iterator[None]:
    """The block fails, as a test of the contract does."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        yield


class TestABrokenLogIsFoundOut(JoiningFixtures):
    @pytest.fixture
    def database_url(self, file: Path) -> str:
        """A fresh file with the schema."""
        return f"sqlite:///{file}?timeout=10"

    def test_01_events_and_projections_in_two_commits(
        self, engine: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append = LogWriter.append

        def append_and_commit(self: LogWriter, *args: Any) -> list[Event]:
            appended = append(self, *args)
            self.finish()
            self.cursor._cursor.connection.commit()
            return appended

        monkeypatch.setattr(LogWriter, "append", append_and_commit)
        with broken():
            CONTRACT.test_01_events_and_what_follows_from_them_are_one_commit(engine, sql)

    def test_02_a_writer_that_does_not_look_whether_its_event_was_taken(
        self, log: EventLog, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert = Cursor.insert
        monkeypatch.setattr(Cursor, "insert", lambda *args: insert(*args) or True)
        with broken():
            CONTRACT.test_02_a_stream_that_has_moved_on_is_a_conflict_and_nothing_is_written(log, sql)

    def test_03_positions_from_a_sequence(
        self, log: EventLog, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        numbers = count(1)

        def with_the_next_number(self: LogWriter, head: Head) -> None:
            if "head" in self.__dict__:  # an event of its own: a sequence is never rolled back
                head = Head(next(numbers), head.hash, head.recorded_at)
            self.__dict__["head"] = head

        monkeypatch.setattr(
            LogWriter,
            "head",
            property(lambda self: self.__dict__["head"], with_the_next_number),
            raising=False,
        )
        monkeypatch.setattr(
            "amie_engine.log.store.read_head",
            lambda *args, **options: Head(next(numbers) - 1, *_hash_and_time(read_head(*args, **options))),
        )
        with broken():
            CONTRACT.test_03_a_transaction_that_is_rolled_back_leaves_no_gap(log, sql)

    def test_04_a_receiver_to_which_every_packet_is_another(
        self, engine: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amie_engine.engine.receiving._is_same", lambda *_: False)
        with broken():
            CONTRACT.test_04_a_packet_that_comes_again_in_whatever_form_writes_nothing(engine, sql)

    def test_04_a_log_without_its_unique_index(self, log: EventLog, sql: Sql) -> None:
        sql.run("DROP INDEX amie_events_accepted")
        sql.run("DROP TRIGGER amie_events_no_replace")
        with broken():
            CONTRACT.test_04_its_record_id_stands_in_one_accepting_event(log, sql)

    @pytest.mark.parametrize(
        ("trigger", "test"),
        [
            ("no_update", "no_column_is_ever_updated"),
            ("no_update", "the_one_update_that_passes_erases_a_document_with_its_salt"),
            ("no_update", "what_is_erased_stays_erased"),
            ("no_delete", "no_event_is_ever_deleted"),
            ("no_replace", "no_event_takes_the_place_of_another"),
        ],
    )
    def test_05_a_log_without_one_of_its_triggers(
        self, busy: Engine, sql: Sql, trigger: str, test: str
    ) -> None:
        sql.run(f"DROP TRIGGER amie_events_{trigger}")
        with broken():
            getattr(CONTRACT, f"test_05_{test}")(busy, sql)

    @pytest.mark.parametrize("left_out", [0, 4, 14])
    def test_06_a_hash_that_leaves_something_out(
        self, open_engine: OpenEngine, sql: Sql, clock: Clock, monkeypatch: pytest.MonkeyPatch, left_out: int
    ) -> None:
        def leaving_out(previous: str, header: tuple[Any, ...], *digests: Any) -> str:
            covered: list[Any] = [previous, *header]
            covered[left_out] = ""
            return event_hash(covered[0], tuple(covered[1:]), *digests)

        monkeypatch.setattr("amie_engine.log.store.event_hash", leaving_out)
        busy = self._played(open_engine(), clock)
        with broken():
            CONTRACT.test_06_the_chain_of_a_busy_log_holds_and_ends_in_the_counter_row(busy, sql)

    def test_07_a_reader_that_takes_whatever_comes(
        self, engine: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amie_engine.log.events.check_readable", lambda *_: None)
        with broken():
            CONTRACT.test_07_an_event_that_this_release_does_not_know_is_refused_and_disturbs_no_other(
                engine, sql, {"schema_version": 99}
            )

    def test_08_a_projection_that_is_not_told_of_everything(
        self, open_engine: OpenEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def but_attempts(cursor: Any, before: Any, after: Any, event: Event) -> None:
            if event.type != "packet_attempted" or event.trans_rec_id == "1001":
                project(cursor, before, after, event)

        monkeypatch.setattr("amie_engine.engine.unit.project", but_attempts)
        busy = self._played(open_engine(), clock)
        with broken():
            CONTRACT.test_08_made_anew_from_columns_and_facts_every_projection_is_the_same(busy)

    def test_09_a_chain_over_the_documents_themselves(
        self, open_engine: OpenEngine, sql: Sql, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy = self._played(open_engine(), clock)
        sql.run("DROP TRIGGER amie_events_no_update")
        run = sql.run

        def erase_all_of_it(statement: str, **values: Any) -> None:
            run(statement.replace("SET document", "SET document_digest = NULL, document"), **values)

        monkeypatch.setattr(sql, "run", erase_all_of_it)
        with broken():
            CONTRACT.test_09_without_any_document_the_chain_the_states_and_the_projections_are_the_same(
                busy, sql
            )

    @pytest.mark.parametrize("test", ["a_call_rolls_back_with", "a_call_commits_with"])
    def test_10_a_call_that_is_staged_in_a_transaction_of_its_own(
        self,
        asked: Engine,
        site_engine: sqlalchemy.Engine,
        sql: Sql,
        monkeypatch: pytest.MonkeyPatch,
        test: str,
    ) -> None:
        @contextmanager
        def apart(log: EventLog, _connection: Any, *args: Any) -> Iterator[Any]:
            with sql.engine.begin() as connection, staged(log, connection, *args) as joined:
                yield joined

        monkeypatch.setattr("amie_engine.engine.staging.staged", apart)
        monkeypatch.setattr("amie_engine.testing.contract.joining.add_user", lambda *_: None)
        with broken():
            getattr(CONTRACT, f"test_10_{test}_the_sites_rows")(asked, site_engine, sql)

    def test_11_a_log_that_believes_every_clock(
        self, log: EventLog, sql: Sql, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def without_time(*args: Any, **options: Any) -> Head:
            head = read_head(*args, **options)
            return Head(head.position, head.hash, "")

        monkeypatch.setattr("amie_engine.log.store.read_head", without_time)
        with broken():
            CONTRACT.test_11_a_clock_that_is_set_back_does_not_set_back_the_log(log, clock, sql)

    def test_12_a_log_that_leaves_the_sites_connection_as_it_used_it(
        self, open_engine: OpenEngine, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def kept(driver: Any, **options: Any) -> Iterator[None]:
            with sqlite_transaction_on_loan(driver, **options):
                yield
            driver.isolation_level = None

        monkeypatch.setattr("amie_engine.log.database.sqlite_transaction_on_loan", kept)
        with broken():
            CONTRACT.test_12_its_connections_are_as_before(sql.engine, open_engine, sql)

    @staticmethod
    def _played(engine: Engine, clock: Clock) -> Engine:
        tell_story(engine, clock)
        return engine


def _hash_and_time(head: Head) -> tuple[str, str]:
    return head.hash, head.recorded_at


def by_guarantee(of: type) -> dict[int, list[Callable[..., None]]]:
    """The tests of a class by the number in their names."""
    found: dict[int, list[Callable[..., None]]] = {}
    for name in dir(of):
        if name.startswith("test_"):
            match = re.fullmatch(r"test_(\d\d)_[a-z_]+", name)
            assert match is not None, name
            found.setdefault(int(match[1]), []).append(getattr(of, name))
    return found


def test_every_guarantee_has_tests_and_each_test_a_guarantee() -> None:
    assert by_guarantee(LogContract).keys() == GUARANTEES.keys()


def test_for_every_guarantee_there_is_a_broken_log() -> None:
    assert by_guarantee(TestABrokenLogIsFoundOut).keys() == GUARANTEES.keys()
