"""What the log may say of an error: no key and no personal data."""

from __future__ import annotations

from typing import Any

from amie_engine.errors import AMIEEngineError, AMIERequestError

__all__ = ["told"]


def told(error: AMIEEngineError) -> str:
    """Return an error's message and hint; of an answer of the service only its status, for the service's own
    words may quote a packet."""
    response: Any = error.response if isinstance(error, AMIERequestError) else None
    if response is not None:
        return f"The service answered with status {response.status_code}. {error.hint}".rstrip()
    return f"{error.message} {error.hint}".rstrip()
