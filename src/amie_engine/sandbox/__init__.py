"""The sandbox: an AMIE service to run on loopback, with made-up people and the official test scenarios.

`Sandbox` is the service without HTTP. Its server needs FastAPI and uvicorn:
``pip install 'amie-engine[sandbox]'``.
"""

from typing import TYPE_CHECKING, Any

from amie_engine.sandbox.faults import HOSTILE, Fault, Faults
from amie_engine.sandbox.hub import AnsweredPacket, Sandbox, ScenarioProgress, TransactionSummary
from amie_engine.sandbox.listing import PacketQuery
from amie_engine.sandbox.scenarios import OFFICIAL_SCENARIOS, REQUEST_TYPES

if TYPE_CHECKING:
    from amie_engine.sandbox.app import create_app
    from amie_engine.sandbox.server import SandboxServer, serve

__all__ = [
    "HOSTILE",
    "OFFICIAL_SCENARIOS",
    "REQUEST_TYPES",
    "AnsweredPacket",
    "Fault",
    "Faults",
    "PacketQuery",
    "Sandbox",
    "SandboxServer",
    "ScenarioProgress",
    "TransactionSummary",
    "create_app",
    "serve",
]


def __getattr__(name: str) -> Any:
    # Imported only when asked for: the rest of the sandbox does without FastAPI.
    if name == "create_app":
        from amie_engine.sandbox.app import create_app

        return create_app
    if name in ("SandboxServer", "serve"):
        from amie_engine.sandbox import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
