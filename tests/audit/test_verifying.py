"""What verifying finds, says, and leaves alone, beside the thousands of tamperings."""

from __future__ import annotations

import re
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amie_engine.audit import Seal, check_projections, rebuild, verify, verifying
from amie_engine.audit.missing import Positions
from amie_engine.audit.problems import FIRST, MEANINGS
from amie_engine.engine import Engine
from amie_engine.log.canonical import digest
from amie_engine.log.database import Database
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Statement
from amie_engine.log.store import EventLog
from amie_engine.testing import Clock
from tests.audit import ways
from tests.audit.tampering import OpenLog, erase
from tests.log.busy_site import project_request, whole_project

Bare = Callable[[], sqlite3.Connection]
PAGE = Path(__file__).parents[2] / "docs" / "auditing.md"


def sealed(engine: Engine, position: int) -> Seal:
    """A seal of a log at a position, without a signature."""
    [first] = engine.log.whole.rows(0, 1)
    [row] = engine.log.whole.rows(position - 1, position)
    return Seal(position, row[19], row[5], first[19], "", "", "")


# A log as it should be


def test_an_empty_log_is_whole(database: Database) -> None:
    verdict = verify(database)
    assert (verdict.whole, verdict.events, verdict.position, verdict.bytes) == (True, 0, 0, 0)


def test_a_busy_log_is_whole_with_all_sites_and_hubs_in_it(busy: Engine, file: Path) -> None:
    for site, hub in (("PSC", "access"), ("NCSA", "test")):
        with Engine(f"sqlite:///{file}", site=site, hub=hub) as other:
            document = project_request(1)
            document["header"]["remote_site_name"] = site
            other.receive(document)
    done: list[tuple[int, int]] = []
    verdict = verify(busy.database, progress=lambda *now: done.append(now))
    assert verdict.whole
    newest = busy.log.whole.head().position
    assert verdict.events == verdict.position == newest
    assert done[-1] == (newest, newest)
    assert verdict.seconds > 0
    text = sum(len(row[14]) + len(row[16] or "") for row in busy.log.whole.rows())
    assert verdict.bytes > text


