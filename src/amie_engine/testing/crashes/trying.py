"""Trying every point: kill the process there, start another, and look whether all is as it must be."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any
from uuid import uuid4

from amie_engine.errors import SettingsError
from amie_engine.sandbox import Sandbox
from amie_engine.sandbox.server import SandboxServer
from amie_engine.testing.crashes.checking import Ending, differences, ending_of, problems_in
from amie_engine.testing.crashes.child import CLOCK, JOURNAL, Place, work_until_done
from amie_engine.testing.crashes.course import Course
from amie_engine.testing.crashes.databases import Databases, PostgreSQLSchema, SQLiteFiles
from amie_engine.testing.crashes.journal import read_journal
from amie_engine.testing.crashes.shared_clock import SharedClock

__all__ = ["Crash", "Report", "try_every_point"]

_PATIENCE = 120.0
"""Seconds in which a process must end that takes less than two."""

_KILLED = -9

_one_at_a_time = Lock()
"""Starting a process, multiprocessing also asks how all others have ended; and of two threads that ask the
same process, one is told wrong."""

_MEMORY = "/dev/shm"  # noqa: S108 # the folder made in it is private


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash at one point, and what came of it.

    Attributes:
        number: Which point, from 1.
        where: What was done there: before or after a statement, a call, a step.
        problems: What was wrong afterwards; a sentence each.
    """

    number: int
    where: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What trying every point came to.

    Attributes:
        course: The course's name.
        database: ``SQLite`` or ``PostgreSQL``.
        points: How many points there are.
        crashes: What came of a crash at each that was tried.
    """

    course: str
    database: str
    points: int
    crashes: tuple[Crash, ...] = field(repr=False)

    @property
    def failures(self) -> tuple[Crash, ...]:
        """The crashes after which something was wrong."""
        return tuple(crash for crash in self.crashes if crash.problems)

    def __str__(self) -> str:
        tried = f"{len(self.crashes):,} of {self.points:,}" if len(self.crashes) < self.points else "all"
        lines = [f"{self.course} on {self.database}: {self.points:,} points, {tried} tried: {self._result()}"]
        for crash in self.failures:
            lines.append(f"  killed at point {crash.number}, {crash.where}:")
            lines += [f"    {problem}" for problem in crash.problems]
        return "\n".join(lines)

    def _result(self) -> str:
        return f"{len(self.failures):,} went wrong" if self.failures else "nothing lost, nothing twice"


def try_every_point(
    course: Course,
    *,
    server: str | None = None,
    jobs: int = 1,
    lasting_only: bool = False,
    on_crash: Callable[[Crash, int], object] = lambda crash, points: None,
) -> Report:
    """Play a course again and again, with a crash at another point each time; return what came of each.

    A point is before and after each statement, commit and rollback of a database, each HTTP call, each call
    of a subscriber or a handler, and each step in one. At the point, the process is killed with SIGKILL.
    Another one is started on what it has left, and works until nothing is left to do. Then this must hold:

    - what was committed is in the log, and nothing else stands in its place;
    - each step was done once; once more only if the process died while it was done;
    - each subscriber has taken every event that it wants, in order and at least once, but for
      what a person had it skip;
    - the site posts one reply to each packet of the hub's, and all ended as it does without a crash;
    - both sides agree on every transaction, and nothing waits to be sent;
    - the log is whole, and its projections are what the events say;
    - the site's back end has what it has without a crash.

    Args:
        course: What is played.
        server: A PostgreSQL database in which schemas may be made, as a URL; SQLite without one.
        jobs: How many tries are made side by side.
        lasting_only: Whether to leave out a point if nothing was done since the one before that stays when
            the process is killed: a crash there leaves the same behind.
        on_crash: Called with each crash, and how many are tried.

    Raises:
        SettingsError: Without any crash, the course does not end well, or not twice in the same way.
    """
    with _stages(course, server, jobs) as stages:
        stage = stages.get()
        points, expected = stage.rehearse()
        stages.put(stage)

        def crash_at(number: int) -> Crash:
            stage = stages.get()
            try:
                where = points[number - 1]["where"]
                crash = Crash(number, where, tuple(stage.crash(number, where, expected)))
            finally:
                stages.put(stage)
            on_crash(crash, len(chosen))
            return crash

        numbered = enumerate(points, start=1)
        chosen = [number for number, point in numbered if point["differs"] or not lasting_only]
        with ThreadPoolExecutor(jobs) as pool:
            crashes = tuple(pool.map(crash_at, chosen))
    return Report(course.name, "SQLite" if server is None else "PostgreSQL", len(points), crashes)


@contextmanager
def _stages(course: Course, server: str | None, jobs: int) -> Iterator[SimpleQueue[_Stage]]:
    """As many stages as there are jobs; whoever takes one puts it back."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["__main__", work_until_done.__module__, "psycopg", course.site.__module__]
    )
    stages: SimpleQueue[_Stage] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="amie-crashes-", dir=_in_memory()) as name, ExitStack() as stack:
        for number in range(jobs):
            folder = Path(name, str(number))
            folder.mkdir()
            databases: Databases = SQLiteFiles(folder)
            if server is not None:
                databases = PostgreSQLSchema(server, f"crashes_{uuid4().hex}")
            stages.put(_Stage(context, course, folder / "try", stack.enter_context(databases)))
        yield stages


