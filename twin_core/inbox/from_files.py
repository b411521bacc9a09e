"""Durable intake of files by another process than the one that applies them.

Reading a large export keeps one core busy and applying it another. The process that reads makes its
receipts durable, too, and hands over the entries; the one that holds the store carries them until
they are applied. An entry whose reader or holder is killed is forgotten when the store is opened
again, as every entry of a file is, and a reader that outlived its holder can add none.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.clock import Clock
from twin_core.encryption.keys import key_of
from twin_core.inbox.deciding import Group
from twin_core.inbox.file import InboxFile
from twin_core.inbox.receipt import Entry, Receipt

Journal = Callable[[Sequence[Entry]], bytes]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Entry])


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """All that another process needs to make receipts of files durable for an open store."""

    inbox: str
    holder: int
    """Which opening of the store it is for."""
    key: str | None = None
    """The site's key, where the store is encrypted: to be told over a pipe only."""


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """What became of some receipts of files, all of them durable."""

    outcomes: dict[str, int]
    """How many were accepted, duplicates or rejected."""
    position: int
    """The last position that any of them has."""
    entries: bytes
    """Those to be applied, encoded; see `decode_entries`."""
    journal: bytes = b""
    """Their rows of the store's journal, encoded, where they are made already."""


class Prepared(NamedTuple):
    """The journal's rows of entries that another process made durable, as it has encoded them."""

    first: int
    last: int
    """The positions of the first and the last of the entries."""
    journal: bytes


class FileIntake:
    """Makes receipts of files durable in the inbox of a store that another process has open."""

    def __init__(self, beside: Beside, clock: Clock, journal: Journal = lambda _: b"") -> None:
        """`journal` encodes the rows that the store's journal will have of entries."""
        key = key_of(beside.key, "The key") if beside.key else None
        self._file = InboxFile(Path(beside.inbox), key)
        self._holder, self._clock, self._journal = beside.holder, clock, journal

    def close(self) -> None:
        """Let go of the inbox."""
        self._file.close()

    def take(self, receipts: Sequence[Receipt]) -> Stored:
        """Make receipts durable as one. Raises StoreError, with nothing stored."""
        group = Group(receipts, self._clock.now(), None, True, Future())
        (answers,) = self._file.commit([group], self._holder).answers
        carried = list(self._file.carried.values())
        self._file.carried.clear()
        return Stored(
            Counter(answer.status for answer in answers),
            max((answer.position or 0 for answer in answers), default=0),
            _ENCODER.encode(carried),
            self._journal(carried) if carried else b"",
        )


def decode_entries(encoded: bytes) -> list[Entry]:
    """The entries of `Stored`."""
    return _DECODER.decode(encoded)
