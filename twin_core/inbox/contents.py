"""What an inbox holds, row by row: compared with a copy, or sealed anew in another file."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.encryption import StoreKey
from twin_core.inbox.file import InboxFile

_TOGETHER = 10_000
"""Rows that are kept in memory at a time."""


class Sum(NamedTuple):
    """How many rows there are, and a digest of all of them."""

    rows: int
    digest: str


Sums = dict[str, Sum]


class Held(NamedTuple):
    """An inbox in short: whose it is, where it begins and ends, and sums of what is in it."""

    store_id: str | None
    pruned_to: int
    high: int
    sums: Sums


def held_in(path: Path, key: StoreKey | None) -> Held:
    """What the inbox in a file holds; values are opened, so that sealing does not matter.

    Raises StoreError where a value was changed, WrongKey or ConfigurationError for another key.
    """
    with closing(InboxFile(path, key)) as inbox:
        sums = {table: _sum(inbox.contents(table)) for table in inbox.tables()}
        return Held(inbox.store_id(), inbox.pruned_to(), inbox.high_water(), sums)


def copy_sealed(path: Path, key: StoreKey | None, copy: Path, new_key: StoreKey | None) -> None:
    """Write what an inbox holds into a new file, sealed by another key or by none."""
    with closing(InboxFile(path, key)) as inbox, closing(InboxFile(copy, new_key)) as made:
        for table in inbox.tables():
            made.fill(table, inbox.contents(table), together=_TOGETHER)


def _sum(rows: Iterable[tuple[object, ...]]) -> Sum:
    digest, count = hashlib.blake2b(digest_size=32), 0
    encoder = msgspec.msgpack.Encoder()
    for row in rows:
        digest.update(encoder.encode(row))
        count += 1
    return Sum(count, digest.hexdigest())
