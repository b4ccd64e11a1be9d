"""Calling handlers: whatever one of them does, it is on record, and the others go on."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from amie_engine import Engine, Packet, Retries, Site, Work
from amie_engine.engine.leases import Lease
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import DatabaseUnavailable, EngineError, EventUnreadable
from amie_engine.log.statements import Statement
from amie_engine.site import Notebook
from amie_engine.site.worked import Worked
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
from tests.site.site_packets import request
from tests.site.site_world import NAME, PERSONAL, fresh_database, tiny_site

RPC, RUM = "request_project_create", "request_user_modify"
MODIFY = f"{RUM}.replace"


@pytest.fixture
def engine(clock: Clock) -> Iterator[Engine]:
    database = fresh_database()
    yield Engine(database, site=NAME, hub="sandbox", clock=clock)
    database.dispose()


def _worker(engine: Engine, handler: Callable[[Any, Work], Any] | None = None, kind: str = RPC) -> Worker:
    """A worker whose site has one handler of its own, and none for other requests."""
    site = Site(NAME)
    if handler is not None:
        site.handles(kind)(handler)
    return Worker(engine, site, jitter=lambda: 1.0, stopwatch=iter(range(1000)).__next__)


def _problem(engine: Engine, trans_rec_id: str = "5001") -> str | None:
    return next(one.problem for one in engine.transactions() if one.trans_rec_id == trans_rec_id)


def _events(engine: Engine, trans_rec_id: str = "5001") -> list[str]:
    return [entry.event for entry in engine.history(trans_rec_id).entries]


def test_a_reply_is_decided_with_who_made_it_and_how_long_it_took(engine: Engine) -> None:
    engine.receive(request())
    worker = Worker(engine, tiny_site(), stopwatch=iter([1.0, 1.0, 1.0, 10.0, 12.5, 13.0, 13.0]).__next__)

    assert worker.work_once()[Worked.REPLIED] == 1

    decided = engine.history("5001").entries[-1]
    assert decided.actor == "handler create_project"
    assert decided.facts["work"] == {"handler": "create_project", "milliseconds": 2500, "attempt": 1}
    assert engine.work.open() == []
    assert sum(worker.work_once().values()) == 0


def test_a_handler_is_given_the_packet_the_draft_the_request_and_a_stable_key(
    engine: Engine, clock: Clock
) -> None:
    seen: list[tuple[Any, Work]] = []

    def handler(packet: Any, work: Work) -> Any:
        seen.append((packet, work))
        raise RuntimeError

    engine.receive(request(PfosNumber=None))
    worker = _worker(engine, handler)
    worker.work_once()
    clock.forward(hours=1)
    worker.work_once()

    (packet, first), (_, second) = seen
    reply: Any = first.reply
    assert packet.GrantNumber == "AST040002"
    assert (reply.packet_type, reply.GrantNumber) == ("notify_project_create", "AST040002")
    assert first.request.packet_rec_id == 7001
    assert first.trans_rec_id == "5001"
    assert first.key == second.key == "sandbox/NCSA/7001"
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.anomalies == ("missing-item:PfosNumber",)


def test_a_data_packets_handler_sees_the_request_that_names_the_resource(engine: Engine) -> None:
    seen: list[Any] = []
    site = tiny_site()

    @site.handles("data_project_create")
    def confirm(packet: Any, work: Work) -> Packet:
        seen.extend([packet, work.request])
        return work.fail("We can't add this DN.")

    engine.receive(request())
    worker = Worker(engine, site)
    worker.work_once()
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    data = request(packet_type="data_project_create")
    data["header"] |= {"packet_rec_id": 7100, "packet_id": 2}
    engine.receive(data)

    assert worker.work_once()[Worked.REPLIED] == 1
    assert [packet.packet_type for packet in seen] == ["data_project_create", RPC]
    assert seen[1].ResourceList == ["hc.ncsa.xsede"]
    [failure] = engine.outbox.open()
    assert failure.answers == "7100"


class _Home(Exception):
    """A site's own exception, whose text is nobody's business."""

    def __str__(self) -> str:
        return f"no home folder for {PERSONAL}"


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even its text can be had")


def _raises(error: Exception) -> Callable[[Any, Work], Any]:
    def handler(packet: Any, work: Work) -> Any:
        raise error

    return handler


def _returns(value: Any) -> Callable[[Any, Work], Any]:
    return lambda packet, work: value


def _incomplete(packet: Any, work: Work) -> Packet:
    return work.reply  # ProjectID and the PI's id and login are the site's to say


def _wrong_type(packet: Any, work: Work) -> Packet:
    return Packet.from_dict(request(9, "notify_account_inactivate.reply")).reply_with_failure()


def _for_another(packet: Any, work: Work) -> Packet:
    return packet.reply_packet(packet_type="notify_project_inactivate", force=True)  # type: ignore[no-any-return]


NOTHING, TEXT = _returns(None), _returns(PERSONAL)
OURS = (NOTHING, TEXT, _incomplete, _for_another, _wrong_type)
"""What goes wrong where none of the site's code is: our words say all, and a traceback nothing."""


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (_raises(_Home()), "_Home"),
        (_raises(_Unprintable()), "_Unprintable"),
        (_raises(KeyError(PERSONAL)), "KeyError"),
        (_raises(RecursionError()), "RecursionError"),
        (NOTHING, "HandlerReturnedNothing"),
        (TEXT, "HandlerReturnedNothing"),
        (_incomplete, "ReplyIncomplete"),
        (_for_another, "ReplyNotDue"),
        (_wrong_type, "ReplyNotDue"),
        (lambda packet, work: work.fail(""), "HandlerInvalid"),
    ],
)
def test_whatever_goes_wrong_in_a_handler_is_on_record_and_the_others_go_on(
    engine: Engine, caplog: pytest.LogCaptureFixture, handler: Callable[[Any, Work], Any], name: str
) -> None:
    for number in (1, 2):
        engine.receive(request(number, GrantNumber=f"G{number}"))
    engine.receive(request(3, MODIFY))
    site = Site(NAME)
    site.handles(RPC)(handler)
    site.handles(RUM)(lambda packet, work: work.reply)
    worker = Worker(engine, site, jitter=lambda: 1.0)

    with caplog.at_level(logging.DEBUG):
        counts = worker.work_once()

    assert counts[Worked.FAILED] == 2
    assert counts[Worked.REPLIED] == 1
    assert _problem(engine) == _problem(engine, "5002") == name
    failed = engine.history("5001", documents=True).entries[-1]
    assert failed.facts["error"] == name
    assert f"The handler raised {name} at attempt 1" in failed.sentence
    assert name in failed.document["details"]
    assert ("Traceback" in failed.document["details"]) == (handler not in OURS)
    plain = json.dumps([entry.facts for entry in engine.history("5001").entries])
    assert PERSONAL not in plain
    assert PERSONAL not in caplog.text
    assert f"raised {name} for packet 7001 of transaction 5001" in caplog.text


