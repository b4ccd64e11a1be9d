"""The hash chain: each event's hash covers its columns, its two payload digests and the hash before it."""

from __future__ import annotations

from hashlib import sha256
from json.encoder import encode_basestring_ascii

from amie_engine.log.canonical import canonical_json

__all__ = ["GENESIS", "event_hash", "linked_text"]

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


def linked_text(
    previous: str,
    position: int,
    stream: str,
    version: int,
    event_type: str,
    schema_version: int,
    recorded_at: str,
    hub: str,
    site: str,
    trans_rec_id: str | None,
    packet_rec_id: str | None,
    packet_type: str | None,
    sender: str | None,
    status: str | None,
    actor: str,
    facts: str,
    document: str | None,
) -> str:
    """Return the text that `event_hash` hashes, in two thirds of the time: for whoever goes through a log.

    What is no integer or no text where one belongs has no such text, be it ever so alike: ``"5"`` and
    ``5.0`` are not 5.

    Raises:
        TypeError: A value is not of its column's type.
    """
    if type(position) is not int or type(version) is not int or type(schema_version) is not int:
        raise TypeError
    quoted = encode_basestring_ascii  # as the JSON encoder itself quotes; it takes nothing but text
    return (
        f"[{quoted(previous)},{position},{quoted(stream)},{version},{quoted(event_type)},{schema_version},"
        f"{quoted(recorded_at)},{quoted(hub)},{quoted(site)},"
        f"{'null' if trans_rec_id is None else quoted(trans_rec_id)},"
        f"{'null' if packet_rec_id is None else quoted(packet_rec_id)},"
        f"{'null' if packet_type is None else quoted(packet_type)},"
        f"{'null' if sender is None else quoted(sender)},"
        f"{'null' if status is None else quoted(status)},"
        f"{quoted(actor)},{quoted(facts)},{'null' if document is None else quoted(document)}]"
    )
