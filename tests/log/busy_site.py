"""A log with a bit of everything in it: what a site and its hub do to one, through the public engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

from amie_engine.engine import Engine
from amie_engine.engine.leases import Lease
from amie_engine.engine.work import Assignment
from amie_engine.engine.work_row import WorkRow
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Statement
from amie_engine.packet import NotifyUserModify
from amie_engine.testing import Clock

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def sample(name: str, *, transaction: int | None = None, packet: int | None = None) -> dict[str, Any]:
    """Return a sample packet, in another transaction and under another record id where they are given."""
    document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    if transaction is not None:
        document["header"] |= {"trans_rec_id": transaction, "transaction_id": transaction}
    if packet is not None:
        document["header"]["packet_rec_id"] = packet
    return document


def project_request(number: int, **body: Any) -> dict[str, Any]:
    """A request for a project of its own: grant, record and transaction carry the number."""
    document = sample("spec/request_project_create", transaction=50_000 + number, packet=70_000 + number)
    document["body"] |= {"GrantNumber": f"PHY{number:06}", "RecordID": f"record-{number}", **body}
    del document["body"]["ProjectID"]
    return document


def leased(engine: Engine, row: WorkRow) -> Lease:
    """Take an item of work."""
    lease = engine.work.take_first([row], lasts=timedelta(hours=1))
    assert lease is not None
    return lease


def assignment_of(engine: Engine, row: WorkRow) -> Assignment | None:
    """What a handler would be given for an item of work; None where it would not be called."""
    lease = engine.work.take_first([row], lasts=timedelta(hours=1))
    if lease is None:
        return None
    assignment = engine.work.begin(lease)
    engine.leases.give_back(lease)
    return assignment


def do_in_steps(engine: Engine, row: WorkRow, clock: Clock) -> None:
    """All that a handler can do with an item of work before it fails, and what a person can about it."""
    record = engine.work.record
    lease = leased(engine, row)
    record.step(lease, "make the home folder", {"path": "/home/robin"}, milliseconds=12, actor="handler test")
    record.asked(lease, "quota", "Which quota for Robin?", ["small", "large"], actor="handler test")
    engine.work.answer(row.trans_rec_id, "large", actor="operator")
    record.asked(leased(engine, row), "note", "What shall Robin read?", [], actor="handler test")
    engine.work.answer(row.trans_rec_id, "Welcome, Robin", actor="operator")
    later = clock() + timedelta(hours=1)
    record.deferred(leased(engine, row), until=later, reason="maintenance", actor="handler test")
    engine.work.retry(row.trans_rec_id, actor="operator", reason="the maintenance is over")
    engine.work.let_pass(row.trans_rec_id, actor="operator", reason="they know of each other")


def send(engine: Engine, *, answered: bool = True) -> None:
    """Attempt what is in the outbox; the service accepts it and gives no ids."""
    for outgoing in engine.outbox.open():
        engine.outbox.attempt(outgoing)
        if answered:
            engine.outbox.confirm(outgoing)


def answer(engine: Engine, trans_rec_id: int, **body: Any) -> None:
    """Reply with the draft and what the site adds to it."""
    due = engine.expected_reply(trans_rec_id)
    assert due.packet is not None
    for name, value in body.items():
        setattr(due.packet, name, value)
    engine.reply(trans_rec_id, due.packet)


def whole_project(engine: Engine, clock: Clock, number: int, **body: Any) -> None:
    """A project from its request to the end of its transaction: RPC, NPC, DPC, ITC."""
    transaction = 50_000 + number
    engine.receive(project_request(number, **body))
    clock.forward(minutes=3)
    answer(
        engine, transaction, ProjectID=f"project-{number}", PiPersonID=f"u{number}", PiRemoteSiteLogin="robin"
    )
    send(engine)
    clock.forward(minutes=3)
    data = sample("spec/data_project_create", transaction=transaction, packet=80_000 + number)
    data["body"] |= {"ProjectID": f"project-{number}", "PersonID": f"u{number}"}
    if body:
        data["body"] |= {"GlobalID": body["PiGlobalID"], "DnList": body["PiDnList"]}
    engine.receive(data)
    answer(engine, transaction)
    send(engine)
    clock.forward(minutes=3)


def play(engine: Engine, clock: Clock) -> None:
    """Do a bit of everything: every outcome of receiving, every event of the outbox and of the work."""
    whole_project(engine, clock, 1)
    whole_project(engine, clock, 2)
    _samples(engine, clock)
    _trouble(engine, clock)
    _accounts(engine, clock)
    _own_transactions(engine, clock)
    _staged_too_late(engine)
    _erased(engine, clock)


def _samples(engine: Engine, clock: Clock) -> None:
    for folder in ("spec", "edge"):
        for path in sorted((SAMPLES / folder).glob("*.json")):
            engine.receive(path.read_bytes())
            clock.forward(seconds=1)
    for bad in (b"\xff", '{"a": NaN}', "[]", {"type": "no_such_type", "header": {}, "body": {}}):
        engine.receive(bad)
        clock.forward(seconds=1)


def _trouble(engine: Engine, clock: Clock) -> None:
    """Duplicates, conflicts, packets too early, rejected replies, handlers that wait or fail, failures."""
    request = project_request(10)
    engine.receive(request)
    again = deepcopy(request)
    again["header"]["packet_rec_id"] = 71_010
    engine.receive(again)
    other = deepcopy(request)
    other["body"]["PfosNumber"] = "999"
    engine.receive(other)
    early = sample("spec/data_project_create", transaction=50_010, packet=80_010)
    engine.receive(early)
    [row] = [row for row in engine.work.open() if row.trans_rec_id == "50010"]
    do_in_steps(engine, row, clock)
    engine.work.record.failed(
        leased(engine, row),
        "RuntimeError",
        1,
        retry_at=clock() + timedelta(hours=2),
        details="x",
        actor="test",
    )
    answer(engine, 50_010, ProjectID="project-10", PiPersonID="u10", PiRemoteSiteLogin="robin")
    [outgoing] = [entry for entry in engine.outbox.open() if entry.trans_rec_id == "50010"]
    engine.outbox.attempt(outgoing)
    engine.outbox.reject(outgoing, code="service-validation", message="no")
    answer(engine, 50_010, ProjectID="project-10", PiPersonID="u10", PiRemoteSiteLogin="robin")
    send(engine)
    engine.receive(project_request(13))
    answer(engine, 50_013, ProjectID="project-13", PiPersonID="u13", PiRemoteSiteLogin="robin")
    send(engine, answered=False)
    engine.receive(sample("spec/data_project_create", transaction=50_013, packet=80_013))
    engine.receive(project_request(11))
    engine.note_unknown(50_011)
    engine.fail(50_011, "the grant is unknown")
    send(engine)
    engine.receive(project_request(12))
    deadline = engine.expected_reply(50_012).deadline
    assert deadline is not None
    clock.now = deadline - timedelta(days=1)
    engine.note_deadlines()
    clock.forward(days=400)
    engine.note_deadlines()
    engine.confirm_deadline(50_012, actor="operator")
    _released(engine)


def _released(engine: Engine) -> None:
    """A history that lacks its beginning is in quarantine, until the beginning comes after all."""
    data = sample("spec/data_project_create", transaction=50_014, packet=80_014)
    [outcome] = engine.adopt({"DATA": [data]})
    assert outcome.quarantine_id is not None
    engine.receive(project_request(14))
    answer(engine, 50_014, ProjectID="project-14", PiPersonID="u14", PiRemoteSiteLogin="robin")
    send(engine)
    engine.release(outcome.quarantine_id)


def _accounts(engine: Engine, clock: Clock) -> None:
    """An account on the first project, the project's end and its new beginning, and a merge of persons."""
    request = sample("spec/request_account_create", transaction=60_001, packet=90_001)
    request["body"] |= {"GrantNumber": "PHY000001", "UserGlobalID": "g-2"}
    request["body"].pop("ProjectID", None)
    engine.receive(request)
    answer(engine, 60_001, ProjectID="project-1", UserPersonID="u77", UserRemoteSiteLogin="sam")
    send(engine)
    for number, name in enumerate(("request_project_inactivate", "request_project_reactivate"), 2):
        packet = sample(f"spec/{name}", transaction=60_000 + number, packet=90_000 + number)
        packet["body"]["ProjectID"] = "project-1"
        engine.receive(packet)
        answer(engine, 60_000 + number)
        send(engine)
        clock.forward(minutes=1)
    merge = sample("spec/request_person_merge", transaction=60_004, packet=90_004)
    merge["body"] |= {"KeepPersonID": "u1", "DeletePersonID": "u77"}
    engine.receive(merge)
    answer(engine, 60_004)
    send(engine)


