"""Several threads and several processes at one file."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from amie_engine.log.store import EventLog
from tests.log.chain_check import broken_at, read_rows
from tests.log.writers import append_often, append_to_one_stream, run_process

Connect = Callable[[], sqlite3.Connection]
WRITERS = ("one", "two", "three")
COUNT = 8


def check(connection: sqlite3.Connection) -> None:
    """Every event is there, once, in an unbroken chain; each stream has all its versions."""
    rows = read_rows(connection)
    assert broken_at(rows) == []
    assert [row["position"] for row in rows] == list(range(1, 3 * COUNT * len(WRITERS) + 1))
    for writer in WRITERS:
        assert [row["version"] for row in rows if row["stream"] == writer] == list(range(1, 2 * COUNT + 1))
        # Both events of a transaction stand side by side: nobody else's come in between.
        pairs = [row["position"] for row in rows if row["stream"] == writer]
        assert all(second == first + 1 for first, second in zip(pairs[::2], pairs[1::2], strict=True))
    shared = [row for row in rows if row["stream"] == "shared"]
    assert [row["version"] for row in shared] == list(range(1, COUNT * len(WRITERS) + 1))
    for writer in WRITERS:
        assert sum(f'"{writer}"' in row["facts"] for row in shared) == COUNT
    times = [row["recorded_at"] for row in rows]
    assert times == sorted(times)


def test_threads(log: EventLog, bare: Connect) -> None:
    with ThreadPoolExecutor(len(WRITERS)) as pool:
        for work in [pool.submit(append_often, log, writer, COUNT) for writer in WRITERS]:
            work.result()
        for work in [pool.submit(append_to_one_stream, log, writer, COUNT) for writer in WRITERS]:
            work.result()
    check(bare())


def test_processes_that_open_one_new_file_at_once_and_append_to_it(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=run_process, args=(f"sqlite:///{file}", writer, COUNT)) for writer in WRITERS
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with closing(sqlite3.connect(file)) as connection:
        check(connection)
