"""How things stand: what is counted, what needs a person with which command, and at what cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine, RecordedEvent, Site
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.needs import NeedKind
from amie_engine.engine.processes import this_process
from amie_engine.engine.service import ServiceState
from amie_engine.engine.status import WORK_STATES, OpenCount, Status
from amie_engine.engine.views import as_json
from amie_engine.packet import NotifyUserModify
from amie_engine.site import Retries, Work
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
from tests.engine.status_cost import fill, plans, reads_what_has_ended
from tests.log.busy_site import answer, leased, project_request, sample, send

RPC = "request_project_create"
ELSEWHERE = "elsewhere.example.edu/0a1b2c3d/4026531836:17:9000"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path, clock: Clock) -> Iterator[Engine]:
    with Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", order=[], clock=clock) as engine:
        yield engine


def asked(engine: Engine, clock: Clock, number: int) -> str:
    """A request for a project that came just now; return its transaction."""
    document = project_request(number)
    document["header"]["packet_timestamp"] = clock().isoformat()
    engine.receive(document)
    return str(document["header"]["trans_rec_id"])


def work(engine: Engine, handler: Any = None, *, attempts: int = 1) -> None:
    """Call a handler for requests for projects; without one, the site has none."""
    site = Site("NCSA", retries=Retries(attempts=attempts))
    if handler is not None:
        site.handles(RPC)(handler)
    Worker(engine, site, jitter=lambda: 1.0).work_once()


def raising(packet: Any, work: Work) -> Any:
    raise KeyError("Robin Example")


def asking(packet: Any, work: Work) -> Any:
    return work.ask("May Robin Example have it?", name="approval")


def daemon(engine: Engine, **changes: Any) -> None:
    """The trace of a daemon that is at work and polled just now."""
    now = engine.now()
    told = Daemon(this_process(), now, now, polled_at=now, succeeded_at=now)
    engine.daemons.note(replace(told, **changes))


def two_answered(engine: Engine, clock: Clock) -> None:
    """Two requests, and the site's replies in the outbox."""
    for number in (1, 2):
        asked(engine, clock, number)
        answer(engine, 50_000 + number, ProjectID=f"p{number}", PiPersonID="u1", PiRemoteSiteLogin="robin")


def needed(status: Status) -> list[tuple[str, str | None, str]]:
    return [(str(need.kind), need.transaction, need.command) for need in status.needs]


def test_an_empty_log_needs_nobody(engine: Engine, clock: Clock) -> None:
    status = engine.status()
    assert (status.site, status.hub, status.now) == ("NCSA", "access", clock())
    assert status.database == engine.database.url
    assert (status.daemons, status.daemons_at_work, status.open) == ((), 0, 0)
    assert status.service.state is ServiceState.NEVER_POLLED
    assert status.work == dict.fromkeys(WORK_STATES, 0)
    assert (status.outbox_since, status.next_deadline, status.needs) == (None, None, ())


def test_what_is_open_is_counted(engine: Engine, clock: Clock) -> None:
    for number in range(1, 6):
        asked(engine, clock, number)
    clock.forward(minutes=1)
    answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
    send(engine)
    answer(engine, 50_002, ProjectID="p2", PiPersonID="u2", PiRemoteSiteLogin="robin")
    clock.forward(minutes=1)
    answer(engine, 50_003, ProjectID="p3", PiPersonID="u3", PiRemoteSiteLogin="robin")
    engine.outbox.attempt(engine.outbox.open()[1])
    leased(engine, engine.work.open()[0])
    engine.receive(sample("spec/data_project_create", transaction=50_009, packet=80_009))
    other = project_request(1)
    other["body"]["PfosNumber"] = "999"
    engine.receive(other)  # a conflict: odd

    status = engine.status()
    assert status.transactions == (
        OpenCount("site", "requested", 4),
        OpenCount("hub", "notified", 1),
        OpenCount(None, "start", 1),
    )
    assert status.open == 6
    assert {state: count for state, count in status.work.items() if count} == {"running": 1, "ready": 1}
    assert (status.pending, status.attempting, status.rejected) == (1, 1, 0)
    assert status.outbox_since == clock() - timedelta(minutes=1)
    assert (status.held, status.with_anomalies) == (1, 1)
    assert (status.overdue, status.near) == (0, 0)
    assert status.needs == ()


def test_a_packet_that_waits_long_for_one_before_it_needs_a_person(engine: Engine, clock: Clock) -> None:
    engine.receive(sample("spec/data_project_create", transaction=50_009, packet=80_009))
    clock.forward(minutes=59)
    assert engine.status().needs == ()
    clock.forward(minutes=2)
    assert needed(engine.status()) == [("held", "50009", "amie-engine reconcile")]
    engine.receive(project_request(9))
    assert engine.status().needs == ()


