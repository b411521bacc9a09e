"""Copies of the store that sidecars may read while this process writes the store.

DuckDB lets one process at a time hold a file that is written. So the holder of a store keeps a
copy for analysts, made when the first query arrives, and brings what has changed since into it
when a later query finds that the store has moved on, at most about once a second. A copy is of one
profile, identified or one without identities, and each has a file, a folder and a process of its
own.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from api.sidecar import Rows, Sidecar, Stream
from twin_core import Twin
from twin_core.errors import StoreError

FRESH_S = 1.0
Followed = Literal["identified", "limited", "aggregates"]

log = logging.getLogger(__name__)


class Writers(NamedTuple):
    """How a copy is written: anew, and up to date; both give the number of the last batch in it."""

    snapshot: Callable[[Path], int]
    changes: Callable[[Path], int]


def _identified(twin: Twin) -> Writers:
    return Writers(twin.replica_snapshot, twin.replica_changes)


def _limited(twin: Twin) -> Writers:
    limited = twin.limited()
    return Writers(limited.snapshot, limited.changes)


def _aggregates(twin: Twin) -> Writers:
    aggregates = twin.aggregates()
    return Writers(aggregates.snapshot, aggregates.changes)


_FOLDERS: dict[Followed, str] = {
    "identified": "replica",
    "limited": "limited",
    "aggregates": "aggregates",
}
_WRITERS: dict[Followed, Callable[[Twin], Writers]] = {
    "identified": _identified,
    "limited": _limited,
    "aggregates": _aggregates,
}


class Replica:
    """Answers SQL over a recent copy of an open store."""

    def __init__(self, twin: Twin, followed: Followed = "identified") -> None:
        self._twin, self._followed = twin, followed
        key = twin.key.database if twin.key else None
        self._sidecar = Sidecar(twin.settings.store, key=key)
        self._folder = Path(f"{twin.path}.{_FOLDERS[followed]}")
        self._writers: Writers | None = None
        self._lock = threading.Lock()
        self._sequence = -1
        self._renewed_at = float("-inf")
        # A holder that was killed may have left its copy behind.
        shutil.rmtree(self._folder, ignore_errors=True)

    def query(self, sql: str) -> Rows:
        """The rows of one SELECT over a copy that is at most about a second old."""
        with self._lock:
            self._renew()
            return self._sidecar.query(self._copy, sql, opened=self._sequence)

    def arrow(self, sql: str) -> Stream:
        """The same rows as an Arrow IPC stream."""
        with self._lock:
            self._renew()
            return self._sidecar.arrow(self._copy, sql, opened=self._sequence)

    def close(self) -> None:
        """End the sidecar and remove the copy."""
        self._sidecar.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _copy(self) -> Path:
        return self._folder / "copy.duckdb"

    def _renew(self) -> None:
        moved_on = self._twin.sequence() != self._sequence
        if not moved_on or time.monotonic() - self._renewed_at < FRESH_S:
            return
        if self._writers is None:
            self._writers = _WRITERS[self._followed](self._twin)
        if self._sequence < 0:
            self._begin(self._writers)
        else:
            self._sidecar.release()
            try:
                self._sequence = self._writers.changes(self._copy)
            except StoreError:
                # What half a change left behind is not followed any further.
                self._sequence = -1
                raise
        self._renewed_at = time.monotonic()

    def _begin(self, writers: Writers) -> None:
        began = time.monotonic()
        self._sidecar.release()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        self._sequence = writers.snapshot(self._copy)
        log.info("copied the store for queries in %.2f s", time.monotonic() - began)
