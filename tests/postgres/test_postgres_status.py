"""How things stand, on PostgreSQL: the same, at the same cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from amie_engine.engine import Engine
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.needs import NeedKind
from amie_engine.engine.processes import this_process
from amie_engine.testing.contract.story import project_request
from tests.engine.status_cost import fill, plans, reads_what_has_ended


def test_what_has_ended_is_not_read(asked: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(asked)
    plan = plans(asked, monkeypatch, asked.status)
    assert reads_what_has_ended(plan) == []
    for index in ("amie_transactions_open", "amie_work_open"):
        assert index in plan
    status = asked.status()
    assert (status.open, status.rejected, status.quarantined, status.with_anomalies) == (1, 0, 0, 0)


def test_daemons_tell_and_are_swept(open_engine: Callable[..., Engine]) -> None:
    engine = open_engine()
    engine.receive(project_request(1))
    engine.receive("[]")
    now = engine.now()
    gone = Daemon(this_process().rpartition(":")[0] + ":1", now - timedelta(hours=2), now)
    engine.daemons.note(gone)
    status = engine.status()
    kinds = [NeedKind.NO_DAEMON, NeedKind.QUARANTINE, NeedKind.OVERDUE]
    assert [need.kind for need in status.needs] == kinds
    own = Daemon(this_process(), now, now, polled_at=now, succeeded_at=now)
    assert engine.daemons.sweep(own, takes_over=True) == now
    engine.daemons.note(own)
    assert engine.status().daemons == (own,)
    assert (engine.status().daemons_at_work, engine.status().work["ready"]) == (1, 1)
