"""Comparing the log with the service: the table, the exit status, and what is taken in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Engine
from amie_engine.errors import SandboxRefusal
from amie_engine.sandbox import Sandbox
from tests.cli.cli_world import Result, flat, log
from tests.log.busy_site import project_request

Amie = Callable[..., Result]
SITE = ("--site", "NCSA")
URL = "sqlite:///amie.db"
RPC = "request_project_create"


@pytest.fixture(autouse=True)
def there(folder: Path) -> None:
    """There is a log."""
    with log(URL):
        pass


def test_where_there_is_no_log_none_is_made(amie: Amie, service: Sandbox, folder: Path) -> None:
    result = amie("reconcile", *SITE, "--database", "sqlite:///mistyped.db")
    assert (result.status, "There is no log at" in flat(result.err)) == (1, True)
    assert not (folder / "mistyped.db").exists()


def test_where_nothing_is_open_it_says_so(amie: Amie, service: Sandbox) -> None:
    result = amie("reconcile", *SITE)
    assert (result.status, result.out) == (0, "Nothing is open, here or there.\n")


def test_what_differs_is_a_table_with_what_to_do_and_status_3(amie: Amie, service: Sandbox) -> None:
    service.start_scenario(RPC)
    result = amie("reconcile", *SITE)
    assert result.status == 3
    assert max(map(len, result.out.splitlines())) <= 80
    told = flat(result.out)
    assert "transaction type they say we say what that means" in told
    assert "RPC in-progress unknown The log does not have this transaction." in told
    assert "What to do: amie-engine reconcile --take-in" in told
    assert told.endswith("Log and service differ on 1 of 1 transaction.")
    assert amie("transactions").out == "No transactions.\n"

    taken = amie("reconcile", *SITE, "--take-in")
    assert taken.status == 0
    assert flat(taken.out).startswith("Taken in: 871")
    assert flat(taken.out).endswith("Log and service agree on 1 transaction.")
    assert "Both agree." not in taken.out
    assert "RPC in-progress requested Both agree." in flat(amie("reconcile", *SITE, "--all").out)


def test_for_a_program(amie: Amie, service: Sandbox) -> None:
    service.start_scenario(RPC)
    result = amie("reconcile", *SITE, "--json")
    [standing] = result.json["transactions"]
    assert (result.status, result.json["agrees"], result.json["taken_in"]) == (3, False, [])
    assert (standing["verdict"], standing["differs"], standing["ours"]) == ("not-here", True, "unknown")
    assert standing["commands"] == ["amie-engine reconcile --take-in"]


def test_what_could_not_be_asked_is_told_apart_from_what_differs(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.start_scenario(RPC)
    [silent] = [one.trans_rec_id for one in service.transactions()]
    told = service.transaction

    def tell(trans_rec_id: int) -> dict[str, Any]:
        if trans_rec_id == silent:
            raise SandboxRefusal(400, "Not today.")
        return told(trans_rec_id)

    monkeypatch.setattr(service, "transaction", tell)
    unknown = amie("reconcile", *SITE)
    assert unknown.status == 1
    later = "The service could not be asked about 1 of {}. Try again later: amie-engine reconcile"
    assert flat(unknown.out).endswith(
        f"The service could not tell of it: service-validation. {later.format('1 transaction')}"
    )
    assert "differ" not in unknown.out

    service.start_scenario(RPC)
    both = amie("reconcile", *SITE)
    assert both.status == 3
    summary = "Log and service differ on 1 of 2 transactions. "
    assert flat(both.out).endswith(summary + later.format("2 transactions"))
    found = amie("reconcile", *SITE, "--json")
    assert (found.status, found.json["agrees"]) == (3, False)
    assert [(each["told"], each["differs"]) for each in found.json["transactions"]] == [
        (False, False),
        (True, True),
    ]


def test_after_a_refused_key_the_others_are_counted_and_not_listed(
    amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        service.start_scenario(RPC)

    def refuse(trans_rec_id: int) -> dict[str, Any]:
        raise SandboxRefusal(401, "Who are you?")

    monkeypatch.setattr(service, "transaction", refuse)
    told = amie("reconcile", *SITE)
    assert told.status == 1
    assert flat(told.out).count("service-authentication") == 1
    assert flat(told.out).endswith(
        "The service could not be asked about 4 of 4 transactions. Put the key right, and try again:"
        " amie-engine reconcile"
    )
    assert flat(amie("reconcile", *SITE, "--all").out).count("It was not asked for after that.") == 3


def test_an_error_is_no_difference(amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", "another-key")
    assert amie("reconcile", *SITE).status == 1
    assert amie("reconcile").status == 2


def test_a_log_of_another_hub_is_not_compared_with_the_service_of_none(
    amie: Amie, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test service's key must not go to the production service, since an option was left out."""
    with Engine("sqlite:///amie.db", site="NCSA", hub="sandbox") as engine:
        engine.receive(project_request(1))
    monkeypatch.delenv("AMIE_ENGINE_URL", raising=False)
    monkeypatch.delenv("AMIE_ENGINE_HUB", raising=False)
    monkeypatch.setenv("AMIE_ENGINE_API_KEY", "key-of-the-sandbox")
    for command in (("reconcile",), ("poll",), ("run", "--once", "--site", "campus.site:site")):
        refused = amie(*command)
        assert refused.status == 2
        assert "No URL is set for the hub sandbox." in refused.err
        assert "Give --url, or set AMIE_ENGINE_URL." in refused.err
