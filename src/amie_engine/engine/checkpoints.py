"""How far each subscriber has come, what keeps it, and who delivers to it: the table amie_subscriptions.

A row is a subscriber's checkpoint and its lease in one: whoever delivers writes both with one statement, and
writes nothing once somebody else has taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from amie_engine.engine.leases import holder_is_gone, new_token, no_longer_at_work
from amie_engine.engine.processes import this_process
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

__all__ = ["Checkpoints", "SubscriberRow", "Tenure"]

_COLUMNS = (
    "SELECT name, position, updated_at, failures, error, not_before, skipped, skipped_by, holder, token,"
    " expires_at FROM amie_subscriptions"
)
_MOVE = (
    "UPDATE amie_subscriptions SET position = :position,"
    " updated_at = CASE WHEN position = :position THEN updated_at ELSE :updated_at END"
)


def _of_one(sql: str, condition: str = "") -> Statement:
    """A statement about one subscriber."""
    return Statement(f"{sql} WHERE hub = :hub AND site = :site AND name = :name{condition}")


_ROW = _of_one(_COLUMNS)
_ROW_LOCKED = _of_one(_COLUMNS, " FOR UPDATE")
_ALL = Statement(f"{_COLUMNS} WHERE hub = :hub AND site = :site ORDER BY name")
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
    " AND token = :token",
)
_LET_GO = _of_one(
    f"{_MOVE}, failures = 0,"
    " error = NULL, not_before = NULL, skipped = :skipped, skipped_by = :skipped_by, holder = NULL,"
    " token = NULL, expires_at = NULL"
)
_REMOVE = _of_one("DELETE FROM amie_subscriptions")


@dataclass(frozen=True, slots=True)
class SubscriberRow:
    """How far a subscriber has come, and what keeps it.

    Attributes:
        name: Its name.
        position: The last event that it is done with: it was given it, it did not want it, or a person had
            it skip it.
        behind: How many events the log has behind that, of whatever type.
        updated_at: Since when it is there.
        failures: How often in a row its function has raised for the event behind ``position``, or who called
            it was gone.
        error: The class of what it raised last, or ``abandoned``.
        not_before: When that event is tried again.
        skipped: The position of the event that a person last had it skip.
        skipped_by: Who that was.
        holder: The process that delivers to it just now.
    """

    name: str
    position: int
    behind: int
    updated_at: datetime
    failures: int
    error: str | None
    not_before: datetime | None
    skipped: int | None
    skipped_by: str | None
    holder: str | None

    def may_be_delivered_to(self, now: datetime) -> bool:
        """Whether there is something to deliver that need not wait, and nobody is at it."""
        waits = self.not_before is not None and self.not_before > now
        return self.behind > 0 and not waits and self.holder is None


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
    """

    name: str
    token: str
    position: int
    until: int
    failures: int
    error: str | None
    lasts: timedelta


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
        return [_shown(row, head, now) for row in cursor.all(_ALL, self._site)]

    def one(self, cursor: Cursor, name: str) -> SubscriberRow | None:
        """Return a subscriber, or None where there is none of that name."""
        row = cursor.one(_ROW, self._key(name))
        return None if row is None else _shown(row, read_head(cursor).position, self._now())

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
                found = None if row is None else _shown(row, read_head(cursor).position, now)
                if found is None or not found.may_be_delivered_to(now):
                    no_longer_at_work(token)
                    return None
                was_abandoned = row[9] is not None
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
        return Tenure(name, token, found.position, found.position + found.behind, failures, error, lasts)

    def save(self, tenure: Tenure, position: int) -> None:
        """Save how far a subscriber has come; the tenure lasts from now on.

        Raises:
            LeaseLost: Somebody else has taken over.
        """
        values = {"holder": this_process(), "next_token": tenure.token}
        self._write(tenure, position, values | {"expires_at": format_time(self._now() + tenure.lasts)})

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

    def skip(self, name: str, *, actor: str) -> int:
        """Have a subscriber be done with the event that keeps it; return that event's position.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it.
        """
        return self._let_go(name, by=storable(actor))

    def retry(self, name: str) -> None:
        """Have the event that keeps a subscriber tried again at once.

        Raises:
            SubscriberNotFound: There is none of that name.
            SubscriberNotFailing: No event keeps it.
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
        """Have a subscriber go on at once: with the next event, or, where somebody says so, the one after."""
        with self._log.database.write() as cursor:
            row = cursor.one(_ROW_LOCKED if cursor.is_postgresql else _ROW, self._key(name))
            if row is None:
                raise self._not_found(name)
            position, failures, skipped, skipped_by = row[1], row[3], row[6], row[7]
            if not failures:
                raise SubscriberNotFailing(f"No event keeps the subscriber {name!r}.")
            if by is not None:
                position, skipped, skipped_by = position + 1, position + 1, by
            values = {"position": position, "skipped": skipped, "skipped_by": skipped_by}
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


def _is_held(row: Any, now: datetime) -> bool:
    """Whether somebody delivers to the subscriber of a row."""
    holder, token, expires_at = row[8:11]
    return (
        token is not None and datetime.fromisoformat(expires_at) > now and not holder_is_gone(holder, token)
    )


def _shown(row: Any, head: int, now: datetime) -> SubscriberRow:
    return SubscriberRow(
        name=row[0],
        position=row[1],
        behind=max(head - row[1], 0),
        updated_at=datetime.fromisoformat(row[2]),
        failures=row[3],
        error=row[4],
        not_before=None if row[5] is None else datetime.fromisoformat(row[5]),
        skipped=row[6],
        skipped_by=row[7],
        holder=row[8] if _is_held(row, now) else None,
    )
