"""The times that a user gives: a day, which is its first or last moment, or a moment."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time

from amie_engine.errors import SettingsError

__all__ = ["FIRST_OF_DAY", "LAST_OF_DAY", "read_moment"]

FIRST_OF_DAY, LAST_OF_DAY = time.min, time.max


def read_moment(text: str, option: str, of_day: time, *, or_position: bool = False) -> datetime:
    """Return the moment that a user means, in UTC; one without a zone is in UTC already.

    Args:
        text: A date, or a date with a time.
        option: Where it was given.
        of_day: Which moment of a day a date alone is.
        or_position: Whether a position may be given there as well, for the hint.

    Raises:
        SettingsError: It is no time, or one that no calendar has in UTC.
    """
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text.strip()), of_day, UTC)
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        what, number = ("neither a position nor a time", "1200, ") if or_position else ("no time", "")
        raise SettingsError(
            f"{option} is {what}.", hint=f"Give {number}2026-01-31 or 2026-01-31T12:00:00Z."
        ) from None
