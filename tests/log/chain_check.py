"""The hash chain once more, written apart from the log's own code: it reads columns and knows SHA-256."""

from __future__ import annotations

import json
import sqlite3
from hashlib import sha256
from typing import Any

COLUMNS = (
    "position", "stream", "version", "type", "schema_version", "recorded_at", "hub", "site", "trans_rec_id",
    "packet_rec_id", "packet_type", "sender", "status", "actor", "facts", "facts_digest", "document",
    "document_salt", "document_digest", "hash",
)  # fmt: skip
HASHED = COLUMNS[: COLUMNS.index("facts")]

Row = dict[str, Any]


def read_rows(connection: sqlite3.Connection) -> list[Row]:
    """Return every event as it stands in the table."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def hash_of(row: Row, previous: str) -> str:
    """Return the hash that an event must have."""
    covered = [previous, *(row[name] for name in HASHED), row["facts_digest"], row["document_digest"]]
    text = json.dumps(covered, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def broken_at(rows: list[Row]) -> list[int]:
    """Return the indexes of the events that are not what was appended."""
    broken = []
    previous = ""
    for index, row in enumerate(rows):
        good = row["position"] == index + 1 and hash_of(row, previous) == row["hash"]
        good &= sha256(row["facts"].encode()).hexdigest() == row["facts_digest"]
        if row["document"] is not None and row["document_salt"] is not None:
            salted = f"{row['document_salt']}\n{row['document']}"
            good &= sha256(salted.encode()).hexdigest() == row["document_digest"]
        else:  # erased, or there never was one; half of one is neither
            good &= row["document"] is None and row["document_salt"] is None
        if not good:
            broken.append(index)
        previous = row["hash"]
    return broken
