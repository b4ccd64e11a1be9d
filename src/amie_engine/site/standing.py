"""Where a transaction stands on both sides, what that means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from amie_engine.engine import Outcome, OutcomeKind
from amie_engine.engine.comparing import Rehearsal
from amie_engine.engine.due import turn_of
from amie_engine.engine.incoming import INFORM
from amie_engine.engine.state import SET_FAILED, START, OutboxEntry, TransactionState
from amie_engine.packet import Packet
from amie_engine.protocol import FINAL_STATES, Party
from amie_engine.transaction import Transaction

__all__ = ["TAKE_IN", "Standing", "Verdict", "judge", "judge_listed", "judge_unlisted_start"]

TAKE_IN = "amie-engine reconcile --take-in"
IN_PROGRESS = "in-progress"
_UNKNOWN = "unknown"
_NO_COMMAND = "Ask the service's operators."


class Verdict(StrEnum):
    """What comparing a transaction has come to."""

    AGREES = "agrees"
    SENDING = "sending"
    """What the site decided has still to arrive."""
    REFUSED = "refused"
    """The service refused what the site sent, and a person has to mend it."""
    LINGERS = "lingers"
    """It has ended, and the service goes on listing the hub's last word: that is normal."""
    NOT_HERE = "not-here"
    """The service has packets that the log has not."""
    ARRIVED = "arrived"
    """The service has what the log does not know to have arrived."""
    ENDED_THERE = "ended-there"
    """It has ended at the service, and is open in the log."""
    ENDED_HERE = "ended-here"
    """It has ended in the log, and goes on at the service; or it ended otherwise there."""
    NOT_THERE = "not-there"
    """The service does not have packets that are part of the transaction in the log."""
    UNKNOWN_THERE = "unknown-there"
    """The service does not know the transaction."""
    CONFLICT = "conflict"
    """A packet has other content there than in the log."""
    QUARANTINED = "quarantined"
    """Something of it is in quarantine here."""
    HELD = "held"
    """A packet waits here for one before it, which the service does not have."""
    UNTOLD = "untold"
    """The service could not tell of the transaction."""
    NOT_ASKED = "not-asked"
    """It was not asked for it: it went away, or refused the key, when it was asked for another."""
    MOVING = "moving"
    """The transaction goes on while it is compared."""
    UNREADABLE = "unreadable"
    """The log has events of the transaction that a later release wrote, or that are damaged."""


