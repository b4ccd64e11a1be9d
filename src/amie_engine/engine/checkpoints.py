"""How far each subscriber has come, what keeps it, and who delivers to it: the table amie_subscriptions.

A row is a subscriber's checkpoint and its lease in one: whoever delivers writes both with one statement, and
writes nothing once somebody else has taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from amie_engine.engine.leases import new_token, no_longer_at_work
from amie_engine.engine.processes import shown_process, this_process
from amie_engine.engine.subscriber_row import HANGING, ROW_COLUMNS, SKIPPED, SubscriberRow, read_row
from amie_engine.engine.unit import storable
from amie_engine.engine.work_record import ABANDONED
from amie_engine.errors import (
    CommitInDoubt,
    ConnectionLost,
    LeaseLost,
    SubscriberNotFailing,
    SubscriberNotFound,
)
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog, format_time
from amie_engine.log.whole import read_head

__all__ = ["Checkpoints", "Tenure"]

_MOVE = (
    "UPDATE amie_subscriptions SET position = :position,"
    " updated_at = CASE WHEN position = :position THEN updated_at ELSE :updated_at END"
)


def _of_one(sql: str, condition: str = "") -> Statement:
    """A statement about one subscriber."""
    return Statement(f"{sql} WHERE hub = :hub AND site = :site AND name = :name{condition}")


_ROW = _of_one(ROW_COLUMNS)
_ROW_LOCKED = _of_one(ROW_COLUMNS, " FOR UPDATE")
_ALL = Statement(f"{ROW_COLUMNS} WHERE hub = :hub AND site = :site ORDER BY name")
_BEGIN = Statement(
    "INSERT INTO amie_subscriptions (hub, site, name, position, updated_at, failures)"
    " VALUES (:hub, :site, :name, :position, :updated_at, 0) ON CONFLICT (hub, site, name) DO NOTHING"
)
_TAKE = _of_one(
    "UPDATE amie_subscriptions SET failures = :failures, error = :error, holder = :holder, token = :token,"
    " expires_at = :expires_at"
)
_SAVE = _of_one(
    f"{_MOVE}, failures = :failures,"
    " error = :error, not_before = :not_before, holder = :holder, token = :next_token,"
    " expires_at = :expires_at",
    " AND token = :token AND position <= :position",  # a person may have it skip what somebody hangs in
)
_LET_GO = _of_one(
    f"{_MOVE}, failures = 0,"
    " error = :error, not_before = NULL, skipped = :skipped, skipped_by = :skipped_by, holder = :holder,"
    " token = :token, expires_at = :expires_at"
)
# Not where the call has returned meanwhile: who made it has moved on, or given the tenure back.
_HANGS = _of_one(
    "UPDATE amie_subscriptions SET failures = CASE WHEN position = :position THEN failures ELSE 0 END,"
    " position = :position, updated_at = :updated_at, error = :error",
    " AND token = :token AND position <= :position",
)
_REMOVE = _of_one("DELETE FROM amie_subscriptions")


@dataclass(slots=True)
class Tenure:
    """The right to be the only one that delivers to a subscriber.

    Attributes:
        name: The subscriber.
        token: What tells this tenure from every other.
        position: The checkpoint as it was saved last.
        until: The newest event when it was taken.
        failures: How often in a row the next event has failed.
        error: How it failed last.
        lasts: How long it is held from one save to the next.
        expires_at: Until when it is held, unless it is saved before.
    """

    name: str
    token: str
    position: int
    until: int
    failures: int
    error: str | None
    lasts: timedelta
    expires_at: datetime


class Checkpoints:
    """The checkpoints of one site's subscribers.

    Args:
        log: Its log.
        now: Gives the time, with zone.
    """

    def __init__(self, log: EventLog, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now
        self._site = {"hub": log.hub, "site": log.site}

    def all(self, cursor: Cursor) -> list[SubscriberRow]:
        """Return all subscribers, by name."""
        head, now = read_head(cursor).position, self._now()
        return [read_row(row, head, now) for row in cursor.all(_ALL, self._site)]

    def one(self, cursor: Cursor, name: str) -> SubscriberRow | None:
        """Return a subscriber, or None where there is none of that name."""
        row = cursor.one(_ROW, self._key(name))
        return None if row is None else read_row(row, read_head(cursor).position, self._now())

    def begin(self, name: str, *, since: str) -> None:
        """Have a new subscriber begin; one that is there stays where it is."""
        with self._log.database.write() as cursor:
            position = 0 if since == "beginning" else read_head(cursor).position
            values = {"position": position, "updated_at": format_time(self._now())}
            cursor.run(_BEGIN, self._key(name) | values)

    def take(self, name: str, *, lasts: timedelta) -> Tenure | None:
        """Take a subscriber's tenure, or return None: somebody has it, or nothing may be delivered now.

        Where whoever had it before is gone and did not give it back, that counts as a failure.
        """
        now = self._now()
        token = new_token(now + lasts)
        try:
            with self._log.database.write() as cursor:
                row = cursor.one(_ROW_LOCKED if cursor.is_postgresql else _ROW, self._key(name))
                found = None if row is None else read_row(row, read_head(cursor).position, now)
                if found is None or not found.may_be_delivered_to(now):
                    no_longer_at_work(token)
                    return None
                was_abandoned = row[9] is not None and row[4] != SKIPPED
                failures = found.failures + 1 if was_abandoned else found.failures
                error = ABANDONED if was_abandoned else found.error
                values = {
                    "failures": failures,
                    "error": error,
                    "holder": this_process(),
                    "token": token,
                    "expires_at": format_time(now + lasts),
                }
                cursor.run(_TAKE, self._key(name) | values)
        except BaseException:
            no_longer_at_work(token)
            raise
        until = found.position + found.behind
        return Tenure(name, token, found.position, until, failures, error, lasts, now + lasts)

    def save(self, tenure: Tenure, position: int) -> None:
        """Save how far a subscriber has come; the tenure lasts from now on.

        Raises:
            LeaseLost: Somebody else has taken over.
        """
        expires_at = self._now() + tenure.lasts
        values = {"holder": this_process(), "next_token": tenure.token}
        self._write(tenure, position, values | {"expires_at": format_time(expires_at)})
        tenure.expires_at = expires_at

    def end(self, tenure: Tenure, position: int) -> None:
        """Save how far a subscriber has come, and give the tenure back.

        Raises:
            LeaseLost: Somebody else has taken over.
        """
        self._write(tenure, position, {})

    def fail(self, tenure: Tenure, position: int, error: str, pause: Callable[[int], timedelta]) -> datetime:
        """Save that the event behind a position has failed, and give the tenure back.

        Args:
            tenure: The tenure.
            position: The event before.
            error: The class of what the function raised.
            pause: Tells how long to wait after so many failures in a row.

        Returns:
            When it is tried again.

        Raises:
            LeaseLost: Somebody else has taken over.
        """
        failures = 1 + (tenure.failures if position == tenure.position else 0)
        not_before = self._now() + pause(failures)
        values = {"failures": failures, "error": error, "not_before": format_time(not_before)}
        self._write(tenure, position, values)
        return not_before

    def hangs(self, name: str, token: str, position: int, called_at: datetime) -> None:
        """Save that a subscriber's function does not return from the event behind a position: what it has
        taken before is kept, and everybody can see at which event it hangs, and since when.

        It is for another thread than the one that delivers: the tenure lasts no longer for it, and where the
        function has returned meanwhile, nothing is saved.
        """
        values = {"token": token, "position": position, "updated_at": format_time(called_at)}
        with self._log.database.write() as cursor:
            cursor.run(_HANGS, self._key(name) | values | {"error": HANGING})

    def skip(self, name: str, *, actor: str) -> int:
        """Have a subscriber be done with the event that it fails at, or hangs in; return its position.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it, or at which it hangs is not known.
        """
        return self._let_go(name, by=storable(actor))

    def retry(self, name: str) -> None:
        """Have the event that a subscriber fails at tried again at once.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: It has not failed, or hangs.
        """
        self._let_go(name, by=None)

    def remove(self, name: str) -> None:
        """Forget a subscriber.

        Raises:
            SubscriberNotFound: There is none of that name.
        """
        with self._log.database.write() as cursor:
            if cursor.run(_REMOVE, self._key(name)) == 0:
                raise self._not_found(name)

    def _let_go(self, name: str, *, by: str | None) -> int:
        """Have a subscriber go on at once: with the next event, or, where somebody says so, the one after.

        Whoever is at work in it keeps what is left of the tenure: so nobody is called beside, and it is seen
        where somebody hangs.
        """
        with self._log.database.write() as cursor:
            row = cursor.one(_ROW_LOCKED if cursor.is_postgresql else _ROW, self._key(name))
            if row is None:
                raise self._not_found(name)
            position, failures, skipped, skipped_by = row[1], row[3], row[6], row[7]
            found = read_row(row, position, self._now())
            overrun = found.overrun
            if by is None:
                may_go_on = failures and overrun is None  # who hangs may be taken over at any time
            else:
                may_go_on = failures or (overrun is not None and overrun.event is not None)
            if not may_go_on:
                raise _not_failing(found)
            if by is not None:
                position, skipped, skipped_by = position + 1, position + 1, by
            values = {"position": position, "skipped": skipped, "skipped_by": skipped_by, "error": None}
            held = (None, None, None)
            if overrun is not None or found.holder is not None:
                held = row[8:11]
                values["error"] = None if by is None else SKIPPED
            values |= dict(zip(("holder", "token", "expires_at"), held, strict=True))
            cursor.run(_LET_GO, self._key(name) | values | {"updated_at": format_time(self._now())})
        return int(position)

    def _write(self, tenure: Tenure, position: int, values: dict[str, Any]) -> None:
        """Write a checkpoint; where the connection is lost, once again: else what was delivered would be
        delivered twice, though nothing has crashed."""
        in_doubt = False
        written = self._values(tenure, position) | values
        for is_last in (False, True):
            try:
                with self._log.database.write() as cursor:
                    done = cursor.run(_SAVE, written) == 1
                break
            except (ConnectionLost, CommitInDoubt) as error:
                if is_last:
                    raise
                in_doubt = isinstance(error, CommitInDoubt)
        if not done and not (in_doubt and self._is_written(tenure.name, position)):
            raise LeaseLost(
                f"The subscriber {tenure.name!r} took longer than its lease, or a person had it go on"
                " elsewhere: somebody else delivers to it now."
            )
        tenure.position, tenure.failures, tenure.error = position, written["failures"], written["error"]

    def _values(self, tenure: Tenure, position: int) -> dict[str, Any]:
        """What a checkpoint says where the tenure ends with it. An event that is left behind is no trouble
        any more."""
        stays = position == tenure.position
        return self._key(tenure.name) | {
            "token": tenure.token,
            "position": position,
            "updated_at": format_time(self._now()),
            "failures": tenure.failures if stays else 0,
            "error": tenure.error if stays else None,
            "not_before": None,
            "holder": None,
            "next_token": None,
            "expires_at": None,
        }

    def _is_written(self, name: str, position: int) -> bool:
        with self._log.read() as reader:
            row = reader.cursor.one(_ROW, self._key(name))
        return row is not None and row[1] == position

    def _key(self, name: str) -> dict[str, Any]:
        return {**self._site, "name": name}

    def _not_found(self, name: str) -> SubscriberNotFound:
        return SubscriberNotFound(
            f"The log knows no subscriber {storable(name)[:100]!r} of site {self._log.site} at hub"
            f" {self._log.hub}."
        )


def _not_failing(row: SubscriberRow) -> SubscriberNotFailing:
    """The error of whoever wants a subscriber to go on that has not failed. Where one hangs, nothing but a
    restart has its event tried again: its thread is lost."""
    if row.overrun is None:
        return SubscriberNotFailing(f"No event keeps the subscriber {row.name!r}.")
    return SubscriberNotFailing(
        f"The subscriber {row.name!r} hangs: {shown_process(row.overrun.holder)} is at work in it for longer"
        " than its lease.",
        hint="Restart the daemon: the event is tried again then.",
    )
