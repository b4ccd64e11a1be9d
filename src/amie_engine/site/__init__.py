"""The site's side: its handlers, and the loop that polls, receives, works, replies and sends."""

from amie_engine.site.handlers import Handler, Site
from amie_engine.site.loading import load_site
from amie_engine.site.observing import Observer
from amie_engine.site.retrying import Retries
from amie_engine.site.round import Round
from amie_engine.site.runner import Runner
from amie_engine.site.work import Deferral, Notebook, Work

__all__ = [
    "Deferral",
    "Handler",
    "Notebook",
    "Observer",
    "Retries",
    "Round",
    "Runner",
    "Site",
    "Work",
    "load_site",
]
