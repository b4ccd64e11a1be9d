"""Where the points are: each statement and commit of the database, each HTTP call, each step of a handler."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
import sqlalchemy

from amie_engine.engine import Engine, RecordedEvent
from amie_engine.engine.subscription import Subscriber, Subscription
from amie_engine.engine.subscriptions import Subscriptions
from amie_engine.errors import SubscriberNotFailing
from amie_engine.site import Handler, Site, Work
from amie_engine.site.work import Memory
from amie_engine.testing.crashes.points import Points

__all__ = ["WatchedSite", "WatchedSubscriptions", "watch_database", "watch_http"]

_MOVES_THE_HEAD = "UPDATE amie_log_head SET position"


class _Commits:
    """What of the log one connection has written and not yet committed."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._newest: tuple[int, str] | None = None

    def ran(self, sql: Any, values: Any) -> None:
        if isinstance(sql, str) and sql.startswith(_MOVES_THE_HEAD):
            self._newest = values[0], values[1]

    def committed(self) -> None:
        """From here on, what was written must never be lost."""
        self._points.lasting()
        if self._newest is not None:
            position, digest = self._newest
            self._points.journal.note("committed", position=position, hash=digest)
        self._newest = None

    def rolled_back(self) -> None:
        self._newest = None


def watch_database(points: Points) -> None:
    """Put points around each statement, commit and rollback of every database that is opened from now on, of
    the log and of the site's back end alike, where SQLAlchemy opens it."""

    def connect(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        if _dialect.name == "sqlite":
            options["factory"] = _sqlite_connection(points)
            return None
        return _postgresql_connection(points).connect(*arguments, **options)

    sqlalchemy.event.listen(sqlalchemy.Engine, "do_connect", connect)


def _ending(points: Points) -> Any:
    """What puts points around the end of a transaction, before a class of a driver's connections."""

    class Ending:
        commits: _Commits

        def commit(self) -> None:
            with points.around("COMMIT"):
                super().commit()  # type: ignore[misc] # the driver's
                self.commits.committed()

        def rollback(self) -> None:
            with points.around("ROLLBACK"):
                super().rollback()  # type: ignore[misc] # the driver's
                self.commits.rolled_back()

    return Ending


def _first_words(sql: Any) -> str:
    text = sql if isinstance(sql, str) else type(sql).__name__
    return " ".join(text.split()[:6])


def _sqlite_connection(points: Points) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, /, *values: Any) -> Any:
            with points.around(_first_words(sql)):
                result = super().execute(sql, *values)
                if not self.connection.in_transaction:
                    points.lasting()
            self.connection.commits.ran(sql, *values or ((),))  # type: ignore[attr-defined] # made below
            return result

        def executemany(self, sql: str, many: Any, /) -> Any:
            with points.around(_first_words(sql)):
                return super().executemany(sql, many)

    class Connection(_ending(points), sqlite3.Connection):  # type: ignore[misc] # made for these points
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.commits = _Commits(points)

        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, /, *values: Any) -> Any:
            return self.cursor().execute(sql, *values)

    return Connection


def _postgresql_connection(points: Points) -> Any:
    import psycopg

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            with points.around(_first_words(query)):
                result = super().execute(query, params, **options)
                if self.connection.autocommit:
                    points.lasting()
            self.connection.commits.ran(query, params)  # type: ignore[attr-defined] # made below
            return result

        def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
            with points.around(_first_words(query)):
                super().executemany(query, params_seq, **options)

    class Connection(_ending(points), psycopg.Connection[Any]):  # type: ignore[misc] # made for these points
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.cursor_factory = Cursor
            self.commits = _Commits(points)

    return Connection


