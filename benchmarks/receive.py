"""What a durable `Engine.receive` costs, against the very same SQL through bare sqlite3.

Three things happen in turn, a chunk of packets each, so that a busy machine slows all of them alike:

* ``Engine.receive`` through the public API: parse, decide, append, project, commit;
* the statements that it ran, recorded beforehand with their parameters, transactions and commits included,
  on an identical file through bare sqlite3;
* one INSERT of the event with a commit.

Every file keeps a write-ahead log with ``synchronous=FULL``. Medians are compared, never single runs.

Run: python benchmarks/receive.py [--packets 1000] [--chunk 25] [--folder .] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import event

from amie_engine import Engine, OutcomeKind
from amie_engine.log.canonical import digest, salted_digest
from amie_engine.log.chain import GENESIS, event_hash
from traffic import chunks, request

TARGET_RATIO = 0.6
TARGET_SHARE = 0.12

Call = tuple[str, Sequence[Any]]


class RecordingCursor(sqlite3.Cursor):
    """A cursor that notes what it executes."""

    def execute(self, sql: str, parameters: Any = (), /) -> RecordingCursor:
        calls: list[Call] = self.connection.calls  # type: ignore[attr-defined] # of a RecordingConnection
        calls.append((sql, list(parameters)))
        super().execute(sql, parameters)
        return self


class RecordingConnection(sqlite3.Connection):
    """A connection that notes what it executes, and its commits and rollbacks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: list[Call] = []

    def cursor(self, factory: Any = RecordingCursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.calls.append((sql, list(parameters)))
        return super().execute(sql, parameters)

    def commit(self) -> None:
        self._end("COMMIT")
        super().commit()

    def rollback(self) -> None:
        self._end("ROLLBACK")
        super().rollback()

    def _end(self, sql: str) -> None:
        if self.in_transaction:
            self.calls.append((sql, []))


def record(file: Path, packets: list[dict[str, Any]]) -> list[list[Call]]:
    """Receive packets into a fresh log, and return what was executed for each."""
    opened: list[RecordingConnection] = []

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(*arguments, factory=RecordingConnection, **options))
        return opened[-1]

    per_packet = []
    with Engine(f"sqlite:///{file}", site="NCSA") as engine:
        engine.database.engine.dispose()
        event.listen(engine.database.engine, "do_connect", connect)
        engine.receive(packets[0])
        for packet in packets[1:]:
            for connection in opened:
                connection.calls.clear()
            engine.receive(packet)
            [calls] = [connection.calls for connection in opened if connection.calls]
            per_packet.append(list(calls))
    return per_packet


def replay(file: Path, first: dict[str, Any], recorded: list[list[Call]]) -> Callable[[int], None]:
    """Return a function that executes what was recorded for a packet, on an identical file."""
    # The first packet of the recording stands in the log already, under ids that nothing after it names.
    with Engine(f"sqlite:///{file}", site="NCSA") as engine:
        engine.receive(first)
    connection = connect_durably(file)
    cursor = connection.cursor()

    def replay_one(number: int) -> None:
        for sql, parameters in recorded[number]:
            cursor.execute(sql, parameters)
            if cursor.description is not None:
                cursor.fetchall()

    return replay_one


