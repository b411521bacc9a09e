"""NDJSON made durable as it is, set by set, and then translated and applied from there.

Staging reads a file once and keeps its lines in the store, many times faster than they can be
applied, so that an export may be deleted where it came from. What a crash left is staged or applied
from where it was: a file is known by its digest, and its lines by their place in it.
"""

import contextlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

import msgspec

from adapters.files import Found, Source, read_messages
from api.collector import LOADED_OBJECTS, calm_collector
from api.ingesting import (
    CHUNK_BYTES,
    CHUNK_MESSAGES,
    Chunk,
    Storing,
    Taken,
    digest_of,
    handed_over,
    submitted,
)
from api.translating import Reader, encode_receipts, resources
from twin_core.clock import SystemClock
from twin_core.errors import FeedError
from twin_core.inbox import Beside, FileIntake, Receipt, Stored
from twin_core.settings import Settings
from twin_core.store.journal import journalled
from twin_core.store.staging import StagedFile, Staging

LINES_AT_ONCE = 20_000
WORTH_PROCESSES = 10_000
"""Lines from which on starting a process takes less time than it saves."""
MOST_PROCESSES = 3
"""Applying keeps one core busy, and cannot keep up with more."""
_NEXT = timedelta(microseconds=1)
T = TypeVar("T")


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


class Lines(NamedTuple):
    """Some lines of a staged file, in order, and all that is needed to translate them."""

    file: StagedFile
    first: int
    """Place of the first of them in the file."""
    lines: list[tuple[int, bytes]]
    settings: str


def staged_chunks(
    staging: Staging, settings: Settings, *, processes: int | None = None
) -> Generator[Chunk, None, None]:
    """What is staged, translated chunk by chunk, file by file, in the order of the files.

    Translating takes as long as applying, so where there is much of it, other processes do it;
    `processes` says how many, by default those that the machine has a core for.
    """
    several = _lines(staging, settings)
    processes = _worthwhile(staging) if processes is None else processes
    if not processes:
        yield from map(translated_lines, several)
        return
    with contextlib.closing(_in_order(translated_lines, several, processes)) as chunks:
        yield from chunks


def staged(desk: Storing, staging: Staging, settings: Settings) -> Generator[Taken, None, None]:
    """What is staged, translated and made durable chunk by chunk, as `staged_chunks` has it.

    Where one process translates it also makes durable; of several none would know its turn.
    """
    processes = _worthwhile(staging)
    handover = desk.handover() if processes == 1 else None
    if handover is None:
        chunks = staged_chunks(staging, settings, processes=processes)
        return submitted(desk, chunks)
    work = partial(stored_lines, beside=handover.beside)
    return handed_over(handover, _in_order(work, _lines(staging, settings), processes))


def _worthwhile(staging: Staging) -> int:
    """How many processes are to translate: none where there is little."""
    much = sum(file.staged for file in staging.files()) >= WORTH_PROCESSES
    return min(max((os.cpu_count() or 1) - 1, 1), MOST_PROCESSES) if much else 0


def _in_order(
    work: Callable[[Lines], T], several: Iterator[Lines], processes: int
) -> Generator[T, None, None]:
    """What other processes make of lines, in the order of the lines."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawning, calm_collector, (LOADED_OBJECTS,)) as pool:
        under_way: deque[Future[T]] = deque()
        try:
            for lines in several:
                under_way.append(pool.submit(work, lines))
                if len(under_way) > 2 * processes:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool as error:
            raise FeedError(
                "A process that translates ended before it was done.",
                why="It was killed, or the machine is out of memory.",
                do="Run the command again: it goes on where it was.",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _lines(staging: Staging, settings: Settings) -> Iterator[Lines]:
    told = settings.model_dump_json(by_alias=True, exclude={"secrets"})
    for file in staging.files():
        for first in range(0, file.staged, CHUNK_MESSAGES):
            yield Lines(file, first, staging.read(file, first, CHUNK_MESSAGES), told)


def translated_lines(several: Lines) -> Chunk:
    """Lines of a staged file as receipts."""
    receipts, at = _receipts(several)
    return Chunk(encode_receipts(receipts), at)


def stored_lines(several: Lines, beside: Beside) -> tuple[Stored, int]:
    """Lines of a staged file, made durable, and where the last of them begins."""
    receipts, at = _receipts(several)
    return _intake(beside).take(receipts), at


@lru_cache(maxsize=1)
def _intake(beside: Beside) -> FileIntake:
    # As long as its process: the pool ends with the last lines.
    return FileIntake(beside, SystemClock(), journalled)


def _receipts(several: Lines) -> tuple[list[Receipt], int]:
    file = several.file
    settings = _settings(several.settings)
    reader = Reader(settings, file.feed or None, file.received_at, document=file.document)
    scope = reader.scope()
    receipts: list[Receipt] = []
    at = 0
    for place, (at, raw) in enumerate(several.lines, several.first + 1):
        # Statements without a version are ordered by receipt: one line after the other.
        its = msgspec.structs.replace(scope, received_at=file.received_at + place * _NEXT)
        receipts += resources(raw, its, settings.limits, f"{file.path}@{at}")
    return receipts, at


@lru_cache(maxsize=1)
def _settings(told: str) -> Settings:
    return Settings.model_validate_json(told)


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
        if len(held) >= LINES_AT_ONCE or weight >= CHUNK_BYTES:
            yield tuple(held)
            held, weight = [], 0
    if held:
        yield tuple(held)
