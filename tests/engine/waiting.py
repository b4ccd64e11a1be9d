"""Open transactions by chance, as the log's tables have them, and what may be worked on of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.engine.open_transactions import read_open
from amie_engine.engine.ordering import blockers
from amie_engine.engine.start_order import starts_on_their_way, starts_that_wait
from amie_engine.engine.work_row import WorkRow
from amie_engine.log.canonical import canonical_json
from amie_engine.log.statements import Statement
from amie_engine.packet.naming import Kind
from amie_engine.protocol import TRANSACTION_TYPES
from tests.engine.playing import dpc, filled, rpc, send

_TRANSACTION = Statement(
    "INSERT INTO amie_transactions (stream, hub, site, trans_rec_id, type, state, version, turn, due,"
    " opened_at, opened_position, updated_at, held, anomalies, first_packet, names)"
    " VALUES (:number, :hub, :site, :number, :type, :state, 1, :turn, '[]',"
    " :at, :opened, :at, 0, '[]', :number, :names)"
)
_START = Statement(
    "INSERT INTO amie_transactions (stream, hub, site, type, state, version, turn, due,"
    " opened_at, opened_position, updated_at, held, anomalies, names)"
    " VALUES (:stream, :hub, :site, :type, 'in-progress', 1, 'site', '[]',"
    " :at, :opened, :at, 0, '[]', :names)"
)
_OUTBOX = Statement(
    "INSERT INTO amie_outbox (stream, answers, hub, site, kind, packet_type, status, decided_version,"
    " decided_at, attempts) VALUES (:stream, 'start', :hub, :site, 'packet', :type, :status, 1, :at, 0)"
)
_WORK = Statement(
    "INSERT INTO amie_work (stream, packet_rec_id, hub, site, packet_type, status, attempts, may_pass,"
    " opened_at) VALUES (:number, :number, :hub, :site, :type, :status, 0, :may_pass, :at)"
)
_LEASE = Statement(
    "INSERT INTO amie_leases (stream, packet_rec_id, hub, site, holder, token, taken_at, expires_at)"
    " VALUES (:number, :number, :hub, :site, 'another host', :number, :at, '9999-01-01T00:00:00+00:00')"
)
_PERSON = Statement(
    "INSERT INTO amie_directory_persons (hub, site, person_id, global_id, merged_into)"
    " VALUES (:hub, :site, :person_id, :global_id, :merged_into)"
)
_PROJECT = Statement(
    "INSERT INTO amie_directory_projects (hub, site, project_id, resource, grant_number, active)"
    " VALUES (:hub, :site, :project_id, :resource, :grant_number, 1)"
)
_TABLES = (
    "amie_transactions",
    "amie_outbox",
    "amie_work",
    "amie_leases",
    "amie_directory_persons",
    "amie_directory_projects",
)
_ODD = 'é"\\'
_NAMES = ["a", "ab", _ODD]
_AT = "2026-01-15T12:00:00+00:00"
_HERE, _ELSEWHERE = {"hub": "access", "site": "NCSA"}, {"hub": "access", "site": "SDSC"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A transaction, whose number is that of its work's packet, too."""

    number: int
    type: str
    state: str
    turn: str
    names: Mapping[str, list[str]]
    status: str
    may_pass: bool
    here: bool
    running: bool = False
    opened: int = 1


@dataclass(frozen=True, slots=True)
class Person:
    """What the directory knows a person as besides."""

    person_id: str
    global_id: str | None
    merged_into: str | None


@dataclass(frozen=True, slots=True)
class Project:
    """Which grant the directory knows a project of."""

    project_id: str
    resource: str
    grant_number: str | None


@dataclass(frozen=True, slots=True)
class Start:
    """A transaction that the site begins, whose first packet has still to arrive."""

    type: str
    opened: int
    names: Mapping[str, list[str]]
    status: str


Known = list[Person | Project | Start]