def _in_memory() -> str | None:
    """A folder in memory, where there is one: what is killed is the process, not the machine, and waiting for
    a disk takes most of the time otherwise."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


class _Stage:
    """Where one try is made after the other."""

    def __init__(
        self, context: ForkServerContext, course: Course, folder: Path, databases: Databases
    ) -> None:
        self._context = context
        self._course = course
        self._folder = folder
        self._databases = databases

    def rehearse(self) -> tuple[list[dict[str, Any]], Ending]:
        """Play without a crash; return where the points are, and how it ends."""
        with self._set() as (service, place):
            exit_code = self._work(place, None, tells=True)
            problems = [] if exit_code == 0 else [f"The process ended with {exit_code}."]
            problems += problems_in(service, place.database, place.folder)
            points = [note for note in read_journal(self._folder / JOURNAL) if note["what"] == "point"]
            ending = self._ending(service)
        if problems:
            raise SettingsError(
                f"The course {self._course.name} goes wrong without any crash: {' '.join(problems)}",
                hint="Mend that first.",
            )
        return points, ending

    def crash(self, number: int, where: str, expected: Ending) -> Iterator[str]:
        """Kill the process at a point and start another; yield what is wrong afterwards."""
        with self._set() as (service, place):
            exit_code = self._work(place, number)
            if exit_code != _KILLED:
                yield f"The process did not come to the point: it ended with {exit_code}."
                return
            killed = [
                note["where"] for note in read_journal(self._folder / JOURNAL) if note["what"] == "killed"
            ]
            if killed != [where]:
                yield f"The course takes another way each time: this point was {' '.join(killed)}."
                return
            exit_code = self._work(place, None)
            if exit_code != 0:
                yield f"The process that went on ended with {exit_code}."
            yield from problems_in(service, place.database, place.folder)
            yield from differences(self._ending(service), expected)

    def _ending(self, service: Sandbox) -> Ending:
        effects = self._course.effects
        return ending_of(service, () if effects is None else effects(self._folder))

    @contextmanager
    def _set(self) -> Iterator[tuple[Sandbox, Place]]:
        """A fresh folder, database and service."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        clock = SharedClock(self._folder / CLOCK)
        service = self._course.hub(clock)
        url = self._databases.fresh(self._folder, from_nothing=self._course.from_nothing)
        faults = None if self._course.faults is None else self._course.faults()
        with SandboxServer(service, faults=faults) as server:
            yield service, Place(self._folder, url, server.url, service.api_key)

    def _work(self, place: Place, kill_at: int | None, *, tells: bool = False) -> int | None:
        process = self._context.Process(
            target=work_until_done,
            args=(place, self._course.site, self._course.act, kill_at, tells),
            daemon=True,
        )
        with _one_at_a_time:
            try:
                process.start()
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise SettingsError(
                    f"The course {self._course.name!r} can't be played in a process of its own: {error}.",
                    hint="Its functions `site` and `act` have to be at the top of a module.",
                ) from error
        is_over = wait([process.sentinel], _PATIENCE)
        with _one_at_a_time:
            if not is_over:
                process.kill()
            process.join()
            return process.exitcode if is_over else None
