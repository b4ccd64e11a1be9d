"""Replay: the state of every transaction, now or as it was, from the events alone.

It is the same fold as the engine's, cut down to what moves a transaction: columns, and a few marks in the
facts. So it keeps pace with the database, and tests over every kind of log prove that it comes to the same
states.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from amie_engine.audit.counter import refuse_other_end
from amie_engine.engine.evolve import fold
from amie_engine.engine.incoming import INFORM, inform_move
from amie_engine.engine.shadow import Progress
from amie_engine.engine.state import SET_FAILED, START, TransactionState
from amie_engine.errors import LogDamaged
from amie_engine.log.canonical import canonical_json
from amie_engine.log.database import Database
from amie_engine.log.events import OF_NO_TRANSACTION, Event, EventType, current_schema, read_facts
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import format_time
from amie_engine.log.whole import check_gapless, read_head, read_stream
from amie_engine.protocol import FINAL_STATES, Party, State, opened_by, step

__all__ = ["Replay", "ReplayedTransaction", "position_at", "replay", "replay_one"]

_PAGE = 500
"""Events read in one transaction: few enough to be still in the processor's cache when they are folded."""
_LIVE = 40_000
"""How many transactions are kept in memory; the others wait in a temporary file."""

_COLUMNS = (
    "position, stream, version, type, schema_version, recorded_at, hub, site, trans_rec_id, packet_type,"
    " sender, status, facts"
)
_ROWS = Statement(
    f"SELECT {_COLUMNS} FROM amie_events WHERE position > :after AND position <= :until"  # noqa: S608 # our own names
    " ORDER BY position LIMIT :count"
)
_STREAMS = Statement(
    "SELECT DISTINCT stream FROM amie_events WHERE (trans_rec_id = :name OR stream = :name)"
    " AND position <= :until ORDER BY stream"
)
_TIME = Statement("SELECT recorded_at FROM amie_events WHERE position = :position")

_NOTHING, _PACKET, _FAILED, _DECIDED, _MOVED = range(5)
_EFFECTS: Final[dict[str, int]] = dict.fromkeys(map(str, EventType), _NOTHING) | {
    str(EventType.PACKET_RECEIVED): _PACKET,
    str(EventType.PACKET_CONFIRMED): _PACKET,
    str(EventType.PACKET_ADOPTED): _PACKET,
    str(EventType.TRANSACTION_FAILED): _FAILED,
    str(EventType.PACKET_DECIDED): _DECIDED,
    str(EventType.PACKET_RELEASED): _MOVED,
}

_ACKNOWLEDGES, _ATTACHED, _CALL, _REPLACES = '"acknowledges":', '"attached":', '"call":', '"replaces":'
"""What in the facts of a packet makes it do something else than move its transaction. They are looked for
before the facts are parsed, which few have to be: the value of a field may hold such a key as well, and means
nothing by it."""

_FAILED_STATE = str(State.FAILED)

_Live = list[Any]
"""Of one transaction: type, state, version, trans_rec_id, position, updated_at, opened_position, opened_at,
hub, site. A list, since a replay of a million events makes and changes very many."""


@dataclass(frozen=True, slots=True)
class ReplayedTransaction:
    """The state of one transaction at a position of the log.

    Attributes:
        stream: Its id in the log.
        version: How many events it had.
        position: Its newest event, which was recorded at ``updated_at``.
    """

    stream: str
    hub: str
    site: str
    trans_rec_id: str | None
    type: str | None
    state: str
    version: int
    position: int
    opened_at: datetime
    updated_at: datetime


