"""The service of the hostile load test, in a process of its own: a sandbox with faults that always has a
window of open transactions, begins new ones as others end, and tells in the end what it has of each."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from amie_engine.sandbox import (
    HOSTILE,
    OFFICIAL_SCENARIOS,
    REQUEST_TYPES,
    Fault,
    Faults,
    Sandbox,
    SandboxServer,
)
from hostile_site import SITE

_CALLS_A_TRANSACTION = 6
_FEED_EVERY = 0.1

RATES: Mapping[Fault, float] = {
    **HOSTILE,
    Fault.EXPIRED_KEY: 0.003,  # after each, a daemon is silent for seconds,
    Fault.RATE_LIMITED: 0.003,  # and sends nothing for 15 after each of these
    Fault.RESTART: 0.002,
    Fault.LIST_OLD: 0.005,  # all that was done with in ten minutes, each time
}


class RememberingSandbox(Sandbox):
    """A sandbox whose tester remembers what it forgets."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.lost: dict[int, dict[str, Any]] = {}

    def forget(self) -> None:
        """Lose everything, but for the tester."""
        with self._lock:
            self.lost |= {one.trans_rec_id: self._told(one.trans_rec_id) for one in self.transactions()}
            super().forget()

    def told(self) -> dict[int, dict[str, Any]]:
        """Return what there is to tell of each transaction, also of those that are forgotten."""
        with self._lock:
            known = {one.trans_rec_id: self._told(one.trans_rec_id) for one in self.transactions()}
            lost = {name: story | {"forgotten": True} for name, story in self.lost.items()}
        return lost | known

    def _told(self, trans_rec_id: int) -> dict[str, Any]:
        document = self.transaction(trans_rec_id)
        packets = document["DATA"]
        return {
            "state": document["state"],
            "type": packets[0]["type"],
            "forgotten": False,
            "packets": [[packet["header"]["outgoing_flag"], packet["type"]] for packet in packets],
        }


def feed(hub: RememberingSandbox, transactions: int, window: int, seed: int, stop: threading.Event) -> None:
    """Begin scenarios so that a window of transactions is open, until there have been enough; tell how it
    is."""
    chance = Random(f"feed/{seed}")  # noqa: S311 # for tests, not for secrets
    # Chains that share grants, projects and persons, and requests about what there is already.
    scenarios = [*OFFICIAL_SCENARIOS * 3, *(f"single:{name}" for name in REQUEST_TYPES)]
    while not stop.wait(_FEED_EVERY):
        known = hub.transactions()
        still_open = sum(one.state == "in-progress" for one in known)
        begun = len(known) + len(hub.forgotten)
        for _ in range(min(max((window - still_open) // 2, 0), 10)):
            if begun + still_open < transactions:  # as many again follow in their chains, roughly
                hub.start_scenario(chance.choice(scenarios))
        print(json.dumps({"begun": begun, "open": still_open, "idle": hub.idle}), flush=True)


def main() -> None:
    """Serve until standard input ends; then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--transactions", type=int, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--memory-loss", type=int, required=True)
    parser.add_argument("--api-key", required=True)
    arguments = parser.parse_args()
    hub = RememberingSandbox(
        SITE,
        arguments.api_key,
        hub="SANDBOX",
        seed=arguments.seed,
        failures=0.02,
        lingering_informs=0.1,
    )
    forgets = 1 / (arguments.memory_loss * _CALLS_A_TRANSACTION)
    faults = Faults({**RATES, Fault.FORGETFUL_RESTART: forgets}, seed=arguments.seed)
    stop = threading.Event()
    with SandboxServer(hub, faults=faults) as server:
        print(json.dumps({"url": server.url}), flush=True)
        feeder = threading.Thread(
            target=feed, args=(hub, arguments.transactions, arguments.window, arguments.seed, stop)
        )
        feeder.start()
        sys.stdin.read()
        stop.set()
        feeder.join()
    struck = Counter({str(fault): faults.counts[fault] for fault in Fault}) + Counter(hub.counts)
    report = {
        "transactions": hub.told(),
        "answered": [packet._asdict() for packet in hub.answered],
        "faults": struck,
    }
    arguments.report.write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
