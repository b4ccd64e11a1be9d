"""Work that is handed out one by one, as a task queue does: late, twice, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from amie_engine import Packet, Work
from amie_engine.errors import TransactionNotFound
from amie_engine.site import Worked
from tests.site.site_packets import request
from tests.site.site_world import World, handling

RPC = "request_project_create"


def _answer(packet: Any, work: Work) -> Packet:
    return work.fail("no")


def test_one_piece_of_work_is_done_and_the_others_are_left(world: World) -> None:
    world.engine.receive_all([request(1), request(2)])
    runner = world.runner(handling(RPC, _answer))
    assert runner.work_on(5002) is Worked.REPLIED
    assert [row.trans_rec_id for row in world.engine.work.ready()] == ["5001"]


@pytest.mark.parametrize("trans_rec_id", [5001, "5001"])
def test_what_is_handed_out_twice_is_done_once(world: World, trans_rec_id: int | str) -> None:
    calls: list[str] = []

    def handler(packet: Any, work: Work) -> Packet:
        calls.append(work.key)
        assert runner.work_on(trans_rec_id) is Worked.NOT_YET  # while it is being done
        return work.fail("no")

    world.engine.receive(request(1))
    runner = world.runner(handling(RPC, handler))
    assert runner.work_on(trans_rec_id) is Worked.REPLIED
    assert runner.work_on(trans_rec_id) is Worked.NOT_YET
    assert calls == ["sandbox/NCSA/7001"]


def test_what_has_to_wait_by_now_is_not_begun(world: World) -> None:
    world.engine.receive(request(2, GrantNumber="AST040009"))
    assert [row.trans_rec_id for row in world.engine.work.ready()] == ["5002"]  # it is handed out, and then
    world.engine.receive(request(1, GrantNumber="AST040009"))  # comes an earlier one for its grant
    runner = world.runner(handling(RPC, _answer))
    assert runner.work_on(5002) is Worked.NOT_YET
    assert runner.work_on(5001) is Worked.REPLIED


def test_what_waits_for_its_time_is_not_begun_before(world: World) -> None:
    def handler(packet: Any, work: Work) -> Any:
        return work.defer(until=world.clock.now + timedelta(hours=1), reason="the quota comes at noon")

    world.engine.receive(request(1))
    runner = world.runner(handling(RPC, handler))
    assert runner.work_on(5001) is Worked.DEFERRED
    assert runner.work_on(5001) is Worked.NOT_YET
    world.clock.forward(hours=1)
    assert runner.work_on(5001) is Worked.DEFERRED


def test_a_transaction_of_another_log_is_told_of(world: World) -> None:
    with pytest.raises(TransactionNotFound, match="5001"):
        world.runner().work_on(5001)
