"""The projecting thread: durable entries become batches, batches become what everyone sees.

It is the only writer of the database. A failing disk is waited out, since nothing that was
acknowledged may be lost; a message that cannot be projected is quarantined by itself, with its
neighbours applied.

In a load one batch is folded while another thread writes the one before it: the database works
outside of Python most of that time. Anything that fails is done again, one batch after the other.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

import duckdb
import msgspec

from twin_core.errors import StoreError
from twin_core.events import Fault
from twin_core.inbox import Entry, Inbox, Prepared
from twin_core.store.projection import BatchApplied, Folded, Projection

HANDOVER_S = 0.01
GATHER_S = 0.05
"""Shortest pause between batches, so that a busy feed gives larger ones."""
FEW_ENTRIES = 20
"""After a batch of so few the pause is the shortest: nobody is busy, and somebody is waiting."""
LONGEST_GATHER_S = 0.3
"""Longest pause: a batch that took long is followed by one as long, to leave room to those who
acknowledge."""
BATCH_ENTRIES = 4_000
"""Entries of one batch at most: with their facts and rows they take some 10 kB each."""
LOAD_ENTRIES, LOAD_BYTES = 12_000, 6 * 1024 * 1024
"""What one batch of a load has at most: several messages about one visit cost little more than one,
and nobody waits for the present."""
FIRST_WORTH, LOAD_WORTH = 1_500, 6_000
"""Entries of a load that are worth a batch: the less one has, the more its statements cost each.
The first ones are smaller, since nothing else is there to be done meanwhile."""
LONGEST_LOAD_GATHER_S, SILENCE_S = 1.0, 0.25
"""How long a load waits for as many, and how long when nothing comes meanwhile."""
ROWS_OF_ENTRY = 3
"""An entry's own rows: message, bytes, event. Those of what it says are counted."""
LOADED_ROWS = 1_000_000
"""Rows, or somewhat more, after which a load lets the database give back what it keeps of them:
16 MB and more."""
RETRY_S = 2.0
COURTESY = 10
"""How far a server's projector steps back where the processors are busy, as `nice` counts: a tenth
of what others have is left to it, or all that they leave."""
_LOG = logging.getLogger("wardtwin.projector")


class Writing(NamedTuple):
    """A batch that the writing thread has."""

    entries: Sequence[Entry]
    began: float
    done: "Future[BatchApplied]"


class NotWritten(Exception):
    """The batch before the one at hand could not be written, so this one cannot follow it."""


