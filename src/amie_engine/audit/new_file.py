"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from amie_engine.errors import FileNotWritten

__all__ = ["new_file"]


@contextmanager
def new_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty file beside another one, which takes its place once the block has ended well.

    Whatever goes wrong, nothing is left, and what was there before is as it was. Nobody but its owner may
    read the file: it may hold personal data.

    Args:
        target: The file that is to be.
        replace: Whether it may take the place of one that is there.

    Raises:
        FileNotWritten: It is there and must not be replaced, or it can't be written.
    """
    if not replace and os.path.lexists(target):
        raise _exists(target)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise _refused(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        _put(temporary, target, replace=replace)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # not every system lets a folder be flushed
        _flush(target.parent)


def _put(temporary: Path, target: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)  # fails where somebody has been faster, as no rename does
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _exists(target) from None
        temporary.rename(target)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(target: Path) -> FileNotWritten:
    return FileNotWritten(f"There is a file {target} already.", hint="It is as it was: give another name.")


def _refused(target: Path, error: OSError) -> FileNotWritten:
    return FileNotWritten(f"The file {target} can't be written: {error.strerror or type(error).__name__}.")
