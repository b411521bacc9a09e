"""The catalogue over the last day, kept for a moment, so that many may look at it."""

import threading
from time import monotonic

from twin_core.kpi.catalogue import By
from twin_core.kpi.live import Lately
from twin_core.twin import Twin

LEAST_S, LONGEST_S = 5.0, 60.0
"""How long figures are kept where messages have come since, and where none have."""

LEISURE = 4.0
"""How much longer than its work a rest is where nobody waits for the figures."""


class LatelyKept:
    """`Twin.kpis_lately` of one running server, measured again no more often than is worth it."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._turn = threading.Lock()
        self._asked = threading.Event()
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

    def prepare(self) -> None:
        """Have the hospital's figures at hand before anybody asks, while others need the machine.

        Somebody who asks meanwhile does not wait for the pauses.
        """
        with self._turn:
            found = self._twin.kpis_lately(by="hospital", rest=self._rest)
            self._kept["hospital"] = (monotonic(), found)

    def hurry(self) -> None:
        """Rest no more: somebody waits, or the server is to end."""
        self._asked.set()

    def _rest(self, took: float) -> None:
        self._asked.wait(LEISURE * took)

    def figures(self, by: By = "hospital") -> Lately:
        """The catalogue over the last 24 hours, at most some seconds old."""
        self.hurry()
        with self._turn:
            self._asked.clear()
            measured_at, kept = self._kept.get(by, (float("-inf"), None))
            if kept is not None:
                quiet = kept.sequence == self._twin.sequence()
                if monotonic() - measured_at < (LONGEST_S if quiet else LEAST_S):
                    return kept
            found = self._twin.kpis_lately(by=by)
            self._kept[by] = (monotonic(), found)
            return found
