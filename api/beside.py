"""A SQLite file beside a store that says how far something has come, and survives any end.

It carries the id of its store, so that it is never taken for that of another one, and belongs to
its owner alone: what it names may belong to patients.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from twin_core.encryption import StoreKey, opened_cells
from twin_core.errors import StoreError, StoreMismatch

_META = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"


class Words(NamedTuple):
    """What to say of a file that cannot be used, or that is another store's."""

    use: str
    """What to do where it cannot be used."""
    about: str
    """What it says, where it is another store's."""
    anew: str
    """What follows where it is removed."""


class BesideStore:
    """One such file; every method of a ledger on it is one transaction, on any thread.

    What in it may tell of a patient is sealed by the key of the store, where that has one.
    """

    def __init__(
        self,
        path: Path,
        store_id: str,
        key: StoreKey | None,
        *,
        kind: str,
        schema: str,
        words: Words,
        busy_s: float,
    ) -> None:
        self.path, self.store_id = path, store_id
        self._lock = threading.Lock()
        made = not path.exists()
        try:
            self._db = sqlite3.connect(path, timeout=busy_s, check_same_thread=False)
            self._db.isolation_level = None
            self._db.execute("PRAGMA journal_mode=WAL")
            # What was settled must stay so after a power failure, too.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_META + schema)
        except sqlite3.Error as error:
            raise StoreError(
                f"{path.name} cannot be used.", why=f"{error}.", do=words.use
            ) from error
        if made:
            path.chmod(0o600)
        self._claim(words)
        try:
            self._cells = opened_cells(self._db, kind, key, f"The file {path.name}")
        except sqlite3.Error as error:
            raise _failed(path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def copy_to(self, path: Path) -> None:
        """Write a copy, as of one instant."""
        copy = sqlite3.connect(path)
        with self._lock:
            self._db.backup(copy)
        copy.close()
        path.chmod(0o600)

    def copied_into(self, folder: Path, name: str) -> Path:
        """A copy in a backup's folder; the file that was written.

        Raises StoreError where there is such a file.
        """
        copy = folder / name
        if copy.exists():
            raise StoreError(f"{copy} exists already.", do="Choose an empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
        self.copy_to(copy)
        return copy

    def _claim(self, words: Words) -> None:
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('store_id', ?)", (self.store_id,))
        [(claimed,)] = self._read("SELECT value FROM meta WHERE key = 'store_id'")
        if claimed != self.store_id:
            self.close()
            raise StoreMismatch(
                f"{self.path.name} belongs to a different store.",
                why=words.about,
                do=f"Restore both from the same backup, or remove it: {words.anew}.",
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


def instant_text(at: datetime) -> str:
    """An instant as such a file keeps it."""
    return at.astimezone(UTC).isoformat()


def _failed(path: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(f"{path.name} cannot be used now.", why=f"{error}.", do="Check the disk.")
