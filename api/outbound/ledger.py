"""How far each destination has come: a SQLite file beside the store that survives any end.

A position is the last message that needs nothing more: delivered, parked or not meant for the
destination. It is stored after the fact, so that a message may be sent twice and never not at all;
its control id stays the same, by which the receiver knows it again.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from twin_core.errors import StoreError, StoreMismatch

BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS destination (
    name TEXT PRIMARY KEY, batch_no INTEGER, message_id INTEGER, state TEXT, reason TEXT,
    since TEXT, pid INTEGER, delivered_at TEXT, released INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (
    name TEXT, message_id INTEGER, trigger_event TEXT, control_id TEXT, code TEXT, reason TEXT,
    attempts INTEGER, parked_at TEXT, again INTEGER DEFAULT 0,
    PRIMARY KEY (name, message_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    name TEXT, outcome TEXT, messages INTEGER, PRIMARY KEY (name, outcome)) WITHOUT ROWID;
"""
_PARKED = """
SELECT message_id, trigger_event, control_id, code, reason, attempts, parked_at, again
FROM parked WHERE name = ? ORDER BY message_id LIMIT ?
"""
_ASKED_AGAIN = _PARKED.replace("name = ?", "name = ? AND again = 1")


class Position(NamedTuple):
    """A place in the journal. Batches become visible whole and in order; a replayed message is in
    the batch in which it was applied at last, so that it is not passed over."""

    batch_no: int
    message_id: int


class Parked(NamedTuple):
    """A message that a destination did not take, and why. The reason holds codes, never PHI."""

    message_id: int
    trigger_event: str
    control_id: str
    code: str
    """AE, AR, CE or CR; empty where it was never sent."""
    reason: str
    attempts: int
    parked_at: str
    again: bool = False
    """Whether somebody asked for another try."""


class Progress(NamedTuple):
    """Where a destination stands, as last written."""

    name: str
    position: Position
    state: str
    reason: str
    since: str
    pid: int
    delivered_at: str


def ledger_path(store: Path) -> Path:
    """Where the ledger of a store is."""
    return store.with_name(store.name + ".outbound")


