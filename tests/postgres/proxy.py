"""A network that fails at the worst moment: between an engine and the real server, it loses answers."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from threading import Thread

from sqlalchemy import make_url

_SOCKET = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\x00"
"""As it stands both in the command and in the server's answer to it."""
_WRITER, _READER = b"LEVEL READ COMMITTED", b"LEVEL REPEATABLE READ"
"""How the log begins its transactions. That of a reader has nothing to lose."""


class Proxy:
    """Hands on what engine and server say to each other, but for the writers' commits that it is to lose.

    Attributes:
        url: The server's URL by way of this.
        lose_answers: How many commits the server shall get, and the engine no answer to.
        lose_commits: How many commits the server shall not get.
        stays_down: Whether nobody gets through any more once something was lost.
    """

    def __init__(self, server: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        host = make_url(server).query["host"]
        assert isinstance(host, str)
        self._server = str(Path(host) / _SOCKET)
        self.url = make_url(server).update_query_dict({"host": str(self._folder)}).render_as_string(False)
        self.lose_answers = self.lose_commits = 0
        self._generation = 0
        self.stays_down = False
        self._down = False
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._folder / _SOCKET))
        self._listening.listen()
        Thread(target=self._accept, daemon=True).start()

    def go_on(self) -> None:
        """Let everybody through again."""
        self._down = self.stays_down = False

    def forget_connections(self) -> None:
        """As a firewall does, or a host that takes over: nobody hears of it, and the next word ends each."""
        self._generation += 1

    def close(self) -> None:
        """Stop."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                if self._down:
                    client.close()
                else:
                    Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, DefaultSelector() as selector:
            server.connect(self._server)
            for side in (client, server):
                selector.register(side, EVENT_READ)
            writing = False
            generation = self._generation
            with suppress(OSError):
                while True:
                    for key, _ in selector.select():
                        said = key.fileobj.recv(65536)  # type: ignore[union-attr] # a socket
                        if not said or generation != self._generation:
                            return
                        writing = _WRITER in said or (writing and _READER not in said)
                        commits = key.fileobj is client and writing and _COMMIT in said
                        if commits and self._loses(server, said):
                            self._down = self.stays_down
                            return
                        (server if key.fileobj is client else client).sendall(said)

    def _loses(self, server: socket.socket, commit: bytes) -> bool:
        """Lose a commit or the answer to it, if one is to be lost."""
        if self.lose_commits:
            self.lose_commits -= 1
            return True
        if not self.lose_answers:
            return False
        self.lose_answers -= 1
        server.sendall(commit)
        answer = b""
        while _COMMIT not in answer:
            answer += server.recv(65536)
        return True


@contextmanager
def proxy_before(server: str) -> Iterator[Proxy]:
    """A proxy before a server, to be stopped at the end."""
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
