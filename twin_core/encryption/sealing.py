"""Values of a SQLite file sealed one by one with AES-256-GCM.

Nonces: every opening of a file draws 16 random bytes, derives a key of its own from them and
counts from zero, so that no nonce is used twice under one key, whatever crashed, was rolled back,
was restored from a backup or is written by another process at the same time. What is sealed is

    version (1 byte) | session (16) | count (8) | ciphertext and tag (16 more than the plain text)

and bound by its place in the file, so that a value moved to another row or column does not open.
What is looked for by its value is sealed alike each time (AES-256-SIV, RFC 5297), bound as well.
"""

import os
import struct
from itertools import count
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from twin_core.encryption.keys import StoreKey, derived
from twin_core.errors import StoreError, WrongKey

VERSION, ALIKE = b"\x01", b"\x02"
"""What a sealed value begins with, as no text does: sealed by number, or alike each time."""
SALT_BYTES = 16
_HEAD = len(VERSION) + SALT_BYTES + 8
SEALED_BYTES = _HEAD + 16
"""By how many bytes a sealed value is longer than it was."""
_KEPT_SESSIONS = 1_000
"""Keys of sessions that are kept at hand: one for each opening that wrote what is read."""
_CHECKED, _HANDED = b"wardtwin", b"handed over "
_COUNT = struct.Struct(">Q")


class Sealing(Protocol):
    """How values of a file are kept."""

    def seal(self, plain: bytes, position: int, column: bytes) -> bytes:
        """A value as it is kept at its place."""
        ...

    def unseal(self, kept: bytes, position: int, column: bytes) -> bytes:
        """A value that is kept at its place. Raises StoreError where it is not what was kept."""
        ...


class Plain:
    """Values kept as they are."""

    def seal(self, plain: bytes, position: int, column: bytes) -> bytes:
        """As `Sealing.seal`."""
        return plain

    def unseal(self, kept: bytes, position: int, column: bytes) -> bytes:
        """As `Sealing.unseal`."""
        return kept


PLAIN = Plain()


class Seal:
    """One opening of one file; its methods may be called by any thread."""

    def __init__(self, file_key: bytes, name: str) -> None:
        self._file_key, self._name = file_key, name
        session = os.urandom(SALT_BYTES)
        self._begun = VERSION + session
        self._own = self._of_session(session)
        # next() of it is one step of the interpreter: no two threads are given one number.
        self._count = count()
        self._sessions = {session: self._own}
        self._alike: AESSIV | None = None

    def seal(self, plain: bytes, position: int, column: bytes) -> bytes:
        """As `Sealing.seal`."""
        number = _COUNT.pack(next(self._count))
        sealed = self._own.encrypt(b"\0\0\0\0" + number, plain, _place(position, column))
        return self._begun + number + sealed

    def unseal(self, kept: bytes, position: int, column: bytes) -> bytes:
        """As `Sealing.unseal`."""
        if kept[:1] != VERSION:
            raise self._changed()
        session, number = kept[1 : 1 + SALT_BYTES], kept[1 + SALT_BYTES : _HEAD]
        cipher = self._sessions.get(session) or self._met(session)
        try:
            return cipher.decrypt(b"\0\0\0\0" + number, kept[_HEAD:], _place(position, column))
        except (InvalidTag, ValueError):
            raise self._changed() from None

    def seal_alike(self, plain: bytes, column: bytes) -> bytes:
        """A value that is looked for: sealed at one place, the same value is always the same."""
        return ALIKE + self._siv().encrypt(plain, [column])

    def unseal_alike(self, kept: bytes, column: bytes) -> bytes:
        """What `seal_alike` sealed there. Raises StoreError where it is not that."""
        try:
            return self._siv().decrypt(kept.removeprefix(ALIKE), [column])
        except (InvalidTag, ValueError):
            raise self._changed() from None

    def _siv(self) -> AESSIV:
        if self._alike is None:
            halves = (derived(self._file_key, purpose, None) for purpose in (b"alike", b"alike 2"))
            self._alike = AESSIV(b"".join(halves))
        return self._alike

    def handed_over(self, key: StoreKey, purpose: bytes) -> str:
        """A note by which another key opens what this seal sealed."""
        salt = os.urandom(SALT_BYTES)
        sealed = Seal(key.derived(_HANDED + purpose, salt), "").seal(self._file_key, 0, _HANDED)
        return f"{salt.hex()}:{sealed.hex()}"

    def given_up(self) -> str:
        """A note by which anybody opens what this seal sealed."""
        return self._file_key.hex()

    def _met(self, session: bytes) -> AESGCM:
        if len(self._sessions) > _KEPT_SESSIONS:
            self._sessions = {}
        self._sessions[session] = found = self._of_session(session)
        return found

    def _of_session(self, session: bytes) -> AESGCM:
        return AESGCM(derived(self._file_key, b"session", session))

    def _changed(self) -> StoreError:
        return StoreError(
            f"What {self._name} holds was changed.",
            why="A sealed value does not open at its place.",
            do="Restore the store from a backup.",
        )


def new_sealing(key: StoreKey, purpose: bytes) -> str:
    """What a new file notes so that its values can be sealed: a salt and a check, no secret."""
    salt = os.urandom(SALT_BYTES)
    check = Seal(key.derived(purpose, salt), "").seal(_CHECKED, 0, b"check")
    return f"{salt.hex()}:{check.hex()}"


def sealing_of(noted: str, key: StoreKey, purpose: bytes, name: str) -> Seal:
    """The seal of a file that notes this. Raises WrongKey where another key sealed it."""
    salt, _, check = noted.partition(":")
    try:
        seal = Seal(key.derived(purpose, bytes.fromhex(salt)), name)
        seal.unseal(bytes.fromhex(check), 0, b"check")
    except (StoreError, ValueError):
        raise WrongKey(
            f"{name} is encrypted by another key.",
            why=f"The key that is set has the fingerprint {key.fingerprint}.",
            do="Set the key that it was encrypted by; see [encryption].",
        ) from None
    return seal


def seal_handed_over(noted: str, key: StoreKey | None, purpose: bytes, name: str) -> Seal | None:
    """The seal that a note hands over to this key, or to everybody; None where it does not."""
    salt, colon, sealed = noted.partition(":")
    try:
        if key is None:
            return None if colon else Seal(bytes.fromhex(salt), name)
        by = Seal(key.derived(_HANDED + purpose, bytes.fromhex(salt)), name)
        return Seal(by.unseal(bytes.fromhex(sealed), 0, _HANDED), name)
    except (StoreError, ValueError):
        return None


def _place(position: int, column: bytes) -> bytes:
    return _COUNT.pack(position) + column
