"""The client against a real HTTP server on loopback that answers as badly as servers and proxies do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amie_engine.client import AMIEClient
from amie_engine.errors import (
    ServiceFault,
    ServiceUnreachable,
    ServiceUnreadableAnswer,
)
from amie_engine.packet import InformTransactionComplete, RequestAccountCreate

KEY = "s3cret-key-of-NCSA"
EMPTY = b'{"message": null, "result": []}'

Step = Callable[[socket.socket, threading.Event], None]


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def stall_after(start: bytes) -> Step:
    """Send so much, and then nothing until the test is over."""

    def step(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        over.wait(30)

    return step


class OddServer:
    """A server that reads one request a connection, and answers with the next of the given bytes or steps."""

    def __init__(self) -> None:
        self.answers: deque[bytes | Step] = deque()
        self.requests: list[bytes] = []
        self._over = threading.Event()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v0.10/"

    def close(self) -> None:
        self._over.set()
        socket.create_connection(self._listener.getsockname()).close()  # wakes the thread that accepts
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._over.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += stream.readline()
            for line in request.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    request += stream.read(int(line.split(b":")[1]))
            self.requests.append(request)
            step = self.answers.popleft()
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                step(connection, self._over)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = OddServer()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(server: OddServer, waits: list[float]) -> Iterator[AMIEClient]:
    with AMIEClient("NCSA", KEY, server.url, sleep=waits.append, random=lambda: 1.0) as made:
        yield made


def inform() -> InformTransactionComplete:
    return InformTransactionComplete(StatusCode="Success", DetailCode=1, Message="done")


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_call_on_the_wire(client: AMIEClient, server: OddServer) -> None:
    server.answers.append(answer(b'{"message": "ok", "result": null}'))
    client.set_packet_client_state("1/2", "seen by us?")
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "PUT /v0.10/packets/NCSA/1%2F2/client_state/seen%20by%20us%3F HTTP/1.1"
    assert f"XA-API-KEY: {KEY}" in head
    assert "XA-SITE: NCSA" in head


def test_a_packet_on_the_wire(client: AMIEClient, server: OddServer) -> None:
    server.answers.append(answer(b'{"message": "ok", "result": null}'))
    packet = RequestAccountCreate(packet_rec_id=5).reply_with_failure(message=" no space left \n")
    client.send_packet(packet)
    sent = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert sent["header"]["in_reply_to"] == 5
    assert sent["body"] == {"StatusCode": "Failure", "DetailCode": "2", "Message": "no space left"}


def test_a_listing_of_megabytes_is_read(client: AMIEClient, server: OddServer) -> None:
    document = {
        "type": "request_account_create",
        "header": {"trans_rec_id": 1},
        "body": {"Comment": "x" * 5000},
    }
    documents = [document | {"header": {"packet_rec_id": number}} for number in range(500)]
    body = json.dumps({"message": "", "result": documents}).encode()
    assert len(body) > 2_500_000
    server.answers.append(answer(gzip.compress(body), "Content-Encoding: gzip"))
    server.answers.append(answer(body))
    assert len(client.list_packets()) == 500
    assert client.list_packets().packets[-1].packet_rec_id == 499


@pytest.mark.parametrize(
    "given",
    [
        answer(b"<html><body>Please log in</body></html>", "Content-Type: text/html"),
        answer(b'{"message": "", "result": [{"type": "request_acc'),
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"message": "", "res',
        answer(b""),
        answer(b"\x1f\x8b not gzip", "Content-Encoding: gzip"),
        answer(b"", "Location: http://[broken", status="302 Found"),
    ],
)
def test_an_answer_that_is_not_the_apis(
    client: AMIEClient, server: OddServer, waits: list[float], given: bytes
) -> None:
    server.answers.append(given)
    with pytest.raises(ServiceUnreadableAnswer) as caught:
        client.list_packets()
    assert len(server.requests) == 1
    assert waits == []
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"", "failed or was cut off"),
        (f"NONSENSE {KEY}\r\n\r\n".encode(), "failed or was cut off"),
        (answer(b'{"message":', length=1000), "in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{", "in the middle"),
    ],
)
def test_no_whole_answer_means_look_before_sending_again(
    client: AMIEClient, server: OddServer, waits: list[float], given: bytes, told: str
) -> None:
    server.answers.append(given)
    with pytest.raises(ServiceUnreachable, match=told) as caught:
        client.send_packet(inform())
    assert len(server.requests) == 1
    assert waits == []
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("start", [b"", b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"message":'])
def test_a_server_that_stalls_is_not_waited_for(server: OddServer, waits: list[float], start: bytes) -> None:
    server.answers.append(stall_after(start))
    with (
        AMIEClient("NCSA", KEY, server.url, timeout=(10, 0.1), sleep=waits.append) as client,
        pytest.raises(ServiceUnreachable, match=r"nothing came for 0\.1 s"),
    ):
        client.send_packet(inform())
    assert len(server.requests) <= 1
    assert waits == []


def test_a_listing_survives_a_bad_minute(client: AMIEClient, server: OddServer, waits: list[float]) -> None:
    server.answers.append(b"")
    server.answers.append(answer(b"<html>", "Retry-After: 9", status="503 Service Unavailable"))
    server.answers.append(answer(b"{", length=1000))
    server.answers.append(answer(EMPTY))
    assert len(client.list_packets()) == 0
    assert waits == [0.5, 9.0, 2.0]


def test_a_proxys_page_for_an_error_is_told_by_its_status(client: AMIEClient, server: OddServer) -> None:
    page = answer(b"<html>Bad Gateway at proxy7</html>", "Content-Type: text/html", status="502 Bad Gateway")
    server.answers.extend([page] * 4)
    with pytest.raises(ServiceFault, match=r"502 \(Bad Gateway\)") as caught:
        client.list_packets()
    assert "proxy7" not in str(caught.value)


def test_another_host_is_never_given_the_key(client: AMIEClient, server: OddServer) -> None:
    other = OddServer()
    try:
        for status in ("301 Moved Permanently", "307 Temporary Redirect"):
            server.answers.append(answer(b"", f"Location: {other.url}", status=status))
            with pytest.raises(ServiceUnreadableAnswer, match="redirect"):
                client.list_packets()
        assert other.requests == []
    finally:
        other.close()


def test_where_nobody_listens_the_service_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as bound:  # bound, so that nobody else takes the port; not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://ada:hunter2@127.0.0.1:{bound.getsockname()[1]}/"
        with (
            AMIEClient("NCSA", KEY, url, sleep=waits.append) as client,
            pytest.raises(ServiceUnreachable, match="no connection could be made") as caught,
        ):
            client.list_packets(client_states=["ada@example.edu"])
    assert len(waits) == 3
    cause: Any = caught.value.__cause__
    assert cause.request.headers["XA-API-KEY"] == "***"
    assert KEY not in shown(caught.value)
    assert "hunter2" not in shown(caught.value)