def test_the_log_says_what_an_incomplete_reply_lacks(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.receive(request())
    _worker(engine, _incomplete).work_once()
    assert "lacks PiPersonID, PiRemoteSiteLogin, ProjectID" in caplog.text


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.5), (1.0, 1.0)])
def test_a_failing_handler_is_called_again_at_growing_intervals(
    engine: Engine, clock: Clock, jitter: float, factor: float
) -> None:
    engine.receive(request())
    site = Site(NAME)
    site.handles(RPC)(_raises(RuntimeError()))
    worker = Worker(engine, site, jitter=lambda: jitter)

    pauses = []
    for attempt in range(1, 12):
        began = clock.now
        assert worker.work_once()[Worked.FAILED] == 1
        [row] = engine.work.open()
        assert row.attempts == attempt
        assert row.not_before is not None
        pauses.append(row.not_before - began)
        clock.now = row.not_before - timedelta(milliseconds=1)
        assert sum(worker.work_once().values()) == 0
        clock.now = row.not_before

    assert pauses[:4] == [timedelta(seconds=30 * factor * 2**n) for n in range(4)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=factor)


def test_a_handler_that_recovers_replies_and_nothing_is_shown_as_wrong_any_more(
    engine: Engine, clock: Clock
) -> None:
    calls: list[int] = []

    def handler(packet: Any, work: Work) -> Any:
        calls.append(work.attempt)
        if work.attempt < 3:
            raise TimeoutError
        reply: Any = work.reply
        reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
        return reply

    engine.receive(request())
    worker = _worker(engine, handler)
    for _ in range(3):
        worker.work_once()
        clock.forward(hours=2)

    assert calls == [1, 2, 3]
    assert _problem(engine) is None
    assert engine.history("5001").entries[-1].facts["work"]["attempt"] == 3


