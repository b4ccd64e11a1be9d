"""Noting at the service which packets were taken in, so that other tools of the site see it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection

from amie_engine.client import AMIEClient
from amie_engine.engine import Engine
from amie_engine.errors import AMIEEngineError, EventUnreadable, ServiceNotFound, SettingsError
from amie_engine.packet.packetlist import PacketList
from amie_engine.protocol import Party
from amie_engine.site.refusals import is_the_services_word

__all__ = ["ClientStates", "check_client_state"]

logger = logging.getLogger("amie_engine.site")

_CALLS_A_ROUND = 20
_SECONDS_A_ROUND = 5.0
"""After so many calls, or so long, the rest waits for the next round: polling and sending come first."""

_STATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)


def check_client_state(state: str) -> str:
    """Return a state that the service can keep.

    Raises:
        SettingsError: It has other characters, or too many.
    """
    if _STATE.fullmatch(state) is None:
        raise SettingsError(
            "client_state must have 1 to 32 letters, digits, dots, dashes or underscores.",
            hint="Such as: received.",
        )
    return state


class ClientStates:
    """Sets the ``client_state`` of packets of the hub's that the log has, once each.

    What has a state already keeps it: another tool has set it. Nothing of it is in the log, and nothing waits
    for it: a call that fails is logged, and the next full listing shows what is still without a state.

    Args:
        engine: The engine with the log.
        client: A client for the same site.
        state: The state to set.
        seconds: Gives the time that a round has taken; for tests.

    Raises:
        SettingsError: The state can't be one.
    """

    def __init__(
        self, engine: Engine, client: AMIEClient, state: str, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._client = client
        self._state = check_client_state(state)
        self._seconds = seconds
        self._waiting: dict[str, None] = {}
        self._done: set[str] = set()
        self._has_failed = False

    def see(self, listing: PacketList, taken_in: Collection[str], *, is_full: bool) -> None:
        """Note what of a listing is still without a state.

        Args:
            listing: What the service lists.
            taken_in: The record ids of the packets that the log has.
            is_full: Whether it lists all that is in progress.
        """
        listed = {str(packet.packet_rec_id): packet for packet in listing}
        if is_full:
            self._waiting.clear()
            self._done.intersection_update(listed)
            self._has_failed = False
        for name, packet in listed.items():
            if name in taken_in and name not in self._done and packet.client_state in (None, ""):
                self._waiting[name] = None

    def set_some(self) -> None:
        """Set the state of some of the packets that are without one. It never raises."""
        until = self._seconds() + _SECONDS_A_ROUND
        for name in list(self._waiting)[:_CALLS_A_ROUND]:
            if self._has_failed or self._seconds() > until:
                return
            del self._waiting[name]
            try:
                self._set(name)
            except EventUnreadable:
                self._done.add(name)  # what this release can't read keeps no other without its state
            except AMIEEngineError as error:
                if isinstance(error, ServiceNotFound) and is_the_services_word(error):
                    logger.warning("The service does not know packet %s: its client_state is not set.", name)
                    continue
                self._has_failed = True
                logger.warning(
                    "The client_state of packet %s is not set (%s); after the next full listing again.",
                    name,
                    error.code,
                )
            except Exception:
                self._has_failed = True
                logger.exception("The client_state of packet %s is not set.", name)

    def _set(self, name: str) -> None:
        with self._engine.view() as view:
            known = view.reader.accepted(name)
            entry = None if known is None else view.state(known.stream).packet(name)
        if entry is not None and entry.sender is Party.HUB:
            self._client.set_packet_client_state(name, self._state)
            self._done.add(name)
