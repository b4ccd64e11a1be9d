"""Guarantees 1, 2, 3 and 11: how events get into the log."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event as Signal
from typing import Any

import pytest

from amie_engine.engine import Engine
from amie_engine.errors import ConcurrencyConflict, LogError, ReplyAlreadyDecided
from amie_engine.log.events import Event, EventType, NewEvent
from amie_engine.log.store import EventLog
from amie_engine.log.whole import read_events
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql, check_events, check_log
from amie_engine.testing.contract.fixtures import Fixtures, OpenEngine
from amie_engine.testing.contract.story import project_reply, project_request, site_packet

__all__ = ["AppendingContract", "append", "child", "note"]

_WRITERS = 4


def note(text: str = "wait") -> NewEvent:
    """An event that conflicts with no other."""
    return NewEvent(EventType.WORK_DEFERRED, facts={"reason": text, "not_before": None})


def append(log: EventLog, stream: str, version: int, *events: NewEvent) -> list[Event]:
    """Append in a transaction of its own."""
    with log.write() as writer:
        return writer.append(stream, version, events)


def append_to_both(log: EventLog, *streams: tuple[str, int]) -> None:
    """Append an event to each stream, in one transaction."""
    with log.write() as writer:
        for stream, version in streams:
            writer.append(stream, version, [note()])


def append_in_spite_of_all(log: EventLog, *appends: tuple[str, int, Sequence[NewEvent]]) -> None:
    """Append in one transaction, and carry on whatever an append raises."""
    with log.write() as writer:
        for stream, version, events in appends:
            with suppress(ConcurrencyConflict, ValueError, TypeError):
                writer.append(stream, version, events)


@contextmanager
def child(url: str, what: str) -> Iterator[subprocess.Popen[str]]:
    """Another process at work on the log, once it has said so; in the end it is killed with SIGKILL."""
    command = [sys.executable, "-m", "amie_engine.testing.contract.child", what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # our own
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{url}\n")  # not in the command: it may hold a password
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def refused_rows(sql: Sql, table: str) -> Iterator[None]:
    """A trigger of the test's own that refuses every new row of a table."""
    if sql.is_postgresql:
        sql.run(
            "CREATE FUNCTION contract_refuses() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused by the contract'; END $$"
        )
        sql.run(
            f"CREATE TRIGGER contract_refuses BEFORE INSERT ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION contract_refuses()"
        )
    else:
        sql.run(
            f"CREATE TRIGGER contract_refuses BEFORE INSERT ON {table}"
            " BEGIN SELECT RAISE(ABORT, 'refused by the contract'); END"
        )
    try:
        yield
    finally:
        sql.run(
            "DROP FUNCTION contract_refuses() CASCADE"
            if sql.is_postgresql
            else "DROP TRIGGER contract_refuses"
        )


