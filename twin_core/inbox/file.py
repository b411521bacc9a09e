"""The inbox as a file: entries, digests and tallies in SQLite, several writers at a time.

Positions are given out inside the writing transaction, so that two processes (one that listens,
one that serves HTTP) may write to one inbox.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from twin_core.encryption import (
    PLAIN,
    Sealing,
    StoreKey,
    missing_key,
    new_sealing,
    sealing_of,
)
from twin_core.errors import StoreBusy, StoreError, StoreMismatch
from twin_core.inbox.deciding import EPOCH, HEAD, RAW, Decisions, Group, ordered_digests
from twin_core.inbox.keeping_out import SCHEMA, Threshold
from twin_core.inbox.receipt import Answer, Entry, decode_head, feed_of

BUSY_S = 5.0
"""How long to wait for another process that is writing."""
CACHE_KIB = 32 * 1024
"""Memory for pages of whoever writes: digests are asked for all over their table. Who reads goes
from one entry to the next."""
_LOG = logging.getLogger("wardtwin.inbox")

_TURN = "Another program is writing to it: try again."
_REFUSED: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreBusy, "Make room on its disk and try again: nothing is lost."),
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "Look at its disk, which may be full or failing, and try again before restoring anything.",
    ),
    sqlite3.SQLITE_BUSY: (StoreBusy, _TURN),
    sqlite3.SQLITE_LOCKED: (StoreBusy, _TURN),
}
_DAMAGED = (StoreError, "Restore it together with its database from a backup.")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY, received_us INTEGER, head BLOB, raw BLOB, replay_of INTEGER);
CREATE TABLE IF NOT EXISTS digest (
    control BLOB, body BLOB, position INTEGER, PRIMARY KEY (control, body)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recent_digest (
    control BLOB, body BLOB, position INTEGER, PRIMARY KEY (control, body)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    feed TEXT, outcome TEXT, messages INTEGER, PRIMARY KEY (feed, outcome)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heard (feed TEXT PRIMARY KEY, received_us INTEGER) WITHOUT ROWID;
"""


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

    def __init__(self, path: Path, key: StoreKey | None = None) -> None:
        self.path = path
        self._db = _connect(path)
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._reader = _connect(path)
        # Statements that overlap on one connection see one snapshot: a question about the present
        # must not share one with the projector's long reads, nor with another thread's question.
        self._marks = _connect(path)
        self._asking = threading.Lock()
        try:
            self._sealing = self._sealed_by(key)
            self._threshold = Threshold(path)
        except BaseException:
            self.close()
            raise
        self._ordered: bool | None = None
        """Whether its digests are in the order of control ids; asked before the first commit."""
        self.holder = 0
        """Which opening of the store this is, since the first one."""
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

    def look_who_was_erased(self) -> None:
        """Learn whom to keep out.

        Raises ConfigurationError where patients were erased and the key of their marks is missing.
        """
        self._threshold.look(self._db)

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

    def heard(self) -> dict[str, datetime]:
        """When each feed last sent anything, also what it had sent before."""
        with self._asking, _readable():
            rows = self._marks.execute("SELECT feed, received_us FROM heard").fetchall()
        return {feed: EPOCH + timedelta(microseconds=us) for feed, us in rows}

    def waiting_since(self, after: int, limit: int) -> dict[str, datetime]:
        """When the oldest entry of each feed behind a position came, among the first `limit`."""
        with self._asking, _readable():
            rows = self._marks.execute(
                "SELECT position, received_us, head FROM entry WHERE position > ?"
                " ORDER BY position LIMIT ?",
                (after, limit),
            ).fetchall()
        since: dict[str, datetime] = {}
        for position, us, head in rows:
            carried = self.carried.get(position) if head is None else None
            feed = carried.head.feed if carried else self._feed(head, position) if head else ""
            since.setdefault(feed, EPOCH + timedelta(microseconds=us))
        return since

    def read(self, after: int, limit: int) -> list[Entry]:
        """Durable entries after a position, in order, up to one that is not at hand yet."""
        with _readable():
            rows = self._reader.execute(
                "SELECT position, received_us, head, raw, replay_of FROM entry"
                " WHERE position > ? ORDER BY position LIMIT ?",
                (after, limit),
            ).fetchall()
        entries = []
        for position, us, head, raw, replay_of in rows:
            if head is not None:
                entries.append(self._entry(position, us, head, raw, replay_of))
            elif position in self.carried:
                entries.append(self.carried[position])
            else:
                # Made durable by the process that reads a file, which is about to hand it over.
                break
        return entries

    def commit(self, groups: Sequence[Group], holder: int | None = None) -> Committed:
        """Write groups in one fsynced transaction.

        Raises StoreError, with nothing written, where the disk or the lock refuses, or where the
        store was opened again since `holder` opened it.
        """
        decisions: Decisions | None = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if holder is not None and _holder(self._db) != holder:
                self._db.execute("ROLLBACK")
                raise not_stored("whoever had it open has gone")
            groups = self._threshold.crossed(self._db, groups)
            ordered = ordered_digests(self._db) if self._ordered is None else self._ordered
            decisions = Decisions(
                self._db, groups, _high_water(self._db), self._sealing, ordered=ordered
            )
            answers = decisions.decide(groups)
            decisions.write()
            # At hand before the commit shows their positions to whoever reads.
            self.carried.update((entry.position, entry) for entry in decisions.carried)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            # Their positions will be others'.
            for entry in decisions.carried if decisions else ():
                self.carried.pop(entry.position, None)
            raise not_stored(str(error)) from error
        self._ordered = ordered
        return Committed(answers, decisions.high)

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

    def tables(self) -> list[str]:
        """Every table that the file has, whoever made it."""
        with _readable():
            found = self._reader.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            ).fetchall()
        return [str(name) for (name,) in found]

    def contents(self, table: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a table in order, their values opened; StoreError for a changed one.

        How values are sealed is no part of what an inbox holds.
        """
        sealing = self._sealing
        rows = "WHERE key <> 'sealing'" if table == "meta" else ""
        with _readable():
            for row in self._reader.execute(f"SELECT * FROM {table} {rows} ORDER BY 1"):  # noqa: S608
                if table != "entry" or row[2] is None:
                    yield row
                    continue
                position, us, head, raw, replay_of = row
                opened = sealing.unseal(head, position, HEAD), sealing.unseal(raw, position, RAW)
                yield (position, us, *opened, replay_of)

    def fill(self, table: str, rows: Iterable[tuple[Any, ...]], *, together: int) -> None:
        """Write rows of a table into a new inbox, sealed as this one is."""
        left = iter(rows)
        while some := [self._row(table, row) for row in islice(left, together)]:
            marks = ", ".join("?" * len(some[0]))
            with _readable():
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", some)  # noqa: S608
                self._db.execute("COMMIT")

    def _row(self, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if table != "entry" or row[2] is None:
            return row
        position, us, head, raw, replay_of = row
        seal = self._sealing.seal
        return (position, us, seal(head, position, HEAD), seal(raw, position, RAW), replay_of)

    def _entry(
        self, position: int, us: int, head: bytes, raw: bytes, replay_of: int | None
    ) -> Entry:
        said = decode_head(self._sealing.unseal(head, position, HEAD))
        received_at = EPOCH + timedelta(microseconds=us)
        return Entry(
            position, received_at, said, self._sealing.unseal(raw, position, RAW), replay_of
        )

    def _feed(self, head: bytes, position: int) -> str:
        return feed_of(self._sealing.unseal(head, position, HEAD))

    def _sealed_by(self, key: StoreKey | None) -> Sealing:
        noted = self._meta("sealing")
        if noted is None and key is not None:
            noted = self._begun_sealed(key)
        if noted is None:
            return PLAIN
        name = f"The inbox {self.path.name}"
        if key is None:
            raise missing_key(name)
        return sealing_of(noted, key, b"inbox", name)

    def _begun_sealed(self, key: StoreKey) -> str:
        with _readable():
            self._db.execute("BEGIN IMMEDIATE")
            held = "SELECT 1 FROM meta UNION ALL SELECT 1 FROM entry LIMIT 1"
            is_new = not self._db.execute(held).fetchall()
            if is_new:
                noted = new_sealing(key, b"inbox")
                self._db.execute("INSERT INTO meta VALUES ('sealing', ?)", (noted,))
            self._db.execute("COMMIT")
        # Whoever was first has noted it; a file that holds anything else was begun without a key.
        found = self._meta("sealing")
        if found is None:
            raise StoreError(
                f"The inbox {self.path.name} is not encrypted, and a key is set.",
                do="Encrypt the store with `wardtwin store encrypt`, or set no key.",
            )
        return found

    def forget_files(self, applied: Callable[[], int]) -> None:
        """Forget entries of files that are neither applied nor carried here.

        None where the store was opened again since: they are the next holder's then. By a
        connection of its own: whoever writes may be writing.
        """
        db = _connect(self.path)
        try:
            with _readable():
                db.execute("BEGIN IMMEDIATE")
                if _holder(db) == self.holder:
                    # Asked now, when nobody can commit more that are carried. Those first: what is
                    # applied is carried until it counts as applied.
                    carried = set(self.carried)
                    behind = _files_behind(db, applied())
                    _forget(db, [one for one in behind if one not in carried])
                db.execute("COMMIT")
        finally:
            db.close()

    def _forget_files(self, applied: int) -> None:
        # What came from files and was not applied before a crash was never reported as done.
        db = self._db
        with _readable():
            db.execute("BEGIN IMMEDIATE")
            _forget(db, _files_behind(db, applied))
            # In the same transaction: nobody who read files for the one before may add to it now.
            self.holder = _holder(db) + 1
            db.execute("INSERT OR REPLACE INTO meta VALUES ('holder', ?)", (str(self.holder),))
            db.execute("COMMIT")

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
        raise _unusable("The inbox cannot be read.", error) from error


def _unusable(what: str, error: sqlite3.Error) -> StoreError:
    """What to do about an inbox that SQLite refuses: where room or a turn lacks it is whole."""
    kind, do = _REFUSED.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _DAMAGED)
    return kind(what, why=f"SQLite says: {error}.", do=do)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA + SCHEMA)
    except sqlite3.Error as error:
        raise _unusable(f"The inbox {path.name} cannot be opened.", error) from error
    return db


def _files_behind(db: sqlite3.Connection, applied: int) -> list[int]:
    """Positions of entries that are durable as files only, behind a position."""
    asked = "SELECT position FROM entry WHERE head IS NULL AND position > ?"
    return [position for (position,) in db.execute(asked, (applied,))]


def _forget(db: sqlite3.Connection, positions: Sequence[int]) -> None:
    """Remove entries with their digests, so that what they held is news again."""
    if not positions:
        return
    db.execute("CREATE TEMP TABLE lost (position INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO lost VALUES (?)", [(one,) for one in positions])
    for table in ("digest", "recent_digest", "entry"):
        db.execute(f"DELETE FROM {table} WHERE position IN (SELECT position FROM lost)")  # noqa: S608
    db.execute("DROP TABLE lost")


def _holder(db: sqlite3.Connection) -> int:
    rows = db.execute("SELECT value FROM meta WHERE key = 'holder'").fetchall()
    return int(rows[0][0]) if rows else 0


def _high_water(db: sqlite3.Connection) -> int:
    # Entries first: what is pruned between the two questions is then counted by the mark.
    with _readable():
        ((last,),) = db.execute("SELECT max(position) FROM entry").fetchall()
        rows = db.execute("SELECT value FROM meta WHERE key = 'pruned_to'").fetchall()
    return max(last or 0, int(rows[0][0]) if rows else 0)
