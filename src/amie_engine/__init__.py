"""amie-engine: an event-sourced state-machine engine for AMIE transactions.

The public API, all in one place. The packet classes are in `amie_engine.packet`, the client in
`amie_engine.client`, under the names that the public AMIE client documents.
"""

from amie_engine.client import AMIEClient
from amie_engine.engine import (
    Due,
    Engine,
    Handle,
    Outcome,
    OutcomeKind,
    QuarantinedItem,
    RecordedEvent,
    TransactionSummary,
)
from amie_engine.errors import AMIEEngineError, AMIERequestError
from amie_engine.packet import Packet, PacketInvalidData, PacketInvalidType, PacketList
from amie_engine.site import Retries, Runner, Site, Work
from amie_engine.transaction import Transaction

__all__ = [
    "AMIEClient",
    "AMIEEngineError",
    "AMIERequestError",
    "Due",
    "Engine",
    "Handle",
    "Outcome",
    "OutcomeKind",
    "Packet",
    "PacketInvalidData",
    "PacketInvalidType",
    "PacketList",
    "QuarantinedItem",
    "RecordedEvent",
    "Retries",
    "Runner",
    "Site",
    "Transaction",
    "TransactionSummary",
    "Work",
    "__version__",
]

__version__ = "0.1.0"
