"""How far each source is read: a SQLite file beside the store that survives any end.

A checkpoint is stored after the entries before it are durable in the inbox, so that an end in
between reads a page twice and never not at all; what is read twice the inbox knows by its version.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from twin_core.errors import StoreError, StoreMismatch

BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source (
    name TEXT PRIMARY KEY, base TEXT, version TEXT DEFAULT '', state TEXT DEFAULT '',
    reason TEXT DEFAULT '', since TEXT DEFAULT '', pid INTEGER DEFAULT 0, breaker TEXT DEFAULT '',
    synced_at TEXT DEFAULT '', position INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    source TEXT, what TEXT, held BLOB, PRIMARY KEY (source, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    source TEXT, what TEXT, resource TEXT, version TEXT, updated TEXT,
    PRIMARY KEY (source, what, resource, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    source TEXT, kind TEXT, outcome TEXT, resources INTEGER,
    PRIMARY KEY (source, kind, outcome)) WITHOUT ROWID;
"""

Key = tuple[str, str]
"""`Type/id` and version of a resource."""


class Progress(NamedTuple):
    """Where a source stands, as last written."""

    name: str
    base: str
    version: str
    state: str
    reason: str
    since: str
    pid: int
    breaker: str
    synced_at: str
    position: int


def ledger_path(store: Path) -> Path:
    """Where the ledger of a store is."""
    return store.with_name(store.name + ".sources")


class Ledger:
    """The ledger of one store; every method is one transaction, on any thread."""

    def __init__(self, path: Path, store_id: str) -> None:
        self.path, self.store_id = path, store_id
        self._lock = threading.Lock()
        made = not path.exists()
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
            self._db.isolation_level = None
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(
                f"{path.name} cannot be used.",
                why=f"{error}.",
                do="It says how far FHIR servers are read; without it they are read anew.",
            ) from error
        if made:
            # Addresses of pages and files may hold what belongs to patients, or signatures.
            path.chmod(0o600)
        self._claim(store_id)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def begin(self, name: str, base: str, high: int) -> None:
        """A source is about to be read, at a store that holds messages up to `high`.

        What was kept of another server, or of a store that held more than this one, is forgotten.
        """
        with self._writing() as db:
            row = db.execute("SELECT base, position FROM source WHERE name = ?", (name,)).fetchone()
            if row is not None and (row[0] != base or row[1] > high):
                for table in ("checkpoint", "seen"):
                    db.execute(f"DELETE FROM {table} WHERE source = ?", (name,))  # noqa: S608
                db.execute(
                    "UPDATE source SET base = ?, position = 0, synced_at = '' WHERE name = ?",
                    (base, name),
                )
            db.execute("INSERT OR IGNORE INTO source (name, base) VALUES (?, ?)", (name, base))

    def forget(self, name: str) -> None:
        """Forget how far a source is read: the next sync reads everything."""
        with self._writing() as db:
            for table in ("checkpoint", "seen"):
                db.execute(f"DELETE FROM {table} WHERE source = ?", (name,))  # noqa: S608

    def checkpoint(self, name: str, what: str) -> bytes | None:
        """What was kept last."""
        rows = self._read("SELECT held FROM checkpoint WHERE source = ? AND what = ?", (name, what))
        return rows[0][0] if rows else None

    def unseen(self, name: str, what: str, keys: Sequence[Key]) -> set[Key]:
        """Which of these versions were not taken before, as far as that is remembered."""
        marks = ", ".join("?" * len(keys))
        rows = self._read(
            "SELECT resource, version FROM seen WHERE source = ? AND what = ?"  # noqa: S608
            f" AND resource IN ({marks})",
            (name, what, *(resource for resource, _ in keys)),
        )
        return set(keys) - {(resource, version) for resource, version in rows}

    def keep(
        self,
        name: str,
        what: str,
        held: bytes,
        *,
        position: int = 0,
        seen: Iterable[tuple[str, str, str]] = (),
        forget_before: str = "",
    ) -> None:
        """Everything up to a checkpoint is durable.

        `position` is the last inbox position of it, `seen` what it held as (resource, version,
        update), `forget_before` the update before which nothing needs to be remembered.
        """
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", (name, what, held))
            db.execute(
                "UPDATE source SET position = max(position, ?) WHERE name = ?", (position, name)
            )
            db.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)",
                [(name, what, *one) for one in seen],
            )
            if forget_before:
                db.execute(
                    "DELETE FROM seen WHERE source = ? AND what = ? AND updated < ?",
                    (name, what, forget_before),
                )

    def count(self, name: str, kind: str, outcomes: Mapping[str, int]) -> None:
        """Count what became of resources of a type, on top of what was counted before."""
        with self._writing() as db:
            db.executemany(
                "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT (source, kind, outcome)"
                " DO UPDATE SET resources = resources + excluded.resources",
                [(name, kind, outcome, number) for outcome, number in outcomes.items() if number],
            )

    def drop(self, name: str, what: str) -> None:
        """A checkpoint is needed no more."""
        with self._writing() as db:
            db.execute("DELETE FROM checkpoint WHERE source = ? AND what = ?", (name, what))

    def tell(self, name: str, state: str, reason: str, at: datetime, pid: int, **more: str) -> None:
        """Write down how a source is doing, for other programs to see."""
        told = {"state": state, "reason": reason, "since": _text(at), "pid": pid, **more}
        marks = ", ".join(f"{column} = ?" for column in told)
        with self._writing() as db:
            db.execute(
                f"UPDATE source SET {marks} WHERE name = ?",  # noqa: S608  (names of this module)
                (*told.values(), name),
            )

    def progress(self) -> list[Progress]:
        """Every source that was ever read."""
        rows = self._read(
            "SELECT name, base, version, state, reason, since, pid, breaker, synced_at, position"
            " FROM source ORDER BY name"
        )
        return [Progress(*row) for row in rows]

    def tallies(self) -> dict[str, dict[str, dict[str, int]]]:
        """What became of resources, by source, type and outcome, since the ledger was made."""
        counted: dict[str, dict[str, dict[str, int]]] = {}
        for source, kind, outcome, number in self._read("SELECT * FROM tally"):
            counted.setdefault(source, {}).setdefault(kind, {})[outcome] = number
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
                why="It says how far FHIR servers were read into that one.",
                do="Restore both from the same backup, or remove it: servers are read anew.",
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


def held(checkpoint: msgspec.Struct) -> bytes:
    """A checkpoint as the ledger keeps it."""
    return msgspec.json.encode(checkpoint)


def _failed(path: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(f"{path.name} cannot be used now.", why=f"{error}.", do="Check the disk.")


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
