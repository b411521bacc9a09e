"""The inbox: an SQLite file that makes every message durable before it is acknowledged.

One thread writes. It gathers what arrives within a few milliseconds into one commit with
`synchronous=FULL`, and only then resolves the futures of those who wait to acknowledge. The
projector reads entries back by position and the writer prunes what has been applied; digests stay,
so that a message sent again years later is still known.
"""

import hashlib
import logging
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from twin_core.clock import Clock
from twin_core.errors import StoreBusy, StoreError, StoreMismatch
from twin_core.events import Envelope, Rejection, Translation
from twin_core.inbox.receipt import (
    ACCEPTED,
    DUPLICATE,
    REJECTED,
    Answer,
    Entry,
    Receipt,
    decode_head,
    encode_head,
    head_of,
)

GROUP_RECEIPTS = 2_000
"""Most receipts in one commit."""
OUTSTANDING_RECEIPTS = 50_000
"""Receipts that may wait for a commit; beyond it the sender is told to come back."""
PRUNE_EVERY = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY, received_us INTEGER, head BLOB, raw BLOB, replay_of INTEGER);
CREATE TABLE IF NOT EXISTS digest (
    control BLOB, body BLOB, position INTEGER, PRIMARY KEY (control, body)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    feed TEXT, outcome TEXT, messages INTEGER, PRIMARY KEY (feed, outcome)) WITHOUT ROWID;
