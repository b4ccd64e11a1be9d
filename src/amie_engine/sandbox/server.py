"""The sandbox's server: uvicorn on loopback, in a thread for tests, or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from amie_engine.errors import DependencyMissing, SandboxError, SettingsError
from amie_engine.sandbox.app import BASE_PATH, create_app
from amie_engine.sandbox.faults import Faults
from amie_engine.sandbox.hub import Sandbox
from amie_engine.sandbox.mishaps import FaultyApp, reset

try:
    import uvicorn
except ImportError as error:
    raise DependencyMissing(
        "The sandbox's server needs uvicorn, which is not installed.",
        hint="Install it: pip install 'amie-engine[sandbox]'.",
    ) from error

__all__ = ["SandboxServer", "serve"]

_START_TIMEOUT = 30.0
"""Seconds in which uvicorn must be up; it takes a fraction of one."""

_TICK = 0.1
"""Seconds between two looks of uvicorn's at what is due."""
_TICKS_A_DAY = 864_000


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address.

    Raises:
        SettingsError: The address is not of this machine alone, or the port is taken.
    """
    try:
        is_loopback = IPv4Address("127.0.0.1" if host == "localhost" else host).is_loopback
    except AddressValueError:
        is_loopback = False
    if not is_loopback:
        raise SettingsError(
            "The sandbox serves this machine alone.", hint="Give a loopback address, such as 127.0.0.1."
        )
    # With the protocol named, asyncio sets TCP_NODELAY on each connection; else every call takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise SettingsError(
            f"The sandbox can't listen on port {port}: {error}.",
            hint="Take another port, or 0 for a free one.",
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}{BASE_PATH}/"


class _Uvicorn(uvicorn.Server):
    """uvicorn that tells when it has started, and can end as a process that is killed."""

    def __init__(self, sandbox: Sandbox, faults: Faults | None, on_start: Callable[[], None]) -> None:
        app: Any = create_app(sandbox)
        if faults is not None:
            calls, tests = f"{BASE_PATH}/", f"{BASE_PATH}/test/"
            app = FaultyApp(
                app,
                faults,
                paths=calls,
                listings=f"{BASE_PATH}/packets/",
                spared=tests,
                restart=self._restart,
            )
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,  # the host program's logging stays as it is
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._sandbox = sandbox
        self._on_start = on_start
        self.dies = False
        """Whether it ends without a word to who is connected."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_to_end = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self._on_start()

    async def main_loop(self) -> None:
        """As uvicorn's, which looks ten times a second whether it is to end; but it ends at once."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % _TICKS_A_DAY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_to_end.wait(), _TICK)

    def end(self) -> None:
        """Have it end; for another thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._is_to_end.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.dies:
            self._reset_connections()
        await super().shutdown(sockets=sockets)

    def _restart(self, memory: bool) -> None:
        """Be gone for all who are connected; without memory, come back without transactions."""
        if not memory:
            self._sandbox.forget()
        self._reset_connections()

    def _reset_connections(self) -> None:
        for connection in list(self.server_state.connections):
            reset(connection.transport)


class SandboxServer:
    """A sandbox served from a thread of this process, for as long as a ``with`` block lasts.

    Args:
        sandbox: What is served.
        host: A loopback address.
        port: The port; 0 takes a free one.
        faults: What happens to its calls; nothing where None is given.

    Raises:
        SettingsError: The address is not a loopback address, or the port is taken (when the block begins).
    """

    def __init__(
        self, sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0, *, faults: Faults | None = None
    ) -> None:
        self.sandbox = sandbox
        self.faults = faults
        self._host = host
        self._port = port
        self._url: str | None = None
        self._server: _Uvicorn | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """The base URL of the service, with a slash at its end.

        Raises:
            SandboxError: The server has not been started.
        """
        if self._url is None:
            raise SandboxError("The sandbox's server has not been started.", hint="Use it in a with block.")
        return self._url

    def start(self) -> None:
        """Start serving. The service answers when this returns.

        Raises:
            SandboxError: It serves already, or uvicorn did not come up.
        """
        if self._thread is not None:
            raise SandboxError("The sandbox's server has been started already.")
        self._start(_listen(self._host, self._port))

    def _start(self, listener: socket.socket) -> None:
        started = Event()
        self._url = _url(listener)
        self._server = _Uvicorn(self.sandbox, self.faults, started.set)
        self._thread = Thread(
            target=self._server.run, args=([listener],), name="amie-engine sandbox", daemon=True
        )
        self._thread.start()
        if not started.wait(_START_TIMEOUT):
            self.stop()
            listener.close()
            raise SandboxError("The sandbox's server did not start in time.")

    def restart(self, *, memory: bool = True) -> None:
        """Stop serving and start again on the same port, as a process that was killed and started again.

        The listener is closed and every connection reset; what they had begun may have been done or not.

        Args:
            memory: Whether it comes back as it was. Else its transactions are gone, record ids go on, and
                the scenarios that had not ended are begun anew (`Sandbox.forget`).

        Raises:
            SandboxError: It does not serve.
            SettingsError: Another process has taken the port meanwhile.
        """
        url = urlsplit(self.url)
        if self._server is not None:
            self._server.dies = True
        self.stop()
        if not memory:
            self.sandbox.forget()
        self._start(_listen(url.hostname or self._host, url.port or self._port))

    def stop(self) -> None:
        """Stop serving, and free the port. What is stopped already stays so."""
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join()
        self._server = self._thread = self._url = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(
    sandbox: Sandbox,
    port: int = 8080,
    *,
    host: str = "127.0.0.1",
    faults: Faults | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve a sandbox in the foreground until the process is interrupted.

    Args:
        sandbox: What is served.
        port: The port; 0 takes a free one.
        host: A loopback address.
        faults: What happens to its calls; nothing where None is given.
        on_start: Called with the service's base URL as soon as it answers.

    Raises:
        SettingsError: The address is not a loopback address, or the port is taken.
    """
    listener = _listen(host, port)
    url = _url(listener)
    server = _Uvicorn(sandbox, faults, lambda: on_start(url) if on_start is not None else None)
    # After a clean stop, uvicorn raises the interrupt once more.
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        server.run([listener])
