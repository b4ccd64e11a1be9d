"""Erasing the documents that concern one person, and telling of it in the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from amie_engine.audit.finding import body_of, find_streams, find_streams_in, packet_given
from amie_engine.audit.quarantined import Concern, Traces, quarantined_documents, traces_in
from amie_engine.audit.subject import Person, Subject, find_person
from amie_engine.engine.quarantine import find_item
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.errors import ErasureRefused, PersonNotFound
from amie_engine.log.database import Statement
from amie_engine.log.erasing import Leftovers, erase_documents, leftovers_of
from amie_engine.log.events import EventType, NewEvent, read_document
from amie_engine.log.store import EventLog
from amie_engine.log.whole import read_head
from amie_engine.packet.naming import named
from amie_engine.protocol import Party

__all__ = ["Erasure", "erase_person"]

POSITIONS_AN_EVENT = 1000
"""The most positions that one event tells of; more make several events."""

_NAMED = 5
"""How many transactions a refusal names; the others it counts."""

_TRANSACTION = Statement(
    "SELECT trans_rec_id, state NOT IN ('completed', 'failed') AND (type IS NOT NULL OR held > 0),"
    " (SELECT count(*) FROM amie_outbox o"
    "  WHERE o.stream = t.stream AND o.status IN ('pending', 'attempting'))"
    " FROM amie_transactions t WHERE t.stream = :stream"
)
_EVENTS = Statement(
    "SELECT position, packet_rec_id, document FROM amie_events WHERE stream = :stream ORDER BY version"
)
_STAGED = Statement("SELECT trans_rec_id, arguments FROM amie_staged WHERE hub = :hub AND site = :site")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be.

    Attributes:
        person: The person with all of their names.
        transactions: The transactions that concern them: their record ids, or ids in the log.
        positions: The events whose documents were erased, or would be; ascending. None of them: there was
            nothing left to erase, and nothing was written.
        quarantined: The ids of what was erased in quarantine.
        unread: The ids of what is in quarantine and can't be read: whether it concerns the person, somebody
            has to look.
        is_done: Whether it was done, and not only asked what it would do.
        leftovers: What the database itself may still have of what was erased.
    """

    person: Person
    transactions: tuple[str, ...]
    positions: tuple[int, ...]
    quarantined: tuple[str, ...]
    unread: tuple[str, ...]
    is_done: bool
    leftovers: Leftovers | None = None


def erase_person(
    log: EventLog,
    new_id: Callable[[], str],
    *,
    person: str,
    actor: str,
    reason: str,
    quarantine: Iterable[str] = (),
    dry_run: bool = False,
) -> Erasure:
    """Erase the documents that concern a person, as `Engine.erase` says.

    Args:
        log: The log.
        new_id: Gives an id for the stream of the event that tells of it.
        person: A local id, a global id or a login.
        actor: Who has them erased.
        reason: Why.
        quarantine: Ids of what is in quarantine that is to be erased in any case.
        dry_run: Whether only to tell what would be erased.
    """
    if not (person.strip() and actor.strip() and reason.strip()):
        raise ErasureRefused(
            "An erasure is on record with the person's id, who did it, and why.", hint="Give all three."
        )
    also = tuple(quarantine)
    while True:
        plan = _Plan(log, person, also)
        try:
            if dry_run:
                with log.read() as reader:
                    return plan.made(View(reader))
            carry_out = partial(_carry_out, plan=plan, stream=new_id(), actor=actor, reason=reason)
            erasure = in_unit(log, carry_out)
        except _PersonChanged:
            continue
        return replace(erasure, leftovers=leftovers_of(log.database))


class _PersonChanged(Exception):
    """The directory has learned another name of the person since the log was searched."""


def _carry_out(unit: UnitOfWork, plan: _Plan, stream: str, actor: str, reason: str) -> Erasure:
    erasure = plan.made(unit)
    positions = erasure.positions
    if positions:
        erase_documents(unit.cursor, positions)
        parts = [positions[n : n + POSITIONS_AN_EVENT] for n in range(0, len(positions), POSITIONS_AN_EVENT)]
        facts = {"person": erasure.person.name, "reason": storable(reason)}
        unit.append_erasure(
            stream,
            [
                NewEvent(
                    EventType.DOCUMENTS_ERASED,
                    sender=Party.SITE,
                    actor=storable(actor),
                    facts={**facts, "positions": list(part)},
                )
                for part in parts
            ],
        )
    return replace(erasure, is_done=True)


@dataclass(slots=True)
class _Transactions:
    """What is known of the transactions that concern the person."""

    names: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    """Their record ids at the service, and their ids in the log."""
    packet_rec_ids: set[str] = field(default_factory=set)
    positions: list[int] = field(default_factory=list)
    words: set[str] = field(default_factory=set, repr=False)
    open: list[str] = field(default_factory=list)
    sending: list[str] = field(default_factory=list)


