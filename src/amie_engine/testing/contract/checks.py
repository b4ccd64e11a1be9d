"""What must hold of a log at any time, looked at from outside: the tables alone, and no code of the log's."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from amie_engine.audit import check_projections
from amie_engine.log.database import Database

__all__ = ["COLUMNS", "Row", "Sql", "broken_at", "check_events", "check_log", "hash_of"]

COLUMNS = (
    "position", "stream", "version", "type", "schema_version", "recorded_at", "hub", "site", "trans_rec_id",
    "packet_rec_id", "packet_type", "sender", "status", "actor", "facts", "facts_digest", "document",
    "document_salt", "document_digest", "hash",
)  # fmt: skip
_HASHED = COLUMNS[: COLUMNS.index("facts")]
_ACCEPTING = ("packet_received", "packet_confirmed", "packet_adopted")

Row = dict[str, Any]


class Sql:
    """A second way into the database: plain SQL, each statement committed for itself."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.url = url
        self.engine: Engine = create_engine(parsed)
        self.is_postgresql = self.engine.dialect.name == "postgresql"

    def run(self, statement: str, **values: Any) -> None:
        """Run a statement and commit it."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def refuses(self, statement: str) -> bool:
        """Whether the log's own triggers refuse a statement; any other refusal is raised."""
        try:
            self.run(statement)
        except DBAPIError as error:
            if "amie_events is append-only" in str(error.orig):
                return True
            raise
        return False

    def events(self) -> list[Row]:
        """Return every event as it stands in the table."""
        query = f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position"
        return [dict(zip(COLUMNS, row, strict=True)) for row in self.rows(query)]

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """Return the events, the counter row and what is staged, to be compared with themselves later."""
        tables = ("amie_events", "amie_log_head", "amie_staged")
        return [self.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    def close(self) -> None:
        """Close its connections."""
        self.engine.dispose()

    def connect(self) -> Connection:
        """A connection of its own, with a transaction that the caller commits."""
        return self.engine.connect()


def hash_of(row: Row, previous: str) -> str:
    """Return the hash that an event must have."""
    covered = [previous, *(row[name] for name in _HASHED), row["facts_digest"], row["document_digest"]]
    return sha256(json.dumps(covered, separators=(",", ":")).encode()).hexdigest()


def broken_at(rows: Sequence[Row]) -> list[int]:
    """Return the indexes of the events that are not what was appended."""
    broken = []
    previous = ""
    for index, row in enumerate(rows):
        good = row["position"] == index + 1 and hash_of(row, previous) == row["hash"]
        good &= sha256(row["facts"].encode()).hexdigest() == row["facts_digest"]
        if row["document"] is not None and row["document_salt"] is not None:
            salted = f"{row['document_salt']}\n{row['document']}"
            good &= sha256(salted.encode()).hexdigest() == row["document_digest"]
        else:  # erased, or there never was one; half of one is neither
            good &= row["document"] is None and row["document_salt"] is None
        if not good:
            broken.append(index)
        previous = row["hash"]
    return broken


def check_log(sql: Sql) -> list[Row]:
    """Check that a log is whole, whatever happened to its writers; return its events.

    That is `check_events`, and that the projections are what the events make of them.
    """
    rows = check_events(sql)
    database = Database(sql.url)
    try:
        assert check_projections(database).differing == {}, "the projections are not those of the events"
    finally:
        database.close()
    return rows


def check_events(sql: Sql) -> list[Row]:
    """Check that the events are whole; return them.

    The chain is unbroken and ends in the counter row; positions have no gap, times don't go back, each stream
    has all its versions, and no packet is accepted twice.
    """
    rows = sql.events()
    assert broken_at(rows) == [], "the hash chain is broken"
    last = rows[-1] if rows else {"position": 0, "hash": "", "recorded_at": ""}
    head = sql.rows("SELECT position, hash, recorded_at FROM amie_log_head")
    assert head == [(last["position"], last["hash"], last["recorded_at"])], "the counter row is behind"
    times = [row["recorded_at"] for row in rows]
    assert times == sorted(times), "time goes back"
    versions: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        versions[row["stream"]].append(row["version"])
    for stream, found in versions.items():
        assert found == list(range(1, len(found) + 1)), f"stream {stream} lacks a version"
    accepted = [
        (row["hub"], row["site"], row["packet_rec_id"])
        for row in rows
        if row["type"] in _ACCEPTING and row["packet_rec_id"] is not None
    ]
    assert len(set(accepted)) == len(accepted), "a packet is accepted twice"
    return rows
