"""The command, called in a folder of its own and without the settings of whoever runs the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amie_engine.cli import main
from amie_engine.sandbox import Sandbox, SandboxServer
from tests.cli.cli_world import KEY, Child, Result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, on a terminal of 80 columns."""
    for name in list(os.environ):
        if name.startswith(("AMIE_ENGINE_", "CAMPUS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def amie(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Call the command, as its script does, and return what it came to."""

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["amie-engine", *arguments])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Result(status, out, err)

    return call


@pytest.fixture
def child(folder: Path) -> Iterator[Callable[..., Child]]:
    """Start the command in a process of its own."""
    started: list[Child] = []

    def start(*arguments: str) -> Child:
        started.append(Child(*arguments, environment=os.environ, folder=folder))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.end()


@pytest.fixture(scope="session")
def served() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as server:
        yield server


@pytest.fixture
def service(served: SandboxServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that the settings in the environment name."""
    served.sandbox.reset()
    monkeypatch.setenv("AMIE_ENGINE_URL", served.url)
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", KEY)
    monkeypatch.setenv("AMIE_ENGINE_HUB", "sandbox")
    return served.sandbox