def test_what_is_quarantined_needs_a_person_until_it_is_released(engine: Engine, clock: Clock) -> None:
    engine.receive("[]")
    clock.forward(minutes=1)
    engine.receive(b"\xff")
    status = engine.status()
    assert status.quarantined == 2
    [need] = status.needs
    assert (need.kind, need.command) == (NeedKind.QUARANTINE, "amie-engine quarantine")
    assert need.since == clock() - timedelta(minutes=1)


def test_a_subscriber_that_goes_on_failing_needs_a_person(engine: Engine, clock: Clock) -> None:
    def mail(event: RecordedEvent) -> None:
        raise TimeoutError

    engine.subscriptions.deliver("mail the PI", mail)
    asked(engine, clock, 1)
    for failures in range(1, 5):
        engine.subscriptions.deliver("mail the PI", mail)
        assert engine.status().subscribers[0].failures == failures
        assert engine.status().needs == ()
        clock.forward(hours=1)
    engine.subscriptions.deliver("mail the PI", mail)
    [need] = engine.status().needs
    assert (need.kind, need.transaction) == (NeedKind.SUBSCRIBER, None)
    assert "'mail the PI' failed 5 times (TimeoutError): 1 wait" in need.what
    assert need.command == "amie-engine subscribers 'mail the PI' --retry"
    engine.subscriptions.skip("mail the PI", actor="operator")
    assert engine.status().needs == ()


def test_what_the_service_has_forgotten_needs_a_person_until_it_is_failed(
    engine: Engine, clock: Clock
) -> None:
    name = asked(engine, clock, 1)
    engine.note_unknown(name)
    assert needed(engine.status()) == [
        ("unknown-at-service", name, f'amie-engine fail {name} --reason "..."')
    ]
    engine.fail(name, "it is gone")
    assert engine.status().needs == ()
    send(engine)
    assert engine.status().needs == ()


def test_what_is_sent_again_and_again_and_never_arrives_needs_a_person_after_an_hour(
    engine: Engine, clock: Clock
) -> None:
    asked(engine, clock, 1)
    answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
    daemon(engine)
    for _ in range(2):
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        clock.forward(minutes=40)
    daemon(engine)
    assert needed(engine.status()) == []
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    [need] = engine.status().needs
    assert (need.kind, need.command) == (NeedKind.NOT_ARRIVING, "amie-engine reconcile")
    assert need.what.startswith("1 packet was sent again and again")
    [outgoing] = engine.outbox.open()
    engine.outbox.confirm(outgoing, {"result": {"header": {"packet_rec_id": 999}}})
    assert engine.status().needs == ()


def test_a_log_whose_time_is_ahead_of_the_clock_is_told_and_hides_no_trouble(
    engine: Engine, clock: Clock
) -> None:
    asked(engine, clock, 1)
    clock.forward(days=2)
    answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
    daemon(engine)
    clock.forward(days=-2)
    status = engine.status()
    assert status.log_ahead == timedelta(days=2)
    assert status.outbox_since == clock()
    for _ in range(3):
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
    assert NeedKind.NOT_ARRIVING in [need.kind for need in engine.status().needs]


def test_what_cannot_be_looked_for_needs_a_person_an_hour_after_it_was_sent(
    engine: Engine, clock: Clock
) -> None:
    """However often: a look that fails is followed by no further attempt."""
    two_answered(engine, clock)
    clock.forward(hours=5)  # the service was down
    first, second = engine.outbox.open()
    engine.outbox.attempt(first)
    sent_at = clock()
    clock.forward(hours=1)
    engine.outbox.attempt(second)
    daemon(engine)
    assert needed(engine.status()) == []
    clock.forward(seconds=1)
    [need] = engine.status().needs
    assert (need.kind, need.command, need.since) == (
        NeedKind.NOT_ARRIVING,
        "amie-engine reconcile",
        sent_at,
    )
    assert need.what.startswith("1 packet was sent more than an hour ago, and whether it has arrived")
    clock.forward(hours=1)
    daemon(engine)
    [need] = engine.status().needs
    assert need.what.startswith("2 packets were sent more than an hour ago")
    for outgoing in engine.outbox.open():
        engine.outbox.confirm(outgoing)
    assert engine.status().needs == ()


