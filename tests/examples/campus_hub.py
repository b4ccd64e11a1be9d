"""The hub's side of the example site's tests: what it asks goes through the engine, the worker and the
outbox, as in production, but without HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from amie_engine import Engine, Packet, Site
from amie_engine.site.worked import Worked
from amie_engine.site.worker import Worker
from tests.site.site_world import fresh_database

SAMPLES = Path(__file__).parents[1] / "data" / "samples" / "spec"
NAME = "NCSA"


class Hub:
    """A hub that asks the site for something, and takes its reply."""

    def __init__(self, site: Site) -> None:
        self._database = fresh_database()
        self.engine = Engine(
            self._database, site=NAME, hub="sandbox", clock=lambda: datetime(2026, 1, 15, tzinfo=UTC)
        )
        self.worker = Worker(self.engine, site)
        self._numbers = count(1)
        self.trans_rec_id = 0

    def close(self) -> None:
        """Let go of the database."""
        self._database.dispose()

    def ask(self, kind: str, **body: Any) -> Any:
        """Begin a transaction, and return what the site answers."""
        self.receive(kind, **body)
        return self.reply()

    def receive(self, kind: str, **body: Any) -> None:
        """Begin a transaction with a request that holds these items and no others."""
        number = next(self._numbers)
        self.trans_rec_id = 5000 + number
        self._deliver(kind, number, packet_id=1, body=body)

    def follow_up(self, kind: str, trans_rec_id: int | None = None, **body: Any) -> Any:
        """Send a data packet in a transaction, by default the newest, and return what the site answers."""
        self.trans_rec_id = trans_rec_id or self.trans_rec_id
        self._deliver(kind, next(self._numbers), packet_id=2, body=body)
        return self.reply()

    def inform(self) -> str:
        """Confirm a notify of the site's, and return the transaction's state then."""
        body = {"StatusCode": "Success", "DetailCode": "1", "Message": "done"}
        self._deliver("inform_transaction_complete", next(self._numbers), packet_id=2, body=body)
        return self.state

    def reply(self) -> Any:
        """Have the site work, and return the packet that it sends, which the hub then has accepted."""
        counts = self.worker.work_once()
        assert not counts[Worked.FAILED], [one.problem for one in self.engine.transactions()]
        packet: Packet | None = None
        for outgoing in self.engine.outbox.open():
            packet = self.engine.outbox.attempt(outgoing)
            self.engine.outbox.confirm(outgoing)
        return packet

    @property
    def state(self) -> str:
        """The state of the newest transaction."""
        wanted = str(self.trans_rec_id)
        return next(one.state for one in self.engine.transactions() if one.trans_rec_id == wanted)

    def _deliver(self, kind: str, number: int, *, packet_id: int, body: dict[str, Any]) -> None:
        name = {"inform_transaction_complete": f"{kind}.success.in"}.get(kind, kind)
        name = name if (SAMPLES / f"{name}.json").exists() else f"{name}.replace"
        document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
        document["header"] |= {
            "packet_rec_id": 7000 + number,
            "packet_id": packet_id,
            "trans_rec_id": self.trans_rec_id,
            "transaction_id": self.trans_rec_id - 4900,
        }
        document["body"] = body
        outcome = self.engine.receive(document)
        assert outcome.kind == "accepted", outcome
