"""The lists that an operator looks at, read from the projections."""

from __future__ import annotations

import json
from datetime import datetime

from amie_engine.engine.start_order import starts_that_wait
from amie_engine.engine.unit import View
from amie_engine.engine.views import QuarantinedItem, TransactionSummary
from amie_engine.log.statements import Statement
from amie_engine.log.store import LogReader

__all__ = ["list_quarantine", "list_transactions"]

_TRANSACTIONS = (
    "SELECT t.stream, t.trans_rec_id, t.type, t.originator, t.state, t.turn, t.due, t.deadline, t.opened_at,"
    " t.updated_at, t.grant_number, t.project_id, t.resource, t.held, t.anomalies,"
    " (SELECT count(*) FROM amie_outbox o"
    "  WHERE o.stream = t.stream AND o.status IN ('pending', 'attempting')),"
    " (SELECT min(COALESCE(o.packet_type, 'the call that sets it failed') || ' rejected: '"
    "  || COALESCE(o.error_code, '')) FROM amie_outbox o"
    "  WHERE o.stream = t.stream AND o.status = 'rejected' AND t.state NOT IN ('completed', 'failed')"
    "  AND o.error_code NOT IN ('superseded', 'transaction-ended')),"
    " (SELECT min(w.reason) FROM amie_work w WHERE w.stream = t.stream"
    "  AND (w.status IN ('retrying', 'parked')"
    "   OR (w.status = 'waiting' AND w.reason LIKE 'no handler for %')))"
    " FROM amie_transactions t WHERE t.hub = :hub AND t.site = :site"
    # What was held for a transaction that the site began has moved there.
    " AND (t.type IS NOT NULL OR t.held > 0 OR t.state <> 'start' OR t.anomalies <> '[]')"
)
_ALL = Statement(f"{_TRANSACTIONS} ORDER BY t.opened_position")
# A statement of its own, so that the database can use the index on those that are open.
_OPEN = Statement(f"{_TRANSACTIONS} AND t.state NOT IN ('completed', 'failed') ORDER BY t.opened_position")
_QUARANTINE = Statement(
    "SELECT stream, code, reason, hint, status, quarantined_at, size, trans_rec_id, packet_rec_id,"
    " packet_type, (SELECT count(e.document) FROM amie_events e WHERE e.stream = q.stream AND e.version = 1)"
    " FROM amie_quarantine q"
    " WHERE hub = :hub AND site = :site AND (:everything = 1 OR status = 'quarantined')"
    " ORDER BY quarantined_at, stream"
)


def list_transactions(view: View, *, open_only: bool) -> list[TransactionSummary]:
    """Return the transactions of a site, oldest first."""
    values = {"hub": view.reader.hub, "site": view.reader.site}
    awaited = starts_that_wait(view)
    return [
        TransactionSummary(
            stream=row[0],
            trans_rec_id=row[1],
            type=row[2],
            originator=row[3],
            state=row[4],
            turn=row[5],
            due=tuple(row[6].split(",")) if row[6] else (),
            deadline=datetime.fromisoformat(row[7]) if row[7] else None,
            opened_at=datetime.fromisoformat(row[8]),
            updated_at=datetime.fromisoformat(row[9]),
            grant_number=row[10],
            project_id=row[11],
            resource=row[12],
            held=row[13],
            anomalies=tuple(json.loads(row[14])),
            sending=row[15] > 0,
            problem=row[16] or row[17],
            waits_for=awaited.get(row[0]),
        )
        for row in view.cursor.all(_OPEN if open_only else _ALL, values)
    ]


def list_quarantine(reader: LogReader, *, released: bool) -> list[QuarantinedItem]:
    """Return what is in quarantine, oldest first."""
    values = {"hub": reader.hub, "site": reader.site, "everything": 1 if released else 0}
    return [
        QuarantinedItem(
            quarantine_id=row[0],
            code=row[1],
            reason=row[2],
            hint=row[3],
            status=row[4],
            quarantined_at=datetime.fromisoformat(row[5]),
            size=row[6],
            trans_rec_id=row[7],
            packet_rec_id=row[8],
            packet_type=row[9],
            erased=row[10] == 0,
        )
        for row in reader.cursor.all(_QUARANTINE, values)
    ]
