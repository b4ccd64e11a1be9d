"""A site that works out its replies itself, and keeps its own tables in the log's database.

The rows that it writes and the reply that tells of them are one transaction: there is no moment in which the
one is there and the other is not, and so nothing to be done once more after a crash.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy import Engine as Database

from amie_engine import AMIEEngineError, Due, Engine, Packet, Runner, Site
from amie_engine.site import stopping_on_signals

from .opening import database_url, opened
from .scheduled import Job, loop

__all__ = ["accounts", "answer_all", "main", "metadata", "people", "projects"]

logger = logging.getLogger("own_loop")

metadata = MetaData()

projects = Table(
    "site_projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("grant_number", Text, nullable=False, unique=True),
)

people = Table(
    "site_people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("global_id", Text, nullable=False, unique=True),
)

accounts = Table(
    "site_accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project", ForeignKey("site_projects.id"), nullable=False),
    Column("person", ForeignKey("site_people.id"), nullable=False),
    Column("active", Boolean, nullable=False, default=True),
    UniqueConstraint("project", "person"),
)


def answer_all(engine: Engine, database: Database) -> None:
    """Answer all that may be answered now. What can't be is told, and its turn comes again.

    What is ready keeps the order between transactions; nobody else may be at work on it, since no lease is
    taken here.
    """
    for item in engine.work.ready():
        due = engine.expected_reply(item.trans_rec_id)
        if due.turn != "site" or due.sending:
            continue
        try:
            with database.begin() as connection:
                reply = _answer(connection, due)
                engine.reply(item.trans_rec_id, reply, connection=connection)  # commits with the rows
        except AMIEEngineError as error:
            logger.warning("Transaction %s: %s. %s", item.trans_rec_id, error.code, error.hint)
    engine.carry_out_staged()  # the replies are in the outbox now, and not only with the next call


def _answer(connection: Connection, due: Due) -> Packet:
    """Do what a packet asks, and return the reply."""
    request: Any = due.request
    does = _DOES.get(request.packet_type)
    reply = due.packet if does is None else does(connection, request, due.packet)
    return reply or request.reply_with_failure(message="We know no such project or account.")


def _create_project(connection: Connection, request: Any, reply: Any) -> Packet:
    project = _id_in(connection, projects, grant_number=request.GrantNumber)
    person = _id_in(connection, people, global_id=request.PiGlobalID)
    _id_in(connection, accounts, project=project, person=person)
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = f"p{project}", f"u{person}", f"xu{person}"
    return reply  # type: ignore[no-any-return] # the draft of a notify_project_create


def _create_account(connection: Connection, request: Any, reply: Any) -> Packet | None:
    project = connection.scalar(select(projects.c.id).filter_by(grant_number=request.GrantNumber))
    if project is None:
        return None
    person = _id_in(connection, people, global_id=request.UserGlobalID)
    _id_in(connection, accounts, project=project, person=person)
    reply.ProjectID, reply.UserPersonID, reply.UserRemoteSiteLogin = (
        f"p{project}",
        f"u{person}",
        f"xu{person}",
    )
    return reply  # type: ignore[no-any-return] # the draft of a notify_account_create


def _switch(connection: Connection, request: Any, reply: Any) -> Packet | None:
    """Make a project's accounts, or one person's in it, active or inactive."""
    switched = update(accounts).where(accounts.c.project == _number(request.ProjectID))
    person = getattr(request, "PersonID", None)
    if person is not None:
        switched = switched.where(accounts.c.person == _number(person))
    active = request.packet_type.endswith("_reactivate")
    found = connection.execute(switched.values(active=active)).rowcount
    return reply if found else None


_DOES: dict[str, Callable[[Connection, Any, Any], Packet | None]] = {
    "request_project_create": _create_project,
    "request_account_create": _create_account,
    "request_project_inactivate": _switch,
    "request_project_reactivate": _switch,
    "request_account_inactivate": _switch,
    "request_account_reactivate": _switch,
}
"""What this site does; all else it answers with the draft as it is, since it keeps no data of persons."""


def _id_in(connection: Connection, table: Table, **values: Any) -> int:
    """The id of the row with these values, which is made if it is not there."""
    found: int | None = connection.scalar(select(table.c.id).filter_by(**values))
    if found is not None:
        return found
    return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())


def _number(name: str | None) -> int:
    """The number in an id of ours such as p7; 0, which none has, where it is no id of ours."""
    digits = (name or "")[1:]
    return int(digits) if digits.isdecimal() else 0


def main() -> None:
    """Poll, answer and send, until somebody stops it."""
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    name = os.environ.get("AMIE_ENGINE_SITE", "NCSA")
    with (
        opened(name) as (engine, client),
        Runner(engine, client, Site(name)) as runner,  # no handlers: it polls and sends
        stopping_on_signals(stop),
    ):
        database = create_engine(database_url())
        metadata.create_all(database)  # after the log's: an empty SQLite file gets those by itself
        jobs = [
            Job("polling", 60.0, runner.poll_once),
            Job("answering", 5.0, lambda: answer_all(engine, database)),
            Job("sending", 5.0, runner.send_once),
        ]
        loop(jobs, stop)
        database.dispose()


if __name__ == "__main__":
    main()
