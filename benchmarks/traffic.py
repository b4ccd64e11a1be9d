"""Made-up traffic for the benchmarks: packets, whole transactions, and logs of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amie_engine import Engine, OutcomeKind
from amie_engine.engine.folding import Folder, apply
from amie_engine.engine.incoming import Incoming, read_incoming
from amie_engine.log.canonical import salted_digest
from amie_engine.log.database import Database
from amie_engine.log.events import EventType, NewEvent
from amie_engine.log.store import EventLog, LogWriter
from amie_engine.log.whole import STORED_COLUMNS

SITE = "NCSA"

_TOGETHER = 50
"""Transactions that are under way at the same time in a long log."""


def transaction_of(number: int) -> int:
    """The record id of a transaction."""
    return int(f"87{number:06}")


def header(number: int, packet: int, *, replies: str) -> dict[str, Any]:
    """The header of a packet of the hub's, as the service lists it."""
    return {
        "packet_rec_id": int(f"174{number:06}{packet}"),
        "packet_id": packet,
        "trans_rec_id": transaction_of(number),
        "transaction_id": int(f"24{number:06}"),
        "expected_reply_list": [{"type": replies, "timeout": 30240}],
        "local_site_name": "TGCDB",
        "remote_site_name": SITE,
        "originating_site_name": "TGCDB",
        "outgoing_flag": 1,
        "transaction_state": "in-progress",
        "packet_state": "in-progress",
        "client_state": None,
        "client_json": None,
        "packet_timestamp": "2026-01-15T12:00:00.000Z",
    }


def request(number: int) -> dict[str, Any]:
    """A request_project_create as the service lists it; each number another grant and transaction."""
    return {
        "DATA_TYPE": "Packet",
        "type": "request_project_create",
        "header": header(number, 1, replies="notify_project_create"),
        "body": {
            "AllocationType": "new",
            "BoardType": "Startup",
            "ChargeNumber": f"TG-BIO{number:06}",
            "StartDate": "2026-01-01",
            "EndDate": "2026-12-31",
            "GrantNumber": f"BIO{number:06}",
            "GrantType": "Science Gateway",
            "NsfStatusCode": "CN",
            "PfosNumber": "120",
            "PiCity": "Springfield",
            "PiCountry": "9US",
            "PiDepartment": "Physics",
            "PiDnList": [
                f"/C=US/O=Example/CN=Robin Example {number:06}",
                f"/C=US/O=Else/CN=Robin {number:06}",
            ],
            "PiEmail": f"robin{number:06}@example.edu",
            "PiFirstName": "Robin",
            "PiGlobalID": f"7{number:06}",
            "PiLastName": "Example",
            "PiOrgCode": "0017756",
            "PiOrganization": "Example University",
            "PiRequestedLoginList": [f"robin{number:06}"],
            "PiState": "IL",
            "PiTitle": "Professor",
            "ProjectTitle": "Planetary Motion",
            "RecordID": f"record-{number:06}",
            "ResourceList": ["hc.ncsa.xsede"],
            "ServiceUnitsAllocated": "99999",
            "Sfos": [{"Number": "122"}],
        },
    }


def data(number: int) -> dict[str, Any]:
    """The data_project_create that answers the site's notify_project_create."""
    return {
        "DATA_TYPE": "Packet",
        "type": "data_project_create",
        "header": header(number, 3, replies="inform_transaction_complete"),
        "body": {
            "DnList": [f"/C=US/O=Example/CN=Robin Example {number:06}"],
            "GlobalID": f"7{number:06}",
            "PersonID": f"u{number:06}",
            "ProjectID": f"project-{number:06}",
        },
    }


def play(engine: Engine, number: int) -> None:
    """Play a project's whole transaction: eight events."""
    transaction = transaction_of(number)
    for packet in (request(number), data(number)):
        engine.receive(packet)
        reply: Any = engine.expected_reply(transaction).packet
        if reply.packet_type == "notify_project_create":
            reply.ProjectID, reply.PiPersonID = f"project-{number:06}", f"u{number:06}"
            reply.PiRemoteSiteLogin = f"robin{number:06}"
        engine.reply(transaction, reply)
        for outgoing in engine.outbox.open():
            engine.outbox.attempt(outgoing)
            engine.outbox.confirm(outgoing)


def make_long_log(database: Database, events: int) -> None:
    """Fill an empty log with whole transactions, some of which are always under way together.

    The events are those of one that was played, with other ids in them; they are appended, hashed and
    projected as any others.
    """
    started = datetime(2026, 1, 15, 12, tzinfo=UTC)
    moment = started

    def clock() -> datetime:
        return moment

    log = EventLog(database, hub="access", site=SITE, clock=clock)
    patterns = _pattern()
    numbers = range(events // len(patterns))
    for start in range(0, len(numbers), _TOGETHER):
        moment = started + timedelta(minutes=start)
        with log.write() as writer:
            _append(writer, patterns, numbers[start : start + _TOGETHER])


def _append(writer: LogWriter, patterns: list[dict[str, Any]], numbers: range) -> None:
    folder = Folder(writer.stream)
    for version, pattern in enumerate(patterns):
        for number in numbers:
            [event] = writer.append(f"{number:032x}", version, [_event(pattern, number)])
            apply(writer.cursor, folder.fold(event))


def _event(pattern: dict[str, Any], number: int) -> NewEvent:
    texts = json.loads(json.dumps(pattern).replace("424242", f"{number:06}"))
    facts = json.loads(texts["facts"])
    if "content" in facts:  # what a packet that comes again is compared with
        packet = read_incoming(texts["document"], SITE)
        assert isinstance(packet, Incoming)
        facts["content"] = salted_digest(texts["document_salt"], packet.identity)
        facts["header"] = dict(packet.header)
    return NewEvent(
        EventType(texts["type"]),
        **{
            name: texts[name] for name in ("trans_rec_id", "packet_rec_id", "packet_type", "sender", "status")
        },
        actor=texts["actor"],
        facts=facts,
        document=texts["document"],
        text=texts["document"],
        salt=texts["document_salt"],
    )


def _pattern() -> list[dict[str, Any]]:
    """The events of one transaction, in which the number is 424242."""
    with Engine("sqlite://", site=SITE) as engine:
        play(engine, 424_242)
        rows = list(engine.log.whole.rows())
    return [dict(zip(STORED_COLUMNS, row, strict=True)) for row in rows]


def long_log(folder: Path, events: int) -> Path:
    """Return a SQLite log of so many events; it is made once, and found again."""
    file = folder / f"log-{events}.db"
    if not file.exists():
        unfinished = folder / f"log-{events}.unfinished"
        unfinished.unlink(missing_ok=True)
        with Engine(f"sqlite:///{unfinished}", site=SITE) as engine:
            make_long_log(engine.database, events)
            assert engine.receive(request(1)).kind is OutcomeKind.ALREADY_THERE
        unfinished.rename(file)
    return file


def chunks(count: int, size: int) -> Iterator[range]:
    """Ranges of up to ``size`` numbers that together cover ``count``."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
