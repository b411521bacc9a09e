"""The inbox as a file: entries, digests and tallies in SQLite, several writers at a time.

Positions are given out inside the writing transaction, so that two processes (one that listens,
one that serves HTTP) may write to one inbox.
"""

import hashlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

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

BUSY_S = 5.0
"""How long to wait for another process that is writing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOG = logging.getLogger("wardtwin.inbox")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY, received_us INTEGER, head BLOB, raw BLOB, replay_of INTEGER);
CREATE TABLE IF NOT EXISTS digest (
    control BLOB, body BLOB, position INTEGER, PRIMARY KEY (control, body)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    feed TEXT, outcome TEXT, messages INTEGER, PRIMARY KEY (feed, outcome)) WITHOUT ROWID;
"""


class Group(NamedTuple):
    """Receipts that become durable as one, and who waits for it."""

    receipts: Sequence[Receipt]
    received_at: datetime
    replay_of: int | None
    from_file: bool
    answered: "Future[list[Answer]]"


class Committed(NamedTuple):
    """What a commit made of its groups, and the last position it gave out."""

    answers: list[list[Answer]]
    high: int


class Tally(NamedTuple):
    """How many messages of a feed had an outcome: accepted, duplicate or rejected."""

    feed: str
    outcome: str
    messages: int


class InboxFile:
    """One connection to write with and one to read with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = _connect(path)
        self._reader = _connect(path)
        # Statements that overlap on one connection see one snapshot: a question about the present
        # must not share one with the projector's long reads, nor with another thread's question.
        self._marks = _connect(path)
        self._asking = threading.Lock()
        self._high = 0
        self.carried: dict[int, Entry] = {}
        """Entries that are durable as files: kept here until they are applied."""

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._marks.close()
        self._db.close()

    def store_id(self) -> str | None:
        """The id it shares with its database; None while it is new."""
        return self._meta("store_id")

    def claim(self, store_id: str) -> None:
        """Bind a new inbox to a store."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('store_id', ?)", (store_id,))

    def require(self, applied: int) -> None:
        """Refuse a database that is ahead of this inbox, or behind what it still holds.

        Raises StoreMismatch: one half of the store was restored without the other.
        """
        advice = "Restore the database and its .inbox file from the same backup."
        high, pruned = self.high_water(), self.pruned_to()
        if applied > high:
            raise StoreMismatch(
                f"The inbox {self.path.name} is older than its database.",
                why=f"It ends at {high}, the database has applied {applied}.",
                do=advice,
            )
        if applied < pruned:
            raise StoreMismatch(
                f"The database is older than its inbox {self.path.name}.",
                why=f"It has applied {applied}, entries up to {pruned} are pruned.",
                do=advice,
            )
        self._forget_files(applied)

    def high_water(self) -> int:
        """The last position that is durable, in whichever process."""
        with self._asking:
            return _high_water(self._marks)

    def pruned_to(self) -> int:
        """Entries up to here are gone, having been applied."""
        return int(self._meta("pruned_to") or 0)

    def tallies(self) -> list[Tally]:
        """Messages by feed and outcome since the store was made."""
        with self._asking, _readable():
            rows = self._marks.execute("SELECT * FROM tally ORDER BY feed, outcome").fetchall()
        return [Tally(*row) for row in rows]

    def read(self, after: int, limit: int) -> list[Entry]:
        """Durable entries after a position, in order."""
        with _readable():
            rows = self._reader.execute(
                "SELECT position, received_us, head, raw, replay_of FROM entry"
                " WHERE position > ? ORDER BY position LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            self.carried[position]
            if head is None
            else Entry(
                position, _EPOCH + timedelta(microseconds=us), decode_head(head), raw, replay_of
            )
            for position, us, head, raw, replay_of in rows
        ]

    def commit(self, groups: Sequence[Group]) -> Committed:
        """Write groups in one fsynced transaction.

        Raises StoreError, with nothing written, where the disk or the lock refuses.
        """
        counted: Counter[tuple[str, str]] = Counter()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._high = _high_water(self._db)
            answers = [self._store(group, counted) for group in groups]
            self._db.executemany(
                "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (feed, outcome)"
                " DO UPDATE SET messages = messages + excluded.messages",
                [(feed, outcome, n) for (feed, outcome), n in counted.items()],
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise not_stored(str(error)) from error
        return Committed(answers, self._high)

    def prune(self, up_to: int) -> bool:
        """Remove entries that are applied; False where the disk is too full even for that."""
        try:
            # What a crash undoes of this is only done again, so it need not wait for the disk.
            self._db.execute("PRAGMA synchronous=NORMAL")
            # One transaction: without the new mark, a crash would give positions out twice.
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM entry WHERE position <= ?", (up_to,))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_to', ?)", (str(up_to),))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            # Entries that stay are skipped by position, and the next commit tells the sender.
            _LOG.warning("Pruning failed: %s", error)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            return False
        finally:
            self._db.execute("PRAGMA synchronous=FULL")
        return True

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy, as SQLite's own backup makes it."""
        source, copy = _connect(self.path), sqlite3.connect(path)
        source.backup(copy)
        copy.close()
        source.close()

    def _store(self, group: Group, counted: "Counter[tuple[str, str]]") -> list[Answer]:
        answers = []
        for receipt in group.receipts:
            answer = self._decide(receipt, group)
            counted[receipt.feed, answer.status] += 1
            answers.append(answer)
        return answers

    def _decide(self, receipt: Receipt, group: Group) -> Answer:
        outcome = receipt.outcome
        if isinstance(outcome, Rejection):
            return self._reject(receipt, outcome, group)
        if receipt.document and outcome.envelope.unversioned:
            return self._once_per_document(receipt, outcome, group)
        return self._accept(receipt, outcome, group)

    def _once_per_document(self, receipt: Receipt, outcome: Translation, group: Group) -> Answer:
        # A resource without versions repeats when its whole document was read before: otherwise
        # a file that states it twice would, read again, tell of changes that never were.
        offset = receipt.origin.rpartition("@")[2]
        control = _digest(receipt.document, offset, outcome.envelope.control_id)
        first = self._position(control, outcome.envelope.digest)
        if first is not None:
            return Answer(status=DUPLICATE, code="AA", position=first)
        answer = self._accept(receipt, outcome, group)
        self._note(control, outcome.envelope.digest, answer.position or self._high)
        return answer

    def _accept(self, receipt: Receipt, outcome: Translation, group: Group) -> Answer:
        control = _control(receipt.format, outcome)
        body = outcome.envelope.digest
        seen = dict(
            self._db.execute("SELECT body, position FROM digest WHERE control = ?", (control,))
        )
        replayed = body in seen and seen[body] == group.replay_of
        if body in seen and not replayed and _repeats(outcome.envelope, body, seen):
            if not group.from_file:
                self._keep(receipt, seen[body])
            return Answer(status=DUPLICATE, code="AA", position=seen[body])
        reused = bool(seen) and not outcome.envelope.unversioned
        position = self._insert(receipt, group, reused=reused)
        first = position if group.replay_of is None else group.replay_of
        self._db.execute("INSERT OR REPLACE INTO digest VALUES (?, ?, ?)", (control, body, first))
        return Answer(status=ACCEPTED, code="AA", position=first, reused_control_id=reused)

    def _reject(self, receipt: Receipt, outcome: Rejection, group: Group) -> Answer:
        position = None
        if group.replay_of is None:
            # Read again, a file adds nothing to the quarantine; a sender may try as often as it
            # likes, and each time is kept.
            control = _digest("rejected", receipt.feed) if group.from_file else b""
            body = hashlib.blake2b(receipt.raw, digest_size=16).digest()
            found = self._position(control, body) if control else None
            position = found or self._insert(receipt, group, reused=False)
            if control and found is None:
                self._note(control, body, position)
        return Answer(status=REJECTED, code=outcome.code, position=position)

    def _position(self, control: bytes, body: bytes) -> int | None:
        row = self._db.execute(
            "SELECT position FROM digest WHERE control = ? AND body = ?", (control, body)
        ).fetchone()
        return None if row is None else int(row[0])

    def _note(self, control: bytes, body: bytes, position: int) -> None:
        self._db.execute("INSERT INTO digest VALUES (?, ?, ?)", (control, body, position))

    def _insert(self, receipt: Receipt, group: Group, *, reused: bool) -> int:
        self._high += 1
        head = raw = None
        if group.from_file:
            carried = head_of(receipt, reused)
            self.carried[self._high] = Entry(
                self._high, group.received_at, carried, receipt.raw, None
            )
        else:
            head, raw = encode_head(head_of(receipt, reused)), receipt.raw
        received_us = (group.received_at - _EPOCH) // _MICROSECOND
        self._db.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
            (self._high, received_us, head, raw, group.replay_of),
        )
        return self._high

    def _keep(self, receipt: Receipt, position: int) -> None:
        # The first of it came from a file and may not be applied yet. Who sends it by other means
        # is told that it is durable, so from now on it must be, file or not.
        self._db.execute(
            "UPDATE entry SET head = ?, raw = ? WHERE position = ? AND head IS NULL",
            (encode_head(head_of(receipt, reused_control_id=False)), receipt.raw, position),
        )

    def _forget_files(self, applied: int) -> None:
        # What came from files and was not applied before a crash was never reported as done.
        lost = "SELECT position FROM entry WHERE head IS NULL AND position > ?"
        with _readable():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"DELETE FROM digest WHERE position IN ({lost})", (applied,))  # noqa: S608
            self._db.execute("DELETE FROM entry WHERE head IS NULL AND position > ?", (applied,))
            self._db.execute("COMMIT")

    def _meta(self, key: str) -> str | None:
        with self._asking, _readable():
            rows = self._marks.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall()
        return str(rows[0][0]) if rows else None