def test_what_is_sent_again_and_what_cannot_be_looked_for_are_told_apart(
    engine: Engine, clock: Clock
) -> None:
    two_answered(engine, clock)
    for _ in range(3):
        clock.forward(minutes=30)
        for outgoing in engine.outbox.open():
            engine.outbox.attempt(outgoing)
    clock.forward(minutes=50)
    again, _ = engine.outbox.open()
    engine.outbox.attempt(again)
    clock.forward(minutes=11)
    daemon(engine)
    assert [(need.kind, need.what[:31]) for need in engine.status().needs] == [
        (NeedKind.NOT_ARRIVING, "1 packet was sent again and aga"),
        (NeedKind.NOT_ARRIVING, "1 packet was sent more than an "),
    ]


def test_work_that_waits_for_a_person_says_what_to_type(engine: Engine, clock: Clock) -> None:
    first = asked(engine, clock, 1)
    work(engine, raising)
    second = asked(engine, clock, 2)
    work(engine, asking)
    retried = asked(engine, clock, 4)
    work(engine, raising, attempts=2)
    for number in (3, 5):
        asked(engine, clock, number)
    work(engine)

    status = engine.status()
    assert needed(status) == [
        ("parked", first, f"amie-engine retry {first}"),
        ("asking", second, f"amie-engine answer {second}"),
        ("no-handler", None, "amie-engine run"),
    ]
    assert status.needs[0].look == f"amie-engine show {first} --documents"
    assert {state: count for state, count in status.work.items() if count} == {
        "parked": 1,
        "asking": 1,
        "waiting": 2,
        "retrying": 1,  # by itself
    }
    assert "request_project_create (2 wait)" in status.needs[2].what
    assert retried not in {need.transaction for need in status.needs}
    assert "Robin" not in json.dumps(as_json(status))


def test_a_handler_that_goes_on_failing_is_told_once_for_each_type(engine: Engine, clock: Clock) -> None:
    first = asked(engine, clock, 1)
    for _ in range(4):
        work(engine, raising, attempts=30)
        assert engine.status().needs == ()
        clock.forward(hours=1)
    asked(engine, clock, 2)
    work(engine, raising, attempts=30)
    [need] = engine.status().needs
    assert (need.kind, need.transaction) == (NeedKind.FAILING, None)
    assert need.command == f"amie-engine show {first} --documents"
    assert "request_project_create failed 5 times (KeyError; 1 waits), and is called again" in need.what
    for _ in range(4):
        clock.forward(hours=1)
        work(engine, raising, attempts=30)
    [need] = engine.status().needs
    assert "failed 9 times (KeyError; 2 wait)" in need.what
    clock.forward(hours=1)
    for row in engine.work.ready():  # while its handler is being called once more
        lease = engine.work.take_first([row], lasts=timedelta(minutes=5))
        assert lease is not None
        [need] = engine.status().needs
        assert "failed 9 times (KeyError; 2 wait)" in need.what
        engine.leases.give_back(lease)
    clock.forward(hours=1)
    work(engine, asking)
    assert {need.kind for need in engine.status().needs} == {NeedKind.ASKING}


def test_while_a_daemon_is_at_work_nobody_is_told_to_start_one(engine: Engine, clock: Clock) -> None:
    asked(engine, clock, 1)
    work(engine)
    assert needed(engine.status()) == [("no-handler", None, "amie-engine run")]
    daemon(engine)
    [need] = engine.status().needs
    assert (need.command, need.look) == ("amie-engine work", None)
    assert need.what.endswith("add one and restart the daemon")


def test_a_reply_that_was_refused_is_told_once_and_mended_by_sending_it_anew(
    engine: Engine, clock: Clock
) -> None:
    name = asked(engine, clock, 1)
    answer(engine, 50_001, ProjectID="p1", PiPersonID="u1", PiRemoteSiteLogin="robin")
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="Robin Example is unknown")
    status = engine.status()
    assert (status.pending, status.attempting, status.rejected, status.work["parked"]) == (0, 0, 1, 1)
    assert needed(status) == [("rejected", name, f"amie-engine resend {name}")]
    assert "notify_project_create (service-validation)" in status.needs[0].what
    engine.fail(name, "given up", actor="test")
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.confirm(outgoing)
    assert (engine.status().rejected, engine.status().needs) == (0, ())


def test_a_refused_failure_is_mended_by_failing_it_again(engine: Engine, clock: Clock) -> None:
    name = asked(engine, clock, 1)
    engine.fail(name, "given up", actor="test")
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-error", message="no")
    assert needed(engine.status())[0] == ("rejected", name, f'amie-engine fail {name} --reason "..."')


