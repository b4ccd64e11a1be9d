"""After an erasing, the database itself has nothing left of what was erased, or it is told what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, event

from amie_engine.audit import audit
from amie_engine.engine import Engine
from amie_engine.log.erasing import Leftovers
from amie_engine.testing import Clock
from tests.audit.test_erasing import erase
from tests.log.busy_site import personal, whole_project
from tests.log.test_site_engine import KINDS, settings_of

Bare = Callable[[], sqlite3.Connection]


def traces(file: Path, number: int) -> list[str]:
    """What of a person's data is anywhere in the database's files."""
    files = [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-journal")]
    content = b"".join(part.read_bytes() for part in files if part.exists())
    values = personal(number)
    texts = [values[name] for name in ("PiFirstName", "PiMiddleName", "PiLastName", "PiEmail")]
    return [text for text in (*texts, *values["PiDnList"]) if text.encode() in content]


@pytest.fixture
def people(engine: Engine, clock: Clock) -> Engine:
    for number in range(11, 31):
        whole_project(engine, clock, number, **personal(number))
    return engine


def test_nothing_of_a_person_is_anywhere_in_the_files(people: Engine, file: Path) -> None:
    assert len(traces(file, 13)) == len(traces(file, 14)) == 5
    for number in (13, 30, 11, 22):
        assert erase(people, f"u{number}").leftovers is Leftovers.NONE
        assert traces(file, number) == []
    assert len(traces(file, 14)) == 5
    assert file.with_name("amie.db-wal").stat().st_size == 0


def test_neither_is_what_was_staged_once(people: Engine, file: Path) -> None:
    stage = "INSERT INTO amie_staged VALUES (1, 'access', 'NCSA', 'receive', NULL, ?, '')"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(stage, ("Firstname13 " * 5000,))
    people.database.empty_write_ahead_log()
    assert traces(file, 13)
    with people.database.write() as cursor:
        cursor._cursor.execute("DELETE FROM amie_staged")
    erase(people, "u13")
    assert traces(file, 13) == []


def test_while_somebody_reads_it_is_told_and_can_be_done_again(
    people: Engine, file: Path, bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amie_engine.log.transactions._PATIENCE", 1)
    reader = bare()
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM amie_events").fetchone()
    assert erase(people, "u13").leftovers is Leftovers.WRITE_AHEAD_LOG
    assert traces(file, 13)
    reader.execute("COMMIT")
    again = erase(people, "u13")
    assert (again.positions, again.leftovers) == ((), Leftovers.NONE)
    assert traces(file, 13) == []


SETTINGS = [
    ("ON", Leftovers.NONE, 1),
    ("OFF", Leftovers.FREE_PAGES, 0),
    ("FAST", Leftovers.FREE_PAGES, 2),
]


@pytest.fixture
def site_engines(file: Path) -> Iterator[Callable[..., sqlalchemy.Engine]]:
    """A function that makes an engine of the site's, whose connections have settings of the site's own."""
    made: list[sqlalchemy.Engine] = []

    def make(secure_delete: str, journal_mode: str, **options: Any) -> sqlalchemy.Engine:
        engine = create_engine(f"sqlite:///{file}", **options)
        made.append(engine)

        @event.listens_for(engine, "connect")
        def set_up(driver: sqlite3.Connection, _: object) -> None:
            driver.execute(f"PRAGMA secure_delete={secure_delete}")
            driver.execute(f"PRAGMA journal_mode={journal_mode}")

        return engine

    yield make
    for engine in made:
        engine.dispose()


@pytest.mark.parametrize(("secure_delete", "leftovers", "number"), SETTINGS)
@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_the_site_s_connections_are_as_before_and_what_they_leave_is_told(
    site_engines: Callable[..., sqlalchemy.Engine],
    file: Path,
    clock: Clock,
    secure_delete: str,
    leftovers: Leftovers,
    number: int,
    journal_mode: str,
) -> None:
    site = site_engines(secure_delete, journal_mode)
    with Engine(site, site="NCSA", clock=clock) as engine:
        for person in (1, 2, 3):
            whole_project(engine, clock, person, **personal(person))
        assert erase(engine, "u2").leftovers is leftovers
        assert traces(file, 2) == []
        assert len(traces(file, 1)) == 5
        with site.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == number
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_on_every_kind_of_engine_that_a_site_may_have(file: Path, clock: Clock, kind: str) -> None:
    site = KINDS[kind](f"sqlite:///{file}")
    try:
        before = settings_of(site)
        with Engine(site, site="NCSA", clock=clock) as engine:
            whole_project(engine, clock, 1, **personal(1))
            assert erase(engine, "u1").positions
            assert len(audit(engine, person="u1").accounts[0].causes) == 1
            assert engine.history(50_001).entries[-1].event == "documents_erased"
        assert settings_of(site) == before
        assert traces(file, 1) == []
    finally:
        site.dispose()


def test_a_database_in_memory_has_nothing_left(clock: Clock) -> None:
    with Engine("sqlite://", site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1, **personal(1))
        assert erase(engine, "u1").leftovers is Leftovers.NONE