_some = st.lists(st.sampled_from(_NAMES), max_size=2, unique=True)
_maybe = st.none() | st.sampled_from(_NAMES)
_naming = st.fixed_dictionaries({}, optional={kind: _some for kind in Kind if kind is not Kind.LOGIN})
_opened = st.integers(1, 9)
_asked = st.builds(
    Asked,
    st.integers(1, 40),
    st.sampled_from([*TRANSACTION_TYPES, "request_person_merge"]),
    st.sampled_from(["requested", "in-progress", "in-progress", "completed"]),
    st.sampled_from(["site", "hub"]),
    _naming,
    st.sampled_from(["ready", "ready", "ready", "parked", "done"]),
    st.sampled_from([False, False, True]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, False, True]),
    _opened,
)
_transactions = st.lists(_asked, max_size=10, unique_by=lambda each: each.number)
_names = st.sampled_from(_NAMES)
_persons = st.lists(
    st.builds(Person, _names, _maybe, _maybe),
    max_size=4,
    unique_by=lambda each: each.person_id,
)
_projects = st.lists(
    st.builds(Project, _names, _names, _maybe),
    max_size=4,
    unique_by=lambda each: (each.project_id, each.resource),
)
_starts = st.lists(
    st.builds(
        Start,
        st.sampled_from(["notify_account_create", "notify_project_create", "notify_user_modify"]),
        _opened,
        _naming,
        st.sampled_from(["pending", "pending", "attempting"]),
    ),
    max_size=4,
)
_known = st.builds(lambda *parts: [each for part in parts for each in part], _persons, _projects, _starts)


def two(first: dict[str, list[str]], second: dict[str, list[str]], *, running: int = 0) -> list[Asked]:
    """Two requests that wait for the site, of which one may be worked on."""
    names = {1: first, 2: second}
    return [
        Asked(
            each,
            "request_user_modify",
            "requested",
            "site",
            names[each],
            "ready",
            False,
            True,
            each == running,
        )
        for each in names
    ]


_CASES: list[tuple[list[Asked], Known]] = [
    (two({Kind.PROJECT: [_ODD]}, {Kind.PROJECT: [_ODD]}), []),
    (two({Kind.LOCAL_ID: ["a"]}, {Kind.GLOBAL_ID: ["7"]}), [Person("a", "7", None)]),
    (two({Kind.LOCAL_ID: ["a"]}, {Kind.GLOBAL_ID: ["7"]}, running=2), [Person("a", "7", None)]),
    (two({Kind.GLOBAL_ID: ["7"]}, {Kind.LOCAL_ID: ["a"]}), [Person("a", "7", None)]),
    (two({Kind.LOCAL_ID: ["a"]}, {Kind.LOCAL_ID: ["b"]}), [Person("a", None, "b")]),
    (two({Kind.LOCAL_ID: ["a"]}, {Kind.LOCAL_ID: ["b"]}), [Person("b", None, "a")]),
    (two({Kind.LOCAL_ID: ["a"]}, {Kind.LOCAL_ID: ["b"]}), [Person("a", "7", None), Person("b", "7", None)]),
    (
        two({Kind.LOCAL_ID: ["a"]}, {Kind.LOCAL_ID: ["b"]}),
        [Person("a", None, "c"), Person("b", None, "c")],
    ),
    (
        two({Kind.LOCAL_ID: ["gone"]}, {Kind.GLOBAL_ID: ["71"]}),
        [Person("keep", "71", None), Person("gone", "72", "keep")],
    ),
    (
        two({Kind.GLOBAL_ID: ["72"]}, {Kind.GLOBAL_ID: ["73"]}),
        [Person("keep", "71", None), Person("gone", "72", "keep"), Person("too", "73", "gone")],
    ),
    (two({Kind.GRANT: ["G"]}, {Kind.PROJECT: ["p"]}), [Project("p", "r", "G")]),
    (two({Kind.PROJECT: ["p"]}, {Kind.GRANT: ["G"], Kind.PROJECT: ["q"]}), [Project("p", "r", "G")]),
    (
        two({Kind.PROJECT: ["p"]}, {Kind.PROJECT: ["q"]}),
        [Project("p", "r", "G"), Project("q", "s", "G")],
    ),
    (
        two({Kind.GRANT: ["G"], Kind.RESOURCE: ["r"]}, {Kind.GRANT: ["H"], Kind.RESOURCE: ["s"]}),
        [Project("p", "r", "G"), Project("p", "s", "H")],
    ),
]
"""Those in which one waits for the other by a name that is hard to find."""


