"""Two operators send the same refused packet again at the same moment: one reply goes out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from amie_engine import Engine, Handle
from amie_engine.errors import NothingRefused

OPERATORS = 4


def test_of_several_operators_one_is_first_and_the_others_are_told(
    asked: Engine, open_engine: Callable[..., Engine]
) -> None:
    reply: Any = asked.expected_reply(1001).packet
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = "p1", "u1", "robin"
    asked.reply(1001, reply)
    [outgoing] = asked.outbox.open()
    asked.outbox.attempt(outgoing)
    asked.outbox.reject(outgoing, code="service-validation", message="no")

    together = threading.Barrier(OPERATORS)
    came_to: list[Handle | NothingRefused] = []

    def resend(engine: Engine, number: int) -> None:
        together.wait()
        try:
            handle = engine.resend(1001, {"PiRemoteSiteLogin": f"robin{number}"}, actor=f"{number}")
        except NothingRefused as error:
            came_to.append(error)
        else:
            came_to.append(handle)

    threads = [threading.Thread(target=resend, args=(open_engine(), number)) for number in range(OPERATORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Handle) for each in came_to) == 1
    assert len(came_to) == OPERATORS
    assert len(asked.outbox.open()) == 1
    events = [entry.event for entry in asked.history(1001).entries]
    assert events.count("packet_decided") == 2
