"""The ledger that is written: in groups, durably, before the answer leaves.

One thread writes what has gathered in one commit. Another takes each checkpoint to where it is
kept, so that a slow keeper holds nobody up.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, Self

from twin_core.audit import file
from twin_core.audit.access import Access, Actor
from twin_core.audit.checkpoint import (
    FIRST_SIGNATURES,
    Checkpoint,
    next_signatures,
    opened,
    origin_of,
    signed,
)
from twin_core.audit.keeping import Keeper
from twin_core.audit.keys import AuditKeys
from twin_core.audit.merkle import Frontier
from twin_core.audit.remembering import Remembering
from twin_core.audit.tips import TipFile
from twin_core.clock import Clock
from twin_core.encryption import StoreKey
from twin_core.errors import AuditFailed, TwinError

GROUP = 512
"""Most entries in one commit."""
CHUNK = 2_000
REMEMBER_S = 1.0
"""How long the file beside the ledger may be behind it."""
log = logging.getLogger(__name__)


def ledger_path(store: Path) -> Path:
    """Where the ledger of a store is."""
    return store.with_name(store.name + ".audit")


class Cadence(NamedTuple):
    """How often there is a checkpoint: after so many entries, or so long after the first new one.

    A closing ledger always ends with one.
    """

    entries: int = 1_000
    seconds: float = 60.0


class _Waiting(NamedTuple):
    at: datetime
    access: Access
    written: "Future[int]"


class Ledger:
    """An open ledger: `ledger.record(access)` returns when the entry is on disk.

    Its texts are sealed by the `key` of the store, where that has one.
    """

    def __init__(
        self,
        path: Path,
        keys: AuditKeys,
        clock: Clock,
        *,
        key: StoreKey | None = None,
        keepers: Sequence[Keeper] = (),
        cadence: Cadence = Cadence(),  # noqa: B008  (an immutable tuple)
    ) -> None:
        self.path, self.keys, self.key = path, keys, key
        self._clock, self._keepers, self._cadence = clock, tuple(keepers), cadence
        self._db = file.connected(path, create=True)
        try:
            self.ledger_id = file.claimed(self._db, keys)
            self._cells = file.sealed(self._db, path, key)
            self._place = file.place_of(path)
            self._end = Remembering(self._db, self.ledger_id, keys, TipFile(path))
            if not self._end.is_whole():
                log.error("the ledger is not as it was left; run `wardtwin audit verify`")
                with contextlib.suppress(AuditFailed):
                    file.append(self._db, self.ledger_id, keys, self._cells, [self._alarm()])
        except BaseException:
            self._db.close()
            raise
        self._frontier, self._signatures = self._last_frontier()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._new_since = self._remembered_at = 0.0
        self._closed = threading.Event()
        self._door = threading.Lock()
        self._undelivered = threading.Event()
        self._undelivered.set()
        self.failure: str | None = None
        """Why the last entry could not be written, if it could not."""
        self._writer = threading.Thread(target=self._write, name="audit-writer", daemon=True)
        self._carrier = threading.Thread(target=self._carry, name="audit-keeper", daemon=True)
        self._writer.start()
        if self._keepers:
            self._carrier.start()

    def append(self, access: Access) -> "Future[int]":
        """Write an access; the future has its number once it is on disk, or raises AuditFailed."""
        written: Future[int] = Future()
        # Nobody can cancel it any more: who asks may go away before the answer, and is recorded.
        written.set_running_or_notify_cancel()
        with self._door:
            if self._closed.is_set():
                written.set_exception(AuditFailed("The ledger of accesses is closed."))
            elif not self._writer.is_alive():
                written.set_exception(
                    AuditFailed("The ledger of accesses is not written.", do="Restart the server.")
                )
            else:
                self._queue.put(_Waiting(self._clock.now(), access, written))
        return written

    def record(self, access: Access) -> int:
        """`append`, and wait for the number. Raises AuditFailed."""
        return self.append(access).result()

    def require(self) -> None:
        """Raise AuditFailed where nothing can be written: before an act that stays done."""
        with file.failing(), contextlib.closing(file.connected(self.path, create=False)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO meta VALUES ('tried', '')")
            db.execute("ROLLBACK")

    def close(self) -> None:
        """Write what waits and a last checkpoint, take it to its keepers, and close the file."""
        with self._door:
            if self._closed.is_set():
                return
            self._closed.set()
            self._queue.put(None)
        self._writer.join()
        self._undelivered.set()
        if self._carrier.is_alive():
            self._carrier.join()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failed: object) -> None:
        self.close()

    # --- the writing thread ------------------------------------------------------------------

    def _write(self) -> None:
        stopping = False
        while not stopping:
            waiting, stopping = self._gathered()
            if waiting:
                self._commit(waiting)
            if stopping or self._is_due():
                self._checkpoint()
            if stopping or monotonic() - self._remembered_at >= REMEMBER_S:
                self._remembered_at = monotonic()
                self._end.remember()

    def _gathered(self) -> tuple[list[_Waiting], bool]:
        waiting: list[_Waiting] = []
        with contextlib.suppress(Empty):
            one = self._queue.get(timeout=1.0)
            while one is not None:
                waiting.append(one)
                if len(waiting) >= GROUP:
                    return waiting, False
                one = self._queue.get_nowait()
            return waiting, True
        return waiting, False

    def _commit(self, waiting: list[_Waiting]) -> None:
        try:
            said = [(one.at, one.access) for one in waiting]
            numbers = file.append(self._db, self.ledger_id, self.keys, self._cells, said)
            # Afterwards: what was written in between may already be in a file that nobody finds.
            self._place.require()
        except AuditFailed as error:
            self.failure = str(error)
            for one in waiting:
                one.written.set_exception(error)
            return
        self.failure = None
        self._end.is_new = True
        self._new_since = self._new_since or monotonic()
        for one, number in zip(waiting, numbers, strict=True):
            one.written.set_result(number)

    def _is_due(self) -> bool:
        if not self._new_since:
            return False
        if monotonic() - self._new_since >= self._cadence.seconds:
            return True
        try:
            return file.tip(self._db, self.ledger_id).seq >= (
                self._frontier.size + self._cadence.entries
            )
        except sqlite3.Error:
            return False

    def _checkpoint(self) -> None:
        """Sign the state of the ledger, unless nothing is new."""
        try:
            with file.failing():
                link = self._grow()
                if not self._frontier.size:
                    return
                note = signed(
                    Checkpoint(
                        origin_of(self.ledger_id),
                        self._frontier.size,
                        self._frontier.root(),
                        self._clock.now(),
                        link,
                        self._signatures,
                    ),
                    self.keys,
                )
                self._db.execute(
                    "INSERT OR IGNORE INTO checkpoint VALUES (?, ?, ?)",
                    (self._frontier.size, note, self._frontier.encoded()),
                )
        except AuditFailed as error:
            log.warning("no checkpoint of the ledger: %s", error)
            return
        self._new_since = 0.0
        self._undelivered.set()

    def _grow(self) -> bytes:
        """Take entries into the tree, other processes' too; the last one's link."""
        while True:
            rows = self._db.execute(
                "SELECT seq, body, signature FROM entry WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._frontier.size, CHUNK),
            ).fetchall()
            for seq, body, signature in rows:
                if seq != self._frontier.size + 1:
                    raise AuditFailed(
                        f"Entry {self._frontier.size + 1} of the ledger is missing.",
                        do="Run `wardtwin audit verify`.",
                    )
                self._frontier.append(body)
                self._signatures = next_signatures(self._signatures, signature)
            if len(rows) < CHUNK:
                break
        return file.tip(self._db, self.ledger_id).link

    def _last_frontier(self) -> tuple[Frontier, bytes]:
        """The tree and the signatures of the last checkpoint; from nothing where it is unusable."""
        with file.failing():
            rows = self._db.execute(
                "SELECT size, subtrees, note FROM checkpoint ORDER BY size DESC LIMIT 1"
            ).fetchall()
        for size, subtrees, note in rows:
            with contextlib.suppress(ValueError, TypeError):
                frontier = Frontier.decoded(size, subtrees)
                last = opened(note, self.keys.public())
                if last.signatures is not None and last.root == frontier.root():
                    return frontier, last.signatures
        return Frontier(), FIRST_SIGNATURES

    def _alarm(self) -> tuple[datetime, Access]:
        what = "the end of the ledger is not where it was, or nothing remembers it"
        actor = Actor(id="wardtwin", kind="local")
        return self._clock.now(), Access(
            who=actor, act="alert", what=what, outcome="failed", why="HSYSADMIN", via="cli"
        )

    # --- the thread that carries checkpoints away ----------------------------------------------

    def _carry(self) -> None:
        stopping = False
        while not stopping:
            self._undelivered.wait()
            self._undelivered.clear()
            stopping = self._closed.is_set() and not self._writer.is_alive()
            for keeper in self._keepers:
                self._deliver(keeper)

    def _deliver(self, keeper: Keeper) -> None:
        """Bring a keeper the checkpoints it does not have; what fails is tried with the next."""
        try:
            with contextlib.closing(file.connected(self.path, create=False)) as db, file.failing():
                had = dict(db.execute("SELECT keeper, size FROM kept").fetchall())
                owed = db.execute(
                    "SELECT size, note FROM checkpoint WHERE size > ? ORDER BY size",
                    (had.get(keeper.name, -1),),
                ).fetchall()
                for size, note in owed:
                    keeper.keep(f"{self.ledger_id}-{size:012d}.checkpoint", note)
                    db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (keeper.name, size))
        except TwinError as error:
            log.warning("a checkpoint of the ledger was not kept: %s", error)
