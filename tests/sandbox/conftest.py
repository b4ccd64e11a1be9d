"""A served sandbox, emptied for each test, and the site that talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.testing import Clock

from .scripted_site import KEY, ScriptedSite


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 1, 15, 12, tzinfo=UTC))


@pytest.fixture(scope="session")
def served() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as server:
        yield server


@pytest.fixture
def sandbox(served: SandboxServer) -> Sandbox:
    served.sandbox.reset()
    return served.sandbox


@pytest.fixture
def site(served: SandboxServer, sandbox: Sandbox) -> Iterator[ScriptedSite]:
    with ScriptedSite(served.url) as scripted:
        yield scripted
