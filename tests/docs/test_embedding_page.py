"""docs/embedding.md: what it shows of the examples is what stands there, and what runs, runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amie_engine import AMIEClient, Engine
from amie_engine.sandbox import Sandbox, SandboxServer
from tests.docs.test_documentation import BLOCK, ROOT
from tests.site.site_world import tiny_site

PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
EXCERPTS = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LOOP, JOINED = BLOCK.findall(PAGE)


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_what_it_shows_of_an_example_stands_there(excerpt: str) -> None:
    files = (ROOT / "examples").rglob("*.py")
    assert any(excerpt in file.read_text(encoding="utf-8") for file in files)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, AMIEClient]]:
    """A service that asks for projects, with a client, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox("NCSA", "secret")
    sandbox.start_scenario("request_project_reactivate")
    with SandboxServer(sandbox) as server, AMIEClient("NCSA", "secret", server.url) as client:
        yield sandbox, client


def test_the_loop_plays_to_the_end(service: tuple[Sandbox, AMIEClient]) -> None:
    sandbox, client = service
    module: dict[str, Any] = {"client": client, "site": tiny_site()}
    module["your_own_duties"] = lambda: module["stop"].set() if sandbox.idle else None
    exec(compile(LOOP, "loop.py", "exec"), module)  # noqa: S102 # the page's own code
    assert {one.state for one in sandbox.transactions()} == {"completed"}


def test_rows_and_reply_commit_together(service: tuple[Sandbox, AMIEClient]) -> None:
    class BackEnd:
        def work_out(self, connection: Any, request: Any, reply: Any) -> Any:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS grants (number TEXT)")
            connection.exec_driver_sql("INSERT INTO grants VALUES (?)", (request.GrantNumber,))
            reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "rexample"
            return reply

    _, client = service
    with Engine("sqlite:///amie.db", site="NCSA") as engine:
        engine.receive_all(client.list_packets())
    module: dict[str, Any] = {"Engine": Engine, "back_end": BackEnd()}
    exec(compile(JOINED, "joined.py", "exec"), module)  # noqa: S102 # the page's own code
    with module["engine"] as engine, module["database"].connect() as connection:
        assert len(connection.exec_driver_sql("SELECT number FROM grants").fetchall()) == 2
        assert len(engine.outbox.open()) == 2
        assert engine.work.open() == []
    module["database"].dispose()
