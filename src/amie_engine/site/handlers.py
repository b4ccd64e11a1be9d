"""A site: its name, its handlers, one for each type of packet that waits for it, and its subscribers."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from amie_engine.engine.leases import LEASE_TIME
from amie_engine.engine.retrying import Retries
from amie_engine.engine.subscription import Subscriber, Subscription, check_function
from amie_engine.errors import HandlerInvalid
from amie_engine.packet.base import Packet
from amie_engine.protocol import TRANSACTION_TYPES, Move, Party
from amie_engine.site.work import Work

__all__ = ["HANDLED_TYPES", "Handler", "Site", "handler_name"]

Handler = Callable[[Any, Work], Any]
"""``handler(packet, work)`` returns the reply, ``work.fail(...)`` or ``work.defer(...)``.

The packet is of the class for its type. What is returned is checked when it is: a handler that forgets to
return its reply is told so."""

_LONGEST_LEASE = timedelta(weeks=1)

HandlerType = TypeVar("HandlerType", bound=Handler)
SubscriberType = TypeVar("SubscriberType", bound=Subscriber)

HANDLED_TYPES = frozenset(
    str(row.move)
    for transaction in TRANSACTION_TYPES.values()
    for row in transaction.rows
    if row.sender is Party.HUB and row.move not in set(Move)
)
"""The packet types that a site answers: the hub's requests and data packets."""


class Site:
    """A site, its handlers, and its subscribers to the log's events.

    Args:
        name: The site's AMIE name.
        retries: How often and when a handler that raised is called again. A subscriber that raised is called
            again after the same pauses, however often it does.
        lease: How long a handler may take from one sign of life to the next: a step that is done is one, and
            ``work.alive()``; and how long a subscriber may take for one event. Whoever takes longer is taken
            for dead, and another worker begins anew.

    A data packet without a handler of its own is answered with a success inform: its DNs are then the site's
    to fetch from the log, if it wants them.

    Example:
        >>> site = Site("NCSA")
        >>> @site.handles("request_project_inactivate")
        ... def inactivate(request, work):
        ...     backend.inactivate(request.ProjectID)
        ...     return work.reply
    """

    def __init__(self, name: str, *, retries: Retries | None = None, lease: timedelta = LEASE_TIME) -> None:
        given: object = lease
        if not isinstance(given, timedelta) or not timedelta() < lease <= _LONGEST_LEASE:
            raise HandlerInvalid(
                "A site's lease is no timedelta, no time, or longer than a week.",
                hint="Give it minutes: timedelta(minutes=15), say.",
            )
        self.name = name
        self.retries = retries or Retries()
        self.lease = lease
        self._handlers: dict[str, Handler] = {}
        self._subscriptions: dict[str, Subscription] = {}

    def __repr__(self) -> str:
        return f"<Site {self.name}, {len(self._handlers)} handlers>"

    def handles(self, *packet_types: str) -> Callable[[HandlerType], HandlerType]:
        """Register a handler for one or more types of packet.

        Raises:
            HandlerInvalid: No type is named, one is none that the hub sends and a site answers, or has a
                handler already; or the handler is no function that can be called with a packet and its work,
                and waited for.
        """
        if not packet_types:
            raise HandlerInvalid(
                "handles() names no packet type.", hint='Write @site.handles("request_project_create"), say.'
            )
        self._check_types(packet_types)

        def register(handler: HandlerType) -> HandlerType:
            self._check_types(packet_types)
            check_function(handler, "handler", "packet", "work")
            for packet_type in packet_types:
                self._handlers[packet_type] = handler
            return handler

        return register

    def on_event(
        self, name: str, *, types: str | Iterable[str] | None = None, since: str = "now"
    ) -> Callable[[SubscriberType], SubscriberType]:
        """Register a function that is called for the events of the site's log, in order, at least once.

        Args:
            name: The name under which the log knows how far the function has come. It must stay as it is,
                whatever becomes of the function.
            types: The types of event that it is given (docs/log.md has them all); all without.
            since: Where it begins when it is new: ``now``, with what happens from then on, or ``beginning``.

        Raises:
            HandlerInvalid: The name can't be kept or is taken, there is no event of a type, no such place to
                begin at, or the function is none that can be called and waited for.

        Example:
            >>> @site.on_event("warn the office", types=["deadline_near", "deadline_passed"])
            ... def warn(event):
            ...     mail("allocations@example.edu", event.trans_rec_id, event.sentence)
        """

        def register(function: SubscriberType) -> SubscriberType:
            subscription = Subscription.of(name, function, types, since)
            if name in self._subscriptions:
                raise HandlerInvalid(
                    f"Site {self.name} has a subscriber {name!r} already.",
                    hint="Each goes through the log at a pace of its own: give each a name of its own.",
                )
            self._subscriptions[name] = subscription
            return function

        return register

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscribers that are registered, in their order."""
        return tuple(self._subscriptions.values())

    def handler_for(self, packet_type: str) -> Handler | None:
        """Return the handler for a type of packet; for a data packet without one, the plain confirmation."""
        handler = self._handlers.get(packet_type)
        if handler is None and packet_type.startswith("data_"):
            return confirm
        return handler

    def _check_types(self, packet_types: tuple[str, ...]) -> None:
        for position, packet_type in enumerate(packet_types):
            if packet_type not in HANDLED_TYPES:
                nearest = difflib.get_close_matches(str(packet_type), HANDLED_TYPES, n=1)
                guess = f"Did you mean {nearest[0]}? " if nearest else ""
                raise HandlerInvalid(
                    f"No site handles a {packet_type!r}.",
                    hint=f"{guess}The types are: {', '.join(sorted(HANDLED_TYPES))}.",
                )
            if packet_type in self._handlers or packet_type in packet_types[:position]:
                raise HandlerInvalid(
                    f"Site {self.name} has a handler for {packet_type} already.",
                    hint="One handler answers a type: remove one of the two.",
                )


def handler_name(handler: Handler) -> str:
    """Return what a handler is called in the log: the function's name, or its class."""
    return str(getattr(handler, "__name__", type(handler).__name__))


def confirm(packet: Packet, work: Work) -> Packet:
    """Answer a packet with the draft of its reply, as it is."""
    return work.reply