def insert(file: Path, recorded: list[list[Call]]) -> Callable[[int], None]:
    """Return a function that inserts a packet's event, and commits."""
    with Engine(f"sqlite:///{file}", site="NCSA"):
        pass
    connection = connect_durably(file)
    inserts = [
        next(call for call in calls if call[0].startswith("INSERT INTO amie_events")) for calls in recorded
    ]

    def insert_one(number: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(*inserts[number])
        connection.execute("COMMIT")

    return insert_one


def connect_durably(file: Path) -> sqlite3.Connection:
    """A bare connection with the same durability as the engine's."""
    connection = sqlite3.connect(file, isolation_level=None)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def chain_times(file: Path) -> tuple[float, float]:
    """Return the seconds that an event's hash takes, and those that the digests which it covers take."""
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT * FROM amie_events ORDER BY position").fetchall()
    headers = [tuple(row[:14]) for row in rows]
    previous = GENESIS
    began = perf_counter()
    for header, row in zip(headers, rows, strict=True):
        previous = event_hash(previous, header, row[15], row[18])
    chained = perf_counter() - began
    assert previous == rows[-1][19]
    began = perf_counter()
    for row in rows:
        digest(row[14])
        salted_digest(row[17], row[16])
    digested = perf_counter() - began
    return chained / len(rows), digested / len(rows)


def timed(one: Callable[[int], Any], numbers: range) -> float:
    """Return the seconds that each of the calls took, on average."""
    began = perf_counter()
    for number in numbers:
        one(number)
    return (perf_counter() - began) / len(numbers)


def measure(folder: Path, packets: list[dict[str, Any]], size: int) -> None:
    """Measure, and print the table."""
    recorded = record(folder / "recorded.db", packets)
    with Engine(f"sqlite:///{folder / 'engine.db'}", site="NCSA") as engine:
        engine.receive(packets[0])

        def receive(number: int) -> None:
            assert engine.receive(packets[number + 1]).kind is OutcomeKind.ACCEPTED

        rivals = {
            "Engine.receive": receive,
            "the same statements, bare sqlite3": replay(folder / "bare.db", packets[0], recorded),
            "one INSERT and commit": insert(folder / "insert.db", recorded),
        }
        times: dict[str, list[float]] = {name: [] for name in rivals}
        for numbers in chunks(len(recorded), size):
            for name, one in rivals.items():
                times[name].append(timed(one, numbers))
    medians = {name: median(values) for name, values in times.items()}
    receiving, bare, inserting = medians.values()
    chained, digested = chain_times(folder / "engine.db")
    statements = median(len(calls) for calls in recorded)
    print(f"{len(recorded)} packets in chunks of {size}; {statements:.0f} statements a packet\n")
    print(f"{'median of the chunks':38} {'us a packet':>12} {'packets/s':>10}")
    for name, value in medians.items():
        print(f"{name:38} {value * 1e6:12.0f} {1 / value:10.0f}")
    print(f"{'the hash chain':38} {chained * 1e6:12.1f}")
    print(f"{'the digests of facts and document':38} {digested * 1e6:12.1f}\n")
    print(f"{'ratio':38} {'measured':>12} {'target':>10}")
    print(f"{'receive to the same statements':38} {bare / receiving:12.2f} {f'>= {TARGET_RATIO}':>10}")
    print(f"{'receive to one INSERT':38} {inserting / receiving:12.2f}")
    print(f"{'hash chain in receive':38} {chained / receiving:12.1%} {f'<= {TARGET_SHARE:.0%}':>10}")
    print(f"{'hash chain and digests in receive':38} {(chained + digested) / receiving:12.1%}")


def profile(folder: Path, packets: list[dict[str, Any]]) -> None:
    """Print where the time of ``receive`` goes."""
    profiler = cProfile.Profile()
    with Engine(f"sqlite:///{folder / 'profile.db'}", site="NCSA") as engine:
        engine.receive(packets[0])
        profiler.enable()
        for packet in packets[1:]:
            engine.receive(packet)
        profiler.disable()
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(10)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--packets", type=int, default=1000, help="how many packets (default: 1000)")
    parser.add_argument("--chunk", type=int, default=25, help="how many in a row (default: 25)")
    parser.add_argument("--folder", type=Path, default=Path(), help="a folder on the disk to measure")
    parser.add_argument("--profile", action="store_true", help="also print where the time of receive goes")
    arguments = parser.parse_args()
    packets = [request(number) for number in range(arguments.packets + 1)]
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="receive-") as name:
        measure(Path(name), packets, arguments.chunk)
        if arguments.profile:
            profile(Path(name), packets)


if __name__ == "__main__":
    main()