class Replay:
    """The states of all transactions at a position. Use it as a context manager: it has a temporary file.

    Attributes:
        position: Of the newest event that was folded; 0 where there was none.
        recorded_at: When that was recorded.
    """

    def __init__(self) -> None:
        self.position = 0
        self.recorded_at: datetime | None = None
        self._live: dict[str, _Live] = {}
        self._steps: dict[tuple[Any, ...], tuple[str | None, str]] = {}
        self._spilled = sqlite3.connect("", isolation_level=None)  # a file that nobody else sees
        self._spilled.execute(
            "CREATE TABLE t (type, state, version, trans_rec_id, position, updated_at,"
            " opened_position INTEGER PRIMARY KEY, opened_at, hub, site, stream UNIQUE)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._spilled.close()

    def transactions(self) -> Iterator[ReplayedTransaction]:
        """Yield the transactions in the order in which they began."""
        self._spill(0)
        rows = self._spilled.execute(
            "SELECT stream, hub, site, trans_rec_id, type, state, version, position, opened_at, updated_at"
            " FROM t ORDER BY opened_position"
        )
        for row in rows:
            yield ReplayedTransaction(
                stream=row[0],
                hub=row[1],
                site=row[2],
                trans_rec_id=row[3],
                type=row[4],
                state=row[5],
                version=row[6],
                position=row[7],
                opened_at=datetime.fromisoformat(row[8]),
                updated_at=datetime.fromisoformat(row[9]),
            )

    def counts(self) -> list[tuple[str, str, str | None, str, int]]:
        """Return how many transactions there are: hub, site, type, state, count."""
        self._spill(0)
        return self._spilled.execute(
            "SELECT hub, site, type, state, COUNT(*) FROM t GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        ).fetchall()

    def fold(self, cursor: Cursor, rows: Iterable[tuple[Any, ...]]) -> None:
        """Fold events in the order of their positions.

        Args:
            cursor: Where to read the few streams that have to be folded in full.
            rows: Their columns.

        Raises:
            EventUnreadable: This release does not know one of them.
            LogDamaged: An event of a stream is missing.
        """
        live, steps, newest = self._live, self._steps, _newest_schemas()
        row: tuple[Any, ...] | None = None
        for row in rows:
            (position, stream, version, kind, schema, recorded_at, hub, site, trans_rec_id, packet_type,
             sender, status, facts) = row  # fmt: skip
            if newest.get(kind) != schema:
                facts = _brought_up_to_date(row)
            state = live.get(stream)
            if state is None:
                if version == 1:
                    if kind in OF_NO_TRANSACTION:
                        continue
                    state = live[stream] = [
                        None, "start", 0, None, position, recorded_at, position, recorded_at, hub, site
                    ]  # fmt: skip
                elif (state := self._recall(stream)) is None:
                    continue  # of a stream that is no transaction's
            if version != state[2] + 1:
                raise _out_of_line(position, version, state[2])
            state[2], state[4], state[5] = version, position, recorded_at
            if state[3] is None:
                state[3] = trans_rec_id
            effect = _EFFECTS[kind]
            if effect == _PACKET:
                if _ATTACHED in facts or _CALL in facts or _REPLACES in facts or _ACKNOWLEDGES in facts:
                    marks = read_facts(position, kind, newest[kind], facts)
                    if marks.get("acknowledges") or marks.get("attached"):
                        continue
                    if marks.get("call") == SET_FAILED:
                        if state[1] not in FINAL_STATES:
                            state[1] = _FAILED_STATE
                        continue
                    if marks.get("replaces"):
                        state[0], state[1] = _in_full(cursor, stream, position)
                        continue
                key = (state[0], state[1], sender, packet_type, status)
                moved = steps.get(key)
                if moved is None:
                    moved = steps[key] = _step(*key)
                state[0], state[1] = moved
            elif effect == _FAILED:
                state[1] = _FAILED_STATE
            elif effect == _DECIDED:
                if state[0] is None and read_facts(position, kind, newest[kind], facts)["answers"] == START:
                    state[0] = opened_by(packet_type, Party.SITE)
            elif effect == _MOVED:
                state[3] = None
        if row is not None:
            self.position, self.recorded_at = row[0], datetime.fromisoformat(row[5])
        if len(live) > _LIVE:
            self._spill(_LIVE // 2)

    def _spill(self, keep: int) -> None:
        """Write transactions into the temporary file, but for those that were met last."""
        gone = list(self._live)[: len(self._live) - keep]
        self._spilled.execute("BEGIN")
        self._spilled.executemany(
            f"INSERT INTO t VALUES ({', '.join('?' * 11)})",  # noqa: S608 # our own
            ((*self._live.pop(stream), stream) for stream in gone),
        )
        self._spilled.execute("COMMIT")

    def _recall(self, stream: str) -> _Live | None:
        """Bring a transaction back from the temporary file."""
        row = self._spilled.execute("SELECT * FROM t WHERE stream = ?", (stream,)).fetchone()
        if row is None:
            return None
        self._spilled.execute("DELETE FROM t WHERE stream = ?", (stream,))
        state = self._live[stream] = list(row[:-1])
        return state


def replay(
    database: Database, *, until: int | None = None, progress: Progress = lambda done, total: None
) -> Replay:
    """Fold the whole log, or its beginning, and return the states of all transactions.

    It reads in pages, and its memory does not grow with the log. Neither projections nor documents are read.

    Args:
        database: The log's database.
        until: The last position to fold; without one, the newest event that there is now.
        progress: Called with the position that is reached, and the last one.

    Raises:
        EventUnreadable: This release does not know an event.
        LogDamaged: An event is missing up to there; or, without ``until``, the counter row does not say what
            the newest event says.
        LogError: The database can't be used.
    """
    replayed = Replay()
    try:
        with database.read() as cursor:
            last = _last(cursor, until)
        while replayed.position < last:
            with database.read() as cursor:
                values = {"after": replayed.position, "until": last, "count": _PAGE}
                rows = cursor.all(_ROWS, values)
                if not rows:
                    raise _missing(replayed.position + 1)
                check_gapless(rows, replayed.position)
                replayed.fold(cursor, rows)
            progress(replayed.position, last)
    except BaseException:
        replayed.close()
        raise
    return replayed


def replay_one(database: Database, name: str, *, until: int | None = None) -> list[TransactionState]:
    """Return the whole state of one transaction at a position.

    Args:
        database: The log's database.
        name: Its record id at the service, or its stream. Hubs number alike: there may be several.
        until: The last position to fold; without one, the newest event.

    Raises:
        EventUnreadable: This release does not know an event of it.
        LogDamaged: One is missing; or, without ``until``, the counter row does not say what the newest event
            says.
        LogError: The database can't be used.
    """
    with database.read() as cursor:
        last = _last(cursor, until)
        streams = [row[0] for row in cursor.all(_STREAMS, {"name": name, "until": last})]
        stories = [(stream, _events(cursor, stream, last)) for stream in streams]
    return [fold(stream, events) for stream, events in stories if events[0].type not in OF_NO_TRANSACTION]


def position_at(database: Database, moment: datetime) -> int:
    """Return the newest position that had been recorded at a moment; 0 where nothing had.

    Recorded times never go back, whatever the machine's clock did: it is found in a few look-ups.

    Raises:
        LogDamaged: An event that was looked up is missing.
        LogError: The database can't be used.
    """
    text = format_time(moment)
    with database.read() as cursor:
        low, high = 0, read_head(cursor).position
        while low < high:
            middle = (low + high + 1) // 2
            row = cursor.one(_TIME, {"position": middle})
            if row is None:
                raise _missing(middle)
            if row[0] <= text:
                low = middle
            else:
                high = middle - 1
    return low


def _last(cursor: Cursor, until: int | None) -> int:
    """The last position to fold. Up to an earlier one, whatever was done to the log's end does not matter."""
    return refuse_other_end(cursor).position if until is None else min(until, read_head(cursor).position)


def _newest_schemas() -> dict[str, int]:
    return {str(kind): current_schema(kind) for kind in EventType}


def _step(
    kind: str | None, state: str, sender: str | None, packet_type: str, status: str | None
) -> tuple[str | None, str]:
    """Type and state after a packet became part of a transaction."""
    party = Party(sender or Party.HUB)
    kind = kind or opened_by(packet_type, party)
    move = inform_move(status) if packet_type == INFORM else packet_type
    after = None if kind is None else step(kind, state, party, move)
    return kind, state if after is None else str(after)


def _in_full(cursor: Cursor, stream: str, position: int) -> tuple[str | None, str]:
    """Type and state of a transaction in which a packet took the place of an earlier copy."""
    state = fold(stream, _events(cursor, stream, position))
    return state.type, str(state.state)


def _events(cursor: Cursor, stream: str, until: int) -> list[Event]:
    events = [event for event in read_stream(cursor, stream) if event.position <= until]
    for expected, event in enumerate(events, 1):
        if event.version != expected:
            raise _out_of_line(event.position, event.version, expected - 1)
    return events


def _brought_up_to_date(row: tuple[Any, ...]) -> str:
    """The facts of an event of another schema version, as this release would write them."""
    position, stream, version, kind, schema, recorded_at, hub, site, *_, facts = row
    event = Event(
        position,
        stream,
        version,
        kind,
        schema,
        recorded_at,
        hub,
        site,
        None,
        None,
        None,
        None,
        None,
        "",
        facts,
    )
    event.check_readable()
    return canonical_json(event.facts)


def _missing(position: int) -> LogDamaged:
    return LogDamaged(f"The event at position {position} is missing.")


def _out_of_line(position: int, version: int, previous: int) -> LogDamaged:
    return LogDamaged(
        f"The event at position {position} is number {version} of its stream, after number {previous}."
    )
