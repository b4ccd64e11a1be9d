"""Sending what is in the outbox: once, as far as that can be known, and looking before sending again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine
from amie_engine.engine.outbox import Outgoing
from amie_engine.errors import (
    AMIERequestError,
    PacketError,
    ServiceAuthenticationError,
    ServiceConflict,
    ServiceNotFound,
    ServiceValidationError,
)

__all__ = ["Sender"]

logger = logging.getLogger("amie_engine.site")

_FIRST_LOOK = timedelta(seconds=30)
_LAST_LOOK = timedelta(minutes=30)
_CLOCKS_DIFFER_BY = timedelta(minutes=10)


class Sender:
    """Sends the outbox of an engine through a client.

    Nothing makes the service's POST idempotent. After an outcome that is not known (a timeout, a crash, a
    fault of the service) it looks at the service whether the packet is there, and sends again only if not.
    """

    def __init__(
        self, engine: Engine, client: AMIEClient, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._engine = engine
        self._client = client
        self._jitter = jitter

    def send_once(self) -> int:
        """Send all that is to be sent now; return how much of it has arrived.

        Raises:
            ServiceAuthenticationError: The service refuses the site's key: nothing more is sent.
        """
        arrived = 0
        for outgoing in self._engine.outbox.open():
            if outgoing.status == "pending":
                arrived += self._send(outgoing)
            elif self._due_again(outgoing):
                arrived += self._look_then_send(outgoing)
        return arrived

    def _due_again(self, outgoing: Outgoing) -> bool:
        if outgoing.attempted_at is None:
            return True
        pause = min(_FIRST_LOOK * 2 ** min(outgoing.attempts - 1, 20), _LAST_LOOK)
        look_at: datetime = outgoing.attempted_at + pause * (0.5 + self._jitter() / 2)
        return self._engine.now() >= look_at

    def _send(self, outgoing: Outgoing) -> int:
        packet = self._engine.outbox.attempt(outgoing)
        try:
            if packet is None:
                self._client.set_transaction_failed(outgoing.trans_rec_id or "")
                answer: Any = None
            else:
                answer = _json(self._client.send_packet(packet, skip_validation=True))
        except ServiceAuthenticationError:
            raise
        except (ServiceValidationError, ServiceNotFound, ServiceConflict) as error:
            return self._refused(outgoing, error)
        except AMIERequestError as error:
            logger.warning("Whether %s has arrived is not known (%s).", _shown(outgoing), error.code)
            return 0
        self._engine.outbox.confirm(outgoing, answer)
        return 1

    def _refused(self, outgoing: Outgoing, error: AMIERequestError) -> int:
        if isinstance(error, ServiceConflict) and outgoing.attempts > 0 and self._look(outgoing):
            return 1  # the first attempt had arrived after all
        logger.error("The service refused %s (%s).", _shown(outgoing), error.code)
        self._engine.outbox.reject(outgoing, code=error.code, message=error.message)
        return 0

    def _look_then_send(self, outgoing: Outgoing) -> int:
        try:
            if outgoing.kind == "packet" and self._look(outgoing):
                return 1
        except (AMIERequestError, PacketError) as error:
            if isinstance(error, ServiceAuthenticationError):
                raise
            logger.warning("Can't look whether %s has arrived (%s).", _shown(outgoing), error.code)
            return 0
        return self._send(outgoing)

    def _look(self, outgoing: Outgoing) -> bool:
        """Take in what the service has of the transaction; tell whether our packet was there."""
        if outgoing.trans_rec_id is not None:
            self._engine.adopt(self._client.get_transaction(outgoing.trans_rec_id))
        else:
            since: datetime = (outgoing.attempted_at or self._engine.now()) - _CLOCKS_DIFFER_BY
            for packet in self._client.list_packets(outgoing=True, update_time_start=since):
                self._engine.receive(packet)
        return not any(
            entry.stream == outgoing.stream and entry.answers == outgoing.answers
            for entry in self._engine.outbox.open()
        )


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _shown(outgoing: Outgoing) -> str:
    what = outgoing.packet_type or "the call that sets it failed"
    return f"{what} of transaction {outgoing.trans_rec_id or outgoing.stream}"
