"""What docs/operating.md names is there: commands, settings, metrics, fields, and what needs a person."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry

from amie_engine import Engine
from amie_engine._logging import FIELDS
from amie_engine.cli.app import app
from amie_engine.cli.settings import SETTINGS, load_settings
from amie_engine.engine.needs import NeedKind
from amie_engine.site.metrics import Metrics
from amie_engine.testing import Clock
from tests.log.busy_site import play

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined] # the app has several


def block(language: str, containing: str = "") -> str:
    """The block of a language on the page that has a text in it."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [one] = [text for text in found if containing in text]
    return str(one)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> set[str]:
    """What stands as code in the first column of its tables."""
    return {
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(.+?)`", row)
    }


def unit() -> dict[str, list[str]]:
    """The unit's settings; some stand there several times."""
    values: dict[str, list[str]] = {}
    for line in block("ini", "[Service]").splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


def assert_can_be_called(words: list[str]) -> None:
    """That a command and its options are there."""
    program, name, *arguments = words
    assert Path(program).name == "amie-engine"
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= options, words


def test_every_command_and_option_is_there() -> None:
    """In blocks and in the text, be it by whatever path."""
    calls = re.findall(r"(?:`|/|^(?:\$ )?)amie-engine ([a-z][a-z-]+)([^`|\n]*)", PAGE, re.MULTILINE)
    assert {name for name, _ in calls} >= {"run", "status", "health", "backup", "migrate", "answer"}
    for name, rest in calls:
        assert_can_be_called(["amie-engine", name, *re.findall(r"--[a-z-]+", rest)])


def test_the_unit_runs_the_daemon_and_hears_of_it() -> None:
    told = unit()
    [command] = told["ExecStart"]
    assert_can_be_called(shlex.split(command))
    assert told["Type"] == ["notify"]
    assert {"WatchdogSec", "Restart", "TimeoutStopSec", "LoadCredential"} <= set(told)
    variables = dict(value.split("=", 1) for value in told["Environment"])
    assert set(variables) == {"AMIE_ENGINE_CONFIG", "AMIE_ENGINE_API_KEY_FILE"}
    [credential] = told["LoadCredential"]
    assert variables["AMIE_ENGINE_API_KEY_FILE"] == f"%d/{credential.partition(':')[0]}"
    assert told["WorkingDirectory"] == [f"/var/lib/{told['StateDirectory'][0]}"]
    assert "2" in told["RestartPreventExitStatus"]


def test_the_settings_of_the_service_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "amie-engine.toml"
    file.write_text(block("toml"))
    settings = load_settings({}, file=file, environment={})
    assert settings.log_format == "json"
    assert settings.database == f"sqlite:////var/lib/{unit()['StateDirectory'][0]}/amie.db"
    assert set(tomllib.loads(block("toml"))) <= set(SETTINGS)


def test_the_container_runs_the_daemon_as_nobody_special_and_asks_for_its_health() -> None:
    text = block("dockerfile").replace("\\\n", " ")
    lines = [line.split(" ", 1) for line in text.splitlines() if line]
    told = {name: value.strip() for name, value in lines}
    entry, command = json.loads(told["ENTRYPOINT"]), json.loads(told["CMD"])
    assert_can_be_called([*entry, *command])
    assert_can_be_called(json.loads(told["HEALTHCHECK"].split(" CMD ")[1]))
    assert told["USER"] == "amie"
    variables = dict(each.split("=", 1) for each in told["ENV"].split() if each.startswith("AMIE_ENGINE_"))
    settings = load_settings({}, environment=variables)
    assert settings.database == f"sqlite:///{told['VOLUME']}/amie.db"
    assert settings.metrics_port == int(told["EXPOSE"])
    extras = re.findall(r"'/src\[([\w,]+)\]'", told["RUN"])[0].split(",")
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(extras) <= set(pyproject["project"]["optional-dependencies"])


def test_the_page_says_what_to_do_for_all_that_needs_a_person() -> None:
    text = section("What needs a person")
    told = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert sorted(told) == sorted(str(kind) for kind in NeedKind)


def test_the_page_tells_of_every_field_of_a_line_of_the_log() -> None:
    text = section("The program's log")
    assert first_cells(text) == {"time", "level", "logger", "message", "exception", *FIELDS}
    assert set(json.loads(block("json"))) <= first_cells(text)


@pytest.fixture
def served(tmp_path: Path) -> set[str]:
    """The names of all metrics of a log with a bit of everything in it."""
    clock, registry = Clock(), CollectorRegistry()
    with Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA", clock=clock) as engine:
        play(engine, clock)
        metrics = Metrics(engine, registry=registry)
        del metrics
        names = {
            metric.name + ("_total" if metric.type == "counter" else "") for metric in registry.collect()
        }
    return {name.removeprefix("amie_engine_") for name in names} | {"last_successful_poll_timestamp_seconds"}


def test_the_page_and_its_rules_name_the_metrics_that_there_are(served: set[str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Metrics"), re.MULTILINE)
    assert set(rows) == served
    assert set(re.findall(r"amie_engine_(\w+)", block("yaml"))) <= served
