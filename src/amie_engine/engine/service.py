"""How polling the service goes, as the daemons tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from amie_engine.engine.daemons import Daemon, newest_success
from amie_engine.errors import ServiceAuthenticationError

__all__ = ["DEFAULT_HUB", "Service", "ServiceState", "service_of"]


DEFAULT_HUB = "access"
"""The name of the production service, and of no other."""


class ServiceState(StrEnum):
    """How polling the service goes."""

    ANSWERS = "answers"
    REFUSES_KEY = "refuses_key"
    FAILS = "fails"
    NEVER_POLLED = "never_polled"


@dataclass(frozen=True, slots=True)
class Service:
    """How polling the service goes, as the daemons tell.

    Attributes:
        state: ``answers``, ``refuses_key`` (to one daemon at least), ``fails``, or ``never_polled``.
        succeeded_at: When a poll succeeded last.
        next_poll_at: When the next one is due.
        error_code: Why polls fail now; docs/errors.md has a paragraph on it.
        failing_since: When the newest poll failed, where polls fail now.
    """

    state: ServiceState
    succeeded_at: datetime | None = None
    next_poll_at: datetime | None = None
    error_code: str | None = None
    failing_since: datetime | None = None


def service_of(daemons: Sequence[Daemon], alive: Sequence[Daemon]) -> Service:
    """Return how polling goes: as the daemons at work tell; without any, as the last one told that polled.

    Args:
        daemons: All that have left a trace.
        alive: Those that are at work.
    """
    succeeded_at = newest_success(daemons)
    polled = [daemon for daemon in alive if daemon.polled_at is not None]
    if not polled:
        newest = max(daemons, key=lambda daemon: daemon.polled_at or daemon.started_at, default=None)
        polled = [newest] if newest is not None and newest.polled_at is not None else []
    if not polled:
        state = ServiceState.NEVER_POLLED if succeeded_at is None else ServiceState.ANSWERS
        return Service(state, succeeded_at)
    next_poll_at = min((each.next_poll_at for each in polled if each.next_poll_at is not None), default=None)
    failing = [daemon for daemon in polled if daemon.failures]
    refused = [daemon for daemon in failing if daemon.error_code == ServiceAuthenticationError.code]
    if refused:
        told, state = refused[0], ServiceState.REFUSES_KEY
    elif failing and len(failing) == len(polled):
        told, state = (
            max(failing, key=lambda daemon: daemon.error_at or daemon.started_at),
            ServiceState.FAILS,
        )
    else:
        return Service(ServiceState.ANSWERS, succeeded_at, next_poll_at)
    return Service(state, succeeded_at, next_poll_at, told.error_code, told.error_at)
