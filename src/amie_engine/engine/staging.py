"""Joining the site's own transaction: what is called with its connection is staged there, and carried out
after its commit.

Staging writes one row in the caller's transaction and no more: it takes neither the counter nor any other
lock that somebody else could wait for. The row commits or rolls back with the caller's own. Afterwards the
engine carries it out in a short transaction of its own, at its next call.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from amie_engine._logging import about
from amie_engine.engine.commands import Commands
from amie_engine.engine.failures import decide_failure
from amie_engine.engine.incoming import Incoming, read_incoming
from amie_engine.engine.replies import check_reply, decide_reply, decide_start
from amie_engine.engine.source import Unusable
from amie_engine.engine.state import SET_FAILED, START, TransactionState
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.engine.views import Handle
from amie_engine.errors import (
    AMIEEngineError,
    EngineError,
    EventUnreadable,
    InternalError,
    LogError,
    TransactionNotFound,
)
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.joining import Joined, staged
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog, LogReader
from amie_engine.packet.base import Packet
from amie_engine.packet.registry import PACKET_TYPES

__all__ = ["Staging"]

logger = logging.getLogger("amie_engine.engine")

RECEIVE: Final = "receive"
REPLY: Final = "reply"
BEGIN: Final = "start"
FAIL: Final = "fail"

_ARGUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    RECEIVE: {"base64": str},
    REPLY: {"packet": dict, "actor": str, "work": dict | None},
    BEGIN: {"packet": dict, "actor": str},
    FAIL: {"reason": str, "actor": str},
}
"""What each call is given."""

_IN_ONE_COMMIT = 100
_DIGITS = 38
"""How many a record id of the service may have."""

_ANY = Statement(
    "SELECT id, staged_at FROM amie_staged WHERE hub = :hub AND site = :site ORDER BY id LIMIT :count"
)
_ABOUT = Statement(
    "SELECT 1 FROM amie_staged WHERE hub = :hub AND site = :site AND id <> :but"
    " AND (trans_rec_id = :name OR (call = 'receive' AND :by_stream = 1)) LIMIT 1"
)
_NEXT = Statement(
    "SELECT id, staged_at, call, trans_rec_id, arguments FROM amie_staged"
    " WHERE hub = :hub AND site = :site AND id > :after ORDER BY id LIMIT :count"
)
_REMOVE = Statement("DELETE FROM amie_staged WHERE id = :id")


@dataclass(frozen=True, slots=True)
class _Row:
    """Something that is staged and committed."""

    id: int
    staged_at: str
    call: str
    trans_rec_id: str | None
    text: str

    @property
    def key(self) -> tuple[int, str]:
        """What tells it from all others: SQLite gives the id of a row that has gone to another."""
        return self.id, self.staged_at

    @property
    def given(self) -> Any:
        """What the call was given, as JSON; the bare text where it is none."""
        try:
            given = json.loads(self.text)
            canonical_json(given)
        except (ValueError, RecursionError):
            return self.text
        return given

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the call was given.

        Raises:
            LogError: That can't be read.
        """
        given = self.given
        if not isinstance(given, dict) or not all(
            isinstance(given.get(name), kind) for name, kind in _ARGUMENTS.get(self.call, {}).items()
        ):
            raise LogError(f"What a staged {self.call!r} was given can't be read.", hint="")
        return given


