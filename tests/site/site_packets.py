"""Wire documents for the tests of a site: the samples, under ids and with items of the test's choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
