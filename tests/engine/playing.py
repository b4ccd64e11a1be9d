"""Packets of both sides, and short ways to play a transaction."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from amie_engine import Engine, Packet
from amie_engine.engine.outbox import Outgoing
from amie_engine.testing import Clock

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
START_TIME = datetime(2026, 1, 15, 13, tzinfo=UTC)

Document = dict[str, Any]


def ticking_clock() -> Clock:
    """A clock on which a millisecond passes from one look to the next."""
    return Clock(START_TIME, tick=timedelta(milliseconds=1))


class Ids:
    """Ids that are the same in every run."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"stream-{next(self._numbers)}"


def sample(name: str, *, body: Document | None = None, **header: Any) -> Document:
    """A sample document, with other header values, and with other items in its body."""
    document: Document = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    document["header"] |= header
    document["body"] |= body or {}
    return document


def rpc(trans: int = 1, rec: int = 10, *, body: Document | None = None, **header: Any) -> Document:
    return _of("spec/request_project_create", trans, rec, body, header)


def npc(trans: int = 1, rec: int = 11, *, body: Document | None = None, **header: Any) -> Document:
    return _of("spec/notify_project_create.reply", trans, rec, body, header)


def dpc(trans: int = 1, rec: int = 12, *, body: Document | None = None, **header: Any) -> Document:
    return _of("spec/data_project_create", trans, rec, body, header)


def rac(trans: int = 1, rec: int = 10, *, body: Document | None = None, **header: Any) -> Document:
    return _of("spec/request_account_create", trans, rec, body, header)


def inform(trans: int = 1, rec: int = 13, *, body: Document | None = None, **header: Any) -> Document:
    return _of("spec/inform_transaction_complete.success.in", trans, rec, body, header)


def request(name: str, trans: int = 1, rec: int = 10, **header: Any) -> Document:
    return _of(f"spec/{name}", trans, rec, None, header)


def _of(name: str, trans: int, rec: int, body: Document | None, header: Document) -> Document:
    return sample(
        name, body=body, **({"trans_rec_id": trans, "transaction_id": trans, "packet_rec_id": rec} | header)
    )


def history_of(*packets: Document) -> Document:
    """What the service gives as a transaction's history."""
    return {
        "transaction_id": 1,
        "state": "in-progress",
        "originating_site_name": "TGCDB",
        "local_site_name": "TGCDB",
        "remote_site_name": "NCSA",
        "DATA": [deepcopy(packet) for packet in packets],
    }


def filled(engine: Engine, trans: int | str, **values: Any) -> Packet:
    """The draft of what is due, with what only the site can say."""
    draft = engine.expected_reply(trans).packet
    assert draft is not None
    for name, value in values.items():
        setattr(draft, name, value)
    return draft


def attempt(engine: Engine) -> Outgoing:
    """Have the one thing in the outbox attempted."""
    [outgoing] = engine.outbox.open()
    engine.outbox.attempt(outgoing)
    return outgoing


def send(engine: Engine, answer: Document | None = None) -> None:
    """Have the one thing in the outbox sent, and accepted by the service."""
    engine.outbox.confirm(attempt(engine), None if answer is None else {"result": answer})


def answer_project(engine: Engine, trans: int = 1) -> None:
    """Reply to a project request, and have the reply accepted."""
    engine.reply(trans, filled(engine, trans, PiPersonID="u42", PiRemoteSiteLogin="rex", ProjectID="p1"))
    send(engine)


def complete_project(engine: Engine, trans: int = 1, rec: int = 10, **body: Any) -> None:
    """Play a project request to its end."""
    engine.receive(rpc(trans, rec, body=body))
    answer_project(engine, trans)
    engine.receive(dpc(trans, rec + 2))
    engine.reply(trans, filled(engine, trans))
    send(engine)


def state_of(engine: Engine, trans: int | str = 1) -> str:
    return engine.expected_reply(trans).state


def events_of(engine: Engine, trans: int | str = 1) -> list[str]:
    return [entry.event for entry in engine.history(trans).entries]
