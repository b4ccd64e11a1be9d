"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from amie_engine.errors import FileNotWritten

__all__ = ["new_file"]

_SQLITE = b"SQLite format 3\x00"
"""What the file of a SQLite database begins with."""

_BESIDE = ("-wal", "-shm", "-journal")
"""How the names of the files end that SQLite makes beside it, and takes for its own."""


@contextmanager
def new_file(
    target: Path,
    *,
    may_replace: Callable[[Path], bool] | None = None,
    hint: str = "It is as it was: give another name.",
) -> Iterator[Path]:
    """Give an empty file beside another one, which takes its place once the block has ended well.

    Whatever goes wrong, nothing is left, and what was there before is as it was. Nobody but its owner may
    read the file: it may hold personal data.

    Args:
        target: The file that is to be.
        may_replace: Tells of one that is there whether this may take its place; without it, it may not.
        hint: What to do where there is one, and it must not be replaced.

    Raises:
        FileNotWritten: It is there and must not be replaced, or it can't be written.
    """
    _refuse_databases(target)
    replaces = os.path.lexists(target)
    if replaces and (may_replace is None or not target.is_file() or not may_replace(target)):
        raise _exists(target, hint)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise _refused(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        if replaces:
            temporary.replace(target)
        else:
            _put(temporary, target, hint)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # not every system lets a folder be flushed
        _flush(target.parent)


def _refuse_databases(target: Path) -> None:
    """Refuse what is a database, or what SQLite would take for a part of one."""
    names = [str(target), *(str(target).removesuffix(end) for end in _BESIDE)]
    for database in map(Path, dict.fromkeys(names)):
        if _is_database(database):
            what = "is" if database == target else "belongs to"
            raise FileNotWritten(
                f"The file {target} {what} a SQLite database.", hint="Nothing was written: give another name."
            )


def _is_database(file: Path) -> bool:
    try:
        if not file.is_file():  # a pipe would keep whoever opens it waiting
            return False
        with file.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _put(temporary: Path, target: Path, hint: str) -> None:
    try:
        os.link(temporary, target)  # fails where somebody has been faster, as no rename does
    except FileExistsError:
        raise _exists(target, hint) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _exists(target, hint) from None
        temporary.rename(target)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(target: Path, hint: str) -> FileNotWritten:
    return FileNotWritten(f"There is a file {target} already.", hint=hint)


def _refused(target: Path, error: OSError) -> FileNotWritten:
    return FileNotWritten(f"The file {target} can't be written: {error.strerror or type(error).__name__}.")
