"""Packets for the tests of a site: samples, under ids and with items of the test's choice, and its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amie_engine import Engine
from amie_engine.engine.views import Handle
from amie_engine.packet import NotifyAccountCreate, NotifyProjectCreate
from amie_engine.protocol.rules import missing_to_start

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def sample(name: str, number: int = 1, **body: Any) -> dict[str, Any]:
    """A sample packet of the hub's; each number is a transaction of its own, with other grant and record."""
    document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    document["header"] |= {
        "packet_rec_id": 7000 + number,
        "trans_rec_id": 5000 + number,
        "transaction_id": 100 + number,
    }
    document["body"] |= body
    return document


def request(number: int = 1, packet_type: str = "request_project_create", **body: Any) -> dict[str, Any]:
    """A request of the hub's; a project's is for a grant and a PI of its own, whom the site does not know."""
    document = sample(f"spec/{packet_type}", number)
    if packet_type == "request_project_create":
        document["body"] |= {"ProjectID": "", "PiPersonID": "", "RecordID": f"record-{number}"}
        document["body"] |= {"GrantNumber": f"AST{40_001 + number:06}", "PiGlobalID": str(69 + number)}
    document["body"] |= body
    return document


def begin_project(engine: Engine, project: str = "p9") -> Handle:
    """Begin a transaction of the site's own for a new project."""
    packet: Any = NotifyProjectCreate(
        GrantNumber="G9",
        ProjectID=project,
        ResourceList=["r"],
        PiPersonID="u9",
        PiRemoteSiteLogin="l9",
        StartDate="2026-01-01",
        EndDate="2026-12-31",
        ServiceUnitsAllocated="1",
        AccountActivityTime="2026-01-01T00:00:00Z",
        AllocationType="new",
        RecordID="77",
    )
    return engine.start(_complete(packet))


def begin_account(engine: Engine, project: str = "p9") -> Handle:
    """Begin a transaction of the site's own for an account in a project."""
    packet: Any = NotifyAccountCreate(
        GrantNumber="G9",
        ProjectID=project,
        ResourceList=["r"],
        UserPersonID="u8",
        UserRemoteSiteLogin="l8",
        StartDate="2026-01-01",
        AcademicDegree=[{"Degree": "PhD", "Field": "x"}],
        AccountActivityTime="2026-01-01T00:00:00Z",
    )
    return engine.start(_complete(packet))


def _complete(packet: Any) -> Any:
    for name in missing_to_start(packet):
        setattr(packet, name, "x")
    return packet
