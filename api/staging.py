"""NDJSON made durable as it is, set by set, and then translated and applied from there.

Staging reads a file once and keeps its lines in the store, many times faster than they can be
applied, so that an export may be deleted where it came from. What a crash left is staged or applied
from where it was: a file is known by its digest, and its lines by their place in it.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from adapters.files import Found, Source, read_messages
from api.ingesting import (
    CHUNK_BYTES,
    CHUNK_MESSAGES,
    SMALL_BYTES,
    Chunk,
    Order,
    Storing,
    Taken,
    digest_of,
    submitted,
    taken_elsewhere,
)
from api.reading_process import ReadingProcess
from api.staged_lines import Lines, encode_lines, translated_lines
from api.translating import encode_receipts
from twin_core.settings import Settings
from twin_core.store.staging import StagedFile, Staging

LINES_AT_ONCE, BYTES_AT_ONCE = 20_000, 8 * 1024 * 1024
TOGETHER = 4
"""Chunks that are read out of the store at once: for each question it looks through many more lines
than it gives."""
WORTH_A_PROCESS = 10_000
"""Lines from which on starting a process takes less time than it saves."""


def stages(source: Source) -> bool:
    """Whether a file is staged: one of many resources, line by line."""
    return source.kind == "ndjson" and source.size > 0


def stage(
    staging: Staging,
    sources: Iterable[Source],
    *,
    feed: str,
    settings: Settings,
    received_at: datetime,
    report: Callable[[int, str], None],
) -> int:
    """Stage files, as far as they are not staged yet; return how many lines are new."""
    new, finished = 0, 0
    for source in sources:
        file = staging.begin(digest_of(source), feed, source.path, received_at)
        lines = read_messages(source, settings.limits)
        for several in _sets(lines, file.staged if not file.complete else None):
            file = staging.add(file, [one.offset for one in several], [one.raw for one in several])
            new += len(several)
            report(finished + several[-1].offset, f"{new:,} lines staged")
        if not file.complete:
            staging.complete(file)
        finished += source.size
    return new


def staged_chunks(staging: Staging, settings: Settings) -> Generator[Chunk, None, None]:
    """What is staged, translated chunk by chunk, file by file, in the order of the files."""
    for receipts, at in translated_lines(_lines(staging), settings):
        yield Chunk(encode_receipts(receipts), at)


def begun_for(sources: Iterable[Source]) -> AbstractContextManager[ReadingProcess | None]:
    """The process that will translate what is staged, where that is worth one.

    It makes ready while files are being staged.
    """
    if sum(source.size for source in sources) < SMALL_BYTES:
        return nullcontext()
    return ReadingProcess()


def staged(
    desk: Storing, staging: Staging, settings: Settings, reading: ReadingProcess | None = None
) -> Generator[Taken, None, None]:
    """What is staged, translated and made durable chunk by chunk, as `staged_chunks` has it.

    Where there is much of it, another process translates, `reading` if that has begun already: it
    takes as long as applying.
    """
    files = staging.files()
    if sum(file.staged for file in files) < WORTH_A_PROCESS:
        return submitted(desk, staged_chunks(staging, settings))
    order = Order(
        sources=(),
        feed=None,
        settings=settings.model_dump_json(by_alias=True, exclude={"secrets"}),
        received_at=files[0].received_at,
        staged=True,
    )
    return taken_elsewhere(desk, order, map(encode_lines, _lines(staging)), reading)


def _lines(staging: Staging) -> Iterator[Lines]:
    for file in staging.files():
        first = 0
        while first < file.staged:
            read = staging.read(file, first, TOGETHER * CHUNK_MESSAGES, TOGETHER * CHUNK_BYTES)
            for lines in read.parts(CHUNK_MESSAGES, CHUNK_BYTES):
                yield Lines(file.document, file.feed, file.path, file.received_at, first, *lines)
                first += len(lines.begins)


def drop(staging: Staging, files: Iterable[StagedFile]) -> None:
    """Forget files that have been applied whole."""
    for file in files:
        staging.drop(file)


def _sets(lines: Iterator[Found], skipped: int | None) -> Iterator[tuple[Found, ...]]:
    """Lines behind those that are staged already, in sets that are written at once."""
    if skipped is None:
        return
    for _ in range(skipped):
        next(lines, None)
    held: list[Found] = []
    weight = 0
    for line in lines:
        held.append(line)
        weight += len(line.raw)
        if len(held) >= LINES_AT_ONCE or weight >= BYTES_AT_ONCE:
            yield tuple(held)
            held, weight = [], 0
    if held:
        yield tuple(held)
