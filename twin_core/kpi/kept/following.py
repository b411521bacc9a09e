"""The board's KPIs of a store, kept up to date from one batch to the next."""

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from twin_core.kpi.kept.held import Change
from twin_core.kpi.kept.ledger import Ledger, Site
from twin_core.kpi.kept.records import EPOCH, Row, chosen, instant
from twin_core.kpi.kept.sums import Counted, counted
from twin_core.kpi.measuring import Window
from twin_core.store.database import Database
from twin_core.store.projection import BatchApplied
from twin_core.store.recent import Latest, of_encounters, recent
from twin_core.store.waiting import Waiting

MARGIN = timedelta(days=1)
"""How long before the first window what has ended is kept, too."""
READ_AGAIN = timedelta(days=2)
"""How far what is kept may go back before the first window; then what has passed is let go."""


class Measured(NamedTuple):
    """The headline of each KPI, None where it owes no row, and the last batch that is counted."""

    sequence: int
    figures: dict[str, Counted | None]


class KeptKpis:
    """Counts the board's KPIs; `note` is told of every batch, `measure` answers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        self._waiting = Waiting()
        self._ledger: Ledger | None = None
        self._latest = Latest(0, None)
        self._since = EPOCH

    def note(self, batch: BatchApplied) -> None:
        """Remember a batch until somebody asks; while nobody has, there is nothing to do."""
        self._waiting.note(batch)

    def forget(self) -> None:
        """Let go of what waits; the next answer is read from the store."""
        self._waiting.forget()

    def measure(self, database: Database, windows: Mapping[str, Window]) -> Measured:
        """The headline of each KPI over its window.

        Equal to those of the table macros, by hospital and with grain `all`, as known after the
        batch that is named. Raises QueryFailed where the store cannot be read.
        """
        first = min(window.start for window in windows.values())
        latest = max(window.end for window in windows.values())
        with self._turn:
            ledger = self._caught_up(database)
            if ledger is None or not MARGIN <= first - self._since <= READ_AGAIN:
                ledger = self._read(database, first)
            as_of = self._latest.known_at or latest
            figures = {
                kpi_id: counted(ledger, kpi_id, window, as_of) for kpi_id, window in windows.items()
            }
            return Measured(self._latest.sequence, figures)

    def _caught_up(self, database: Database) -> Ledger | None:
        """What is kept with every batch that waited; None where it must be read from the store."""
        ledger, self._ledger = self._ledger, None
        waiting = self._waiting.take()
        if ledger is None or waiting is None:
            return None
        for batch in waiting:
            if batch.sequence > self._latest.sequence:
                change = Change(_rows(batch.opened), _rows(batch.closed))
                absent = ledger.missing(change)
                late = of_encounters(database, absent, batch.known_at) if absent else []
                ledger.apply(change, _rows(late))
                self._latest = Latest(batch.sequence, batch.known_at)
        # Only now: after an error in between everything is read from the store.
        self._ledger = ledger
        return ledger

    def _read(self, database: Database, first: datetime) -> Ledger:
        # Batches are noted already; those that the reading holds are passed over when their turn
        # comes.
        self._since = first - MARGIN
        found = recent(database, self._since)
        ledger = Ledger(instant(self._since), self._site)
        ledger.begin(_rows(found.rows), found.stays, found.emergencies)
        self._ledger, self._latest = ledger, found.latest
        return ledger


def _rows(rows: Iterable[tuple[str, tuple[object, ...]]]) -> list[Row]:
    found = ((name, chosen(name, values)) for name, values in rows)
    return [(name, columns) for name, columns in found if columns is not None]
