"""Files of their own beside a store, such as exports on their way in, sealed piece by piece.

A piece is what was written at once: four bytes that tell its length, and the piece sealed by
AES-256-GCM, bound to where in the file it belongs. So a file is continued where its writing ended,
whatever ended it, and pieces that change places do not open.
"""

import errno
import os
import struct
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, Self

from twin_core.encryption.keys import StoreKey
from twin_core.encryption.sealing import SEALED_BYTES, Seal
from twin_core.errors import StoreError

EXPORTS = ".sources.files"
"""Behind a store's name: the folder of exports on their way in."""
PIECE_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")
_MOST = 1 << 26
_PURPOSE, _PLACE = b"files beside", b"piece"


class Unsealable(OSError):
    """A file was not sealed by this key, or was changed."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "It does not open by the key of the store")


class Files:
    """How such files are written and read: sealed by a key of their own, or as they are."""

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret
        """What another process is told, over a pipe, so that it can read them; empty if open."""

    @classmethod
    def of(cls, key: StoreKey | None) -> Self:
        """Those of a store that has this key, or none."""
        return cls(key.derived(_PURPOSE) if key is not None else b"")

    def opened(self, path: Path | str) -> BufferedReader:
        """A file to be read. Reading raises OSError, Unsealable where it does not open."""
        file = open(path, "rb")
        return BufferedReader(_Unsealing(file, self._seal()), PIECE_BYTES) if self.secret else file

    def opens(self, path: Path) -> bool:
        """Whether a file is there and begins as one of these."""
        try:
            with self.opened(path) as file:
                file.read(1)
        except (FileNotFoundError, Unsealable):
            return False
        return True

    def continued(self, path: Path, at: int) -> "Continued":
        """A file to be written from a byte on, for its owner alone; what was behind it goes."""
        return Continued(path, at, self._seal() if self.secret else None)

    def size(self, path: Path) -> int:
        """How many bytes were written whole; 0 where there is no file."""
        try:
            with path.open("rb") as file:
                return _behind(file, None)[1] if self.secret else path.stat().st_size
        except FileNotFoundError:
            return 0

    def _seal(self) -> Seal:
        return Seal(self.secret, "A file beside the store")


class Continued:
    """A file that is being written, in pieces."""

    def __init__(self, path: Path, at: int, seal: Seal | None) -> None:
        self._seal, self._at = seal, at
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        self._file.seek(_behind(self._file, at)[0] if seal is not None else at)
        self._file.truncate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, plain: bytes) -> int:
        """Write a piece."""
        if self._seal is None:
            self._file.write(plain)
        elif plain:
            sealed = self._seal.seal(plain, self._at, _PLACE)
            self._file.write(_LENGTH.pack(len(sealed)) + sealed)
        self._at += len(plain)
        return len(plain)

    def settled(self) -> int:
        """How many bytes the file has, now that they are on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._at


class _Unsealing(RawIOBase):
    """The bytes of a sealed file, one piece after the other."""

    def __init__(self, file: BinaryIO, seal: Seal) -> None:
        super().__init__()
        self._file, self._seal = file, seal
        self._at, self._left = 0, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = memoryview(self._piece())
        count = min(len(into), len(self._left))
        into[:count], self._left = self._left[:count], self._left[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _piece(self) -> bytes:
        head = self._file.read(_LENGTH.size)
        if not head:
            return b""
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        sealed = self._file.read(length) if length <= _MOST else b""
        try:
            plain = self._seal.unseal(sealed, self._at, _PLACE)
        except StoreError:
            raise Unsealable from None
        self._at += len(plain)
        return plain


def _behind(file: BinaryIO, most: int | None) -> tuple[int, int]:
    """Where the last whole piece ends that ends by a byte, in the file and in what it holds."""
    size = os.fstat(file.fileno()).st_size
    end = held = 0
    while head := file.read(_LENGTH.size):
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        plain = length - SEALED_BYTES
        behind = end + _LENGTH.size + length
        if plain <= 0 or behind > size or (most is not None and held + plain > most):
            break
        end, held = behind, held + plain
        file.seek(end)
    return end, held
