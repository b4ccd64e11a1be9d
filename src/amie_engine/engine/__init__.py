"""The engine: pure decisions about transactions, and the Engine that a site talks to."""

from amie_engine.engine.core import Engine
from amie_engine.engine.decision import OutcomeKind
from amie_engine.engine.recorded import RecordedEvent
from amie_engine.engine.status import Status
from amie_engine.engine.views import Due, Handle, Outcome, QuarantinedItem, TransactionSummary

__all__ = [
    "Due",
    "Engine",
    "Handle",
    "Outcome",
    "OutcomeKind",
    "QuarantinedItem",
    "RecordedEvent",
    "Status",
    "TransactionSummary",
]
