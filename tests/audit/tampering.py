"""A log that is open to tampering, as it is to somebody who owns the database: its triggers are gone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from amie_engine.audit import Seal, Verdict
from amie_engine.audit.verifying import Verification
from amie_engine.engine import Engine
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog
from amie_engine.testing import Clock
from tests.log.busy_site import whole_project
from tests.log.chain_check import COLUMNS, Row, hash_of

INTEGERS = ("position", "version", "schema_version")
TEXTS = tuple(name for name in COLUMNS if name not in INTEGERS)

_ERASE = Statement("UPDATE amie_events SET document = NULL, document_salt = NULL WHERE position = :position")
_DOCUMENTS = Statement("SELECT position FROM amie_events WHERE document IS NOT NULL ORDER BY position")

COUNTER = ("id", "position", "hash", "recorded_at", "log_id")


class Impossible(Exception):
    """The database itself does not let this be done at that place."""


class OpenLog:
    """A log whose events anybody may change, and where whatever is done is undone.

    Args:
        driver: A connection of the driver's, on which the log's triggers are gone.
        dialect: SQLAlchemy's dialect of it.

    Attributes:
        random: Where to tamper is by chance; seed it.
        events: The events before anybody touched them.
        end: The newest one's position.
        erasures: The positions that each erasure names, by its own.
        untouched: All that is stored, before.
    """

    def __init__(self, driver: Any, dialect: Dialect) -> None:
        self.driver = driver
        self.random = Random(0)
        self._is_sqlite = dialect.name == "sqlite"
        self._cursor = Cursor(driver, dialect)
        self.untouched = self.stored()
        self.events = self.read()
        self.end = len(self.events)
        self.erasures = {
            row["position"]: json.loads(row["facts"])["positions"]
            for row in self.events
            if row["type"] == "documents_erased"
        }

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``?`` for its values; return the rows that it gives.

        Raises:
            Impossible: A constraint forbids it.
        """
        cursor = self.driver.cursor()
        try:
            cursor.execute(sql if self._is_sqlite else sql.replace("?", "%s"), values)
        except Exception as error:
            if "IntegrityError" in {kind.__name__ for kind in type(error).__mro__}:
                raise Impossible from error
            raise
        return cursor.fetchall() if cursor.description else []

    def stored(self) -> list[Any]:
        """What is in the tables, to the type and the byte."""
        form = "typeof({0}), CAST({0} AS BLOB)" if self._is_sqlite else "{0}"
        events = ", ".join(form.format(name) for name in COLUMNS)
        counter = ", ".join(form.format(name) for name in COUNTER)
        return [
            self.run(f"SELECT {events} FROM amie_events ORDER BY position"),
            self.run(f"SELECT {counter} FROM amie_log_head ORDER BY id"),
        ]

    def read(self) -> list[Row]:
        """The events, in order."""
        rows = self.run(f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position")
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def verify(self, *, seal: Seal | None = None, since: Seal | None = None) -> Verdict:
        """Verify the log as it is now."""
        verification = Verification(
            lambda: nullcontext(self._cursor), seals=[] if seal is None else [seal], since=since
        )
        verification.run()
        return verification.verdict(1.0)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """A block after which everything is as before."""
        self.run("BEGIN")
        try:
            yield
        finally:
            self.run("ROLLBACK")

    def place(self, first: int = 1, last: int | None = None) -> int:
        """Any position between two."""
        return self.random.randint(first, self.end if last is None else last)

    def place_of(self, wanted: Callable[[Row], bool]) -> int:
        """Any position of an event of some kind."""
        return int(self.random.choice([row["position"] for row in self.events if wanted(row)]))

    def set(self, position: int, /, **columns: Any) -> None:
        """Set columns of an event."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self.run(f"UPDATE amie_events SET {names} WHERE position = ?", *columns.values(), position)

    def insert(self, row: Row) -> None:
        """Put an event in."""
        marks = ", ".join("?" * len(COLUMNS))
        self.run(
            f"INSERT INTO amie_events ({', '.join(COLUMNS)}) VALUES ({marks})",
            *(row[name] for name in COLUMNS),
        )

    def delete(self, first: int, last: int) -> int:
        """Take events out; return the first position that is wrong then.

        With an erasure, nothing explains any more why documents before it are gone.
        """
        self.run("DELETE FROM amie_events WHERE position BETWEEN ? AND ?", first, last)
        gone = [erased for at, erased in self.erasures.items() if first <= at <= last]
        return int(min([first, *(position for positions in gone for position in positions)]))

    def move(self, first: int, by: int) -> None:
        """Give other positions to all events from one on."""
        self.run("UPDATE amie_events SET position = -(position + ?) WHERE position >= ?", by, first)
        self.run("UPDATE amie_events SET position = -position WHERE position < 0")

    def mend_counter(self) -> None:
        """Have the counter row say what the newest event says."""
        self.run(
            "UPDATE amie_log_head SET (position, hash, recorded_at) ="
            " (SELECT position, hash, recorded_at FROM amie_events ORDER BY position DESC LIMIT 1)"
        )

    def rewrite(self, first: int = 1) -> None:
        """Make the hashes right again from an event on, and the counter row with them."""
        rows = self.read()
        previous = rows[first - 2]["hash"] if first > 1 else ""
        for row in rows[first - 1 :]:
            row["facts_digest"] = sha256(row["facts"].encode()).hexdigest()
            previous = hash_of(row, previous)
            self.set(row["position"], facts_digest=row["facts_digest"], hash=previous)
        self.mend_counter()

    def seal(self, position: int) -> Seal:
        """A seal of the log as it was at a position before anybody touched it, without a signature."""
        row = self.events[position - 1]
        first = self.events[0]["hash"]
        return Seal(position, row["hash"], row["recorded_at"], first, "", "", "")


Way = Callable[[OpenLog], int | None]
"""A way to tamper with a log; it returns the first position that is wrong then, None where that varies."""


def tamper(log: OpenLog, way: Way, times: int, *, seal_from: bool = False) -> list[Verdict]:
    """Tamper with a log again and again, and demand each time that it is found, and at its position.

    Args:
        log: The log.
        way: How.
        times: How often.
        seal_from: Whether to verify with a seal of an event that is wrong, or of one behind it.
    """
    verdicts: list[Verdict] = []
    while len(verdicts) < times:
        with log.undone():
            try:
                position = way(log)
            except Impossible:
                continue
            assert log.stored() != log.untouched, "nothing was tampered with"
            seal = None
            if seal_from:
                assert position is not None
                assert log.verify().whole, "without a seal it can't be seen"
                seal = log.seal(log.place(position))
            verdict = log.verify(seal=seal)
            assert not verdict.whole, f"not found: {position}"
            if position is not None and seal is None:
                assert verdict.problems[0].position == position, verdict.problems
            verdicts.append(verdict)
    return verdicts


def erase(log: EventLog, positions: Sequence[int]) -> None:
    """Erase documents, as the log's page says that it is done: with an event, in one transaction."""
    new = NewEvent(
        EventType.DOCUMENTS_ERASED, facts={"positions": list(positions), "person": None, "reason": "a test"}
    )
    with log.write() as writer:
        writer.append(f"erasure-{positions[0]}", 0, [new])
        for position in positions:
            assert writer.cursor.run(_ERASE, {"position": position}) == 1


@contextmanager
def open_file(file: Path) -> Iterator[OpenLog]:
    """A log in a SQLite file whose triggers were dropped, open to tampering."""
    make_dialect: Any = SQLiteDialect_pysqlite
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield OpenLog(connection, make_dialect())


def drop_triggers(connection: sqlite3.Connection) -> None:
    """Take the log's triggers away from a SQLite database."""
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")


def erase_some(engine: Engine, clock: Clock) -> None:
    """Erase a few documents of a busy log, twice, with more events between and behind."""
    for number in (31, 32):
        clock.forward(days=1)
        with engine.database.read() as cursor:
            there = [row[0] for row in cursor.all(_DOCUMENTS)]
        erase(engine.log, there[number - 31 : 60 : 7])
        whole_project(engine, clock, number)
