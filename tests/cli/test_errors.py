"""How a command fails: a line or two on standard error, a code, a status, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amie_engine.cli import operating
from tests.cli.cli_world import ENOUGH, Result, flat, log, packet

Amie = Callable[..., Result]

MISTAKES = [
    (("run",), 2, "settings-invalid", "The setting handlers is missing. Give --site, or set"),
    (("run", "--site", "nowhere"), 2, "settings-invalid", "Give module:object, such as campus.site:site."),
    (("run", "--site", "nowhere:site"), 2, "settings-invalid", "There is no module 'nowhere'."),
    (("run", "--site", "json:loads"), 2, "settings-invalid", "'json:loads' makes no site"),
    (("run", "--interval", "0"), 2, "settings-invalid", "more than 0 seconds"),
    (("poll",), 2, "settings-invalid", "The setting site is missing."),
    (("poll", "--site", "NCSA"), 2, "settings-invalid", "The setting api_key is missing. Set AMIE_ENGINE_"),
    (("poll", "--config", "no.toml"), 2, "settings-invalid", "The settings in no.toml can't be read"),
    (("migrate", "--to", "0000"), 2, "settings-invalid", "There is no revision '0000'."),
    (("migrate", "--database", "nonsense"), 2, "database-unfit", "The database's URL"),
    (("migrate", "--database", "mysql://x/y"), 2, "database-unfit", "mysql"),
    (("migrate", "--database", "sqlite:////no/where/amie.db"), 1, "database-unavailable", "can't be used"),
    (("transactions",), 1, "database-unavailable", "There is no log at amie.db."),
    (("show", "1"), 1, "database-unavailable", "`amie-engine run` makes it"),
    (("quarantine",), 1, "database-unavailable", "There is no log at amie.db."),
    (("quarantine", "--release"), 2, "settings-invalid", "--release needs the ID"),
    (("demo", "--scenario", "nope"), 2, "sandbox-refusal", "There is no such test scenario."),
    (("sandbox", "--scenario", "nope"), 2, "sandbox-refusal", "There is no such test scenario."),
    (("sandbox", "--site", "a b"), 2, "settings-invalid", "'a b' is no site's name."),
    (("sandbox", "--port", "99999"), 2, "settings-invalid", "can't listen on port 99999"),
]


@pytest.mark.parametrize(("arguments", "status", "code", "told"), MISTAKES, ids=lambda value: str(value)[:40])
def test_an_error_is_told_in_a_line_or_two_with_a_hint_and_its_code(
    amie: Amie, folder: Path, arguments: tuple[str, ...], status: int, code: str, told: str
) -> None:
    result = amie(*arguments)
    assert result.status == status
    assert result.out == ""
    assert result.err.startswith("error ")
    assert result.err.endswith(f"  {code}, see docs/errors.md\n")
    assert told in flat(result.err)
    assert len(result.err.splitlines()) <= 3
    assert "Traceback" not in result.err
    assert list(folder.iterdir()) == [], "a command that fails leaves nothing behind"


@pytest.mark.parametrize(
    "arguments", [("nope",), ("show",), ("run", "--nope"), ("demo", "--seed", "x"), ("migrate", "base")]
)
def test_a_mistake_in_the_call_has_status_2(amie: Amie, arguments: tuple[str, ...]) -> None:
    result = amie(*arguments)
    assert result.status == 2
    assert "Usage: amie-engine" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "command",
    [
        "transactions",
        "show 1",
        "quarantine",
        "audit --person u1",
        "verify",
        "replay",
        "export",
        "backup --to x",
    ],
)
def test_looking_makes_no_tables(amie: Amie, folder: Path, command: str) -> None:
    (folder / "amie.db").touch()
    result = amie(*command.split())
    assert (result.status, result.out) == (1, "")
    assert "database-schema-missing" in result.err
    assert [(file.name, file.stat().st_size) for file in folder.iterdir()] == [("amie.db", 0)]


def test_a_transaction_that_is_not_there_is_told(amie: Amie) -> None:
    with log("sqlite:///amie.db") as engine:
        engine.receive(packet())
    result = amie("show", "77")
    assert result.status == 1
    assert "The log has no transaction 77 of site NCSA at hub " in result.err
    assert amie("quarantine", "aa").status == 1


def test_what_nobody_foresaw_is_called_a_defect_and_its_text_is_not_shown(
    amie: Amie, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("Robin Example")

    monkeypatch.setattr(operating, "load_settings", broken)
    result = amie("migrate")
    assert result.status == 1
    assert "KeyError while running the command, at test_errors.py:" in flat(result.err)
    assert "This is a defect in amie-engine" in result.err
    assert "AMIE_ENGINE_TRACEBACK=1 shows the traceback" in flat(result.err)
    assert "internal-error" in result.err
    assert "Robin" not in result.err

    monkeypatch.setenv("AMIE_ENGINE_TRACEBACK", "1")
    asked = amie("migrate")
    assert "Traceback" in asked.err
    assert "Robin Example" in asked.err


def test_a_traceback_is_shown_to_who_asks_for_one(amie: Amie, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_ENGINE_TRACEBACK", "1")
    Path("raising.py").write_text("def site():\n    raise LookupError('no such resource')\n")
    result = amie("run", "--site", "raising:site")
    assert result.status == 1  # a back end may be down for a moment: a supervisor starts it again
    assert "no such resource" in flat(result.err)


def test_a_reader_that_goes_away_is_no_reason_to_complain(folder: Path) -> None:
    with log(f"sqlite:///{folder / 'amie.db'}") as engine:
        for number in range(60):
            engine.receive(packet(number))
    code = "from amie_engine.cli import main; main()"
    piped = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -c '{code}' transactions --json | head -c 1"],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        check=True,
    )
    assert (piped.stdout, piped.stderr) == ("[", "")
