"""What the service's refusals say: whose word they are, and that it does not know a transaction any more."""

from __future__ import annotations

import logging

from amie_engine._logging import about
from amie_engine.engine import Engine
from amie_engine.errors import AMIERequestError, ServiceNotFound

__all__ = ["is_the_services_word", "note_unknown", "unknown_at_service"]

logger = logging.getLogger("amie_engine.site")

_REFUSES = frozenset({400, 404, 409, 413, 422})
"""The statuses with which the API refuses what was asked for; all others say nothing of it."""


def is_the_services_word(error: AMIERequestError) -> bool:
    """Whether an error is the service's own word on what was asked: a refusal whose body is the API's.

    A page of HTML with such a status comes from a proxy, and must neither throw a reply away nor end a
    transaction.
    """
    response = error.response
    if response is None or response.status_code not in _REFUSES:
        return False
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def note_unknown(engine: Engine, trans_rec_id: str, error: ServiceNotFound) -> None:
    """Note, once, that the service does not know a transaction any more, and tell the operator."""
    if engine.note_unknown(trans_rec_id, code=error.code):
        logger.error(
            "The service does not know transaction %s any more. To end it here:"
            " amie-engine fail %s --reason ...",
            trans_rec_id,
            trans_rec_id,
            extra=about(trans_rec_id=trans_rec_id, code=error.code),
        )


def unknown_at_service(trans_rec_id: str, error: ServiceNotFound) -> ServiceNotFound:
    """The error of a packet that can't arrive, since the service does not know its transaction any more."""
    return ServiceNotFound(
        f"The service does not know transaction {trans_rec_id} any more.",
        hint="Ask its operators whether it was reset or restored;"
        f" `amie-engine fail {trans_rec_id} --reason ...` ends the transaction here.",
        response=error.response,
    )
