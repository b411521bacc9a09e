"""The inbox: what was received is made durable in groups, and only then acknowledged.

One thread writes. It gathers what arrives within a few milliseconds into one commit with
`synchronous=FULL`, and only then resolves the futures of those who wait to acknowledge. The
projector reads entries back by position and the writer prunes what has been applied; digests stay,
so that a message sent again years later is still known.
"""

import logging
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from twin_core.clock import Clock
from twin_core.encryption import StoreKey
from twin_core.errors import StoreError
from twin_core.inbox.deciding import Group
from twin_core.inbox.file import Committed, InboxFile, Tally, not_stored
from twin_core.inbox.from_files import Beside, Prepared
from twin_core.inbox.receipt import Answer, EncodedReceipt, Entry, Receipt, opened

GROUP_RECEIPTS = 2_000
"""Most receipts in one commit."""
BUSY_RECEIPTS = 32
"""After a commit of so many the next one gathers for the whole window: a commit takes as long for
one receipt as for thirty."""
OUTSTANDING_RECEIPTS = 50_000
"""Receipts that may wait for a commit; beyond it the sender is told to come back."""
PRUNE_EVERY = 1_000
"""Entries removed at a time: while they are, nobody else can commit."""
PRUNE_S = 0.05
"""How long to wait for receipts before more entries are removed, where more are to be."""
LOOK_S = 0.02
"""How often to look for what another process has committed."""
_LOOKED_AT = 2_000
"""Waiting entries whose feeds are told."""
_LOG = logging.getLogger("wardtwin.inbox")


