"""The documentation is true: its links lead somewhere, its code runs, its generated pages are fresh."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from amie_engine import AMIEClient, Engine, Runner
from amie_engine.audit.problems import MEANINGS
from amie_engine.packet.reference import reference_page
from amie_engine.sandbox import Sandbox, SandboxServer

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [match[1] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    files = [target for target in targets if "://" not in target]
    assert [target for target in files if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_is_python(page: Path) -> None:
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert set(rows) == {rows[0]}, table


def test_the_auditing_page_tells_of_every_problem() -> None:
    page = (ROOT / "docs" / "auditing.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^## Every problem\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)) == set(MEANINGS)


def test_the_packet_reference_is_fresh() -> None:
    assert (ROOT / "docs" / "packets.md").read_text(encoding="utf-8") == reference_page()


def test_the_first_handler_of_getting_started_runs_its_scenario_to_the_end(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    module: dict[str, Any] = {}
    exec(compile(BLOCK.findall(page)[0], "mysite.py", "exec"), module)  # noqa: S102 # the page's own code
    sandbox = Sandbox("NCSA", "secret")
    sandbox.start_scenario("request_project_reactivate")
    with (
        SandboxServer(sandbox) as server,
        AMIEClient("NCSA", "secret", server.url) as client,
        Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA") as engine,
    ):
        runner = Runner(engine, client, module["site"])
        for _ in range(20):
            runner.run_once()
        assert {transaction.state for transaction in engine.transactions()} == {"completed"}
    assert {transaction.state for transaction in sandbox.transactions()} == {"completed"}
    assert sandbox.idle


def test_the_readme_gives_the_two_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*)\n```", readme))
    assert set(commands) == {"demo", "test"}
    assert commands["demo"].endswith("amie-engine demo")
    assert "pytest" in commands["test"]
    assert "readme_command test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
