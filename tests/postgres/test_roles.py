"""The roles of docs/postgresql.md: the page's own scripts, run on the server, and what each role can't do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import event, text
from typer.testing import CliRunner

from amie_engine.audit import check_projections
from amie_engine.cli.app import app
from amie_engine.engine import Engine
from amie_engine.engine.daemons import Daemon
from amie_engine.engine.processes import this_process
from amie_engine.errors import DatabaseUnavailable
from amie_engine.log.statements import Cursor, Statement
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql, check_log
from tests.log.busy_site import play, project_request
from tests.postgres.roles import DOCS, database_of_roles, roles, run

WRITES = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) (amie_\w+)(?: SET (.*?) WHERE)?", re.DOTALL)


@pytest.fixture(scope="module")
def urls(server: str) -> Iterator[dict[str, str]]:
    """The URL of each role in a database that was set up as the page says, and that of the superuser."""
    with roles(server), database_of_roles(server, "site") as urls:
        yield urls


Written = set[tuple[str, str]]


@pytest.fixture(scope="module")
def used(urls: dict[str, str]) -> Written:
    """What the application wrote while it did a bit of everything: the kind of write, and into what."""
    written: Written = set()
    run_statement = Cursor.run

    def note(sql: str) -> None:
        for verb, table, assignments in WRITES.findall(sql):
            in_columns = verb == "UPDATE" and table in ("amie_events", "amie_log_head")
            names = re.findall(r"(\w+) = ", assignments) if in_columns else []
            written.update((verb.split()[0], f"{table}.{name}") for name in names)
            if not in_columns:
                written.add((verb.split()[0], table))
            if "DO UPDATE" in sql:
                written.add(("UPDATE", table))

    def noted(self: Cursor, statement: Statement, values: Any = None) -> int:
        note(statement.sql)
        return run_statement(self, statement, values)

    clock = Clock()
    site_engine = Sql(urls["amie_app"]).engine
    event.listen(site_engine, "before_cursor_execute", lambda _c, _d, sql, *_: note(sql))
    with pytest.MonkeyPatch.context() as patch, Engine(urls["amie_app"], site="NCSA", clock=clock) as engine:
        patch.setattr(Cursor, "run", noted)
        play(engine, clock)
        for process in ("elsewhere:1", "elsewhere:2"):
            engine.daemons.note(Daemon(process, clock(), clock(), stopped_at=clock()))
        engine.daemons.sweep(Daemon(this_process(), clock(), clock()), takes_over=True)
        with site_engine.begin() as connection:
            engine.receive(project_request(40), connection=connection)
        assert engine.carry_out_staged() == 1
        assert engine.transactions()[0].state == "completed"
        assert engine.subscriptions.deliver("all", lambda event: None, since="beginning").count > 100
        engine.subscriptions.remove("all")
    site_engine.dispose()
    return written


def test_the_application_can_do_all_that_it_does_and_the_log_is_whole(
    urls: dict[str, str], used: Written
) -> None:
    sql = Sql(urls["superuser"].replace("?", "?options=-csearch_path%3Damie&"))
    assert len(check_log(sql)) > 100
    sql.close()


def test_it_has_no_privilege_that_it_does_not_use(urls: dict[str, str], used: Written) -> None:
    with psycopg.connect(urls["superuser"]) as connection:
        tables = connection.execute(
            "SELECT privilege_type, table_name FROM information_schema.role_table_grants"
            " WHERE grantee = 'amie_app' AND privilege_type <> 'SELECT'"
        ).fetchall()
        columns = connection.execute(
            "SELECT privilege_type, table_name || '.' || column_name"
            " FROM information_schema.column_privileges"
            " WHERE grantee = 'amie_app' AND privilege_type = 'UPDATE'"
            " AND table_name IN ('amie_events', 'amie_log_head')"
        ).fetchall()
    assert {(row[0], row[1]) for row in (*tables, *columns)} == used


EVENT_COLUMNS = ("facts", "facts_digest", "hash", "recorded_at", "actor", "position", "document_digest")
FORBIDDEN = {
    "disable a trigger": "ALTER TABLE amie_events DISABLE TRIGGER amie_events_no_change",
    "disable all triggers": "ALTER TABLE amie_events DISABLE TRIGGER ALL",
    "drop a trigger": "DROP TRIGGER amie_events_no_change ON amie_events",
    "make a trigger": "CREATE TRIGGER x BEFORE INSERT ON amie_events FOR EACH ROW"
    " EXECUTE FUNCTION amie_events_append_only()",
    "make a rule": "CREATE RULE x AS ON INSERT TO amie_events DO INSTEAD NOTHING",
    "replace the triggers' function": "CREATE OR REPLACE FUNCTION amie.amie_events_append_only()"
    " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "drop it": "DROP FUNCTION amie_events_append_only() CASCADE",
    "make a function beside it": "CREATE FUNCTION amie.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make a table": "CREATE TABLE amie.x (y int)",
    "delete": "DELETE FROM amie_events",
    "delete one": "DELETE FROM amie_events WHERE position = 2",
    "truncate": "TRUNCATE amie_events",
    "truncate by way of another": "TRUNCATE amie_log_head, amie_events CASCADE",
    "drop the table": "DROP TABLE amie_events",
    "drop the schema": "DROP SCHEMA amie CASCADE",
    "take the table over": "ALTER TABLE amie_events OWNER TO amie_app",
    "take the schema over": "ALTER SCHEMA amie OWNER TO amie_app",
    "rename the table": "ALTER TABLE amie_events RENAME TO x",
    "add a column": "ALTER TABLE amie_events ADD COLUMN x int",
    "drop the unique index": "DROP INDEX amie_events_accepted",
    "switch the triggers off": "SET session_replication_role = replica",
    "become the owner": "SET ROLE amie_owner",
    "become the owner's member": "GRANT amie_owner TO amie_app",
    "delete a projection's rows": "DELETE FROM amie_transactions",
    "delete the counter": "DELETE FROM amie_log_head",
    "make another counter": "INSERT INTO amie_log_head VALUES (2, 0, '', '', '')",
    "rename the log": "UPDATE amie_log_head SET log_id = 'x'",
    "pretend another revision": "UPDATE amie_schema_version SET version_num = 'x'",
    "change what is staged": "UPDATE amie_staged SET call = 'x'",
    "merge": "MERGE INTO amie_events e USING (SELECT 2 AS p) s ON e.position = s.p WHEN MATCHED THEN DELETE",
    **{
        f"change {name}": f"UPDATE amie_events SET {name} = {name} WHERE position = 2"
        for name in EVENT_COLUMNS
    },
}
BY_TRIGGER = {
    "write a document": "UPDATE amie_events SET document = 'x', document_salt = 'y'",
    "erase half of one": "UPDATE amie_events SET document = NULL WHERE document IS NOT NULL",
}


@pytest.mark.parametrize("role", ["amie_app", "amie_auditor"])
@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_the_application_and_the_auditor_can_not_do(
    urls: dict[str, str], used: Written, role: str, what: str
) -> None:
    statement = FORBIDDEN[what].replace("amie_app", role)
    events = "SELECT * FROM amie.amie_events ORDER BY position"
    with (
        psycopg.connect(urls["superuser"], autocommit=True) as superuser,
        psycopg.connect(urls[role], autocommit=True) as connection,
    ):
        before = superuser.execute(events).fetchall()
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement.encode())
        assert superuser.execute(events).fetchall() == before


@pytest.mark.parametrize("what", BY_TRIGGER)
def test_what_the_triggers_refuse_to_the_application_that_may_erase(
    urls: dict[str, str], used: Written, what: str
) -> None:
    with psycopg.connect(urls["amie_app"], autocommit=True) as connection:
        for path in ("amie", "pg_temp, amie"):  # nothing that it makes itself comes before the schema's
            connection.execute(f"SET search_path = {path}".encode())
            with pytest.raises(errors.RestrictViolation, match="append-only"):
                connection.execute(BY_TRIGGER[what].encode())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO amie_staged VALUES (1000, 'access', 'NCSA', 'fail', '50001', '{}', '')",
        "UPDATE amie_events SET document = NULL, document_salt = NULL",
        "UPDATE amie_log_head SET position = 0",
        "SELECT nextval('amie_staged_id_seq')",
        "SELECT 1 FROM amie_log_head FOR UPDATE",
    ],
)
def test_an_auditor_can_only_read(urls: dict[str, str], used: Written, statement: str) -> None:
    with psycopg.connect(urls["amie_auditor"]) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_an_auditor_can_read_all_and_compare(urls: dict[str, str], used: Written) -> None:
    with Engine(urls["amie_auditor"], site="NCSA") as engine:
        assert engine.history(50_001, documents=True).state == "completed"
        assert check_projections(engine.database).differing == {}
        with pytest.raises(DatabaseUnavailable, match="permission denied") as caught:
            engine.receive(project_request(41))
        assert "docs/postgresql.md" in caught.value.hint
    for command in ("replay", "verify", "transactions"):
        done = CliRunner().invoke(app, [command, "--database", urls["amie_auditor"]])
        assert done.exit_code == 0, done.output


def test_a_site_that_joins_under_a_role_of_its_own_needs_what_the_page_says(
    urls: dict[str, str], used: Written
) -> None:
    run(
        urls["superuser"],
        "CREATE ROLE site_app LOGIN; CREATE SCHEMA site AUTHORIZATION site_app;"
        " ALTER ROLE site_app SET search_path = site, amie; GRANT USAGE ON SCHEMA amie TO site_app;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA amie TO site_app;"
        " GRANT INSERT ON amie.amie_staged TO site_app;"
        " GRANT USAGE ON SEQUENCE amie.amie_staged_id_seq TO site_app",
    )
    site = Sql(urls["amie_app"].replace("amie_app", "site_app"))
    with Engine(urls["amie_app"], site="NCSA") as engine:
        site.run("CREATE TABLE site_users (name TEXT)")
        with site.engine.begin() as connection:
            connection.execute(text("INSERT INTO site_users VALUES ('robin')"))
            engine.receive(project_request(42), connection=connection)
            engine.fail(50_042, "no", connection=connection)
        assert engine.carry_out_staged() == 2
    site.close()
    run(urls["superuser"], "DROP OWNED BY site_app CASCADE; DROP ROLE site_app")


def test_nobody_gives_oneself_more(urls: dict[str, str], used: Written) -> None:
    privileges = (
        "SELECT * FROM information_schema.table_privileges WHERE grantee LIKE 'amie%' ORDER BY 2, 5, 6"
    )
    for role in ("amie_app", "amie_auditor"):
        with psycopg.connect(urls[role], autocommit=True) as connection:
            before = connection.execute(privileges.encode()).fetchall()
            connection.execute(f"GRANT ALL ON amie_events TO {role}".encode())  # only warns
            assert connection.execute(privileges.encode()).fetchall() == before
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("DELETE FROM amie_events")


def test_a_second_database_has_a_log_of_its_own_for_the_same_roles(
    server: str, urls: dict[str, str], used: Written
) -> None:
    with database_of_roles(server, "other_site") as others:
        with Engine(others["amie_app"], site="NCSA") as engine:
            assert engine.transactions() == []
            engine.receive(project_request(60))
        with Engine(urls["amie_app"], site="NCSA") as engine:
            assert "50060" not in {each.trans_rec_id for each in engine.transactions()}
    with psycopg.connect(server.replace("postgres:@", "amie_app:@")) as elsewhere:
        assert elsewhere.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_vacuuming_is_the_owners(urls: dict[str, str], used: Written) -> None:
    [command] = re.findall(r"^VACUUM .*$", (DOCS / "personal-data.md").read_text("utf-8"), re.MULTILINE)
    said: list[str] = []
    for role in ("amie_owner", "amie_app"):
        with psycopg.connect(urls[role], autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
            connection.execute(command.encode())
        assert len(said) == (0 if role == "amie_owner" else 2)
    assert all("permission denied to vacuum" in notice for notice in said)


def test_migrating_and_rebuilding_are_the_owners(urls: dict[str, str], used: Written) -> None:
    run(urls["superuser"], "UPDATE amie.amie_transactions SET state = 'x' WHERE trans_rec_id = '50001'")
    for command in (["rebuild"], ["migrate", "--to", "base", "--yes"]):
        refused = CliRunner().invoke(app, [*command, "--database", urls["amie_app"]])
        assert refused.exit_code == 1
        assert re.search("permission denied|must be owner", str(refused.exception))
    rebuilt = CliRunner().invoke(app, ["rebuild", "--database", urls["amie_owner"]])
    assert rebuilt.exit_code == 0, rebuilt.output
    with Engine(urls["amie_app"], site="NCSA") as engine:
        assert check_projections(engine.database).differing == {}