def watch_http(points: Points) -> None:
    """Put points around each HTTP call that this process makes with requests."""
    send = requests.adapters.HTTPAdapter.send

    @functools.wraps(send)
    def watched(
        self: requests.adapters.HTTPAdapter,
        request: requests.PreparedRequest,
        *arguments: Any,
        **options: Any,
    ) -> requests.Response:
        with points.around(f"{request.method} {urlsplit(str(request.url)).path}"):
            try:
                return send(self, request, *arguments, **options)
            finally:
                points.lasting()

    requests.adapters.HTTPAdapter.send = watched  # type: ignore[method-assign] # in a process of its own


class WatchedSite(Site):
    """A site with points around each call of a handler or a subscriber, and around each step of a handler.

    Args:
        site: The site.
        points: The points.
    """

    def __init__(self, site: Site, points: Points) -> None:
        super().__init__(site.name, retries=site.retries, lease=site.lease)
        self._watched = site
        self._points = points

    def handler_for(self, packet_type: str) -> Handler | None:
        """Return the handler for a type of packet, watched."""
        handler = self._watched.handler_for(packet_type)
        return None if handler is None else self._watch(handler)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscribers, watched."""
        return tuple(replace(each, function=self._deliver(each)) for each in self._watched.subscriptions)

    def note_subscribers(self) -> None:
        """Note what each subscriber is to be given, from now on or from the beginning.

        Call it when the runner is made, with which they begin: where the process is killed before that,
        nothing is written to the log until the next process comes here.
        """
        for each in self._watched.subscriptions:
            types = None if each.types is None else sorted(each.types)
            self._points.journal.note("subscribed", name=each.name, types=types, since=each.since)

    def _deliver(self, subscription: Subscription) -> Subscriber:
        def watched(event: RecordedEvent) -> None:
            self._points.at(f"before the subscriber {subscription.name!r}")
            subscription.function(event)
            self._points.journal.note("delivered", name=subscription.name, position=event.position)
            self._points.lasting()
            self._points.at(f"after the subscriber {subscription.name!r}")

        return watched

    def _watch(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        def watched(packet: Any, work: Work) -> Any:
            work.memory = _WatchedMemory(work.memory, work.step_key, self._points)
            with self._points.around(f"the handler of {packet.packet_type}"):
                try:
                    return handler(packet, work)
                finally:
                    self._points.lasting()  # it may have done what nobody can see, outside of its steps

        return watched


class WatchedSubscriptions(Subscriptions):
    """The subscribers of an engine, of which is noted what a person has them skip.

    Args:
        engine: The engine.
        points: The points.
        stopwatch: Gives seconds.
    """

    def __init__(self, engine: Engine, points: Points, *, stopwatch: Callable[[], float]) -> None:
        super().__init__(engine, stopwatch=stopwatch)
        self._points = points

    def skip(self, name: str, *, actor: str) -> int:
        """Have a subscriber skip the event that it fails at: it is noted before, as the process may be killed
        right after the commit."""
        at = next((row.position + 1 for row in self.all() if row.name == name), 0)
        self._points.journal.note("skipped", name=name, position=at)
        try:
            return super().skip(name, actor=actor)
        except SubscriberNotFailing:
            self._points.journal.note("not skipped", name=name, position=at)
            raise


class _WatchedMemory:
    """The memory of a handler. It is asked for a step's result right before the step is done, and given it
    right after."""

    def __init__(self, memory: Memory, key: Callable[[str], str], points: Points) -> None:
        self._memory = memory
        self._key = key
        self._points = points

    def result(self, name: str) -> tuple[Any] | None:
        done = self._memory.result(name)
        if done is None:
            self._points.at(f"before the step {name!r}")
            self._points.journal.note("step", key=self._key(name))
        return done

    def remember(self, name: str, result: Any, milliseconds: int) -> Any:
        self._points.lasting()
        self._points.at(f"after the step {name!r}")
        return self._memory.remember(name, result, milliseconds)

    def answer(self, name: str) -> str | None:
        return self._memory.answer(name)

    def alive(self) -> None:
        self._memory.alive()
