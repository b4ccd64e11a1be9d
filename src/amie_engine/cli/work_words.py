"""An open item of work in words: what it waits for, and what a person can type."""

from __future__ import annotations

from datetime import datetime

from amie_engine._spans import span_text
from amie_engine.cli.output import one_line
from amie_engine.cli.tables import age, process_text
from amie_engine.engine.work_row import WorkRow

__all__ = ["to_do", "waits_for", "work_sentence"]

_TO_DO = {
    "hanging": "restart the daemon, if it does not end by itself",
    "no handler": "add one to the site, and restart the daemon",
    "refused": "amie-engine resend {name} shows why, and what to do about it",
    "asking": "amie-engine answer {name}, then amie-engine answer {name} ANSWER",
    "parked": "amie-engine show {name} --documents, then amie-engine retry {name}",
    "waiting": "it is called again by itself; at once with amie-engine retry {name}",
    "retrying": "it is called again by itself; at once with amie-engine retry {name}",
    "blocked": "it starts by itself; at once with amie-engine let-pass {name}",
}
"""What a person can do about work, by its state or by why it is in it."""

_INTRODUCED = {
    "asking": "It waits for",
    "blocked": "It waits for",
    "running": "At work:",
    "hanging": "At work:",
}
"""How what `waits_for` returns is introduced."""


def waits_for(row: WorkRow, now: datetime) -> str:
    """Return what an item waits for, who is at work on it, or what was wrong; empty where nothing is."""
    if row.overrun is not None:
        lasted = span_text(now - row.overrun.taken_at)
        return f"{process_text(row.overrun.holder)}, still at work after {lasted}, longer than its lease"
    if row.blocked_by is not None:
        other = row.blocked_by.trans_rec_id or row.blocked_by.stream
        return f"transaction {other} to be {row.blocked_by.until} ({row.blocked_by.rule})"
    if row.lease is not None:
        return f"{process_text(row.lease.holder)}, since {age(row.lease.taken_at, now)}"
    if row.status == "asking":
        return f"an answer: {row.reason}"
    until = f"{age(row.not_before, now)}: " if row.not_before is not None and row.not_before > now else ""
    attempts = f" (failed {_times(row.attempts)})" if row.attempts and not _was_refused(row) else ""
    return f"{until}{one_line(row.reason or '')}{attempts}" if row.reason else ""


def to_do(rows: list[WorkRow], name: str = "TRANS") -> dict[str, str]:
    """Return what a person can do about some items, by why.

    Args:
        rows: The items.
        name: What stands for their transaction in a command.
    """
    there = {_why(row) for row in rows}
    return {why: told.format(name=name) for why, told in _TO_DO.items() if why in there}


def work_sentence(row: WorkRow, now: datetime, name: str) -> str:
    """Return the state of an item in one sentence, with what a person can do about it.

    Args:
        row: The item.
        now: The time.
        name: Its transaction's name in a command.
    """
    told = [f"The work on {row.packet_type} is {row.status}."]
    if waits := one_line(waits_for(row, now)):
        told.append(f"{_INTRODUCED.get(row.status, 'Why:')} {waits}.")
    for what in to_do([row], name).values():
        told.append(f"Type {what}." if what.startswith("amie-engine") else f"{what[0].upper()}{what[1:]}.")
    return " ".join(told)


def _why(row: WorkRow) -> str:
    if row.has_no_handler:
        return "no handler"
    return "refused" if _was_refused(row) else row.status


def _was_refused(row: WorkRow) -> bool:
    return row.status == "parked" and (row.reason or "").startswith("rejected: ")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
