"""A clock that several processes share, and that only they move."""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["SharedClock"]

_START = datetime(2026, 1, 20, 9, 30, tzinfo=UTC)
_SECONDS = struct.Struct("=d")


class SharedClock:
    """Time that stands still until one of the processes moves it on.

    Args:
        path: A file for it; all who give the same have the same time.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_SECONDS.pack(0.0))
        with path.open("r+b") as file:
            self._passed = mmap.mmap(file.fileno(), _SECONDS.size)

    def __call__(self) -> datetime:
        (seconds,) = _SECONDS.unpack_from(self._passed)
        return _START + timedelta(seconds=seconds)

    def forward(self, seconds: float) -> None:
        """Move it on."""
        (passed,) = _SECONDS.unpack_from(self._passed)
        _SECONDS.pack_into(self._passed, 0, passed + seconds)
