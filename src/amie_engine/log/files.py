"""The file of a SQLite database: where it is, who may read it, and what stands beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL

__all__ = ["FileIdentity", "file_of", "identity_of", "in_memory", "make_private", "remove", "remove_beside"]

FileIdentity = tuple[int, int]
"""Equal for two paths that lead to the same file."""

_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite puts behind the name of a database's file, for its files beside it."""


def in_memory(url: URL) -> bool:
    """Tell whether a SQLite URL names a database in memory."""
    name = url.database or ":memory:"
    return name in (":memory:", "file::memory:") or url.query.get("mode") == "memory"


def file_of(url: URL) -> Path | None:
    """Return the file that a URL names; None where it names no SQLite database, or one in memory."""
    if url.get_backend_name() != "sqlite" or in_memory(url):
        return None
    name = url.database or ""
    if name.startswith("file:"):  # SQLite's own form, for which the URL has uri=true
        name = unquote(urlsplit(name).path)
    return Path(name)


def identity_of(file: Path) -> FileIdentity | None:
    """Return which file a path leads to; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_private(url: URL) -> None:
    """Make the file that a URL names, if SQLite would make it now: for its owner alone, since what it will
    hold is personal.

    One that is there keeps its mode, and is not even opened: closing it would drop this process's locks on
    it. The files that SQLite puts beside it get the same mode.
    """
    file = file_of(url)
    if file is None or url.query.get("mode") not in (None, "rwc") or "immutable" in url.query:
        return
    with suppress(OSError):  # it is there; or it can't be made, as SQLite will say
        os.close(os.open(os.path.realpath(file), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def remove(file: Path) -> None:
    """Remove a database's file, with the files beside it."""
    file.unlink(missing_ok=True)
    remove_beside(file)


def remove_beside(file: Path) -> None:
    """Remove the files that SQLite has put beside a database's: nobody may use it any more."""
    for suffix in _BESIDE:
        Path(f"{file}{suffix}").unlink(missing_ok=True)
