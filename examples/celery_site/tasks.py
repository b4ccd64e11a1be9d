"""The tasks, and what Celery has to know.

The log knows what is to be done, and the broker only wakes somebody up. So a message may come late, twice, or
not at all, and Celery has nothing to retry and nothing to keep: what failed, and when it is called again, is
in the log.
"""

from __future__ import annotations

import os
import threading
import time
from functools import cache

from celery import Celery, signals

from amie_engine import AMIEClient, Engine, Runner
from amie_engine.site import Worked, load_site

__all__ = ["app", "deliver", "exchange", "hand_out", "leave", "runner", "work_on"]

EVERY = float(os.environ.get("AMIE_EXCHANGE_EVERY", "10"))
"""Seconds between two looks at what is due. How often the service itself is polled, the runner decides."""

AGAIN = 6 * EVERY
"""Seconds after which work that is still ready is handed out once more: its message was lost, perhaps."""

app = Celery("celery_site", broker=os.environ.get("AMIE_BROKER", "amqp://guest@127.0.0.1//"))
app.conf.update(
    beat_schedule={
        "exchange": {"task": "amie.exchange", "schedule": EVERY, "options": {"expires": EVERY}},
        "deliver": {"task": "amie.deliver", "schedule": EVERY, "options": {"expires": EVERY}},
    },
    task_routes={
        "amie.exchange": {"queue": "hub"},
        "amie.work_on": {"queue": "work"},
        "amie.deliver": {"queue": "work"},  # a slow subscriber holds up no poll
    },
    task_ignore_result=True,
    task_acks_late=True,  # with the next line: a worker holds no message that another one could work on
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # the copy of the message finds its lease
    broker_connection_retry_on_startup=True,
)

_opening = threading.Lock()


def runner() -> Runner:
    """Return the runner of this process.

    Its first task opens it: after the fork, for the pool's parent runs no task. A connection that was opened
    before would be shared by all children.
    """
    with _opening:
        return _open()


@cache
def _open() -> Runner:
    settings = os.environ
    site = load_site(settings["AMIE_ENGINE_HANDLERS"])
    database = settings.get("AMIE_ENGINE_DATABASE", "sqlite:///amie.db")
    engine = Engine(database, site=site.name, hub=settings.get("AMIE_ENGINE_HUB", "access"))
    client = AMIEClient(site.name, settings["AMIE_ENGINE_API_KEY"], settings["AMIE_ENGINE_URL"])
    return Runner(engine, client, site)


@signals.worker_process_shutdown.connect  # of a pool of processes, each of them
@signals.worker_shutdown.connect  # of a pool of threads
def leave(**_: object) -> None:
    """Tell the log that this process polls no more: for `amie-engine status`, it did not crash then."""
    if _open.cache_info().currsize:
        _open().leave()


@app.task(name="amie.exchange")
def exchange() -> None:
    """Poll the service if it is time to, send what is in the outbox, and hand out what may be worked on now.

    What goes wrong with the service is logged by the runner, and tried again when it is due.
    """
    result, _ = runner().tick(works=False)
    hand_out()
    if result.moved and not result.errors:
        exchange.apply_async(expires=EVERY)  # the service may have answered already


@app.task(name="amie.work_on", soft_time_limit=600, time_limit=720)
def work_on(trans_rec_id: str) -> str:
    """Call the handler for what waits for the site in a transaction, unless somebody else is at it.

    What a handler raises is in the log, and so is when it is called again. The soft time limit is such an
    exception; the hard one kills the process. Both come before the lease is over, which lasts 15 minutes.
    """
    worked = runner().work_on(trans_rec_id)
    if worked is Worked.REPLIED:
        exchange.apply_async(expires=EVERY)
    return str(worked)


@app.task(name="amie.deliver", soft_time_limit=600, time_limit=720)
def deliver() -> None:
    """Call the site's subscribers for all that is new to them; the next message goes on where this one ends.

    What one raises is in the log, and so is when that event is tried again.
    """
    runner().deliver_once()


_handed_out: dict[str, float] = {}
"""When each packet that is ready was handed out; each process that exchanges has its own."""


def hand_out() -> None:
    """Send a message for each piece of work that is ready, and another where the one before came to nothing.

    It names the transaction and nobody's data. One that nobody has taken until the next is sent expires.
    """
    now = time.monotonic()
    ready = {row.packet_rec_id: row.trans_rec_id for row in runner().engine.work.ready()}
    for packet_rec_id in _handed_out.keys() - ready.keys():
        del _handed_out[packet_rec_id]
    for packet_rec_id, trans_rec_id in ready.items():
        if now - _handed_out.get(packet_rec_id, -AGAIN) >= AGAIN:
            work_on.apply_async((trans_rec_id,), expires=AGAIN)
            _handed_out[packet_rec_id] = now
