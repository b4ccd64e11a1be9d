"""What a site's own code subscribes to."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from amie_engine.engine.recorded import RecordedEvent
from amie_engine.errors import HandlerInvalid
from amie_engine.log.events import Event, EventType

__all__ = ["SINCE", "Subscriber", "Subscription", "check_function", "check_name"]

Subscriber = Callable[[RecordedEvent], Any]
"""``subscriber(event)`` is called for each event; what it returns is not used."""

SINCE = ("now", "beginning")
"""From where a new subscriber follows the log."""

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Subscription:
    """A function of a site's, and which events it is given.

    Attributes:
        name: The name under which the log knows how far it has come; it must stay as it is.
        function: The function.
        types: The types of event that it is given; None for all.
        since: Where it begins when it is new: ``now`` or ``beginning``.
    """

    name: str
    function: Subscriber
    types: frozenset[str] | None
    since: str

    @classmethod
    def of(
        cls, name: str, function: Subscriber, types: str | Iterable[str] | None, since: str
    ) -> Subscription:
        """Return the subscription of a function.

        Raises:
            HandlerInvalid: The name can't be kept, there is no event of a type, no such place to begin at, or
                the function is none that can be called and waited for.
        """
        check_name(name)
        if since not in SINCE:
            raise HandlerInvalid(
                f"The subscriber {name!r} can't begin at {since!r}.",
                hint='Give since="now", for what happens from now on, or since="beginning" for all there is.',
            )
        check_function(function, "subscriber", "event")
        return cls(name, function, _known(name, types), since)

    def wants(self, event: Event) -> bool:
        """Whether it is given an event of its site."""
        return self.types is None or event.type in self.types


def check_name(name: str) -> None:
    """Raise `HandlerInvalid` if a subscriber's name can't be kept."""
    if not 0 < len(name.strip()) == len(name) <= _LONGEST_NAME or not name.isprintable():
        raise HandlerInvalid(
            "A subscriber has no name that can be kept.",
            hint=f"Give it a text of 1 to {_LONGEST_NAME} printable characters, with no space at its ends.",
        )


def check_function(function: Any, what: str, *parameters: str) -> None:
    """Raise `HandlerInvalid` if something is no function that can be called and waited for.

    Args:
        function: What should be one.
        what: What it is to be: a handler or a subscriber.
        parameters: What it will be given, one after the other.
    """
    if not callable(function):
        raise HandlerInvalid(
            f"A {type(function).__name__} is no {what}.", hint="Put the decorator above a function."
        )
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise HandlerInvalid(
            f"The {what} {name} is asynchronous, and nobody would await it.",
            hint="Make it a plain function; it may call asyncio.run itself.",
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # one that is written in C may not tell
        return
    try:
        signature.bind(*parameters)
    except TypeError as error:
        raise HandlerInvalid(
            f"The {what} {name} can't be called with what it is given ({', '.join(parameters)}): {error}.",
            hint=f"Give it the parameters that a {what} has: def {name}({', '.join(parameters)}).",
        ) from None


def _known(name: str, types: str | Iterable[str] | None) -> frozenset[str] | None:
    if types is None:
        return None
    wanted = frozenset((types,) if isinstance(types, str) else types)
    if not wanted:
        raise HandlerInvalid(
            f"The subscriber {name!r} wants no type of event.",
            hint="Name some, or leave `types` out for all.",
        )
    known = sorted(str(event_type) for event_type in EventType)
    for event_type in sorted(map(str, wanted)):
        if event_type not in known:
            nearest = difflib.get_close_matches(event_type, known, n=1)
            guess = f"Did you mean {nearest[0]}? " if nearest else ""
            raise HandlerInvalid(
                f"The subscriber {name!r} wants events of the type {event_type!r}, and there are none.",
                hint=f"{guess}The types are: {', '.join(known)}.",
            )
    return frozenset(map(str, wanted))
