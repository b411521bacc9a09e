"""Watched folders: files that are dropped become messages of a feed, and are put away.

A file is taken whole or not at all, and put away only when every message of it has been applied.
If the server ends in between, at whatever moment, the file is taken again at the next start, and
what was applied before counts as a duplicate: nothing is lost and nothing is doubled. A disk that
is full, a store that is busy and a folder that is not there are waited for.
"""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import datetime

import msgspec

from adapters.files import find_files
from adapters.files.watch import FolderStatus, WatchedFolder, Whole, is_unchanged, set_aside
from api.ingesting import Chunk, Order, chunks_of
from api.terminal import to_json
from api.translating import decode_receipts
from twin_core import Twin
from twin_core.errors import ConfigurationError, FeedError, StoreError
from twin_core.events import Rejection
from twin_core.inbox import Answer, Receipt
from twin_core.settings import FolderSettings, Settings

REASONS = 100
"""Most reasons that are written beside a file of which something was refused."""
_APPLIED_PAUSE_S = 0.05
_FAREWELL_S = 10.0

log = logging.getLogger("wardtwin.folder")


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why one message of a file was refused: never what it says."""

    origin: str
    code: str
    where: str
    table_0357: str
    reason: str


class Taken(msgspec.Struct, kw_only=True):
    """What became of the messages of one file; written beside it where something was refused."""

    file: str
    feed: str
    taken_at: datetime
    messages: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    why: str = ""
    """What is wrong with the file as a whole."""
    reasons: list[Reason] = []

    @property
    def is_clean(self) -> bool:
        """Whether every message was taken, and there was one."""
        return self.messages > 0 and not self.rejected


class _Changed(Exception):
    """A file that had stopped changing goes on changing: it is taken when it is whole."""


class FolderFeed:
    """Watches one folder for one feed in a thread of its own."""

    def __init__(self, twin: Twin, feed: str, settings: FolderSettings) -> None:
        self.twin, self.feed = twin, feed
        self.folder = WatchedFolder(settings)
        self.files: Counter[str] = Counter({"done": 0, "error": 0})
        self.rejects: Counter[str] = Counter()
        self.waiting = 0
        self.trouble = ""
        """What keeps files from being taken; empty while all is well."""
        self.last_file_at: datetime | None = None
        self._troubles: list[str] = []
        self._taken: dict[Whole, Taken] = {}
        """Files that are stored and could not be put away yet."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"folder-{feed}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a file that is half stored is taken again at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_FAREWELL_S)

    def status(self) -> FolderStatus:
        """What the folder has given since the server started."""
        return FolderStatus(
            path=str(self.folder.settings.path),
            done=self.files["done"],
            error=self.files["error"],
            waiting=self.waiting,
            trouble=self.trouble,
            last_file_at=self.last_file_at,
            rejects=dict(self.rejects),
        )

    def look(self, now: float) -> None:
        """Take the files that are whole at `now`, in the order in which they were written."""
        self._troubles = []
        try:
            sight = self.folder.look(now)
        except OSError as error:
            self._trouble(f"the folder cannot be read: {error.strerror}")
        else:
            self.waiting = sight.waiting + len(sight.whole)
            self._taken = {
                file: taken for file, taken in self._taken.items() if file in sight.whole
            }
            for file in sight.whole:
                if self._stopping.is_set():
                    break
                self._take(file)
        self._tell()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look(time.monotonic())
            # The thread must outlive whatever one file does to it: the file stays and is told of.
            except Exception as defect:
                log.error("feed %s: watching failed: %s", self.feed, type(defect).__name__)
                self.trouble = f"a defect: {type(defect).__name__}"
            self._stopping.wait(self.folder.settings.poll_s)

    def _take(self, file: Whole) -> None:
        try:
            taken = self._taken.get(file) or self._stored(file)
            if taken is not None and not is_unchanged(file):
                raise _Changed
        except _Changed:
            self._taken.pop(file, None)
            self.folder.doubt(file)
            return
        except StoreError as error:
            self._trouble(f"the store did not take a file: {error}")
            return
        except FeedError as error:
            if file.path.exists():
                self._trouble(f"a file cannot be read: {error.why}")
            return
        if taken is not None:
            self._taken[file] = taken
            self._put_away(file, taken)

    def _put_away(self, file: Whole, taken: Taken) -> None:
        kind, folder = (
            ("done", self.folder.done) if taken.is_clean else ("error", self.folder.error)
        )
        reason = b"" if taken.is_clean else to_json(taken).encode() + b"\n"
        try:
            set_aside(file, folder, self.twin.clock.now(), reason)
        except OSError as error:
            if file.path.exists():
                self._trouble(f"a file cannot be put into {folder}: {error.strerror}")
            else:
                # Somebody took it away meanwhile; what it held is stored.
                log.warning("feed %s: a file was gone before it could be put away", self.feed)
            return
        del self._taken[file]
        self.files[kind] += 1
        self.waiting -= 1
        self.last_file_at = taken.taken_at
        counts = (taken.messages, taken.accepted, taken.duplicates, taken.rejected)
        log.info(
            "feed %s: a file of %d messages: %d accepted, %d duplicates, %d rejected",
            self.feed,
            *counts,
        )

    def _stored(self, file: Whole) -> Taken | None:
        """Store a file's messages and wait until they are applied; None where it must wait."""
        taken = Taken(file=file.path.name, feed=self.feed, taken_at=self.twin.clock.now())
        position = 0
        with contextlib.closing(self._chunks(file)) as chunks:
            for chunk in chunks:
                receipts = decode_receipts(chunk.receipts)
                answers = self.twin.submit(receipts, from_file=True).result()
                position = max(position, *(answer.position or 0 for answer in answers))
                _count(taken, receipts, answers)
                self.rejects.update(_reasons(receipts))
                if not self._applied(position):
                    return None
        if not taken.messages:
            taken.why = "The file holds no message."
        return taken

    def _chunks(self, file: Whole) -> Generator[Chunk, None, None]:
        """The file's chunks, each only when the next is known or the file is still as it was.

        What ends with the file may be half a message, should somebody be writing it after all:
        then _Changed is raised instead.
        """
        order = Order(
            sources=tuple(find_files([str(file.path)])),
            feed=self.feed,
            settings=self.twin.settings.model_dump_json(by_alias=True, exclude={"secrets"}),
            received_at=self.twin.clock.now(),
        )
        held: Chunk | None = None
        with contextlib.closing(chunks_of(order)) as chunks:
            for chunk in chunks:
                if held is not None:
                    yield held
                held = chunk
        if not is_unchanged(file):
            raise _Changed
        if held is not None:
            yield held

    def _applied(self, position: int) -> bool:
        while self.twin.position() < position:
            if self._stopping.wait(_APPLIED_PAUSE_S):
                return False
        return True

    def _trouble(self, said: str) -> None:
        if said not in self._troubles:
            self._troubles.append(said)

    def _tell(self) -> None:
        trouble = "; ".join(self._troubles)
        if trouble and trouble != self.trouble:
            log.warning("feed %s: %s", self.feed, trouble)
        elif self.trouble and not trouble:
            log.info("feed %s: files are taken again", self.feed)
        self.trouble = trouble


