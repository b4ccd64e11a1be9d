"""The counter row, against the newest event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amie_engine.audit.problems import Problem, problem
from amie_engine.audit.stored import StoredRows
from amie_engine.errors import LogDamaged
from amie_engine.log.statements import Cursor
from amie_engine.log.whole import Head, is_log_id

__all__ = ["check_counter", "read_end", "refuse_other_end"]

# Where somebody has made the table anew, a position may be anything: then it stands before or behind all
# numbers. The newest event is the last with a number.
_NEWEST = StoredRows(
    ("CAST(position AS BIGINT)", "hash", "recorded_at"),
    "FROM amie_events WHERE position BETWEEN 1 AND 9223372036854775807 ORDER BY position DESC LIMIT 1",
)
_LOWEST = StoredRows(("position",), "FROM amie_events ORDER BY position LIMIT 1")
_HIGHEST = StoredRows(("position",), "FROM amie_events ORDER BY position DESC LIMIT 1")
_COUNTER = StoredRows(
    ("id", "position", "hash", "recorded_at", "log_id"), "FROM amie_log_head ORDER BY id LIMIT 2"
)


def read_end(cursor: Cursor) -> Head:
    """Return the newest event's position, hash and time as the events have them."""
    rows = _NEWEST.read(cursor)
    return Head(*rows[0]) if rows else Head(0, "", "")


def check_counter(cursor: Cursor) -> Iterator[Problem]:
    """Yield what is wrong with the counter row, in a transaction that sees one state of the log."""
    yield from _outside(cursor)
    rows = _COUNTER.read(cursor)
    yield from _end(read_end(cursor), rows)
    log_id = rows[0][-1] if rows else None
    if rows and (type(log_id) is not str or not is_log_id(log_id)):
        yield problem(None, "log-id-wrong", "The log's random name is not followed by its check digits.")


def refuse_other_end(cursor: Cursor) -> Head:
    """Return the newest event's position, hash and time, which the counter row says too.

    Without that, the newest events may have been taken away: nothing may be made, sealed or copied from what
    is left.

    Args:
        cursor: In a transaction that sees one state of the log.

    Raises:
        LogDamaged: The counter row says something else, or is missing.
    """
    end = read_end(cursor)
    for found in _end(end, _COUNTER.read(cursor)):
        raise LogDamaged(found.sentence)
    return end


def _end(end: Head, rows: list[tuple[Any, ...]]) -> Iterator[Problem]:
    """What is wrong with the counter row, but for the log's name, which says nothing of the events."""
    if not rows:
        yield problem(None, "counter-missing", "The counter row of the log is missing.")
        return
    if len(rows) > 1 or rows[0][0] != 1:
        yield problem(None, "counter-doubled", "The log has a counter row besides its own.")
    _, position, hash_, recorded_at, _ = rows[0]
    yield from _compare(end, position, hash_, recorded_at)


def _outside(cursor: Cursor) -> Iterator[Problem]:
    """Events where none can be."""
    for [(position,)] in filter(None, (_LOWEST.read(cursor), _HIGHEST.read(cursor))):
        if type(position) is not int:
            yield problem(None, "event-extra", "There is an event whose position is no integer.")
        elif position < 1:
            told = f"There is an event at position {position}, before the first."
            yield problem(position, "event-extra", told)


def _compare(end: Head, position: Any, hash_: Any, recorded_at: Any) -> Iterator[Problem]:
    if type(position) is not int:
        yield problem(None, "counter-wrong", "The counter's position is no integer.")
    elif position > end.position:
        first = max(end.position, 0) + 1
        missing = f"event {first} is" if first == position else f"events {first} to {position} are"
        told = f"The log ends with event {end.position}, and its counter says {position}: {missing} missing."
        if end.position < 1:
            told = f"The log has no events, and its counter says {position}: {missing} missing."
        yield problem(first, "log-truncated", told)
    elif position < end.position:
        first = position + 1
        behind = f"event {first} is" if first == end.position else f"events {first} to {end.position} are"
        told = f"The log's counter says that event {position} is the newest, and {behind} behind it."
        yield problem(first, "counter-behind", told)
    else:
        if type(hash_) is not str or hash_ != end.hash:
            told = f"The counter's hash is not that of the newest event, {end.position}."
            yield problem(end.position, "counter-wrong", told)
        if type(recorded_at) is not str or recorded_at != end.recorded_at:
            told = f"The counter's time is not that of the newest event, {end.position}."
            yield problem(end.position, "counter-wrong", told)
