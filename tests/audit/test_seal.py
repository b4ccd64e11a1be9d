"""Seals: what they say, whose they are, and what they prove."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from amie_engine.audit import CheckedSeal, Seal, make_seal, new_key, read_seal, verify
from amie_engine.engine import Engine
from amie_engine.errors import (
    DatabaseSchemaMissing,
    DependencyMissing,
    FileNotWritten,
    LogDamaged,
    LogError,
    NothingToSeal,
    SealError,
    SealInvalid,
    SealKeyUnusable,
    SealSignatureWrong,
    SealUnreadable,
)
from amie_engine.log.database import Database
from amie_engine.testing import Clock
from tests.audit.tampering import drop_triggers, open_file
from tests.log.busy_site import whole_project

Bare = Callable[[], sqlite3.Connection]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key, with its public key beside it."""
    file = tmp_path_factory.mktemp("keys") / "audit.key"
    new_key(file)
    return file


def public(key: Path) -> Path:
    return Path(f"{key}.pub")


@pytest.fixture
def seal_file(busy: Engine, key: Path, clock: Clock, tmp_path: Path) -> Path:
    """A seal of a busy log."""
    whole_project(busy, clock, 30)
    file = tmp_path / "log.seal"
    file.write_text(make_seal(busy.database, key, clock=clock).text, encoding="ascii")
    return file


def test_a_seal_has_the_newest_event_and_the_first_ones_hash(busy: Engine, key: Path, clock: Clock) -> None:
    seal = make_seal(busy.database, key, clock=clock)
    head = busy.log.whole.head()
    [first] = busy.log.whole.rows(0, 1)
    assert (seal.position, seal.hash, seal.recorded_at) == (head.position, head.hash, head.recorded_at)
    assert seal.first_hash == first[19]
    assert seal.sealed_at == "2028-10-16T09:30:00.000000Z"
    assert seal.key_known
    content = json.loads(seal.text)
    assert (content.pop("format"), content.pop("version")) == ("amie-engine seal", 1)
    assert content == {name: getattr(seal, name) for name in content}
    assert busy.log.log_id not in seal.text


def test_its_signature_covers_the_canonical_json_of_the_rest(seal_file: Path, key: Path) -> None:
    """As anybody would check it who has the format from the page, and nothing of ours."""
    content = json.loads(seal_file.read_text(encoding="ascii"))
    signature = bytes.fromhex(content.pop("signature"))
    signed = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    loaded = serialization.load_pem_public_key(public(key).read_bytes())
    assert isinstance(loaded, Ed25519PublicKey)
    loaded.verify(signature, signed)
    assert loaded.public_bytes_raw().hex() == content["public_key"]


def test_a_log_contains_its_seal_then_and_later(
    busy: Engine, seal_file: Path, key: Path, clock: Clock
) -> None:
    seal = read_seal(seal_file, public_key=public(key))
    assert seal.key_known
    assert verify(busy.database, seals=[seal]).whole
    whole_project(busy, clock, 31)
    verdict = verify(busy.database, seals=[seal, seal], since=seal)
    assert verdict.whole
    checked = CheckedSeal(seal, None)
    assert (verdict.seals, verdict.since) == ((checked, checked), checked)
    assert verdict.events == busy.log.whole.head().position - seal.position


def test_an_empty_log_can_not_be_sealed(database: Database, key: Path) -> None:
    with pytest.raises(NothingToSeal, match="has no events"):
        make_seal(database, key)


def test_a_database_without_a_log_can_not_be_sealed(tmp_path: Path, key: Path) -> None:
    with (
        closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as database,
        pytest.raises(DatabaseSchemaMissing),
    ):
        make_seal(database, key)


def test_a_log_whose_newest_event_is_damaged_can_not_be_sealed(busy: Engine, bare: Bare, key: Path) -> None:
    drop_triggers(bare())
    bare().execute(
        "UPDATE amie_events SET hash = 'x' WHERE position = (SELECT max(position) FROM amie_events)"
    )
    with pytest.raises(LogError, match="damaged"):
        make_seal(busy.database, key)


# What a seal is not


