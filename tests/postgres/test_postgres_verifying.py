"""Verifying on PostgreSQL: hundreds of tamperings, a daemon that goes on, and a role that may only read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from typer.testing import CliRunner

from amie_engine.audit import (
    check_projections,
    make_seal,
    new_key,
    read_seal,
    rebuild,
    replay,
    verify,
    verifying,
)
from amie_engine.cli.app import app
from amie_engine.engine import Engine
from amie_engine.errors import DatabaseSchemaMissing, TemporaryTablesRefused
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.testing import Clock
from tests.audit.tampering import OpenLog, Way, erase, erase_some, tamper
from tests.audit.ways import BY_SEAL_ALONE, ON_BOTH
from tests.log.busy_site import play, whole_project

TIMES = 10


@pytest.fixture(scope="module")
def busy_url(new_schema: Callable[[], str]) -> str:
    """The URL of a busy log of which documents were erased."""
    url = new_schema()
    clock = Clock()
    with closing(Database(url)) as database:
        migrate(database)
    with Engine(url, site="NCSA", clock=clock) as engine:
        play(engine, clock)
        erase_some(engine, clock)
    return url


@pytest.fixture(scope="module")
def open_schema(busy_url: str) -> Iterator[OpenLog]:
    """Such a log whose triggers are off."""
    make_dialect: Any = PGDialect_psycopg
    with psycopg.connect(busy_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE amie_events DISABLE TRIGGER USER")
        yield OpenLog(connection, make_dialect(paramstyle="format"))
        connection.execute("ALTER TABLE amie_events ENABLE TRIGGER USER")


@pytest.fixture
def open_log(open_schema: OpenLog, request: pytest.FixtureRequest) -> OpenLog:
    """The same, with the same places for the same test."""
    open_schema.random.seed(request.node.name)
    return open_schema


def test_a_busy_log_is_whole(busy_url: str) -> None:
    with closing(Database(busy_url)) as database:
        verdict = verify(database)
    assert verdict.whole, verdict.problems
    assert verdict.events == verdict.position > 130


@pytest.mark.parametrize("way", ON_BOTH, ids=lambda way: way.__name__)
def test_every_way_to_tamper_is_found(open_log: OpenLog, way: Way) -> None:
    tamper(open_log, way, TIMES)


@pytest.mark.parametrize("way", BY_SEAL_ALONE, ids=lambda way: way.__name__)
def test_who_can_make_the_hashes_anew_is_found_by_the_seal(open_log: OpenLog, way: Way) -> None:
    tamper(open_log, way, TIMES, seal_from=True)


def test_an_empty_schema_gets_no_tables(url: str) -> None:
    with closing(Database(url)) as database, pytest.raises(DatabaseSchemaMissing, match="migrate"):
        verify(database)
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    assert tables == []


def test_a_log_is_sealed_and_verified_while_a_daemon_goes_on(
    migrated: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 10)
    folder = tmp_path_factory.mktemp("keys")
    public_key = new_key(folder / "audit.key")
    clock = Clock()
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        play(engine, clock)
        (folder / "log.seal").write_text(make_seal(engine.database, folder / "audit.key").text)
        seal = read_seal(folder / "log.seal", public_key=public_key)
        whole_project(engine, clock, 30)
        numbers = iter(range(40, 60))
        there = [row[0] for row in engine.log.whole.rows() if row[16] is not None]

        def go_on(done: int, total: int) -> None:
            if (number := next(numbers, None)) is not None:
                whole_project(engine, clock, number)
                erase(engine.log, [there.pop()])

        verdict = verify(engine.database, seals=[seal], progress=go_on)
        assert verdict.whole, verdict.problems
        assert verify(engine.database, since=seal).whole


def test_a_role_that_may_only_read_is_enough(migrated: str) -> None:
    clock = Clock()
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        play(engine, clock)
    with psycopg.connect(migrated, autocommit=True) as connection:
        row = connection.execute("SELECT current_schema()").fetchone()
        assert row is not None
        connection.execute("CREATE ROLE amie_auditor LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {row[0]} TO amie_auditor".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {row[0]} TO amie_auditor".encode())
        try:
            with closing(Database(migrated.replace("postgres:@", "amie_auditor:@"))) as database:
                assert verify(database).projections
            everybody = f"ON DATABASE {connection.info.dbname}"
            connection.execute(f"REVOKE TEMPORARY {everybody} FROM PUBLIC".encode())
            try:
                with closing(Database(migrated.replace("postgres:@", "amie_auditor:@"))) as database:
                    _not_compared(database, "permission denied to create temporary tables")
            finally:
                connection.execute(f"GRANT TEMPORARY {everybody} TO PUBLIC".encode())
        finally:
            connection.execute("DROP OWNED BY amie_auditor")
            connection.execute("DROP ROLE amie_auditor")


def _not_compared(database: Database, why: str) -> None:
    """The events have their verdict all the same; and whoever asks for the comparison is told why not."""
    verdict = verify(database)
    assert verdict.events > 100
    assert (verdict.whole, verdict.events_whole, verdict.projections_agree) == (True, True, None)
    assert verdict.not_compared is not None
    assert why in verdict.not_compared
    for called in (check_projections, rebuild):
        with pytest.raises(TemporaryTablesRefused, match=why) as caught:
            called(database)
        assert "TEMPORARY" in caught.value.hint
        assert "verify --events-only" in caught.value.hint
    with replay(database) as replayed:
        assert replayed.position == verdict.position


def test_a_session_that_may_only_read_gets_the_verdict_on_the_events(migrated: str) -> None:
    """As a hot standby does, whose sessions are all of that kind."""
    clock = Clock()
    with Engine(migrated, site="NCSA", clock=clock) as engine:
        play(engine, clock)
    url = f"{migrated}%20-cdefault_transaction_read_only%3Don"
    with closing(Database(url)) as database:
        _not_compared(database, "cannot execute CREATE TABLE in a read-only transaction")
    done = CliRunner().invoke(app, ["verify", "--database", url])
    assert done.exit_code == 0, done.output
    assert "The projections were not compared: The database " in done.output
    as_json = json.loads(CliRunner().invoke(app, ["verify", "--json", "--database", url]).stdout)
    assert (as_json["whole"], as_json["projections"], as_json["projections_agree"]) == (True, None, None)
    assert "read-only" in as_json["not_compared"]
