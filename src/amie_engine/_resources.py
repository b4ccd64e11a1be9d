"""Where the files are that come with the package but are no modules of it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["folder"]

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return a folder that ships with the package: inside it when installed from a wheel, at the top of the
    checkout in an editable install.

    Raises:
        FileNotFoundError: The installation lacks it.
    """
    for parent in (_PACKAGE, _PACKAGE.parent.parent):
        found = parent / name
        if found.is_dir():
            return found
    raise FileNotFoundError(f"This installation of amie-engine lacks its folder {name!r}. Install it again.")
