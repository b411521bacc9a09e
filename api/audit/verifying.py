"""Verifying the ledger of a running server, in the background, and remembering what was found."""

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from twin_core.audit import Ledger, Verdict, notes_in, verified
from twin_core.clock import Clock, SystemClock
from twin_core.errors import TwinError
from twin_core.settings import AuditSettings

LASTS = timedelta(minutes=10)
PATIENCE_S = 1.0
"""How long a page waits for a verification; a ledger of some ten thousand entries takes less."""


class Verified(NamedTuple):
    """When the ledger was verified and what was found, or why it could not be."""

    at: datetime
    verdict: Verdict | None
    kept_elsewhere: int = 0
    fault: str = ""


class Verification:
    """The last verification of a ledger, made anew when it is asked for and too old."""

    def __init__(
        self, ledger: Ledger, settings: AuditSettings, *, clock: Clock | None = None
    ) -> None:
        self._ledger, self._settings = ledger, settings
        self._clock = clock or SystemClock()
        self._last: Verified | None = None
        self._running: threading.Thread | None = None
        self._turn = threading.Lock()

    def state(self, *, again: bool = False, patience_s: float = PATIENCE_S) -> Verified | None:
        """What was found last; None while the first verification is still under way."""
        with self._turn:
            last = self._last
            old = last is None or self._clock.now() - last.at > LASTS
            if (again or old) and not self.is_running():
                self._running = threading.Thread(target=self._verify, daemon=True)
                self._running.start()
            running = self._running
        if running is not None:
            running.join(patience_s)
        return self._last

    def is_running(self) -> bool:
        """Whether a verification is under way."""
        return self._running is not None and self._running.is_alive()

    def _verify(self) -> None:
        at = self._clock.now()
        try:
            folders = [Path(place) for place in self._settings.checkpoints if "://" not in place]
            notes = [note for folder in folders for note in notes_in(folder)]
            ledger = self._ledger
            verdict = verified(
                ledger.path, keys=ledger.keys, key=ledger.key, notes=notes, remembered=True
            )
            self._last = Verified(at, verdict, len(notes))
        except TwinError as error:
            self._last = Verified(at, None, fault=error.what)
