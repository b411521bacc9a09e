"""Lines of staged files on their way to receipts, in this process or in another one."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from api.translating import Reader, resources
from twin_core.inbox import Receipt
from twin_core.settings import Settings

_NEXT = timedelta(microseconds=1)


class Lines(msgspec.Struct, frozen=True, array_like=True):
    """Some lines of one staged file, in order, and all that is needed to translate them."""

    document: str
    """Digest of the file's bytes."""
    feed: str
    path: str
    received_at: datetime
    first: int
    """Place of the first of them in the file."""
    begins: list[int]
    """Where each begins in the file."""
    ends: bytes
    """Where each begins and the last one ends, in 64 bits each."""
    content: bytes
    """The bytes of all of them, from where the first begins."""

    def each(self) -> Iterator[tuple[int, bytes]]:
        """Where each begins in the file, and its bytes."""
        content, ends = self.content, memoryview(self.ends).cast("q")
        begin = ends[0]
        for at, (start, end) in zip(self.begins, pairwise(ends), strict=True):
            yield at, content[start - begin : end - begin]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Lines)


def encode_lines(several: Lines) -> bytes:
    """Lines as MessagePack, to cross a pipe."""
    return _ENCODER.encode(several)


def decode_lines(encoded: bytes) -> Lines:
    """The inverse of `encode_lines`."""
    return _DECODER.decode(encoded)


def translated_lines(
    many: Iterable[Lines], settings: Settings
) -> Iterator[tuple[list[Receipt], int]]:
    """Lines as receipts, each list with how many lines there were so far."""
    done = 0
    for several in many:
        reader = Reader(
            settings, several.feed or None, several.received_at, document=several.document
        )
        scope = reader.scope()
        receipts: list[Receipt] = []
        for place, (at, raw) in enumerate(several.each(), several.first + 1):
            # Statements without a version are ordered by receipt: one line after the other.
            its = msgspec.structs.replace(scope, received_at=several.received_at + place * _NEXT)
            receipts += resources(raw, its, settings.limits, f"{several.path}@{at}")
        done += len(several.begins)
        yield receipts, done
