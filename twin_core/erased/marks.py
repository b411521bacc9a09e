"""The marks of erased patients, and the key under which they are made."""

import hmac
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from twin_core.encryption.source import guarded, put_guarded
from twin_core.errors import ConfigurationError
from twin_core.identifiers import UNIDENTIFYING_TYPES, Identifier

_AUTHORITY, _SENDER = "urn:wardtwin:authority:", "urn:wardtwin:sender:"
KEY_BYTES = 32
MARK_BYTES = 16
_DO = "Restore the key of the erasures of this store: without it erased patients would come back."


def made_key(path: Path) -> bytes:
    """The key in a file, drawn and written there first where there is none."""
    if not path.exists():
        put_guarded(path, secrets.token_hex(KEY_BYTES) + "\n", "Use that one.")
    return read_mark_key(path)


def read_mark_key(path: Path) -> bytes:
    """The key in a file. Raises ConfigurationError where there is none that can be used."""
    try:
        key = bytes.fromhex(guarded(path, _DO).strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"The file {path} holds no key of erasures.", do=_DO)
    return key


class Marks:
    """Whom a store must not take in again."""

    def __init__(self, key: bytes, marks: Collection[bytes] = frozenset()) -> None:
        self._key, self._marks = key, frozenset(marks)

    def __bool__(self) -> bool:
        return bool(self._marks)

    def joined(self, further: Collection[bytes]) -> "Marks":
        """These marks and more."""
        return Marks(self._key, self._marks.union(further))

    def covers(self, identifier: Identifier) -> bool:
        """Whether an identifier is one of an erased patient's, or of something of theirs."""
        return self.mark(identifier) in self._marks

    def covers_alike(self, patient: Identifier) -> bool:
        """Whether a patient's identifier is an erased one but for how its issuer is written."""
        return not self._marks.isdisjoint(self.marks_alike(patient))

    def marks_alike(self, patient: Identifier) -> tuple[bytes, ...]:
        """The mark of a patient's number under the name of whoever issued it; none without a name.

        An authority is the same in capitals and without, and a number that a sender gives without
        an authority is of the authority that has the sender's name.
        """
        system = patient.system
        if patient.type in UNIDENTIFYING_TYPES:
            return ()
        if system.startswith(_AUTHORITY):
            name = system.removeprefix(_AUTHORITY)
        elif system.startswith(_SENDER):
            name = system.removeprefix(_SENDER).rpartition(":")[0]
        else:
            return ()
        return (self.digest("alike", name.strip().casefold(), patient.value),)

    def covers_any_word(self, words: Iterable[str]) -> bool:
        """Whether one of the words of a message is such an identifier's value."""
        return any(self.mark_word(word) in self._marks for word in words)

    def mark(self, identifier: Identifier) -> bytes:
        """The mark of an identifier."""
        return self.digest("identifier", identifier.system, identifier.value)

    def mark_word(self, word: str) -> bytes:
        """The mark of an identifier's value, whoever issued it."""
        return self.digest("word", word)

    def digest(self, kind: str, *parts: str) -> bytes:
        """A keyed digest of anything that must not be told."""
        told = "\x1f".join((kind, *parts)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, told, "sha256")[:MARK_BYTES]
