"""The twin's ids as somebody sees them who may not know whose they are.

An id is derived from a number of the hospital's, so who has all numbers could try them all. In its
place stands another of the same shape, made with a key that this process alone has: a screen shows
that somebody is still in the bed, and nothing leads further.
"""

import hmac
import re
import secrets
from collections.abc import Callable

_ID = re.compile(rb"(?<![0-9A-Za-z])([peasov])([0-9a-f]{6})([0-9a-f]{18})(?![0-9A-Za-z])")
_SHORT = re.compile(rb"(?<![0-9A-Za-z])(e)([0-9a-f]{6})(?![0-9A-Za-z])")


class Aliases:
    """One key, for as long as the server runs."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def masked(self, shown: bytes, *, board: bool) -> bytes:
        """The bytes of an answer with every id replaced; never longer or shorter."""
        shown = _ID.sub(self._whole, shown)
        return _SHORT.sub(self._short, shown) if board else shown

    def _whole(self, found: re.Match[bytes]) -> bytes:
        kind, head, tail = found.groups()
        return kind + self._hex(kind + head, 6) + self._hex(kind + head + tail, 18)

    def _short(self, found: re.Match[bytes]) -> bytes:
        kind, head = found.groups()
        return kind + self._hex(kind + head, 6)

    def _hex(self, said: bytes, length: int) -> bytes:
        return hmac.digest(self._key, said, "sha256").hex()[:length].encode()


Masking = Callable[[bytes], bytes]
