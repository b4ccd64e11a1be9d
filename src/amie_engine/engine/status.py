"""All that matters to an operator now, in one look at the log.

What has ended is never read: every count is one over what is open, for which there are partial indexes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from amie_engine.engine.daemons import Daemon
from amie_engine.engine.needs import (
    ATTEMPTS_TOO_MANY,
    UNPOLLED_TOO_LONG,
    Need,
    OpenOne,
    RejectedEntry,
    moment,
    needs_of_outbox,
    needs_of_quarantine,
    needs_of_service,
    needs_of_transactions,
)
from amie_engine.engine.service import Service, service_of
from amie_engine.engine.start_order import starts_that_wait
from amie_engine.engine.subscriber_needs import needs_of_subscribers
from amie_engine.engine.subscriber_row import SubscriberRow
from amie_engine.engine.unit import View
from amie_engine.log.statements import ListStatement, Statement
from amie_engine.log.store import CLOCKS_DIFFER_BY, format_time
from amie_engine.log.whole import read_head

if TYPE_CHECKING:
    from amie_engine.engine.core import Engine

__all__ = ["WORK_STATES", "OpenCount", "Status", "read_status"]

WORK_STATES = ("ready", "running", "hanging", "waiting", "asking", "blocked", "retrying", "parked")

_OPEN = Statement(
    "SELECT stream, trans_rec_id, type, state, turn, deadline, held, anomalies, updated_at"
    " FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
    # What was held for a transaction that the site began has moved there.
    " AND (type IS NOT NULL OR held > 0 OR state <> 'start' OR anomalies <> '[]')"
    " ORDER BY opened_position"  # by which the database knows the index to use
)
# But for starts that wait for another transaction, {each}: it is late for nobody.
_SENDING = ListStatement(
    "SELECT status, count(*), min(decided_at), count(sent_again), min(sent_again), count(unknown),"
    " min(unknown) FROM (SELECT status, decided_at,"
    " CASE WHEN attempts >= :too_many AND (decided_at < :long_ago OR decided_at > :ahead)"
    " AND attempted_at >= :long_ago"
    " THEN decided_at END AS sent_again,"
    " CASE WHEN attempted_at < :long_ago THEN attempted_at END AS unknown"
    " FROM amie_outbox WHERE hub = :hub AND site = :site"
    " AND status IN ('pending', 'attempting') AND NOT (status = 'pending' AND stream IN ({each}))"
    ") AS sending GROUP BY status"
)
# By way of the open transactions: what was rejected in one that has ended needs nobody any more.
_REJECTED = Statement(
    "SELECT o.stream, t.trans_rec_id, o.packet_type, o.error_code, o.decided_at, t.deadline"
    " FROM amie_transactions t JOIN amie_outbox o ON o.stream = t.stream"
    " WHERE t.hub = :hub AND t.site = :site AND t.state NOT IN ('completed', 'failed')"
    " AND o.status = 'rejected' AND o.error_code NOT IN ('superseded', 'transaction-ended')"
    " ORDER BY t.opened_position"
)
# What ends a transaction: while it is on its way, nobody has to end it otherwise.
_ENDING = Statement(
    "SELECT stream FROM amie_outbox WHERE hub = :hub AND site = :site"
    " AND status IN ('pending', 'attempting')"
    " AND (kind = 'set_failed' OR packet_type = 'inform_transaction_complete')"
)
_QUARANTINE = Statement(
    "SELECT count(*), min(quarantined_at) FROM amie_quarantine"
    " WHERE hub = :hub AND site = :site AND status = 'quarantined'"
)


@dataclass(frozen=True, slots=True)
class OpenCount:
    """How many open transactions are in a state, with whose turn it is: ``hub``, ``site``, or None while only
    packets have come that are held."""

    turn: str | None
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Status:
    """All that matters to an operator.

    Attributes:
        database: Which log, without a password.
        hub: Which hub.
        site: Which site.
        now: When this was so.
        log_ahead: By how much the newest event's time is ahead of the clock, where clocks may not differ by
            so much: one is wrong, or was, and until then no age is told right; else None.
        daemons: The processes that poll, or did until lately; `Daemon.is_alive` tells which are at work.
        daemons_at_work: How many of them are at work.
        service: How polling goes.
        transactions: How many are open, by whose turn it is and by state.
        work: How many items are in each of `WORK_STATES`.
        pending: How much is in the outbox and is sent next.
        waiting: How much is in it and is sent once another transaction has ended.
        attempting: How much was sent, so that whether it has arrived is not known yet.
        outbox_since: When the oldest was decided that is pending or attempting.
        rejected: How much the service has refused, in transactions that are open.
        overdue: Of how many open transactions the deadline has passed.
        near: Of how many it passes soon.
        next_deadline: The next one that has not passed.
        quarantined: How much is in quarantine.
        held: How many packets wait for one that comes before them.
        with_anomalies: In how many open transactions something is odd.
        subscribers: The site's subscribers, and how far each has followed the log.
        needs: What needs a person; nothing goes on with it until somebody does something.
    """

    database: str
    hub: str
    site: str
    now: datetime
    log_ahead: timedelta | None
    daemons: tuple[Daemon, ...]
    daemons_at_work: int
    service: Service
    transactions: tuple[OpenCount, ...]
    work: dict[str, int]
    pending: int
    waiting: int
    attempting: int
    outbox_since: datetime | None
    rejected: int
    overdue: int
    near: int
    next_deadline: datetime | None
    quarantined: int
    held: int
    with_anomalies: int
    subscribers: tuple[SubscriberRow, ...]
    needs: tuple[Need, ...]

    @property
    def open(self) -> int:
        """How many transactions are open."""
        return sum(each.count for each in self.transactions)


def read_status(engine: Engine, view: View) -> Status:
    """Return how things stand in one state of the log."""
    key, now = {"hub": engine.hub, "site": engine.site}, engine.now()
    cursor = view.cursor
    there = [OpenOne.of(row) for row in cursor.all(_OPEN, key)]
    rows = engine.work.open_in(view)
    awaited = starts_that_wait(view)
    limits = {
        "too_many": ATTEMPTS_TOO_MANY,
        "long_ago": format_time(now - UNPOLLED_TOO_LONG),
        "ahead": format_time(now + CLOCKS_DIFFER_BY),
    }
    counted = _SENDING.all(cursor, key | limits, awaited)
    sending = {row[0]: row[1:] for row in counted}
    _, _, again, again_since, unknown, unknown_since = sending.get("attempting", (0, None, 0, None, 0, None))
    newest = moment(read_head(cursor).recorded_at or None)
    ahead_by = (newest or now) - now
    oldest_sent = moment(min((row[1] for row in sending.values()), default=None))
    rejected = [RejectedEntry.of(row) for row in cursor.all(_REJECTED, key)]
    ending = {row[0] for row in cursor.all(_ENDING, key)}
    quarantined, oldest = cursor.one(_QUARANTINE, key)
    daemons = tuple(engine.daemons.all(cursor))
    alive = [daemon for daemon in daemons if daemon.is_alive(now)]
    service = service_of(daemons, alive)
    work = Counter(row.status for row in rows)
    ahead = [one.deadline for one in there if one.deadline is not None and one.deadline >= now]
    subscribers = tuple(engine.subscriptions.in_view(view))
    counts = Counter((one.turn, one.state) for one in there)
    return Status(
        database=engine.database.url,
        hub=engine.hub,
        site=engine.site,
        now=now,
        log_ahead=ahead_by if ahead_by > CLOCKS_DIFFER_BY else None,
        daemons=daemons,
        daemons_at_work=len(alive),
        service=service,
        transactions=tuple(
            OpenCount(turn, state, counts[turn, state])
            for turn, state in sorted(counts, key=lambda each: (each[0] or "", each[1]), reverse=True)
        ),
        work={state: work[state] for state in WORK_STATES},
        pending=sending.get("pending", (0,))[0],
        waiting=len(awaited),
        attempting=sending.get("attempting", (0,))[0],
        outbox_since=None if oldest_sent is None else min(oldest_sent, now),
        rejected=len(rejected),
        overdue=sum(one.is_overdue(now) for one in there),
        near=sum(deadline <= now + engine.deadline_warning for deadline in ahead),
        next_deadline=min(ahead, default=None),
        quarantined=quarantined,
        held=sum(one.held for one in there),
        with_anomalies=sum(bool(one.anomalies) for one in there),
        subscribers=subscribers,
        needs=(
            *needs_of_service(engine.hub, engine.site, daemons, alive, service, now),
            *needs_of_outbox((again, moment(again_since)), (unknown, moment(unknown_since))),
            *needs_of_quarantine(quarantined, moment(oldest)),
            *needs_of_subscribers(subscribers, daemons, now),
            *needs_of_transactions(
                [one for one in there if one.stream not in ending],
                [entry for entry in rejected if entry.stream not in ending],
                [row for row in rows if row.stream not in ending],
                daemons,
                now,
            ),
        ),
    )