def folder_feeds(twin: Twin, settings: Settings) -> list[FolderFeed]:
    """The feeds that watch a folder. Raises ConfigurationError where two watch the same one."""
    return [FolderFeed(twin, name, folder) for name, folder in watched_folders(settings).items()]


def watched_folders(settings: Settings) -> dict[str, FolderSettings]:
    """Each watched folder by its feed. Raises ConfigurationError where two are the same one."""
    watched = {
        name: feed.folder for name, feed in settings.feeds.items() if feed.folder is not None
    }
    owners: dict[str, str] = {}
    for name, folder in watched.items():
        path = str(folder.path.resolve())
        if path in owners:
            raise ConfigurationError(
                f"The feeds {owners[path]} and {name} watch the same folder.",
                why="A file of it would belong to whichever looks first.",
                do=f"Set feeds.{name}.folder.path to a folder of its own.",
            )
        owners[path] = name
    return watched


def _reasons(receipts: list[Receipt]) -> Iterator[str]:
    """The first reason of every reject, as HL7 table 0357 numbers it."""
    for receipt in receipts:
        if isinstance(receipt.outcome, Rejection) and receipt.outcome.faults:
            yield receipt.outcome.faults[0].code


def _count(taken: Taken, receipts: list[Receipt], answers: list[Answer]) -> None:
    for receipt, answer in zip(receipts, answers, strict=True):
        taken.messages += 1
        taken.accepted += answer.status == "accepted"
        taken.duplicates += answer.status == "duplicate"
        taken.rejected += answer.status == "rejected"
        if isinstance(receipt.outcome, Rejection) and len(taken.reasons) < REASONS:
            taken.reasons += [
                Reason(
                    origin=f"offset {receipt.origin.rpartition('@')[2]}",
                    code=receipt.outcome.code,
                    where=fault.where,
                    table_0357=fault.code,
                    reason=fault.reason,
                )
                for fault in receipt.outcome.faults
            ]
