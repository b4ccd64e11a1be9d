"""What the daemon logs, as lines for people and as JSON for programs; and its metrics and its supervisor."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amie_engine._logging import FIELDS
from amie_engine.sandbox import Sandbox
from tests.cli.cli_world import ENOUGH, KEY, Child, Result, flat

Amie = Callable[..., Result]
Start = Callable[..., Child]
RPC = "request_project_create"
SITE = """
from amie_engine import Site

site = Site("NCSA")


@site.handles("request_project_create")
def create_project(request, work):
    raise KeyError(request.PiLastName)
"""


def lines(loop: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in loop.errors.splitlines()]


def test_a_line_is_one_json_object_with_the_fields_that_it_has(
    child: Start, service: Sandbox, folder: Path
) -> None:
    (folder / "loggingsite.py").write_text(SITE)
    (folder / "amie-engine.toml").write_text('log_format = "json"\n')
    service.start_scenario(RPC)
    [transaction] = service.transactions()
    loop = child("run", "--site", "loggingsite:site", "--interval", "3600")
    loop.wait_for("called again at")
    assert loop.stop(signal.SIGTERM) == 0
    told = lines(loop)
    assert all(set(line) <= {"time", "level", "logger", "message", *FIELDS} for line in told)
    for line in told:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=5)
    [received] = [line for line in told if line["message"].startswith("Received")]
    ids = {key: received[key] for key in ("trans_rec_id", "packet_rec_id")}
    assert ids["trans_rec_id"] == str(transaction.trans_rec_id)
    assert {key: received[key] for key in ("level", "logger", "packet_type", "outcome")} == {
        "level": "INFO",
        "logger": "amie_engine.site",
        "packet_type": RPC,
        "outcome": "accepted",
    }
    [failed] = [line for line in told if "called again" in line["message"]]
    assert {**failed, **ids, "error": "KeyError", "handler": "create_project", "attempt": 1} == failed
    body = service.transaction(transaction.trans_rec_id)["DATA"][0]["body"]
    for name in ("PiLastName", "PiFirstName", "PiEmail"):
        assert body[name] not in loop.errors
    assert KEY not in loop.errors


def test_lines_for_people_stay_as_they_are(child: Start, service: Sandbox, folder: Path) -> None:
    service.start_scenario(RPC)
    loop = child("run", "--site", "campus.site:site", "--interval", "3600")
    loop.wait_for("notify_project_create of transaction")
    assert loop.stop(signal.SIGTERM) == 0
    first, second = loop.errors.splitlines()[:2]
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    assert re.match(
        rf"{time} INFO amie_engine\.cli: amie-engine \S+ runs site NCSA at sandbox: service", first
    )
    assert re.match(rf"{time} INFO amie_engine\.site: Received", second)


def test_an_exception_of_the_sites_own_logging_is_in_its_line(
    child: Start, service: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "loggingsite.py").write_text(
        SITE.replace(
            "    raise",
            "    import logging\n\n    try:\n        1 / 0\n    except ZeroDivisionError:\n"
            "        logging.getLogger('loggingsite').exception('odd')\n    raise",
        )
    )
    monkeypatch.setenv("AMIE_ENGINE_LOG_FORMAT", "json")
    service.start_scenario(RPC)
    loop = child("run", "--site", "loggingsite:site", "--interval", "3600")
    loop.wait_for("called again at")
    assert loop.stop(signal.SIGTERM) == 0
    [odd] = [line for line in lines(loop) if line["logger"] == "loggingsite"]
    assert "ZeroDivisionError" in odd["exception"]


def test_the_loop_serves_metrics_and_tells_its_supervisor(
    child: Start, service: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("notify")
        listener.settimeout(ENOUGH)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        service.start_scenario(RPC)
        loop = child("run", "--site", "campus.site:site", "--interval", "3600", "--metrics-port", "0")
        assert listener.recv(4096).decode().startswith("READY=1\n")
        assert b"STATUS=The service answers." in listener.recv(4096)
        [url] = re.findall(r"http://127\.0\.0\.1:\d+/metrics", loop.errors)
        with urllib.request.urlopen(url) as answer:  # noqa: S310 # our own
            assert b"amie_engine_daemons_at_work 1.0" in answer.read()
        assert loop.stop(signal.SIGTERM) == 0
        listener.setblocking(False)
        last = b""
        while b"STOPPING=1" not in last:
            last = listener.recv(4096)


def test_metrics_without_the_extra_are_a_mistake_of_the_settings(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "amie_engine.site.metrics", raising=False)
    result = amie("run", "--site", "campus.site:site", "--metrics-port", "0")
    assert result.status == 2
    assert "pip install 'amie-engine[metrics]'" in flat(result.err)
