"""Every Python example of every page runs, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amie_engine import AMIEClient, Engine, Packet
from amie_engine.log.database import Database
from amie_engine.sandbox import Sandbox, SandboxServer
from amie_engine.testing import Clock
from tests.docs.test_documentation import BLOCK, PAGES, ROOT
from tests.log.busy_site import personal, play, sample, whole_project

Names = dict[str, Any]
World = Callable[[], Names]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[AMIEClient]:
    """A client of a sandbox that asks for a project."""
    sandbox = Sandbox("NCSA", "secret")
    sandbox.start_scenario("request_project_reactivate")
    with SandboxServer(sandbox) as server, AMIEClient("NCSA", "secret", server.url) as client:
        yield client


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    """An engine on a log with a bit of everything in it."""
    clock = Clock()
    with Engine("sqlite:///busy.db", site="NCSA", clock=clock) as engine:
        play(engine, clock)
        yield engine


class BackEnd:
    """A site's back end, as the pages call it."""

    def create_project(self, *_: Any, key: str = "") -> SimpleNamespace:
        return SimpleNamespace(id="p1", pi="u1", login="rexample")

    def answer(self, request: Packet, reply: Any) -> None:
        if reply.packet_type == "notify_project_create":
            reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "rexample"


def run(page: str, names: Names) -> Names:
    """Run the examples of a page one after the other, and close what they opened."""
    with ExitStack() as opened:
        for number, block in enumerate(BLOCK.findall((ROOT / page).read_text(encoding="utf-8")), 1):
            exec(compile(block, f"{page}, example {number}", "exec"), names)  # noqa: S102 # the page's own
            for value in names.values():
                if isinstance(value, Engine | Database):
                    opened.callback(value.close)
                elif type(value).__module__ == "sqlalchemy.engine.base" and hasattr(value, "dispose"):
                    opened.callback(value.dispose)
        return names


def test_the_readme(folder: Path) -> None:
    request = sample("spec/request_project_inactivate", transaction=50_001)
    names = run("README.md", {"backend": BackEnd(), "packet": request, "trans_rec_id": 50_001})
    work = SimpleNamespace(key="k", reply=SimpleNamespace())
    reply = names["create_project"](SimpleNamespace(GrantNumber="G", PiLastName="Example"), work)
    assert (reply.ProjectID, reply.PiRemoteSiteLogin) == ("p1", "rexample")
    assert names["outcome"].kind == "accepted"


def test_the_engines_page(client: AMIEClient, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("docs/engine.md", {"client": client})
    assert {outcome.kind for outcome in names["outcomes"]} == {"already_there"}
    assert names["due"].missing == ()
    assert names["staged"].kind == "staged"
    assert [entry.event for entry in names["story"].entries][:3] == [
        "packet_received",
        "packet_decided",
        "packet_attempted",
    ]
    out = capsys.readouterr().out
    assert "accepted request_project_create" in out
    assert "has not passed" in out


def test_moving_over(client: AMIEClient) -> None:
    names = run("docs/moving-over.md", {"client": client, "back_end": BackEnd()})
    assert names["project"].id == "p1"


def test_exporting(engine: Engine, folder: Path) -> None:
    run("docs/exporting.md", {"engine": engine})
    assert {"events.jsonl", "events.parquet", "copy.db", "amie-copy.db"} <= {
        file.name for file in folder.iterdir()
    }


def test_personal_data(engine: Engine) -> None:
    clock = Clock()
    clock.forward(days=500)
    page = (ROOT / "docs" / "personal-data.md").read_text(encoding="utf-8")
    [person] = set(re.findall(r'engine\.erase\(person="(\w+)"', page))
    assert person == "u1009"
    whole_project(engine, clock, 1009, **personal(1009))
    assert run("docs/personal-data.md", {"engine": engine})["erasure"].positions


def test_following(folder: Path) -> None:
    Engine("sqlite:///amie.db", site="NCSA").close()
    mails: list[Any] = []
    portal = SimpleNamespace(put=lambda *_: None)
    names = run("docs/following.md", {"mail": lambda *said: mails.append(said), "portal": portal})
    assert [said[1] for said in mails] == ["AMIE transaction 87100001"]
    assert [each.name for each in names["site"].subscriptions] == ["warn the office", "portal"]
    assert (names["delivery"].count, names["delivery"].error) == (0, None)


def test_auditing(engine: Engine) -> None:
    assert run("docs/auditing.md", {"engine": engine})["verdict"].whole


def test_operating(client: AMIEClient) -> None:
    names = run("docs/operating.md", {"client": client})
    assert names["metrics"].registry.get_sample_value("amie_engine_poll_seconds_count") == 1


def test_the_sandbox(folder: Path) -> None:
    run("docs/sandbox.md", {})


ELSEWHERE = {
    "docs/embedding.md": "tests/docs/test_embedding_page.py",
    "docs/getting-started.md": "tests/docs/test_documentation.py",
    "docs/log.md": "tests/log/test_log_page.py",
    "docs/runtime.md": "tests/docs/test_runtime_page.py",
}


def test_there_are_no_others() -> None:
    """Each page with examples has a test above, or in the file that is named here."""
    with_examples = {
        str(page.relative_to(ROOT)) for page in PAGES if BLOCK.findall(page.read_text(encoding="utf-8"))
    }
    here = set(re.findall(r'run\("([\w/.-]+)"', Path(__file__).read_text(encoding="utf-8")))
    assert with_examples == here | set(ELSEWHERE)
    for page, file in ELSEWHERE.items():
        assert Path(page).name in (ROOT / file).read_text(encoding="utf-8")
