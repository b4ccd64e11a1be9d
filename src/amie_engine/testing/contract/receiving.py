"""Guarantee 4: a packet is accepted once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import ConcurrencyConflict
from amie_engine.log.events import ACCEPTED, EventType, NewEvent
from amie_engine.log.store import EventLog
from amie_engine.packet import Packet
from amie_engine.testing import Clock
from amie_engine.testing.contract.appending import append, note
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.fixtures import Fixtures, OpenEngine
from amie_engine.testing.contract.story import SITE, answer, project_request, send

__all__ = ["ReceivingContract"]

_FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "document": lambda document: document,
    "packet": Packet.from_dict,
    "text": json.dumps,
    "bytes": lambda document: json.dumps(document, indent=1).encode(),
}


def _accepted(packet_rec_id: str, event_type: EventType = EventType.PACKET_RECEIVED) -> NewEvent:
    """An event that makes a packet part of its transaction."""
    return NewEvent(event_type, packet_rec_id=packet_rec_id, facts={"content": "x"}, document={"a": 1})


class ReceivingContract(Fixtures):
    """Guarantee 4."""

    def test_04_a_packet_that_comes_again_in_whatever_form_writes_nothing(
        self, engine: Engine, sql: Sql
    ) -> None:
        for number, form in enumerate(_FORMS.values()):
            packet = project_request(number)
            assert engine.receive(form(packet)).kind is OutcomeKind.ACCEPTED
            before = sql.everything()
            for other in _FORMS.values():
                assert engine.receive(other(packet)).kind is OutcomeKind.ALREADY_THERE
            assert sql.everything() == before
        check_log(sql)

    def test_04_nor_does_it_once_its_transaction_has_moved_on(
        self, engine: Engine, open_engine: OpenEngine, sql: Sql
    ) -> None:
        request = project_request(1)
        engine.receive(request)
        answer(engine, 1001, ProjectID="project-1", PiPersonID="u1", PiRemoteSiteLogin="robin")
        send(engine)
        before = sql.everything()
        listed = request | {"header": request["header"] | {"client_state": "seen", "packet_state": None}}
        for each in (engine, open_engine()):
            assert each.receive(listed).kind is OutcomeKind.ALREADY_THERE
        assert sql.everything() == before

    def test_04_many_that_receive_the_same_packets_at_once_accept_each_once(
        self, open_engine: OpenEngine, sql: Sql
    ) -> None:
        packets = [project_request(number) for number in range(8)]

        def receive_all(engine: Engine) -> list[OutcomeKind]:
            return [engine.receive(packet).kind for packet in packets]

        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(receive_all, [open_engine() for _ in range(3)]))
        for kinds in zip(*outcomes, strict=True):
            assert sorted(kinds) == [OutcomeKind.ACCEPTED, *[OutcomeKind.ALREADY_THERE] * 2]
        assert len(check_log(sql)) == len(packets)

    def test_04_its_record_id_stands_in_one_accepting_event(self, log: EventLog, sql: Sql) -> None:
        for number, first in enumerate(ACCEPTED):
            append(log, f"stream {number}", 0, _accepted(f"{number}", first))
            before = sql.everything()
            for second in ACCEPTED:
                with pytest.raises(ConcurrencyConflict):
                    append(log, "t", 0, note(), _accepted(f"{number}", second))
                with pytest.raises(ConcurrencyConflict):
                    append(log, f"stream {number}", 1, _accepted(f"{number}", second))
            assert sql.everything() == before

    def test_04_other_events_may_name_it_often(self, log: EventLog) -> None:
        confirmed = NewEvent(EventType.PACKET_CONFIRMED, facts={"answers": "1"})
        held = NewEvent(EventType.PACKET_HELD, packet_rec_id="7", facts={"content": "x"})
        append(log, "s", 0, confirmed, confirmed, held, held, _accepted("7"))
        with log.read() as reader:
            assert len(reader.stream("s")) == 5

    def test_04_other_hubs_and_sites_number_alike(self, log: EventLog, clock: Clock, sql: Sql) -> None:
        append(log, "s", 0, _accepted("7"))
        for hub, site in (("sandbox", SITE), (log.hub, "OTHER")):
            other = EventLog(log.database, hub=hub, site=site, clock=clock)
            append(other, f"{hub} {site}", 0, _accepted("7"))
            with other.read() as reader:
                known = reader.accepted("7")
            assert known is not None
            assert known.stream == f"{hub} {site}"
        assert [row["position"] for row in sql.events()] == [1, 2, 3]
