"""What the settings say of AMIE, opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from amie_engine import AMIEClient, Engine, Runner
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate

from .handlers import site

__all__ = ["migrate_log", "opened_runner"]


def migrate_log() -> tuple[str | None, str | None]:
    """Make the log's tables, or bring them up to date; return the revisions before and after."""
    database = Database(settings.AMIE["DATABASE"])
    try:
        return migrate(database)
    finally:
        database.close()


@contextmanager
def opened_runner(workers: int = 1) -> Iterator[Runner]:
    """Open the log and a client of the service, and close both in the end."""
    amie = settings.AMIE
    with (
        Engine(amie["DATABASE"], site=site.name, hub=amie["HUB"]) as engine,
        AMIEClient(site.name, amie["API_KEY"], amie["URL"]) as client,
        Runner(engine, client, site, workers=workers) as runner,
    ):
        yield runner
