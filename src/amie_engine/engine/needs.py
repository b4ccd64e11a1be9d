"""What needs a person: nothing goes on with it until somebody does something, and this tells what."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from amie_engine._spans import span_text
from amie_engine.engine.daemons import Daemon, none_has_ended
from amie_engine.engine.leases import Lease
from amie_engine.engine.service import DEFAULT_HUB, Service, ServiceState
from amie_engine.engine.state import UNKNOWN_AT_SERVICE
from amie_engine.engine.work_record import ABANDONED
from amie_engine.engine.work_row import WorkRow
from amie_engine.log.store import CLOCKS_DIFFER_BY

__all__ = [
    "FAILURES_TOO_MANY",
    "Need",
    "NeedKind",
    "OpenOne",
    "RejectedEntry",
    "moment",
    "needs_of_outbox",
    "needs_of_quarantine",
    "needs_of_service",
    "needs_of_transactions",
]

UNPOLLED_TOO_LONG = timedelta(hours=1)
"""How long a service that does not answer may be left alone, one that nobody polls, and something that was
sent and has not arrived."""

ATTEMPTS_TOO_MANY = 3
"""After how many attempts something that has not arrived, and was decided long ago, needs a person: polls are
answered, and what is sent is not. After fewer, it may be that it could not be sent before."""

_HELD_TOO_LONG = timedelta(hours=1)
"""How long a packet may wait for one before it: the next poll fetches the transaction's history."""

FAILURES_TOO_MANY = 5
"""After how many failures in a row a subscriber or a handler needs a person: some minutes, since its pauses
grow."""

_UNKNOWN_APART = 3
"""How many transactions that the service does not know any more are told one by one."""

_STREAM_SHOWN = 8
"""How much of a transaction's id in the log commands need, where it has none at the service."""


Since = tuple[int, datetime | None]
"""How much there is of something, and since when; no time where there is nothing."""


