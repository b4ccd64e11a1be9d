"""Ed25519 keys in files, and what is signed with them."""

from __future__ import annotations

from pathlib import Path

from amie_engine.audit.new_file import new_file
from amie_engine.errors import DependencyMissing, SealKeyUnusable

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )
except ImportError as error:
    raise DependencyMissing(
        "Seals need cryptography, which is not installed.",
        hint="Install it: pip install 'amie-engine[seal]'.",
    ) from error

__all__ = ["PrivateKey", "is_signed", "new_key", "read_public_key"]


class PrivateKey:
    """The private key in a file.

    Raises:
        SealKeyUnusable: The file can't be read, or has no Ed25519 private key without a password.
    """

    def __init__(self, file: Path) -> None:
        try:
            key = load_pem_private_key(_read(file), password=None)
        except TypeError:
            raise SealKeyUnusable(
                f"The key in {file} has a password.", hint="Keep it without one, readable by nobody else."
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise SealKeyUnusable(f"There is no Ed25519 private key in {file}.")
        self._key = key

    @property
    def public(self) -> str:
        """Its public key, in hex."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, content: bytes) -> str:
        """Return its signature of something, in hex."""
        return self._key.sign(content).hex()


def new_key(file: Path) -> Path:
    """Make a key pair: the private key in a file that only its owner may read, the public one beside it.

    Returns:
        The file of the public key, whose name ends in ``.pub``.

    Raises:
        FileNotWritten: One of the files is there already, or can't be written.
    """
    beside = Path(f"{file}.pub")
    key = Ed25519PrivateKey.generate()
    with new_file(beside) as public_part, new_file(file) as private_part:
        private_part.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        public_part.write_bytes(public)
        public_part.chmod(0o644)
    return beside


def read_public_key(file: Path) -> str:
    """Return the public key in a file, in hex.

    Raises:
        SealKeyUnusable: The file can't be read, or has no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(_read(file))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SealKeyUnusable(f"There is no Ed25519 public key in {file}.")
    return key.public_bytes_raw().hex()


def is_signed(content: bytes, signature: str, public_key: str) -> bool:
    """Tell whether a signature is that of something, by the private key of a public one; all in hex."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
            bytes.fromhex(signature), content
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SealKeyUnusable(f"The key in {file} can't be read: {error.strerror}.") from None
