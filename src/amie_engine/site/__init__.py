"""The site's side: its handlers, and the loop that polls, receives, works, replies and sends."""

from amie_engine.engine.retrying import Retries
from amie_engine.site.handlers import Handler, Site
from amie_engine.site.loading import load_site
from amie_engine.site.observing import Observer
from amie_engine.site.reconciling import Reconciler, Reconciliation
from amie_engine.site.round import Round
from amie_engine.site.runner import Runner
from amie_engine.site.standing import Standing, Verdict
from amie_engine.site.stopping import stopping_on_signals
from amie_engine.site.work import Deferral, Notebook, Work
from amie_engine.site.worked import Worked

__all__ = [
    "Deferral",
    "Handler",
    "Notebook",
    "Observer",
    "Reconciler",
    "Reconciliation",
    "Retries",
    "Round",
    "Runner",
    "Site",
    "Standing",
    "Verdict",
    "Work",
    "Worked",
    "load_site",
    "stopping_on_signals",
]
