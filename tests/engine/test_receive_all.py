"""Packets taken in together, in one commit, come to the same ends as one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from amie_engine import Engine
from amie_engine.engine.receiving import Receiver
from tests.engine.playing import Ids, dpc, rpc, ticking_clock
from tests.engine.test_any_order import tables
from tests.engine.test_any_sequence import changed, packets, sequences


@sequences
@given(st.lists(st.one_of(packets, changed, st.just(b"\xff")), max_size=20), st.integers(1, 20))
def test_together_or_one_by_one_is_the_same(
    new_log: Callable[[], sqlalchemy.Engine], listing: list[Any], size: int
) -> None:
    one_by_one, together = (
        Engine(new_log(), site="NCSA", clock=ticking_clock(), new_id=Ids()) for _ in range(2)
    )
    single = [one_by_one.receive(packet) for packet in listing]
    batched = []
    for start in range(0, len(listing), size):
        batched += together.receive_all(listing[start : start + size])
    assert batched == single
    assert tables(together.database) == tables(one_by_one.database)


def test_nothing_is_nothing(engine: Engine) -> None:
    assert engine.receive_all([]) == []
    assert list(engine.log.whole.events()) == []


def test_what_is_there_already_takes_no_lock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = [rpc(trans=number, rec=number * 10) for number in range(1, 30)]
    engine.receive_all(listing)

    def locked() -> None:
        raise AssertionError

    monkeypatch.setattr(engine.database, "write", locked)
    assert {outcome.kind for outcome in engine.receive_all(listing)} == {"already_there"}


def test_all_or_none_is_taken_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Receiver.receive

    def defective(self: Receiver, unit: Any, packet: Any, **options: Any) -> Any:
        if packet.packet_type == "data_project_create":
            raise KeyError
        return receive(self, unit, packet, **options)

    monkeypatch.setattr(Receiver, "receive", defective)
    with pytest.raises(KeyError):
        engine.receive_all([rpc(trans=1), dpc(trans=1)])
    assert engine.transactions() == []
