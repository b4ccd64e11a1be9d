"""Folding is deterministic: the same events give the same state, however they are read."""

from __future__ import annotations

from functools import reduce

import pytest

from amie_engine.engine import Engine
from amie_engine.engine.evolve import evolve, fold
from amie_engine.engine.state import TransactionState


@pytest.fixture
def states(busy: Engine) -> dict[str, TransactionState]:
    """The state of every transaction of a busy log, as a unit of work loads it."""
    with busy.log.read() as reader:
        return {
            transaction.stream: fold(transaction.stream, reader.stream(transaction.stream))
            for transaction in busy.transactions()
        }


def test_folded_again_every_transaction_has_the_same_state(
    busy: Engine, states: dict[str, TransactionState]
) -> None:
    with busy.log.read() as reader:
        for stream, state in states.items():
            assert fold(stream, reader.stream(stream)) == state
    assert len(states) > 10


@pytest.mark.parametrize("page", [1, 7, 1000])
def test_folded_from_the_whole_log_in_pages_every_transaction_has_the_same_state(
    busy: Engine, states: dict[str, TransactionState], page: int
) -> None:
    replayed = {stream: TransactionState(stream) for stream in states}
    for event in busy.log.events(page=page):
        if event.stream in replayed:
            replayed[event.stream] = evolve(replayed[event.stream], event)
    assert replayed == states


def test_a_fold_that_stops_and_goes_on_ends_in_the_same_state(
    busy: Engine, states: dict[str, TransactionState]
) -> None:
    with busy.log.read() as reader:
        for stream, state in states.items():
            events = reader.stream(stream)
            for cut in range(len(events) + 1):
                assert reduce(evolve, events[cut:], fold(stream, events[:cut])) == state


def test_the_state_does_not_need_the_documents(busy: Engine, states: dict[str, TransactionState]) -> None:
    with busy.log.write() as writer:
        writer.cursor._cursor.execute(
            "UPDATE amie_events SET document = NULL, document_salt = NULL WHERE document IS NOT NULL"
        )
    with busy.log.read() as reader:
        for stream, state in states.items():
            assert fold(stream, reader.stream(stream)) == state
