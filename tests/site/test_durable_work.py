"""Durable work: what a handler has done is never done again, a person is asked, and failing has an end."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, Packet, Retries, Site, Work
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import (
    AMIEEngineError,
    AnswerInvalid,
    DatabaseUnavailable,
    HandlerInvalid,
    LeaseLost,
    TransactionNotFound,
    WorkNotFound,
    WorkOver,
)
from amie_engine.site.work import Interrupted
from amie_engine.site.worked import Worked
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
from tests.site.site_packets import request
from tests.site.site_world import NAME

RPC = "request_project_create"
Handler = Callable[[Any, Work], Any]


SUMMER_TIME_ENDS = datetime(2026, 10, 25, 1, tzinfo=UTC)


class WithSummerTime(tzinfo):
    """A zone whose clocks go back an hour then."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        before = when is not None and when.replace(tzinfo=UTC) < SUMMER_TIME_ENDS + timedelta(hours=2)
        return timedelta(hours=2 if before and when is not None and not when.fold else 1)

    def tzname(self, when: datetime | None) -> str:
        return "with summer time"

    def dst(self, when: datetime | None) -> timedelta:
        return self.utcoffset(when) - timedelta(hours=1)

    def fromutc(self, when: datetime) -> datetime:
        utc = when.replace(tzinfo=UTC)
        offset = timedelta(hours=2 if utc < SUMMER_TIME_ENDS else 1)
        is_second_time = SUMMER_TIME_ENDS <= utc < SUMMER_TIME_ENDS + timedelta(hours=1)
        return (when + offset).replace(fold=int(is_second_time))


