"""Installed from a wheel, apart from the checkout, the package has its migrations with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine.log.migrate import revisions
from amie_engine.log.schema import VERSION_TABLE, metadata

CHECKOUT = Path(__file__).parents[2]


def run(*command: str | Path, folder: Path) -> str:
    """Run a command apart from this process's own settings; return what it prints."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AMIE"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    return folder / run(sys.executable, "-c", code, folder=CHECKOUT).splitlines()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel in it, and nothing else but its
    dependencies, which are those of the environment that the tests run in."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=CHECKOUT)
    commands = environment / "bin"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(commands / "python", "-c", where, folder=environment).strip())
    run(
        *(sys.executable, "-m", "pip", "--python", commands / "python", "--disable-pip-version-check"),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        folder=environment,
    )
    # A path in a .pth file is searched after the environment's own, and the .pth files in it are not read:
    # the checkout that may be installed there is out of sight.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import amie_engine; print(amie_engine.__file__)"
    found = Path(run(commands / "python", "-c", where, folder=environment).strip())
    assert found.is_relative_to(environment)
    return commands


def test_the_wheel_has_every_revision_once(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if "/migrations/" in name]
    assert len(set(names)) == len(names)
    assert sum("/versions/" in name for name in names) == len(revisions())
    assert "amie_engine/migrations/env.py" in names


def test_the_installed_command_makes_a_log_and_takes_it_away_again(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.db"

    def tables() -> set[str]:
        with closing(sqlite3.connect(file)) as connection:
            return {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }

    command = (installed / "amie-engine", "migrate", "--database", "sqlite:///x.db")
    assert revisions()[-1] in run(*command, folder=tmp_path)
    assert tables() == {*metadata.tables, VERSION_TABLE}
    run(*command, "--to", "base", "--yes", folder=tmp_path)
    assert tables() == set()
