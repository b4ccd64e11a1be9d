"""Processes, each by a name of its own: on this host it is known at once whether one is gone."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["host_of", "is_gone", "number_of", "shown_process", "this_process"]


def this_process() -> str:
    """Return the name under which this process is known in the log: host, process, and since when it runs."""
    return _own_name(os.getpid())


def is_gone(name: str) -> bool:
    """Tell whether a process is known to run no more: it was on this host, and is not there, or its number is
    another one's by now. Of another host's, or where the system does not tell, that is never known."""
    place, _, rest = name.rpartition(":")
    host, _, number = place.rpartition(":")
    if not rest or host != _host() or not number.isdigit():
        return False
    return _name_of(int(number)) != name


def host_of(name: str) -> str:
    """Return the host's name in that of a process."""
    return name.partition(":")[0].partition("/")[0]


def number_of(name: str) -> str:
    """Return the process's number in its name, as its host tells it."""
    return name.split(":")[1]


def shown_process(name: str) -> str:
    """Return a process as an operator knows it, by its name in the log; what is no such name as it is."""
    return f"{host_of(name)} (process {number_of(name)})" if ":" in name else name


@cache
def _own_name(number: int) -> str:  # of each number once: a process may fork
    return _name_of(number) or f"{socket.gethostname()}:{number}"


def _name_of(number: int) -> str | None:
    """The name of a process of this host; None where there is none, or the system does not tell."""
    try:
        told = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *_, started = told.rpartition(")")[2].split()[:20]
    return None if state in "ZX" else f"{_host()}:{number}:{started}"


@cache
def _host() -> str:
    """The host, and the namespace in which its processes are numbered: a container has its own."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}/{namespace}"
