"""What another process does to a log in the contract's tests, until it is killed.

``python -m amie_engine.testing.contract.child WHAT``; the database's URL is the first line of its input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from amie_engine.engine import Engine
from amie_engine.log.events import EventType, NewEvent
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql
from amie_engine.testing.contract.story import SITE, project_request

__all__: list[str] = []


def _ready() -> None:
    """Say that it is done, and wait to be killed."""
    print("ready", flush=True)  # noqa: T201 # the parent reads it
    sys.stdin.read()


def _append_and_never_commit(url: str) -> None:
    with Engine(url, site=SITE, clock=Clock()) as engine, engine.log.write() as writer:
        writer.append("s", 0, [NewEvent(EventType.WORK_DEFERRED), NewEvent(EventType.WORK_DEFERRED)])
        _ready()


def _receive(url: str) -> None:
    with Engine(url, site=SITE, clock=Clock()) as engine:
        engine.receive(project_request(1))
        _ready()


def _stage_and_commit(url: str) -> None:
    sql = Sql(url)
    with Engine(url, site=SITE, clock=Clock()) as engine:
        with sql.engine.begin() as connection:
            engine.receive(project_request(1), connection=connection)
        _ready()


WORK: dict[str, Callable[[str], None]] = {
    "append and never commit": _append_and_never_commit,
    "receive": _receive,
    "stage and commit": _stage_and_commit,
}

if __name__ == "__main__":
    WORK[sys.argv[1]](sys.stdin.readline().strip())