def test_nothing_is_changed(busy: Engine, file: Path) -> None:
    busy.close()
    before = file.read_bytes()
    with closing(Database(f"sqlite:///{file}")) as database:
        assert verify(database).whole
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_pages_of_any_size_come_to_the_same(busy: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = []
    for page in (1, 7, 1000):
        monkeypatch.setattr(verifying, "_PAGE", page)
        verdict = verify(busy.database)
        verdicts.append((verdict.whole, verdict.events, verdict.bytes))
    assert len(set(verdicts)) == 1


def test_projections_that_differ_are_a_problem(busy: Engine) -> None:
    with busy.database.write() as cursor:
        cursor.run(Statement("UPDATE amie_transactions SET held = held + 1 WHERE trans_rec_id = '50001'"))
        cursor.run(Statement("DELETE FROM amie_quarantine"))
    verdict = verify(busy.database)
    assert verdict.kinds == {"projection-differs": 2}
    transactions, quarantine = sorted(verdict.problems, key=lambda one: one.sentence, reverse=True)
    assert transactions.sentence.startswith(
        "amie_transactions: 1 row differs from what the events say, first"
    )
    assert f"that of event {transactions.position}." in transactions.sentence
    assert quarantine.sentence.startswith("amie_quarantine: ")
    assert verify(busy.database, projections=False).whole
    rebuild(busy.database)
    verdict = verify(busy.database)
    assert verdict.whole
    assert verdict.projections == sum(check_projections(busy.database).rows.values())


# Every kind of problem


def _set(**columns: Any) -> Callable[[OpenLog], Any]:
    return lambda log: log.set(20, **columns)


def _rewritten(position: int, **columns: Any) -> Callable[[OpenLog], Any]:
    """Whatever is wrong has the right hashes."""

    def way(log: OpenLog) -> None:
        log.set(position, **columns)
        log.rewrite(position)

    return way


def _without_key(log: OpenLog) -> None:
    log.run("CREATE TABLE other AS SELECT * FROM amie_events")
    log.run("DROP TABLE amie_events")
    log.run("ALTER TABLE other RENAME TO amie_events")


def _twice(log: OpenLog) -> None:
    _without_key(log)
    log.insert(log.events[19])


def _beside_its_position(log: OpenLog) -> None:
    _without_key(log)
    log.set(log.end, position=log.end + 0.5)


def _unreadable(log: OpenLog) -> None:
    log.set(min(log.erasures, key=lambda at: len(log.erasures[at])), facts='{"positions": "all"}')


def _counter(column: str, value: Any) -> Callable[[OpenLog], Any]:
    return lambda log: log.run(f"UPDATE amie_log_head SET {column} = ?", value)


def _second_counter(log: OpenLog) -> None:
    log.run("DROP TABLE amie_log_head")
    log.run("CREATE TABLE amie_log_head (id, position, hash, recorded_at, log_id)")
    newest = log.events[-1]
    for number in (1, 2):
        row = (number, newest["position"], newest["hash"], newest["recorded_at"], "0" * 32)
        log.run("INSERT INTO amie_log_head VALUES (?, ?, ?, ?, ?)", *row)


KINDS: dict[str, tuple[Callable[[OpenLog], Any], int | None]] = {
    "event-missing": (lambda log: log.delete(20, 22), 20),
    "event-not-read": (_beside_its_position, None),
    "event-extra": (_twice, 20),
    "hash-wrong": (_set(actor="somebody else"), 20),
    "facts-changed": (_set(facts='{"Robin": "Example"}'), 20),
    "document-changed": (_set(document='{"Robin": "Example"}', document_salt="x"), 20),
    "document-half-erased": (_set(document=None, document_salt="x"), 20),
    "document-missing": (ways.document_taken, None),
    "erasure-not-carried-out": (ways.document_put_back, None),
    "erasure-unreadable": (_unreadable, None),
    "column-type-wrong": (_set(packet_type=b"Robin Example"), 20),
    "time-goes-back": (_rewritten(20, recorded_at="2020-01-01T00:00:00.000000Z"), 20),
    "version-wrong": (_rewritten(20, version=17), 20),
    "event-unreadable": (_rewritten(20, type="packet_lost"), 20),
    "log-truncated": (lambda log: log.delete(log.end - 1, log.end), None),
    "counter-behind": (_counter("position", 20), 21),
    "counter-wrong": (_counter("hash", "0" * 64), None),
    "counter-missing": (ways.counter_deleted, None),
    "counter-doubled": (_second_counter, None),
    "log-id-wrong": (_counter("log_id", "Robin Example"), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_problem_is_told_with_its_position_and_what_it_can_mean(
    open_log: OpenLog, kind: str
) -> None:
    way, position = KINDS[kind]
    with open_log.undone():
        way(open_log)
        verdict = open_log.verify()
    assert kind in verdict.kinds
    [told, *_] = [problem for problem in verdict.problems if problem.code == kind]
    if position is not None:
        assert told.position == position
    if told.position is not None:
        assert re.search(rf"\b{told.position}\b", told.sentence)
    for problem in verdict.problems:
        assert problem.sentence.endswith(".")
        assert "Robin" not in problem.sentence
        assert problem.meaning == MEANINGS[problem.code]


def test_every_kind_is_tested_and_on_the_page() -> None:
    of_seals = {"seal-of-another-log", "log-shorter-than-seal", "sealed-event-differs"}
    assert set(KINDS) | of_seals | {"projection-differs"} == set(MEANINGS)
    page = PAGE.read_text(encoding="utf-8")
    assert [code for code in MEANINGS if f"| `{code}` |" not in page] == []


@pytest.mark.parametrize("version", [0, 2, -1, 2**40])
def test_a_schema_version_of_no_release_that_we_know_is_unreadable(open_log: OpenLog, version: int) -> None:
    with open_log.undone():
        _rewritten(20, schema_version=version)(open_log)
        assert open_log.verify().kinds == {"event-unreadable": 1}


def test_a_position_that_is_left_out_is_found_though_all_hashes_follow(open_log: OpenLog) -> None:
    streams = [row["stream"] for row in open_log.events]
    alone = next(at for at, stream in enumerate(streams, 1) if at > 1 and streams.count(stream) == 1)
    with open_log.undone():
        open_log.delete(alone, alone)
        open_log.rewrite(alone)
        verdict = open_log.verify()
    assert verdict.kinds == {"event-missing": 1}
    assert verdict.problems[0].position == alone


def test_what_is_wrong_is_counted_and_the_first_is_told_first(open_log: OpenLog) -> None:
    streams = [row["stream"] for row in open_log.events]
    alone = next(at for at, stream in enumerate(streams, 1) if at > 1 and streams.count(stream) == 1)
    assert alone < 30
    with open_log.undone():
        open_log.run("UPDATE amie_events SET facts = facts || ' ' WHERE position BETWEEN 30 AND 60")
        open_log.delete(alone, alone)
        open_log.run("UPDATE amie_log_head SET log_id = ''")
        verdict = open_log.verify()
    assert verdict.kinds == {"event-missing": 1, "facts-changed": 31, "log-id-wrong": 1}
    assert verdict.count == 33
    assert [problem.position for problem in verdict.problems] == [alone, *range(30, 30 + FIRST - 1)]


def test_a_name_of_the_log_with_its_own_check_digits_is_not_found_since_no_hash_covers_it(
    open_log: OpenLog,
) -> None:
    with open_log.undone():
        open_log.run("UPDATE amie_log_head SET log_id = ?", "0" * 32 + digest("0" * 32)[:16])
        assert open_log.stored() != open_log.untouched
        assert open_log.verify().whole


def test_a_hole_of_any_size_takes_no_time(open_log: OpenLog) -> None:
    with open_log.undone():
        open_log.run("UPDATE amie_events SET position = position + ? WHERE position > 100", 2**62)
        verdict = open_log.verify()
    assert (
        verdict.problems[0].sentence
        == f"Events 101 to {2**62 + 100} are missing: event {2**62 + 101} follows"
        " event 100."
    )


# Erasures


def appended(log: EventLog, stream: str, facts: Any) -> None:
    with log.write() as writer:
        writer.append(stream, 0, [NewEvent(EventType.DOCUMENTS_ERASED, facts=facts)])


def with_documents(engine: Engine) -> list[int]:
    return [row[0] for row in engine.log.whole.rows() if row[16] is not None]


def test_what_was_erased_with_an_event_is_as_it_should_be(busy: Engine) -> None:
    there = with_documents(busy)
    for number in range(3):
        erase(busy.log, there[number::5])
    verdict = verify(busy.database)
    assert verdict.whole, verdict.problems
    # To name what was erased before, or what never had a document, does no harm.
    without = next(row[0] for row in busy.log.whole.rows() if row[18] is None)
    appended(busy.log, "again", {"positions": sorted([there[0], there[1], without])})
    assert verify(busy.database).whole


def test_an_erasure_that_was_not_carried_out_is_told(busy: Engine) -> None:
    [first, second, *_] = with_documents(busy)
    appended(busy.log, "pretended", {"positions": [first, second], "person": None, "reason": "x"})
    newest = busy.log.whole.head().position
    verdict = verify(busy.database)
    assert [(problem.position, problem.code) for problem in verdict.problems] == [
        (first, "erasure-not-carried-out"),
        (second, "erasure-not-carried-out"),
    ]
    assert f"event {newest} says that it was erased" in verdict.problems[0].sentence
    # Since a seal behind them, they are not looked for.
    assert verify(busy.database, since=sealed(busy, second)).whole
    assert verify(busy.database, since=sealed(busy, first)).kinds == {"erasure-not-carried-out": 1}


@pytest.mark.parametrize(
    "positions",
    [None, {}, "1", 1, [0], [-1], ["1"], [1.0], [True], [2, 1], [1, 1], [10**6], [None], [[1]], [2**70]],
)
def test_an_erasure_that_names_no_earlier_events_is_unreadable(busy: Engine, positions: Any) -> None:
    appended(busy.log, "odd", {"positions": positions})
    newest = busy.log.whole.head().position
    [problem] = verify(busy.database).problems
    assert (problem.position, problem.code) == (newest, "erasure-unreadable")
    assert verify(busy.database, since=sealed(busy, newest)).whole


@pytest.mark.parametrize("facts", [{}, [], [1], "positions", 7, None])
def test_an_erasure_without_positions_is_unreadable(busy: Engine, facts: Any) -> None:
    appended(busy.log, "odd", facts)
    [problem] = verify(busy.database).problems
    assert problem.code == "erasure-unreadable"


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10_000) | st.integers(2**40, 2**40 + 10))))
def test_positions_are_a_set(steps: list[tuple[bool, int]]) -> None:
    positions, expected = Positions(), set[int]()
    for add, position in steps:
        if add:
            positions.add(position)
            expected.add(position)
        else:
            assert positions.remove(position) == (position in expected)
            expected.discard(position)
        assert (position in positions) == (position in expected)
    assert list(positions) == sorted(expected)
    assert len(positions) == len(expected)