def test_any_other_byte_in_a_seal_is_refused_or_means_the_same(seal_file: Path, key: Path) -> None:
    good = read_seal(seal_file, public_key=public(key))
    content = seal_file.read_bytes()
    refused = 0
    for index in range(len(content)):
        for bit in (1, 4, 32):
            changed = bytes([*content[:index], content[index] ^ bit, *content[index + 1 :]])
            seal_file.write_bytes(changed)
            try:
                assert read_seal(seal_file, public_key=public(key)) == good  # a line feed instead of a space
            except SealError:
                refused += 1
    assert refused > 1400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position", 7),
        ("hash", "0" * 64),
        ("recorded_at", "2020-01-01T00:00:00.000000Z"),
        ("first_hash", "0" * 64),
        ("sealed_at", "2020-01-01T00:00:00.000000Z"),
        ("public_key", "0" * 64),
        ("signature", "0" * 128),
    ],
)
def test_a_seal_that_was_changed_has_a_wrong_signature(seal_file: Path, name: str, value: Any) -> None:
    content = json.loads(seal_file.read_text(encoding="ascii"))
    assert content[name] != value
    seal_file.write_text(json.dumps(content | {name: value}), encoding="ascii")
    with pytest.raises(SealSignatureWrong, match=r"not that of what it says.*don't rely on it"):
        read_seal(seal_file)


def test_a_seal_by_another_key_is_refused_once_the_key_is_given(
    busy: Engine, seal_file: Path, key: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.key"
    new_key(other)
    forged = make_seal(busy.database, other)
    seal_file.write_text(forged.text, encoding="ascii")
    with pytest.raises(SealSignatureWrong, match="another key than that of"):
        read_seal(seal_file, public_key=public(key))
    unchecked = read_seal(seal_file)
    assert not unchecked.key_known
    assert read_seal(seal_file, public_key=public(other)).key_known


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"not JSON",
        b"[]",
        b"null",
        b"{}",
        b'{"format": "amie-engine seal"',
        b'{"format": "another seal", "version": 1}',
        b"[" * 50_000,
        b" " * 200_000,
        b"\x00" * 1000,
    ],
)
def test_what_is_no_seal_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.seal"
    file.write_bytes(content)
    with pytest.raises(SealInvalid, match=r"x\.seal is no seal"):
        read_seal(file)


@pytest.mark.parametrize(
    "change",
    [
        {"position": "7"},
        {"position": 7.0},
        {"position": True},
        {"position": 0},
        {"position": -7},
        {"position": 2**63},
        {"hash": "0" * 63},
        {"hash": "A" * 64},
        {"hash": None},
        {"hash": "0" * 64 + "\n"},
        {"recorded_at": "yesterday"},
        {"signature": ""},
        {"version": True},
        {"more": 1},
    ],
)
def test_a_seal_with_values_that_none_has_is_refused(seal_file: Path, change: dict[str, Any]) -> None:
    content = json.loads(seal_file.read_text(encoding="ascii"))
    seal_file.write_text(json.dumps(content | change), encoding="ascii")
    with pytest.raises(SealInvalid, match="damaged"):
        read_seal(seal_file)
    for name in content:
        lacking = {other: value for other, value in content.items() if other != name}
        seal_file.write_text(json.dumps(lacking), encoding="ascii")
        with pytest.raises(SealInvalid):
            read_seal(seal_file)


def test_a_seal_of_a_later_release_says_so(seal_file: Path) -> None:
    content = json.loads(seal_file.read_text(encoding="ascii"))
    seal_file.write_text(json.dumps(content | {"version": 2}), encoding="ascii")
    with pytest.raises(SealInvalid, match="Install the release that made it"):
        read_seal(seal_file)


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SealUnreadable, match="No such file"):
        read_seal(tmp_path / "no.seal")
    with pytest.raises(SealUnreadable, match="Is a directory"):
        read_seal(tmp_path)


# What a seal proves


def only(engine: Engine, seal: Seal | None = None, since: Seal | None = None) -> tuple[int | None, str, str]:
    """The only problem of a log that is verified with a seal."""
    verdict = verify(engine.database, seals=[] if seal is None else [seal], since=since, projections=False)
    [problem] = verdict.problems
    checked = verdict.since if seal is None else verdict.seals[0]
    assert checked is not None
    assert checked.problem == problem
    assert verdict.events_whole
    return problem.position, problem.code, problem.sentence


def test_another_log_is_told(busy: Engine, seal_file: Path, tmp_path: Path, empty_log: Path) -> None:
    seal = read_seal(seal_file)
    other_file = Path(shutil.copy(empty_log, tmp_path / "other.db"))
    with Engine(f"sqlite:///{other_file}", site="NCSA", clock=Clock()) as other:
        nothing = (
            1,
            "log-shorter-than-seal",
            f"The log has no events, and the seal was made at {seal.position}.",
        )
        assert only(other, seal=seal) == only(other, since=seal) == nothing
        for number in range(20):
            whole_project(other, Clock(), number)
        told = (1, "seal-of-another-log", "Event 1 is not the first event of the log that was sealed.")
        assert only(other, seal=seal) == only(other, since=seal) == told


