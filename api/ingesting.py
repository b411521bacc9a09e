"""Messages from files into a store: read and translated in one process, stored by another.

The translating process does everything that needs only the bytes; it sends receipts in chunks over
a pipe, which also holds it back when the store is slower. The storing side keeps a bounded number
of chunks under way and counts the answers.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from adapters.files import Source, read_messages
from adapters.files.find import STANDARD_INPUT
from api.collector import LOADED_OBJECTS, calm_collector
from api.frames import read_frame, write_frame
from api.translating import Reader, encode_receipts
from twin_core.encryption import Files
from twin_core.errors import FeedError
from twin_core.inbox import Answer, Receipt
from twin_core.settings import Settings

CHUNK_MESSAGES = 1_000
CHUNK_BYTES = 8 * 1024 * 1024
CHUNKS_UNDER_WAY = 3
ROOM = 6 * 1024 * 1024
"""Bytes of encoded receipts that a store which does other things may have to apply yet."""
_PAUSE_S = 0.02
_NEXT = timedelta(microseconds=1)

SMALL_BYTES = 2 * 1024 * 1024
"""Below this, starting a process takes longer than translating."""


class Chunk(msgspec.Struct, frozen=True):
    """Some receipts, encoded, and how many bytes of the files have been read so far."""

    receipts: bytes
    bytes_read: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to read and by which settings: all that the translating process needs to know."""

    sources: tuple[Source, ...]
    feed: str | None
    settings: str
    received_at: datetime
    own: str = ""
    """meta.source under which what this twin told comes back; it is no news."""
    sealed_by: bytes = b""
    """The secret by which the sources are sealed, where they are (`Files`)."""


class Summary(msgspec.Struct, kw_only=True):
    """What became of the messages of one ingest."""

    messages: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    seconds: float = 0.0
    files: int = 0


class Storing(Protocol):
    """What ingesting needs of a store; see `Desk`."""

    @property
    def room(self) -> int:
        """Bytes of encoded receipts that may be taken in and not applied: they are in memory."""
        ...

    def submit(self, receipts: bytes) -> "Future[list[Answer]]":
        """Take encoded receipts from files in."""
        ...

    def position(self) -> int:
        """How far what was taken in has been applied."""
        ...


def ingest(
    desk: Storing,
    order: Order,
    report: Callable[[int, str], None],
    chunks: Generator[Chunk, None, None] | None = None,
) -> Summary:
    """Store every message of the sources and wait until all of them are applied.

    `chunks` are given where the messages come from elsewhere than the sources.
    """
    calm_collector(LOADED_OBJECTS)
    began = time.monotonic()
    counted: Counter[str] = Counter()
    position = 0
    under_way: deque[tuple[Future[list[Answer]], int]] = deque()
    taken: deque[tuple[int, int]] = deque()
    chunks = chunks_of(order) if chunks is None else chunks

    def settle() -> None:
        nonlocal position
        answered, size = under_way.popleft()
        for answer in answered.result():
            counted[answer.status] += 1
            position = max(position, answer.position or 0)
        taken.append((position, size))

    with contextlib.closing(chunks):
        for chunk in chunks:
            under_way.append((desk.submit(chunk.receipts), len(chunk.receipts)))
            if len(under_way) >= CHUNKS_UNDER_WAY:
                settle()
            _wait_for_room(desk, taken)
            report(chunk.bytes_read, _rate(counted, began))
    while under_way:
        settle()
    report(size_of(order.sources), "applying")
    _wait_until_applied(desk, position)
    return Summary(
        messages=counted.total(),
        accepted=counted["accepted"],
        duplicates=counted["duplicate"],
        rejected=counted["rejected"],
        seconds=round(time.monotonic() - began, 3),
        files=len(order.sources),
    )


def chunks_of(order: Order) -> Generator[Chunk, None, None]:
    """What the sources of an order hold, translated in another process where that is worth it."""
    return _in_another_process(order) if _is_worth_a_process(order) else translated_chunks(order)


def translated_chunks(order: Order) -> Generator[Chunk, None, None]:
    """Read and translate the sources of an order, chunk by chunk."""
    settings = Settings.model_validate_json(order.settings)
    reader = Reader(settings, order.feed, order.received_at, own=order.own)
    receipts: list[Receipt] = []
    weight, finished = 0, 0
    instant = order.received_at
    files = Files(order.sealed_by)
    for source in order.sources:
        reader = reader._replace(document=digest_of(source, files))
        for found in read_messages(source, settings.limits, files=files):
            # Statements without a version are ordered by receipt: one line after the other.
            instant += _NEXT
            receipts.extend(reader._replace(received_at=instant).receipts(found, source.path))
            weight += len(found.raw)
            if len(receipts) >= CHUNK_MESSAGES or weight >= CHUNK_BYTES:
                yield Chunk(encode_receipts(receipts), finished + found.offset + len(found.raw))
                receipts, weight = [], 0
        finished += source.size
    if receipts:
        yield Chunk(encode_receipts(receipts), finished)


def digest_of(source: Source, files: Files | None = None) -> str:
    """Digest of a file's bytes, by which it is known again; empty where it is not asked for."""
    # Only FHIR needs it: HL7 v2 messages name themselves by their control ids.
    if source.path == STANDARD_INPUT or source.kind == "hl7":
        return ""
    try:
        with (files or Files()).opened(source.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        # Reading it for its messages says what is wrong with it.
        return ""


def size_of(sources: Sequence[Source]) -> int:
    """How many bytes the sources hold; 0 for standard input."""
    return sum(source.size for source in sources)


def _is_worth_a_process(order: Order) -> bool:
    from_input = any(source.path == STANDARD_INPUT for source in order.sources)
    return not from_input and size_of(order.sources) > SMALL_BYTES


def _in_another_process(order: Order) -> Generator[Chunk, None, None]:
    child = subprocess.Popen(
        [sys.executable, "-m", "api.ingest_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    if child.stdin is None or child.stdout is None:
        raise FeedError("The reading process has no pipes.", do="Run the command again.")
    try:
        write_frame(child.stdin, msgspec.msgpack.encode(order))
        while (frame := read_frame(child.stdout)) is not None:
            said = msgspec.msgpack.decode(frame, type=Said)
            if said.chunk is None:
                break
            yield said.chunk
        else:
            raise FeedError(
                "The process that reads the files ended before it was done.",
                why="It was killed, or the machine is out of memory.",
                do="Run the command again: what was stored already counts as duplicates.",
            )
        if said.fault:
            raise FeedError(said.fault, why=said.why, do=said.do)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the translating process says: a chunk; or that it is done, or could not go on."""

    chunk: Chunk | None = None
    fault: str = ""
    why: str = ""
    do: str = ""


def _wait_for_room(desk: Storing, taken: deque[tuple[int, int]]) -> None:
    """Wait until enough of the chunks that were taken in, by position and size, is applied."""
    held = sum(size for _, size in taken)
    while held > desk.room:
        position = desk.position()
        while taken and taken[0][0] <= position:
            held -= taken.popleft()[1]
        if held > desk.room:
            time.sleep(_PAUSE_S)


def _wait_until_applied(desk: Storing, position: int) -> None:
    while desk.position() < position:
        time.sleep(_PAUSE_S)


def _rate(counted: "Counter[str]", began: float) -> str:
    done = counted.total()
    return f"{done:,} messages, {done / max(time.monotonic() - began, 0.001):,.0f}/s"