"""


class Tally(NamedTuple):
    """How many messages of a feed had an outcome: accepted, duplicate or rejected."""

    feed: str
    outcome: str
    messages: int


class _Group(NamedTuple):
    receipts: Sequence[Receipt]
    received_us: int
    replay_of: int | None
    from_file: bool
    answered: "Future[list[Answer]]"


class Inbox:
    """The durable half of a store that is written before anyone is acknowledged."""

    def __init__(self, path: Path, clock: Clock, *, window_ms: float = 2.0) -> None:
        self.path = path
        self._clock = clock
        self._window = window_ms / 1000.0
        self._queue: SimpleQueue[_Group | None] = SimpleQueue()
        self._outstanding = 0
        self._count_lock = threading.Lock()
        self._arrived = threading.Condition()
        self._applied = 0
        self._closed = False
        self._commits: deque[tuple[int, float]] = deque()
        self._carried: dict[int, Entry] = {}
        self._db = self._connect()
        self._reader = self._connect()
        self._high = self._committed = self._high_water()
        self._tallies = Counter(
            {(feed, outcome): n for feed, outcome, n in self._db.execute("SELECT * FROM tally")}
        )
        self._pruned = self._pruned_to()
        self._writer = threading.Thread(target=self._write, name="inbox-writer", daemon=True)

    def start(self) -> None:
        """Begin to commit what is submitted."""
        self._writer.start()

    def close(self) -> None:
        """Commit what is waiting, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        if self._writer.is_alive():
            self._writer.join()
        self._reader.close()
        self._db.close()

    # --- who it belongs to -------------------------------------------------------------------

    def store_id(self) -> str | None:
        """The id it shares with its database; None while it is new."""
        return self._meta("store_id")

    def claim(self, store_id: str) -> None:
        """Bind a new inbox to a store."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('store_id', ?)", (store_id,))

    @property
    def high(self) -> int:
        """The last durable position."""
        return self._committed

    @property
    def pruned_to(self) -> int:
        """Entries up to here are gone, having been applied."""
        return self._pruned

    def require(self, applied: int) -> None:
        """Refuse a database that is ahead of this inbox, or behind what it still holds.

        Raises StoreMismatch: one half of the store was restored without the other.
        """
        advice = "Restore the database and its .inbox file from the same backup."
        if applied > self._high:
            raise StoreMismatch(
                f"The inbox {self.path.name} is older than its database.",
                why=f"It ends at {self._high}, the database has applied {applied}.",
                do=advice,
            )
        if applied < self._pruned:
            raise StoreMismatch(
                f"The database is older than its inbox {self.path.name}.",
                why=f"It has applied {applied}, entries up to {self._pruned} are pruned.",
                do=advice,
            )
        self._applied = applied
        self._forget_files()

    # --- in ----------------------------------------------------------------------------------

    def submit(
        self,
        receipts: Sequence[Receipt],
        *,
        replay_of: int | None = None,
        from_file: bool = False,
    ) -> "Future[list[Answer]]":
        """Make receipts durable as one; the future is done when they are on disk.

        Receipts `from_file` are durable where they are: only their digests are written, and after
        a crash what had not been applied is forgotten, so that ingesting the file again applies
        it. The future raises StoreError when nothing was stored; sending again may help.
        """
        answered: Future[list[Answer]] = Future()
        with self._count_lock:
            refused = self._closed or self._outstanding > OUTSTANDING_RECEIPTS
            if not refused:
                self._outstanding += len(receipts)
        if refused:
            answered.set_exception(_not_stored("it is closed or has too much to write"))
            return answered
        received_us = (self._clock.now() - _EPOCH) // _MICROSECOND
        self._queue.put(_Group(receipts, received_us, replay_of, from_file, answered))
        return answered

    # --- out ---------------------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Entry]:
        """Durable entries after a position, in order. Called from the projector only."""
        rows = self._reader.execute(
            "SELECT position, received_us, head, raw, replay_of FROM entry"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        ).fetchall()
        return [
            self._carried[position]
            if head is None
            else Entry(
                position, _EPOCH + timedelta(microseconds=us), decode_head(head), raw, replay_of
            )
            for position, us, head, raw, replay_of in rows
        ]

    def wait(self, after: int, timeout: float) -> bool:
        """Wait until there is an entry after a position, or the time is up."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self._committed > after or self._closed, timeout)

    def applied_to(self, position: int) -> None:
        """Entries up to a position are in the database and may be pruned."""
        for applied in range(self._applied + 1, position + 1) if self._carried else ():
            self._carried.pop(applied, None)
        self._applied = position
        while self._commits and self._commits[0][0] <= position:
            self._commits.popleft()

    def lag_seconds(self) -> float:
        """How long the oldest message that is not in the database yet has been durable."""
        commits = tuple(self._commits)
        waiting = [at for high, at in commits if high > self._applied]
        return monotonic() - waiting[0] if waiting else 0.0

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the inbox, as SQLite's own backup makes it."""
        source, copy = self._connect(), sqlite3.connect(path)
        source.backup(copy)
        copy.close()
        source.close()

    def tallies(self) -> list[Tally]:
        """Messages by feed and outcome since the store was made."""
        return [Tally(feed, outcome, n) for (feed, outcome), n in sorted(self._tallies.items())]

    # --- the writing thread ------------------------------------------------------------------

    def _write(self) -> None:
        stopping = False
        while not stopping:
            groups, stopping = self._gather()
            if groups:
                self._commit(groups)
            if self._applied - self._pruned >= PRUNE_EVERY or stopping:
                self._prune()

    def _gather(self) -> tuple[list[_Group], bool]:
        try:
            first = self._queue.get(timeout=1.0)
        except Empty:
            return [], False
        if first is None:
            return [], True
        groups, receipts = [first], len(first.receipts)
        until = monotonic() + self._window
        while receipts < GROUP_RECEIPTS:
            try:
                group = self._queue.get(timeout=max(0.0, until - monotonic()))
            except Empty:
                break
            if group is None:
                return groups, True
            groups.append(group)
            receipts += len(group.receipts)
        return groups, False

    def _commit(self, groups: list[_Group]) -> None:
        high, counted = self._high, Counter[tuple[str, str]]()
        answers: list[list[Answer]] = []
        failure: StoreError | None = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for group in groups:
                answers.append(self._store(group, counted))
            self._db.executemany(
                "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (feed, outcome)"
                " DO UPDATE SET messages = messages + excluded.messages",
                [(feed, outcome, n) for (feed, outcome), n in counted.items()],
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._high, failure = high, _not_stored(str(error))
        self._resolve(groups, answers, counted, failure)

    def _resolve(
        self,
        groups: list[_Group],
        answers: list[list[Answer]],
        counted: "Counter[tuple[str, str]]",
        failure: StoreError | None,
    ) -> None:
        with self._count_lock:
            self._outstanding -= sum(len(group.receipts) for group in groups)
        if failure is not None:
            for group in groups:
                group.answered.set_exception(failure)
            return
        self._tallies.update(counted)
        with self._arrived:
            if self._high > self._committed:
                self._commits.append((self._high, monotonic()))
            self._committed = self._high
            self._arrived.notify_all()
        for group, answer in zip(groups, answers, strict=True):
            if group.answered.set_running_or_notify_cancel():
                group.answered.set_result(answer)

    def _store(self, group: _Group, counted: "Counter[tuple[str, str]]") -> list[Answer]:
        answers = []
        for receipt in group.receipts:
            answer = self._decide(receipt, group)
            counted[receipt.feed, answer.status] += 1
            answers.append(answer)
        return answers

    def _decide(self, receipt: Receipt, group: _Group) -> Answer:
        outcome = receipt.outcome
        if isinstance(outcome, Rejection):
            position = None
            if group.replay_of is None:
                position = self._insert(receipt, group, reused=False)
            return Answer(status=REJECTED, code=outcome.code, position=position)
        control = _control(receipt.format, outcome)
        body = outcome.envelope.digest
        seen = dict(
            self._db.execute("SELECT body, position FROM digest WHERE control = ?", (control,))
        )
        replayed = body in seen and seen[body] == group.replay_of
        if body in seen and not replayed and _repeats(outcome.envelope, body, seen):
            return Answer(status=DUPLICATE, code="AA", position=seen[body])
        reused = bool(seen) and not outcome.envelope.unversioned
        position = self._insert(receipt, group, reused=reused)
        first = position if group.replay_of is None else group.replay_of
        self._db.execute("INSERT OR REPLACE INTO digest VALUES (?, ?, ?)", (control, body, first))
        return Answer(status=ACCEPTED, code="AA", position=first, reused_control_id=reused)

    def _insert(self, receipt: Receipt, group: _Group, *, reused: bool) -> int:
        self._high += 1
        head = raw = None
        if group.from_file:
            at = _EPOCH + timedelta(microseconds=group.received_us)
            carried = Entry(self._high, at, head_of(receipt, reused), receipt.raw, None)
            self._carried[self._high] = carried
        else:
            head, raw = encode_head(head_of(receipt, reused)), receipt.raw
        self._db.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
            (self._high, group.received_us, head, raw, group.replay_of),
        )
        return self._high

    def _prune(self) -> None:
        applied = self._applied
        try:
            # One transaction: without the new mark, a crash would give positions out twice.
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM entry WHERE position <= ?", (applied,))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_to', ?)", (str(applied),))
            self._db.execute("COMMIT")
            self._pruned = applied
        except sqlite3.Error as error:
            # Pruning only frees space, and entries that stay are skipped by position; a disk too
            # full for it fails the next commit, which is where the sender is told.
            logging.getLogger("wardtwin.inbox").warning("Pruning failed: %s", error)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _forget_files(self) -> None:
        # What came from files and was not applied before a crash was never reported as done.
        lost = "SELECT position FROM entry WHERE head IS NULL AND position > ?"
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(f"DELETE FROM digest WHERE position IN ({lost})", (self._applied,))  # noqa: S608
        self._db.execute("DELETE FROM entry WHERE head IS NULL AND position > ?", (self._applied,))
        self._db.execute("COMMIT")

    # --- the file ----------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=5.0
            )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA cache_size=-65536")
            db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(
                f"The inbox {self.path.name} cannot be opened.",
                why=f"SQLite says: {error}.",
                do="Restore it together with its database from a backup.",
            ) from error
        return db

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _pruned_to(self) -> int:
        return int(self._meta("pruned_to") or 0)

    def _high_water(self) -> int:
        (last,) = self._db.execute("SELECT max(position) FROM entry").fetchone()
        return max(last or 0, self._pruned_to())


def _control(format_: str, translation: Translation) -> bytes:
    envelope = translation.envelope
    named = f"{format_}\x1f{envelope.sender}\x1f{envelope.control_id}"
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _repeats(envelope: Envelope, body: bytes, seen: dict[bytes, int]) -> bool:
    # A resource without versions may go back to an earlier content: only the latest repeats.
    return not envelope.unversioned or seen[body] == max(seen.values())


def _not_stored(why: str) -> StoreError:
    return StoreBusy(
        "The message was not stored.", why=f"The inbox says: {why}.", do="Send it again."
    )