_AGREE = frozenset({Verdict.AGREES, Verdict.SENDING, Verdict.REFUSED, Verdict.LINGERS})
_NOBODY_KNOWS = frozenset({Verdict.UNTOLD, Verdict.NOT_ASKED, Verdict.MOVING})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a transaction stands.

    Attributes:
        trans_rec_id: None where the service has not given it an id, or what it lists names none.
        stream: Its id in the log; None where the log does not have it.
        type: The transaction's type, where the log knows it.
        theirs: Its state at the service: ``in-progress``, ``completed``, ``failed``, or ``unknown``.
        ours: Its state in the log, or ``unknown``.
        verdict: What the comparison has come to.
        sentence: That in words; empty where both agree and nothing is to be told.
        commands: What to type, if anything.
        can_be_taken_in: Whether taking in what the service has makes the two agree, or more alike.
        error_code: Why the service could not tell of it, or was not asked.
    """

    trans_rec_id: str | None
    stream: str | None
    type: str | None
    theirs: str
    ours: str
    verdict: Verdict
    sentence: str = ""
    commands: tuple[str, ...] = ()
    can_be_taken_in: bool = False
    error_code: str | None = None

    @property
    def differs(self) -> bool:
        """Whether service and log disagree, or nobody knows: see `is_told`."""
        return self.verdict not in _AGREE

    @property
    def is_told(self) -> bool:
        """Whether the service could be asked for it, and it stood still meanwhile."""
        return self.verdict not in _NOBODY_KNOWS


def judge_listed(state: TransactionState, listed: Sequence[Packet]) -> Standing | None:
    """Return where a transaction stands whose listed packets the log all has; None where only its history at
    the service can tell."""
    told = {packet.transaction_state for packet in listed} - {None, ""}
    if state.is_final:
        lingers = all(packet.packet_type == INFORM for packet in listed)
        return _lingering(state) if lingers and told <= {IN_PROGRESS, str(state.state)} else None
    waits = None if state.last_moving is None else state.last_moving.packet_rec_id
    in_doubt = any(entry.status == "attempting" for entry in state.outbox) or state.held
    if in_doubt or told - {IN_PROGRESS} or waits not in {str(packet.packet_rec_id) for packet in listed}:
        return None
    return _agreeing(state)


def judge_unlisted_start(state: TransactionState, awaited: str | None) -> Standing:
    """Return where a transaction stands that the site began, and of which the service has nothing.

    Args:
        state: Its state in the log.
        awaited: What has to end before it is sent; None where it waits for nothing.
    """
    if awaited is not None:
        what = ", ".join(_what(entry) for entry in state.outbox if entry.is_open)
        sentence = f"Our {what} is sent once transaction {awaited} has ended."
        return _standing(state, state.trans_rec_id, _UNKNOWN, Verdict.SENDING, sentence)
    return _agreeing(state, theirs=_UNKNOWN)


def judge(
    trans_rec_id: str,
    state: TransactionState | None,
    theirs: Transaction | None,
    rehearsal: Rehearsal | None,
    in_quarantine: Iterable[str],
) -> Standing:
    """Return where a transaction stands.

    Args:
        trans_rec_id: Its record id at the service.
        state: Its state in the log; None where the log does not have it.
        theirs: Its history at the service; None where the service does not know it.
        rehearsal: What that would do to the log.
        in_quarantine: The ids of what is in quarantine.
    """
    if theirs is None or rehearsal is None:
        return _standing(
            state,
            trans_rec_id,
            _UNKNOWN,
            Verdict.UNKNOWN_THERE,
            "The service does not know it: a test service was reset, perhaps.",
            () if state is None or state.is_final else (_fail(trans_rec_id, "unknown at the service"),),
        )
    return _Judging(trans_rec_id, rehearsal.before, theirs, rehearsal, frozenset(in_quarantine)).standing()


@dataclass(frozen=True, slots=True)
class _Judging:
    """A transaction whose history the service has told."""

    trans_rec_id: str
    state: TransactionState | None
    theirs: Transaction
    rehearsal: Rehearsal
    in_quarantine: frozenset[str]

    def standing(self) -> Standing:
        for part in (self._conflict, self._quarantined, self._news, self._held, self._not_there, self._ended):
            found = part()
            if found is not None:
                return found
        if self.state is None:
            return self._told(Verdict.NOT_HERE, "The log has none of it, and they tell no packet of it.")
        return _agreeing(self.state, theirs=self._their_state)

    @property
    def _their_state(self) -> str:
        state: object = self.theirs.state  # what the service says, whatever that is
        return state if isinstance(state, str) and state else IN_PROGRESS

    def _told(self, verdict: Verdict, sentence: str, *commands: str) -> Standing:
        """A standing; what would be news can be taken in, whatever else there is."""
        if self.rehearsal.has_news and TAKE_IN not in commands:
            commands = (*commands, TAKE_IN)
        found = _standing(
            self.state, self.trans_rec_id, self._their_state, verdict, sentence, commands, TAKE_IN in commands
        )
        after = self.rehearsal.after
        return replace(found, type=found.type or (None if after is None else after.type))

    def _of(self, kind: OutcomeKind) -> list[Outcome]:
        return [outcome for outcome in self.rehearsal.outcomes if outcome.kind is kind]

    def _conflict(self) -> Standing | None:
        found = self._of(OutcomeKind.CONFLICT)
        if not found:
            return None
        show = f"amie-engine show {self.trans_rec_id} --documents"
        return self._told(
            Verdict.CONFLICT, f"{_packets(found)} has other content there than in the log.", show
        )

    def _quarantined(self) -> Standing | None:
        found = self._of(OutcomeKind.QUARANTINED)
        known = [item for item in found if item.quarantine_id in self.in_quarantine]
        if known:
            shown = [f"amie-engine quarantine {(item.quarantine_id or '')[:12]}" for item in known]
            codes = ", ".join(dict.fromkeys(item.code or "" for item in known))
            return self._told(
                Verdict.QUARANTINED, f"{_packets(known)} is in quarantine here: {codes}.", *shown
            )
        if found:
            codes = ", ".join(dict.fromkeys(item.code or "" for item in found))
            sentence = f"{_packets(found)} came not here yet, and can't be used: {codes}."
            return self._told(Verdict.QUARANTINED, sentence, TAKE_IN)
        return None

    def _news(self) -> Standing | None:
        after = self.rehearsal.after
        if not self.rehearsal.has_news or after is None:
            return None
        own = self._of(OutcomeKind.CONFIRMED)
        if self.state is None:
            return self._told(Verdict.NOT_HERE, "The log does not have this transaction.")
        if after.is_final and not self.state.is_final:
            return self._told(Verdict.ENDED_THERE, f"It has {after.state} there, and is open here.")
        arrived = [entry for entry in self.state.outbox if _is_doubtful(entry) and _has_arrived(after, entry)]
        if arrived:
            what = ", ".join(_what(entry) for entry in arrived)
            return self._told(Verdict.ARRIVED, f"Our {what} has arrived, and the log does not know it yet.")
        new = [*own, *self._of(OutcomeKind.ACCEPTED), *self._of(OutcomeKind.HELD)]
        return self._told(Verdict.NOT_HERE, f"They have {_packets(new)}, and the log has not.")

    def _held(self) -> Standing | None:
        found = self._of(OutcomeKind.HELD)
        if not found:
            return None
        sentence = f"{_packets(found)} waits here for one before it, which they don't have. {_NO_COMMAND}"
        return self._told(Verdict.HELD, sentence)

    def _not_there(self) -> Standing | None:
        """What is part of the transaction in the log must be in its history."""
        if self.state is None:
            return None
        ids = {str(packet.packet_rec_id) for packet in self.theirs.packets}
        types = {packet.packet_type for packet in self.theirs.packets}
        absent = [
            packet
            for packet in self.state.packets
            if (
                packet.packet_type not in types
                if packet.packet_rec_id is None
                else packet.packet_rec_id not in ids
            )
        ]
        if not absent:
            return None
        ours = all(packet.sender is Party.SITE for packet in absent)
        what = ", ".join(dict.fromkeys(packet.packet_type for packet in absent))
        sentence = (
            f"Our {what} had arrived, and they don't have it. {_NO_COMMAND}"
            if ours
            else f"They don't have {what}, which the log has. {_NO_COMMAND}"
        )
        return self._told(Verdict.NOT_THERE, sentence, f"amie-engine show {self.trans_rec_id} --documents")

    def _ended(self) -> Standing | None:
        """One of the two has ended it, or each otherwise."""
        if self.state is None or self._their_state == str(self.state.state):
            return None
        has_ended_there = self._their_state in FINAL_STATES
        if not self.state.is_final:
            if not has_ended_there:
                return None
            sentence = f"It has {self._their_state} there, and no packet of theirs tells so. {_NO_COMMAND}"
            return self._told(Verdict.ENDED_THERE, sentence)
        last = self.theirs.packets[-1] if self.theirs.packets else None
        if not has_ended_there and last is not None and last.packet_type == INFORM:
            return _lingering(self.state, theirs=self._their_state)
        goes_on = f"It has {self.state.state} here, and "
        goes_on += f"has {self._their_state} there" if has_ended_there else "goes on there"
        return self._told(Verdict.ENDED_HERE, f"{goes_on}. {_NO_COMMAND}")


def _standing(
    state: TransactionState | None,
    trans_rec_id: str | None,
    theirs: str,
    verdict: Verdict,
    sentence: str,
    commands: tuple[str, ...] = (),
    can_be_taken_in: bool = False,
) -> Standing:
    return Standing(
        trans_rec_id=trans_rec_id,
        stream=None if state is None else state.stream,
        type=None if state is None else state.type,
        theirs=theirs,
        ours=_UNKNOWN if state is None else str(state.state),
        verdict=verdict,
        sentence=sentence,
        commands=commands,
        can_be_taken_in=can_be_taken_in,
    )


def _agreeing(state: TransactionState, *, theirs: str = IN_PROGRESS) -> Standing:
    """A transaction on which both agree, as far as something of the site's has not still to be said."""
    name = state.trans_rec_id or state.stream[:8]
    refused = [entry for entry in state.outbox if entry.was_refused and not state.is_final]
    waiting = turn_of(state).answers
    still = {SET_FAILED, START, None if waiting is None else waiting.packet_rec_id}
    for entry in refused:
        if entry.answers in still:
            sentence = f"They refused our {_what(entry)}: {entry.error_code}."
            return _standing(
                state, state.trans_rec_id, theirs, Verdict.REFUSED, sentence, (f"amie-engine resend {name}",)
            )
    for entry in state.outbox:
        if entry.is_open:
            doubt = "" if entry.status == "pending" else ", and is not there yet"
            sentence = f"Our {_what(entry)} is to be sent{doubt}: `amie-engine run` does it."
            return _standing(state, state.trans_rec_id, theirs, Verdict.SENDING, sentence)
    return _standing(state, state.trans_rec_id, theirs, Verdict.AGREES, "")


def _lingering(state: TransactionState, *, theirs: str = IN_PROGRESS) -> Standing:
    sentence = f"It has {state.state}; they go on listing its last inform, as some services do."
    return _standing(state, state.trans_rec_id, theirs, Verdict.LINGERS, sentence)


def _is_doubtful(entry: OutboxEntry) -> bool:
    return entry.is_open or entry.was_refused


def _has_arrived(after: TransactionState, entry: OutboxEntry) -> bool:
    then = after.outgoing(entry.answers)
    return then is not None and then.status == "confirmed"


def _what(entry: OutboxEntry) -> str:
    return entry.packet_type or "call that sets it failed"


def _packets(outcomes: Sequence[Outcome]) -> str:
    """Packets by their types and record ids."""
    return ", ".join(
        f"{outcome.packet_type or 'a packet'} ({outcome.packet_rec_id or 'without id'})"
        for outcome in outcomes
    )


def _fail(trans_rec_id: str, reason: str) -> str:
    return f'amie-engine fail {trans_rec_id} --reason "{reason}"'