class Staging:
    """Stages calls of one site, and carries them out.

    Args:
        log: The site's log.
        commands: What carries them out.
        new_id: Gives ids for streams.
    """

    def __init__(self, log: EventLog, commands: Commands, new_id: Callable[[], str]) -> None:
        self._log = log
        self._commands = commands
        self._new_id = new_id
        self._left: set[tuple[int, str]] = set()

    def receive(self, connection: Connection, incoming: Incoming | Unusable) -> None:
        """Stage what came in: its bytes."""
        arguments = {"base64": base64.b64encode(incoming.raw).decode("ascii")}
        with self._staged(connection, RECEIVE, incoming.trans_rec_id, arguments):
            pass

    def reply(
        self,
        connection: Connection,
        trans_rec_id: int | str,
        packet: Packet,
        *,
        actor: str,
        work: Mapping[str, Any] | None,
    ) -> Handle:
        """Check a reply as far as can be known now, and stage it.

        Raises:
            EngineError: What the packet says can't be sent, or the log's state forbids it.
        """
        check_reply(packet, name=f"transaction {trans_rec_id}")
        name = storable(str(trans_rec_id))
        arguments = {"packet": packet.as_dict(), "actor": actor, "work": None if work is None else dict(work)}
        with self._staged(connection, REPLY, name, arguments) as joined:
            state = self._check(
                joined, name, lambda state: decide_reply(state, packet, actor=actor, work=work)
            )
        return _handle(state, name, "", packet.packet_type)

    def start(self, connection: Connection, packet: Packet, *, actor: str) -> Handle:
        """Check the first packet of a transaction of the site's own, and stage it.

        Raises:
            EngineError: It can't begin one.
        """
        stream = self._new_id()
        decide_start(stream, packet, actor=actor)
        with self._staged(connection, BEGIN, stream, {"packet": packet.as_dict(), "actor": actor}):
            return Handle(stream, None, START, packet.packet_type)

    def fail(self, connection: Connection, trans_rec_id: int | str, reason: str, *, actor: str) -> Handle:
        """Stage the wish to have a transaction set failed.

        Raises:
            EngineError: The log's state forbids it.
        """
        name = storable(str(trans_rec_id))
        with self._staged(connection, FAIL, name, {"reason": reason, "actor": actor}) as joined:
            state = self._check(joined, name, lambda state: decide_failure(state, reason, actor=actor))
        return _handle(state, name, SET_FAILED, None)

    def waits(self, cursor: Cursor) -> bool:
        """Tell whether something is staged and committed that this release can carry out."""
        values = {"hub": self._log.hub, "site": self._log.site, "count": len(self._left) + 1}
        return any((row[0], row[1]) not in self._left for row in cursor.all(_ANY, values))

    def carry_out(self) -> int:
        """Carry out all that is staged and committed, in the order in which it was staged; return how much.

        What can't be carried out any more is put on record in its transaction, with what it was. What only a
        later release can carry out stays staged for it, and holds up nothing else.

        Raises:
            LogError: The database can't be used; what was not carried out stays staged.
        """
        with self._log.read() as reader:
            if not self.waits(reader.cursor):
                return 0
        done, after = 0, 0
        while True:
            rows, count = in_unit(self._log, partial(self._carry_out_some, after=after))
            done += count
            if len(rows) < _IN_ONE_COMMIT:
                return done
            after = rows[-1].id

    def _staged(
        self, connection: Connection, call: str, name: str | None, arguments: Mapping[str, Any]
    ) -> AbstractContextManager[Joined]:
        return staged(self._log, connection, call, name, canonical_json(arguments))

    def _check(
        self, joined: Joined, name: str, decide: Callable[[TransactionState], NewEvent]
    ) -> TransactionState | None:
        """Refuse what the log's state forbids already; return the state.

        None where only the commit will tell: something else that is staged may change the state before, or
        the caller's transaction sees an older one and no connection is free to look at the newest.

        Raises:
            EngineError: It is forbidden.
        """
        if joined.follows(name) or (not _is_wire_id(name) and joined.follows_any(RECEIVE)):
            return None
        try:
            return self._decided(LogReader(self._log, joined.cursor), name, decide)
        except EngineError:
            if joined.sees_newest:
                if self._may_change(joined.cursor, joined.id, name):
                    return None
                raise
        # What the caller's transaction sees may be long past. It holds a connection: it waits for no other.
        if not self._log.database.has_free_connection():
            return None
        with self._log.read() as reader:
            if self._may_change(reader.cursor, joined.id, name):
                return None
            return self._decided(reader, name, decide)

    def _decided(
        self, reader: LogReader, name: str, decide: Callable[[TransactionState], NewEvent]
    ) -> TransactionState:
        state = View(reader).require(name)
        decide(state)
        return state

    def _may_change(self, cursor: Cursor, but: int, name: str) -> bool:
        """Whether something else that is staged may change a transaction. Packets name it by its wire id."""
        values = {"hub": self._log.hub, "site": self._log.site, "but": but, "name": name}
        return cursor.one(_ABOUT, values | {"by_stream": int(not _is_wire_id(name))}) is not None

    def _carry_out_some(self, unit: UnitOfWork, after: int) -> tuple[list[_Row], int]:
        """Carry out what comes next, each for itself: return all of it, and how much is done."""
        values = {"hub": self._log.hub, "site": self._log.site, "after": after, "count": _IN_ONE_COMMIT}
        rows = [_Row(*row) for row in unit.cursor.all(_NEXT, values)]
        return rows, sum(self._carry_out(unit, row) for row in rows)

    def _carry_out(self, unit: UnitOfWork, row: _Row) -> bool:
        """Carry out one call, or put on record why it can't be; return False where it has to stay."""
        try:
            error = self._attempt(unit, row)
            if error is not None:
                with unit.undoable():
                    self._refuse(unit, row, error)
        except EventUnreadable as unreadable:
            self._leave(row, unreadable)
            return False
        unit.cursor.run(_REMOVE, {"id": row.id})
        return True

    def _attempt(self, unit: UnitOfWork, row: _Row) -> AMIEEngineError | None:
        """Carry out one call; return why it can't be, with nothing of it done.

        Raises:
            EventUnreadable: A later release can.
        """
        try:
            with unit.undoable():
                self._perform(unit, row)
        except EventUnreadable:
            raise
        except AMIEEngineError as error:
            return error
        except Exception as error:  # a defect with one must not hold up all that come after it
            if self._log.database.is_trouble(error):
                raise
            return InternalError.caused_by(error, "carrying out what was staged")
        return None

    def _perform(self, unit: UnitOfWork, row: _Row) -> None:
        name = row.trans_rec_id or ""
        if row.call not in _ARGUMENTS:
            raise EventUnreadable(f"A call {row.call!r} was staged, which this release does not know.")
        arguments = row.arguments
        if row.call == RECEIVE:
            incoming = read_incoming(base64.b64decode(arguments["base64"]), self._log.site)
            self._commands.receiver.receive(unit, incoming)
            return
        actor = arguments["actor"]
        if row.call == REPLY:
            packet = Packet.from_dict(arguments["packet"])
            self._commands.reply(unit, name, packet, actor=actor, work=arguments["work"])
        elif row.call == BEGIN:
            self._commands.start(unit, name, Packet.from_dict(arguments["packet"]), actor=actor)
        else:
            self._commands.fail(unit, name, arguments["reason"], actor=actor)

    def _refuse(self, unit: UnitOfWork, row: _Row, error: AMIEEngineError) -> None:
        """Put on record what could not be carried out."""
        name = row.trans_rec_id or ""
        try:
            state = unit.require(name)
        except TransactionNotFound:
            stream = name if row.call == BEGIN else self._new_id()
            state = TransactionState(stream, hub=self._log.hub, site=self._log.site)
        given = row.given
        packet = given.get("packet") if isinstance(given, dict) else None
        packet_type = packet.get("type") if isinstance(packet, dict) else None
        actor = given.get("actor") if isinstance(given, dict) else None
        event = NewEvent(
            EventType.STAGED_REFUSED,
            trans_rec_id=state.trans_rec_id or (name if _is_wire_id(name) else None),
            packet_type=packet_type if packet_type in PACKET_TYPES else None,
            actor=actor if isinstance(actor, str) else "engine",
            facts={"call": row.call, "code": error.code},
            document={"arguments": given, "message": error.message},
        )
        unit.append(state, [event])
        logger.warning(
            "The %s staged for transaction %s could not be carried out (%s); see `amie-engine show`.",
            row.call,
            event.trans_rec_id or state.stream,
            error.code,
            extra=about(trans_rec_id=event.trans_rec_id, packet_type=event.packet_type, code=error.code),
        )

    def _leave(self, row: _Row, error: EventUnreadable) -> None:
        fields = about(code=error.code)
        logger.warning(
            "Something that was staged at %s has to wait: %s", row.staged_at, error.message, extra=fields
        )
        self._left.add(row.key)


def _is_wire_id(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _DIGITS


def _handle(state: TransactionState | None, name: str, answers: str, packet_type: str | None) -> Handle:
    if state is None:
        return Handle(name, name, answers, packet_type)
    return Handle(state.stream, state.trans_rec_id, answers, packet_type)
