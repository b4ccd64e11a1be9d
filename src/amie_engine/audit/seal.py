"""Seals: a signed note of what the log's hash was at a position, to be kept where the log is not.

Whoever can change the database can rewrite the log from some event on, with hashes that are right again. They
can't make it fit a seal that they can't change, nor make another without its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amie_engine.audit.counter import read_end, refuse_other_end
from amie_engine.audit.problems import Problem, problem
from amie_engine.audit.stored import StoredRows
from amie_engine.errors import LogDamaged, NothingToSeal, SealInvalid, SealSignatureWrong, SealUnreadable
from amie_engine.log.canonical import canonical_json
from amie_engine.log.database import Database
from amie_engine.log.migrate import check_schema
from amie_engine.log.statements import Cursor
from amie_engine.log.store import format_time

__all__ = ["CheckedSeal", "Seal", "check_seal", "make_seal", "new_key", "read_seal"]

_FORMAT = "amie-engine seal"
_VERSION = 1
_LARGEST = 100_000
"""Bytes; a seal has some 600."""

_HEX_64 = "[0-9a-f]{64}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
_TEXTS = {
    "hash": _HEX_64,
    "recorded_at": _TIME,
    "first_hash": _HEX_64,
    "sealed_at": _TIME,
    "public_key": _HEX_64,
    "signature": "[0-9a-f]{128}",
}

_HASH_AT = StoredRows(("hash",), "FROM amie_events WHERE position = :position")


@dataclass(frozen=True, slots=True)
class Seal:
    """What a log was at a position, signed.

    Attributes:
        position: The newest event at that time.
        hash: Its hash, which covers every event up to it.
        recorded_at: Its time.
        first_hash: The hash of the first event, which tells one log from another.
        sealed_at: When the seal was made.
        public_key: The Ed25519 key that checks the signature, in hex.
        signature: Over the canonical JSON of all the rest, in hex.
        key_known: Whether the key is one that the reader of the seal knows, and gave to `read_seal`.
    """

    position: int
    hash: str
    recorded_at: str
    first_hash: str
    sealed_at: str
    public_key: str
    signature: str
    key_known: bool = False

    @property
    def text(self) -> str:
        """The seal as the JSON text that is kept."""
        values = {name: getattr(self, name) for name in ("position", *_TEXTS)}
        return json.dumps({"format": _FORMAT, "version": _VERSION, **values}, indent=2) + "\n"


def new_key(file: Path) -> Path:
    """Make a pair of keys: the private one in a file that only its owner may read, the public one beside it.

    Returns:
        The file of the public key, whose name ends in ``.pub``.

    Raises:
        FileNotWritten: One of the files is there already, or can't be written.
        DependencyMissing: The extra ``seal`` is not installed.
    """
    from amie_engine.audit import signing

    return signing.new_key(file)


def make_seal(
    database: Database, key: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Seal:
    """Return a seal of a log up to its newest event. Nothing is verified.

    Args:
        database: Where the log is.
        key: The file with the private key.
        clock: Gives the time, with zone.

    Raises:
        NothingToSeal: The log has no events.
        SealKeyUnusable: The file has no such key.
        DependencyMissing: The extra ``seal`` is not installed.
        LogDamaged: Its counter row does not say what the newest event says, or the first event is missing.
        LogError: The database can't be used.
    """
    from amie_engine.audit.signing import PrivateKey

    check_schema(database, make=False)
    private_key = PrivateKey(key)
    with database.read() as cursor:
        end = refuse_other_end(cursor)
        first = _one(_HASH_AT.read(cursor, {"position": 1}))
    if end.position < 1:
        raise NothingToSeal(f"The log in {database.url} has no events yet.")
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "position": end.position,
        "hash": end.hash,
        "recorded_at": end.recorded_at,
        "first_hash": first,
        "sealed_at": format_time(clock()),
        "public_key": private_key.public,
    }
    if not _is_seal(content | {"signature": "0" * 128}):
        raise LogDamaged("The first or the newest event of the log is missing, or no event of the engine's.")
    signature = private_key.sign(_signed(content))
    del content["format"], content["version"]
    return Seal(**content, signature=signature, key_known=True)


def read_seal(file: Path, *, public_key: Path | None = None) -> Seal:
    """Return the seal in a file, whose signature has been checked.

    Args:
        file: The file.
        public_key: The file with the public key that it must be signed with. Without one the signature only
            shows that the seal is as it was made, by whomever.

    Raises:
        SealUnreadable: The file can't be read.
        SealInvalid: It has no seal in it, or one of a later release's.
        SealSignatureWrong: It was changed since it was signed, or signed with another key.
        SealKeyUnusable: The file of the public key has none.
        DependencyMissing: The extra ``seal`` is not installed.
    """
    from amie_engine.audit.signing import is_signed, read_public_key

    content = _parsed(file)
    known = None if public_key is None else read_public_key(public_key)
    signature = content["signature"]
    signed = {name: value for name, value in content.items() if name != "signature"}
    if not is_signed(_signed(signed), signature, content["public_key"]):
        raise SealSignatureWrong(f"The signature of the seal in {file} is not that of what it says.")
    if known not in (None, content["public_key"]):
        raise SealSignatureWrong(
            f"The seal in {file} was signed with another key than that of {public_key}.",
            hint="Most likely that is the wrong .pub: give the one of the key that made the seal. If it is"
            " the right one, somebody else made the seal: don't rely on it.",
        )
    del signed["format"], signed["version"]
    return Seal(**signed, signature=signature, key_known=known is not None)


@dataclass(frozen=True, slots=True)
class CheckedSeal:
    """A seal, and why the log is not the one that was sealed; None where it is."""

    seal: Seal
    problem: Problem | None

    @property
    def is_contained(self) -> bool:
        """Whether the log is, up to the seal's position, what it was then."""
        return self.problem is None


