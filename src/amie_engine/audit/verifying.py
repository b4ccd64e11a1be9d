"""Verifying a log: is everything in it as the engine wrote it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from amie_engine.audit.counter import check_counter, read_end
from amie_engine.audit.missing import MissingDocuments, Read
from amie_engine.audit.problems import OF_PROJECTIONS, OF_SEALS, Findings, Problem, problem
from amie_engine.audit.projections import Difference, ProjectionCheck, check_projections
from amie_engine.audit.seal import CheckedSeal, Seal, check_seal
from amie_engine.audit.walk import EVENTS, Row, Walk
from amie_engine.errors import TemporaryTablesRefused
from amie_engine.log.database import Database
from amie_engine.log.migrate import check_schema
from amie_engine.log.statements import Statement

__all__ = ["Verdict", "Verification", "verify"]

Progress = Callable[[int, int], None]

_PAGE = 200
"""Events read in one transaction: few enough to be still in the processor's cache when they are hashed."""

_NEXT = Statement("SELECT min(position) FROM amie_events WHERE position > :after")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying came to.

    Attributes:
        events: How many events were looked at.
        position: The newest of them.
        bytes: How many bytes of them were hashed.
        seconds: How long that took.
        count: How many problems there are.
        kinds: How many of each code.
        problems: The first of them, in the order of their positions.
        seals: The seals that the log was compared with, and what came of each.
        since: That behind which the events were looked at; none were if the log does not contain it.
        projections: How many rows of the projections were compared with the events; None where none were.
        not_compared: Why none were, where the database did not allow it.
    """

    events: int
    position: int
    bytes: int
    seconds: float
    count: int
    kinds: dict[str, int]
    problems: tuple[Problem, ...]
    seals: tuple[CheckedSeal, ...] = ()
    since: CheckedSeal | None = None
    projections: int | None = None
    not_compared: str | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong: neither with the events, nor with a projection or a seal."""
        return self.count == 0

    @property
    def events_whole(self) -> bool:
        """Whether nothing is wrong with the events that were looked at, and with the counter row."""
        return self.kinds.keys() <= OF_SEALS | OF_PROJECTIONS

    @property
    def projections_agree(self) -> bool | None:
        """Whether the projections say what the events say; None where they were not compared."""
        return None if self.projections is None else self.kinds.keys().isdisjoint(OF_PROJECTIONS)


def verify(
    database: Database,
    *,
    seals: Sequence[Seal] = (),
    since: Seal | None = None,
    projections: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Check all that the log promises of its events, of every site and hub in it.

    It is read in pages of short transactions, up to the newest event at the beginning: nobody has to wait,
    and nothing is changed. Memory does not grow with the log.

    Args:
        database: Where the log is.
        seals: What the log must still contain.
        since: The same; and only what is behind it is looked at, in a time that depends on that alone.
        projections: Whether to compare the projections with the events too, where these are whole and all
            were looked at. That takes most of the time, and temporary tables: where the database allows none,
            `Verdict.not_compared` says so.
        progress: Called with how many events are done, and how many there are.

    Raises:
        LogError: The database is no log of this release, or can't be read.
    """
    begun = perf_counter()
    check_schema(database, make=False)
    verification = Verification(database.read, seals=seals, since=since, progress=progress)
    verification.run()
    verdict = verification.verdict(perf_counter() - begun)
    if not projections or since is not None or not verdict.events_whole:
        return verdict
    try:
        compared = check_projections(database, progress or (lambda done, total: None))
    except TemporaryTablesRefused as error:
        return replace(verdict, not_compared=str(error))
    verification.findings.add(_differing(compared))
    count = sum(compared.rows.values())
    return replace(verification.verdict(verdict.seconds), projections=count)


def _differing(compared: ProjectionCheck) -> Iterator[Problem]:
    """A problem for each projection that differs, at the event of its first difference."""
    first: dict[str, Difference] = {}
    for difference in compared.differences:
        first.setdefault(difference.table, difference)
    for table, count in compared.differing.items():
        rows = "1 row differs" if count == 1 else f"{count:,} rows differ"
        # A damaged file may count rows that it does not show.
        position = first[table].position if table in first else None
        of_event = "" if position is None else f", first that of event {position}"
        told = f"{table}: {rows} from what the events say{of_event}."
        yield problem(position, "projection-differs", told)


class Verification:
    """One verification of a log, through whatever transactions it is read in.

    Args:
        read: Begins a transaction to read in.
        seals: What the log must still contain.
        since: The same, and where to begin.
        progress: Called with how many events are done, and how many there are.
    """

    def __init__(
        self,
        read: Read,
        *,
        seals: Sequence[Seal] = (),
        since: Seal | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.findings = Findings()
        self._read = read
        self._seals = seals
        self._since = since
        self._checked: tuple[CheckedSeal, ...] = ()
        self._begin: CheckedSeal | None = None
        self._progress = progress
        after = 0 if since is None else since.position
        self._missing = MissingDocuments(after)
        self._walk = Walk(self.findings, self._missing)
        if since is not None:
            self._walk = Walk(
                self.findings,
                self._missing,
                position=after,
                hash=since.hash,
                recorded_at=since.recorded_at,
            )

    def run(self) -> None:
        """Look at everything."""
        with self._read() as cursor:
            until = read_end(cursor).position
            self.findings.add(check_counter(cursor))
            self._checked = tuple(check_seal(cursor, seal) for seal in self._seals)
            self._begin = None if self._since is None else check_seal(cursor, self._since)
        checked = self._checked if self._begin is None else (*self._checked, self._begin)
        self.findings.add(one.problem for one in checked if one.problem is not None)
        if self._begin is not None and not self._begin.is_contained:
            return  # no event can follow from a hash that is not in the log
        self._go_on(until)
        while self._missing.unexplained and (newest := self._newest()) > until:
            # Their documents may have been erased while we read: then the event of it is behind the end.
            until = newest
            self._go_on(until)
        self.findings.add(self._missing.problems(self._read))

    def verdict(self, seconds: float) -> Verdict:
        """Return what it came to."""
        walk, findings = self._walk, self.findings
        return Verdict(
            events=walk.events,
            position=walk.position,
            bytes=walk.bytes,
            seconds=seconds,
            count=findings.kinds.total(),
            kinds=dict(findings.kinds),
            problems=findings.first,
            seals=self._checked,
            since=self._begin,
        )

    def _newest(self) -> int:
        with self._read() as cursor:
            return read_end(cursor).position

    def _go_on(self, until: int) -> None:
        """Look at the events up to a position."""
        begun = self._walk.position
        for rows in self._pages(begun, until):
            self._walk.check(rows)
            if self._progress is not None:
                self._progress(self._walk.position - begun, until - begun)
        self._walk.end(until)

    def _pages(self, after: int, until: int) -> Iterator[list[Row]]:
        """Yield the events in a range of positions, a page after another."""
        while after < until:
            end = min(after + _PAGE, until)
            with self._read() as cursor:
                rows = EVENTS.read(cursor, {"after": after, "until": end})
                if not rows:  # a gap that may be of any size
                    (following,) = cursor.one(_NEXT, {"after": end})
                    end = until if following is None else min(following - 1, until)
            yield rows
            after = end
