"""The keys of a ledger: who signs its entries and checkpoints, and who names its patients.

They live in a file of their own, outside the store and outside the ledger, that only its owner may
read. Who has the file can write a ledger; who has only the public key can verify one.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twin_core.errors import ConfigurationError

PSEUDONYM_BYTES = 16
_NAMED_BYTES = 4


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    signing: str
    naming: str


class AuditKeys(NamedTuple):
    """Two independent secrets of 32 bytes: for signing, and for naming patients."""

    signing: bytes
    naming: bytes

    @classmethod
    def made(cls) -> Self:
        """Fresh keys, from the operating system's randomness."""
        return cls(*(secrets.token_bytes(32) for _ in range(2)))

    def pseudonym(self, patient_id: str) -> str:
        """The name by which the ledger knows a patient; the same for one key, useless without."""
        told = hmac.digest(self.naming, b"patient\x1f" + patient_id.encode(), "sha256")
        return told[:PSEUDONYM_BYTES].hex()

    def object_pseudonym(self, named: str) -> str:
        """How the chain calls an object (`query/NAME`) whose name is somebody's own words."""
        kind = named.partition("/")[0]
        told = hmac.digest(self.naming, b"object\x1f" + named.encode(), "sha256")
        return f"{kind}/{told[:PSEUDONYM_BYTES].hex()}"

    def text_digest(self, texts: bytes) -> str:
        """What stays in the chain of words that may be erased beside it."""
        return hmac.digest(self.naming, b"text\x1f" + texts, "sha256").hex()

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of a link of the chain, or of a checkpoint."""
        return _private(self.signing).sign(message)

    def public(self) -> bytes:
        """The 32 bytes by which others verify entries and checkpoints."""
        return _private(self.signing).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def fingerprint(self) -> str:
        """The public key in short, to tell one pair from another."""
        return hashlib.sha256(self.public()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _private(signing: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(signing)


@lru_cache(maxsize=8)
def _public(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def is_signed(message: bytes, signature: bytes, public: bytes) -> bool:
    """Whether the holder of a public key's other half signed a message."""
    try:
        _public(public).verify(signature, message)
    except (ValueError, InvalidSignature):
        return False
    return True


def keys_of(path: Path, *, make: bool) -> AuditKeys:
    """The keys in a file, made there first where there is none and `make` allows it.

    Raises ConfigurationError for a file that others may read, or that holds no keys.
    """
    if make:
        if not path.exists():
            _write(path, AuditKeys.made())
        _remove_unlinked(path)
    try:
        mode = path.stat().st_mode
        written = msgspec.json.decode(path.read_bytes(), type=_Written)
        keys = AuditKeys(*map(_bytes_of, (written.signing, written.naming)))
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(
            f"The audit keys {path} cannot be used.",
            why=getattr(error, "strerror", None) or "The file does not hold two keys.",
            do="Name the file with audit.keys, or restore it: a ledger is continued by its keys.",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"The audit keys {path} may be read by others.", do=f"Run `chmod 600 {path}`."
        )
    return keys


def _write(path: Path, keys: AuditKeys) -> None:
    texts = [base64.b64encode(key).decode() for key in keys]
    written = msgspec.json.encode(_Written(1, *texts))
    # Linked into place whole: of two programs that begin at once, both use the first one's keys.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(_NAMED_BYTES)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(written)
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except (FileExistsError, FileNotFoundError):
            pass  # Another program was first, and may have removed this one's as well.
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The audit keys {path} cannot be written.", why=error.strerror or str(error)
        ) from error


def _remove_unlinked(path: Path) -> None:
    """Remove what a program left beside the keys that was ended while it made them: they are
    secrets, and whoever moves or destroys the keys knows of one file."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _NAMED_BYTES}}}")
    # Where the keys are in a folder that only their owner writes to, they were not made from here.
    with suppress(OSError):
        for file in path.parent.iterdir():
            if left.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _bytes_of(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != 32:
        raise ValueError("a key has 32 bytes")
    return key