def check_seal(cursor: Cursor, seal: Seal) -> CheckedSeal:
    """Look whether a log is the one that was sealed, in a transaction that sees one state of it."""
    return CheckedSeal(seal, next(_mismatch(cursor, seal), None))


def _mismatch(cursor: Cursor, seal: Seal) -> Iterator[Problem]:
    end = read_end(cursor)
    sealed = f"the seal was made at {seal.position}"
    if end.position < 1:
        yield problem(1, "log-shorter-than-seal", f"The log has no events, and {sealed}.")
        return
    if _one(_HASH_AT.read(cursor, {"position": 1})) != seal.first_hash:
        yield problem(1, "seal-of-another-log", "Event 1 is not the first event of the log that was sealed.")
        return
    if end.position < seal.position:
        told = f"The log ends with event {end.position}, and {sealed}."
        yield problem(end.position + 1, "log-shorter-than-seal", told)
    elif _one(_HASH_AT.read(cursor, {"position": seal.position})) != seal.hash:
        told = f"Event {seal.position} does not have the hash that was sealed."
        yield problem(seal.position, "sealed-event-differs", told)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST + 1)
    except OSError as error:
        raise SealUnreadable(f"The seal in {file} can't be read: {error.strerror}.") from None
    try:
        content = json.loads(text) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise SealInvalid(f"What is in {file} is no seal.")
    if content.get("version") != _VERSION:
        raise SealInvalid(
            f"The seal in {file} has a version that this release does not know.",
            hint="Install the release that made it, or a later one.",
        )
    if not _is_seal(content):
        raise SealInvalid(
            f"The seal in {file} is damaged: something is missing in it, or no value of a seal."
        )
    return content


def _is_seal(content: dict[str, Any]) -> bool:
    """Whether the items of a seal are all there and nothing else is, each with a value that it can have."""
    position = content.get("position")
    return (
        set(content) == {"format", "version", "position", *_TEXTS}
        and type(content["version"]) is int
        and type(position) is int
        and 0 < position < 2**63
        and all(
            isinstance(content[name], str) and re.fullmatch(pattern, content[name], re.ASCII)
            for name, pattern in _TEXTS.items()
        )
    )


def _signed(content: dict[str, Any]) -> bytes:
    return canonical_json(content).encode("ascii")


def _one(rows: list[tuple[Any, ...]]) -> Any:
    return rows[0][0] if rows else None
