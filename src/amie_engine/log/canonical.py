"""One text for one value: canonical JSON, and the digests over it."""

from __future__ import annotations

import json
from hashlib import sha256
from secrets import token_hex
from typing import Any

__all__ = ["canonical_json", "digest", "new_salt", "salted_digest"]

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
).encode


def canonical_json(value: Any) -> str:
    """Return a JSON value as canonical text: sorted keys, no white space, ASCII only.

    Raises:
        ValueError: The value holds NaN or an infinity, which JSON has no text for.
    """
    return _encode(value)


def digest(text: str) -> str:
    """Return the SHA-256 of an ASCII text, in hex."""
    return sha256(text.encode("ascii")).hexdigest()


def new_salt() -> str:
    """Return a random salt: 32 hex digits."""
    return token_hex(16)


def salted_digest(salt: str, text: str) -> str:
    """Return the SHA-256 of a salt and a text: once the salt is gone, nobody can test a guess of the text."""
    return sha256(f"{salt}\n{text}".encode("ascii")).hexdigest()
