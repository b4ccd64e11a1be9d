"""How long something lasted, in words."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["span_text"]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def span_text(span: timedelta) -> str:
    """Return how long something lasts, in its largest unit."""
    seconds = span.total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
