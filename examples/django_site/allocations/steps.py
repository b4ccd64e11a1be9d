"""Steps of a handler that write with Django: each is one transaction, and done once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import close_old_connections, transaction

from amie_engine import Work

from .models import DoneStep

__all__ = ["in_django", "step"]


def step(work: Work, name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Do a step once, in one transaction of Django's with its row in `DoneStep`.

    The engine keeps the result, too. But where the process dies after Django's commit and before the
    engine's, it calls the step again, and that row tells that it was done.
    """
    return work.step(name, _once, work.step_key(name), function, *args)


def _once(key: str, function: Callable[..., Any], *args: Any) -> Any:
    with transaction.atomic():
        done, is_new = DoneStep.objects.get_or_create(key=key)
        if is_new:
            done.result = function(*args)
            done.save()
    return done.result


def in_django(handler: Callable[[Any, Work], Any]) -> Callable[[Any, Work], Any]:
    """Treat a handler as Django treats a request: connections that are dead or too old are closed before and
    after it. The engine calls handlers in threads of its own, and each has a connection of its own."""

    @wraps(handler)
    def called(request: Any, work: Work) -> Any:
        close_old_connections()
        try:
            return handler(request, work)
        finally:
            close_old_connections()

    return called
