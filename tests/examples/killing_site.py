"""The example site, with one handler that kills its process the first time: after the back end has done its
work, and before the reply is decided."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from amie_engine import Site, Work
from amie_engine.site import load_site
from amie_engine.site.handlers import HANDLED_TYPES

KILLED = Path("killed")
"""A file that says that it has happened, in the current folder."""

KILLS = "request_account_create"


def site() -> Site:
    """Return the site."""
    campus = load_site("campus.site:site")
    made = Site(campus.name)
    for kind in HANDLED_TYPES:
        handler = campus.handler_for(kind)
        assert handler is not None
        if kind != KILLS:
            made.handles(kind)(handler)
    create_account = campus.handler_for(KILLS)
    assert create_account is not None

    @made.handles(KILLS)
    def create(request: Any, work: Work) -> Any:
        reply = create_account(request, work)
        if not KILLED.exists():
            KILLED.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    return made
