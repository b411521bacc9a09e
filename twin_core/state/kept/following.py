"""The state of a store's hospital, kept up to date from one batch to the next."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from twin_core.state.kept.hospital import Hospital
from twin_core.state.words import HospitalState
from twin_core.store.database import Database
from twin_core.store.present import of_visits, present
from twin_core.store.projection import BatchApplied
from twin_core.store.waiting import Waiting

log = logging.getLogger(__name__)


class KeptState:
    """Answers what the hospital is like now; `note` is told of every batch."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting = Waiting()
        self._hospital: Hospital | None = None
        self._sequence = 0

    def note(self, batch: BatchApplied) -> None:
        """Remember a batch until somebody asks; while nobody has, there is nothing to do."""
        self._waiting.note(batch)

    def forget(self) -> None:
        """Let go of what waits; the next answer is read from the store."""
        self._waiting.forget()

    def state(self, database: Database, now: Callable[[], datetime]) -> HospitalState:
        """The hospital now, as known after the batch that it names.

        Equal to `hospital_state` of the same instant. Only a clock that was put back, or more
        batches than may wait, have the store read again; raises QueryFailed where it cannot be
        read.
        """
        with self._turn:
            hospital, at = self._caught_up(database), now()
            if hospital is None or at < hospital.at:
                hospital = self._read(database, at)
            found = hospital.state(at, self._sequence)
            # Only now: after an error in between everything is read from the store.
            self._hospital = hospital
            return found

    def _caught_up(self, database: Database) -> Hospital | None:
        hospital, self._hospital = self._hospital, None
        waiting = self._waiting.take()
        if hospital is None or waiting is None:
            return None
        try:
            for batch in waiting:
                if batch.sequence > self._sequence:
                    self._apply(hospital, batch, database)
        except ValueError as error:
            log.warning("the state is read again from the store: %s", error)
            return None
        return hospital

    def _apply(self, hospital: Hospital, batch: BatchApplied, database: Database) -> None:
        absent = hospital.missing(batch.opened, batch.closed)
        late = of_visits(database, absent, batch.known_at) if absent else []
        hospital.apply(batch.opened, batch.closed, late)
        self._sequence = batch.sequence

    def _read(self, database: Database, at: datetime) -> Hospital:
        # Batches are noted already; those that the reading holds are passed over when their turn
        # comes.
        found = present(database, at)
        self._sequence = found.latest.sequence
        return Hospital(found, at)
