"""The key of a store: read from outside, never shown, and the source of every key that is used.

What the site keeps is one line of 64 hexadecimal digits, 32 random bytes. Keys that encrypt are
derived from it by HKDF-SHA-256 (RFC 5869), one for each purpose, so that none tells of another.
"""

import hmac
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from twin_core.encryption.source import guarded, printed, put_guarded
from twin_core.errors import ConfigurationError
from twin_core.settings import EncryptionSettings

KEY_BYTES = 32
_FEWEST_VALUES = 8
"""Different bytes in a key; so few among 32 random ones happen once in 10^28 keys."""
_DO = (
    "Make a key with `wardtwin store new-key FILE`, and name the file in [encryption] key_file;"
    " see docs/how-to/encrypt-the-store.md."
)


class StoreKey:
    """A site's key, from which others are derived; it shows itself by its fingerprint only."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return f"StoreKey({self.fingerprint})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreKey) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @classmethod
    def drawn(cls) -> "StoreKey":
        """A new key, from the operating system's randomness."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def database(self) -> str:
        """What DuckDB is given to encrypt the database by."""
        return self.derived(b"database").hex()

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell one key from another and nothing about either."""
        return self.derived(b"fingerprint").hex()[:16]

    def derived(self, purpose: bytes, salt: bytes | None = None) -> bytes:
        """32 bytes for one purpose."""
        return derived(self._secret, purpose, salt)

    def written(self) -> str:
        """The key as a site keeps it. Only for a file that nobody else reads, or for a pipe."""
        return self._secret.hex()


def derived(secret: bytes, purpose: bytes, salt: bytes | None) -> bytes:
    """32 bytes that follow from a secret for one purpose, and do not lead back to it."""
    info = b"wardtwin encryption 1 " + purpose
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def read_key(settings: EncryptionSettings) -> StoreKey | None:
    """The key that a site has set; None where it has set none: its store is not encrypted.

    Raises ConfigurationError for two sources, a file that others may read, and what is no key.
    """
    given = {
        "key_file": settings.key_file is not None,
        "key_command": bool(settings.key_command),
        "key": settings.key is not None,
    }
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise ConfigurationError(
            "The key of the store has two sources.",
            why=f"[encryption] sets {' and '.join(named)}.",
            do="Keep one.",
        )
    if settings.key_file is not None:
        return key_in(settings.key_file)
    if settings.key_command:
        said = printed(settings.key_command, "[encryption] key_command")
        return key_of(said, "What [encryption] key_command prints")
    if settings.key is not None:
        return key_of(settings.key.get_secret_value(), "[encryption] key")
    return None


def key_in(path: Path) -> StoreKey:
    """The key in a file. Raises ConfigurationError as `read_key` does."""
    return key_of(guarded(path, _DO), f"The file {path}")


def key_of(text: str, origin: str) -> StoreKey:
    """The key that a text is. Raises ConfigurationError, without the text, where it is none."""
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"{origin} is no key.", why="It is not hexadecimal.", do=_DO
        ) from None
    if len(secret) != KEY_BYTES:
        why = f"It has {len(secret)} bytes where a key has {KEY_BYTES}."
        raise ConfigurationError(f"{origin} is no key.", why=why, do=_DO)
    if len(set(secret)) < _FEWEST_VALUES:
        raise ConfigurationError(f"{origin} is no key.", why="It is not random.", do=_DO)
    return StoreKey(secret)


def write_key(path: Path, key: StoreKey) -> None:
    """Write a key to a new file that only its owner reads.

    Raises ConfigurationError where there is such a file: what was encrypted by a lost key is lost.
    """
    put_guarded(path, key.written() + "\n", "Name a new file; to rotate the key, name that one.")


def missing_key(name: str) -> ConfigurationError:
    """What to say where something is encrypted and no key is set."""
    return ConfigurationError(
        f"{name} is encrypted, and no key is set.",
        do="Name its key in [encryption]: key_file, key_command, or WARDTWIN_ENCRYPTION__KEY.",
    )
