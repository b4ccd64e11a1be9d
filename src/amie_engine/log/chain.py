"""The hash chain: each event's hash covers its columns, its two payload digests and the hash before it."""

from __future__ import annotations

from hashlib import sha256

from amie_engine.log.canonical import canonical_json

__all__ = ["GENESIS", "event_hash"]

GENESIS = ""
"""What stands for the hash before the first event."""


def event_hash(previous: str, header: tuple[str | int | None, ...], facts: str, document: str | None) -> str:
    """Return the hash of an event, in hex.

    It is over text and integers only, as they are stored, so that a log that is exported and imported
    elsewhere has the same hashes, and so that verifying parses nothing.

    Args:
        previous: The hash of the event before, or `GENESIS`.
        header: The header columns, from ``position`` to ``actor``, in the table's order.
        facts: The digest of the facts.
        document: The salted digest of the document, or None.
    """
    return sha256(canonical_json([previous, *header, facts, document]).encode("ascii")).hexdigest()