def test_deadlines_are_near_then_overdue_and_what_is_overdue_needs_a_person(
    engine: Engine, clock: Clock
) -> None:
    first = asked(engine, clock, 1)
    clock.forward(days=1)
    second = asked(engine, clock, 2)
    work(engine, raising)
    [deadline] = {row.deadline for row in engine.work.open() if row.trans_rec_id == first}
    assert deadline is not None
    assert (engine.status().near, engine.status().next_deadline) == (0, deadline)
    clock.now = deadline - engine.deadline_warning
    assert (engine.status().near, engine.status().overdue) == (1, 0)
    clock.now = deadline + timedelta(seconds=1)
    assert (engine.status().near, engine.status().overdue) == (1, 1)
    engine.work.retry(first, actor="test")
    status = engine.status()
    assert needed(status) == [
        ("overdue", first, f"amie-engine confirm-deadline {first}"),
        ("parked", second, f"amie-engine retry {second}"),
    ]
    assert status.needs[0].look == f"amie-engine show {first}"
    engine.confirm_deadline(first, actor="test")
    assert (engine.status().overdue, len(engine.status().needs)) == (0, 1)


def test_a_transaction_of_the_sites_own_is_named_by_the_beginning_of_its_id(engine: Engine) -> None:
    handle = engine.start(NotifyUserModify(ActionType="replace", PersonID="u1", City="Champaign"))
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="no")
    assert needed(engine.status()) == [
        ("rejected", handle.stream[:8], f"amie-engine resend {handle.stream[:8]}")
    ]


# Daemons and the service


def test_a_daemon_at_work_and_a_service_that_answers_need_nobody(engine: Engine, clock: Clock) -> None:
    daemon(engine, next_poll_at=clock() + timedelta(minutes=5))
    status = engine.status()
    assert (status.daemons_at_work, len(status.daemons)) == (1, 1)
    assert status.service.state is ServiceState.ANSWERS
    assert status.service.succeeded_at == clock()
    assert status.service.next_poll_at == clock() + timedelta(minutes=5)
    assert status.needs == ()


def test_a_refused_key_needs_a_person_at_once_whatever_other_daemons_say(
    engine: Engine, clock: Clock
) -> None:
    daemon(engine)
    daemon(engine, process=ELSEWHERE, failures=1, error_code="service-authentication", error_at=clock())
    status = engine.status()
    assert status.service.state is ServiceState.REFUSES_KEY
    assert needed(status) == [
        ("key-refused", None, f"amie-engine poll --site {engine.site} --hub {engine.hub}")
    ]


def test_a_service_that_is_down_needs_a_person_after_an_hour(engine: Engine, clock: Clock) -> None:
    down = {"failures": 3, "error_code": "service-unreachable", "error_at": clock()}
    daemon(engine, succeeded_at=clock() - timedelta(minutes=59), **down)
    status = engine.status()
    assert (status.service.state, status.service.error_code) == (ServiceState.FAILS, "service-unreachable")
    assert status.needs == ()
    daemon(engine, succeeded_at=clock() - timedelta(minutes=61), **down)
    assert needed(engine.status()) == [
        ("service-fails", None, f"amie-engine poll --site {engine.site} --hub {engine.hub}")
    ]
    daemon(engine, process=ELSEWHERE)  # another daemon reaches it
    assert engine.status().service.state is ServiceState.ANSWERS
    assert engine.status().needs == ()


def test_a_daemon_that_did_not_stop_in_good_order_is_missed_at_once(engine: Engine, clock: Clock) -> None:
    daemon(engine, process=this_process().rpartition(":")[0] + ":1")
    status = engine.status()
    assert status.daemons_at_work == 0
    assert needed(status) == [("no-daemon", None, "amie-engine run")]
    assert "did not stop in good order" in status.needs[0].what


def test_a_daemon_of_another_host_that_is_silent_is_missed(engine: Engine, clock: Clock) -> None:
    daemon(engine, process=ELSEWHERE)
    clock.forward(minutes=12)
    assert engine.status().daemons_at_work == 1
    clock.forward(minutes=1)
    assert needed(engine.status()) == [("no-daemon", None, "amie-engine run")]
    daemon(engine)
    assert engine.status().needs == ()


def test_one_that_was_stopped_is_missed_after_an_hour(engine: Engine, clock: Clock) -> None:
    daemon(engine, stopped_at=clock())
    assert engine.status().needs == ()
    assert engine.status().service.state is ServiceState.ANSWERS
    clock.forward(minutes=61)
    assert needed(engine.status()) == [("no-daemon", None, "amie-engine run")]


# What it costs


def test_what_has_ended_is_not_read(engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(engine, clock, 1)
    fill(engine)
    plan = plans(engine, monkeypatch, engine.status)
    assert reads_what_has_ended(plan) == [], plan
    for index in ("amie_transactions_open", "amie_outbox_open", "amie_work_open", "amie_quarantine_open"):
        assert index in plan
    status = engine.status()
    assert (status.open, status.rejected, status.quarantined, status.with_anomalies) == (1, 0, 0, 0)
