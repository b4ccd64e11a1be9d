"""What the demo plays on: a service, a fresh log, an example site, and the loop between them."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypedDict

from amie_engine._resources import folder
from amie_engine.client import AMIEClient
from amie_engine.engine import Engine
from amie_engine.engine.state import UNKNOWN_AT_SERVICE
from amie_engine.errors import SettingsError
from amie_engine.sandbox import Faults, Sandbox
from amie_engine.sandbox.faults import HUB_FAILS, INFORMS_LINGER
from amie_engine.site import Runner, Site
from amie_engine.testing import Clock

__all__ = ["SITE", "Comparison", "Stage", "agree", "compare", "example_site", "play", "stage"]

SITE = "CAMPUS"
"""The demo's site."""

_PAUSE = 60.0
_FAULTS_TAKE = timedelta(days=1)
"""What a clock that is moved on begins before the real one, so that it ends before that, too: what is looked
at afterwards must not be in the future."""
_ROUNDS_WITHOUT_NEWS = 5
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the demo plays with."""

    hub: Sandbox
    client: AMIEClient
    engine: Engine
    runner: Runner
    clock: Callable[[], datetime]


class Comparison(TypedDict):
    """A transaction as both sides see it; a state is None where that side does not know it. Of what the
    service has forgotten, it is the one that it had: before it was restarted without memory."""

    trans_rec_id: str
    type: str | None
    service: str | None
    log: str | None
    forgotten: bool


@contextmanager
def stage(
    database: str | None = None,
    seed: int = 0,
    open_site: Callable[[Path], AbstractContextManager[Site]] | None = None,
    *,
    faults: Faults | None = None,
) -> Iterator[Stage]:
    """Start a service on a free port, open a log, and take both down at the end of the block.

    Args:
        database: The log's URL; without one, a fresh SQLite file that stays for the user to look into.
        seed: What people and projects are made up from.
        open_site: Opens the site, on a path for its own database; the example site where it is not given.
        faults: What happens to the service's calls. Then the hub fails transactions, too, its informs linger,
            and waiting takes no time: the clock is moved on instead.

    Raises:
        SettingsError: The log has transactions of the demo's in it already.
        LogError: The database can't be used.
    """
    from amie_engine.sandbox.server import SandboxServer

    place = Path(tempfile.mkdtemp(prefix="amie-demo-"))
    url = database or f"sqlite:///{place / 'amie.db'}"
    now = partial(datetime.now, UTC)
    clock = Clock(now() - _FAULTS_TAKE, tick=timedelta(milliseconds=1)) if faults else now
    hub = Sandbox(
        SITE,
        seed=seed,
        hub="SANDBOX",
        failures=HUB_FAILS if faults else 0.0,
        lingering_informs=INFORMS_LINGER if faults else 0.0,
        clock=clock,
    )
    try:
        with (
            Engine(url, site=SITE, hub="sandbox", clock=clock) as engine,
            SandboxServer(hub, faults=faults) as server,
            AMIEClient(SITE, hub.api_key, server.url, sleep=partial(_pass, clock)) as client,
            (open_site or example_site)(place / "campus.db") as site,
        ):
            if engine.transactions():
                raise SettingsError(
                    "The demo needs a log without sandbox transactions in it.",
                    hint="Give another --database, or none: then it makes a fresh one.",
                )
            with Runner(engine, client, site) as runner:
                yield Stage(hub, client, engine, runner, clock)
    finally:
        if database is not None:
            shutil.rmtree(place, ignore_errors=True)


def play(stage: Stage, scenario: str, on_round: Callable[[], object]) -> None:
    """Play a scenario until all is done, or nothing moves any more.

    Args:
        stage: Where.
        scenario: Its name.
        on_round: Called after each round.
    """
    give_up = time.monotonic() + _SECONDS
    stage.client.start_scenario(scenario)
    idle = 0
    while not _is_over(stage) and time.monotonic() < give_up:
        done = stage.runner.run_once()
        _end_forgotten(stage)
        on_round()
        if isinstance(stage.clock, Clock):
            stage.clock.forward(seconds=0 if done.moved and not done.errors else _PAUSE)
        elif not done.moved:
            idle += 1
            if idle == _ROUNDS_WITHOUT_NEWS:
                break
        else:
            idle = 0
    on_round()


def _is_over(stage: Stage) -> bool:
    """Whether nothing is open or lingers at the service any more, and the log has its last word."""
    return stage.hub.idle and not stage.hub.lingering and agree(compare(stage), may_fail=True)


def _end_forgotten(stage: Stage) -> None:
    """Do what an operator does about transactions that the service does not know any more."""
    for transaction in stage.engine.transactions(open_only=True):
        if UNKNOWN_AT_SERVICE in transaction.anomalies and not transaction.sending:
            stage.engine.fail(transaction.stream, "The service has forgotten it.", actor="demo")


def _pass(clock: Callable[[], datetime], seconds: float) -> None:
    """Have time pass: by waiting, or by moving the clock."""
    if isinstance(clock, Clock):
        clock.forward(seconds=seconds)
    else:
        time.sleep(seconds)


def compare(stage: Stage) -> list[Comparison]:
    """Return every transaction as both sides see it."""
    ours = {transaction.trans_rec_id: transaction.state for transaction in stage.engine.transactions()}
    compared = [
        Comparison(
            trans_rec_id=str(theirs.trans_rec_id),
            type=theirs.type,
            service=theirs.state,
            log=ours.pop(str(theirs.trans_rec_id), None),
            forgotten=False,
        )
        for theirs in stage.hub.transactions()
    ]
    forgotten = {str(once.trans_rec_id): once for once in stage.hub.forgotten}
    for name, state in ours.items():
        once = forgotten.get(name or "")
        compared.append(
            Comparison(
                trans_rec_id=name or "?",
                type=None if once is None else once.type,
                service=None if once is None else once.state,
                log=state,
                forgotten=once is not None,
            )
        )
    return compared


def agree(compared: Sequence[Comparison], *, may_fail: bool = False) -> bool:
    """Whether there are transactions, and every one has completed on both sides, or also failed on both; one
    that the service has forgotten may have failed in the log whatever it was there."""
    ends = ("completed", "failed") if may_fail else ("completed",)
    return bool(compared) and all(
        row["log"] in ends and (row["service"] == row["log"] or (row["forgotten"] and row["log"] == "failed"))
        for row in compared
    )


@contextmanager
def example_site(database: Path) -> Iterator[Site]:
    """Open the example site that comes with the package, on a database of its own."""
    examples = str(folder("examples"))
    if examples not in sys.path:
        sys.path.insert(0, examples)
    campus = importlib.import_module("campus.backend")
    handlers = importlib.import_module("campus.site")
    with campus.Campus(str(database)) as back_end:
        yield handlers.build_site(back_end, SITE)