class AppendingContract(Fixtures):
    """Guarantees 1, 2, 3 and 11."""

    # 1: whole or not at all

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(note("conflict"), id="conflict"),
            pytest.param(NewEvent(EventType.WORK_DEFERRED, facts={"a": math.nan}), id="facts"),
            pytest.param(NewEvent(EventType.WORK_DEFERRED, document={"a": object()}), id="document"),
        ],
    )
    def test_01_an_append_that_fails_loses_its_whole_transaction(
        self, log: EventLog, sql: Sql, bad: NewEvent
    ) -> None:
        append(log, "s", 0, note())
        before = sql.everything()
        with pytest.raises(LogError, match="can't be committed"):
            append_in_spite_of_all(
                log, ("t", 0, [note()]), ("s", 0 if bad == note("conflict") else 1, [note(), bad])
            )
        assert sql.everything() == before
        append(log, "s", 1, note())
        check_events(sql)

    def test_01_appends_are_invisible_until_the_commit(self, log: EventLog, sql: Sql) -> None:
        with log.write() as writer:
            writer.append("s", 0, [note()])
            assert len(writer.stream("s")) == 1
            assert sql.events() == []
        assert len(sql.events()) == 1

    def test_01_events_and_what_follows_from_them_are_one_commit(self, engine: Engine, sql: Sql) -> None:
        calls: dict[str, Callable[[], object]] = {
            "amie_transactions": lambda: engine.receive(project_request(1)),
            "amie_work": lambda: engine.receive(project_request(2)),
            "amie_outbox": lambda: engine.start(site_packet()),
            "amie_quarantine": lambda: engine.receive("[]"),
        }
        for table, call in calls.items():
            before = sql.everything()
            with refused_rows(sql, table), pytest.raises(LogError):
                call()
            assert sql.everything() == before
            call()
            assert len(check_log(sql)) == len(before[0]) + 1

    def test_01_a_process_that_is_killed_leaves_nothing_half_written(
        self, database_url: str, sql: Sql
    ) -> None:
        with child(database_url, "append and never commit"):
            assert sql.events() == []
        assert sql.events() == []
        check_log(sql)

    def test_01_what_a_call_has_returned_outlives_its_process(
        self, database_url: str, sql: Sql, open_engine: OpenEngine
    ) -> None:
        with child(database_url, "receive"):
            pass
        assert [row["type"] for row in check_log(sql)] == ["packet_received"]
        assert open_engine().expected_reply(1001).packet_types == ("notify_project_create",)

    # 2: versions without conflict

    def test_02_a_stream_that_has_moved_on_is_a_conflict_and_nothing_is_written(
        self, log: EventLog, sql: Sql
    ) -> None:
        append(log, "s", 0, note(), note())
        before = sql.everything()
        for version in (0, 1):
            with pytest.raises(ConcurrencyConflict, match="moved on"):
                append(log, "s", version, note())
            with pytest.raises(ConcurrencyConflict):
                append_to_both(log, ("other", 0), ("s", version))
        assert sql.everything() == before
        assert [event.position for event in append(log, "s", 2, note())] == [3]
        check_events(sql)

    def test_02_of_two_who_have_read_the_same_version_one_appends(self, log: EventLog, sql: Sql) -> None:
        append(log, "s", 0, note())

        def append_once(text: str) -> bool:
            with suppress(ConcurrencyConflict):
                append(log, "s", 1, note(text))
                return True
            return False

        with ThreadPoolExecutor(_WRITERS) as pool:
            done = list(pool.map(append_once, map(str, range(_WRITERS))))
        assert done.count(True) == 1
        assert len(check_events(sql)) == 2

    def test_02_a_request_has_one_reply_however_many_reply_at_once(
        self, open_engine: OpenEngine, sql: Sql
    ) -> None:
        engines = [open_engine() for _ in range(_WRITERS)]
        engines[0].receive(project_request(1))

        def reply(engine: Engine) -> bool:
            with suppress(ReplyAlreadyDecided):
                engine.reply(1001, project_reply(1))
                return True
            return False

        with ThreadPoolExecutor(_WRITERS) as pool:
            assert list(pool.map(reply, engines)).count(True) == 1
        assert [row["type"] for row in check_log(sql)] == ["packet_received", "packet_decided"]

    # 3: gapless positions in the order of commits

    def test_03_a_transaction_that_is_rolled_back_leaves_no_gap(self, log: EventLog, sql: Sql) -> None:
        append(log, "s", 0, note())
        with pytest.raises(ConcurrencyConflict):
            append_to_both(log, ("t", 0), ("t", 0))
        append(log, "s", 1, note())
        assert [row["position"] for row in check_events(sql)] == [1, 2]

    def test_03_a_writer_waits_for_the_one_before_it_and_then_sees_its_events(
        self, log: EventLog, sql: Sql
    ) -> None:
        began = Signal()
        seen: list[int] = []

        def second() -> None:
            began.set()
            with log.write() as writer:
                seen.extend(event.position for event in writer.stream("s"))
                writer.append("s", len(seen), [note()])

        with ThreadPoolExecutor(1) as pool:
            with log.write() as first:
                work = pool.submit(second)
                began.wait()
                first.append("s", 0, [note(), note()])
                assert not work.done()
            work.result()
        assert seen == [1, 2]
        assert [row["position"] for row in check_events(sql)] == [1, 2, 3]

    def test_03_who_follows_the_log_by_position_misses_nothing(
        self, open_engine: OpenEngine, sql: Sql
    ) -> None:
        logs = [open_engine().log for _ in range(_WRITERS + 1)]
        seen: list[int] = []
        done = Signal()

        def write(number: int) -> None:
            for version in range(0, 60, 3):
                append(logs[number], f"stream {number}", version, note(), note(), note())

        def follow() -> None:
            finished = False
            while not finished:
                finished = done.is_set()
                seen.extend(
                    event.position for event in logs[-1].whole.events(seen[-1] if seen else 0, page=7)
                )

        with ThreadPoolExecutor(_WRITERS + 1) as pool:
            follower = pool.submit(follow)
            for work in [pool.submit(write, number) for number in range(_WRITERS)]:
                work.result()
            done.set()
            follower.result()
        assert seen == list(range(1, _WRITERS * 60 + 1))
        check_events(sql)

    def test_03_a_reader_sees_one_state_however_long_it_reads(self, log: EventLog) -> None:
        append(log, "s", 0, note())
        with log.read() as reader:
            assert len(read_events(reader.cursor, 0, 10)) == 1
            append(log, "s", 1, note())
            assert len(read_events(reader.cursor, 0, 10)) == 1
        assert len(list(log.whole.events())) == 2

    def test_03_events_come_in_order_and_once_whatever_the_page(self, log: EventLog) -> None:
        append(log, "s", 0, *(note() for _ in range(7)))
        for page in (1, 2, 3, 7, 8, 100):
            assert [event.position for event in log.whole.events(page=page)] == [1, 2, 3, 4, 5, 6, 7]
            assert [event.position for event in log.whole.events(5, page=page)] == [6, 7]
            assert list(log.whole.events(7, page=page)) == []

    # 11: time does not go back

    def test_11_a_clock_that_is_set_back_does_not_set_back_the_log(
        self, log: EventLog, clock: Clock, sql: Sql
    ) -> None:
        for hours in (0, -3, 4):
            clock.forward(hours=hours)
            append(log, f"stream {hours}", 0, note())
        times = [row["recorded_at"] for row in check_events(sql)]
        assert times == ["2026-01-20T09:30:00.000000Z"] * 2 + ["2026-01-20T10:30:00.000000Z"]

    def test_11_nor_does_another_machine_whose_clock_is_behind(
        self, open_engine: OpenEngine, clock: Clock, sql: Sql
    ) -> None:
        behind = Clock()
        behind.forward(hours=-1)
        engines: list[Any] = [open_engine(), open_engine(clock=behind)]
        for number in range(4):
            engines[number % 2].receive(project_request(number))
            clock.forward(minutes=1)
            behind.forward(minutes=1)
        assert len({row["recorded_at"] for row in check_log(sql)}) == 2
