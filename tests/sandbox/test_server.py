"""The server: where it listens, how it stops, and what must be installed for it."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

import amie_engine.sandbox
from amie_engine.errors import DependencyMissing, SandboxError, SettingsError
from amie_engine.sandbox import Sandbox, SandboxServer, serve

from .scripted_site import KEY, ScriptedSite


def test_the_server_answers_within_its_block_only() -> None:
    server = SandboxServer(Sandbox(api_key=KEY))
    with pytest.raises(SandboxError):
        _ = server.url
    with server:
        url = server.url
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/v0.10/")
        with ScriptedSite(url) as site:
            assert site.packets() == []
        with pytest.raises(SandboxError):
            server.start()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    server.stop()  # stopped already
    with server, ScriptedSite(server.url) as site:
        assert site.packets() == []


def test_a_restart_closes_every_connection_and_keeps_the_port_and_what_there_was() -> None:
    server = SandboxServer(Sandbox(api_key=KEY))
    with pytest.raises(SandboxError):
        server.restart()
    with server:
        url = server.url
        address = urlsplit(url)
        server.sandbox.start_scenario("single:request_user_modify")
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connected:
            connected.sendall(b"GET /nothing HTTP/1.1\r\nHost: sandbox\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connected.recv(65536)
            server.restart()
            with pytest.raises(ConnectionResetError):
                connected.recv(1)
        assert server.url == url
        with ScriptedSite(url) as site:
            [packet] = site.packets()
            server.restart(memory=False)
            [again] = site.packets()
    assert packet["type"] == again["type"] == "request_user_modify"
    for name in ("packet_rec_id", "trans_rec_id"):
        assert again["header"][name] == packet["header"][name] + 1
    assert [one.trans_rec_id for one in server.sandbox.forgotten] == [packet["header"]["trans_rec_id"]]


def test_only_loopback_addresses_are_served() -> None:
    sandbox = Sandbox()
    for host in ("0.0.0.0", "192.0.2.1", "example.edu", "", "::"):  # noqa: S104 # to see it refused
        with pytest.raises(SettingsError):
            SandboxServer(sandbox, host=host).start()
        with pytest.raises(SettingsError):
            serve(sandbox, 0, host=host)
    with SandboxServer(sandbox, host="localhost") as server:
        assert "127.0.0.1" in server.url


def test_a_port_that_is_taken_or_none_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match=r"port"):
            SandboxServer(Sandbox(), port=taken.getsockname()[1]).start()
    with pytest.raises(SettingsError):
        SandboxServer(Sandbox(), port=70000).start()


def test_serving_in_the_foreground_ends_with_an_interrupt() -> None:
    program = (
        "from amie_engine.sandbox import Sandbox, serve\n"
        "serve(Sandbox(api_key='key'), 0, on_start=lambda url: print(url, flush=True))\n"
        "print('ended')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"XA-SITE": "NCSA", "XA-API-KEY": "key"}
        answer = requests.get(f"{url}packets/NCSA", headers=headers, timeout=10)
        assert answer.json() == {"message": None, "result": []}
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.read() == "ended\n"
    assert process.returncode == 0


@pytest.mark.parametrize("absent", ["fastapi", "uvicorn"])
def test_without_its_dependencies_the_server_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    for module in ("app", "server"):
        monkeypatch.delitem(sys.modules, f"amie_engine.sandbox.{module}")
        monkeypatch.delattr(amie_engine.sandbox, module)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ImportError, match=r"pip install 'amie-engine\[sandbox\]'") as caught:
        _ = amie_engine.sandbox.SandboxServer
    assert isinstance(caught.value, DependencyMissing)


def imports_of(source: Path) -> set[str]:
    """The modules that a source file imports."""
    imported = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    return imported


def test_the_sandbox_shares_no_code_with_the_engine_and_its_hub_needs_no_web_framework() -> None:
    # With shared code, both sides of a test could share one mistake.
    for source in Path(amie_engine.sandbox.__file__).parent.glob("*.py"):
        imported = imports_of(source)
        assert "amie_engine" not in imported
        ours = {name.split(".")[1] for name in imported if name.startswith("amie_engine.")}
        assert ours <= {"errors", "packet", "protocol", "sandbox"}
        if source.name not in ("app.py", "server.py"):
            others = {name.split(".")[0] for name in imported} - {"amie_engine"}
            assert others <= sys.stdlib_module_names
