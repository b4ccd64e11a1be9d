"""A database that is set up as docs/postgresql.md says, with the page's own scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url
from typer.testing import CliRunner

from amie_engine.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
ROLES = ("amie_owner", "amie_app", "amie_auditor")


def scripts(page: str) -> dict[str, str]:
    """The scripts of a page, by their names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- script: ([\w-]+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


SCRIPTS = scripts("postgresql.md")


def run(url: str, script: str) -> None:
    """Run a script, as psql does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script.encode())


def set_search_path(superuser: str, database: str) -> None:
    """Have the roles find the log's schema in a database."""
    run(superuser, SCRIPTS["search-path"].replace("IN DATABASE site ", f"IN DATABASE {database} "))


def urls_of(server: str, database: str) -> dict[str, str]:
    """The URL of each role in a database, and that of the superuser."""
    superuser = make_url(server).set(database=database).render_as_string(False)
    return {role: superuser.replace("postgres:@", f"{role}:@") for role in ROLES} | {"superuser": superuser}


@contextmanager
def roles(server: str) -> Iterator[None]:
    """The roles, on a server."""
    run(server, SCRIPTS["roles"])
    try:
        yield
    finally:
        for role in ROLES:
            run(server, f"DROP ROLE {role}")


@contextmanager
def database_of_roles(server: str, database: str) -> Iterator[dict[str, str]]:
    """A database with a log, on a server with the roles; gives the URL of each."""
    run(server, f"CREATE DATABASE {database}")
    try:
        urls = urls_of(server, database)
        run(urls["superuser"], SCRIPTS["schema"])
        set_search_path(urls["superuser"], database)
        migrated = CliRunner().invoke(app, ["migrate", "--database", urls["amie_owner"]])
        assert migrated.exit_code == 0, migrated.output
        run(urls["amie_owner"], SCRIPTS["privileges"])
        yield urls
    finally:
        run(server, f"DROP DATABASE {database} WITH (FORCE)")