def test_an_interruption_passes_through_and_is_no_failure(engine: Engine) -> None:
    def handler(packet: Any, work: Work) -> Any:
        raise KeyboardInterrupt

    engine.receive(request())
    with pytest.raises(KeyboardInterrupt):
        _worker(engine, handler).work_once()
    assert _events(engine) == ["packet_received"]
    assert len(engine.work.ready()) == 1


class _NoMemory(Notebook):
    """A log that can't be used any more when the result of a step is to be kept."""

    def remember(self, name: str, result: Any, milliseconds: int) -> Any:
        raise DatabaseUnavailable("The database can't be used.")


def test_trouble_with_the_log_is_not_the_handlers_fault_whatever_it_catches(engine: Engine) -> None:
    def handler(packet: Any, work: Work) -> Any:
        work.memory = _NoMemory()
        try:
            work.step("create", lambda: "done")
        except Exception:  # noqa: BLE001 # as a handler guards its back end
            return work.fail("The back end is down.")
        return work.reply

    engine.receive(request())
    with pytest.raises(DatabaseUnavailable):
        _worker(engine, handler).work_once()
    assert _events(engine) == ["packet_received"]


def test_a_database_error_of_the_handlers_own_is_its_failure(engine: Engine) -> None:
    def handler(packet: Any, work: Work) -> Any:
        raise DatabaseUnavailable("Another log can't be used.")

    engine.receive(request())
    assert _worker(engine, handler).work_once()[Worked.FAILED] == 1
    assert _events(engine) == ["packet_received", "work_failed"]


def test_a_transaction_that_can_not_be_read_holds_up_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.receive(request(1))
    engine.receive(request(2))
    spoil = Statement("UPDATE amie_events SET schema_version = 99 WHERE trans_rec_id = '5001'")
    drop = Statement("DROP TRIGGER amie_events_no_update")
    with engine.database.write() as cursor:
        cursor.run(drop)
        cursor.run(spoil)
    worker = _worker(engine, lambda packet, work: work.fail("no"))
    counts = worker.work_once()
    assert (counts[Worked.NOT_YET], counts[Worked.REPLIED]) == (1, 1)
    assert worker.work_once()[Worked.NOT_YET] == 1
    [told] = [record.getMessage() for record in caplog.records]
    assert "packet 7001 of transaction 5001" in told  # once, however often it is looked at


def test_a_deferral_to_a_time_that_has_passed_is_noted_once(engine: Engine, clock: Clock) -> None:
    engine.receive(request())
    past = clock.now - timedelta(days=1)
    worker = _worker(engine, lambda packet, work: work.defer(until=past, reason="it is \x00 late"))
    for _ in range(3):
        assert worker.work_once()[Worked.DEFERRED] == 1
        clock.forward(seconds=5)
    assert _events(engine) == ["packet_received", "work_deferred"]