class Crash(KeyboardInterrupt):
    """The process ends here, and has nothing to say of it."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "amie.db"


@pytest.fixture
def engine(file: Path, clock: Clock) -> Iterator[Engine]:
    with Engine(f"sqlite:///{file}", site=NAME, hub="sandbox", clock=clock) as engine:
        engine.receive(request())
        yield engine


def worker(engine: Engine, handler: Handler, **settings: Any) -> Worker:
    site = Site(NAME, **settings)
    site.handles(RPC)(handler)
    return Worker(engine, site, jitter=lambda: 1.0)


def replied(work: Work) -> Packet:
    reply: Any = work.reply
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    return work.reply


def the_work(engine: Engine) -> WorkRow:
    [row] = engine.work.open()
    return row


def events(engine: Engine) -> list[str]:
    return [entry.event for entry in engine.history("5001").entries]


def test_trouble_with_the_database_is_no_failure_of_the_handler(file: Path, clock: Clock) -> None:
    """It could put neither its reply on record nor its lease back; it did not crash, and is called again."""
    elsewhere = sqlite3.connect(file, isolation_level=None)
    told: list[int] = []

    def handler(packet: Any, work: Work) -> Packet:
        told.append(work.attempt)
        if len(told) <= 3:
            elsewhere.execute("BEGIN IMMEDIATE")  # another program writes for long
        return replied(work)

    with Engine(f"sqlite:///{file}?timeout=0", site=NAME, clock=clock) as engine, closing(elsewhere):
        engine.receive(request())
        worker_of_it = worker(engine, handler, retries=Retries(attempts=1))
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                worker_of_it.work_once()
            elsewhere.rollback()
        assert worker_of_it.work_once()[Worked.REPLIED] == 1
        assert told == [1, 1, 1, 1]
        assert "work_failed" not in events(engine)


class TestSteps:
    def test_a_step_that_is_done_is_not_done_again(self, engine: Engine, clock: Clock) -> None:
        done: list[str] = []
        seen: list[Any] = []

        def handler(packet: Any, work: Work) -> Any:
            seen.append(work.step("create", create, "p1", quota=5))
            work.step("fail", fail_once)
            return replied(work)

        def fail_once() -> None:
            done.append("tried")
            if done.count("tried") == 1:
                raise RuntimeError

        def create(name: str, *, quota: int) -> dict[str, Any]:
            done.append(name)
            return {"name": name, "quota": quota}

        working = worker(engine, handler)
        assert working.work_once()[Worked.FAILED] == 1
        clock.forward(hours=1)
        assert working.work_once()[Worked.REPLIED] == 1
        assert done == ["p1", "tried", "tried"]
        assert seen == [{"name": "p1", "quota": 5}] * 2
        assert events(engine).count("work_step_done") == 2

    def test_a_crash_between_two_steps_loses_neither(self, engine: Engine) -> None:
        done: list[str] = []

        def crashing(packet: Any, work: Work) -> Any:
            work.step("one", done.append, "one")
            raise Crash

        def finishing(packet: Any, work: Work) -> Any:
            work.step("one", done.append, "one")
            work.step("two", done.append, "two")
            return replied(work)

        with pytest.raises(Crash):
            worker(engine, crashing).work_once()
        assert worker(engine, finishing).work_once()[Worked.REPLIED] == 1
        assert done == ["one", "two"]

    def test_after_a_crash_within_a_step_the_back_end_is_given_the_same_key(self, engine: Engine) -> None:
        keys: list[str] = []

        def effect(key: str) -> str:
            keys.append(key)
            if len(keys) == 1:
                raise Crash
            return key

        def handler(packet: Any, work: Work) -> Any:
            work.step("create", effect, work.step_key("create"))
            return replied(work)

        with pytest.raises(Crash):
            worker(engine, handler).work_once()
        worker(engine, handler).work_once()
        assert keys == ["sandbox/NCSA/7001/create"] * 2

    @pytest.mark.parametrize(
        ("result", "kept"),
        [
            (None, None),
            (("a", 1), ["a", 1]),
            ({1: "a"}, {"1": "a"}),
            ("caf\u00e9", "caf\u00e9"),
            (10**30, 10**30),
            (0.1, 0.1),
        ],
    )
    def test_its_result_is_the_same_at_once_and_later(
        self, engine: Engine, clock: Clock, result: Any, kept: Any
    ) -> None:
        seen: list[Any] = []

        def handler(packet: Any, work: Work) -> Any:
            seen.append(work.step("one", lambda: result))
            if len(seen) == 1:
                raise RuntimeError
            return replied(work)

        working = worker(engine, handler)
        working.work_once()
        clock.forward(hours=1)
        working.work_once()
        assert seen == [kept, kept]
        assert [type(each) for each in seen] == [type(kept)] * 2

    @pytest.mark.parametrize(
        "result", [object(), {1, 2}, float("nan"), b"bytes", "a\x00b", "\udce9", datetime.now(UTC)]
    )
    def test_a_result_that_cannot_be_kept_is_told(self, engine: Engine, result: Any) -> None:
        worker(engine, lambda packet, work: work.step("one", lambda: result)).work_once()
        assert the_work(engine).reason == "StepInvalid"
        assert "work_step_done" not in events(engine)

    @pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x00"])
    def test_a_name_that_says_nothing_is_refused_before_anything_is_done(
        self, engine: Engine, name: str
    ) -> None:
        done: list[int] = []
        worker(engine, lambda packet, work: work.step(name, done.append, 1)).work_once()
        assert the_work(engine).reason == "StepInvalid"
        assert done == []

    def test_two_of_one_name_are_refused(self, engine: Engine) -> None:
        done: list[int] = []

        def handler(packet: Any, work: Work) -> Any:
            work.step("one", done.append, 1)
            work.step("one", done.append, 2)

        worker(engine, handler).work_once()
        assert the_work(engine).reason == "StepInvalid"
        assert done == [1]

    def test_what_a_step_returns_is_a_document_and_no_fact(self, engine: Engine) -> None:
        worker(engine, lambda packet, work: work.step("one", lambda: "Robin Example")).work_once()
        entry = next(e for e in engine.history("5001", documents=True).entries if e.event == "work_step_done")
        assert entry.document == {"result": "Robin Example"}
        assert "Robin" not in str(entry.facts) + entry.sentence

    def test_after_a_refusal_a_person_has_it_tried_again_and_no_step_is_repeated(
        self, engine: Engine
    ) -> None:
        done: list[int] = []

        def handler(packet: Any, work: Work) -> Any:
            work.step("one", done.append, 1)
            return replied(work)

        working = worker(engine, handler)
        working.work_once()
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.reject(outgoing, code="service-validation", message="no")
        assert (the_work(engine).status, engine.work.ready()) == ("parked", [])
        engine.work.retry("5001", actor="ops", reason="mended")
        assert working.work_once()[Worked.REPLIED] == 1
        assert done == [1]
        assert [each.status for each in engine.outbox.open()] == ["pending"]


class TestAsking:
    def approval(self, packet: Any, work: Work) -> Any:
        work.step("look", lambda: 1)
        try:
            answer = work.ask("May Robin Example have a project?", choices=("yes", "no"))
        except Exception as error:
            raise AssertionError("asking is no failure that a handler could catch") from error
        return replied(work) if answer == "yes" else work.fail("The site's management declined.")

    def test_it_waits_for_a_person_and_goes_on_with_the_answer(self, engine: Engine, clock: Clock) -> None:
        working = worker(engine, self.approval)
        assert working.work_once()[Worked.ASKED] == 1
        assert (the_work(engine).status, the_work(engine).waits_for_a_person) == ("asking", True)
        clock.forward(days=3)
        assert sum(working.work_once().values()) == 0
        engine.work.answer("5001", "yes", actor="head of operations")
        assert working.work_once()[Worked.REPLIED] == 1
        answered = next(e for e in engine.history("5001").entries if e.event == "work_answered")
        assert (answered.actor, answered.facts["answer"]) == ("head of operations", "yes")
        assert answered.time == clock.now

    def test_no_leads_to_the_other_end(self, engine: Engine) -> None:
        working = worker(engine, self.approval)
        working.work_once()
        engine.work.answer("5001", "no", actor="ops")
        working.work_once()
        [outgoing] = engine.outbox.open()
        assert outgoing.packet_type == "inform_transaction_complete"

    @pytest.mark.parametrize("answer", ["", " ", "maybe", "YES"])
    def test_what_is_no_choice_is_refused(self, engine: Engine, answer: str) -> None:
        worker(engine, self.approval).work_once()
        with pytest.raises(AnswerInvalid, match="yes, no"):
            engine.work.answer("5001", answer, actor="ops")
        assert the_work(engine).status == "asking"

    def test_nothing_is_asked_twice_and_no_answer_is_given_twice(self, engine: Engine) -> None:
        with pytest.raises(WorkNotFound):
            engine.work.answer("5001", "yes", actor="ops")
        worker(engine, self.approval).work_once()
        with pytest.raises(WorkNotFound, match="other"):
            engine.work.answer("5001", "yes", question="other", actor="ops")
        engine.work.answer("5001", "yes", question="decision", actor="ops")
        with pytest.raises(WorkNotFound):
            engine.work.answer("5001", "no", actor="ops")
        with pytest.raises(TransactionNotFound):
            engine.work.answer("1", "yes", actor="ops")

    def test_several_questions_are_asked_one_after_the_other(self, engine: Engine) -> None:
        def handler(packet: Any, work: Work) -> Any:
            size = work.ask("How large?", choices=["s", "l"], name="size")
            note = work.ask("What shall they read?", name="note")
            assert (size, note) == ("l", "Welcome, Robin")
            return replied(work)

        working = worker(engine, handler)
        for answer in ("l", "Welcome, Robin"):
            assert working.work_once()[Worked.ASKED] == 1
            engine.work.answer("5001", answer, actor="ops")
        assert working.work_once()[Worked.REPLIED] == 1

    def test_question_and_free_answer_are_documents_and_no_facts(self, engine: Engine) -> None:
        worker(engine, lambda packet, work: work.ask("Is it Robin?")).work_once()
        engine.work.answer("5001", "Robin it is", actor="ops")
        entries = engine.history("5001", documents=True).entries
        assert [e.document for e in entries[-2:]] == [{"text": "Is it Robin?"}, {"answer": "Robin it is"}]
        assert "Robin" not in "".join(str(e.facts) + e.sentence for e in entries[-2:])

    @pytest.mark.parametrize(("question", "choices"), [("", ()), ("x", ("", "a")), (None, ())])
    def test_a_question_that_asks_nothing_is_refused(
        self, engine: Engine, question: Any, choices: Any
    ) -> None:
        worker(engine, lambda packet, work: work.ask(question, choices=choices)).work_once()
        assert the_work(engine).reason == "HandlerInvalid"


class TestRetries:
    def failing(self, packet: Any, work: Work) -> Any:
        raise RuntimeError(work.attempt)

    def test_the_pauses_grow_up_to_a_limit_and_then_a_person_has_to_look(
        self, engine: Engine, clock: Clock
    ) -> None:
        policy = Retries(attempts=4, first=timedelta(minutes=1), longest=timedelta(minutes=3))
        working = worker(engine, self.failing, retries=policy)
        pauses = []
        for _ in range(3):
            assert working.work_once()[Worked.FAILED] == 1
            not_before = the_work(engine).not_before
            assert not_before is not None
            pauses.append(not_before - clock.now)
            clock.now = not_before - timedelta(seconds=1)
            assert sum(working.work_once().values()) == 0
            clock.forward(seconds=1)
        assert working.work_once()[Worked.PARKED] == 1
        assert pauses == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=3)]
        clock.forward(days=30)
        assert sum(working.work_once().values()) == 0
        parked = the_work(engine)
        assert (parked.status, parked.reason, parked.attempts) == ("parked", "RuntimeError", 4)
        assert engine.transactions()[0].problem == "RuntimeError"
        assert engine.outbox.open() == []

    def test_a_person_has_it_tried_again_from_the_beginning(self, engine: Engine) -> None:
        seen: list[int] = []

        def handler(packet: Any, work: Work) -> Any:
            seen.append(work.attempt)
            raise RuntimeError

        working = worker(engine, handler, retries=Retries(attempts=1))
        assert working.work_once()[Worked.PARKED] == 1
        engine.work.retry("5001", actor="ops", reason="the back end is up again")
        assert working.work_once()[Worked.PARKED] == 1
        assert seen == [1, 1]
        assert "ops had the handler called again: the back end is up again." in [
            entry.sentence for entry in engine.history("5001").entries
        ]

    def test_what_waits_for_a_time_can_be_called_at_once(self, engine: Engine, clock: Clock) -> None:
        def handler(packet: Any, work: Work) -> Any:
            return work.defer(until=clock.now + timedelta(days=1), reason="maintenance")

        working = worker(engine, handler)
        working.work_once()
        assert engine.work.ready() == []
        engine.work.retry("5001", actor="ops")
        assert len(engine.work.ready()) == 1
        with pytest.raises(WorkNotFound):
            engine.work.retry("5001", actor="ops")

    def test_a_site_may_have_it_failed_at_the_end(self, engine: Engine, clock: Clock) -> None:
        policy = Retries(attempts=2, failure="Our storage can't be reached.")
        working = worker(engine, self.failing, retries=policy)
        working.work_once()
        clock.forward(hours=1)
        assert working.work_once()[Worked.REPLIED] == 1
        [outgoing] = engine.outbox.open()
        packet: Any = engine.outbox.attempt(outgoing)
        assert (packet.StatusCode, packet.Message) == ("Failure", "Our storage can't be reached.")

    @pytest.mark.parametrize("failure", [None, "Our storage can't be reached."])
    def test_a_call_that_a_person_asked_for_counts_anew_also_while_the_last_one_runs(
        self, engine: Engine, clock: Clock, failure: str | None
    ) -> None:
        def handler(packet: Any, work: Work) -> Any:
            if work.attempt == 2:
                engine.work.retry("5001", actor="ops", reason="the back end is up again")
            raise RuntimeError

        working = worker(engine, handler, retries=Retries(attempts=2, failure=failure))
        working.work_once()
        clock.forward(hours=1)
        assert working.work_once()[Worked.FAILED] == 1
        assert (the_work(engine).status, the_work(engine).attempts) == ("retrying", 1)
        assert engine.outbox.open() == []

    def test_pauses_of_days_end_at_the_longest(self) -> None:
        policy = Retries(attempts=100, first=timedelta(days=1), longest=timedelta(days=7))
        assert [policy.pause_after(attempt, 1.0).days for attempt in (1, 2, 3, 4, 40, 99)] == [
            1,
            2,
            4,
            7,
            7,
            7,
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"failure": "Failed.\x00"},
            {"failure": "caf\udce9 failed"},
            {"attempts": 0},
            {"first": timedelta()},
            {"first": timedelta(hours=2)},
            {"first": 30},
            {"longest": 3600.0},
            {"failure": " "},
        ],
    )
    def test_a_policy_without_sense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(HandlerInvalid):
            Retries(**wrong)


class TestLeases:
    def test_a_lease_lasts_as_long_as_ever_while_summer_time_ends(self, file: Path, clock: Clock) -> None:
        """Python adds by the clock on the wall: by one with summer time, this would be an hour longer."""
        clock.now = SUMMER_TIME_ENDS - timedelta(minutes=10)
        url = f"sqlite:///{file}"
        with Engine(url, site=NAME, hub="sandbox", clock=lambda: clock.now.astimezone(WithSummerTime())) as e:
            e.receive(request())
            lease = e.work.take_first(e.work.ready(), lasts=timedelta(minutes=15))
            assert lease is not None
            assert lease.expires_at == SUMMER_TIME_ENDS + timedelta(minutes=5)

    def test_a_clock_without_a_zone_is_refused(self, file: Path) -> None:
        """As local time, it would be kept wrong by hours without a word."""
        naive = Clock().now.replace(tzinfo=None)
        with (
            Engine(f"sqlite:///{file}", site=NAME, hub="sandbox", clock=lambda: naive) as engine,
            pytest.raises(AMIEEngineError, match="without a zone"),
        ):
            engine.receive(request(2))

    def test_what_one_worker_has_no_other_takes(self, engine: Engine) -> None:
        def handler(packet: Any, work: Work) -> Any:
            assert the_work(engine).status == "running"
            assert other.work_once()[Worked.NOT_YET] == 0
            return replied(work)

        other = worker(engine, lambda packet, work: pytest.fail("called twice at once"))
        assert worker(engine, handler).work_once()[Worked.REPLIED] == 1

    def test_who_takes_too_long_is_taken_for_dead_and_is_told(self, engine: Engine, clock: Clock) -> None:
        told: list[AMIEEngineError] = []

        def slow(packet: Any, work: Work) -> Any:
            clock.forward(minutes=6)
            assert other.work_once()[Worked.REPLIED] == 1
            for late in (work.alive, lambda: work.step("late", lambda: 1)):
                try:
                    late()
                except Exception:  # noqa: BLE001 # as a handler guards its back end
                    pytest.fail("a handler that guards its back end must not meet it")
                except Interrupted as ended:
                    told.append(ended.error)
            return replied(work)

        other = worker(engine, lambda packet, work: replied(work))
        settings = {"lease": timedelta(minutes=5)}
        assert worker(engine, slow, **settings).work_once()[Worked.NOT_YET] == 1
        assert [type(error) for error in told] == [LeaseLost, LeaseLost]
        assert [entry.answers for entry in engine.outbox.open()] == ["7001"]
        assert events(engine).count("packet_decided") == 1

    def test_what_the_other_has_done_who_is_late_does_not_do_again(
        self, engine: Engine, clock: Clock
    ) -> None:
        done: list[str] = []

        def slow(packet: Any, work: Work) -> Any:
            clock.forward(minutes=6)
            assert other.work_once()[Worked.REPLIED] == 1
            work.step("create", done.append, "slow")
            return replied(work)

        def quick(packet: Any, work: Work) -> Any:
            work.step("create", done.append, "quick")
            return replied(work)

        other = worker(engine, quick)
        assert worker(engine, slow, lease=timedelta(minutes=5)).work_once()[Worked.NOT_YET] == 1
        assert done == ["quick"]

    @pytest.mark.parametrize("sign", ["step", "alive"])
    def test_once_its_transaction_has_ended_no_further_step_is_done(
        self, engine: Engine, sign: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        done: list[str] = []

        def handler(packet: Any, work: Work) -> Any:
            def fail_it(what: str) -> None:
                done.append(what)
                engine.reply("5001", packet.reply_with_failure())

            with pytest.raises(Interrupted) as ended:
                work.step("create group", fail_it, "group")
            assert isinstance(ended.value.error, WorkOver)
            if sign == "alive":
                work.alive()
            work.step("create login", done.append, "login")
            return replied(work)

        assert worker(engine, handler).work_once()[Worked.NOT_YET] == 1
        assert done == ["group"]
        assert events(engine) == ["packet_received", "packet_decided", "work_step_done"]
        assert "is over: it was answered" in caplog.text
        with engine.database.read() as cursor:
            assert engine.leases.all(cursor) == {}

    def test_a_finished_step_of_who_is_late_is_kept_for_the_next(self, engine: Engine, clock: Clock) -> None:
        done: list[str] = []

        def slow(packet: Any, work: Work) -> Any:
            if not done:
                work.step("one", during, "slow")
            else:
                work.step("one", done.append, "next")
                work.step("two", lambda: None)
            return replied(work)

        def during(who: str) -> None:
            done.append(who)
            clock.forward(hours=1)
            with pytest.raises(Crash):
                other.work_once()  # somebody has begun meanwhile, and came to nothing

        def crash(packet: Any, work: Work) -> Any:
            raise Crash

        other = worker(engine, crash)
        working = worker(engine, slow)
        assert working.work_once()[Worked.NOT_YET] == 1
        assert working.work_once()[Worked.REPLIED] == 1
        assert done == ["slow"]

    @pytest.mark.parametrize("sign", ["step", "alive"])
    def test_a_sign_of_life_makes_it_last(self, engine: Engine, clock: Clock, sign: str) -> None:
        def handler(packet: Any, work: Work) -> Any:
            for number in range(4):
                clock.forward(minutes=4)
                assert engine.work.ready() == []
                work.alive() if sign == "alive" else work.step(f"step {number}", lambda: None)
            return replied(work)

        site = {"lease": timedelta(minutes=5)}
        assert worker(engine, handler, **site).work_once()[Worked.REPLIED] == 1

    @pytest.mark.parametrize("failure", [None, "Our storage can't be reached."])
    def test_the_work_of_a_killed_process_is_taken_over_at_once_and_counts_as_failed(
        self, engine: Engine, file: Path, clock: Clock, failure: str | None
    ) -> None:
        program = (
            "import os, signal, sys\n"
            "from amie_engine import Engine, Site\n"
            "from amie_engine.site.worker import Worker\n"
            f"engine = Engine(sys.argv[1], site={NAME!r}, hub='sandbox')\n"
            f"site = Site({NAME!r})\n"
            f"@site.handles({RPC!r})\n"
            "def die(packet, work):\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "Worker(engine, site).work_once()\n"
        )
        policy = Retries(attempts=2, failure=failure)
        working = worker(engine, lambda packet, work: replied(work), retries=policy)
        for _ in range(2):
            command = [sys.executable, "-c", program, f"sqlite:///{file}"]
            assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        clock.now = datetime.now(UTC)  # as the other processes have it
        counts = working.work_once()
        entries = engine.history("5001").entries
        [entry] = [e for e in entries if e.event == "work_failed" and e.facts["attempt"] == 2]
        assert entry.facts["error"] == "abandoned"
        assert re.match(r"\S+ \(process \d+\) was at work, at attempt 2, and did not end it", entry.sentence)
        if failure is None:
            assert (counts[Worked.PARKED], the_work(engine).status) == (1, "parked")
            return
        assert counts[Worked.REPLIED] == 1
        [outgoing] = engine.outbox.open()
        packet: Any = engine.outbox.attempt(outgoing)
        assert (packet.StatusCode, packet.Message) == ("Failure", failure)

    @pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, BaseException])
    def test_whatever_a_handler_raises_it_has_failed_and_the_others_go_on(
        self, engine: Engine, error: type[BaseException]
    ) -> None:
        def cancelled(packet: Any, work: Work) -> Any:
            raise error

        assert worker(engine, cancelled).work_once()[Worked.FAILED] == 1
        assert the_work(engine).reason == error.__name__

    def test_a_handler_that_ends_the_process_has_failed(self, engine: Engine) -> None:
        """A daemon that is restarted would else be ended again at once, and again."""

        def leave(packet: Any, work: Work) -> Any:
            sys.exit("enough")

        with pytest.raises(SystemExit):
            worker(engine, leave).work_once()
        assert (the_work(engine).status, the_work(engine).reason) == ("retrying", "SystemExit")

    @pytest.mark.parametrize("lease", [timedelta(), timedelta(weeks=2), 900])
    def test_a_site_s_lease_is_some_time(self, lease: Any) -> None:
        with pytest.raises(HandlerInvalid):
            Site(NAME, lease=lease)