def test_a_million_documents_that_are_gone_take_little_memory() -> None:
    tracemalloc.start()
    positions = Positions()
    for position in range(1, 1_000_001, 16):
        positions.add(position)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(positions) == 62_500
    assert size < 300_000


# While others write


def test_what_is_appended_meanwhile_is_left_for_the_next_time(
    busy: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 10)
    newest = busy.log.whole.head().position
    numbers = iter(range(40, 100))
    verdict = verify(busy.database, progress=lambda done, total: whole_project(busy, Clock(), next(numbers)))
    assert verdict.whole, verdict.problems
    assert verdict.position == newest < busy.log.whole.head().position


@pytest.mark.parametrize("which", [5, -5])
def test_what_is_erased_meanwhile_is_explained_by_the_event_behind_the_end(
    busy: Engine, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 10)
    newest = busy.log.whole.head().position
    there = with_documents(busy)
    at = there[len(there) // 2 + which]
    steps: list[int] = []

    def erase_half_way(done: int, total: int) -> None:
        steps.append(done)
        if len(steps) == newest // 20:
            erase(busy.log, [at])

    verdict = verify(busy.database, progress=erase_half_way)
    assert verdict.whole, verdict.problems
    seen_without = at > newest // 20 * 10
    assert verdict.position == (newest + 1 if seen_without else newest)


def test_erasures_that_keep_coming_are_all_explained(busy: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 10)
    there = with_documents(busy)
    with_more = iter(range(40, 44))

    def erase_the_last(done: int, total: int) -> None:
        if there:
            erase(busy.log, [there.pop()])
        elif (number := next(with_more, None)) is not None:
            whole_project(busy, Clock(), number)
            there.extend(with_documents(busy)[-2:])

    verdict = verify(busy.database, progress=erase_the_last)
    assert verdict.whole, verdict.problems


def test_a_document_that_is_taken_by_hand_meanwhile_is_found(
    busy: Engine, bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 10)
    at = with_documents(busy)[-1]

    def take(done: int, total: int) -> None:
        bare().execute(
            "UPDATE amie_events SET document = NULL, document_salt = NULL"
            " WHERE position = ? AND document IS NOT NULL",
            (at,),
        )

    verdict = verify(busy.database, progress=take)
    assert [(problem.position, problem.code) for problem in verdict.problems] == [(at, "document-missing")]


# Since a seal


def test_since_a_seal_only_what_is_behind_it_is_looked_at(busy: Engine, clock: Clock) -> None:
    newest = busy.log.whole.head().position
    for position in (1, newest // 2, newest):
        verdict = verify(busy.database, since=sealed(busy, position))
        assert verdict.whole, verdict.problems
        assert verdict.events == newest - position
        assert verdict.position == newest
    since = sealed(busy, newest)
    erase(busy.log, with_documents(busy)[::4])
    whole_project(busy, clock, 30)
    erase(busy.log, with_documents(busy)[-3:])
    verdict = verify(busy.database, since=since)
    assert verdict.whole, verdict.problems
    assert verdict.events == busy.log.whole.head().position - newest


_DELETE_STREAMS_BEFORE_THE_SEAL = (
    "DELETE FROM amie_events WHERE stream NOT IN (SELECT stream FROM amie_events WHERE position > 100)"
)


@pytest.mark.parametrize(
    ("way", "found"),
    [
        (lambda log: log.set(50, facts="{}"), False),
        (lambda log: log.set(50, document=None, document_salt=None), False),
        (lambda log: log.run(_DELETE_STREAMS_BEFORE_THE_SEAL), False),
        (lambda log: log.set(110, facts="{}"), True),
        (lambda log: log.set(101, actor="x"), True),
        (lambda log: log.delete(101, 101), True),
        (lambda log: log.delete(110, log.end), True),
        (lambda log: log.set(100, hash="0" * 64), True),
        (lambda log: log.delete(100, 100), True),
        (lambda log: log.delete(1, 1), True),
        (ways.counter_changed, True),
        (ways.counter_deleted, True),
        (lambda log: log.run("UPDATE amie_log_head SET log_id = ''"), True),
        (lambda log: log.insert(dict(log.events[0], position=-1, stream="x", packet_rec_id=None)), True),
        (_rewritten(101, recorded_at="2020-01-01T00:00:00.000000Z"), True),
        (_rewritten(110, version=9), True),
    ],
)
def test_since_a_seal_what_is_wrong_behind_it_is_found(
    open_log: OpenLog, way: Callable[[OpenLog], Any], found: bool
) -> None:
    with open_log.undone():
        way(open_log)
        assert open_log.stored() != open_log.untouched
        verdict = open_log.verify(since=open_log.seal(100))
    assert verdict.whole != found, verdict.problems


def test_since_a_seal_versions_go_on_from_those_before_it(open_log: OpenLog) -> None:
    before = {row["stream"] for row in open_log.events[:100]}
    position = next(
        row["position"] for row in open_log.events[100:] if row["stream"] in before and row["version"] > 1
    )
    with open_log.undone():
        _rewritten(position, version=30)(open_log)
        verdict = open_log.verify(since=open_log.seal(100))
        assert verdict.problems[0].position == position
        assert verdict.problems[0].code == "version-wrong"


def test_a_document_behind_the_seal_needs_its_erasure_and_one_before_it_does_not(open_log: OpenLog) -> None:
    at = next(row["position"] for row in open_log.events[100:] if row["document"] is not None)
    with open_log.undone():
        open_log.set(at, document=None, document_salt=None)
        [problem] = open_log.verify(since=open_log.seal(100)).problems
        assert (problem.position, problem.code) == (at, "document-missing")
        assert open_log.verify(since=open_log.seal(at)).whole


def test_nothing_is_looked_at_behind_a_seal_that_is_not_in_the_log(open_log: OpenLog) -> None:
    seal = open_log.seal(100)
    with open_log.undone():
        open_log.set(100, hash="0" * 64)
        verdict = open_log.verify(since=seal)
        assert (verdict.events, verdict.kinds) == (0, {"sealed-event-differs": 1})
