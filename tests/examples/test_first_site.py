"""The first site of the introduction, against a service that plays every official scenario."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from amie_engine import AMIEClient, Engine, Runner
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Sandbox, SandboxServer
from amie_engine.site.handlers import HANDLED_TYPES


@pytest.fixture
def first_site() -> Iterator[ModuleType]:
    """The module, with dictionaries that are empty."""
    yield importlib.import_module("first_site")
    del sys.modules["first_site"]


def test_it_has_a_handler_for_every_request(first_site: ModuleType) -> None:
    requests = {name for name in HANDLED_TYPES if name.startswith("request_")}
    assert all(first_site.site.handler_for(name) is not None for name in requests)


def test_it_completes_every_scenario(first_site: ModuleType) -> None:
    hub = Sandbox("NCSA", "key-for-tests")
    with (
        SandboxServer(hub) as server,
        AMIEClient("NCSA", "key-for-tests", server.url) as client,
        Engine("sqlite://", site="NCSA", hub="sandbox") as engine,
    ):
        runner = Runner(engine, client, first_site.site)
        for scenario in OFFICIAL_SCENARIOS:
            client.start_scenario(scenario)
            while runner.run_once().moved:
                pass
        theirs = {str(one.trans_rec_id): one.state for one in hub.transactions()}
        assert {one.trans_rec_id: one.state for one in engine.transactions()} == theirs
    assert set(theirs.values()) == {"completed"}
    assert len(first_site.projects) == 2 * len(OFFICIAL_SCENARIOS)


def test_an_account_for_an_unknown_grant_fails_the_transaction(first_site: ModuleType) -> None:
    hub = Sandbox("NCSA", "key-for-tests", resources=["delta.example.edu"])
    with (
        SandboxServer(hub) as server,
        AMIEClient("NCSA", "key-for-tests", server.url) as client,
        Engine("sqlite://", site="NCSA", hub="sandbox") as engine,
    ):
        client.start_scenario("request_person_merge")
        runner = Runner(engine, client, first_site.site)
        while not any(one.type == "request_account_create" for one in hub.transactions()):
            runner.run_once()
        first_site.projects.clear()
        while runner.run_once().moved:
            pass
        assert {one.state for one in hub.transactions()} == {"completed", "failed"}
