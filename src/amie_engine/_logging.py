"""What a line of the program's log carries besides its text, for programs that read it."""

from __future__ import annotations

from typing import Any

__all__ = ["FIELDS", "about"]

FIELDS = (
    "trans_rec_id",
    "packet_rec_id",
    "packet_type",
    "code",
    "outcome",
    "handler",
    "error",
    "attempt",
    "seconds",
    "count",
)
"""The names of the fields; docs/operating.md tells what each is. None of them holds personal data."""


def about(
    *,
    trans_rec_id: str | None = None,
    packet_rec_id: str | None = None,
    packet_type: str | None = None,
    code: str | None = None,
    outcome: str | None = None,
    handler: str | None = None,
    error: str | None = None,
    attempt: int | None = None,
    seconds: float | None = None,
    count: int | None = None,
) -> dict[str, Any]:
    """Return the ``extra`` of a call of a logger: what is known, under names that are the same everywhere.

    Args:
        trans_rec_id: The transaction.
        packet_rec_id: The packet that came.
        packet_type: The type of the packet that came, or is sent.
        code: The code of an error of ours.
        outcome: What became of a packet, of work, or of something that was sent.
        handler: The handler's name.
        error: The class of what the handler raised.
        attempt: Which call of the handler it was.
        seconds: How long something took, or takes.
        count: How many there were.
    """
    return {name: value for name, value in locals().items() if value is not None}