class Inbox:
    """The durable half of a store that is written before anyone is acknowledged."""

    def __init__(
        self, path: Path, clock: Clock, *, window_ms: float = 2.0, key: StoreKey | None = None
    ) -> None:
        self.path = path
        self._clock = clock
        self._window = window_ms / 1000.0
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._outstanding = 0
        self._count_lock = threading.Lock()
        self._arrived = threading.Condition()
        self._applied = 0
        self._gathered = self._receipts = 0
        """Groups and receipts of the last commit."""
        self._closed = self._has_beside = self._is_over = False
        self._commits: deque[tuple[int, float]] = deque()
        self._prepared: dict[int, Prepared] = {}
        """By its first position, what is prepared of entries that are carried."""
        self._file = InboxFile(path, key)
        try:
            self._file.look_who_was_erased()
        except BaseException:
            self._file.close()
            raise
        self._high = self._file.high_water()
        self._pruned = self._file.pruned_to()
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
        self._file.close()

    # --- who it belongs to -------------------------------------------------------------------

    def store_id(self) -> str | None:
        """The id it shares with its database; None while it is new."""
        return self._file.store_id()

    def claim(self, store_id: str) -> None:
        """Bind a new inbox to a store."""
        self._file.claim(store_id)

    @property
    def high(self) -> int:
        """The last durable position, whichever process made it so."""
        return self._observed()

    @property
    def pruned_to(self) -> int:
        """Entries up to here are gone, having been applied."""
        return self._pruned

    def require(self, applied: int) -> None:
        """Refuse a database that is ahead of this inbox, or behind what it still holds.

        Raises StoreMismatch: one half of the store was restored without the other.
        """
        self._file.require(applied)
        self._applied = applied

    # --- in ----------------------------------------------------------------------------------

    def submit(
        self,
        receipts: Sequence[Receipt | EncodedReceipt],
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
            answered.set_exception(not_stored("it is closed or has too much to write"))
            return answered
        if from_file or replay_of is not None:
            receipts = [opened(receipt) for receipt in receipts]
        self._queue.put(Group(receipts, self._clock.now(), replay_of, from_file, answered))
        return answered

    def beside(self, key: StoreKey | None) -> Beside | None:
        """What another process needs to make receipts of files durable here; see `carry`.

        None while one does already. Whoever asks calls `end_beside` once that process is gone.
        """
        with self._count_lock:
            if self._has_beside:
                return None
            self._has_beside = True
        written = key.written() if key is not None else None
        return Beside(inbox=str(self.path), holder=self._file.holder, key=written)

    def end_beside(self) -> None:
        """Forget what the other process made durable and did not hand over, as after a crash.

        Where the inbox cannot be written now, the writing thread tries again: all that came later
        waits for it. A store that is closed forgets it when it is opened.
        """
        self._is_over = not self._forgotten()

    def carry(self, entries: Sequence[Entry], journal: bytes = b"") -> None:
        """Hold entries of files that another process has made durable, until they are applied.

        `journal` are their rows of the store's journal, encoded, if that process has made them.
        """
        if journal:
            first, last = entries[0].position, entries[-1].position
            self._prepared[first] = Prepared(first, last, journal)
        self._file.carried.update((entry.position, entry) for entry in entries)

    def _forgotten(self) -> bool:
        """Whether nothing is left of what was not handed over."""
        if self._closed:
            return True
        try:
            self._file.forget_files(lambda: self._applied)
            with self._count_lock:
                high = self._high = self._file.high_water()
                self._has_beside = False
                while self._commits and self._commits[-1][0] > high:
                    self._commits.pop()
        except StoreError as error:
            _LOG.warning("What was not handed over cannot be forgotten yet: %s", error.why)
            return False
        return True

    # --- out ---------------------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Entry]:
        """Durable entries after a position, in order. Called from the projector only."""
        return self._file.read(after, limit)

    def prepared(self, entries: Sequence[Entry]) -> list[Prepared]:
        """What another process has prepared of entries that were read.

        Nothing of those among which one came again by other means meanwhile: that is read as its
        own feed has it, which may say something else.
        """
        first, last, carried = entries[0].position, entries[-1].position, self._file.carried
        others = [one.position for one in entries if carried.get(one.position) is not one]

        def holds(one: Prepared) -> bool:
            return bisect_left(others, one.first) == bisect_right(others, one.last)

        several = [one for one in tuple(self._prepared.values()) if one.last >= first]
        return sorted(one for one in several if one.first <= last and holds(one))

    def wait(self, after: int, timeout: float) -> bool:
        """Wait until there is an entry after a position, or the time is up."""
        until = monotonic() + timeout
        with self._arrived:
            while not self._closed and self._observed() <= after:
                left = until - monotonic()
                if left <= 0.0:
                    return False
                self._arrived.wait(min(left, LOOK_S))
        return not self._closed

    def applied_to(self, position: int) -> None:
        """Entries up to a position are in the database and may be pruned."""
        carried, before = self._file.carried, self._applied
        self._applied = position
        for applied in range(before + 1, position + 1) if carried else ():
            carried.pop(applied, None)
        for first, prepared in tuple(self._prepared.items()):
            if prepared.last <= position:
                del self._prepared[first]
        self.followed_to(position)

    def followed_to(self, position: int) -> None:
        """Entries up to a position are in the database, whoever put them there: none is waiting."""
        while self._commits and self._commits[0][0] <= position:
            self._commits.popleft()

    def lag_seconds(self) -> float:
        """How long the oldest message that is not in the database yet has been durable."""
        commits = tuple(self._commits)
        waiting = [at for high, at in commits if high > self._applied]
        return monotonic() - waiting[0] if waiting else 0.0

    def lags(self) -> dict[str, float]:
        """By feed, the age in seconds of its oldest message that is not in the database yet.

        Of a long queue only the beginning is looked at: feeds further behind lag less.
        """
        now = self._clock.now()
        since = self._file.waiting_since(self._applied, _LOOKED_AT)
        return {feed: (now - at).total_seconds() for feed, at in since.items()}

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the inbox, as SQLite's own backup makes it."""
        self._file.copy_to(path)

    def tallies(self) -> list[Tally]:
        """Messages by feed and outcome since the store was made."""
        return self._file.tallies()

    def heard(self) -> dict[str, datetime]:
        """When each feed last sent anything, also what it had sent before."""
        return self._file.heard()

    def _observed(self) -> int:
        # Within the lock: what is forgotten meanwhile must not count again.
        with self._count_lock:
            return self._rise(self._file.high_water())

    def _rise(self, high: int) -> int:
        if high > self._high:
            self._high = high
            self._commits.append((high, monotonic()))
        return self._high

    # --- the writing thread ------------------------------------------------------------------

    def _write(self) -> None:
        stopping = False
        while not stopping:
            groups, stopping = self._gather()
            if groups:
                self._commit(groups)
            if self._is_over:
                self._is_over = not self._forgotten()
            due = self._applied - self._pruned >= PRUNE_EVERY or stopping
            if due and self._applied > self._pruned:
                up_to = self._applied if stopping else self._pruned + PRUNE_EVERY
                if self._file.prune(up_to):
                    self._pruned = up_to

    def _gather(self) -> tuple[list[Group], bool]:
        due = self._applied - self._pruned >= PRUNE_EVERY
        try:
            first = self._queue.get(timeout=PRUNE_S if due else 1.0)
        except Empty:
            return [], False
        if first is None:
            return [], True
        groups, receipts = [first], len(first.receipts)
        until = monotonic() + self._window
        busy = self._receipts >= BUSY_RECEIPTS
        if busy:
            # Slept through, not waited for in the queue: that would wake for each group.
            sleep(self._window)
        stopping = False
        while receipts < GROUP_RECEIPTS:
            # Whoever sends alone must not wait for company: held back for the window is only what
            # would be much less than the last commit, and every commit where much is coming.
            patient = not busy and len(groups) < self._gathered // 2
            try:
                left = until - monotonic() if patient else 0.0
                group = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except Empty:
                break
            if group is None:
                stopping = True
                break
            groups.append(group)
            receipts += len(group.receipts)
        self._gathered, self._receipts = len(groups), receipts
        return groups, stopping

    def _commit(self, groups: list[Group]) -> None:
        committed: Committed | None = None
        failure: StoreError | None = None
        try:
            committed = self._file.commit(groups)
        except StoreError as error:
            failure = error
        with self._count_lock:
            self._outstanding -= sum(len(group.receipts) for group in groups)
            if committed is not None:
                self._rise(committed.high)
        with self._arrived:
            self._arrived.notify_all()
        for n, group in enumerate(groups):
            if not group.answered.set_running_or_notify_cancel():
                continue
            if committed is None:
                group.answered.set_exception(failure)
            else:
                group.answered.set_result(committed.answers[n])
