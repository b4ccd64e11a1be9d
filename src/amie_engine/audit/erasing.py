"""Erasing the documents that concern one person, and telling of it in the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from amie_engine.audit.finding import body_of, find_streams, find_streams_in, packet_given
from amie_engine.audit.possible import find_mentions
from amie_engine.audit.quarantined import Concern, Traces, quarantined_documents, traces_in
from amie_engine.audit.subject import Person, Subject, find_person
from amie_engine.engine.quarantine import find_item
from amie_engine.engine.unit import UnitOfWork, View, in_unit, storable
from amie_engine.errors import ErasureRefused, PersonNotFound
from amie_engine.log.erasing import Leftovers, erase_documents, leftovers_of
from amie_engine.log.events import EventType, NewEvent, read_document
from amie_engine.log.statements import Cursor, Statement
from amie_engine.log.store import EventLog
from amie_engine.log.whole import read_head
from amie_engine.packet.naming import Kind, named
from amie_engine.protocol import Party

__all__ = ["Erasure", "erase_person"]

POSITIONS_AN_EVENT = 1000
"""The most positions that one event tells of; more make several events."""

_NAMED = 5
"""How many transactions a refusal names; the others it counts."""

_PERSON_IDS = frozenset({Kind.LOCAL_ID, Kind.GLOBAL_ID})

_TRANSACTION = Statement(
    "SELECT trans_rec_id, state NOT IN ('completed', 'failed') AND (type IS NOT NULL OR held > 0), names,"
    " (SELECT count(*) FROM amie_outbox o"
    "  WHERE o.stream = t.stream AND o.status IN ('pending', 'attempting'))"
    " FROM amie_transactions t WHERE t.stream = :stream"
)
_EVENTS = Statement(
    "SELECT position, packet_rec_id, document FROM amie_events WHERE stream = :stream ORDER BY version"
)
_IS_THERE = Statement("SELECT 1 FROM amie_events WHERE position = :position AND document IS NOT NULL")
_STAGED = Statement("SELECT trans_rec_id, arguments FROM amie_staged WHERE hub = :hub AND site = :site")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be.

    Attributes:
        person: The person with all of their names.
        transactions: The transactions that concern them: their record ids, or ids in the log.
        positions: The events whose documents were erased, or would be; ascending. None of them: there was
            nothing left to erase, and nothing was written.
        possible: The transactions that have an e-mail address or a DN of theirs in a document, and no id:
            whether they concern the person, somebody has to look. Their documents stay unless they are named.
        quarantined: The ids of what was erased in quarantine.
        unread: The ids of what is in quarantine and can't be read: whether it concerns the person, somebody
            has to look.
        is_done: Whether it was done, and not only asked what it would do.
        leftovers: What the database itself may still have of what was erased.
    """

    person: Person
    transactions: tuple[str, ...]
    positions: tuple[int, ...]
    possible: tuple[str, ...]
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
    transactions: Iterable[int | str] = (),
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
        transactions: Record ids, or ids in the log, of transactions that concern the person in any case.
        quarantine: Ids of what is in quarantine that is to be erased in any case.
        dry_run: Whether only to tell what would be erased.
    """
    if not (person.strip() and actor.strip() and reason.strip()):
        raise ErasureRefused(
            "An erasure is on record with the person's id, who did it, and why.", hint="Give all three."
        )
    asked, also = tuple(map(str, transactions)), tuple(quarantine)
    while True:
        plan = _Plan(log, person, asked, also)
        try:
            if dry_run:
                with log.read() as reader:
                    return plan.made(View(reader))
            carry_out = partial(_carry_out, plan=plan, stream=new_id(), actor=actor, reason=reason)
            erasure = in_unit(log, carry_out)
        except _Overtaken:
            continue
        return replace(erasure, leftovers=leftovers_of(log.database))


class _Overtaken(Exception):
    """The log has learned another name, address or packet of the person since it was searched."""


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
    open_of_nobody: list[str] = field(default_factory=list)
    """Those of the open ones that name no person by an id."""
    sending: list[str] = field(default_factory=list)


class _Plan:
    """What is to be erased. Log and quarantine are searched before, so that no writer has to wait for that;
    what has come since is looked at when it is done."""

    def __init__(
        self, log: EventLog, name: str, transactions: tuple[str, ...], quarantine: tuple[str, ...]
    ) -> None:
        self._log = log
        self._name = name
        self._quarantine = quarantine
        self._key = {"hub": log.hub, "site": log.site}
        with log.read() as reader:
            self._person = find_person(View(reader), name)
            self._asked = {View(reader).require(one).stream for one in transactions}
            self._searched = read_head(reader.cursor).position
        if self._person.several:
            raise ErasureRefused(
                f"The login {name[:60]!r} is that of several persons: {', '.join(self._person.local_ids)}.",
                hint="Name the one that is meant by a local id.",
            )
        subject = Subject(person=self._person)
        self._streams = find_streams(log, subject, until=self._searched, strict=True).all
        with log.read() as reader:
            known = self._known(View(reader), self._streams | self._asked)
        self._traces = self._traces_of(known)
        self._items = self._looked_at(log.database.read)
        self._mentions = find_mentions(
            log.database.read, self._key, known.words, after=0, until=self._searched
        )

    def made(self, view: View) -> Erasure:
        """Return what is to be erased, as one state of the log has it.

        Raises:
            PersonNotFound, QuarantineNotFound: Nothing concerns the person; nothing has such an id.
            ErasureRefused: Something of theirs is still under way.
            _Overtaken: The search has to be done again.
        """
        if find_person(view, self._name) != self._person:
            raise _Overtaken
        newest = read_head(view.cursor).position
        streams = self._streams | self._new_streams(view, newest)
        known = self._known(view, streams | self._asked)
        if self._traces_of(known) != self._traces:
            raise _Overtaken
        asked = {find_item(view.reader, name).quarantine_id for name in self._quarantine}

        def here() -> AbstractContextManager[Cursor]:
            return nullcontext(view.cursor)

        items = [item for item in self._items if view.cursor.one(_IS_THERE, {"position": item[1]})]
        items += self._looked_at(here, since=self._searched)
        # A trace in a transaction that was named says nothing of the name that goes on record.
        is_traced = not self._asked and any(v is Concern.THEIRS for _, _, v in items)
        if not (streams or self._person.known_by or is_traced) and not (
            (asked or self._asked) and _reads_like_an_id(self._name)
        ):
            raise PersonNotFound("Nothing in the log concerns a person of that id or login.")
        mentions = find_mentions(here, self._key, known.words, after=self._searched, until=newest)
        possible = self._known(view, (self._mentions | mentions) - streams - self._asked)
        self._check(view, known, possible)
        theirs = {name: position for name, position, v in items if name in asked or v is Concern.THEIRS}
        unread = tuple(name for name, _, v in items if v is Concern.UNREADABLE and name not in theirs)
        return Erasure(
            self._person,
            tuple(sorted(known.names)),
            tuple(sorted({*known.positions, *theirs.values()})),
            tuple(sorted(possible.names)),
            tuple(theirs),
            unread,
            is_done=False,
        )

    def _new_streams(self, view: View, newest: int) -> set[str]:
        """The streams of the transactions that concern the person by what came after the search."""
        subject = Subject(person=self._person)
        return find_streams_in(view.cursor, self._log, subject, after=self._searched, until=newest).all

    def _traces_of(self, known: _Transactions) -> Traces:
        return Traces(self._person, known.ids, known.packet_rec_ids, known.words)

    def _looked_at(
        self, read: Callable[[], AbstractContextManager[Cursor]], *, since: int = 0
    ) -> list[tuple[str, int, Concern]]:
        """What is in quarantine, its position, and whether it concerns the person."""
        return [
            (item.quarantine_id, item.position, self._traces.concern(item))
            for item in quarantined_documents(read, self._key, since=since)
        ]

    def _known(self, view: View, streams: Iterable[str]) -> _Transactions:
        known = _Transactions()
        for stream in streams:
            row = view.cursor.one(_TRANSACTION, {"stream": stream})
            wire_id, is_open, names, sending = row if row is not None else (None, False, None, 0)
            name = wire_id or stream
            known.names.append(name)
            known.ids |= {stream, name}
            if is_open:
                known.open.append(name)
                if names is not None and not _PERSON_IDS & set(json.loads(names)):
                    known.open_of_nobody.append(name)
            if sending:
                known.sending.append(name)
            for position, packet_rec_id, document in view.cursor.all(_EVENTS, {"stream": stream}):
                if packet_rec_id is not None:
                    known.packet_rec_ids.add(packet_rec_id)
                if document is not None:
                    known.positions.append(position)
                    known.words.update(traces_in(read_document(position, document)))
        return known

    def _check(self, view: View, known: _Transactions, possible: _Transactions) -> None:
        """Refuse while something of the person's is under way: what it still needs must not go."""
        if known.open:
            raise ErasureRefused(
                f"Open transactions concern this person: {_names(known.open)}.",
                hint="End them first, or fail them with `Engine.fail`; see `amie-engine show`.",
            )
        if possible.open_of_nobody:  # the others' persons share an address with this one
            raise ErasureRefused(
                f"Open transactions may concern this person: {_names(possible.open_of_nobody)}. They have an"
                " e-mail address or a DN of theirs, and name nobody by an id.",
                hint="Look at them with `amie-engine show`; end them first, or fail them with `Engine.fail`.",
            )
        if known.sending:
            raise ErasureRefused(
                f"Something in these transactions is still to be sent: {_names(known.sending)}.",
                hint="Let `amie-engine run` send it first.",
            )
        for trans_rec_id, arguments in view.cursor.all(_STAGED, self._key):
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


def _reads_like_an_id(name: str) -> bool:
    """Whether a name may be put on record for ever: an e-mail address, a DN or a full name may not."""
    return not any(c.isspace() or c in "@=" for c in name)


def _names(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