class Projector:
    """Applies what the inbox holds, in order, and tells listeners about every batch."""

    def __init__(
        self, inbox: Inbox, projection: Projection, listeners: list[Callable[[BatchApplied], None]]
    ) -> None:
        self._inbox, self._projection, self._listeners = inbox, projection, listeners
        self._stopping = threading.Event()
        self._applied = threading.Condition()
        self._most = BATCH_ENTRIES
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Writing | None = None
        self._worth = FIRST_WORTH
        self._is_more = False
        """Whether what was read last was too heavy for one batch."""
        self._rows, self._most_rows = 0, sys.maxsize
        self.pause = threading.Lock()
        self.position = projection.position
        self.sequence = projection.batch_no
        self.known_at: datetime | None = projection.known_at
        self.failure: str | None = None
        self.batch_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="projector", daemon=True)

    def load(self) -> None:
        """Apply larger batches from now on: much is to come, and nobody watches the present."""
        self._most, self._most_rows = LOAD_ENTRIES, LOADED_ROWS
        self._projection.load()
        self._writer = ThreadPoolExecutor(1, "projector-writer")

    def start(self) -> None:
        """Begin to apply."""
        self._thread.start()

    def give_way(self) -> None:
        """Let whoever acknowledges have the processors first: what is durable can wait a moment.

        Linux gives a thread a priority of its own; elsewhere all stay alike.
        """
        thread = self._thread.native_id
        if sys.platform == "linux" and thread is not None:
            os.setpriority(os.PRIO_PROCESS, thread, COURTESY)

    def stop(self) -> None:
        """Finish the batch at hand and stop; what remains is applied at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._writer is not None:
            self._writer.shutdown()

    def alive(self) -> bool:
        """Whether batches are being applied."""
        return self._thread.is_alive() and self.failure is None

    def wait(self, position: int, timeout: float) -> bool:
        """Wait until a position has been applied; False when the time was up first."""
        with self._applied:
            return self._applied.wait_for(lambda: self.position >= position, timeout)

    def catch_up(self) -> None:
        """Apply everything durable, on the calling thread, before the store is opened to anyone."""
        while entries := self._inbox.read(self.position, BATCH_ENTRIES):
            self._apply(entries)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._try(self._next)
        self._try(self._settle)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (duckdb.Error, StoreError, OSError, MemoryError) as error:
            # The disk or the database: the entries are durable, so wait and try again.
            self.failure = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            _LOG.error("Projection is waiting: %s", self.failure)
            if _is_to_be_taken_again(error):
                self._rows = self._most_rows
            self._stopping.wait(RETRY_S)

    def _next(self) -> None:
        """Apply what is durable and not applied yet, or a part of it; wait where there is none."""
        if self._rows >= self._most_rows or self._projection.is_to_be_renewed:
            # Tried again until it is done: before that nothing can be written.
            self._settle()
            with self.pause:
                self._projection.renew()
            self._rows = 0
        reached = self._writing.entries[-1].position if self._writing else self.position
        if not self._inbox.wait(reached, timeout=0.0 if self._writing else 0.2):
            self._settle()
            # What failed once and was done again later has nothing behind it that would say so.
            self.failure = None
            return
        if self._writer is not None and not self._is_more:
            self._gather(reached)
        waiting = self._inbox.read(reached, self._most)
        entries = waiting[: _together(waiting)]
        self._is_more = len(entries) < len(waiting)
        if not entries:
            # Another process has made them durable, and has not handed them over yet.
            self._settle()
            self._stopping.wait(HANDOVER_S)
            return
        if self._writer is None:
            with self.pause:
                self._apply(entries)
            if len(waiting) < self._most and len(entries) == len(waiting):
                self._stopping.wait(self._pause_after(len(entries)))
        else:
            self._apply_behind(entries, self._writer)

    # --- a load: one batch is folded while the one before it is written -----------------------

    def _gather(self, reached: int) -> None:
        """Wait until there is enough for a batch, or until no more comes."""
        now = time.monotonic()
        until, silent_since, high = now + LONGEST_LOAD_GATHER_S, now, self._inbox.high
        while high - reached < self._worth and now < min(until, silent_since + SILENCE_S):
            if self._stopping.wait(GATHER_S):
                return
            now, before, high = time.monotonic(), high, self._inbox.high
            if high > before:
                silent_since = now
        self._worth = min(2 * self._worth, LOAD_WORTH)

    def _apply_behind(self, entries: Sequence[Entry], writer: ThreadPoolExecutor) -> None:
        began = time.monotonic()
        committed = self._projection.committed
        try:
            folded = self._projection.fold(entries, self._prepared(entries))
            committed.settle()
        except Exception as error:
            _LOG.info("A batch is folded again (%s)", type(error).__name__)
            self._apply_again(entries)
            return
        self._writing = Writing(entries, began, writer.submit(self._write, folded))
        writer.submit(self._write_back)
        committed.follow(folded.changes.touched, self._written)

    def _write(self, folded: Folded) -> BatchApplied:
        with self.pause:
            return self._projection.write(folded)

    def _write_back(self) -> None:
        with self.pause:
            self._projection.write_back()

    def _written(self) -> None:
        """Wait for what is being written and tell of it. Raises NotWritten."""
        if self._writing is not None:
            entries, began, done = self._writing
            try:
                applied = done.result()
            except Exception as error:
                raise NotWritten from error
            self._writing = None
            self.batch_seconds = time.monotonic() - began
            self._announce(entries[-1].position, applied)

    def _settle(self) -> None:
        try:
            self._projection.committed.settle()
        except NotWritten:
            self._apply_again(())

    def _apply_again(self, entries: Sequence[Entry]) -> None:
        """Apply what could not be written, if anything, and then entries, one after the other."""
        before: Sequence[Entry] = ()
        try:
            self._projection.committed.settle()
        except NotWritten:
            _LOG.info("A batch that could not be written is folded again")
        if self._writing is not None:
            before, self._writing = self._writing.entries, None
        self._projection.forget()
        for several in filter(None, (before, entries)):
            with self.pause:
                self._apply(several)

    def _pause_after(self, entries: int) -> float:
        """How long to gather before the next batch, given how many entries the last one had."""
        if entries <= FEW_ENTRIES:
            return GATHER_S
        return min(max(GATHER_S, self.batch_seconds), LONGEST_GATHER_S)

    def _apply(self, entries: Sequence[Entry]) -> None:
        started = time.monotonic()
        try:
            applied = self._projection.apply(entries, self._prepared(entries))
        except Exception as error:
            if _is_no_messages_fault(error):
                raise
            self._isolate(entries, error)
            return
        self.batch_seconds = time.monotonic() - started
        self._announce(entries[-1].position, applied)

    def _prepared(self, entries: Sequence[Entry]) -> Sequence[Prepared]:
        return self._inbox.prepared(entries)

    def _isolate(self, entries: Sequence[Entry], error: Exception) -> None:
        # Halving finds the message at fault; its neighbours must not wait for a person.
        if len(entries) > 1:
            half = len(entries) // 2
            self._apply(entries[:half])
            self._apply(entries[half:])
            return
        (entry,) = entries
        _LOG.error(
            "Message %d cannot be projected (%s) and is quarantined",
            entry.position,
            type(error).__name__,
        )
        self._apply_quarantined(entry, type(error).__name__)

    def _apply_quarantined(self, entry: Entry, error: str) -> None:
        envelope = entry.head.envelope
        fault = Fault(
            where="MSH",
            code="207",
            reason=f"accepted, but could not be applied ({error}); replay it after an upgrade",
        )
        head = msgspec.structs.replace(
            entry.head,
            envelope=None,
            events=(),
            faults=(*entry.head.faults, fault),
            sender=envelope.sender if envelope else entry.head.sender,
            control_id=envelope.control_id if envelope else entry.head.control_id,
            trigger_event=envelope.trigger_event if envelope else entry.head.trigger_event,
        )
        quarantined = msgspec.structs.replace(entry, head=head)
        applied = self._projection.apply([quarantined])
        self._announce(entry.position, applied._replace(not_applied=(entry.position,)))

    def _announce(self, position: int, applied: BatchApplied) -> None:
        # Whoever waits for a position finds that everybody who listens has been told of it.
        self.sequence, self.known_at = applied.sequence, applied.known_at
        self.failure = None
        self._rows += ROWS_OF_ENTRY * applied.messages + len(applied.opened)
        for listener in tuple(self._listeners):
            listener(applied)
        with self._applied:
            self.position = position
            self._applied.notify_all()
        self._inbox.applied_to(position)


def _is_no_messages_fault(error: Exception) -> bool:
    """Whether the disk or memory refused, and not a message: smaller batches would not help."""
    if isinstance(error, duckdb.TransactionException):
        # What a full disk makes of a COMMIT; a constraint may be broken by what a message says.
        return "constraint" not in str(error).lower()
    kinds = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)
    return isinstance(error, kinds)


def _is_to_be_taken_again(error: Exception) -> bool:
    """Whether the database can go on only anew: its memory is full, maybe of what it keeps of
    weeks, which a COMMIT says only in its advice; or what it had could not be written back."""
    full = isinstance(error, duckdb.OutOfMemoryException) or "memory limit" in str(error)
    return full or "has been invalidated" in str(error)


def _together(entries: Sequence[Entry]) -> int:
    """How many of the first entries fit into one batch by their weight: one at least."""
    weight = 0
    for number, entry in enumerate(entries):
        weight += len(entry.raw)
        if weight > LOAD_BYTES and number:
            return number
    return len(entries)
