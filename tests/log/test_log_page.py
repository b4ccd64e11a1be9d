"""docs/log.md tells of every table and column that there is, and its code is right."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, select

from amie_engine.engine import Engine
from amie_engine.log.events import EventType
from amie_engine.log.schema import VERSION_TABLE, metadata
from amie_engine.testing.contract import GUARANTEES, LogContract
from tests.log.busy_site import project_request
from tests.log.chain_check import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "log.md").read_text(encoding="utf-8")
CODE_NAMES = set(re.findall(r"`([a-z_0-9]+)`", PAGE))


@pytest.mark.parametrize("table", [*metadata.tables])
def test_every_table_and_column_is_told_of(table: str) -> None:
    assert table in CODE_NAMES
    assert CODE_NAMES.issuperset({column.name for column in metadata.tables[table].columns} - {"id"})


def test_no_table_is_told_of_that_there_is_not() -> None:
    assert {name for name in CODE_NAMES if name.startswith("amie_")} == {
        *metadata.tables,
        VERSION_TABLE,
        "amie_",
    }


def test_every_event_is_told_of() -> None:
    assert set(EventType) <= CODE_NAMES


def _names_in(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def test_the_keys_of_facts_are_those_that_events_have(busy: Engine) -> None:
    [section] = re.findall(r"### The keys of `facts`\n(.*?)\nThe table has", PAGE, re.DOTALL)
    by_type, by_key = section.split("| key | what it holds |")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|(.*?)\|$", by_type, re.MULTILINE)
    told = {kind: (_names_in(always), _names_in(also)) for kind, always, also in rows}
    assert set(told) == set(EventType)
    seen: dict[str, list[set[str]]] = {}
    for event in busy.log.whole.events():
        seen.setdefault(event.type, []).append(set(event.facts))
    assert set(seen) == set(EventType)
    for kind, keys in seen.items():
        always, also = told[kind]
        assert set.intersection(*keys) >= always, kind
        assert set.union(*keys) <= always | also, kind
    explained = {
        name for cell in re.findall(r"^\| (`.*?) \|", by_key, re.MULTILINE) for name in _names_in(cell)
    }
    assert explained == {name for both in told.values() for names in both for name in names}


def test_the_code_that_verifies_the_chain_does(busy: Engine, bare: Callable[[], sqlite3.Connection]) -> None:
    names: dict[str, Any] = {}
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, names)  # noqa: S102 # the page's own
    rows = bare().execute(f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position").fetchall()
    assert len(rows) > 100
    previous = ""
    for row in rows:
        assert names["link"](previous, row) == row[-1]
        previous = row[-1]


def test_the_code_that_joins_a_transaction_does(engine: Engine) -> None:
    engine.receive(project_request(1))
    due = engine.expected_reply(50_001)
    reply: Any = due.packet
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    accounts = Table("accounts", MetaData(), Column("login", String))
    site_engine = create_engine(engine.database.engine.url)
    accounts.create(site_engine)
    [code] = re.findall(r"```py\n(with site_engine.*?)```", PAGE, re.DOTALL)
    names = {"site_engine": site_engine, "accounts": accounts, "engine": engine, "reply": reply}
    exec(code, names | {"trans_rec_id": 50_001})  # noqa: S102 # the page's own
    assert engine.expected_reply(50_001).sending
    with site_engine.connect() as connection:
        assert connection.execute(select(accounts)).all() == [("robin",)]
    site_engine.dispose()


def test_the_guarantees_are_those_of_the_contract() -> None:
    section = PAGE.split("## What the log guarantees\n")[1].split("\n## ")[0]
    told = {
        int(number): title for number, title in re.findall(r"^(\d+)\. \*\*(.+?)\.\*\*", section, re.MULTILINE)
    }
    assert {number: title.lower() for number, title in told.items()} == GUARANTEES
    assert PAGE.split("\n## ")[1].startswith("What the log guarantees")


def test_every_test_of_the_contract_is_named_beside_its_guarantee() -> None:
    rows = re.findall(r"^\| (\d+) \| (`test_.*`) \|$", PAGE, re.MULTILINE)
    named = {name: int(number) for number, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert named == {name: int(name[5:7]) for name in dir(LogContract) if name.startswith("test_")}
