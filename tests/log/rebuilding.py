"""Rebuilding every projection from the events' facts, to compare it with what the commits wrote."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from amie_engine.engine.evolve import evolve
from amie_engine.engine.projections import project, project_quarantine
from amie_engine.engine.state import TransactionState
from amie_engine.log.database import Database
from amie_engine.log.events import Event, EventType
from amie_engine.log.schema import PROJECTIONS
from amie_engine.log.store import EventLog


def projection_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every projection, by table, in a stable order."""
    with database.connection(writing=False) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in PROJECTIONS
        }


def rebuild(log: EventLog, into: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Fold all events of a log, and write their projections into another database; return its rows.

    Only the events' columns and facts are read: no document is.

    Args:
        log: The log to read.
        into: A database with the same schema and nothing in it.
    """
    states: dict[str, TransactionState] = {}
    quarantined: set[str] = set()
    erasures: set[str] = set()
    with into.write() as cursor:
        for event in log.whole.events(page=100):
            if _begins(event, EventType.PACKET_QUARANTINED):
                quarantined.add(event.stream)
            if _begins(event, EventType.DOCUMENTS_ERASED):
                erasures.add(event.stream)
            if event.stream in erasures:
                continue
            if event.stream in quarantined:
                project_quarantine(cursor, event)
                continue
            before = states.get(event.stream, TransactionState(event.stream))
            states[event.stream] = after = evolve(before, event)
            project(cursor, before, after, event)
    return projection_rows(into)


def _begins(event: Event, event_type: EventType) -> bool:
    return event.version == 1 and event.type == event_type
