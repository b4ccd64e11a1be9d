"""What a program reads of tables: each row in one line, and no word broken or cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amie_engine import Retries, Site, Work
from amie_engine.sandbox import Sandbox
from amie_engine.site.worker import Worker
from tests.cli.cli_world import Result, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"
GRANT = "PHY-" + "0123456789" * 5
KIND = "request_account_create"
QUESTION = "may-somebody-of-another-site-have-an-account-here-and-until-when-or-not"
SUBSCRIBER = "campus-directory-of-persons-and-their-accounts-at-all-of-our-sites-and-departments"


@pytest.fixture
def filled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log with long names, and nobody who says how wide the output is."""
    monkeypatch.delenv("COLUMNS")
    with log(URL) as engine:
        engine.receive(packet(1, KIND, GrantNumber=GRANT, UserGlobalID="802", ProjectID="P2"))
        site = Site(engine.site, retries=Retries(attempts=1))

        @site.handles(KIND)
        def account(request: Any, work: Work) -> Any:
            return work.ask("May they?", name=QUESTION)

        Worker(engine, site, jitter=lambda: 1.0).work_once()


@pytest.mark.parametrize(
    ("command", "row"),
    [
        (("work",), (KIND, f"an answer: {QUESTION}")),
        (("transactions",), (KIND, GRANT, "requested")),
        (("show", "5001"), (f"Received {KIND} as packet 7001.", "requested")),
        (("status",), (f"The handler of {KIND} asks: {QUESTION}",)),
        (("audit", "--grant", GRANT), ("5001", f"Received {KIND} as packet 7001.", "requested")),
        (("replay", "--transaction", "5001"), (f"{KIND} from the hub", "7001")),
        (("replay",), (KIND, "requested")),
    ],
)
def test_a_row_is_one_line(amie: Amie, filled: None, command: tuple[str, ...], row: tuple[str, ...]) -> None:
    lines = amie(*command).out.splitlines()
    assert any(all(cell in line for cell in row) for line in lines), "\n".join(lines)
    assert max(map(len, lines)) < 250


def test_columns_say_how_wide_it_is_all_the_same(
    amie: Amie, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, amie("work").out.splitlines())) <= 80


def test_subscribers_have_a_line_each(amie: Amie, filled: None) -> None:
    with log(URL) as engine:
        engine.subscriptions.deliver(SUBSCRIBER, lambda event: None, since="beginning")
    assert any(f"{SUBSCRIBER} " in line for line in amie("subscribers").out.splitlines())


def test_the_fields_of_what_was_refused_have_a_line_each(amie: Amie, filled: None) -> None:
    with log(URL) as engine:
        engine.receive(packet(2, GrantNumber=GRANT * 3))
        reply: Any = engine.expected_reply("5002").packet
        reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
        engine.reply("5002", reply)
        [outgoing] = engine.outbox.open()
        engine.outbox.attempt(outgoing)
        engine.outbox.reject(outgoing, code="service-validation", message="GrantNumber is too long.")
    lines = amie("resend", "5002").out.splitlines()
    assert any(line.split() == ["GrantNumber", GRANT * 3] for line in lines)


def test_what_differs_has_a_line_each(amie: Amie, service: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    with log(URL):
        pass
    service.start_scenario(KIND)
    lines = amie("reconcile", "--site", "NCSA").out.splitlines()
    assert any("in-progress  unknown  The log does not have this transaction." in line for line in lines)