def test_an_answer_that_is_no_choice_any_more_decides_nothing(engine: Engine) -> None:
    engine.receive(request())
    asked = ["yes", "no"]

    def handler(packet: Any, work: Work) -> Any:
        return work.fail(work.ask("Which?", choices=asked))

    assert _worker(engine, handler).work_once()[Worked.ASKED] == 1
    engine.work.answer("5001", "no", actor="operator")
    asked[:] = ["keep", "approve"]
    assert _worker(engine, handler).work_once()[Worked.FAILED] == 1
    assert engine.outbox.open() == []


def test_a_list_that_has_grown_old_is_made_anew(engine: Engine, clock: Clock) -> None:
    """While the first handler was at work, the project's request came that the account has to wait for."""
    engine.receive(request(1))
    account = request(9)
    account["type"] = "request_account_create"
    account["body"] |= {"GrantNumber": "G7", "ResourceList": ["cluster.example"]}
    engine.receive(account)
    called: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        called.append(work.trans_rec_id)
        if len(called) == 1:
            engine.receive(request(3, GrantNumber="G7", ResourceList=["cluster.example"]))
            seconds[0] += 30.0
            clock.forward(hours=-1)  # which must not make the list good for longer
        return work.defer(reason="later")

    seconds = [0.0]
    site = Site(NAME)
    site.handles(RPC, "request_account_create")(handler)
    worker = Worker(engine, site, stopwatch=lambda: seconds[0])
    worker.work_once()
    assert called == ["5001"]
    worker.work_once()
    assert called == ["5001", "5001", "5003"]


def test_lists_that_take_long_are_worked_through_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was made at once; then thousands of transactions came."""
    for number in (1, 2, 3):
        engine.receive(request(number, GrantNumber=f"G{number}", PiGlobalID=f"7{number}"))
    called: list[str] = []
    ready = engine.work.ready

    def slow() -> list[WorkRow]:
        seconds[0] += 2.0 if called else 0.0
        return ready()

    def handler(packet: Any, work: Work) -> Any:
        called.append(work.trans_rec_id)
        seconds[0] += 5.0
        return work.fail("no")

    seconds = [0.0]
    monkeypatch.setattr(engine.work, "ready", slow)
    site = Site(NAME)
    site.handles(RPC)(handler)
    Worker(engine, site, stopwatch=lambda: seconds[0]).work_once()
    assert called == ["5001", "5002", "5003"]


def test_what_was_worked_on_has_its_turn_again_however_much_comes(engine: Engine, clock: Clock) -> None:
    """While one waits for a person's answer, each call of a handler brings another request."""
    called: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        called.append(work.trans_rec_id)
        engine.receive(request(len(called) + 1, GrantNumber=f"G{len(called)}", PiGlobalID=f"7{len(called)}"))
        clock.forward(seconds=30)
        if work.trans_rec_id == "5001":
            work.ask("May it be?")
        return work.fail("no")

    engine.receive(request(1))
    worker = _worker(engine, handler)
    worker.work_once()
    engine.work.answer("5001", "yes", actor="operator")
    for _ in range(2):
        worker.work_once()
    assert called[:3] == ["5001", "5001", "5002"]


def test_what_waits_for_the_next_round_is_left_alone_for_a_while(engine: Engine) -> None:
    """Whatever another thread does has all look for work."""
    seconds = [0.0]
    site = Site(NAME)
    site.handles(RPC)(lambda packet, work: work.defer(reason="the storage is away"))
    worker = Worker(engine, site, stopwatch=lambda: seconds[0])
    engine.receive(request())
    calls = []
    for _ in range(40):
        seconds[0] += 0.5
        calls.append(worker.work_once(again_after=5.0)[Worked.DEFERRED])
    assert calls == [1, *[0] * 9] * 4
    assert worker.work_once()[Worked.DEFERRED] == 1