def test_a_log_that_was_truncated_and_mended_is_told(
    busy: Engine, bare: Bare, seal_file: Path, file: Path
) -> None:
    seal = read_seal(seal_file)
    busy.close()
    drop_triggers(bare())
    with open_file(file) as log:
        log.delete(log.end, log.end)
        log.mend_counter()
    assert verify(busy.database, projections=False).whole
    told = (
        seal.position,
        "log-shorter-than-seal",
        f"The log ends with event {seal.position - 1}, and the seal was made at {seal.position}.",
    )
    assert only(busy, seal=seal) == only(busy, since=seal) == told


@pytest.mark.parametrize("first", [2, 60])
def test_a_log_that_was_rewritten_is_told(
    busy: Engine, bare: Bare, seal_file: Path, file: Path, first: int
) -> None:
    seal = read_seal(seal_file)
    busy.close()
    drop_triggers(bare())
    with open_file(file) as log:
        log.set(first, actor="somebody else")
        log.rewrite(first)
        before = log.seal(first - 1)
    assert verify(busy.database).whole
    told = (
        seal.position,
        "sealed-event-differs",
        f"Event {seal.position} does not have the hash that was sealed.",
    )
    assert only(busy, seal=seal) == only(busy, since=seal) == told
    assert verify(busy.database, seals=[before]).whole, "what is behind a seal, it does not prove"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM amie_events WHERE position > 100", "ends with event 100, and its counter says"),
        ("UPDATE amie_log_head SET position = 100", "its counter|The log's counter says"),
        ("UPDATE amie_log_head SET hash = 'x'", "The counter's hash is not that of the newest event"),
        ("DELETE FROM amie_events WHERE position = 1", "The first or the newest event of the log is missing"),
    ],
)
def test_a_log_whose_counter_does_not_fit_its_newest_event_is_not_sealed(
    busy: Engine, bare: Bare, key: Path, sql: str, told: str
) -> None:
    drop_triggers(bare())
    bare().execute(sql)
    with pytest.raises(LogDamaged, match=told):
        make_seal(busy.database, key)


# Keys


def test_a_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.key"
    assert new_key(file) == public(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert public(file).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.key", "audit.key.pub"]
    assert isinstance(serialization.load_pem_private_key(file.read_bytes(), None), Ed25519PrivateKey)


@pytest.mark.parametrize("name", ["audit.key", "audit.key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="ascii")
    with pytest.raises(FileNotWritten, match=f"{name} already"):
        new_key(tmp_path / "audit.key")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_a_key_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotWritten, match="No such file"):
        new_key(tmp_path / "no" / "audit.key")
    assert list(tmp_path.iterdir()) == []


def _pem(key: Any, password: bytes | None = None) -> bytes:
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pem = serialization.Encoding.PEM
    return bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))


def test_what_is_no_private_key_is_told(busy: Engine, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.key"
    contents = {
        b"": "no Ed25519 private key",
        b"\xff\x00": "no Ed25519 private key",
        public(key).read_bytes(): "no Ed25519 private key",
        _pem(rsa.generate_private_key(65537, 2048)): "no Ed25519 private key",
        _pem(x25519.X25519PrivateKey.generate()): "no Ed25519 private key",
        _pem(Ed25519PrivateKey.generate(), b"secret"): "has a password",
        key.read_bytes()[:60]: "no Ed25519 private key",
    }
    for content, told in contents.items():
        file.write_bytes(content)
        with pytest.raises(SealKeyUnusable, match=told) as caught:
            make_seal(busy.database, file)
        assert caught.value.__cause__ is None
    with pytest.raises(SealKeyUnusable, match="No such file"):
        make_seal(busy.database, tmp_path / "no.key")


def test_what_is_no_public_key_is_told(seal_file: Path, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.pub"
    for content in (b"", b"\xff\x00", key.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(SealKeyUnusable, match="no Ed25519 public key"):
            read_seal(seal_file, public_key=file)
    with pytest.raises(SealKeyUnusable, match="No such file"):
        read_seal(seal_file, public_key=tmp_path / "no.pub")


def test_without_cryptography_seals_name_the_extra_and_the_rest_works(
    busy: Engine, key: Path, seal_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = read_seal(seal_file)
    monkeypatch.delitem(sys.modules, "amie_engine.audit.signing")
    monkeypatch.delattr("amie_engine.audit.signing")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    for call in (
        lambda: make_seal(busy.database, key),
        lambda: read_seal(seal_file),
        lambda: new_key(key.parent / "other.key"),
    ):
        with pytest.raises(DependencyMissing, match=r"pip install 'amie-engine\[seal\]'"):
            call()
    assert verify(busy.database, seals=[seal]).whole
