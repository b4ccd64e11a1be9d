"""A SQLite file that may grow no more: each call is written whole or not at all, at whatever page it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import event

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseUnavailable
from amie_engine.packet import Packet
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.story import SITE, project_reply, project_request, site_packet

LARGE = {"Abstract": "x" * 10_000}


def large_reply() -> Packet:
    """A reply that does not fit on a page."""
    reply: Any = project_reply(1)
    reply.ProjectTitle = "x" * 10_000
    return cast(Packet, reply)


CALLS: dict[str, Callable[[Engine], object]] = {
    "receive": lambda engine: engine.receive(project_request(2, **LARGE)),
    "quarantine": lambda engine: engine.receive("x" * 10_000),
    "reply": lambda engine: engine.reply(1001, large_reply()),
    "start": lambda engine: engine.start(site_packet(Title="x" * 10_000)),
    "fail": lambda engine: engine.fail(1001, "x" * 10_000),
    "carry out": Engine.carry_out_staged,
}


@pytest.fixture
def limited(file: Path, sql: Sql) -> Iterator[Callable[[int], Engine]]:
    """A function that opens an engine for which the file may have so many pages more than it has."""
    opened: list[Engine] = []

    def make(more: int) -> Engine:
        pages = sql.rows("PRAGMA page_count")[0][0]
        engine = Engine(f"sqlite:///{file}", site=SITE)
        engine.close()  # the connection that opened it

        @event.listens_for(engine.database.engine, "connect")
        def connect(driver: Any, _record: Any) -> None:
            driver.execute(f"PRAGMA max_page_count = {pages + more}")

        opened.append(engine)
        return engine

    yield make
    for engine in opened:
        engine.close()


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_finds_no_room_writes_nothing_and_is_done_once_there_is_some(
    sql: Sql, limited: Callable[[int], Engine], file: Path, call: str
) -> None:
    with Engine(f"sqlite:///{file}", site=SITE) as engine:
        engine.receive(project_request(1))
        if call == "carry out":
            with sql.engine.begin() as connection:
                engine.receive(project_request(2, **LARGE), connection=connection)
    before = sql.everything()
    refusals = 0
    while (error := outcome(engine := limited(refusals), call)) is not None:
        refusals += 1
        assert error.retryable
        assert "full" in error.message
        assert error.hint == "Make room on the disk of the database, and call again."
        assert sql.everything() == before
        assert len(engine.transactions()) == 1
    assert refusals > 0
    assert sql.everything() != before
    check_log(sql)


def outcome(engine: Engine, call: str) -> DatabaseUnavailable | None:
    """Call; return the error if it was refused."""
    try:
        CALLS[call](engine)
    except DatabaseUnavailable as error:
        return error
    return None