def test_a_deferral_until_a_time_is_kept(engine: Engine, clock: Clock) -> None:
    until = clock.now + timedelta(hours=3)
    engine.receive(request())
    worker = _worker(engine, lambda packet, work: work.defer(until=until, reason="the nightly backup runs"))

    assert worker.work_once()[Worked.DEFERRED] == 1
    clock.forward(hours=2)
    assert sum(worker.work_once().values()) == 0
    clock.forward(hours=1)
    assert worker.work_once()[Worked.DEFERRED] == 1
    assert "the nightly backup runs" in engine.history("5001").entries[-1].sentence


def test_a_deferral_from_round_to_round_is_on_record_once_for_each_reason(engine: Engine) -> None:
    reasons = iter(["storage", "storage", "storage", "network", "network"])
    engine.receive(request())
    worker = _worker(engine, lambda packet, work: work.defer(reason=next(reasons)))

    for _ in range(5):
        assert worker.work_once()[Worked.DEFERRED] == 1

    assert _events(engine) == ["packet_received", "work_deferred", "work_deferred"]


def test_without_a_handler_the_packet_waits_and_is_worked_on_as_soon_as_there_is_one(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.receive(request())
    none = _worker(engine)
    for _ in range(3):
        assert none.work_once()[Worked.DEFERRED] == 1

    assert _events(engine) == ["packet_received", "work_deferred"]
    assert caplog.text.count("no handler for request_project_create is registered") == 1
    assert Worker(engine, tiny_site()).work_once()[Worked.REPLIED] == 1


def test_two_workers_that_both_have_no_handler_put_it_on_record_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.receive(request())
    [seen_by_both] = engine.work.ready()
    for _ in range(2):
        assert _worker(engine).work_on(seen_by_both) is Worked.DEFERRED
    assert _events(engine) == ["packet_received", "work_deferred"]
    assert caplog.text.count("no handler for request_project_create is registered") == 1


def test_an_answer_given_meanwhile_is_not_taken_for_the_handlers_failure(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(packet: Any, work: Work) -> Any:
        engine.reply("5001", packet.reply_with_failure(message="An operator was faster."))
        return work.reply

    engine.receive(request())
    with caplog.at_level(logging.INFO):
        assert _worker(engine, handler).work_once()[Worked.NOT_YET] == 1

    assert _events(engine) == ["packet_received", "packet_decided"]
    assert engine.work.open() == []
    assert "is over: it was answered" in caplog.text


def test_a_reply_that_can_not_be_one_is_told_in_words_and_not_as_a_traceback_of_ours(engine: Engine) -> None:
    def handler(packet: Any, work: Work) -> Any:
        reply: Any = work.reply
        reply.GrantNumber = "another"
        return reply

    engine.receive(request())
    _worker(engine, handler).work_once()
    [failed] = [one for one in engine.history("5001", documents=True).entries if one.event == "work_failed"]
    assert failed.document["details"].startswith("ReplyI")
    assert "Traceback" not in failed.document["details"]


class _BackEndDown(EngineError):
    """An error of the site's own, made of one of ours without its beginning."""

    def __init__(self, host: str) -> None:
        self.host = host


def test_an_odd_error_of_the_sites_own_is_a_failed_call_as_any_other(engine: Engine, clock: Clock) -> None:
    def handler(packet: Any, work: Work) -> Any:
        raise _BackEndDown("storage.example.edu")

    engine.receive(request())
    worker = _worker(engine, handler)
    assert worker.work_once()[Worked.FAILED] == 1
    [row] = engine.work.open()
    assert (row.status, row.attempts, row.reason) == ("retrying", 1, "_BackEndDown")


def test_a_defect_with_one_that_can_not_be_read_holds_up_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.receive(request(1))
    engine.receive(request(2, GrantNumber="G2", PiGlobalID="72"))
    begin, assignment = engine.work.begin, engine.work.assignment

    def begin_or_break_down(lease: Lease) -> Any:
        if lease.packet_rec_id == "7001":
            raise ValueError
        return begin(lease)

    def read_or_not(lease: Lease) -> Any:
        if lease.packet_rec_id == "7001":
            raise EventUnreadable("It is of a later release.")
        return assignment(lease)

    monkeypatch.setattr(engine.work, "begin", begin_or_break_down)
    monkeypatch.setattr(engine.work, "assignment", read_or_not)
    counts = _worker(engine, lambda packet, work: work.fail("no")).work_once()
    assert (counts[Worked.NOT_YET], counts[Worked.REPLIED]) == (1, 1)


def test_a_defect_counts_as_a_failed_call(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any, **__: Any) -> None:
        raise ValueError(PERSONAL)

    monkeypatch.setattr(engine.work, "begin", break_down)
    monkeypatch.setattr(engine.work, "assignment", break_down)
    engine.receive(request())
    site = Site(NAME, retries=Retries(attempts=2))
    site.handles(RPC)(lambda packet, work: work.reply)
    worker = Worker(engine, site, jitter=lambda: 1.0)
    assert worker.work_once()[Worked.FAILED] == 1
    clock.forward(hours=1)
    assert worker.work_once()[Worked.PARKED] == 1
    assert [need.kind for need in engine.status().needs] == ["parked"]


@pytest.mark.parametrize("then", ["raise", "reply", "defer", "ask", "step"])
def test_where_an_answer_by_hand_was_refused_meanwhile_that_stays_with_the_person(
    engine: Engine, then: str
) -> None:
    done: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        engine.reply("5001", packet.reply_with_failure(message="An operator was faster."))
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.reject(outgoing, code="service-validation", message="no")
        if then == "raise":
            raise RuntimeError
        if then == "ask":
            work.ask("May it be?")
        if then == "step":
            work.step("create", done.append, "group")
        return work.defer(reason="later") if then == "defer" else work.fail("no")

    engine.receive(request())
    _worker(engine, handler).work_once()
    [row] = engine.work.open()
    assert (row.status, row.reason, done) == ("parked", "rejected: service-validation", [])
    assert engine.outbox.open() == []
    assert len(engine.outbox.rejected("5001")) == 1


def test_a_defect_with_one_item_holds_up_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(packet: Any, work: Work) -> Any:
        if work.trans_rec_id == "5001":
            raise RuntimeError
        return work.fail("no")

    def break_down(*_: Any, **__: Any) -> None:
        raise ValueError(PERSONAL)

    engine.receive(request(1))
    engine.receive(request(2, GrantNumber="G2", PiGlobalID="72"))
    monkeypatch.setattr(engine.work.record, "failed", break_down)
    worker = _worker(engine, handler)
    assert worker.work_once()[Worked.REPLIED] == 1
    assert "ValueError while working on packet 7001 of transaction 5001" in caplog.text
    assert PERSONAL not in caplog.text
    assert worker.work_once() == {
        end: int(end is Worked.NOT_YET) for end in Worked
    }  # its lease was given back


def test_a_repeated_record_id_waits_for_the_first_answer_and_gets_the_same(engine: Engine) -> None:
    engine.receive(request(1))
    engine.receive(request(2, RecordID="record-1", GrantNumber="AST040002", PiGlobalID="70"))
    calls: list[str] = []

    def handler(packet: Any, work: Work) -> Any:
        calls.append(work.trans_rec_id)
        reply: Any = work.reply
        reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
        return reply

    _worker(engine, handler).work_once()

    assert calls == ["5001"]
    assert [outgoing.trans_rec_id for outgoing in engine.outbox.open()] == ["5001", "5002"]


def test_once_it_is_to_stop_the_handler_at_work_is_finished_and_no_other_begun(engine: Engine) -> None:
    stop = threading.Event()

    def handler(packet: Any, work: Work) -> Any:
        stop.set()
        return work.fail("no")

    for number in (1, 2, 3):
        engine.receive(request(number))
    assert _worker(engine, handler).work_once(stop)[Worked.REPLIED] == 1
    assert [row.trans_rec_id for row in engine.work.ready()] == ["5002", "5003"]
