"""Splitting one file into messages without ever holding more of it than one message.

HL7 v2: a message begins at a line that begins with MSH and any delimiter. MLLP bytes and batch
envelopes (FHS, BHS, BTS, FTS) end the message before them and belong to none. Text that is in no
message is yielded too, so that whoever translates it can say why it is none: nothing is dropped.
But what stands before the first header counts once, so that a file that is no HL7 at all, such as
an image, is one reject and not one for every byte that looks like the end of a message.
An envelope is yielded where it is at fault (a wrong count, a missing trailer), with the reason.

A message heavier than the limit is cut one byte behind it, which is enough for the translator to
refuse it by its weight, and the rest of it is passed over.
"""

import re
from collections.abc import Callable, Iterator
from io import BufferedReader, FileIO
from typing import BinaryIO, NamedTuple

from adapters.files.batches import SEGMENTS, Batches
from adapters.files.find import SNIFFED_BYTES, STANDARD_INPUT, Kind, Source, sniff
from twin_core.encryption import Files
from twin_core.errors import FeedError
from twin_core.events import Fault
from twin_core.settings import LimitSettings

BLOCK_BYTES = 1 << 20

# A header or an MLLP end block at a line start. The delimiter behind the segment name may be any
# byte that could not go on a word, so that `MSHELL` in a note splits nothing; trailers may be bare.
_MARK = re.compile(
    rb"(?<![^\r\n\x0b\x1c])(?:(?:MSH|[FB]HS)[^A-Za-z0-9\s]|[FB]TS(?:[^A-Za-z0-9 \t]|\Z))"
    rb"|\x1c(?=[\r\n\x0b])|\x1c\Z"
)
_LOOKAHEAD = 4
_BOM = b"\xef\xbb\xbf"
_BLANK = b"\r\n\x0b\x1c \t\x00\x1a"
_HEADER = b"MSH"
_RARE = (b"\x1c", *SEGMENTS)
_LINE_END = re.compile(rb"[\r\n]")
_LONGEST_ENVELOPE = 4096


BATCH = "batch"
"""Format of what is no message but the envelope of some."""


class Found(NamedTuple):
    """One message in a file: its exact bytes, where it begins, and its wire format.

    The envelope of a batch is found too where it is at fault: its format is `batch`, and `faults`
    says why.
    """

    raw: bytes
    offset: int
    format: str
    faults: tuple[Fault, ...] = ()


def read_messages(
    source: Source,
    limits: LimitSettings | None = None,
    stdin: BufferedReader | None = None,
    files: Files | None = None,
) -> Iterator[Found]:
    """The messages of one source in file order. Raises FeedError where it cannot be read."""
    limits = limits or LimitSettings()
    try:
        if source.path == STANDARD_INPUT:
            stream = stdin or BufferedReader(FileIO(0, closefd=False))
            kind = source.kind or sniff(stream.peek(SNIFFED_BYTES)) or "hl7"
            yield from _SPLITTERS[kind](stream, limits)
        else:
            with (files or Files()).opened(source.path) as file:
                yield from _SPLITTERS[source.kind or "hl7"](file, limits)
    except OSError as error:
        raise FeedError(
            f"{source.path} cannot be read.",
            why=f"{error.strerror or type(error).__name__}.",
            do="Check the path and its permissions.",
        ) from error


def read_batches(file: BinaryIO, limits: LimitSettings) -> Iterator[Found]:
    """The HL7 v2 messages of a stream and every batch envelope, at fault or not, in their order."""
    heaviest = limits.frame_bytes + 1
    batches = Batches()
    headed = strayed = False
    for offset, piece in _pieces(file, heaviest):
        if piece.startswith(SEGMENTS) and len(piece) > 3 and not piece[3:4].isalnum():
            line_end = _LINE_END.search(piece)
            skipped = line_end.end() if line_end else len(piece)
            segment = piece[:skipped].rstrip(_BLANK)[:_LONGEST_ENVELOPE]
            for envelope in batches.segment(segment, offset):
                yield Found(envelope.raw, envelope.offset, BATCH, envelope.faults)
            offset, piece, headed = offset + skipped, piece[skipped:], True
        start = len(piece) - len(piece.lstrip(_BLANK))
        raw = piece.strip(_BLANK)
        if raw:
            if raw.startswith(_HEADER):
                batches.message()
                headed = True
            elif strayed and not headed:
                continue
            strayed = True
            yield Found(raw[:heaviest], offset + start, "hl7v2")
    for envelope in batches.end():
        yield Found(envelope.raw, envelope.offset, BATCH, envelope.faults)


def _hl7_messages(file: BinaryIO, limits: LimitSettings) -> Iterator[Found]:
    return (found for found in read_batches(file, limits) if found.format != BATCH or found.faults)


def _pieces(file: BinaryIO, heaviest: int) -> Iterator[tuple[int, bytes]]:
    """The stretches between marks with their offsets, each cut a little above `heaviest`."""
    buffer, offset, scanned, cut = b"", 0, 0, False
    while True:
        block = file.read(BLOCK_BYTES)
        if not offset and not buffer and block.startswith(_BOM):
            block, offset = block.removeprefix(_BOM), len(_BOM)
        buffer += block
        # A mark at the very end may be half a mark: it waits for the next block.
        safe = len(buffer) - _LOOKAHEAD if block else len(buffer)
        begin = 0
        for mark in _marks(buffer, scanned):
            if mark >= safe:
                break
            if mark > begin and not cut:
                yield offset + begin, buffer[begin:mark]
            begin, cut = mark, False
        if not block:
            if not cut:
                yield offset + begin, buffer[begin:]
            return
        if len(buffer) - begin > heaviest + BLOCK_BYTES:
            if not cut:
                yield offset + begin, buffer[begin:safe]
            # The byte before the rest stays: whether a line starts there depends on it.
            begin, cut = safe - 1, True
        buffer, offset, scanned = buffer[begin:], offset + begin, max(safe - begin, 1)


def _marks(buffer: bytes, start: int) -> Iterator[int]:
    """Where marks begin, from `start` on."""
    if any(rare in buffer for rare in _RARE):
        yield from (mark.start() for mark in _MARK.finditer(buffer, start))
        return
    # Most files hold nothing but messages, and a plain search is many times as fast.
    at = buffer.find(_HEADER, start)
    while at >= 0:
        if _MARK.match(buffer, at):
            yield at
        at = buffer.find(_HEADER, at + 1)


def _lines(file: BinaryIO, limits: LimitSettings) -> Iterator[Found]:
    heaviest = limits.body_bytes + 1
    offset = 0
    while line := file.readline(heaviest):
        began, offset = offset, offset + len(line)
        if len(line) == heaviest and not line.endswith(b"\n"):
            while rest := file.readline(BLOCK_BYTES):
                offset += len(rest)
                if rest.endswith(b"\n"):
                    break
        raw = line.removeprefix(_BOM).strip()
        if raw:
            yield Found(raw, began, "fhir")


def _document(file: BinaryIO, limits: LimitSettings) -> Iterator[Found]:
    raw = file.read(limits.body_bytes + 1).removeprefix(_BOM).strip()
    if raw:
        yield Found(raw, 0, "fhir")


_SPLITTERS: dict[Kind, Callable[[BinaryIO, LimitSettings], Iterator[Found]]] = {
    "hl7": _hl7_messages,
    "ndjson": _lines,
    "json": _document,
}
