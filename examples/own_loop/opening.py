"""What the loops open. The settings are the variables that the command line has, so that `amie-engine show`
looks into the same log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from amie_engine import AMIEClient, Engine

__all__ = ["database_url", "opened"]


def database_url() -> str:
    """Return where the log is."""
    return os.environ.get("AMIE_ENGINE_DATABASE", "sqlite:///amie.db")


@contextmanager
def opened(site: str) -> Iterator[tuple[Engine, AMIEClient]]:
    """Open the log of a site and a client of its service, and close both in the end."""
    with (
        Engine(database_url(), site=site, hub=os.environ.get("AMIE_ENGINE_HUB", "access")) as engine,
        AMIEClient(site, os.environ["AMIE_ENGINE_API_KEY"], os.environ["AMIE_ENGINE_URL"]) as client,
    ):
        yield engine, client