def _own_transactions(engine: Engine, clock: Clock) -> None:
    packet = NotifyUserModify.from_dict(sample("spec/notify_user_modify.add"))
    fresh = NotifyUserModify(**packet.as_dict()["body"])
    begun = engine.start(fresh)
    engine.work.let_pass(begun.stream, actor="operator", reason="it is urgent")
    clock.forward(minutes=-1)  # set back
    send(engine, answered=False)
    clock.forward(minutes=1)
    listed = sample("spec/notify_user_modify.add", transaction=61_000, packet=91_000)
    listed["body"] = fresh.as_dict()["body"]
    listed["header"]["outgoing_flag"] = 0
    engine.receive(listed)
    clock.forward(minutes=1)
    engine.receive(sample("spec/inform_transaction_complete.success.in", transaction=61_000, packet=91_001))


def _staged_too_late(engine: Engine) -> None:
    """What a site staged in a transaction of its own, and what had ended before it was carried out."""
    stage = Statement(
        "INSERT INTO amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"
        " VALUES (:hub, :site, 'fail', '50001', :arguments, '')"
    )
    with engine.database.write() as cursor:
        arguments = canonical_json({"reason": "too late", "actor": "site"})
        cursor.run(stage, {"hub": engine.hub, "site": engine.site, "arguments": arguments})
    engine.carry_out_staged()


