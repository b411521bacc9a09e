"""Batches that wait until somebody asks for what they changed."""

import threading

from twin_core.store.projection import BatchApplied

MOST_ROWS = 20_000
"""Rows of batches that may wait to be counted; with more of them it is quicker to read anew."""


class Waiting:
    """Batches since somebody last asked; `note` is told of each on the projecting thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._batches: list[BatchApplied] = []
        self._rows = 0
        self._noting = False

    def note(self, batch: BatchApplied) -> None:
        """Remember a batch until somebody asks; while nobody has, there is nothing to do."""
        with self._turn:
            if not self._noting:
                return
            self._batches.append(batch)
            self._rows += len(batch.opened) + len(batch.closed)
        if self._rows > MOST_ROWS:
            self.forget()

    def forget(self) -> None:
        """Let go of what waits; the next answer is read from the store."""
        self.take(noting=False)

    def take(self, *, noting: bool = True) -> list[BatchApplied] | None:
        """The batches that wait, None where some were not noted; from here on `noting` holds."""
        with self._turn:
            waiting = self._batches if self._noting else None
            self._batches, self._rows, self._noting = [], 0, noting
            return waiting
