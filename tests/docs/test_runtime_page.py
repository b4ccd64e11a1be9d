"""docs/runtime.md: its rules are the engine's, its handlers run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from amie_engine import Engine
from amie_engine.engine.ordering import ORDER_RULES, RUNNING_FIRST, Until
from amie_engine.engine.start_order import START_RULES
from amie_engine.site import Verdict
from amie_engine.site.worked import Worked
from amie_engine.site.worker import Worker
from amie_engine.testing import Clock
from tests.site.site_packets import request

PAGE = (Path(__file__).parents[2] / "docs" / "runtime.md").read_text(encoding="utf-8")
STEPS, TESTING, CRASHES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class BackEnd:
    """A back end that remembers what it has done."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def create_project(self, grant: str, *, key: str) -> dict[str, str]:
        self.calls.append((grant, key))
        return {"id": f"p-{grant}"}

    def create_login(self, name: str, project: str) -> dict[str, str]:
        self.calls.append((name, project))
        return {"person": "u1", "name": name.lower()}


def rows_under(header: str) -> list[tuple[str, ...]]:
    """The rows of the page's table whose header has this text."""
    table = PAGE.split(header)[1].split("\n\n")[0]
    row = r"^\| `([\w-]+)` \| ([\w, ]+) \| ([\w, ]+) \| ([\w ]+) \| (\w+) \|$"
    return re.findall(row, table, re.MULTILINE)


def listed(types: frozenset[str]) -> str:
    return ", ".join(sorted(types)) or "any"


def test_the_table_of_rules_is_that_of_the_engine() -> None:
    rules = [
        (rule.name, listed(rule.later), listed(rule.earlier), str(rule.shared), str(rule.until))
        for rule in ORDER_RULES
    ]
    rules.append((RUNNING_FIRST, "any", "any", "any of these", str(Until.IDLE)))
    assert rows_under("| waits for an earlier |") == rules


def test_so_is_that_of_what_holds_a_start_back() -> None:
    assert rows_under("| waits for an open |") == [
        (
            rule.name,
            listed(rule.starts),
            listed(rule.others),
            str(rule.shared),
            "yes" if rule.even_later else "no",
        )
        for rule in START_RULES
    ]


def test_every_verdict_of_a_reconciliation_has_a_row() -> None:
    section = PAGE.split("\n## Reconciling\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == [str(verdict) for verdict in Verdict]


def test_the_handler_with_steps_does_what_it_says(tmp_path: Path) -> None:
    backend = BackEnd()
    module: dict[str, Any] = {"backend": backend}
    exec(compile(STEPS, "mysite.py", "exec"), module)  # noqa: S102 # the page's own code
    with Engine(f"sqlite:///{tmp_path / 'amie.db'}", site="NCSA") as engine:
        engine.receive(request(1, ServiceUnitsAllocated="2000000", PiLastName="Example"))
        worker = Worker(engine, module["site"])
        assert worker.work_once()[Worked.ASKED] == 1
        engine.work.answer(5001, "yes", actor="head of operations")
        assert worker.work_once()[Worked.REPLIED] == 1
    assert backend.calls == [
        ("AST040002", "access/NCSA/7001/create project"),
        ("Example", "p-AST040002"),
    ]


def test_the_test_of_a_handler_passes() -> None:
    exec(compile(TESTING, "test_mysite.py", "exec"), {})  # noqa: S102 # the page's own code


def test_the_course_is_made_of_the_handler_with_steps(tmp_path: Path) -> None:
    module: dict[str, Any] = {"backend": BackEnd()}
    exec(compile(STEPS + CRASHES, "mysite.py", "exec"), module)  # noqa: S102 # the page's own code
    assert [asked.type for asked in module["our_hub"](Clock()).transactions()] == ["request_project_create"]
    site = module["our_site"](tmp_path)
    assert site.handler_for("request_project_create") is module["create_project"]
    assert "test_nothing_is_lost_whatever_crashes" in module
