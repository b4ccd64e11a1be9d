"""The sandbox's application with faults: what happens to calls before and after the service itself."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from amie_engine.sandbox.faults import Fault, Faults

__all__ = ["IS_COPY", "FaultyApp", "reset"]

IS_COPY = "amie_engine.sandbox.is_copy"
"""What a call carries that `Fault.DUPLICATE` has made of another: the site made but one."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_AT_ONCE = struct.pack("ii", 1, 0)
"""Of the option SO_LINGER: nothing lingers, and the other side's next word is answered with a reset."""

_DELAY = 0.02
"""Seconds: enough for another call to overtake."""

_ANSWERS: dict[Fault, tuple[int, bytes, bytes]] = {
    Fault.RATE_LIMITED: (429, b"application/json", b'{"message": "Too many calls"}'),
    Fault.FAILED_BEFORE: (500, b"application/json", b'{"message": "An unexpected error occurred"}'),
    Fault.FAILED_AFTER: (500, b"application/json", b'{"message": "An unexpected error occurred"}'),
    Fault.UNAVAILABLE: (503, b"text/plain", b"Service Unavailable"),
    Fault.HTML: (200, b"text/html", b"<!doctype html><title>Log in</title><p>Please log in."),
    Fault.EXPIRED_KEY: (401, b"application/json", b'{"message": "The API key has expired"}'),
}
_RESTARTS = frozenset({Fault.RESTART, Fault.FORGETFUL_RESTART})
_ACTS_FIRST = frozenset({Fault.FAILED_AFTER, Fault.DROP_ANSWER, Fault.CUT_ANSWER, Fault.DUPLICATE})
_EVERY_STATE = "in-progress,completed,failed"


class FaultyApp:
    """An ASGI application before another one, to whose calls things happen.

    Args:
        app: The application.
        faults: Chooses what happens.
        paths: The beginning of the paths that it happens to.
        listings: The beginning of the paths that list packets.
        spared: The beginning of the paths that nothing happens to.
        restart: Called where the service restarts, with whether it comes back as it was; it closes every
            connection.
    """

    def __init__(
        self,
        app: App,
        faults: Faults,
        *,
        paths: str,
        listings: str,
        spared: str,
        restart: Callable[[bool], None],
    ) -> None:
        self._app = app
        self._faults = faults
        self._paths = paths
        self._listings = listings
        self._spared = spared
        self._restart = restart
        self._misses = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a call, or do to it what was chosen."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(self._paths) or path.startswith(self._spared):
            await self._app(scope, receive, send)
            return
        if self._misses:
            self._misses -= 1
            await _read(receive)
            await _close(receive)
            return
        is_listing = scope["method"] == "GET" and self._lists(path)
        changes = self._faults.of_listing() if is_listing else frozenset()
        fault = self._faults.of_call()
        body = await _read(receive)
        if fault is Fault.DELAY:
            await asyncio.sleep(_DELAY)
        if fault in _ANSWERS and fault not in _ACTS_FIRST:
            await _answer(send, *_ANSWERS[fault])
            return
        if fault in _RESTARTS:
            self._misses = self._faults.of_absence()
            self._restart(fault is Fault.RESTART)
        if fault is Fault.DROP_REQUEST or fault in _RESTARTS:
            await _close(receive)
            return
        if Fault.LIST_OLD in changes:
            scope = {**scope, "query_string": _with_every_state(scope["query_string"])}
        answer = await self._call(scope, body)
        if fault is Fault.DUPLICATE:
            answer = await self._call({**scope, IS_COPY: True}, body)
        if fault is Fault.DROP_ANSWER:
            await _close(receive)
            return
        if fault is Fault.FAILED_AFTER:
            answer = _ANSWERS[fault]
        status, kind, content = answer
        if Fault.SHUFFLE in changes:
            content = self._shuffled(content)
        if fault is Fault.CUT_ANSWER:
            content = content[: len(content) // 2]
        await _answer(send, status, kind, content)

    def _lists(self, path: str) -> bool:
        return path.startswith(self._listings) and "/" not in path.removeprefix(self._listings)

    async def _call(self, scope: MutableMapping[str, Any], body: bytes) -> tuple[int, bytes, bytes]:
        """Have the service act, and return its answer."""
        started: Message = {}
        content = bytearray()
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                content.extend(message.get("body", b""))

        await self._app(dict(scope), receive, send)
        kind = dict(started["headers"]).get(b"content-type", b"application/json")
        return started["status"], kind, bytes(content)

    def _shuffled(self, content: bytes) -> bytes:
        document = json.loads(content)
        if isinstance(document.get("result"), list):
            document["result"] = self._faults.shuffled(document["result"])
        return json.dumps(document).encode("ascii")


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


async def _answer(send: Send, status: int, kind: bytes, content: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode("ascii"))]
    if status == 429:  # its own name
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _close(receive: Receive) -> None:
    """Close a call's connection without a word. ASGI has no message for that; uvicorn's object of it does."""
    call: Any = receive
    reset(call.__self__.transport)
    await receive()  # until it is closed


def reset(transport: Any) -> None:
    """Close a connection as a process that is gone does: what is under way in it is lost."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _with_every_state(query: bytes) -> bytes:
    given = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    return urlencode({**given, "states": _EVERY_STATE}).encode("ascii")
