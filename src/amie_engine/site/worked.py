"""What became of an item of work, and how lines of the log name one."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from amie_engine._logging import about
from amie_engine.engine.work_row import WorkRow

__all__ = ["Worked", "about_work", "shown_work"]


class Worked(StrEnum):
    """What became of an item of work."""

    REPLIED = "replied"
    DEFERRED = "deferred"
    ASKED = "asked"
    FAILED = "failed"
    PARKED = "parked"
    NOT_YET = "not_yet"


def about_work(row: WorkRow, **more: Any) -> dict[str, Any]:
    """What a line of the log about an item of work carries."""
    return about(
        trans_rec_id=row.trans_rec_id, packet_rec_id=row.packet_rec_id, packet_type=row.packet_type, **more
    )


def shown_work(row: WorkRow) -> str:
    """How a line of the log names an item of work."""
    return f"packet {row.packet_rec_id} of transaction {row.trans_rec_id}"
