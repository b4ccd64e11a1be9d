"""What the program's log may say of an error: no key and no personal data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from amie_engine.errors import AMIEEngineError, AMIERequestError, EventUnreadable, ServiceUnreadableAnswer

__all__ = ["UnreadableThings", "told"]

logger = logging.getLogger("amie_engine.site")


def told(error: AMIEEngineError) -> str:
    """Return an error's message and hint; of an answer of the service only its status, for the service's own
    words may quote a packet."""
    response: Any = error.response if isinstance(error, AMIERequestError) else None
    if response is not None:
        why = error.why if isinstance(error, ServiceUnreadableAnswer) else ""
        what = f", which can't be read: {why}" if why else ""
        return f"The service answered with status {response.status_code}{what}. {error.hint}".rstrip()
    return f"{error.message} {error.hint}".rstrip()


class UnreadableThings:
    """Warns of what a later release wrote, or what is damaged, once each: it holds up its own transaction and
    no other, round for round.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def note(self, what: str, error: EventUnreadable, fields: Mapping[str, Any]) -> None:
        """Warn, unless that was done before.

        Args:
            what: What is held up, with its ids.
            error: Why.
            fields: What the line of the log carries.
        """
        if what not in self._known:
            self._known.add(what)
            logger.warning("%s: %s", what, told(error), extra=fields)
