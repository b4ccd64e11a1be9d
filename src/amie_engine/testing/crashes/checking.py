"""What must be true in the end, whatever crashed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amie_engine.audit import check_projections, verify
from amie_engine.engine import Engine
from amie_engine.log.database import Database
from amie_engine.log.statements import Statement
from amie_engine.sandbox import Sandbox
from amie_engine.testing.crashes.child import HUB, JOURNAL
from amie_engine.testing.crashes.journal import read_journal

__all__ = ["Ending", "differences", "ending_of", "problems_in"]

_HASH = Statement("SELECT hash FROM amie_events WHERE position = :position")

_TYPES = Statement("SELECT position, type FROM amie_events ORDER BY position")

_ENDS = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class Ending:
    """How it all ended, at the service and in the site's back end.

    Attributes:
        transactions: Of each transaction its type, its state, and the types of its packets in order; sorted.
        effects: What the site's back end has; sorted.
    """

    transactions: tuple[tuple[str, str, tuple[str, ...]], ...]
    effects: tuple[str, ...]


def ending_of(service: Sandbox, effects: Iterable[str]) -> Ending:
    """Return how all that a service has begun or been told has ended."""
    ended = sorted((each.type, each.state, _packets(service, each)) for each in service.transactions())
    return Ending(tuple(ended), tuple(sorted(effects)))


def _packets(service: Sandbox, transaction: Any) -> tuple[str, ...]:
    return tuple(packet["type"] for packet in service.transaction(transaction.trans_rec_id)["DATA"])


def problems_in(service: Sandbox, url: str, folder: Path) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong after a try; none where all is as it must be.

    Args:
        service: The service.
        url: The log's database.
        folder: Where the processes have left their journal.
    """
    notes = list(read_journal(folder / JOURNAL))
    database = Database(url)
    try:
        yield from _lost(database, notes)
        yield from _left_out(database, notes)
        yield from _damaged(database)
    finally:
        database.close()
    yield from _done_twice(notes)
    yield from _answered_again(service)
    with Engine(url, site=service.site, hub=HUB) as engine:
        yield from _disagreements(service, engine)


def _lost(database: Database, notes: list[dict[str, Any]]) -> Iterator[str]:
    """What was committed, and is not there."""
    with database.read() as cursor:
        for note in notes:
            if note["what"] != "committed":
                continue
            row = cursor.one(_HASH, {"position": note["position"]})
            if row is None:
                yield f"Event {note['position']} was committed, and is gone."
            elif row[0] != note["hash"]:
                yield f"Event {note['position']} was committed, and another stands in its place."


def _left_out(database: Database, notes: list[dict[str, Any]]) -> Iterator[str]:
    """What a subscriber has not taken, or not in its turn. After a crash an event may come again; one that a
    person had it skip need not come.

    What it wants, and from where on, is what the site says, and not what the log has of the subscriber: that
    may be what is wrong.
    """
    with database.read() as cursor:
        there = cursor.all(_TYPES)
    newest = 0
    farthest: dict[str, int] = {}
    wants: dict[str, list[int]] = {}
    skipped: Counter[tuple[str, int]] = Counter()
    for note in notes:
        if note["what"] == "committed":
            newest = note["position"]
        elif note["what"] == "subscribed" and note["name"] not in wants:  # a later process goes on
            name, types = note["name"], note["types"]
            farthest[name] = 0 if note["since"] == "beginning" else newest
            wants[name] = [at for at, type_ in there if types is None or type_ in types]
        elif note["what"] == "skipped":
            skipped[note["name"], note["position"]] += 1
        elif note["what"] == "not skipped":
            skipped[note["name"], note["position"]] -= 1
        elif note["what"] == "delivered":
            name, position = note["name"], note["position"]
            left_out = sum(farthest[name] < at < position and skipped[name, at] <= 0 for at in wants[name])
            if left_out:
                yield f"The subscriber {name!r} has taken event {position}, and not {left_out} before it."
            farthest[name] = max(farthest[name], position)
    for name, positions in wants.items():
        missing = sum(at > farthest[name] and skipped[name, at] <= 0 for at in positions)
        if missing:
            yield f"The subscriber {name!r} has not taken the last {missing} that it wants."


def _damaged(database: Database) -> Iterator[str]:
    verdict = verify(database, projections=False)
    for problem in verdict.problems:
        yield f"verify: {problem.sentence}"
    if verdict.whole:
        for table, count in check_projections(database).differing.items():
            yield f"verify: {count} rows of {table} are not what the events say."


def _done_twice(notes: list[dict[str, Any]]) -> Iterator[str]:
    """Steps that were done more often than can be excused.

    Where the process dies after a step's function was called and before its result was committed, nobody can
    know whether it has done its work: then, and only then, it is called once more.
    """
    excused: set[str] = set()
    under_way: str | None = None
    calls: Counter[str] = Counter()
    for note in notes:
        if note["what"] == "step":
            under_way = note["key"]
            calls[under_way] += 1
        elif note["what"] == "committed":
            under_way = None
        elif note["what"] == "killed" and under_way is not None:
            excused.add(under_way)
            under_way = None
    for key, count in calls.items():
        if count > 1 + (key in excused):
            yield f"The step {key} was done {count} times."


def _answered_again(service: Sandbox) -> Iterator[str]:
    """What the site has posted more than one reply to, though this service refuses the second: another may
    well take it."""
    for packet in service.answered:
        if packet.replies > 1:
            yield (
                f"The site has posted {packet.replies} replies to the {packet.type} of transaction"
                f" {packet.trans_rec_id}."
            )


def _disagreements(service: Sandbox, engine: Engine) -> Iterator[str]:
    ours = {transaction.trans_rec_id: transaction.state for transaction in engine.transactions()}
    for theirs in service.transactions():
        its_state = ours.pop(str(theirs.trans_rec_id), None)
        name = f"Transaction {theirs.trans_rec_id} ({theirs.type})"
        if its_state != theirs.state:
            yield f"{name} is {theirs.state} at the service, and {its_state or 'unknown'} in the log."
        elif its_state not in _ENDS:
            yield f"{name} is still {its_state}."
    for unknown, state in ours.items():
        yield f"Transaction {unknown} is {state} in the log, and unknown at the service."
    for waiting in engine.outbox.open():
        yield f"The outbox still has a {waiting.packet_type or waiting.kind} that is {waiting.status}."


def differences(ending: Ending, expected: Ending) -> Iterator[str]:
    """Yield a sentence for each thing that ended otherwise than it does without a crash."""
    has, should_have = Counter(ending.effects), Counter(expected.effects)
    for effect in (should_have - has).elements():
        yield f"The back end lacks, or has otherwise: {effect}"
    for effect in (has - should_have).elements():
        yield f"The back end has, and should not: {effect}"
    missing = Counter(expected.transactions) - Counter(ending.transactions)
    more = Counter(ending.transactions) - Counter(expected.transactions)
    for kind, state, packets in missing.elements():
        yield f"No {kind} ended as {state} with {', '.join(packets)}, as one does without a crash."
    for kind, state, packets in more.elements():
        yield f"A {kind} ended as {state} with {', '.join(packets)}, as none does without a crash."