def merge(number: int, *, opened: int, names: Mapping[str, list[str]]) -> Asked:
    """A merge that waits for the site."""
    merges = "request_person_merge"
    return Asked(number, merges, "requested", "site", names, "ready", False, True, opened=opened)


_PERSON_A: dict[str, list[str]] = {Kind.LOCAL_ID: ["a"]}
_CASES.append(  # the first merge waits for the second, and the start for the first
    (
        [merge(2, opened=1, names=_PERSON_A), merge(1, opened=3, names=_PERSON_A)],
        [Start("notify_user_modify", 2, _PERSON_A, "pending")],
    )
)


def any_open_transactions(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test take open transactions and a directory: by chance, and some that are hard."""
    for listed, known in _CASES:
        test = example(listed, known)(test)
    return given(_transactions, _known)(test)


def put(engine: Engine, listed: Iterable[Asked], known: Known) -> None:
    """Have a log's tables hold these transactions and this directory, and nothing else."""
    with engine.database.write() as cursor:
        for table in _TABLES:
            cursor.run(Statement(f"DELETE FROM {table}"), {})
        for each in listed:
            site = _HERE if each.here else _ELSEWHERE
            key = {**site, "number": str(each.number), "type": each.type, "at": _AT}
            names = canonical_json(dict(each.names))
            cursor.run(
                _TRANSACTION,
                key | {"state": each.state, "turn": each.turn, "names": names} | {"opened": each.opened},
            )
            cursor.run(_WORK, key | {"status": each.status, "may_pass": int(each.may_pass)})
            if each.running:
                cursor.run(_LEASE, key)
        for number, entry in enumerate(known):
            if isinstance(entry, Start):
                values = {"stream": f"start {number}", "names": canonical_json(dict(entry.names))}
                for statement in (_START, _OUTBOX):
                    cursor.run(statement, _HERE | asdict(entry) | values | {"at": _AT})
            else:
                cursor.run(_PERSON if isinstance(entry, Person) else _PROJECT, _HERE | asdict(entry))


def assert_one_by_one_as_all_together(engine: Engine, listed: Iterable[Asked]) -> None:
    """What is ready in each transaction is what is ready in all."""
    together = {row.trans_rec_id: row for row in engine.work.ready()}
    for each in listed:
        row = together.get(str(each.number))
        assert engine.work.ready_in(each.number) == ([] if row is None else [row])


def assert_something_can_begin(engine: Engine) -> None:
    """Whatever waits for another does so in the end for one that waits for none."""
    with engine.view() as view:
        listed = read_open(view.cursor, engine.hub, engine.site)
        found = starts_that_wait(view)
        blocked = blockers(listed, starts=starts_on_their_way(view))
    found |= {stream: blocker.stream for stream, blocker in blocked.items()}
    for stream in found:
        passed = [stream]
        while passed[-1] in found:
            passed.append(found[passed[-1]])
            assert passed[-1] not in passed[:-1]


def put_supplement(engine: Engine) -> WorkRow:
    """Have a log hold a supplement, and the first request for its grant, which the site has answered; return
    the work on the supplement, which may begin."""
    engine.receive(rpc(1, 10))
    engine.reply(1, filled(engine, 1, PiRemoteSiteLogin="rex"))
    send(engine)
    engine.receive(rpc(2, 20, body={"AllocationType": "supplement", "RecordID": "b"}))
    [row] = engine.work.ready()
    return row


def assert_two_who_begin_together_are_kept_apart(one: Engine, other: Engine) -> None:
    """One worker's list is from before a data packet came, the other's from afterwards; the two take the only
    item of their lists in the same moment."""
    before = put_supplement(one)
    one.receive(dpc(1, 13))
    [after] = other.work.ready()
    assert {before.trans_rec_id, after.trans_rec_id} == {"1", "2"}
    together = threading.Barrier(2)

    def take(engine: Engine, row: WorkRow) -> bool:
        together.wait(30)
        lease = engine.work.take_first([row], lasts=timedelta(minutes=5))
        begins = lease is not None and engine.work.begin(lease) is not None
        together.wait(30)
        if lease is not None:
            engine.leases.give_back(lease)
        together.wait(30)
        return begins

    with ThreadPoolExecutor(2) as pool:
        for _ in range(25):
            assert sum(pool.map(take, (one, other), (before, after))) <= 1