class _Plan:
    """What is to be erased. The log is searched before, so that no writer has to wait for that."""

    def __init__(self, log: EventLog, name: str, quarantine: tuple[str, ...]) -> None:
        self._log = log
        self._name = name
        self._quarantine = quarantine
        with log.read() as reader:
            self._person = find_person(View(reader), name)
            self._searched = read_head(reader.cursor).position
        if self._person.several:
            raise ErasureRefused(
                f"The login {name[:60]!r} is that of several persons: {', '.join(self._person.local_ids)}.",
                hint="Name the one that is meant by a local id.",
            )
        subject = Subject(person=self._person)
        self._streams = find_streams(log, subject, until=self._searched, strict=True).all

    def made(self, view: View) -> Erasure:
        """Return what is to be erased, as one state of the log has it.

        Raises:
            PersonNotFound, QuarantineNotFound: Nothing concerns the person; nothing has such an id.
            ErasureRefused: Something of theirs is still under way.
            _PersonChanged: The search has to be done again.
        """
        if find_person(view, self._name) != self._person:
            raise _PersonChanged
        later = find_streams_in(
            view.cursor,
            self._log,
            Subject(person=self._person),
            after=self._searched,
            until=read_head(view.cursor).position,
        )
        known = self._known(view, self._streams | later.all)
        asked = {find_item(view.reader, name).quarantine_id for name in self._quarantine}
        traces = Traces(self._person, known.ids, known.packet_rec_ids, known.words)
        items = [
            (item.quarantine_id, item.position, traces.concern(item))
            for item in quarantined_documents(view.cursor, self._key(view))
        ]
        is_known = known.names or self._person.known_by or any(v is Concern.THEIRS for _, _, v in items)
        if not is_known and not (asked and _reads_like_an_id(self._name)):
            raise PersonNotFound("Nothing in the log concerns a person of that id or login.")
        self._check(view, known)
        theirs = {name: position for name, position, v in items if name in asked or v is Concern.THEIRS}
        unread = tuple(name for name, _, v in items if v is Concern.UNREADABLE and name not in theirs)
        return Erasure(
            self._person,
            tuple(sorted(known.names)),
            tuple(sorted({*known.positions, *theirs.values()})),
            tuple(theirs),
            unread,
            is_done=False,
        )

    def _known(self, view: View, streams: Iterable[str]) -> _Transactions:
        known = _Transactions()
        for stream in streams:
            row = view.cursor.one(_TRANSACTION, {"stream": stream})
            wire_id, is_open, sending = row if row is not None else (None, False, 0)
            name = wire_id or stream
            known.names.append(name)
            known.ids |= {stream, name}
            if is_open:
                known.open.append(name)
            if sending:
                known.sending.append(name)
            for position, packet_rec_id, document in view.cursor.all(_EVENTS, {"stream": stream}):
                if packet_rec_id is not None:
                    known.packet_rec_ids.add(packet_rec_id)
                if document is not None:
                    known.positions.append(position)
                    known.words.update(traces_in(read_document(position, document)))
        return known

    def _check(self, view: View, known: _Transactions) -> None:
        """Refuse while something of the person's is under way: what it still needs must not go."""
        if known.open:
            raise ErasureRefused(
                f"Open transactions concern this person: {_names(known.open)}.",
                hint="End them first, or fail them with `Engine.fail`; see `amie-engine show`.",
            )
        if known.sending:
            raise ErasureRefused(
                f"Something in these transactions is still to be sent: {_names(known.sending)}.",
                hint="Let `amie-engine run` send it first.",
            )
        for trans_rec_id, arguments in view.cursor.all(_STAGED, self._key(view)):
            if trans_rec_id in known.ids or self._is_mentioned(arguments, known):
                raise ErasureRefused(
                    "A call that concerns this person is staged and has not been carried out.",
                    hint="Call `Engine.carry_out_staged()`, or let `amie-engine run` do it; then see again.",
                )

    def _is_mentioned(self, arguments: str, known: _Transactions) -> bool:
        """Whether what a staged call was given names the person, or a transaction of theirs."""
        try:
            packet = packet_given(json.loads(arguments))
        except (ValueError, RecursionError):  # nobody can read it: then any trace counts
            return any(f'"{name}"' in arguments for group in self._person.names.values() for name in group)
        header = packet.get("header")
        trans_rec_id = header.get("trans_rec_id") if isinstance(header, dict) else None
        namings = named(body_of(packet))
        return str(trans_rec_id) in known.ids or any(
            self._person.is_identified_by(naming) or self._person.may_have(naming) for naming in namings
        )

    def _key(self, view: View) -> dict[str, str]:
        return {"hub": view.reader.hub, "site": view.reader.site}


def _reads_like_an_id(name: str) -> bool:
    """Whether a name may be put on record for ever: an e-mail address, a DN or a full name may not."""
    return not any(c.isspace() or c in "@=" for c in name)


def _names(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
