"""Running the command: in this process for speed, in a process of its own where signals or pipes matter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amie_engine import Engine
from amie_engine.testing import Clock

SAMPLES = Path(__file__).parents[1] / "data" / "samples" / "spec"
KEY = "key-for-tests"
ENOUGH = 30.0
"""Seconds after which a test that waits has failed; it takes about one."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    """Text without colours."""
    return _COLOURS.sub("", text)


def flat(text: str) -> str:
    """Text without colours, boxes and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", plain(text)).split())


@dataclass(frozen=True)
class Result:
    """What a call of the command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def two_hours_ago() -> Clock:
    """A clock two hours behind, on which a millisecond passes from one look to the next."""
    return Clock(
        datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2), tick=timedelta(milliseconds=1)
    )


def packet(number: int = 1, kind: str = "request_project_create", **body: Any) -> dict[str, Any]:
    """A sample packet of the hub's; each number is a transaction of its own."""
    document: dict[str, Any] = json.loads((SAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    document["header"] |= {
        "packet_rec_id": 7000 + number,
        "trans_rec_id": 5000 + number,
        "transaction_id": 100 + number,
        "packet_timestamp": (datetime.now(UTC) - timedelta(hours=3)).isoformat(),
    }
    if kind == "request_project_create":
        document["body"] |= {"ProjectID": "", "PiPersonID": "", "RecordID": f"record-{number}"}
    document["body"] |= body
    return document


@contextmanager
def log(url: str, site: str = "NCSA", hub: str = "sandbox") -> Iterator[Engine]:
    """A log to put something into, two hours ago."""
    with Engine(url, site=site, hub=hub, clock=two_hours_ago()) as engine:
        yield engine


class Child:
    """The command in a process of its own, whose lines are read as they come."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from amie_engine.cli import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(environment),
            cwd=folder,
        )
        self._errors: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_errors)
        self._reader.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._errors.append(line)
                self._changed.notify_all()

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def wait_for(self, text: str) -> None:
        """Wait until it has logged a text."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in "".join(self._errors), ENOUGH), self.errors

    def stop(self, number: int) -> int:
        """Send it a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        try:
            return self.process.wait(ENOUGH)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            for stream in (self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()
