"""The ways in which a log may be tampered with. Each returns the first position that is wrong then.

They work on both databases; where SQLite would let more be done, tests/audit/test_tampering.py does it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from tests.audit.tampering import OpenLog, Way
from tests.log.chain_check import COLUMNS, Row, hash_of


def where(log: OpenLog, row: Row) -> int | None:
    """Where a change of an event shows first. What an erasure says concerns events before it."""
    return None if row["type"] == "documents_erased" else int(row["position"])


def changed(column: str) -> Way:
    """One character, or one bit of an integer, of a column; what is NULL gets a text."""

    def way(log: OpenLog) -> int | None:
        row = log.events[log.place() - 1]
        value = other(log, row[column])
        log.set(row["position"], **{column: value})
        if column == "position":
            return int(min(row["position"], value))
        return where(log, row)

    way.__name__ = f"changed {column}"
    return way


def other(log: OpenLog, value: Any) -> Any:
    """Another value of the same type, which differs in one place."""
    if value is None:
        return log.random.choice(["", " ", "x", "null"])
    if value == "":
        return "x"
    if isinstance(value, int):
        return value ^ 1 << log.random.randrange(30)
    index = log.random.randrange(len(value))
    character = chr(33 + (ord(value[index]) - 33 + log.random.randint(1, 93)) % 94)
    return f"{value[:index]}{character}{value[index + 1 :]}"


def emptied(column: str) -> Way:
    """NULL in place of a text, or an empty text in place of NULL."""

    def way(log: OpenLog) -> int | None:
        row = log.events[log.place() - 1]
        log.set(row["position"], **{column: "" if row[column] is None else None})
        return where(log, row)

    way.__name__ = f"emptied {column}"
    return way


def deleted(log: OpenLog) -> int:
    """One event or a few."""
    first = log.place()
    return log.delete(first, min(first + log.random.choice([0, 0, 0, 1, 5]), log.end))


def deleted_and_closed(log: OpenLog) -> int:
    """One event, with all behind it moved up, and the counter row mended."""
    position = log.place(1, log.end - 1)
    first = log.delete(position, position)
    log.move(position + 1, -1)
    log.mend_counter()
    return first


def inserted(log: OpenLog) -> int | None:
    """An event whose own hash is right, with all behind it moved down; the next does not follow from it."""
    position = log.place()
    row = dict(log.events[log.place() - 1], position=position, stream="forged", version=1, packet_rec_id=None)
    row["recorded_at"] = log.events[position - 1]["recorded_at"]
    if row["document"] is None:
        row |= {"document": None, "document_salt": None, "document_digest": None, "type": "packet_held"}
    row["hash"] = hash_of(row, log.events[position - 2]["hash"] if position > 1 else "")
    log.move(position, 1)
    log.insert(row)
    log.mend_counter()
    erased = {at for positions in log.erasures.values() for at in positions}
    return None if position in erased else position + 1


def inserted_outside(log: OpenLog) -> int:
    """An event where none can be: before the first, or behind the newest, near or far."""
    position = log.random.choice([0, -1, -(10**6), log.end + 1, log.end + 2, 10**6, 10**15])
    log.insert(
        dict(log.events[log.place() - 1], position=position, stream="forged", version=1, packet_rec_id=None)
    )
    return min(position, log.end + 1)


def swapped(log: OpenLog) -> int | None:
    """Two events that have changed places."""
    first = log.place(1, log.end - 1)
    second = log.place(first + 1)
    log.run("UPDATE amie_events SET position = -1 WHERE position = ?", first)
    log.set(second, position=first)
    log.set(-1, position=second)
    if second == log.end:
        log.mend_counter()
    return None if second in log.erasures else first  # it says nothing of what is behind it then


def truncated(log: OpenLog) -> int:
    """The newest events, or all, and the counter row left as it is."""
    return log.delete(log.place(), log.end)


def truncated_and_mended(log: OpenLog) -> int:
    """The newest events, behind the last erasure, and the counter row mended."""
    first = log.place(max(log.erasures) + 1)
    log.delete(first, log.end)
    log.mend_counter()
    return first


def rewritten(log: OpenLog) -> int:
    """An event changed, and all hashes from there on made right again, with the counter row."""
    row = log.events[log.place_of(lambda row: row["type"] != "documents_erased") - 1]
    column = log.random.choice(["actor", "facts", "trans_rec_id", "sender"])
    log.set(row["position"], **{column: other(log, row[column])})
    log.rewrite(row["position"])
    return int(row["position"])


def rewritten_without(log: OpenLog) -> int:
    """The last event of a stream deleted, as if it had never been."""
    newest = {row["stream"]: row["position"] for row in log.events}
    position = log.place_of(lambda row: max(log.erasures) < row["position"] == newest[row["stream"]])
    log.delete(position, position)
    if position < log.end:
        log.move(position + 1, -1)
        log.rewrite(position)
    log.mend_counter()
    return position


def rewritten_with(log: OpenLog) -> int:
    """An event put in, as if it had always been there."""
    position = log.place(max(log.erasures) + 1)
    row = dict(log.events[position - 1], stream="forged", version=1, packet_rec_id=None)
    log.move(position, 1)
    log.insert(row)
    log.rewrite(position)
    return position


def document_taken(log: OpenLog) -> int:
    """A document with its salt, as an erasure takes it, and no event of it."""
    position = log.place_of(lambda row: row["document"] is not None)
    log.set(position, document=None, document_salt=None)
    return position


def document_half_taken(log: OpenLog) -> int:
    """A document or its salt alone."""
    position = log.place_of(lambda row: row["document"] is not None)
    log.set(position, **{log.random.choice(["document", "document_salt"]): None})
    return position


def document_denied(log: OpenLog) -> int:
    """A document with its salt and digest, as if there had been none."""
    position = log.place_of(lambda row: row["document_digest"] is not None)
    log.set(position, document=None, document_salt=None, document_digest=None)
    return position


def document_put_back(log: OpenLog) -> int:
    """Another document in the place of one that was erased."""
    position = log.place_of(lambda row: row["document_digest"] is not None and row["document"] is None)
    log.set(position, document='{"a":1}', document_salt="0" * 32)
    return position


def document_exchanged(log: OpenLog) -> int:
    """Another document with a digest that fits it."""
    position = log.place_of(lambda row: row["document"] is not None)
    digest = sha256(f"{'0' * 32}\n{{}}".encode()).hexdigest()
    log.set(position, document="{}", document_salt="0" * 32, document_digest=digest)
    return position


def rehashed(log: OpenLog) -> int | None:
    """An event changed, with its own digest and hash made right: the next does not follow from it."""
    row = dict(log.events[log.place() - 1])
    column = log.random.choice(["actor", "facts", "recorded_at", "trans_rec_id", "stream", "version", "type"])
    row[column] = other(log, row[column])
    row["facts_digest"] = sha256(row["facts"].encode()).hexdigest()
    position = row["position"]
    row["hash"] = hash_of(row, log.events[position - 2]["hash"] if position > 1 else "")
    log.set(position, **{name: row[name] for name in (column, "facts_digest", "hash")})
    if column in ("actor", "facts", "trans_rec_id") and row["type"] != "documents_erased":
        return int(min(position + 1, log.end))  # the newest one's hash is not in the counter row
    return None


def counter_changed(log: OpenLog) -> int | None:
    """A character or bit of the counter row."""
    [(position, hash_, recorded_at)] = log.run("SELECT position, hash, recorded_at FROM amie_log_head")
    column, value = log.random.choice([("position", position), ("hash", hash_), ("recorded_at", recorded_at)])
    value = other(log, value)
    log.run(f"UPDATE amie_log_head SET {column} = ?", value)
    if column == "position":
        return int(min(value, log.end)) + 1
    return log.end


def log_id_spoilt(log: OpenLog) -> None:
    """A character of the log's name changed, or all of it something that is none."""
    [(name,)] = log.run("SELECT log_id FROM amie_log_head")
    spoilt = [
        other(log, name),
        other(log, name),
        "",
        name[:-1],
        f"{name}0",
        "0" * 48,
        name.upper(),
        name[:32],
    ]
    log.run("UPDATE amie_log_head SET log_id = ?", log.random.choice(spoilt))


def counter_deleted(log: OpenLog) -> None:
    """No counter row."""
    log.run("DELETE FROM amie_log_head")


ON_BOTH: tuple[Way, ...] = (
    *(changed(column) for column in COLUMNS),
    *(emptied(column) for column in ("trans_rec_id", "packet_rec_id", "packet_type", "sender", "status")),
    *(emptied(column) for column in ("document", "document_salt", "document_digest")),
    deleted,
    deleted_and_closed,
    inserted,
    inserted_outside,
    swapped,
    truncated,
    document_taken,
    document_half_taken,
    document_denied,
    document_put_back,
    document_exchanged,
    rehashed,
    counter_changed,
    counter_deleted,
    log_id_spoilt,
)
"""The ways that verifying finds without a seal."""

BY_SEAL_ALONE: tuple[Way, ...] = (truncated_and_mended, rewritten, rewritten_without, rewritten_with)
"""The ways of who knows how the chain is made: only a seal shows them."""
