"""Metrics for Prometheus: of the log as it is when they are asked for, and of what this process does.

Gauges are read from the log's database, so that several daemons of one log tell the same; counters and
histograms are those of the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from amie_engine.engine import Engine, Outcome
from amie_engine.engine.needs import NeedKind
from amie_engine.engine.outbox import Outgoing
from amie_engine.engine.status import Status
from amie_engine.engine.work_row import WorkRow
from amie_engine.errors import AddressUnusable, AMIEEngineError, DependencyMissing, LogError
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.site.observing import Observer, SendResult
from amie_engine.site.worked import Worked

try:
    from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise DependencyMissing(
        "Metrics need prometheus-client, which is not installed.",
        hint="Install it: pip install 'amie-engine[metrics]'.",
    ) from error

__all__ = ["Metrics"]

_READ_AT_MOST_EVERY = 5.0
"""Seconds for which what was read of the log is told again: several may ask at once."""

_HANDLER_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class Metrics(Observer):
    """Counts what a runner does, and tells of its log; give it to the runner as one of its ``observers``.

    Args:
        engine: Whose log it tells of.
        registry: Where it registers; without one, in a registry of its own, ``registry``.
        stopwatch: Gives seconds, for how long what was read of the log is told again; for tests.

    Raises:
        DependencyMissing: At the import of this module, where prometheus-client is not installed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        registry: CollectorRegistry | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry = CollectorRegistry() if registry is None else registry
        registry.register(_LogCollector(engine, stopwatch))
        self._packets = Counter(
            "amie_engine_packets_received",
            "Packets that were received, by what became of them.",
            ("packet_type", "outcome"),
            registry=registry,
        )
        self._polls = Histogram("amie_engine_poll_seconds", "How long polls took.", registry=registry)
        self._failed_polls = Counter(
            "amie_engine_polls_failed",
            "Polls that failed, by the error's code.",
            ("code",),
            registry=registry,
        )
        self._handlers = Histogram(
            "amie_engine_handler_seconds",
            "How long calls of handlers took.",
            ("packet_type",),
            buckets=_HANDLER_BUCKETS,
            registry=registry,
        )
        self._worked = Counter(
            "amie_engine_work",
            "What became of work: failed is tried again, parked waits for a person.",
            ("packet_type", "result"),
            registry=registry,
        )
        self._sends = Counter(
            "amie_engine_sends",
            "Attempts to send something, by what became of them.",
            ("packet_type", "result"),
            registry=registry,
        )

    @contextmanager
    def serving(self, port: int, host: str = "127.0.0.1") -> Iterator[int]:
        """Serve the metrics while the block runs; it is given the port.

        Args:
            port: The port; 0 takes a free one.
            host: The address.

        Raises:
            AddressUnusable: They can't be served there.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise AddressUnusable(
                f"Metrics can't be served at {host}, port {port}: {error.strerror}."
            ) from error
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def polled(self, seconds: float, error: AMIEEngineError | None) -> None:
        self._polls.observe(seconds)
        if error is not None:
            self._failed_polls.labels(error.code).inc()

    def received(self, outcome: Outcome) -> None:
        self._packets.labels(_known(outcome.packet_type), str(outcome.kind)).inc()

    def handled(self, row: WorkRow, seconds: float) -> None:
        self._handlers.labels(row.packet_type).observe(seconds)

    def worked(self, row: WorkRow, end: Worked) -> None:
        if end is not Worked.NOT_YET:
            self._worked.labels(row.packet_type, str(end)).inc()

    def sent(self, outgoing: Outgoing, result: SendResult) -> None:
        self._sends.labels(outgoing.packet_type or "set_failed", str(result)).inc()


class _LogCollector(Collector):
    """Tells of the log as it is, when it is asked; of one that can't be read, only that."""

    def __init__(self, engine: Engine, stopwatch: Callable[[], float]) -> None:
        self._engine = engine
        self._stopwatch = stopwatch
        self._read = threading.Lock()
        self._known: tuple[float, Status | None] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield GaugeMetricFamily(
            "amie_engine_log_up", "Whether the log could be read.", value=0 if status is None else 1
        )
        if status is not None:
            yield from _gauges(status)

    def _status(self) -> Status | None:
        with self._read:
            now = self._stopwatch()
            if self._known is None or now - self._known[0] >= _READ_AT_MOST_EVERY:
                try:
                    self._known = (now, self._engine.status())
                except LogError:
                    self._known = (now, None)
            return self._known[1]


def _gauges(status: Status) -> Iterator[Metric]:
    transactions: dict[tuple[str, ...], int] = {
        (each.state, each.turn or "nobody"): each.count for each in status.transactions
    }
    yield _by(
        "open_transactions",
        "Open transactions, by state and whose turn it is.",
        ("state", "turn"),
        transactions,
    )
    yield _by("open_work", "Open work, by its state.", ("state",), _keyed(status.work))
    entries = {
        "pending": status.pending,
        "waiting": status.waiting,
        "attempting": status.attempting,
        "rejected": status.rejected,
    }
    yield _by(
        "outbox_entries", "What has still to arrive, and what was refused.", ("status",), _keyed(entries)
    )
    oldest = status.outbox_since
    age = 0.0 if oldest is None else max((status.now - oldest).total_seconds(), 0.0)
    yield _one("outbox_oldest_age_seconds", "How old the oldest is that is pending or attempting.", age)
    deadlines = {"overdue": status.overdue, "near": status.near}
    yield _by("deadlines", "Deadlines of open transactions.", ("status",), _keyed(deadlines))
    yield _one("quarantined_items", "What came and can't be used.", status.quarantined)
    yield _one("held_packets", "Packets that wait for one that comes before them.", status.held)
    needs = dict.fromkeys((str(kind) for kind in NeedKind), 0)
    for need in status.needs:
        needs[need.kind] += 1
    yield _by("needs_person", "What needs a person, by why.", ("kind",), _keyed(needs))
    yield _one("daemons_at_work", "Daemons at work on this log.", status.daemons_at_work)
    yield _by(
        "subscriber_events_behind",
        "How many events of the log each subscriber has not been given.",
        ("subscriber",),
        {(row.name,): row.behind for row in status.subscribers},
    )
    succeeded_at = status.service.succeeded_at
    if succeeded_at is not None:
        yield _one(
            "last_successful_poll_timestamp_seconds",
            "When a daemon of this log polled with success last.",
            succeeded_at.timestamp(),
        )


def _keyed(counts: dict[str, int]) -> dict[tuple[str, ...], int]:
    return {(name,): count for name, count in counts.items()}


def _by(
    name: str, meaning: str, labels: tuple[str, ...], counts: dict[tuple[str, ...], int]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"amie_engine_{name}", meaning, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"amie_engine_{name}", meaning, value=value)


def _known(packet_type: str | None) -> str:
    """A packet's type; what can't be used may name anything."""
    return packet_type if packet_type in PACKET_TYPES else "unknown"
