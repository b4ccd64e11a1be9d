"""The trace that a daemon leaves in the log's database: that it is at work, and how polling the service goes.

It is no event, and nothing derives from it: it tells an operator, and a supervisor, about now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from amie_engine.engine.leases import Leases
from amie_engine.engine.processes import host_of, is_gone, number_of
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog, format_time

__all__ = ["SEEN_EVERY", "SEEN_WITHIN", "Daemon", "Daemons", "newest_success", "none_has_ended"]

SEEN_EVERY = timedelta(minutes=6)
"""How often a daemon tells that it is at work where it has nothing else to tell. A poll tells it too, and
comes more often than that unless the service refuses the site's key."""

SEEN_WITHIN = timedelta(minutes=12)
"""How long after its last sign of life a daemon is taken for dead: the longest pause between two, and as long
again for calls that a service is slow to answer."""

_FORGOTTEN_AFTER = timedelta(days=1)

_ALL = Statement(
    "SELECT process, started_at, seen_at, stopped_at, polled_at, succeeded_at, next_poll_at, failures,"
    " error_code, error_at FROM amie_daemons WHERE hub = :hub AND site = :site ORDER BY started_at, process"
)
_PUT = Statement(
    "INSERT INTO amie_daemons (hub, site, process, started_at, seen_at, stopped_at, polled_at, succeeded_at,"
    " next_poll_at, failures, error_code, error_at)"
    " VALUES (:hub, :site, :process, :started_at, :seen_at, :stopped_at, :polled_at, :succeeded_at,"
    " :next_poll_at, :failures, :error_code, :error_at)"
    " ON CONFLICT (hub, site, process) DO UPDATE SET started_at = excluded.started_at,"
    " seen_at = excluded.seen_at, stopped_at = excluded.stopped_at, polled_at = excluded.polled_at,"
    " succeeded_at = excluded.succeeded_at, next_poll_at = excluded.next_poll_at,"
    " failures = excluded.failures, error_code = excluded.error_code, error_at = excluded.error_at"
)
_DROP = Statement("DELETE FROM amie_daemons WHERE hub = :hub AND site = :site AND process = :process")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that polls the service, or did.

    Attributes:
        process: Its name: host, number, and since when it runs.
        started_at: When it began to poll.
        seen_at: Its last sign of life.
        stopped_at: When it stopped in good order.
        polled_at: When it asked the service last.
        succeeded_at: When a poll succeeded last, be it one of a daemon before it.
        next_poll_at: When it means to ask again.
        failures: How many polls in a row have failed by now.
        error_code: Why the last one that failed did; docs/errors.md has a paragraph on it.
        error_at: When that was.
    """

    process: str
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None = None
    polled_at: datetime | None = None
    succeeded_at: datetime | None = None
    next_poll_at: datetime | None = None
    failures: int = 0
    error_code: str | None = None
    error_at: datetime | None = None

    @property
    def host(self) -> str:
        """The name of its host."""
        return host_of(self.process)

    @property
    def number(self) -> str:
        """Its process's number on that host."""
        return number_of(self.process)

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to run no more, though it did not stop in good order."""
        return self.stopped_at is None and is_gone(self.process)

    def is_alive(self, now: datetime, within: timedelta = SEEN_WITHIN) -> bool:
        """Whether it is at work, as far as can be known: its last sign of life is not older than that."""
        return self.stopped_at is None and now - self.seen_at <= within and not self.is_gone


class Daemons:
    """The traces of the daemons of one site.

    Args:
        log: Its log.
        now: Gives the time, with zone.
        leases: Its leases; what is left of them is swept away together with old traces.
    """

    def __init__(self, log: EventLog, now: Callable[[], datetime], leases: Leases) -> None:
        self._log = log
        self._now = now
        self._leases = leases

    def all(self, cursor: Cursor) -> list[Daemon]:
        """Return every trace there is, that of the oldest daemon first."""
        return [_daemon(row) for row in cursor.all(_ALL, self._key)]

    def note(self, daemon: Daemon) -> None:
        """Leave the trace of a daemon. It is a short transaction of its own, which does not touch the log.

        Raises:
            LogError: The database can't be used.
        """
        with self._log.database.write() as cursor:
            cursor.run(_PUT, self._row(daemon))

    def sweep(self, own: Daemon, *, takes_over: bool) -> datetime | None:
        """Remove the traces of daemons that have stopped or were not heard of for a day, and leases of
        workers that are gone; return when a poll of one of the site's daemons succeeded last.

        Args:
            own: The daemon that sweeps; its trace stays.
            takes_over: Whether it goes on polling: then nobody needs to know any more of daemons that are
                gone, though they did not stop in good order.

        Raises:
            LogError: The database can't be used.
        """
        forgotten_before = self._now() - _FORGOTTEN_AFTER
        with self._log.database.write() as cursor:
            there = self.all(cursor)
            succeeded_at = newest_success((own, *there))
            for daemon in there:
                is_over = daemon.stopped_at is not None or daemon.seen_at < forgotten_before
                is_over = is_over or (takes_over and daemon.is_gone)
                if daemon.process != own.process and is_over:
                    cursor.run(_DROP, {**self._key, "process": daemon.process})
            self._leases.sweep(cursor)
        return succeeded_at

    @property
    def _key(self) -> dict[str, str]:
        return {"hub": self._log.hub, "site": self._log.site}

    def _row(self, daemon: Daemon) -> dict[str, object]:
        values = {field.name: getattr(daemon, field.name) for field in fields(daemon)}
        times = {name: format_time(value) for name, value in values.items() if isinstance(value, datetime)}
        return {**self._key, **values, **times}


def newest_success(daemons: Iterable[Daemon]) -> datetime | None:
    """Return when a poll of one of some daemons succeeded last."""
    return max((one.succeeded_at for one in daemons if one.succeeded_at is not None), default=None)


def none_has_ended(daemons: Sequence[Daemon], since: datetime, now: datetime) -> bool:
    """Tell whether every daemon that may have been at work since some time is at work still: what one of them
    did not end, it must be at. Where that can't be known, or there is none, it is not so."""
    there = [daemon for daemon in daemons if daemon.stopped_at is None or daemon.stopped_at >= since]
    return bool(there) and all(one.is_alive(now) and one.started_at <= since for one in there)


def _daemon(row: tuple[str, ...]) -> Daemon:
    values = dict(zip((field.name for field in fields(Daemon)), row, strict=True))
    times = {
        name: datetime.fromisoformat(value)
        for name, value in values.items()
        if name.endswith("_at") and value is not None
    }
    return Daemon(**{**values, **times})  # type: ignore[arg-type] # as the columns are declared
