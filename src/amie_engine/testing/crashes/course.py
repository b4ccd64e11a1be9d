"""What is played, over and over, with a crash at another point each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from amie_engine.engine import Engine
from amie_engine.sandbox import Faults, Sandbox
from amie_engine.site import Site

__all__ = ["Course"]


@dataclass(frozen=True, slots=True)
class Course:
    """A service with something to ask, and a site that does it.

    Attributes:
        name: What it is called.
        hub: Makes the service, on the clock that it is given, and has it ask for something. Called for each
            try: the same must come of it each time.
        site: Makes the site. It is called in a process of its own, and anew after a crash: a function at the
            top of a module. Its back end may keep what it likes in the folder that it is given.
        act: What operators or other programs of the site do besides, before each round, with the same folder:
            called in the same process, and anew after a crash, so that it has to look before it acts. Also at
            the top of a module.
        effects: Yields what the back end has in the folder at the end, a text for each thing and without what
            differs from try to try: it must be the same after a crash as without one.
        faults: Makes what happens to the service's calls; the same for each try.
        from_nothing: Whether there is no database at the beginning (SQLite), so that making it is a part of
            what is played.
    """

    name: str
    hub: Callable[[Callable[[], datetime]], Sandbox]
    site: Callable[[Path], Site]
    act: Callable[[Engine, Path], None] | None = None
    effects: Callable[[Path], Iterable[str]] | None = None
    faults: Callable[[], Faults] | None = None
    from_nothing: bool = False
