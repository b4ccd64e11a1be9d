"""``python -m amie_engine.testing.crashes``: every crash point of the engine's own courses."""

from __future__ import annotations

import argparse
import os
import sys
import time

from amie_engine.testing.crashes.course import Course
from amie_engine.testing.crashes.courses import COURSES
from amie_engine.testing.crashes.trying import Crash, Report, try_every_point


def main() -> int:
    """Try what the command line names, and tell what came of it; 1 where something went wrong."""
    names = [course.name for course in COURSES]
    parser = argparse.ArgumentParser(
        prog="python -m amie_engine.testing.crashes",
        description="Kill a site's process at every point, start another, and look whether all is well.",
        epilog=f"The courses: {'; '.join(names)}.",
    )
    parser.add_argument("course", nargs="*", help="only these courses", metavar="COURSE")
    parser.add_argument(
        "--server", metavar="URL", help="a PostgreSQL database to make schemas in; else SQLite"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many tries side by side")
    parser.add_argument(
        "--lasting-only",
        action="store_true",
        help="leave out points at which a crash leaves the same behind as at the one before",
    )
    given = parser.parse_args()
    for name in given.course:
        if name not in names:
            parser.error(f"there is no course {name!r}; there are: {'; '.join(names)}")
    began = time.monotonic()
    reports = [
        _try(course, given.server, given.jobs, given.lasting_only)
        for course in COURSES
        if course.name in (given.course or names) and not (course.from_nothing and given.server)
    ]
    points = sum(report.points for report in reports)
    tried = sum(len(report.crashes) for report in reports)
    wrong = sum(len(report.failures) for report in reports)
    print(
        f"{len(reports)} course{'s' if len(reports) > 1 else ''} on {reports[0].database}: {points:,} points,"
        f" {tried:,} crashes tried,"
        f" {wrong or 'none'} went wrong ({time.monotonic() - began:,.0f} s)."
    )
    return 1 if wrong else 0


def _try(course: Course, server: str | None, jobs: int, lasting_only: bool) -> Report:
    done = 0

    def show(crash: Crash, of: int) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(f"\r{course.name}: {done:,} of {of:,} ", end="", file=sys.stderr, flush=True)

    report = try_every_point(course, server=server, jobs=jobs, lasting_only=lasting_only, on_crash=show)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(report, flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
