"""The catalogue over the last day, kept for a moment, so that many may look at it."""

import threading
from time import monotonic

from twin_core.kpi.catalogue import By
from twin_core.kpi.live import Lately
from twin_core.twin import Twin

LEAST_S, LONGEST_S = 5.0, 60.0
"""How long figures are kept where messages have come since, and where none have."""


class LatelyKept:
    """`Twin.kpis_lately` of one running server, measured again no more often than is worth it."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._turn = threading.Lock()
        self._kept: dict[By, tuple[float, Lately]] = {}

    def at_hand(self, by: By = "hospital") -> tuple[Lately, bool]:
        """The figures without waiting, at most a minute old, and whether they are to be renewed.

        Only who asks first, or after a minute in which nobody did, waits for them.
        """
        measured_at, kept = self._kept.get(by, (float("-inf"), None))
        age = monotonic() - measured_at
        if kept is None or age >= LONGEST_S:
            return self.figures(by), False
        return kept, age >= LEAST_S and kept.sequence != self._twin.sequence()

    def figures(self, by: By = "hospital") -> Lately:
        """The catalogue over the last 24 hours, at most some seconds old."""
        with self._turn:
            measured_at, kept = self._kept.get(by, (float("-inf"), None))
            if kept is not None:
                quiet = kept.sequence == self._twin.sequence()
                if monotonic() - measured_at < (LONGEST_S if quiet else LEAST_S):
                    return kept
            found = self._twin.kpis_lately(by=by)
            self._kept[by] = (monotonic(), found)
            return found