def not_stored(why: str) -> StoreError:
    """The error that tells a sender that nothing was stored."""
    return StoreBusy(
        "The message was not stored.", why=f"The inbox says: {why}.", do="Send it again."
    )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(
            "The inbox cannot be read.",
            why=f"SQLite says: {error}.",
            do="Restore it together with its database from a backup.",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA cache_size=-65536")
        db.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise StoreError(
            f"The inbox {path.name} cannot be opened.",
            why=f"SQLite says: {error}.",
            do="Restore it together with its database from a backup.",
        ) from error
    return db


def _high_water(db: sqlite3.Connection) -> int:
    # Entries first: what is pruned between the two questions is then counted by the mark.
    with _readable():
        ((last,),) = db.execute("SELECT max(position) FROM entry").fetchall()
        rows = db.execute("SELECT value FROM meta WHERE key = 'pruned_to'").fetchall()
    return max(last or 0, int(rows[0][0]) if rows else 0)


def _control(format_: str, translation: Translation) -> bytes:
    envelope = translation.envelope
    return _digest(format_, envelope.sender, envelope.control_id)


def _digest(*parts: str) -> bytes:
    named = "\x1f".join(parts)
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _repeats(envelope: Envelope, body: bytes, seen: dict[bytes, int]) -> bool:
    # A resource without versions may go back to an earlier content: only the latest repeats.
    return not envelope.unversioned or seen[body] == max(seen.values())
