"""An older backup is restored, and meets a service that has gone on, as docs/backup.md says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amie_engine import OutcomeKind, Runner
from amie_engine.audit import back_up, check_projections, verify
from amie_engine.packet import NotifyPersonIDs
from tests.site.site_world import World, database_in

TWO = "request_project_reactivate"


def take_steps(runner: Runner, first: int, last: int) -> None:
    """Some of the loop's steps: poll, work, send, and again."""
    each: tuple[Callable[[], Any], ...] = (runner.poll_once, runner.work_once, runner.send_once)
    for number in range(first, last):
        each[number % 3]()


def said(world: World) -> list[tuple[int, str, int]]:
    """What the site has ever said, as the service has it: transaction, type and record id of each packet."""
    return sorted(
        (transaction.trans_rec_id, packet["type"], packet["header"]["packet_rec_id"])
        for transaction in world.sandbox.transactions()
        for packet in world.sandbox.transaction(transaction.trans_rec_id)["DATA"]
        if not packet["header"]["outgoing_flag"]
    )


def begin(world: World, folder: Path) -> None:
    """Keep the log in a file, and let the service begin two chains of transactions."""
    world.engine.close()
    world.database = database_in(folder)
    world.restart()
    world.client.start_scenario(TWO)


def restore(world: World, copy: Path) -> dict[OutcomeKind, int]:
    """Put a copy in the place of the database, and poll before anything else."""
    world.engine.close()
    world.database = f"sqlite:///{copy}"
    world.restart()
    return world.runner().poll_once()


@pytest.mark.parametrize("lost", range(1, 8))
@pytest.mark.parametrize("kept", [0, 2, 4, 6])
def test_nothing_is_said_twice_and_all_goes_on(world: World, tmp_path: Path, kept: int, lost: int) -> None:
    """Whatever was done since the backup: packets received, replies decided and sent."""
    begin(world, tmp_path)
    runner = world.runner()
    take_steps(runner, 0, kept)
    back_up(world.engine.database, tmp_path / "copy.db")
    take_steps(runner, kept, kept + lost)
    before = said(world)
    restore(world, tmp_path / "copy.db")
    world.run_to_the_end(minutes=2)
    assert set(before) <= set(said(world))
    replies = [(transaction, kind) for transaction, kind, _ in said(world)]
    assert len(set(replies)) == len(replies) > 5
    assert set(world.states().values()) == {"completed"}
    assert world.engine.outbox.open() == []
    assert world.engine.work.open() == []
    assert check_projections(world.engine.database).differing == {}
    assert verify(world.engine.database).whole


@pytest.mark.parametrize("kept", range(7))
def test_what_the_log_knows_is_brought_to_its_end_though_the_service_lists_nothing(
    world: World, tmp_path: Path, kept: int
) -> None:
    begin(world, tmp_path)
    take_steps(world.runner(), 0, kept)
    back_up(world.engine.database, tmp_path / "copy.db")
    world.run_to_the_end(minutes=2)
    before = said(world)
    restore(world, tmp_path / "copy.db")
    for _ in range(3):
        world.runner().run_once()
        world.clock.forward(minutes=2)
    assert said(world) == before
    assert set(world.states().values()) <= {"completed"}
    assert world.engine.outbox.open() == []
    assert world.engine.work.open() == []


def test_what_comes_by_history_is_counted(world: World, tmp_path: Path) -> None:
    begin(world, tmp_path)
    take_steps(world.runner(), 0, 3)
    back_up(world.engine.database, tmp_path / "copy.db")
    world.run_to_the_end(minutes=2)
    before = len(world.engine.transactions(open_only=True))
    counts = restore(world, tmp_path / "copy.db")
    assert before == 0
    assert len(world.client.list_packets()) == 0
    assert counts[OutcomeKind.ACCEPTED] > 0
    assert counts[OutcomeKind.ALREADY_THERE] == 0
    assert not any(world.runner().poll_once().values())


def test_a_transaction_that_the_site_begins_must_be_looked_at(world: World, tmp_path: Path) -> None:
    """Nothing at the service tells that it is the one which the backup has still to begin."""
    begin(world, tmp_path)
    started = world.engine.start(NotifyPersonIDs(PersonID="u1", PrimaryPersonID="u1", PersonIDList=["u1"]))
    back_up(world.engine.database, tmp_path / "copy.db")
    world.runner().send_once()
    restore(world, tmp_path / "copy.db")
    [unsent] = [one for one in world.engine.transactions(open_only=True) if one.trans_rec_id is None]
    assert unsent.stream == started.stream
    world.engine.fail(unsent.stream, "sent before the backup was restored")
    assert world.engine.outbox.open() == []
    world.run_to_the_end(minutes=2)
    assert [kind for _, kind, _ in said(world)].count("notify_person_ids") == 1
