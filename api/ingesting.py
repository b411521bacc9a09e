"""Messages from files into a store: read and translated in one process, stored by another.

The translating process does everything that needs only the bytes. Where this process has the store
open, it also makes what it has read durable (`twin_core.inbox.from_files`); else that is submitted
to whoever has. Chunks come over a socket, which also holds it back when the store is slower.
"""

import contextlib
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from adapters.files import Source, read_messages
from adapters.files.find import STANDARD_INPUT
from api.collector import LOADED_OBJECTS, calm_collector
from api.reading_process import ReadingProcess, Said
from api.translating import Reader, encode_receipts
from twin_core.encryption import Files
from twin_core.inbox import Answer, Beside, Receipt, Stored
from twin_core.settings import Settings

if TYPE_CHECKING:
    # The translating process has no use for a database.
    from twin_core import Twin

CHUNK_MESSAGES = 1_000
CHUNK_BYTES = 1024 * 1024
"""What is translated and made durable at once: of resources of 2 kB, half as many. They are in
memory several times over meanwhile, as they came, as events, as rows and on their way."""
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
    staged: bool = False
    """Whether it is followed by lines of staged files, which say when they were received."""
    own: str = ""
    """meta.source under which what this twin told comes back; it is no news."""
    sealed_by: bytes = b""
    """The secret by which the sources are sealed, where they are (`Files`)."""
    beside: Beside | None = None
    """Where the translating process makes what it reads durable itself; else it hands it over."""


class Handover(NamedTuple):
    """How another process makes receipts of files durable, and what is done with them then."""

    beside: Beside
    carry: Callable[[Stored], None]
    """Takes what is durable, to be applied."""
    end: Callable[[], None]
    """To be called when that process is gone."""


class Taken(NamedTuple):
    """Some messages that are durable."""

    outcomes: Mapping[str, int]
    position: int
    size: int
    """Bytes of them, encoded."""
    bytes_read: int
    """How many bytes of the files have been read so far."""


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

    def handover(self) -> "Handover | None":
        """How another process may make receipts durable; None where it may not."""
        ...

    def position(self) -> int:
        """How far what was taken in has been applied."""
        ...


def ingest(
    desk: Storing,
    order: Order,
    report: Callable[[int, str], None],
    several: Generator[Taken, None, None] | None = None,
) -> Summary:
    """Store every message of the sources and wait until all of them are applied.

    `several` are given where the messages come from elsewhere than the sources.
    """
    calm_collector(LOADED_OBJECTS)
    began = time.monotonic()
    counted: Counter[str] = Counter()
    position = 0
    waiting: deque[tuple[int, int]] = deque()
    several = _of_sources(desk, order) if several is None else several
    with contextlib.closing(several):
        for taken in several:
            counted.update(taken.outcomes)
            position = max(position, taken.position)
            waiting.append((position, taken.size))
            _wait_for_room(desk, waiting)
            report(taken.bytes_read, _rate(counted, began))
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


def handover_of(twin: "Twin") -> Handover | None:
    """How another process makes receipts durable for a twin that this one has open.

    None while one does already.
    """
    beside = twin.beside()
    if beside is None:
        return None
    return Handover(beside, twin.carry, twin.end_beside)


def _of_sources(desk: Storing, order: Order) -> Generator[Taken, None, None]:
    if _is_worth_a_process(order):
        return taken_elsewhere(desk, order)
    return submitted(desk, translated_chunks(order))


def taken_elsewhere(
    desk: Storing,
    order: Order,
    lines: Iterable[bytes] = (),
    reading: ReadingProcess | None = None,
) -> Generator[Taken, None, None]:
    """What another process makes of an order, and makes durable where it may.

    `lines` are those of staged files, where the order is of such; `reading` is that process, where
    it has begun already.
    """
    handover = desk.handover()
    if handover is None:
        return submitted(desk, _told_elsewhere(order, lines, reading))
    durable = msgspec.structs.replace(order, beside=handover.beside)
    return handed_over(handover, _stored_elsewhere(durable, lines, reading))


def submitted(desk: Storing, chunks: Generator[Chunk, None, None]) -> Generator[Taken, None, None]:
    """Chunks, made durable by the desk, a few of them under way."""
    under_way: deque[tuple[Future[list[Answer]], Chunk]] = deque()

    def settled() -> Taken:
        future, chunk = under_way.popleft()
        answers = future.result()
        last = max((answer.position or 0 for answer in answers), default=0)
        outcomes = Counter(answer.status for answer in answers)
        return Taken(outcomes, last, len(chunk.receipts), chunk.bytes_read)

    with contextlib.closing(chunks):
        for chunk in chunks:
            under_way.append((desk.submit(chunk.receipts), chunk))
            if len(under_way) >= CHUNKS_UNDER_WAY:
                yield settled()
    while under_way:
        yield settled()


def _stored_elsewhere(
    order: Order, lines: Iterable[bytes], reading: ReadingProcess | None
) -> Generator[tuple[Stored, int], None, None]:
    """What the translating process makes durable itself, and how far it has read."""
    with contextlib.closing(_in_another_process(order, lines, reading)) as telling:
        for said in telling:
            assert said.stored is not None  # noqa: S101  (narrows the type)
            yield said.stored, said.bytes_read


def handed_over(
    handover: Handover, several: Generator[tuple[Stored, int], None, None]
) -> Generator[Taken, None, None]:
    """What another process makes durable, each with how far it has read, given to be applied."""
    try:
        with contextlib.closing(several):
            for stored, read in several:
                handover.carry(stored)
                size = len(stored.entries) + len(stored.journal)
                yield Taken(stored.outcomes, stored.position, size, read)
    finally:
        handover.end()


def chunks_of(order: Order) -> Generator[Chunk, None, None]:
    """What the sources of an order hold, translated in another process where that is worth it."""
    return _told_elsewhere(order) if _is_worth_a_process(order) else translated_chunks(order)


def _told_elsewhere(
    order: Order, lines: Iterable[bytes] = (), reading: ReadingProcess | None = None
) -> Generator[Chunk, None, None]:
    # Closed with its chunks: nothing but that ends the other process.
    with contextlib.closing(_in_another_process(order, lines, reading)) as telling:
        for said in telling:
            yield Chunk(said.receipts, said.bytes_read)


def translated_chunks(order: Order) -> Generator[Chunk, None, None]:
    """Read and translate the sources of an order, chunk by chunk."""
    for receipts, bytes_read in translated(order):
        yield Chunk(encode_receipts(receipts), bytes_read)


def translated(order: Order) -> Generator[tuple[list[Receipt], int], None, None]:
    """Receipts of an order in chunks, each with how many bytes of the files have been read."""
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
                yield receipts, finished + found.offset + len(found.raw)
                receipts, weight = [], 0
        finished += source.size
    if receipts:
        yield receipts, finished


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


def _in_another_process(
    order: Order, lines: Iterable[bytes] = (), reading: ReadingProcess | None = None
) -> Generator[Said, None, None]:
    told = chain([msgspec.msgpack.encode(order)], lines)
    with (
        reading or ReadingProcess() as process,
        contextlib.closing(process.said(told)) as several,
    ):
        yield from several


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
