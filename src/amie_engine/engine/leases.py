"""Leases: who is at work on what, so that no two workers are, in threads or on hosts of one log.

A lease ends when its work does, when its time is up, or when the process that holds it is known to be gone:
on the same host that is known at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex

from amie_engine.engine.processes import is_gone, this_process
from amie_engine.engine.unit import UnitOfWork, View
from amie_engine.errors import LeaseLost
from amie_engine.log.statements import Cursor, ListStatement, Statement
from amie_engine.log.store import EventLog, format_time

__all__ = [
    "LEASE_TIME",
    "Lease",
    "Leases",
    "check_lease",
    "end_lease",
    "has_ended",
    "holder_is_gone",
    "is_free",
    "lasts_until",
    "lost",
    "new_token",
    "no_longer_at_work",
    "renew_lease",
]

LEASE_TIME = timedelta(minutes=15)
"""How long a handler may take from one sign of life to the next, unless a site says otherwise."""

_MAY_BEGIN = Statement(
    "SELECT l.holder, l.expires_at, l.token FROM amie_work w"
    " LEFT JOIN amie_leases l ON l.stream = w.stream AND l.packet_rec_id = w.packet_rec_id"
    " WHERE w.stream = :stream AND w.packet_rec_id = :packet_rec_id"
    " AND w.status IN ('ready', 'waiting', 'retrying')"
    " AND (w.not_before IS NULL OR w.not_before <= :taken_at)"
)
# On PostgreSQL, whoever appends to the transaction just now, or takes the same item, holds the row: another
# item is found faster than waiting for them.
_MAY_BEGIN_LOCKED = Statement(f"{_MAY_BEGIN.sql} FOR UPDATE OF w SKIP LOCKED")
_MAY_BEGIN_AMONG = ListStatement(
    "SELECT w.stream, w.packet_rec_id, l.holder, l.expires_at, l.token FROM amie_work w"
    " LEFT JOIN amie_leases l ON l.stream = w.stream AND l.packet_rec_id = w.packet_rec_id"
    " WHERE w.stream IN ({each}) AND w.status IN ('ready', 'waiting', 'retrying')"
    " AND (w.not_before IS NULL OR w.not_before <= :taken_at)"
)
_HELD_LOCKED = Statement(
    "SELECT 1 FROM amie_leases WHERE stream = :stream AND packet_rec_id = :packet_rec_id"
    " FOR UPDATE SKIP LOCKED"
)
_TAKE = Statement(
    "INSERT INTO amie_leases (stream, packet_rec_id, hub, site, holder, token, taken_at, expires_at)"
    " VALUES (:stream, :packet_rec_id, :hub, :site, :holder, :token, :taken_at, :expires_at)"
    " ON CONFLICT (stream, packet_rec_id) DO UPDATE SET holder = excluded.holder, token = excluded.token,"
    " taken_at = excluded.taken_at, expires_at = excluded.expires_at"
    " WHERE amie_leases.token = :token_before AND amie_leases.expires_at = :expires_before"
)
_TOKEN = Statement("SELECT token FROM amie_leases WHERE stream = :stream AND packet_rec_id = :packet_rec_id")
_TOKEN_LOCKED = Statement(f"{_TOKEN.sql} FOR UPDATE")
_RENEW = Statement(
    "UPDATE amie_leases SET expires_at = :expires_at"
    " WHERE stream = :stream AND packet_rec_id = :packet_rec_id AND token = :token"
)
_DROP = Statement(
    "DELETE FROM amie_leases WHERE stream = :stream AND packet_rec_id = :packet_rec_id AND token = :token"
)
_ALL = Statement(
    "SELECT stream, packet_rec_id, holder, token, taken_at, expires_at FROM amie_leases"
    " WHERE hub = :hub AND site = :site"
)
_OF_NOTHING = Statement(
    "SELECT stream, packet_rec_id, holder, token, taken_at, expires_at FROM amie_leases l"
    " WHERE hub = :hub AND site = :site AND NOT EXISTS (SELECT 1 FROM amie_work w"
    " WHERE w.stream = l.stream AND w.packet_rec_id = l.packet_rec_id AND w.status <> 'done')"
)
_at_work: dict[str, datetime] = {}
"""The tokens of the leases under which something goes on in this process, and until when each lasts."""

_LONG_OVER = timedelta(hours=1)
"""How long after its time a lease of nothing is swept away: whoever held it may still be about to end it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only one at work on something.

    Attributes:
        stream: The transaction.
        packet_rec_id: The packet that waits for the site in it.
        holder: The process that has it, as the operator sees it.
        token: What tells this lease from every other.
        taken_at: Since when.
        expires_at: Until when, unless it is renewed.
        taken_over_from: The holder before, which did not end its work. Not this process, where it knows that
            it did: the database could not be told.
    """

    stream: str
    packet_rec_id: str
    holder: str
    token: str
    taken_at: datetime
    expires_at: datetime
    taken_over_from: str | None = None

    @property
    def lasts(self) -> timedelta:
        """How long it is held from one sign of life to the next."""
        return self.expires_at - self.taken_at

    def is_over(self, now: datetime) -> bool:
        """Whether somebody else may take it: its time is up, or the process on this host is gone."""
        return self.expires_at <= now or holder_is_gone(self.holder, self.token)


class Leases:
    """The leases of one site.

    Args:
        log: Its log.
        now: Gives the time, with zone.
    """

    def __init__(self, log: EventLog, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now
        self._has_company = False

    def all(self, cursor: Cursor) -> dict[tuple[str, str], Lease]:
        """Return every lease, by transaction and packet."""
        rows = cursor.all(_ALL, {"hub": self._log.hub, "site": self._log.site})
        return {(row[0], row[1]): _lease(*row) for row in rows}

    def take_first(self, items: Sequence[tuple[str, str]], *, lasts: timedelta) -> Lease | None:
        """Take the lease of the first of some items of work that nobody has and that can be worked on now.

        It is a short transaction of its own, which does not touch the log. What several workers have before
        them is mostly the same: where the first is not free, one query tells which of the others are.

        Args:
            items: Transaction and packet of each.
            lasts: How long the lease lasts, unless it is renewed.

        Returns:
            The lease; None where somebody has each of them, or nothing is to be done about it now.

        Raises:
            LogError: The database can't be used.
        """
        now = self._now()
        token = new_token(now + lasts)
        lease = None
        try:
            with self._log.database.write() as cursor:
                for stream, packet_rec_id in self._first_free(cursor, items, now):
                    lease = self._take_in(cursor, stream, packet_rec_id, token, now, lasts)
                    if lease is not None:
                        break
        except BaseException:  # a commit in doubt: where the lease is there, nobody is at work under it
            no_longer_at_work(token)
            raise
        if lease is None:
            no_longer_at_work(token)
        self._has_company = lease is None or (lease.stream, lease.packet_rec_id) != items[0]
        return lease

    def _first_free(
        self, cursor: Cursor, items: Sequence[tuple[str, str]], now: datetime
    ) -> Iterator[tuple[str, str]]:
        """Yield the items that look free, in their order; the first at once, unless others were lately at
        work on what this one began with. What is yielded may be taken by others at any time."""
        if not self._has_company or len(items) == 1:
            yield items[0]
            items = items[1:]
        if not items:
            return
        values = {"taken_at": format_time(now)}
        rows = _MAY_BEGIN_AMONG.all(cursor, values, {stream for stream, _ in items})
        free = {(stream, packet_rec_id) for stream, packet_rec_id, *held in rows if is_free(held, now)}
        yield from (item for item in items if item in free)

    def _take_in(
        self, cursor: Cursor, stream: str, packet_rec_id: str, token: str, now: datetime, lasts: timedelta
    ) -> Lease | None:
        """Take the lease in a transaction that the caller commits."""
        key = {"stream": stream, "packet_rec_id": packet_rec_id}
        may_begin = _MAY_BEGIN_LOCKED if cursor.is_postgresql else _MAY_BEGIN
        held = cursor.one(may_begin, key | {"taken_at": format_time(now)})
        if held is None or not is_free(held, now):
            return None
        holder_before, expires_before, token_before = held
        if cursor.is_postgresql and holder_before is not None and cursor.one(_HELD_LOCKED, key) is None:
            return None  # whoever has it ends it just now, and would wait for us, and we for them
        taken_over_from = None if _has_ended_here(holder_before, token_before) else holder_before
        lease = Lease(stream, packet_rec_id, this_process(), token, now, now + lasts, taken_over_from)
        values = {
            "hub": self._log.hub,
            "site": self._log.site,
            "holder": lease.holder,
            "token": lease.token,
            "taken_at": format_time(lease.taken_at),
            "expires_at": format_time(lease.expires_at),
        }
        before = {"token_before": token_before, "expires_before": expires_before}
        is_taken = cursor.run(_TAKE, key | values | before) == 1  # else its holder has just renewed it
        return lease if is_taken else None

    def renew(self, lease: Lease) -> None:
        """Make a lease last from now on.

        Raises:
            LeaseLost: Somebody else has it by now.
        """
        with self._log.database.write() as cursor:
            renew_lease(cursor, lease, self._now())

    def sweep(self, cursor: Cursor) -> None:
        """Remove what is left of workers that are gone, and whose work others have done: nobody takes such a
        lease over. The caller commits."""
        at_the_latest = self._now() - _LONG_OVER
        for row in cursor.all(_OF_NOTHING, {"hub": self._log.hub, "site": self._log.site}):
            lease = _lease(*row)
            if lease.is_over(at_the_latest):
                cursor.run(_DROP, _key(lease))

    def give_back(self, lease: Lease) -> None:
        """End a lease, if what was put on record has not ended it.

        Where the database can't be used just now, it ends all the same for this process.
        """
        if lease.token not in _at_work:
            return
        try:
            with self._log.database.write() as cursor:
                cursor.run(_DROP, _key(lease))
        finally:
            no_longer_at_work(lease.token)


def has_ended(lease: Lease) -> None:
    """Note that a lease has ended with what was put on record, once that is committed."""
    no_longer_at_work(lease.token)


def check_lease(view: View, lease: Lease) -> None:
    """Make sure that a lease is still held; in a unit of work, nobody can take it before the commit.

    Raises:
        LeaseLost: Somebody else has it by now, or had it and has done the work.
    """
    is_locked = isinstance(view, UnitOfWork) and view.cursor.is_postgresql
    row = view.cursor.one(
        _TOKEN_LOCKED if is_locked else _TOKEN, {"stream": lease.stream, "packet_rec_id": lease.packet_rec_id}
    )
    if row is None or row[0] != lease.token:
        raise lost(lease)


def renew_lease(cursor: Cursor, lease: Lease, now: datetime) -> None:
    """Make a lease last from now on, in a transaction that the caller commits.

    Raises:
        LeaseLost: Somebody else has it by now.
    """
    if cursor.run(_RENEW, _key(lease) | {"expires_at": format_time(now + lease.lasts)}) == 0:
        raise lost(lease)
    if lease.token in _at_work:
        _at_work[lease.token] = now + lease.lasts


def end_lease(unit: UnitOfWork, lease: Lease) -> None:
    """End a lease, in the unit of work that puts on record what was done under it.

    Raises:
        LeaseLost: Somebody else has it by now, or had it and has done the work.
    """
    if unit.cursor.run(_DROP, _key(lease)) == 0:
        raise lost(lease)


def new_token(expires_at: datetime) -> str:
    """Return what tells a lease from every other, before it is committed: from then on everybody can see it.
    Until `no_longer_at_work`, something goes on under it in this process."""
    token = token_hex(8)
    _at_work[token] = expires_at
    return token


def lasts_until(token: str) -> datetime | None:
    """Return until when a lease lasts, or lasted, under which something goes on in this process; None where
    nothing does."""
    return _at_work.get(token)


def no_longer_at_work(token: str) -> None:
    """Note that nothing goes on in this process any more under the lease of a token."""
    _at_work.pop(token, None)


def holder_is_gone(holder: str, token: str) -> bool:
    """Whether a holder is known to be at work no more. This process knows under which leases it is."""
    return _has_ended_here(holder, token) if holder == this_process() else is_gone(holder)


def _has_ended_here(holder: str | None, token: str | None) -> bool:
    """Whether this process had a lease, and is at work under it no more."""
    return holder == this_process() and token not in _at_work


def is_free(held: Sequence[str | None], now: datetime) -> bool:
    """Whether an item can be taken: nobody has it, or its lease, by holder, end and token, is over, or its
    holder gone."""
    holder, expires_at, token = held
    if holder is None or expires_at is None or token is None:
        return True
    return datetime.fromisoformat(expires_at) <= now or holder_is_gone(holder, token)


def _key(lease: Lease) -> dict[str, str]:
    return {"stream": lease.stream, "packet_rec_id": lease.packet_rec_id, "token": lease.token}


def _lease(stream: str, packet_rec_id: str, holder: str, token: str, taken_at: str, expires_at: str) -> Lease:
    times = datetime.fromisoformat(taken_at), datetime.fromisoformat(expires_at)
    return Lease(stream, packet_rec_id, holder, token, *times)


def lost(lease: Lease) -> LeaseLost:
    """Return the error of whoever goes on under a lease that is over."""
    return LeaseLost(
        f"The work on packet {lease.packet_rec_id} took longer than its lease, which ended at"
        f" {lease.expires_at:%Y-%m-%d %H:%M:%S %Z}: somebody else has taken it over."
    )