def personal(number: int) -> dict[str, Any]:
    """What a project request says of a PI whom no other packet is about."""
    return {
        "PiGlobalID": f"global-{number}",
        "PiFirstName": f"Firstname{number}",
        "PiMiddleName": f"Middlename{number}",
        "PiLastName": f"Lastname{number}",
        "PiEmail": f"mail{number}@example.org",
        "PiDnList": [f"/C=US/O=Example/CN=Certificate{number}"],
        "PiRequestedLoginList": [f"wished{number}"],
    }


def _erased(engine: Engine, clock: Clock) -> None:
    """A project whose PI had their documents erased."""
    whole_project(engine, clock, 20, **personal(20))
    engine.erase(person="u20", actor="operator", reason="asked for by the person")


@contextmanager
def while_written_to(url: str) -> Iterator[None]:
    """Another engine completes one project after the other, and reads what it has done, during the block."""
    began, done = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        clock = Clock()
        clock.forward(days=2000)
        try:
            with Engine(url, site="NCSA", clock=clock) as engine:
                for number in range(500, 900):
                    whole_project(engine, clock, number)
                    assert engine.expected_reply(50_000 + number).state == "completed"
                    began.set()
                    if done.is_set():
                        return
        except Exception as error:  # noqa: BLE001 # it is told below
            errors.append(error)
            began.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert began.wait(60)
        yield
    finally:
        done.set()
        thread.join()
    assert errors == []
