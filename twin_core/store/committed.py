"""What folds read of the database: everything that was applied before the batch at hand.

While a load goes on, a batch is folded as the one before it is still being written. Whoever asks
the database then waits until that one is committed, unless the question cannot be about it.
"""

from collections.abc import Callable, Collection, Set

import duckdb


class Committed:
    """The database as folds may read it, and the batch that is being written, if one is."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.so_far = connection
        """Without the batch that is being written: for what that batch cannot have changed."""
        self._written: Callable[[], None] | None = None
        self._touched: Set[int] = frozenset()

    def follow(self, touched: Set[int], written: Callable[[], None]) -> None:
        """A batch is being written that touched the families of these owners.

        `written` waits until it is committed, and raises where it could not be.
        """
        self._touched, self._written = touched, written

    @property
    def unwritten(self) -> Set[int]:
        """The owners of the families that the batch being written touched; none where none is."""
        return self._touched

    def settle(self) -> None:
        """Wait until the batch that is being written is committed."""
        written, self._written, self._touched = self._written, None, frozenset()
        if written is not None:
            written()

    def settled(self) -> duckdb.DuckDBPyConnection:
        """The database with every batch up to the last one."""
        self.settle()
        return self.so_far

    def about(self, owners: Collection[int]) -> duckdb.DuckDBPyConnection:
        """The database with every batch that touched one of these families."""
        return self.so_far if self._touched.isdisjoint(owners) else self.settled()
