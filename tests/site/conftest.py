"""A sandbox, served once for all and emptied for each test, and what a site needs to talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.testing import Clock
from tests.site.site_world import KEY, FlakyService, World


@pytest.fixture(scope="session")
def served() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as server:
        yield server


@pytest.fixture
def sandbox(served: SandboxServer) -> Sandbox:
    served.sandbox.reset()
    return served.sandbox


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 1, 15, 12, tzinfo=UTC))


@pytest.fixture
def world(served: SandboxServer, sandbox: Sandbox, clock: Clock) -> Iterator[World]:
    made = World(sandbox, served.url, clock)
    yield made
    made.close()


@pytest.fixture
def service(served: SandboxServer, sandbox: Sandbox) -> Iterator[FlakyService]:
    with FlakyService(served.url).serving() as flaky:
        yield flaky


@pytest.fixture
def flaky_world(service: FlakyService, sandbox: Sandbox, clock: Clock) -> Iterator[World]:
    made = World(sandbox, service.url, clock)
    yield made
    made.close()
