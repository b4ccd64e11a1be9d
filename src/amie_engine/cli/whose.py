"""Which site and hub of a log a command is about, where nobody names them.

The log's events tell which it has. The trace of a daemon alone tells it only while there are no events: a
poll with a slip in a name leaves one, too.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from amie_engine.cli.settings import DEFAULT_HUB, Settings
from amie_engine.errors import SettingsError
from amie_engine.log.statements import Cursor, Statement

__all__ = ["NOBODY", "to_look_into", "to_talk_about"]

logger = logging.getLogger("amie_engine.cli")

NOBODY = "-"
"""A site's name for looking into a log that has none."""


def _next_of(table: str) -> Statement:
    """The next of a table, by its index: there are few of them in a log, and many rows of each."""
    return Statement(
        f"SELECT hub, site FROM {table} WHERE (hub, site) > (:hub, :site) ORDER BY hub, site LIMIT 1"  # noqa: S608 # ours
    )


_WITH_EVENTS = (_next_of("amie_transactions"), _next_of("amie_quarantine"))
_WITH_TRACES = (_next_of("amie_daemons"),)
_COUNT_OPEN = Statement(
    "SELECT COUNT(*) FROM amie_transactions"
    " WHERE hub = :hub AND site = :site AND state NOT IN ('completed', 'failed')"
)


@dataclass(frozen=True, order=True, slots=True)
class _Place:
    """A site at a hub."""

    hub: str
    site: str

    @property
    def options(self) -> str:
        """The options that name it."""
        return f"--hub {shlex.quote(self.hub)} --site {shlex.quote(self.site)}"

    def is_of(self, hub: str | None, site: str | None) -> bool:
        """Whether it is one of those that are named; None is any."""
        return hub in (None, self.hub) and site in (None, self.site)


def to_look_into(cursor: Cursor, settings: Settings, *, hub: str | None, site: str | None) -> tuple[str, str]:
    """Return the hub and the site that are meant: those that are named, else the only ones.

    What the settings name and the log has not is no reason to refuse: they may be those of another log.

    Args:
        cursor: Reads the log.
        settings: The settings, with what the command line names.
        hub: The hub that the command line names.
        site: The site, likewise.

    Raises:
        SettingsError: The log has several that could be meant, or not the one that the command line names.
    """
    with_events, with_traces = _places(cursor, _WITH_EVENTS), _places(cursor, _WITH_TRACES)
    there = with_events or with_traces
    if not there:
        return settings.hub or DEFAULT_HUB, settings.site or NOBODY
    found = (
        [place for place in with_events if place.is_of(settings.hub, settings.site)]
        or [place for place in with_traces if place.is_of(settings.hub, settings.site)]
        or _nearest([place for place in there if place.is_of(hub, site)], settings)
    )
    if not found:
        raise SettingsError("The log has nothing of that site and hub.", hint=f"It has: {_named(there)}.")
    if len(found) > 1:
        raise SettingsError("The log has several sites or hubs.", hint=f"Name one: {_named(found)}.")
    return found[0].hub, found[0].site


def to_talk_about(cursor: Cursor, settings: Settings) -> Settings:
    """Return settings with the hub and the site of which the service is asked: those that are named, else the
    only ones of the log.

    A hub that is new in the log, while the site has transactions at another one, is warned of: a site may go
    from test to production, and it may have forgotten an option.

    Args:
        cursor: Reads the log.
        settings: The settings, with what the command line names.

    Raises:
        SettingsError: The log has several that could be meant, or a new hub is named without a site.
    """
    with_events = _places(cursor, _WITH_EVENTS)
    there = with_events or _places(cursor, _WITH_TRACES)
    site = settings.site or _only_site(there, settings.hub)
    hubs = [place.hub for place in there if place.site == site]
    if settings.hub is None and len(hubs) > 1:
        named = ", ".join(f"--hub {shlex.quote(hub)}" for hub in hubs)
        raise SettingsError(f"The log has several hubs of {site}.", hint=f"Name one: {named}.")
    if settings.hub is not None and with_events and hubs and settings.hub not in hubs:
        for hub in hubs:
            _warn(cursor, _Place(hub, str(site)), settings.hub)
    return replace(settings, hub=settings.hub or (hubs[0] if hubs else DEFAULT_HUB), site=site)


def _only_site(there: list[_Place], hub: str | None) -> str | None:
    """The one site of the log, or of one of its hubs; None where it has none yet."""
    found = [place for place in there if place.is_of(hub, None)]
    sites = {place.site for place in found}
    if len(sites) > 1:
        raise SettingsError("The log has several sites.", hint=f"Name one: {_named(found)}.")
    if there and not found:
        raise SettingsError(
            f"The log has nothing at {hub}.",
            hint=f"It has: {_named(there)}. For a hub that is new in it, name the site, too.",
        )
    return found[0].site if found else None


def _warn(cursor: Cursor, place: _Place, hub: str) -> None:
    (count,) = cursor.one(_COUNT_OPEN, {"hub": place.hub, "site": place.site})
    logger.warning(
        "The log has %d open transaction%s of %s at %s, none at %s, which is a hub of its own. If %s is"
        " meant: --hub %s.",
        count,
        "" if count == 1 else "s",
        place.site,
        place.hub,
        hub,
        place.hub,
        shlex.quote(place.hub),
    )


def _nearest(places: list[_Place], settings: Settings) -> list[_Place]:
    """Those of the site that the settings name, and of the hub, as far as there are any."""
    of_site = [place for place in places if place.site == settings.site] or places
    return [place for place in of_site if place.hub == settings.hub] or of_site


def _named(places: list[_Place]) -> str:
    return ", ".join(place.options for place in places)


def _places(cursor: Cursor, statements: tuple[Statement, ...]) -> list[_Place]:
    return sorted({place for statement in statements for place in _places_by(statement, cursor)})


def _places_by(statement: Statement, cursor: Cursor) -> Iterator[_Place]:
    row = ("", "")
    while row := cursor.one(statement, {"hub": row[0], "site": row[1]}):
        yield _Place(str(row[0]), str(row[1]))
