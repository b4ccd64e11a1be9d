"""What a process that may be killed at any moment leaves behind for those who look afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Journal", "read_journal"]


class Journal:
    """A file of lines, each of which is there as a whole or not at all, and stays when the process is killed.

    Args:
        path: The file; what is in it already stays.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, **values: Any) -> None:
        """Write a line."""
        os.write(self._file, json.dumps({"what": what, **values}).encode("ascii") + b"\n")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal, the oldest first."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            yield json.loads(line)