class NeedKind(StrEnum):
    """Why a person is needed."""

    KEY_REFUSED = "key-refused"
    SERVICE_FAILS = "service-fails"
    NO_DAEMON = "no-daemon"
    QUARANTINE = "quarantine"
    NOT_ARRIVING = "not-arriving"
    REJECTED = "rejected"
    PARKED = "parked"
    ASKING = "asking"
    NO_HANDLER = "no-handler"
    FAILING = "failing"
    HANGING = "hanging"
    OVERDUE = "overdue"
    HELD = "held"
    UNKNOWN = "unknown-at-service"
    SUBSCRIBER = "subscriber"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person.

    Attributes:
        kind: Why.
        what: The same in some words; no personal data.
        command: What to type, once whatever is the matter is put right.
        look: What to type before, to see more; None where the command shows it itself.
        transaction: Its name for commands; None where it concerns the site as a whole.
        since: Since when.
        deadline: Until when the packet is due that waits for it.
    """

    kind: NeedKind
    what: str
    command: str
    look: str | None = None
    transaction: str | None = None
    since: datetime | None = None
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenOne:
    """What counts of an open transaction."""

    stream: str
    trans_rec_id: str | None
    type: str | None
    state: str
    turn: str | None
    deadline: datetime | None
    held: int
    anomalies: tuple[str, ...]
    updated_at: datetime

    @classmethod
    def of(cls, row: Sequence[Any]) -> OpenOne:
        """That of a row of the projection."""
        stream, trans_rec_id, type_, state, turn, deadline, held, anomalies, updated_at = row
        odd, updated = tuple(json.loads(anomalies)), datetime.fromisoformat(updated_at)
        return cls(stream, trans_rec_id, type_, state, turn, moment(deadline), held, odd, updated)

    def is_overdue(self, now: datetime) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline < now


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """Something that the service has refused."""

    stream: str
    trans_rec_id: str | None
    packet_type: str | None
    """None for the call that sets a transaction failed."""
    error_code: str
    decided_at: datetime
    deadline: datetime | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> RejectedEntry:
        """That of a row of the projections."""
        stream, trans_rec_id, packet_type, error_code, decided_at, deadline = row
        decided = datetime.fromisoformat(decided_at)
        return cls(stream, trans_rec_id, packet_type, error_code, decided, moment(deadline))


def needs_of_service(
    hub: str, site: str, daemons: Sequence[Daemon], alive: Sequence[Daemon], service: Service, now: datetime
) -> Iterator[Need]:
    """Yield what stops the whole site.

    Args:
        hub: The hub, for the commands: a poll of another one would tell nothing.
        site: The site, likewise.
        daemons: All that have left a trace.
        alive: Those that are at work.
        service: How polling goes.
        now: The time.
    """
    last = service.succeeded_at
    # One that has still to come tells nothing: that clock was wrong.
    too_long = last is None or last > now + CLOCKS_DIFFER_BY or now - last > UNPOLLED_TOO_LONG
    poll = f"amie-engine poll --site {shlex.quote(site)} --hub {shlex.quote(hub)}"
    if hub != DEFAULT_HUB:
        poll += " --url URL"  # which no hub but this has by itself
    if service.state is ServiceState.REFUSES_KEY:
        what = "The service refuses the site's key: put it right, try it, and restart the daemon"
        yield Need(NeedKind.KEY_REFUSED, what, poll, since=last)
    elif alive and too_long and service.state is ServiceState.FAILS:
        what = f"The service can't be polled ({service.error_code}): try it by hand"
        yield Need(NeedKind.SERVICE_FAILS, what, poll, since=last)
    if alive or not daemons:
        return
    lost = [daemon for daemon in daemons if daemon.stopped_at is None]
    if lost or too_long:
        newest = max(lost or daemons, key=lambda daemon: daemon.seen_at)
        ended = "did not stop in good order" if lost else "was stopped"
        what = f"No daemon is at work; the one on {newest.host} {ended}"
        yield Need(NeedKind.NO_DAEMON, what, "amie-engine run", since=newest.stopped_at or newest.seen_at)


def needs_of_outbox(again: Since, unknown: Since) -> Iterator[Need]:
    """Yield what was sent long ago and has not arrived: as one thing, or two.

    Args:
        again: How much was sent again and again, and since when the first of it was decided.
        unknown: How much was last sent long ago, so that looking for it must have failed since, and when the
            first of it was.
    """
    for (count, since), what in (
        (again, "sent again and again, and the service does not take it"),
        (unknown, "sent more than an hour ago, and whether it has arrived can't be found out"),
    ):
        if count:
            packets = "1 packet was" if count == 1 else f"{count} packets were"
            told = f"{packets} {what}: see the daemon's log for why"
            yield Need(NeedKind.NOT_ARRIVING, told, "amie-engine reconcile", since=since)


def needs_of_quarantine(count: int, oldest: datetime | None) -> Iterator[Need]:
    """Yield what is in quarantine: as one thing, which its own list tells apart."""
    if count:
        what = (
            "A packet came that can't be used" if count == 1 else f"{count} packets came that can't be used"
        )
        yield Need(NeedKind.QUARANTINE, what, "amie-engine quarantine", since=oldest)


def needs_of_transactions(
    there: Sequence[OpenOne],
    rejected: Sequence[RejectedEntry],
    work: Sequence[WorkRow],
    daemons: Sequence[Daemon],
    now: datetime,
) -> list[Need]:
    """Return what needs a person in single transactions: each transaction once, and each type of packet once
    that the site has no handler for, or one that fails again and again; many that the service does not know
    any more together; that with the nearest deadline first."""
    unknown = [one for one in there if UNKNOWN_AT_SERVICE in one.anomalies]
    found = {one.stream: _of_unknown(one) for one in unknown}
    for entry in rejected:
        found.setdefault(entry.stream, _of_rejected(entry))
    unhandled: dict[str, list[WorkRow]] = {}
    failing: dict[str, list[WorkRow]] = {}
    for row in work:
        if row.has_no_handler:
            unhandled.setdefault(row.packet_type, []).append(row)
        elif row.waits_for_a_person:
            found.setdefault(row.stream, _of_work(row))
        elif row.overrun is not None:
            found.setdefault(row.stream, _of_overrun(row, row.overrun, now))
        elif _hangs_elsewhere(row, daemons, now):
            found.setdefault(row.stream, _of_taken_over(row))
        elif row.status in ("retrying", "running") and row.attempts >= FAILURES_TOO_MANY:
            failing.setdefault(row.packet_type, []).append(row)
    covered = {row.stream for rows in (*unhandled.values(), *failing.values()) for row in rows}
    for one in there:
        if one.is_overdue(now) and one.stream not in covered:
            found.setdefault(one.stream, _of_overdue(one))
        if one.held and now - one.updated_at > _HELD_TOO_LONG:
            found.setdefault(one.stream, _of_held(one))
    if len(unknown) > _UNKNOWN_APART:
        for one in unknown:
            del found[one.stream]
        found[""] = _of_all_unknown(unknown)
    # Those without a deadline come last.
    never = datetime.max.replace(tzinfo=now.tzinfo)
    is_at_work = any(daemon.is_alive(now) for daemon in daemons)
    needs = [
        *found.values(),
        *(_of_unhandled(rows, is_at_work=is_at_work) for rows in unhandled.values()),
        *(_of_failing(rows) for rows in failing.values()),
    ]
    return sorted(needs, key=lambda need: (need.deadline or never, need.since or never))


def moment(text: str | None) -> datetime | None:
    """Return a time as a projection keeps it; None where there is none."""
    return None if text is None else datetime.fromisoformat(text)


def _of_rejected(entry: RejectedEntry) -> Need:
    name = _name(entry.trans_rec_id, entry.stream)
    if entry.packet_type is None:
        what = f"The service refused to set it failed ({entry.error_code})"
        command = f'amie-engine fail {name} --reason "..."'
        look = f"amie-engine show {name} --documents"
    else:
        what = f"The service refused the {entry.packet_type} ({entry.error_code})"
        command, look = f"amie-engine resend {name}", None
    return Need(NeedKind.REJECTED, what, command, look, name, entry.decided_at, entry.deadline)


def _of_unknown(one: OpenOne) -> Need:
    name = _name(one.trans_rec_id, one.stream)
    what = f"The service does not know this {one.type} any more"
    command, look = f'amie-engine fail {name} --reason "..."', "amie-engine reconcile"
    return Need(NeedKind.UNKNOWN, what, command, look, name, None, one.deadline)


def _of_all_unknown(there: Sequence[OpenOne]) -> Need:
    """That of many: the service was reset, as a test service is."""
    what = f"The service does not know {len(there)} transactions any more"
    deadline = min((one.deadline for one in there if one.deadline is not None), default=None)
    command = 'amie-engine fail --unknown --reason "..."'
    return Need(NeedKind.UNKNOWN, what, command, "amie-engine reconcile", None, None, deadline)


def _of_held(one: OpenOne) -> Need:
    name = _name(one.trans_rec_id, one.stream)
    what = "A packet waits" if one.held == 1 else f"{one.held} packets wait"
    what += " for one before it, which has not come: ask the hub"
    return Need(
        NeedKind.HELD, what, "amie-engine reconcile", f"amie-engine show {name}", name, one.updated_at
    )


def _of_work(row: WorkRow) -> Need:
    name = _name(row.trans_rec_id, row.stream)
    if row.status == "asking":
        what = f"The handler of {row.packet_type} asks: {row.reason}"
        kind, command, look = NeedKind.ASKING, f"amie-engine answer {name}", None
    else:
        what = f"The handler of {row.packet_type} failed: {row.reason}"
        kind, command = NeedKind.PARKED, f"amie-engine retry {name}"
        look = f"amie-engine show {name} --documents"
    return Need(kind, what, command, look, name, row.opened_at, row.deadline)


def _hangs_elsewhere(row: WorkRow, daemons: Sequence[Daemon], now: datetime) -> bool:
    """Whether work was taken over from a handler that is still at it: no daemon that could have begun it has
    ended since."""
    return row.status == "running" and row.reason == ABANDONED and none_has_ended(daemons, row.opened_at, now)


def _of_overrun(row: WorkRow, lease: Lease, now: datetime) -> Need:
    name = _name(row.trans_rec_id, row.stream)
    what = (
        f"The handler of {row.packet_type} has been at work on it for {span_text(now - lease.taken_at)},"
        " longer than its lease: restart the daemon"
    )
    return Need(NeedKind.HANGING, what, f"amie-engine show {name}", None, name, lease.taken_at, row.deadline)


def _of_taken_over(row: WorkRow) -> Need:
    name = _name(row.trans_rec_id, row.stream)
    what = (
        f"A handler of {row.packet_type} has been at work on it for longer than its lease, and another was"
        " called: restart the daemon"
    )
    return Need(NeedKind.HANGING, what, f"amie-engine show {name}", None, name, row.opened_at, row.deadline)


def _of_unhandled(rows: Sequence[WorkRow], *, is_at_work: bool) -> Need:
    """That of all packets of a type that the site has no handler for. While a daemon is at work, the command
    that starts one would start a second."""
    what = f"The site has no handler for {rows[0].packet_type} ({_wait(rows)}): add one and "
    what += "restart the daemon" if is_at_work else "start the daemon"
    listed = "amie-engine work"
    command, look = (listed, None) if is_at_work else ("amie-engine run", listed)
    return Need(NeedKind.NO_HANDLER, what, command, look, None, *_since_and_deadline(rows))


def _of_failing(rows: Sequence[WorkRow]) -> Need:
    """That of all packets of a type whose handler fails again and again, though it is not parked yet."""
    worst = max(rows, key=lambda row: row.attempts)
    what = (
        f"The handler of {worst.packet_type} failed {worst.attempts} times ({worst.reason}; {_wait(rows)}),"
        " and is called again"
    )
    command = f"amie-engine show {_name(worst.trans_rec_id, worst.stream)} --documents"
    return Need(NeedKind.FAILING, what, command, None, None, *_since_and_deadline(rows))


def _wait(rows: Sequence[WorkRow]) -> str:
    return "1 waits" if len(rows) == 1 else f"{len(rows)} wait"


def _since_and_deadline(rows: Sequence[WorkRow]) -> tuple[datetime, datetime | None]:
    """Since when the first of some items waits, and the first deadline among them."""
    deadline = min((row.deadline for row in rows if row.deadline is not None), default=None)
    return min(row.opened_at for row in rows), deadline


def _of_overdue(one: OpenOne) -> Need:
    name = _name(one.trans_rec_id, one.stream)
    what = f"The deadline of the {one.turn}'s packet has passed"
    command, look = f"amie-engine confirm-deadline {name}", f"amie-engine show {name}"
    return Need(NeedKind.OVERDUE, what, command, look, name, one.deadline, one.deadline)


def _name(trans_rec_id: str | None, stream: str) -> str:
    return trans_rec_id or stream[:_STREAM_SHOWN]
