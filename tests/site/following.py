"""What is promised to a site's subscribers, on whatever database: those of SQLite and PostgreSQL run it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, RecordedEvent
from amie_engine.engine.delivering import CallUnderWay
from amie_engine.engine.processes import this_process
from amie_engine.engine.retrying import Retries
from amie_engine.engine.subscriber_row import Overrun, SubscriberRow
from amie_engine.engine.subscription import Subscription
from amie_engine.engine.subscriptions import Delivery, Subscriptions
from amie_engine.errors import (
    HandlerInvalid,
    LogDamaged,
    SubscriberNotFailing,
    SubscriberNotFound,
)
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Cursor, Statement
from amie_engine.testing import Clock
from tests.log.busy_site import answer, play, project_request, whole_project

SITE = "NCSA"
ALL = "beginning"

_DIES = """
import os, signal, sys
from amie_engine import Engine

url, told, dies_at = sys.argv[1], sys.argv[2], int(sys.argv[3])

def subscriber(event):
    with open(told, "a") as file:
        file.write(f"{event.position}\\n")
    if event.position == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

with Engine(url, site="NCSA") as engine:
    engine.subscriptions.deliver("mail", subscriber, since="beginning")
"""


def note(engine: Engine, stream: str, version: int, count: int) -> None:
    """Append events in one commit."""
    with engine.log.write() as writer:
        writer.append(stream, version, [NewEvent(EventType.WORK_DEFERRED, facts={"reason": "x"})] * count)


def head(engine: Engine) -> int:
    return engine.log.whole.head().position


def row(engine: Engine, name: str = "mail") -> SubscriberRow:
    [found] = [row for row in engine.subscriptions.all() if row.name == name]
    return found


def positions(into: list[int]) -> Callable[[RecordedEvent], None]:
    """A subscriber that notes the positions of what it is given."""
    return lambda event: into.append(event.position)


def fails_at(position: int, into: list[int]) -> Callable[[RecordedEvent], None]:
    """A subscriber that raises at one event."""

    def subscriber(event: RecordedEvent) -> None:
        if event.position == position:
            raise ConnectionError("no mail to robin@example.edu")
        into.append(event.position)

    return subscriber


class FollowingCases:
    """The cases; a subclass has the URL of a log with its tables."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def engine(self, url: str, clock: Clock) -> Iterator[Engine]:
        with Engine(url, site=SITE, clock=clock) as engine:
            yield engine

    @pytest.fixture
    def other(self, engine: Engine, url: str, clock: Clock) -> Iterator[Engine]:
        """Another process on the same log, as far as its database goes."""
        with Engine(url, site=SITE, clock=clock) as other:
            yield other

    # What is delivered

    def test_every_event_comes_once_and_in_order_with_all_that_may_be_told(
        self, engine: Engine, clock: Clock
    ) -> None:
        play(engine, clock)
        got: list[RecordedEvent] = []
        assert engine.subscriptions.deliver("mail", got.append, since=ALL) == Delivery(head(engine))
        assert engine.subscriptions.deliver("mail", got.append) == Delivery()
        events = list(engine.log.whole.events())
        assert [event.position for event in got] == list(range(1, len(events) + 1))
        for event, written in zip(got, events, strict=True):
            assert (event.type, event.stream, event.actor) == (written.type, written.stream, written.actor)
            assert (event.trans_rec_id, event.packet_rec_id) == (written.trans_rec_id, written.packet_rec_id)
            assert (event.packet_type, event.status) == (written.packet_type, written.status)
            assert (event.facts, event.sender) == (written.facts, written.sender)
            assert event.recorded_at == datetime.fromisoformat(written.recorded_at)
            assert event.sentence
        whole_project(engine, clock, 90)
        assert engine.subscriptions.deliver("mail", got.append).count == head(engine) - len(events)

    def test_its_document_is_read_when_it_is_asked_for(self, engine: Engine, clock: Clock) -> None:
        engine.receive(project_request(1, PiLastName="Zzyzx"))
        got: list[RecordedEvent] = []
        engine.subscriptions.deliver("mail", got.append, since=ALL)
        assert "Zzyzx" not in repr(got)
        assert got[0].document()["body"]["PiLastName"] == "Zzyzx"
        whole_project(engine, clock, 2, PiGlobalID="802", PiDnList=["/CN=Robin"])
        engine.subscriptions.deliver("mail", got.append)
        clock.forward(days=500)
        engine.erase(person="u2", actor="operator", reason="asked for")
        first = next(event for event in got if event.trans_rec_id == "50002")
        assert first.document() is None

    def test_each_transaction_ends_with_one_event_whoever_ended_it(
        self, engine: Engine, clock: Clock
    ) -> None:
        play(engine, clock)
        ended: list[tuple[str, str]] = []

        def note_end(event: RecordedEvent) -> None:
            ending = event.ended_as()
            if ending is not None:
                ended.append((event.stream, ending))

        engine.subscriptions.deliver("ends", note_end, since=ALL)
        states = [(one.stream, one.state) for one in engine.transactions()]
        assert sorted(ended) == sorted(one for one in states if one[1] in ("completed", "failed"))
        assert {ending for _, ending in ended} == {"completed", "failed"}

    def test_a_new_one_begins_now_and_each_is_at_a_place_of_its_own(self, engine: Engine) -> None:
        engine.receive(project_request(1))
        late: list[int] = []
        early: list[int] = []
        assert engine.subscriptions.deliver("late", positions(late)).count == 0
        engine.receive(project_request(2))
        assert engine.subscriptions.deliver("early", positions(early), since=ALL).count == 2
        assert engine.subscriptions.deliver("late", positions(late)).count == 1
        assert (early, late) == ([1, 2], [2])

    def test_only_the_types_that_it_wants_and_it_is_done_with_the_others_all_the_same(
        self, engine: Engine, clock: Clock
    ) -> None:
        play(engine, clock)
        got: list[RecordedEvent] = []
        types = ["deadline_near", EventType.PACKET_QUARANTINED]
        engine.subscriptions.deliver("mail", got.append, types=types, since=ALL)
        assert {event.type for event in got} == {"deadline_near", "packet_quarantined"}
        assert (row(engine).position, row(engine).behind) == (head(engine), 0)
        got.clear()
        engine.subscriptions.deliver("one", got.append, types="packet_held", since=ALL)
        assert {event.type for event in got} == {"packet_held"}

    def test_only_of_its_own_hub_and_site(self, engine: Engine, url: str) -> None:
        with Engine(url, site=SITE, hub="other") as elsewhere, Engine(url, site="PSC") as beside:
            elsewhere.receive(project_request(1))
            engine.receive(project_request(1))
            got: list[int] = []
            assert engine.subscriptions.deliver("mail", positions(got), since=ALL).count == 1
            assert (got, row(engine).behind) == ([2], 0)
            assert elsewhere.subscriptions.all() == beside.subscriptions.all() == []
            assert elsewhere.subscriptions.deliver("mail", positions(got), since=ALL).count == 1

    def test_as_many_as_are_asked_for(self, engine: Engine) -> None:
        note(engine, "one", 0, 20)
        got: list[int] = []
        for _ in range(3):
            engine.subscriptions.deliver("mail", positions(got), since=ALL, limit=6)
        assert got == list(range(1, 19))
        assert row(engine).behind == 2

    def test_what_is_appended_meanwhile_comes_next_time(self, engine: Engine) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []

        def subscriber(event: RecordedEvent) -> None:
            got.append(event.position)
            note(engine, f"by {event.position}", 0, 1)

        assert engine.subscriptions.deliver("mail", subscriber, since=ALL).count == 3
        assert engine.subscriptions.deliver("mail", subscriber).count == 3
        assert got == [1, 2, 3, 4, 5, 6]

    def test_what_was_staged_is_carried_out_and_delivered(self, engine: Engine) -> None:
        with engine.database.connection(writing=True) as connection:
            engine.receive(project_request(1), connection=connection)
        got: list[int] = []
        assert engine.subscriptions.deliver("mail", positions(got), since=ALL).count == 1

    def test_from_the_beginning_of_a_long_log_and_then_only_what_is_new(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for version in range(0, 30_000, 2_000):
            note(engine, "long", version, 2_000)
        got: list[int] = []
        assert engine.subscriptions.deliver("mail", positions(got), since=ALL).count == 30_000
        assert got == list(range(1, 30_001))
        assert engine.subscriptions.deliver("none", positions(got), types="packet_held", since=ALL).count == 0
        assert row(engine, "none").behind == 0
        statements: list[str] = []
        run = Cursor.run

        def noted(self: Cursor, statement: Statement, values: Any = None) -> int:
            statements.append(statement.sql)
            return run(self, statement, values)

        monkeypatch.setattr(Cursor, "run", noted)
        engine.subscriptions.deliver("mail", positions(got))
        assert len(statements) == 3  # what is staged, the checkpoint and the head; no event, and no write
        assert not any("amie_events" in sql or not sql.startswith("SELECT") for sql in statements)

    # At least once

    def test_what_a_crash_has_left_unsaved_comes_again_and_nothing_is_lost(
        self, engine: Engine, url: str, clock: Clock, tmp_path: Path
    ) -> None:
        note(engine, "one", 0, 300)
        told = tmp_path / "told"
        for dies_at in (1, 120, 250, 300):
            command = [sys.executable, "-c", _DIES, url, str(told), str(dies_at)]
            assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
            before = row(engine).position
            assert before < dies_at
            clock.now = datetime.now(UTC)  # as the other processes have it
        got = [int(line) for line in told.read_text().split()]
        assert engine.subscriptions.deliver("mail", positions(got)).error is None
        assert sorted(set(got)) == list(range(1, 301))
        for at, position in enumerate(got[1:], 1):
            assert position == got[at - 1] + 1 or position <= got[at - 1]  # never past one
            assert got[at - 1] - position <= 100  # and back to no more than was unsaved
        assert (row(engine).failures, row(engine).behind) == (0, 0)

    def test_an_event_that_kills_its_process_shows_as_trouble_and_can_be_skipped(
        self, engine: Engine, url: str, clock: Clock, tmp_path: Path
    ) -> None:
        note(engine, "one", 0, 30)
        for _ in range(3):
            command = [sys.executable, "-c", _DIES, url, str(tmp_path / "told"), "20"]
            assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        clock.now = datetime.now(UTC)
        assert row(engine).position == 19
        got: list[int] = []
        assert engine.subscriptions.deliver("mail", fails_at(20, got)) == Delivery(0, "ConnectionError")
        assert (row(engine).failures, row(engine).error) == (3, "ConnectionError")
        assert engine.subscriptions.skip("mail", actor="operator") == 20
        engine.subscriptions.deliver("mail", positions(got))
        assert got == list(range(21, 31))

    def test_a_slow_one_is_saved_after_each_call_and_a_quick_one_now_and_then(
        self, engine: Engine, other: Engine
    ) -> None:
        time = [0.0]
        subscriptions = Subscriptions(engine, stopwatch=lambda: time[0])
        saved: list[int] = []

        def subscriber(event: RecordedEvent) -> None:
            saved.append(row(other).position)
            time[0] += seconds

        note(engine, "one", 0, 5)
        seconds = 1.0
        subscriptions.deliver("mail", subscriber, since=ALL)
        assert saved == [0, 1, 2, 3, 4]
        saved.clear()
        note(engine, "two", 0, 250)
        seconds = 0.0
        subscriptions.deliver("mail", subscriber)
        assert saved == [5] * 100 + [105] * 100 + [205] * 50
        assert row(other).position == 255

    # One at a time

    def test_while_one_delivers_another_does_not(self, engine: Engine, other: Engine) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []

        def subscriber(event: RecordedEvent) -> None:
            got.append(event.position)
            assert row(other).holder is not None
            assert other.subscriptions.deliver("mail", positions(got)) == Delivery()

        assert engine.subscriptions.deliver("mail", subscriber, since=ALL).count == 3
        assert (got, row(other).holder) == ([1, 2, 3], None)

    def test_several_deliver_in_turn_while_others_write_and_each_event_comes_once(self, url: str) -> None:
        got: list[int] = []
        at_work = threading.Lock()
        done, several = threading.Event(), threading.Event()
        by: set[int] = set()

        def subscriber(event: RecordedEvent) -> None:
            assert at_work.acquire(blocking=False)
            got.append(event.position)
            by.add(threading.get_ident())
            if len(by) > 1:
                several.set()
            at_work.release()

        def deliver(_: int) -> None:
            with Engine(url, site=SITE) as engine:
                while True:
                    finished = done.is_set()
                    result = engine.subscriptions.deliver("mail", subscriber, since=ALL, limit=40)
                    assert result.error is None
                    if result.count:  # the first leaves the next to another
                        assert several.wait(60)
                    if finished and not row(engine).behind:
                        return

        def write(name: str) -> None:
            with Engine(url, site=SITE) as engine:
                for version in range(0, 1000, 20):
                    note(engine, name, version, 20)

        with ThreadPoolExecutor(5) as pool:
            delivering = [pool.submit(deliver, number) for number in range(3)]
            for writing in [pool.submit(write, f"writer {number}") for number in range(2)]:
                writing.result()
            done.set()
            for each in delivering:
                each.result()
        assert got == list(range(1, 2001))

    def test_who_takes_too_long_is_taken_for_dead_and_moves_nothing_back(
        self, engine: Engine, other: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        note(engine, "one", 0, 4)
        got: list[int] = []

        def slow(event: RecordedEvent) -> None:
            if event.position == 2:
                clock.forward(minutes=16)
                assert other.subscriptions.deliver("mail", positions(got)).count == 4
            got.append(-event.position)

        subscription = Subscription.of("mail", slow, None, ALL)
        subscriptions = Subscriptions(engine, stopwatch=lambda: clock.now.timestamp())
        assert subscriptions.deliver_to(subscription, lease=timedelta(minutes=15)) == Delivery(2)
        assert got == [-1, 1, 2, 3, 4, -2]
        assert row(engine).position == 4
        assert "somebody else delivers" in caplog.text

    # What hangs

    def test_of_one_that_takes_too_long_everybody_sees_who_has_called_it_when_and_for_which_event(
        self, engine: Engine, other: Engine, clock: Clock
    ) -> None:
        engine.receive(project_request(1))
        note(engine, "one", 0, 3)
        engine.receive(project_request(2))
        seen: list[Any] = []

        def slow(event: RecordedEvent) -> None:
            if event.position != 5:
                return
            called_at = clock()
            [call] = engine.subscriptions.at_work()
            assert (call.name, call.event.position, call.called_at) == ("mail", 5, called_at)
            clock.forward(minutes=14)
            assert row(other).overrun is None
            clock.forward(minutes=2)
            expires_at = called_at + timedelta(minutes=15)
            assert row(other).overrun == Overrun(this_process(), expires_at, None, None)
            assert (row(other).holder, row(other).position) == (None, 0)
            engine.subscriptions.hangs(call)
            assert row(other).overrun == Overrun(this_process(), expires_at, 5, called_at)
            assert (row(other).position, row(other).error, row(other).failures) == (4, "hanging", 0)
            seen.append(call)

        assert engine.subscriptions.deliver("mail", slow, types="packet_received", since=ALL).count == 2
        assert engine.subscriptions.at_work() == []
        assert (row(engine).position, row(engine).error, row(engine).overrun) == (5, None, None)
        [call] = seen
        engine.subscriptions.hangs(call)  # too late: it has returned
        assert (row(engine).position, row(engine).error) == (5, None)

    def test_what_is_saved_of_one_that_hangs_moves_one_that_has_gone_on_in_no_way(
        self, engine: Engine, clock: Clock
    ) -> None:
        note(engine, "one", 0, 3)
        subscriptions = Subscriptions(engine, stopwatch=lambda: clock.now.timestamp())
        calls: list[CallUnderWay] = []

        def slow(event: RecordedEvent) -> None:
            calls.extend(subscriptions.at_work())
            clock.forward(minutes=16)
            if event.position == 3:
                subscriptions.hangs(calls[0])
                assert (row(engine).position, row(engine).error) == (2, None)

        assert subscriptions.deliver("mail", slow, since=ALL) == Delivery(3)
        assert row(engine).position == 3

    def test_once_it_is_taken_over_that_was_a_failure_at_the_event_in_which_it_hung(
        self, engine: Engine, other: Engine, clock: Clock
    ) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []

        def slow(event: RecordedEvent) -> None:
            if event.position == 2:
                clock.forward(minutes=16)
                engine.subscriptions.hangs(*engine.subscriptions.at_work())
                assert other.subscriptions.deliver("mail", fails_at(2, got)).error == "ConnectionError"
                assert (row(other).position, row(other).failures, row(other).overrun) == (1, 2, None)

        engine.subscriptions.deliver("mail", slow, since=ALL)
        assert got == []

    def test_what_one_hangs_in_can_be_skipped_and_then_it_is_seen_still_that_one_hangs(
        self, engine: Engine, other: Engine, clock: Clock
    ) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []

        def slow(event: RecordedEvent) -> None:
            clock.forward(minutes=16)
            for give_up in (other.subscriptions.retry, partial(other.subscriptions.skip, actor="x")):
                with pytest.raises(SubscriberNotFailing, match="hangs") as caught:
                    give_up("mail")
                assert "Restart the daemon" in caught.value.hint
            engine.subscriptions.hangs(*engine.subscriptions.at_work())
            with pytest.raises(SubscriberNotFailing, match="hangs"):
                other.subscriptions.retry("mail")
            assert other.subscriptions.skip("mail", actor="operator") == 1
            found = row(other)
            assert (found.position, found.skipped, found.skipped_by) == (1, 1, "operator")
            assert found.overrun is not None
            got.append(-event.position)
            raise TimeoutError  # late, and about what nobody wants to know any more

        assert engine.subscriptions.deliver("mail", slow, since=ALL) == Delivery()
        assert row(engine).position == 1
        assert other.subscriptions.deliver("mail", positions(got)).count == 2
        assert got == [-1, 2, 3]
        assert row(engine).failures == 0

    def test_what_hung_in_a_skipped_event_is_no_failure_at_the_next_one(
        self, engine: Engine, other: Engine, clock: Clock
    ) -> None:
        note(engine, "one", 0, 3)
        subscriptions = Subscriptions(engine, stopwatch=lambda: clock.now.timestamp())

        def slow(event: RecordedEvent) -> None:
            clock.forward(minutes=16)
            subscriptions.hangs(*subscriptions.at_work())
            other.subscriptions.skip("mail", actor="operator")
            assert other.subscriptions.deliver("mail", fails_at(2, [])).error == "ConnectionError"

        subscriptions.deliver("mail", slow, since=ALL)
        assert (row(engine).position, row(engine).failures) == (1, 1)

    @pytest.mark.parametrize("skips", [False, True])
    def test_nobody_is_called_beside_the_one_that_a_person_does_not_wait_for(
        self, engine: Engine, other: Engine, clock: Clock, *, skips: bool
    ) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []
        engine.subscriptions.deliver("mail", fails_at(1, []), since=ALL)
        clock.forward(days=1)

        def slow(event: RecordedEvent) -> None:
            if skips:
                other.subscriptions.skip("mail", actor="operator")
            else:
                other.subscriptions.retry("mail")
            assert other.subscriptions.deliver("mail", positions(got)) == Delivery()
            clock.forward(minutes=16)
            assert row(other).overrun is not None  # it is seen that it hangs
            raise TimeoutError

        came_of_it = engine.subscriptions.deliver("mail", slow, since=ALL)
        assert came_of_it.error == (None if skips else "TimeoutError")
        clock.forward(days=1)
        assert row(engine).failures == (0 if skips else 2)
        engine.subscriptions.deliver("mail", positions(got))
        assert got == ([2, 3] if skips else [1, 2, 3])

    # What fails

    def test_one_that_fails_waits_at_its_event_and_is_tried_again_later_and_later(
        self, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        note(engine, "one", 0, 5)
        got: list[int] = []
        subscription = Subscription.of("mail", fails_at(3, got), None, ALL)

        def deliver() -> Delivery:
            return engine.subscriptions.deliver_to(
                subscription, retries=Retries(first=timedelta(minutes=1)), jitter=lambda: 1.0
            )

        began = clock()
        assert deliver() == Delivery(2, "ConnectionError")
        for failures, minutes in enumerate((1, 2, 4, 8), 1):
            assert (row(engine).position, row(engine).failures) == (2, failures)
            assert row(engine).not_before == clock() + timedelta(minutes=minutes)
            assert row(engine).updated_at == began  # since then it is there
            clock.forward(minutes=minutes, seconds=-1)
            assert deliver() == Delivery()
            clock.forward(seconds=1)
            assert deliver() == Delivery(0, "ConnectionError")
        assert "raised ConnectionError for the event at position 3, work_deferred" in caplog.text
        assert "robin" not in caplog.text
        everything: list[int] = []
        assert engine.subscriptions.deliver("others", positions(everything), since=ALL).count == 5
        clock.forward(days=1)
        assert engine.subscriptions.deliver("mail", positions(got)).count == 3
        assert got == [1, 2, 3, 4, 5]
        assert (row(engine).failures, row(engine).error, row(engine).not_before) == (0, None, None)

    def test_however_often_it_is_never_skipped_unless_a_person_says_so(
        self, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []
        for _ in range(50):
            engine.subscriptions.deliver("mail", fails_at(2, got), since=ALL)
            clock.forward(hours=1)
        assert (got, row(engine).failures) == ([1], 50)
        assert engine.subscriptions.skip("mail", actor="operator") == 2
        assert (row(engine).skipped, row(engine).skipped_by, row(engine).failures) == (2, "operator", 0)
        assert "skips the event at position 2, by operator" in caplog.text
        engine.subscriptions.deliver("mail", positions(got))
        assert (got, row(engine).skipped) == ([1, 3], 2)
        with pytest.raises(SubscriberNotFailing):
            engine.subscriptions.skip("mail", actor="operator")

    def test_a_person_has_it_tried_again_at_once(self, engine: Engine) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []
        engine.subscriptions.deliver("mail", fails_at(2, got), since=ALL)
        assert engine.subscriptions.deliver("mail", positions(got)) == Delivery()
        engine.subscriptions.retry("mail")
        assert engine.subscriptions.deliver("mail", positions(got)) == Delivery(2)
        with pytest.raises(SubscriberNotFailing):
            engine.subscriptions.retry("mail")

    def test_a_person_may_forget_one_and_then_it_is_new(self, engine: Engine) -> None:
        note(engine, "one", 0, 3)
        got: list[int] = []
        engine.subscriptions.deliver("mail", positions(got), since=ALL)
        engine.subscriptions.remove("mail")
        assert engine.subscriptions.all() == []
        engine.subscriptions.deliver("mail", positions(got), since=ALL)
        assert got == [1, 2, 3, 1, 2, 3]

    def test_nobody_does_anything_about_one_that_there_is_not(self, engine: Engine) -> None:
        for call in (
            lambda: engine.subscriptions.skip("nobody", actor="x"),
            lambda: engine.subscriptions.retry("nobody"),
            lambda: engine.subscriptions.remove("nobody"),
        ):
            with pytest.raises(SubscriberNotFound, match="nobody"):
                call()

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
    def test_what_ends_the_process_leaves_a_checkpoint(
        self, engine: Engine, error: type[BaseException]
    ) -> None:
        note(engine, "one", 0, 5)

        def subscriber(event: RecordedEvent) -> None:
            if event.position == 4:
                raise error

        with pytest.raises(error):
            engine.subscriptions.deliver("mail", subscriber, since=ALL)
        assert (row(engine).position, row(engine).holder) == (3, None)
        assert row(engine).error == ("SystemExit" if error is SystemExit else None)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
    def test_in_a_thread_an_interruption_is_nobody_s_and_a_failure_like_any_other(
        self, engine: Engine, error: type[BaseException]
    ) -> None:
        note(engine, "one", 0, 2)

        def subscriber(event: RecordedEvent) -> None:
            raise error

        with ThreadPoolExecutor(1) as pool:
            delivery = pool.submit(engine.subscriptions.deliver, "mail", subscriber, since=ALL).result()
        assert delivery == Delivery(0, error.__name__)
        assert (row(engine).position, row(engine).failures, row(engine).error) == (0, 1, error.__name__)

    def test_an_event_of_a_later_release_keeps_whoever_wants_it_and_nobody_else(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        note(engine, "one", 0, 1)
        with engine.log.write() as writer:
            writer.append("two", 0, [NewEvent("packet_teleported")])  # type: ignore[arg-type] # it is later
        note(engine, "three", 0, 1)
        got: list[int] = []
        deliver = engine.subscriptions.deliver
        assert deliver("all", positions(got), since=ALL) == Delivery(1, "EventUnreadable")
        assert deliver("some", positions(got), since=ALL, types="work_deferred") == Delivery(2)
        assert got == [1, 1, 3]

    def test_events_that_are_missing_are_not_passed_over(self, engine: Engine) -> None:
        note(engine, "one", 0, 2)
        with engine.database.write() as cursor:
            cursor.run(Statement("UPDATE amie_log_head SET position = 5"))
        got: list[int] = []
        with pytest.raises(LogDamaged, match="behind position 2"):
            engine.subscriptions.deliver("mail", positions(got), since=ALL)
        assert (got, row(engine).position, row(engine).holder) == ([1, 2], 2, None)

    # What a subscriber may do

    def test_it_may_use_the_engine(self, engine: Engine, other: Engine, clock: Clock) -> None:
        """Nothing is locked: it reads, replies, writes with another engine, and even follows the log."""
        seen: list[Any] = []

        def subscriber(event: RecordedEvent) -> None:
            if event.type == "packet_received":
                number = int(event.trans_rec_id or 0) - 50_000
                answer(
                    engine,
                    50_000 + number,
                    ProjectID=f"p{number}",
                    PiPersonID="u1",
                    PiRemoteSiteLogin="robin",
                )
                other.receive(project_request(number + 1))
                engine.subscriptions.deliver("inner", seen.append, since=ALL)
            seen.append(event.position)

        engine.receive(project_request(1))
        assert engine.subscriptions.deliver("mail", subscriber, since=ALL) == Delivery(1)
        assert [entry.trans_rec_id for entry in engine.outbox.open()] == ["50001"]
        assert engine.subscriptions.deliver("mail", subscriber, limit=2) == Delivery(2)
        assert len(engine.outbox.open()) == 2

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": " mail"},
            {"name": "a\nb"},
            {"name": "x" * 101},
            {"types": ["deadline_neer"]},
            {"types": []},
            {"since": "yesterday"},
            {"function": "mail"},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, engine: Engine, wrong: dict[str, Any]) -> None:
        given: dict[str, Any] = {"name": "mail", "function": print, "types": None, "since": ALL} | wrong
        with pytest.raises(HandlerInvalid):
            engine.subscriptions.deliver(**given)
        assert engine.subscriptions.all() == []
