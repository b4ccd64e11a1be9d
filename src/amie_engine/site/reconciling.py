"""Reconciling: comparing what the service has of each open transaction with what the log has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine, OutcomeKind
from amie_engine.engine.comparing import Unreadable, known_packets, open_states, rehearse, states_of
from amie_engine.engine.start_order import starts_that_wait
from amie_engine.engine.state import TransactionState
from amie_engine.errors import (
    AMIERequestError,
    EventUnreadable,
    ServiceAuthenticationError,
    ServiceNotFound,
    ServiceUnreachable,
)
from amie_engine.packet import Packet
from amie_engine.packet.packetlist import PacketList
from amie_engine.site.poller import Poller, trans_rec_id_in
from amie_engine.site.refusals import is_the_services_word
from amie_engine.site.round import Round
from amie_engine.site.sender import starts_at_the_service
from amie_engine.site.standing import (
    TAKE_IN,
    Standing,
    Verdict,
    judge,
    judge_listed,
    judge_unlisted_start,
)
from amie_engine.transaction import Transaction

__all__ = ["Reconciler", "Reconciliation"]


_MOST_LOOKS = 3
"""How often a transaction is fetched that goes on while it is compared."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Where every transaction stands that is open in the log, or listed as in progress at the service.

    Attributes:
        standings: A transaction each, the oldest first.
        taken_in: The record ids of those of which something was taken in before.
    """

    standings: tuple[Standing, ...]
    taken_in: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether service and log agree on all of them."""
        return not self.differing

    @property
    def differing(self) -> tuple[Standing, ...]:
        """Those on which the two disagree."""
        return tuple(standing for standing in self.standings if standing.differs)


