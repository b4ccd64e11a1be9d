"""Logs that released schemas have written, and what every later release must read in them.

For each revision of the schema there is a log (``0001.sql``, as ``sqlite3`` dumps it) and the states and
projections that follow from it (``0001.json``). When a schema is released, write those of its revision and
commit them; from then on they stay as they are::

    python -m tests.golden.make

Ids, times and salts are numbered, so that the same release writes the same files.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import fields, is_dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from amie_engine.engine import Engine
from amie_engine.engine.evolve import fold
from amie_engine.log.database import Database
from amie_engine.log.migrate import head_revision
from amie_engine.log.schema import PROJECTIONS
from amie_engine.testing import Clock
from amie_engine.testing.contract.story import SITE, answer, project_request, send, tell_story, wire_packet

__all__ = ["FOLDER", "load", "plain", "projections_of", "states_of"]

FOLDER = Path(__file__).parent
_LOG_ID = "0" * 31 + "1"


def load(dump: Path, into: Path) -> None:
    """Make a SQLite file of a dump."""
    with closing(sqlite3.connect(into)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))


def states_of(engine: Engine) -> dict[str, Any]:
    """Return the state of every transaction, by its stream, as JSON has it."""
    with engine.log.read() as reader:
        streams = [entry.stream for entry in engine.transactions()]
        return {stream: plain(fold(stream, reader.stream(stream))) for stream in streams}


def projections_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every projection, in the order of their keys, as JSON has them."""
    with database.connection(writing=False) as connection:
        return {
            table.name: [
                dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in PROJECTIONS
        }


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def write(folder: Path) -> list[Path]:
    """Write log, states and projections of this release's schema into a folder; return the files."""
    clock, streams, salts = Clock(), count(1), count(1)
    revision = head_revision()
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("amie_engine.log.canonical.token_hex", lambda size: f"{next(salts):0{2 * size}x}")
        file = Path(name) / "golden.db"
        with Engine(
            f"sqlite:///{file}", site=SITE, clock=clock, new_id=lambda: f"stream-{next(streams)}"
        ) as engine:
            tell_story(engine, clock)
            _erased_person(engine, clock)
            _refused_afterwards(engine, file)
            told = {"states": states_of(engine), "projections": projections_of(engine.database)}
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE amie_log_head SET log_id = ?", [_LOG_ID])
            dump = "\n".join(connection.iterdump()) + "\n"
    files = [folder / f"{revision}.sql", folder / f"{revision}.json"]
    files[0].write_text(dump, encoding="utf-8")
    files[1].write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return files


def _erased_person(engine: Engine, clock: Clock) -> None:
    """A person whose only transaction has ended, and whose documents are erased."""
    engine.receive(project_request(9, PiLastName="Gone", PiEmail="gone@example.edu"))
    answer(engine, 1009, ProjectID="project-9", PiPersonID="u9", PiRemoteSiteLogin="gone")
    send(engine)
    engine.receive(
        wire_packet("data_project_create", 1009, 3009, {"ProjectID": "project-9", "PersonID": "u9"})
    )
    answer(engine, 1009)
    send(engine)
    clock.forward(days=1)
    engine.erase(person="u9", actor="operator", reason="asked for it")


def _refused_afterwards(engine: Engine, file: Path) -> None:
    """A call that was staged, and that its transaction's end forbade before it was carried out."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "INSERT INTO amie_staged (hub, site, call, trans_rec_id, arguments, staged_at)"
            " VALUES ('access', ?, 'fail', '1001', '{\"actor\":\"site\",\"reason\":\"too late\"}', '')",
            [SITE],
        )
    engine.carry_out_staged()


if __name__ == "__main__":
    for file in write(FOLDER):
        sys.stdout.write(f"{file}\n")
