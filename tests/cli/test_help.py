"""What the help teaches, on a terminal of 80 columns and in the reference page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from amie_engine import __version__
from amie_engine.cli.app import app
from amie_engine.cli.reference import reference
from amie_engine.cli.settings import SETTINGS
from tests.cli.cli_world import Result, flat, plain

Amie = Callable[..., Result]

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
COMMANDS = [
    "demo",
    "sandbox",
    "migrate",
    "run",
    "poll",
    "status",
    "health",
    "transactions",
    "show",
    "quarantine",
    "verify",
    "seal",
]
COMMANDS += ["audit", "erase", "export", "import", "backup"]


def test_the_version(amie: Amie) -> None:
    assert amie("--version").out == f"amie-engine {__version__}\n"


def test_without_a_command_the_help_is_shown(amie: Amie) -> None:
    told = flat(amie().out)
    for command in COMMANDS:
        assert f" {command} " in told
    assert "New here? amie-engine demo plays" in told
    assert "Exit status: 0 for success, 1 for an error, 2 for a mistake" in told
    assert "What no option says comes from AMIE_ENGINE_* variables" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_with_an_example(amie: Amie, command: str) -> None:
    result = amie(command, "--help")
    assert result.status == 0
    told = flat(result.out)
    assert f"Usage: amie-engine {command}" in told
    assert "Example" in told
    assert f"amie-engine {command}" in told.split("Example", 1)[1]
    assert ("then from amie-engine.toml" in told) == (command not in ("demo", "sandbox"))
    assert max(len(line) for line in plain(result.out).splitlines()) <= 80
    assert amie(command, "-h").out == result.out


def test_examples_keep_their_lines_and_paragraphs_flow(amie: Amie) -> None:
    lines = [line.rstrip() for line in plain(amie("run", "--help").out).splitlines()]
    assert "   amie-engine run --site campus.site:site --hub sandbox \\" in lines
    assert "       --url http://127.0.0.1:8000/v0.10/" in lines
    paragraph = next(line for line in lines if line.startswith(" Handlers are called in threads"))
    assert len(paragraph) > 70


def test_run_takes_handlers_and_the_other_commands_a_name(amie: Amie) -> None:
    assert "--site MODULE:OBJECT The site's handlers" in flat(amie("run", "--help").out)
    for command in ("poll", "transactions", "show", "quarantine"):
        assert "--site NAME The site's AMIE name." in flat(amie(command, "--help").out)


def test_the_reference_page_is_up_to_date() -> None:
    made = reference()
    assert PAGE.read_text(encoding="utf-8") == made, (
        "Make it anew: python -m amie_engine.cli.reference docs/command-line.md"
    )


@pytest.mark.parametrize("columns", ["40", "300"])
def test_the_reference_page_does_not_depend_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert reference() == PAGE.read_text(encoding="utf-8")


def test_the_reference_page_has_every_command_option_and_setting() -> None:
    page = reference()
    for command in COMMANDS:
        assert f"\n## {command}\n" in page
        section = page.split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
        assert "```console\n" in section
        for parameter in typer.main.get_command(app).commands[command].params:  # type: ignore[attr-defined]
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"`{parameter.opts[0]}" in section
    for name in SETTINGS:
        assert f"| `{name}` | `AMIE_ENGINE_{name.upper()}` |" in page
