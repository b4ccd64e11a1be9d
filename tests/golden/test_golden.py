"""Logs of every schema that was released replay to the states that they had then."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amie_engine.audit import check_projections
from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import DatabaseSchemaNewer, EventUnreadable
from amie_engine.log.database import Database
from amie_engine.log.events import EventType
from amie_engine.log.migrate import head_revision, migrate, revisions
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.story import SITE, project_request
from tests.golden.make import FOLDER, load, projections_of, states_of, write

RELEASED = sorted(file.stem for file in FOLDER.glob("[0-9]*.sql"))


@pytest.fixture(params=RELEASED)
def revision(request: pytest.FixtureRequest) -> str:
    """A revision that was released."""
    return str(request.param)


@pytest.fixture
def file(revision: str, tmp_path: Path) -> Path:
    """The log that it wrote, in a fresh file."""
    file = tmp_path / "golden.db"
    load(FOLDER / f"{revision}.sql", file)
    return file


@pytest.fixture
def told(revision: str) -> Any:
    """The states and projections that follow from it."""
    return json.loads((FOLDER / f"{revision}.json").read_text(encoding="utf-8"))


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    """An engine on it, after the way to the newest revision."""
    with closing(Database(f"sqlite:///{file}")) as database:
        migrate(database)
    with Engine(f"sqlite:///{file}", site=SITE) as engine:
        yield engine


def as_told(found: Any, told: Any) -> bool:
    """Whether all that was told once is found again; a later release may have more to say."""
    if isinstance(told, dict):
        return all(name in found and as_told(found[name], value) for name, value in told.items())
    if isinstance(told, list):
        return len(found) == len(told) and all(map(as_told, found, told))
    return bool(found == told)


def test_every_revision_has_a_log_and_every_log_a_revision() -> None:
    assert revisions() == RELEASED


def test_every_event_is_as_it_was_and_the_log_is_whole(
    file: Path, sql: Sql, request: pytest.FixtureRequest
) -> None:
    before = sql.events()
    request.getfixturevalue("engine")
    assert check_log(sql) == before
    assert len(before) > 70


def test_every_transaction_has_the_state_that_it_had(engine: Engine, told: Any) -> None:
    found = states_of(engine)
    assert found.keys() == told["states"].keys()
    assert as_told(found, told["states"])


def test_every_projection_has_the_rows_that_it_had(engine: Engine, told: Any) -> None:
    assert as_told(projections_of(engine.database), told["projections"])
    assert check_projections(engine.database).differing == {}


def test_it_goes_on(engine: Engine, sql: Sql) -> None:
    assert engine.receive(project_request(1)).kind is OutcomeKind.ALREADY_THERE
    assert engine.receive(project_request(40)).kind is OutcomeKind.ACCEPTED
    check_log(sql)


def apply(script: str, file: Path) -> None:
    """Run what a later release would have done to a log."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((FOLDER / script).read_text(encoding="utf-8"))


def test_an_event_that_nobody_knows_is_refused_with_its_transaction_alone(engine: Engine, file: Path) -> None:
    apply("later_event.sql", file)
    with pytest.raises(EventUnreadable, match="schema version 1000"):
        engine.history(1003)
    with pytest.raises(EventUnreadable, match="schema version 1000"):
        states_of(engine)
    assert engine.history(1001).state == "completed"


def test_a_revision_that_nobody_knows_is_refused_and_left_alone(file: Path) -> None:
    apply("later_revision.sql", file)
    before = file.read_bytes()
    with pytest.raises(DatabaseSchemaNewer, match="99999999"):
        Engine(f"sqlite:///{file}", site=SITE)
    with closing(Database(f"sqlite:///{file}")) as database, pytest.raises(DatabaseSchemaNewer):
        migrate(database)
    assert file.read_bytes() == before


def test_the_newest_log_has_every_event_that_there_is(tmp_path: Path) -> None:
    load(FOLDER / f"{head_revision()}.sql", tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        types = {row[0] for row in connection.execute("SELECT DISTINCT type FROM amie_events")}
    assert types == set(EventType)


def test_the_same_release_writes_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for one, two in zip(write(tmp_path / "one"), write(tmp_path / "two"), strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": 1}, {"a": 2}),
        ({}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": {"b": None}}),
    ],
)
def test_what_is_not_as_told_is_found(found: Any, told: Any) -> None:
    assert as_told({"a": 1, "new": 2}, {"a": 1})
    assert not as_told(found, told)