class Reconciler:
    """Compares log and service. It asks the service, and changes nothing by itself. What can't be read in the
    log is named, and keeps no other from being compared.

    Args:
        engine: The engine with the log.
        client: A client for the same site.
    """

    def __init__(self, engine: Engine, client: AMIEClient) -> None:
        self._engine = engine
        self._client = client
        self._was_lost = False
        """Whether the last call was cut off: one may be, and after two the service is taken to be away."""
        self._gave_up: AMIERequestError | None = None
        """Why the service is asked for nothing more: it is away, or refuses the key."""

    def reconcile(self, *, take_in: bool = False) -> Reconciliation:
        """Compare, and return where every transaction stands.

        Args:
            take_in: Whether to take in what the service has and the log has not, as polling does, and compare
                again after that.

        Raises:
            AMIERequestError: The service could not be asked for its list. Where it can't tell of a
                transaction, or of any from one on, that stands with each.
            LogError: The database can't be used.
        """
        compared = self._compare()
        if not take_in or not any(standing.can_be_taken_in for standing in compared):
            return Reconciliation(tuple(compared))
        taken_in = [standing.trans_rec_id for standing in compared if standing.can_be_taken_in]
        names = tuple(name for name in taken_in if name is not None)
        poller, result = Poller(self._engine, self._client), Round()
        poller.poll(result)
        for name in names:
            poller.adopt(name, result)
        return Reconciliation(tuple(self._compare()), names)

    def _compare(self) -> list[Standing]:
        listing = self._client.list_packets()
        self._was_lost, self._gave_up = False, None
        opened, unreadable = open_states(self._engine)
        known = {state.trans_rec_id: state for state in opened if state.trans_rec_id is not None}
        starts = [state for state in opened if state.trans_rec_id is None]
        listed = _by_transaction(listing)
        in_doubt = [each for each in starts if any(e.status == "attempting" for e in each.outbox)]
        told = {each.trans_rec_id: _unreadable(each.trans_rec_id, each.error, each) for each in unreadable}
        nameless = [_unreadable(None, each.error, each) for each in unreadable if each.trans_rec_id is None]
        begun = self._begun_by_the_site(in_doubt)
        names = dict.fromkeys((*known, *(name for name in told if name is not None), *listed, *begun))
        known |= states_of(self._engine, (name for name in names if name not in known))
        in_quarantine = {item.quarantine_id for item in self._engine.quarantine()}

        def stands(name: str) -> Standing:
            if name in told:
                return told[name]
            try:
                return self._standing(name, known.get(name), listed.get(name, ()), starts, in_quarantine)
            except EventUnreadable as error:  # of one that has ended here
                return _unreadable(name, error)

        standings = [stands(name) for name in sorted(names, key=lambda name: (len(name), name))]
        found = {standing.stream for standing in standings}
        with self._engine.view() as view:
            awaited = starts_that_wait(view)
        standings += [
            judge_unlisted_start(each, awaited.get(each.stream))
            for each in starts
            if each.stream not in found
        ]
        return [*standings, *nameless, *self._without_transaction(listing, in_quarantine)]

    def _standing(
        self,
        name: str,
        state: TransactionState | None,
        listed: Iterable[Any],
        starts: list[TransactionState],
        in_quarantine: set[str],
    ) -> Standing:
        sources = list(listed)
        packets = [source for source in sources if isinstance(source, Packet)]
        if state is not None and sources and len(packets) == len(sources):
            standing = judge_listed(state, packets) if all(known_packets(self._engine, packets)) else None
            if standing is not None:
                return standing
        if self._gave_up is not None:
            sentence = "It was not asked for after that."
            return _unknown(name, state, Verdict.NOT_ASKED, sentence, self._gave_up.code)
        for _ in range(_MOST_LOOKS):
            try:
                theirs = self._client.get_transaction(name)
            except AMIERequestError as error:
                if isinstance(error, ServiceNotFound) and is_the_services_word(error):
                    self._was_lost = False
                    return judge(name, state, None, None, in_quarantine)
                return self._not_told(name, state, error)
            self._was_lost = False
            rehearsal = rehearse(self._engine, theirs, starts)
            if _version(rehearsal.before) == _version(state) or rehearsal.before in starts:
                return judge(name, state, theirs, rehearsal, in_quarantine)
            state = rehearsal.before  # it has moved on since: what was fetched may be older than the log
        sentence = "It goes on just now, as often as it is asked for: compare it again."
        return _unknown(name, state, Verdict.MOVING, sentence)

    def _not_told(self, name: str, state: TransactionState | None, error: AMIERequestError) -> Standing:
        is_away = isinstance(error, ServiceUnreachable) and (error.nothing_done or self._was_lost)
        if is_away or isinstance(error, ServiceAuthenticationError):
            self._gave_up = error
        self._was_lost = isinstance(error, ServiceUnreachable)
        sentence = f"The service could not tell of it: {error.code}."
        return _unknown(name, state, Verdict.UNTOLD, sentence, error.code)

    def _begun_by_the_site(self, in_doubt: list[TransactionState]) -> list[str]:
        """The record ids of transactions at the service which may be those that the site began, and whose
        arrival is not known: the hub may have gone on with them, so that their first packet is not listed."""
        streams = {each.stream for each in in_doubt}
        outgoing = [one for one in self._engine.outbox.open() if one.stream in streams]
        if not outgoing:
            return []
        found = starts_at_the_service(self._engine, self._client, outgoing)
        return [str(packet.trans_rec_id) for packet in found if packet.trans_rec_id is not None]

    def _without_transaction(self, listing: PacketList, in_quarantine: set[str]) -> list[Standing]:
        """What the service lists, and nobody can tell which transaction it is of."""
        documents = [packet.as_dict() for packet in listing] + [
            entry.document for entry in listing.unreadable
        ]
        unplaced = [document for document in documents if not trans_rec_id_in(document)]
        return [self._unplaced(document, in_quarantine) for document in unplaced]

    def _unplaced(self, document: Any, in_quarantine: set[str]) -> Standing:
        outcome = rehearse(self._engine, Transaction.from_dict({"DATA": [document]})).outcomes[0]
        is_there = outcome.kind is OutcomeKind.QUARANTINED and outcome.quarantine_id in in_quarantine
        where = "is in quarantine here" if is_there else "came not here yet, and can't be used"
        command = f"amie-engine quarantine {(outcome.quarantine_id or '')[:12]}" if is_there else TAKE_IN
        return Standing(
            trans_rec_id=None,
            stream=None,
            type=None,
            theirs="in-progress",
            ours="unknown",
            verdict=Verdict.QUARANTINED,
            sentence=f"A packet of no transaction {where}: {outcome.code}.",
            commands=(command,),
            can_be_taken_in=not is_there,
        )


def _by_transaction(listing: PacketList) -> dict[str, list[Any]]:
    """What is listed, by the record ids of the transactions; what can't be read as it came."""
    found: dict[str, list[Any]] = {}
    for packet in listing:
        if packet.trans_rec_id is not None:
            found.setdefault(str(packet.trans_rec_id), []).append(packet)
    for entry in listing.unreadable:
        name = trans_rec_id_in(entry.document)
        if name:
            found.setdefault(name, []).append(entry.document)
    return found


def _unreadable(name: str | None, error: EventUnreadable, opened: Unreadable | None = None) -> Standing:
    return Standing(
        trans_rec_id=name,
        stream=None if opened is None else opened.stream,
        type=None if opened is None else opened.type,
        theirs="unknown",
        ours="unknown",
        verdict=Verdict.UNREADABLE,
        sentence=f"The log can't tell of it: {error.message} {error.hint}",
        commands=("amie-engine verify",),
    )


def _version(state: TransactionState | None) -> int:
    return 0 if state is None else state.version


def _unknown(
    name: str, state: TransactionState | None, verdict: Verdict, sentence: str, code: str | None = None
) -> Standing:
    return Standing(
        trans_rec_id=name,
        stream=None if state is None else state.stream,
        type=None if state is None else state.type,
        theirs="unknown",
        ours="unknown" if state is None else str(state.state),
        verdict=verdict,
        sentence=sentence,
        error_code=code,
    )
