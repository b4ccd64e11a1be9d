"""The Django example: its command plays every scenario, also when it is killed at the worst moments."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine import Engine
from tests.examples.watching import (
    KEY,
    NAME,
    ROOT,
    Program,
    Watched,
    assert_played_to_the_end,
    watched_service,
)
from tests.site.site_packets import request

PROJECT = ROOT / "examples" / "django_site"
MERGE = "request_person_merge"
"""The scenario with the most requests."""

PATHS = os.pathsep.join(map(str, (PROJECT, ROOT, ROOT / "src")))


def _manage(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Django's tables and the log's, made as the README says."""
    file = tmp_path_factory.mktemp("django") / "center.db"
    environment = {"CENTER_DATABASE": str(file), "PYTHONPATH": PATHS}
    for arguments in (("migrate",), ("amie", "--migrate"), ("makemigrations", "--check")):
        done = _manage(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr
    return file


@pytest.fixture
def file(migrated: Path, tmp_path: Path) -> Path:
    """A fresh copy of it."""
    return Path(shutil.copy(migrated, tmp_path / "center.db"))


@pytest.fixture
def service() -> Iterator[tuple[Watched, str]]:
    with watched_service() as served:
        yield served


@pytest.fixture
def hub(service: tuple[Watched, str]) -> Watched:
    return service[0]


@pytest.fixture
def environment(service: tuple[Watched, str], file: Path) -> dict[str, str]:
    """The command's settings."""
    settings = {"AMIE_ENGINE_URL": service[1], "AMIE_ENGINE_API_KEY": KEY, "AMIE_ENGINE_HUB": "sandbox"}
    return settings | {"CENTER_DATABASE": str(file), "PYTHONPATH": PATHS}


@pytest.fixture
def watching(file: Path) -> Iterator[Engine]:
    with Engine(f"sqlite:///{file}", site=NAME, hub="sandbox") as engine:
        yield engine


def _rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def _daemon(environment: Mapping[str, str], folder: Path, *arguments: str) -> Program:
    return Program(str(PROJECT / "manage.py"), "amie", *arguments, environment=environment, folder=folder)


def _play(hub: Watched, watching: Engine, daemon: Program) -> None:
    """Let the daemon play until all is done, and stop it."""
    with daemon:
        hub.wait_for_the_end(watching, lambda: daemon.is_alive)
        assert daemon.stop(signal.SIGTERM) == 0, daemon.said()
    assert_played_to_the_end(hub, watching)


def _assert_all_was_done_once(hub: Watched, file: Path) -> None:
    requests = Counter(transaction.type for transaction in hub.transactions())
    grants = _rows(file, "SELECT count(*), count(DISTINCT grant_number) FROM allocations_project")
    assert grants == [(requests["request_project_create"],) * 2]
    merged = "SELECT count(*) FROM allocations_person WHERE merged_into_id IS NOT NULL"
    assert _rows(file, merged) == [(requests[MERGE],)]
    steps = "SELECT count(*) FROM amie_events WHERE type = 'work_step_done'"
    assert _rows(file, "SELECT count(*) FROM allocations_donestep") == _rows(file, steps)


def test_every_scenario_is_played_to_its_end(
    hub: Watched, watching: Engine, environment: dict[str, str], file: Path, tmp_path: Path
) -> None:
    hub.start_all()
    _play(hub, watching, _daemon(environment, tmp_path, "--workers", "3"))
    _assert_all_was_done_once(hub, file)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_before_or_after_djangos_commit_it_goes_on_and_nothing_is_done_twice(
    hub: Watched, watching: Engine, environment: dict[str, str], file: Path, tmp_path: Path, moment: str
) -> None:
    hub.start_scenario(MERGE)
    killing = {"DJANGO_SETTINGS_MODULE": "tests.examples.django_killing.settings", "KILL": moment}
    with _daemon(environment | killing, tmp_path) as daemon:
        assert daemon.end() == -signal.SIGKILL, daemon.said()
    done = 5 if moment == "after" else 4
    assert _rows(file, "SELECT count(*) FROM allocations_donestep") == [(done,)]
    assert _rows(file, "SELECT count(*) FROM amie_events WHERE type = 'work_step_done'") == [(4,)]

    _play(hub, watching, _daemon(environment, tmp_path))
    _assert_all_was_done_once(hub, file)
    assert _rows(file, "SELECT count(*) FROM amie_events WHERE type = 'work_failed'") == [(1,)]


def test_killed_after_a_reply_has_arrived_it_sends_none_twice(
    hub: Watched, watching: Engine, environment: dict[str, str], file: Path, tmp_path: Path
) -> None:
    hub.start_scenario(MERGE)
    with _daemon(environment, tmp_path) as daemon:
        hub.on_post = lambda document: daemon.process.kill()
        assert daemon.end() == -signal.SIGKILL
        hub.on_post = lambda document: None
    assert [outgoing.status for outgoing in watching.outbox.open()].count("attempting") == 1
    _play(hub, watching, _daemon(environment, tmp_path))
    _assert_all_was_done_once(hub, file)


def test_one_round(hub: Watched, environment: dict[str, str]) -> None:
    hub.start_scenario("request_project_reactivate")
    done = _manage("amie", "--once", environment=environment)
    assert (done.returncode, done.stdout) == (0, "Received 2, arrived 2.\n")


def test_what_the_tables_do_not_know_fails_the_transaction(
    watching: Engine, environment: dict[str, str]
) -> None:
    watching.receive(request(1, "request_account_inactivate"))
    _manage("amie", "--once", environment=environment)
    replies = [
        entry.packet_type for entry in watching.history(5001).entries if entry.event == "packet_decided"
    ]
    assert replies == ["inform_transaction_complete"]


def test_without_the_logs_tables_it_says_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    other = environment | {"CENTER_DATABASE": str(tmp_path / "other.db")}
    assert _manage("migrate", environment=other).returncode == 0
    refused = _manage("amie", environment=other)
    assert refused.returncode == 1
    assert "database-schema-missing" in refused.stderr