class Ledger:
    """The ledger of one store; every method is one transaction, on any thread."""

    def __init__(self, path: Path, store_id: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        made = not path.exists()
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
            self._db.isolation_level = None
            self._db.execute("PRAGMA journal_mode=WAL")
            # A destination that begins now must begin now also after a power failure.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(
                f"{path.name} cannot be used.",
                why=f"{error}.",
                do="It says what other systems were sent; restore it from a backup.",
            ) from error
        if made:
            path.chmod(0o600)
        self._claim(store_id)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def begin(self, name: str, position: Position) -> Position:
        """Where a destination goes on; `position` where it is a new one."""
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO destination (name, batch_no, message_id, state, reason,"
                " since, pid, delivered_at) VALUES (?, ?, ?, '', '', '', 0, '')",
                (name, *position),
            )
            row = db.execute(
                "SELECT batch_no, message_id FROM destination WHERE name = ?", (name,)
            ).fetchone()
        return Position(*row)

    def advance(
        self,
        name: str,
        position: Position,
        tallies: Mapping[str, int],
        delivered_at: datetime | None,
    ) -> None:
        """Everything up to `position` is settled; `tallies` are counted on top."""
        with self._writing() as db:
            self._advanced(db, name, position, tallies)
            if delivered_at is not None:
                db.execute(
                    "UPDATE destination SET delivered_at = ? WHERE name = ?",
                    (_text(delivered_at), name),
                )

    def park(
        self, name: str, parked: Parked, position: Position | None, tallies: Mapping[str, int]
    ) -> None:
        """Put a message aside, and go on behind it."""
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (name, *parked)
            )
            if position is not None:
                self._advanced(db, name, position, tallies)

    def unpark(self, name: str, message_id: int) -> None:
        """A parked message was delivered after all."""
        with self._writing() as db:
            db.execute("DELETE FROM parked WHERE name = ? AND message_id = ?", (name, message_id))

    def tell(self, name: str, state: str, reason: str, at: datetime, pid: int) -> None:
        """Write down how a destination is doing, for other programs to see."""
        with self._writing() as db:
            db.execute(
                "UPDATE destination SET state = ?, reason = ?, since = ?, pid = ? WHERE name = ?",
                (state, reason, _text(at), pid, name),
            )

    def ask_again(self, name: str, message_ids: Sequence[int] = ()) -> int:
        """Ask for another try of parked messages (all where none is named), and of the one that a
        stopped destination stands at; how many parked ones there are."""
        with self._writing() as db:
            db.execute("UPDATE destination SET released = 1 WHERE name = ?", (name,))
            if not message_ids:
                return db.execute("UPDATE parked SET again = 1 WHERE name = ?", (name,)).rowcount
            return sum(
                db.execute(
                    "UPDATE parked SET again = 1 WHERE name = ? AND message_id = ?", (name, one)
                ).rowcount
                for one in message_ids
            )

    def released(self, name: str) -> bool:
        """Whether somebody asked a stopped destination to go on; asked once, answered once."""
        with self._writing() as db:
            return (
                db.execute(
                    "UPDATE destination SET released = 0 WHERE name = ? AND released = 1", (name,)
                ).rowcount
                > 0
            )

    def asked_again(self, name: str, limit: int = 100) -> list[Parked]:
        """The parked messages that somebody wants another try of, oldest first."""
        return self._parked(_ASKED_AGAIN, name, limit)

    def parked(self, name: str, limit: int = 1_000) -> list[Parked]:
        """The parked messages of a destination, oldest first."""
        return self._parked(_PARKED, name, limit)

    def progress(self) -> list[Progress]:
        """Every destination there ever was."""
        rows = self._read(
            "SELECT name, batch_no, message_id, state, reason, since, pid, delivered_at"
            " FROM destination ORDER BY name"
        )
        return [Progress(row[0], Position(*row[1:3]), *row[3:]) for row in rows]

    def tallies(self) -> dict[str, dict[str, int]]:
        """What became of messages, by destination and outcome, since the ledger was made."""
        counted: dict[str, dict[str, int]] = {}
        for name, outcome, messages in self._read("SELECT name, outcome, messages FROM tally"):
            counted.setdefault(name, {})[outcome] = messages
        for name, waiting in self._read("SELECT name, count(*) FROM parked GROUP BY name"):
            counted.setdefault(name, {})["parked"] = waiting
        return counted

    def copy_to(self, path: Path) -> None:
        """Write a copy, as of one instant."""
        copy = sqlite3.connect(path)
        with self._lock:
            self._db.backup(copy)
        copy.close()
        path.chmod(0o600)

    def _claim(self, store_id: str) -> None:
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('store_id', ?)", (store_id,))
        [(claimed,)] = self._read("SELECT value FROM meta WHERE key = 'store_id'")
        if claimed != store_id:
            self.close()
            raise StoreMismatch(
                f"{self.path.name} belongs to a different store.",
                why="It says how far other systems were fed from that one.",
                do="Restore both from the same backup, or remove it: destinations begin anew.",
            )

    def _parked(self, sql: str, name: str, limit: int) -> list[Parked]:
        rows = self._read(sql, (name, limit))
        return [Parked(*row)._replace(again=bool(row[-1])) for row in rows]

    def _advanced(
        self, db: sqlite3.Connection, name: str, position: Position, tallies: Mapping[str, int]
    ) -> None:
        db.execute(
            "UPDATE destination SET batch_no = ?, message_id = ? WHERE name = ?", (*position, name)
        )
        db.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (name, outcome)"
            " DO UPDATE SET messages = messages + excluded.messages",
            [(name, outcome, messages) for outcome, messages in tallies.items()],
        )

    def _read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise _failed(self.path, error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise _failed(self.path, error) from error


def _failed(path: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(f"{path.name} cannot be used now.", why=f"{error}.", do="Check the disk.")


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
