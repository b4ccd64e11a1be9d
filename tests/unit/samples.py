"""The sample documents in tests/data, the independent table of packet types, and how long properties run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

DATA = Path(__file__).parents[1] / "data"

SAMPLE_NAMES = sorted(
    f"{path.parent.name}/{path.stem}"
    for folder in ("spec", "edge")
    for path in (DATA / "samples" / folder).glob("*.json")
)
"""Every packet document, as folder/name."""

PACKET_TABLE: dict[str, dict[str, Any]] = {
    name: entry
    for name, entry in json.loads((DATA / "packets.json").read_text(encoding="utf-8")).items()
    if not name.startswith("_")
}
"""What each packet type has, written down apart from the packet classes."""

property_test = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same examples in every run, and no limit on how long a busy machine takes for one."""


def sample(name: str) -> dict[str, Any]:
    """Return a sample document, a new one at each call."""
    document: dict[str, Any] = json.loads((DATA / "samples" / f"{name}.json").read_text(encoding="utf-8"))
    return document
