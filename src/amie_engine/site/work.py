"""What a handler is given besides the packet, and what it may answer besides a reply."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from amie_engine.errors import HandlerInvalid
from amie_engine.packet.base import Packet

__all__ = ["Deferral", "Work"]


@dataclass(frozen=True, slots=True)
class Deferral:
    """The handler wants to be called again: not before ``until``, or at the next round."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work for a handler.

    Attributes:
        key: Stable for this packet, whatever crashes: an idempotency key for the site's back end.
        reply: The draft of the reply that is due, filled with all that the log knows. Set what only the site
            can say, and return it.
        request: The packet that began the transaction. A data packet does not name the resource: this does.
        trans_rec_id: The transaction's record id at the service.
        attempt: 1 for the first call, then counted up after each exception.
        anomalies: What is odd about the transaction: required items that are missing, say.
        packet: The packet that the handler was called with, which is not always the request.
    """

    key: str
    reply: Packet
    request: Packet
    trans_rec_id: str
    attempt: int = 1
    anomalies: tuple[str, ...] = ()
    packet: Packet | None = None

    def fail(self, message: str) -> Packet:
        """Return the inform that fails the transaction, for the handler to return.

        Args:
            message: Why, for the people at the hub; up to the site what it says.

        Raises:
            HandlerInvalid: It says nothing.
        """
        _require_text(message, "fail")
        answered = self.packet if self.packet is not None else self.request
        return answered.reply_with_failure(message=message)

    def defer(self, *, until: datetime | None = None, reason: str) -> Deferral:
        """Return the wish to be called again later, for the handler to return.

        Args:
            until: Not before this time, with its zone; None for the next round.
            reason: Why, for the operator; no personal data.

        Raises:
            HandlerInvalid: ``until`` has no time zone, or ``reason`` says nothing.
        """
        _require_text(reason, "defer")
        zone = getattr(until, "tzinfo", None)
        if until is not None and zone is None:
            raise HandlerInvalid(
                "defer() was given a time without a zone.", hint="Use datetime.now(UTC) + timedelta(...)."
            )
        return Deferral(until, reason)


def _require_text(text: object, method: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise HandlerInvalid(f"{method}() was given no reason.", hint="Say in a few words why.")
