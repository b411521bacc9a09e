"""A copy of the store that the sidecar may read while this process writes the store.

DuckDB lets one process at a time hold a file that is written. So the holder of a store keeps a
copy for analysts, made when the first query arrives, and brings what has changed since into it
when a later query finds that the store has moved on, at most about once a second.
"""

import logging
import shutil
import threading
import time
from pathlib import Path

from api.sidecar import Rows, Sidecar
from twin_core import Twin

FRESH_S = 1.0

log = logging.getLogger(__name__)


class Replica:
    """Answers SQL over a recent copy of an open store."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        key = twin.key.database if twin.key else None
        self._sidecar = Sidecar(twin.settings.store, key=key)
        self._folder = Path(f"{twin.path}.replica")
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
        began = time.monotonic()
        if self._sequence < 0:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._sequence = self._twin.replica_snapshot(self._copy)
            log.info("copied the store for queries in %.2f s", time.monotonic() - began)
        else:
            self._sidecar.release()
            self._sequence = self._twin.replica_changes(self._copy)
        self._renewed_at = time.monotonic()
